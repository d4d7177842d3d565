"""Agents, progress, matrix and comparisons as docs/web-api.md has them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from statistics import fmean
from typing import Any

from sica import __version__, chronicle, report
from sica.cli.reading import in_words, interval, paired
from sica.ledger import Attempted
from sica.model import Agent, Trial, Usage
from sica.stats import Comparison
from sica.web import stream
from sica.web.source import Shown, Source

Json = dict[str, Any]


def archive(source: Source, bench: str = "", under: str = "") -> Json:
    shown = source.shown(bench, under)
    rows = at_work(source, shown)
    order = [str(row.agent) for row in rows]
    places = report.lanes(order, {str(row.agent): [str(p) for p in row.parents] for row in rows})
    width = max((max([p.column, *(t.end for t in p.turns)]) + 1 for p in places), default=0)
    best = next((row.agent for row in rows if row.best), None)
    return {
        "meta": meta(source),
        "cursor": str(stream.now(source)),
        **whose(shown),
        "best": best,
        "seed": rows[-1].agent if rows else None,
        "agents": full(source, shown, rows),
        "lanes": {"width": width, "places": [_place(p) for p in places]},
        "path": sorted(report.best_path(rows), reverse=True),
    }


def meta(source: Source) -> Json:
    return {
        "project": source.places.project.name,
        "version": __version__,
        "readonly": source.readonly,
        "token": "" if source.readonly else source.token,
        "offline": False,
        "user": source.user,
    }


def whose(shown: Shown) -> Json:
    return {
        "benchmark": shown.benchmark,
        "benchmarks": shown.benchmarks,
        "setting": asdict(shown.setting),
        "settings": [asdict(s) for s in shown.settings],
    }


def _place(place: report.Place) -> list[Any]:
    turns = [[t.start, t.end, t.closes, t.opens] for t in place.turns]
    return [place.column, place.tip, place.root, turns]


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


def rows_of(source: Source, shown: Shown) -> tuple[report.Row, ...]:
    """A row for every agent, newest first, with its change against its first parent."""
    return source.once(("rows", shown.benchmark, shown.setting), partial(_rows, source, shown))


def _rows(source: Source, shown: Shown) -> tuple[report.Row, ...]:
    reading, scores = source.reading(), source.scores()
    summaries = scores.summaries(shown.benchmark, shown.setting, reading.agents)
    rows = report.rows(reading.agents, summaries, reading.champion, interval)
    trees = {a.number: a.tree for a in reading.agents}

    measured = scores.of(shown.benchmark, shown.setting)

    def against_parent(row: report.Row) -> report.Row:
        known = measured[row.tree].estimate() if row.tree in measured else None
        if known is not None:
            row = replace(row, low=known.low, high=known.high, method=known.method)
        if not row.parents:
            return row
        change = scores.change(shown.benchmark, shown.setting, trees[row.parents[0]], row.tree)
        return replace(row, change=change.difference, separable=change.separable) if change else row

    return tuple(against_parent(row) for row in rows)


def at_work(source: Source, shown: Shown) -> Sequence[report.Row]:
    """The rows, those that a run is working on with how far it is."""
    rows = rows_of(source, shown)
    return source.reading().at_work(rows, shown.benchmark) if source.live else rows


def full(source: Source, shown: Shown, rows: Iterable[report.Row]) -> list[Json]:
    """Rows as JSON with what the lineage shows beside `sica log`'s columns."""
    known = source.once(("family",), partial(_family, source))
    measured = source.scores().of(shown.benchmark, shown.setting)
    wanted = len(chronicle.tasks(source.ledger, shown.benchmark))
    waiting, comments = source.waiting(), source.comments()
    found = []
    for row in rows:
        mine = measured.get(row.tree)
        fields = {name: getattr(row, name) for name in _COLUMNS}
        found.append(
            fields
            | {
                "generation": known[row.agent][0],
                "children": known[row.agent][1],
                "trials": mine.rows if mine else 0,
                "wanted": wanted,
                "waiting": row.agent in waiting,
                "comments": comments.get(row.commit, 0),
            }
        )
    return found


