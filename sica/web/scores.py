"""Every score in memory: read once, then only what is new, because outcomes are append-only. One thread at a time.

A lineage of 500 agents and 100 tasks asks 50,000 trials the same three questions (means, changes, cells); the ledger
answers each in a second of a busy machine, this table in none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean

from sica import chronicle
from sica.cli.reading import paired
from sica.ledger import SqliteLedger
from sica.model import Agent, Setting, Summary, Usage
from sica.stats import Estimate, estimate

Key = tuple[str, int, int, int]
"""Task, its digest's number, conditions, attempt."""


@dataclass
class Measured:
    """What is known of one tree under one setting."""

    scores: dict[Key, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    """By task."""
    usage: list[float] = field(default_factory=lambda: [0.0] * 6)
    _estimated: tuple[int, Estimate | None] = (0, None)
    rows: int = 0
    """Goes up with every trial: a pair of these numbers names a state."""

    def take(self, task: str, key: Key, score: float | None, used: Sequence[float]) -> None:
        self.rows += 1
        if score is None:
            self.faults[task] = self.faults.get(task, 0) + 1
        else:
            self.scores[key] = score
        own = self.usage
        for at in range(6):
            own[at] += used[at]

    def summary(self, agent: str, benchmark: str) -> Summary:
        values = self.scores.values()
        usd, prompt, cached, completion, calls, seconds = self.usage
        used = Usage(usd, int(prompt), int(cached), int(completion), int(calls), seconds)
        total, squares = sum(values), sum(v * v for v in values)
        return Summary(agent, benchmark, len(values), total, squares, sum(self.faults.values()), used)

    def estimate(self) -> Estimate | None:
        """The mean with its interval, as `sica log` has it; worked out again only after another trial."""
        if self._estimated[0] != self.rows:
            self._estimated = self.rows, estimate(self.by_task().values())
        return self._estimated[1]

    def by_task(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = defaultdict(list)
        for (task, *_), score in self.scores.items():
            found[task].append(score)
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """What an agent is worth against another on what both tried; None where they have nothing in common."""

    difference: float
    separable: bool


class Scores:
    """All trials of the tasks in use, by benchmark and setting, then by tree."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self._forget({})

    def _forget(self, tasks: dict[int, tuple[str, str]]) -> None:
        self._tasks = tasks
        self._last = 0
        self._under: dict[str, dict[Setting, dict[str, Measured]]] = {}
        self._latest: dict[tuple[str, Setting], int] = {}
        self._changes: dict[tuple[str, Setting, str, str], tuple[int, int, Change | None]] = {}

    def refresh(self) -> None:
        """Read what has been recorded since the last time; all of it when tasks were edited meanwhile."""
        tasks = chronicle.tasks_in_use(self._ledger)
        if tasks != self._tasks:
            self._forget(tasks)
        fresh = chronicle.trials(self._ledger, self._last)
        if not fresh:
            return
        trees, settings = chronicle.names(self._ledger)
        for id_, tree, task, conditions, attempt, score, *used in fresh:
            if task in tasks:
                benchmark, name = tasks[task]
                setting = settings[conditions]
                under = self._under.setdefault(benchmark, {}).setdefault(setting, {})
                measured = under.get(trees[tree]) or under.setdefault(trees[tree], Measured())
                measured.take(name, (name, task, conditions, attempt), score, used)
                self._latest[benchmark, setting] = id_
        self._last = fresh[-1][0]

    def benchmarks(self) -> Mapping[str, int]:
        """Scores of each, the most measured first."""
        sizes = {
            b: sum(len(m.scores) for of in s.values() for m in of.values()) for b, s in self._under.items()
        }
        return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))

    def settings(self, benchmark: str) -> Sequence[Setting]:
        """Those that it was measured under, the latest first."""
        known = self._under.get(benchmark, {})
        return sorted(known, key=lambda s: -self._latest[benchmark, s])

    def of(self, benchmark: str, setting: Setting) -> Mapping[str, Measured]:
        """By tree."""
        return self._under.get(benchmark, {}).get(setting, {})

    def summaries(self, benchmark: str, setting: Setting, agents: Sequence[Agent]) -> list[Summary]:
        known = self.of(benchmark, setting)
        return [known[a.tree].summary(a.commit, benchmark) for a in agents if a.tree in known]

    def change(self, benchmark: str, setting: Setting, old: str, new: str) -> Change | None:
        """Of two trees; worked out again only when one of them was tried again."""
        known = self.of(benchmark, setting)
        if old not in known or new not in known:
            return None
        key, rows = (benchmark, setting, old, new), (known[old].rows, known[new].rows)
        kept = self._changes.get(key)
        if kept is None or kept[:2] != rows:
            kept = self._changes[key] = (*rows, _change(known[old].scores, known[new].scores))
        return kept[2]


def _change(old: Mapping[Key, float], new: Mapping[Key, float]) -> Change | None:
    """As `reading.paired` has it, but for its test by random signs where the normal approximation is far from 5 %."""
    tasks: dict[str, list[float]] = defaultdict(list)
    for key in old.keys() & new.keys():
        tasks[key[0]].append(new[key] - old[key])
    if not tasks:
        return None
    moved = [d for of in tasks.values() if (d := fmean(of))]
    mean = sum(moved) / len(tasks)
    z = abs(sum(moved)) / sqrt(sum(d * d for d in moved)) if moved else 0.0
    doubtful = (1.8, 2.2) if len(moved) >= 30 else (1.5, 2.8) if len(moved) >= 10 else (0.0, float("inf"))
    if not moved or not doubtful[0] <= z <= doubtful[1]:
        return Change(mean, z > 2.0)
    found = paired(_named(old), _named(new))
    return Change(found.difference, found.separable)


def _named(scores: Mapping[Key, float]) -> Mapping[tuple[str, str, str, int], float]:
    return {
        (task, str(digest), str(under), attempt): s for (task, digest, under, attempt), s in scores.items()
    }
