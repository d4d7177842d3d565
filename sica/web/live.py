"""What runs right now: the status bar's numbers and the boxes."""

from __future__ import annotations

import time
from typing import Any

from sica import chronicle, report
from sica.model import Run
from sica.web import lineage, stream
from sica.web.source import Shown, Source

Json = dict[str, Any]
RECENT = 900.0
"""Seconds that the rate of spending is taken from."""


def status(source: Source, bench: str = "", under: str = "") -> Json:
    shown = source.shown(bench, under)
    runs = source.ledger.runs()
    run, live = runs[-1] if runs else None, source.live
    rows = lineage.rows_of(source, shown)
    spent = source.ledger.spent(run.id) if run else None
    cap = run.config.get("max_cost") if run else None
    tasks = _tasks(source, shown, run) if run else {"done": 0, "wanted": 0}
    rate, each = _pace(source, run) if run and live else (None, None)
    left = tasks["wanted"] - tasks["done"]
    eta = left / each if each and left > 0 else None
    forecast = spent.usd + rate * eta / 3600 if spent and rate is not None and eta is not None else None
    return {
        "run": _run(run) if run else None,
        "live": live,
        **_control(source, live),
        "tasks": tasks,
        "eta_seconds": eta,
        "spent_usd": spent.usd if spent else 0.0,
        "tokens": spent.tokens if spent else 0,
        "calls": spent.calls if spent else 0,
        "cap_usd": cap if isinstance(cap, int | float) else None,
        "rate_usd_per_hour": rate,
        "forecast_usd": min(forecast, cap)
        if forecast is not None and isinstance(cap, int | float)
        else forecast,
        "best": _best(source, shown, rows),
        "counts": {
            "agents": len(rows),
            "rejected": sum(r.status == "rejected" for r in rows),
            "trials": stream.now(source).t,
            "faults": sum(r.faults for r in rows),
            "running": 0,
        },
        "now": time.time(),
        "cursor": str(stream.now(source)),
    }


def _run(run: Run) -> Json:
    wanted = ("kind", "policy", "model", "workers", "children", "attempts", "approve")
    facts = {name: run.config.get(name) for name in wanted}
    return {"id": run.id, "started": run.started, "ended": run.ended, "reason": run.reason} | {
        name: report.clean(value) if isinstance(value, str) else value for name, value in facts.items()
    }


def _control(source: Source, live: bool) -> Json:
    return {
        "paused": False,
        "stopping": False,
        "controllable": live and not source.readonly,
        "phase": "",
        "phases": {},
        "waiting": [],
    }


def _tasks(source: Source, shown: Shown, run: Run) -> Json:
    """Trials of the agents that the run made or tried: how many have a score, of how many that are wanted."""
    attempts = int(run.config.get("attempts") or 1)
    names = set(source.ledger.wanted(shown.benchmark))
    measured = source.scores().of(shown.benchmark, shown.setting)
    trees = {a.commit: a.tree for a in source.reading().agents if a.standing != "rejected"}
    here = {trees[c] for c in source.ledger.seen_in(run.id) if c in trees}
    done = sum(
        1
        for t in here
        if t in measured
        for (name, _, _, n) in measured[t].scores
        if name in names and n < attempts
    )
    return {"done": done, "wanted": len(here) * len(names) * attempts}


def _pace(source: Source, run: Run) -> tuple[float | None, float | None]:
    """Dollars an hour and trials a second, of the last quarter of an hour."""
    since = max(run.started, time.time() - RECENT)
    usd, first = chronicle.pace(source.ledger, run.id, since)
    seconds = time.time() - first if first else 0.0
    trials = chronicle.trials_since(source.ledger, run.id, since)
    if seconds < 5:
        return None, None
    return usd / seconds * 3600, trials / seconds if trials else None


def _best(source: Source, shown: Shown, rows: Any) -> Json | None:
    best = next((r for r in rows if r.best), None)
    if best is None:
        return None
    seed = rows[-1]
    change = (
        source.scores().change(shown.benchmark, shown.setting, seed.tree, best.tree)
        if best is not seed
        else None
    )
    return {
        **{name: getattr(best, name) for name in ("agent", "score", "low", "high", "n")},
        "since_seed": change.difference if change else None,
        "separable": change.separable if change else None,
    }