_COLUMNS = tuple(name for name in report.Row.__slots__ if name != "tree")


def _family(source: Source) -> Mapping[int, tuple[int, int]]:
    """Generation (steps to the seed by first parent) and children of every agent, by number."""
    agents = sorted(source.reading().agents, key=lambda a: a.number)
    numbers = {a.commit: a.number for a in agents}
    children = Counter(numbers[p] for a in agents for p in a.parents if p in numbers)
    depth: dict[int, int] = {}
    for agent in agents:
        above = [depth[numbers[p]] for p in agent.parents[:1] if p in numbers and numbers[p] in depth]
        depth[agent.number] = above[0] + 1 if above else 0
    return {n: (depth[n], children[n]) for n in depth}


def row_of(source: Source, shown: Shown, number: int) -> Json:
    (row,) = [r for r in at_work(source, shown) if r.agent == number]
    (found,) = full(source, shown, [row])
    return found


# ── progress ──────────────────────────────────────────────────────────────────────────────────────


def progress(source: Source, bench: str = "", under: str = "") -> Json:
    shown = source.shown(bench, under)
    rows = sorted(rows_of(source, shown), key=lambda r: r.agent)
    family = source.once(("family",), partial(_family, source))
    began = min((r.created for r in rows if r.created), default=0.0)
    points: list[Json] = []
    best: report.Row | None = None
    spent = 0.0
    dollars: dict[int, float] = {}
    for row in rows:
        dollars[row.agent] = spent
        spent += row.cost_usd
        ahead = (
            row.score is not None
            and row.status != "rejected"
            and (best is None or row.score > (best.score or 0))
        )
        best = row if ahead else best
        points.append(
            {name: getattr(row, name) for name in ("agent", "score", "low", "high", "n", "status", "subject")}
            | {
                "generation": family[row.agent][0],
                "usd": dollars[row.agent],
                "at": row.created,
                "seconds": max(0.0, row.created - began) if row.created else 0.0,
                "best_so_far": best.agent if best else None,
                "new_best": ahead,
            }
        )
    numbers = {a.commit: a.number for a in source.reading().agents}
    champions = [
        {"agent": numbers[p.agent], "at": p.at, "usd": dollars[numbers[p.agent]], "why": report.clean(p.why)}
        for p in source.ledger.promotions()
    ]
    return {**whose(shown), "points": points, "champions": champions}


# ── matrix ────────────────────────────────────────────────────────────────────────────────────────


def matrix(source: Source, bench: str = "", under: str = "") -> Json:
    shown = source.shown(bench, under)
    return source.once(("matrix", shown.benchmark, shown.setting), partial(_matrix, source, shown))


def _matrix(source: Source, shown: Shown) -> Json:
    tasks = chronicle.tasks(source.ledger, shown.benchmark)
    column = {task["name"]: at for at, task in enumerate(tasks)}
    rows = sorted(rows_of(source, shown), key=lambda r: r.agent)
    measured = source.scores().of(shown.benchmark, shown.setting)
    cells: list[list[int | None]] = []
    attempts: list[list[int]] = []
    mixed: list[list[int]] = []
    sums: list[list[float]] = [[] for _ in tasks]
    for at, row in enumerate(rows):
        cells.append([None] * len(tasks))
        attempts.append([0] * len(tasks))
        mine = measured.get(row.tree)
        if mine is None:
            continue
        for task in mine.faults:
            cells[at][column[task]] = -1
        for task, scores in mine.by_task().items():
            where = column[task]
            cells[at][where] = round(100 * fmean(scores))
            attempts[at][where] = len(scores)
            sums[where].append(fmean(scores))
            if len(set(scores)) > 1:
                mixed.append([at, where, sum(s >= 1 for s in scores), len(scores)])
    return {
        **whose(shown),
        "agents": [row.agent for row in rows],
        "scores": [row.score for row in rows],
        "lineage": list(range(len(rows) - 1, -1, -1)),
        "tasks": [
            {
                "task": t["name"],
                **{k: t[k] for k in ("split", "level", "kind", "grading")},
                "mean": fmean(s) if s else None,
            }
            for t, s in zip(tasks, sums, strict=True)
        ],
        "cells": cells,
        "attempts": attempts,
        "mixed": mixed,
    }


