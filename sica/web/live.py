"""What runs right now: the status bar's numbers and the boxes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sica import chronicle, report
from sica.errors import UsageError
from sica.model import Run
from sica.runlock import is_held
from sica.web import lineage, stream
from sica.web.source import Shown, Source
from sica.web.tracefile import TraceFile, span_facts

Json = dict[str, Any]
RECENT = 900.0
"""Seconds that the rate of spending is taken from."""
_PHASES = {"trial": "evaluate", "improvement": "improve", "check": "check"}


def status(source: Source, bench: str = "", under: str = "") -> Json:
    shown = source.shown(bench, under)
    boxes = running(source)["boxes"]
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
        **_control(source, live, boxes),
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
            "trials": chronicle.now(source.ledger).t,
            "faults": sum(r.faults for r in rows),
            "running": sum(box["alive"] for box in boxes),
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


def _control(source: Source, live: bool, boxes: Sequence[Json]) -> Json:
    """What people asked of the run that is going, and what it is at."""
    since = source.run_began()
    asked = [r.kind for r in source.requests() if live and r.at >= since and r.state == "done"]
    switched = [kind for kind in asked if kind in ("pause", "resume")]
    paused = bool(switched) and switched[-1] == "pause"
    phases = Counter(_PHASES.get(box["for"], box["for"]) for box in boxes if box["alive"])
    busiest = max(phases, key=lambda p: (phases[p], p), default="")
    return {
        "paused": paused,
        "stopping": "stop" in asked,
        "controllable": live and not source.readonly,
        "phase": "paused" if paused and not phases else busiest,
        "phases": dict(phases),
        "waiting": [{"agent": n, "why": why} for n, why in source.waiting().items()],
    }


# ── boxes ─────────────────────────────────────────────────────────────────────────────────────────


def running(source: Source) -> Json:
    """Every open trace, from one place; the oldest first."""
    boxes = []
    for path in (source.traces.root / "open").glob("*.jsonl"):
        try:
            file = source.shelf.get(path.stem)
        except (UsageError, FileNotFoundError):
            continue  # it was closed this very moment
        if file.alive:
            boxes.append(_box(file, alive=is_held(path)))
    return {"boxes": sorted(boxes, key=lambda b: (b["started"], b["session"]))}


def _box(file: TraceFile, *, alive: bool) -> Json:
    made = file.made
    about = {
        name: made.about.get(name) for name in ("for", "agent", "task", "attempt", "nth", "role", "model")
    }
    doing, text, waiting = _doing(file)
    return {
        "session": file.name,
        **about,
        "started": made.began,
        "turns": int(made.totals["turns"]),
        "tokens": int(made.totals["prompt_tokens"] + made.totals["completion_tokens"]),
        "usd": made.totals["usd"],
        "doing": doing,
        "text": text,
        "waiting": waiting,
        "quiet": max(0.0, round(time.time() - made.latest, 1)) if made.latest else 0.0,
        "notices": made.notices,
        "spans": [span_facts(span, made.began, live=True) for span in made.spans],
        "alive": alive,
    }


def _doing(file: TraceFile) -> tuple[str, str, str]:
    """In a word, in a line, and whom the box waits for: the model, a tool of its own, or nobody yet."""
    for block in reversed(file.made.blocks):
        if block.kind == "call" and block.facts["state"] == "open":
            return "model", f"waiting for {block.facts['model']}", "model"
        if block.kind == "tool" and not block.facts["answered"]:
            shown = file.block(block, 150)
            return str(block.facts["tool"]), report.clean(str(shown.get("input", "")))[:300], "tool"
        if block.kind == "call":
            return "working", report.clean(str(file.block(block, 150).get("text", "")))[:300], ""
        if block.kind == "ended":
            return "judging", report.clean(str(file.block(block, 150).get("text", "")))[:300], ""
    return "starting", "", ""


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