# ── one agent ─────────────────────────────────────────────────────────────────────────────────────


def agent(source: Source, number: int, bench: str = "", under: str = "") -> Json:
    shown = source.shown(bench, under)
    found, reading = source.agent(number), source.reading()
    trials = _trials(source, found, shown)
    by_commit = {a.commit: a for a in reading.agents}
    parents = [by_commit[p] for p in found.parents if p in by_commit]
    children = [a for a in reading.agents if found.commit in a.parents]
    seed = min(reading.agents, key=lambda a: a.number)
    made = next((i for i in source.ledger.improvements() if i.child and i.child.commit == found.commit), None)
    measuring = sum((t.usage for t in trials), Usage())
    solved = sum((t.score or 0) >= 1 for t in trials)
    return {
        **whose(shown),
        "row": row_of(source, shown, number),
        "body": report.clean_block(found.body),
        "tree": found.tree,
        "made": found.trace,
        "made_box": made.session if made else "",
        "parents": [row_of(source, shown, a.number) for a in parents],
        "children": [row_of(source, shown, a.number) for a in children],
        "changes": _changes(source, parents[0], trials, shown) if parents else None,
        "since_seed": comparison(_trials(source, seed, shown), trials) if found != seed else None,
        "costs": _costs(source, found, trials),
        "making": _used(made.usage if made else Usage(usd=found.cost_usd)),
        "measuring": _used(measuring),
        "solved": solved,
        "per_solved_usd": measuring.usd / solved if solved else None,
        "trials": [trial_facts(t) for t in sorted(trials, key=lambda t: (t.task, t.attempt))],
        "verdicts": [
            {
                "passed": v.passed,
                "reason": report.clean(v.reason),
                "fault": v.fault,
                "at": v.started,
                "trace": v.trace,
            }
            for v in source.ledger.verdicts()
            if v.agent == found.commit
        ],
        "promotions": [
            {"at": p.at, "why": report.clean(p.why)}
            for p in source.ledger.promotions()
            if p.agent == found.commit
        ],
        **source.reviewed(found),
    }


def _trials(source: Source, agent: Agent, shown: Shown) -> Sequence[Trial]:
    return source.ledger.trials_of(agent.commit, shown.benchmark, shown.setting)


def _costs(source: Source, agent: Agent, trials: Sequence[Trial]) -> list[Json]:
    """By the calls themselves; a ledger without them (restored from git) still knows what its outcomes used."""
    if found := chronicle.costs(source.ledger, agent.commit):
        return [dict(line) for line in found]
    used = sum((t.usage for t in trials), Usage())
    parts = (("improve", Usage(usd=agent.cost_usd)), ("main", used))
    return [
        {"role": role, "model": report.clean(agent.model), **_of(usage)}
        for role, usage in parts
        if usage.usd or usage.calls
    ]


def _of(usage: Usage) -> Json:
    return asdict(usage)


def _used(usage: Usage) -> Json:
    return {"usd": usage.usd, "tokens": usage.tokens, "calls": usage.calls, "seconds": usage.seconds}


def trial_facts(trial: Trial) -> Json:
    checks, findings = trial.detail.get("checks"), trial.detail.get("findings")
    return {
        "task": trial.task,
        "attempt": trial.attempt,
        "score": trial.score,
        "fault": trial.fault,
        "ending": report.clean(trial.ending),
        "grading": trial.grading,
        **_used(trial.usage),
        "why": report.clean(trial.why),
        "trace": trial.trace,
        "session": trial.session,
        "run": trial.run,
        "started": trial.started,
        "checks": [[report.clean(str(k)), v] for k, v in checks.items()]
        if isinstance(checks, Mapping)
        else [],
        "findings": [report.clean(str(f)) for f in findings] if isinstance(findings, list) else [],
    }


# ── two agents ────────────────────────────────────────────────────────────────────────────────────


def compare(source: Source, a: int, b: int, bench: str = "", under: str = "") -> Json:
    shown = source.shown(bench, under)
    old, new = source.agent(a), source.agent(b)
    before, after = _trials(source, old, shown), _trials(source, new, shown)
    return {
        **whose(shown),
        "a": row_of(source, shown, a),
        "b": row_of(source, shown, b),
        "comparison": comparison(before, after),
        "a_measuring": _used(sum((t.usage for t in before), Usage())),
        "b_measuring": _used(sum((t.usage for t in after), Usage())),
        "tasks": task_pairs(before, after),
        "common_ancestor": _common(source, old, new),
        "needed": _needed(before, after),
    }


def _changes(source: Source, parent: Agent, trials: Sequence[Trial], shown: Shown) -> Json:
    before = _trials(source, parent, shown)
    pairs = [p for p in task_pairs(before, trials) if p["difference"]]
    return {"against": parent.number, "comparison": comparison(before, trials), "tasks": pairs}


def comparison(old: Sequence[Trial], new: Sequence[Trial]) -> Json:
    found = paired(_singles(old), _singles(new))
    same = found.tasks - len(found.gained) - len(found.lost)
    return {
        **{name: getattr(found, name) for name in Comparison.__slots__},
        "same": same,
        "separable": found.separable,
        "words": in_words(found),
    }


def _singles(trials: Sequence[Trial]) -> Mapping[Attempted, float]:
    return {(t.task, t.digest, t.conditions, t.attempt): t.score for t in trials if t.score is not None}


def task_pairs(old: Sequence[Trial], new: Sequence[Trial]) -> list[Json]:
    """Every task that one of them has; the difference is on the attempts that both have."""
    sides = [_by_task(old), _by_task(new)]
    before, after = _singles(old), _singles(new)
    moved: dict[str, list[float]] = defaultdict(list)
    for key in before.keys() & after.keys():
        moved[key[0]].append(after[key] - before[key])
    found = []
    for task in sorted(sides[0].keys() | sides[1].keys()):
        a, b = (side.get(task, []) for side in sides)
        found.append(
            {
                "task": task,
                "old": [t.score for t in a if t.score is not None],
                "new": [t.score for t in b if t.score is not None],
                "old_trace": a[-1].trace if a else "",
                "new_trace": b[-1].trace if b else "",
                "difference": fmean(moved[task]) if task in moved else None,
                "only": "" if a and b else "a" if a else "b",
            }
        )
    return found


def _by_task(trials: Sequence[Trial]) -> Mapping[str, list[Trial]]:
    found: dict[str, list[Trial]] = defaultdict(list)
    for trial in sorted(trials, key=lambda t: t.attempt):
        found[trial.task].append(trial)
    return found


def _common(source: Source, a: Agent, b: Agent) -> int | None:
    """The newest agent that both descend from, themselves included."""
    by_commit = {x.commit: x for x in source.reading().agents}

    def above(agent: Agent) -> set[str]:
        seen, left = set(), [agent.commit]
        while left:
            commit = left.pop()
            if commit in by_commit and commit not in seen:
                seen.add(commit)
                left += by_commit[commit].parents
        return seen

    both = above(a) & above(b)
    return max((by_commit[c].number for c in both), default=None)


def _needed(old: Sequence[Trial], new: Sequence[Trial]) -> int | None:
    """Paired tasks that would tell the two apart in 4 of 5 cases: (1.96 + 0.84)² variance / difference²."""
    before, after = _singles(old), _singles(new)
    differences = [after[k] - before[k] for k in before.keys() & after.keys()]
    if len(differences) < 2 or not (mean := fmean(differences)):
        return None
    variance = fmean((d - mean) ** 2 for d in differences)
    return max(1, round(7.85 * variance / mean**2)) if variance else None
