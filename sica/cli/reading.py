"""What the reading commands read: the database, and git only where code or history is asked for."""

from __future__ import annotations

import os
import pwd
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import PurePath
from statistics import fmean
from typing import TYPE_CHECKING

from sica import report
from sica.cli import names
from sica.cli.invocation import Invocation
from sica.errors import UsageError, no_such
from sica.ledger import Attempted, SqliteLedger, by_task
from sica.model import Agent, Glimpse, Setting, Split, Summary, Trial
from sica.places import Places
from sica.report import Row
from sica.stats import (
    Comparison,
    Estimate,
    compare,
    difference_interval,
    estimate,
    pairs_needed,
    pass_at_k,
    pass_hat_k,
    wilson,
)

if TYPE_CHECKING:
    from sica.plots import Album
    from sica.repo import GitRepo


Scores = Mapping[str, Sequence[float]]
"""By task."""


@dataclass(frozen=True)
class Reading:
    places: Places
    ledger: SqliteLedger
    under: str = ""
    """Part of the name of the setting that is meant; empty: the latest."""

    @classmethod
    def of(cls, call: Invocation, under: str = "") -> Reading:
        places = call.places()
        return cls(places, SqliteLedger.open(places.db, readonly=True), under)

    @cached_property
    def repo(self) -> GitRepo:
        from sica.repo import GitRepo

        return GitRepo.open(self.places.repo, self.places.runtime)

    @cached_property
    def agents(self) -> Sequence[Agent]:
        return tuple(self.ledger.agents())

    @cached_property
    def champion(self) -> str:
        """The last promoted agent; the seed before any promotion."""
        promoted = self.ledger.promotions()
        return promoted[-1].agent if promoted else self.agents[0].commit if self.agents else ""

    def find(self, text: str) -> Agent:
        return names.resolve(text, self.agents, self.champion, self._revision)

    def _revision(self, name: str) -> str | None:
        return self.repo.rev_parse(name)  # opened only when nothing else fits

    def parent(self, agent: Agent) -> Agent | None:
        by_commit = {a.commit: a for a in self.agents}
        return next((by_commit[p] for p in agent.parents if p in by_commit), None)

    # ── scores ────────────────────────────────────────────────────────────────────────────────────

    def benchmark(self, asked: str, configured: str = "core") -> str:
        """The benchmark to show: the one that is asked for; else the configured one, or the most measured one when
        nothing was measured on that.

        Raises UsageError when nothing was measured on the one that is asked for.
        """
        measured: dict[str, int] = defaultdict(int)
        for summary in self.ledger.summaries():
            measured[summary.benchmark] += summary.n
        found = next((name for name in _names(asked or configured) if name in measured), None)
        if asked and not found:
            there = ", ".join(sorted(measured)) or "nothing"
            raise UsageError(
                f"nothing is measured on {report.clean(asked)!r}; measured is: {there}",
                f"sica eval best --bench {report.clean(asked)}",
            )
        return found or max(measured, key=lambda b: measured[b], default=configured)

    def setting(self, benchmark: str) -> Setting | None:
        """Whose scores are shown: those of two models or two images are never averaged or compared."""
        known = self.ledger.settings(benchmark)
        meant = next((s for s in known if self.under.casefold() in str(s).casefold()), None)
        if meant is None and known:
            raise no_such("setting", self.under, [str(s) for s in known])
        return meant

    def measured_on(self, benchmark: str) -> dict[str, object]:
        """What a JSON answer says of its scores."""
        return {"benchmark": benchmark, "setting": asdict(self.setting(benchmark) or Setting())}

    def footer(self, benchmark: str) -> str:
        """The setting, and that there are others."""
        setting = self.setting(benchmark)
        others = len(self.ledger.settings(benchmark)) - 1
        also = f"; {report.plural(others, 'other setting')}, see --under" if others > 0 else ""
        return f"{setting}{also}" if setting else ""

    def lineage(self, benchmark: str) -> tuple[Row, ...]:
        """A row for every agent without what takes each single score: no interval, no change. At once for thousands."""
        return report.rows(self.agents, self._summaries(benchmark), self.champion, lambda _: None)

    def rows(self, benchmark: str) -> tuple[Row, ...]:
        """A row for every agent with its interval; `compared` adds what the changes are worth."""
        rows = self.lineage(benchmark)
        scores = self._scores((r.commit for r in rows if r.n), benchmark)
        return tuple(_estimated(row, scores.get(row.commit, {})) for row in rows)

    def _scores(self, commits: Iterable[str], benchmark: str) -> Mapping[str, Mapping[Attempted, float]]:
        return self.ledger.scores(benchmark, sorted(commits), self.setting(benchmark))

    def _summaries(self, benchmark: str) -> Sequence[Summary]:
        return self.ledger.summaries(benchmark, setting=self.setting(benchmark))

    def compared(self, rows: Iterable[Row], benchmark: str) -> list[Row]:
        """The rows with their intervals and each agent's change against its first parent, paired as show and diff
        do it."""
        rows = list(rows)
        commits = {a.number: a.commit for a in self.agents}
        family = {r.commit for r in rows} | {commits[r.parents[0]] for r in rows if r.parents}
        scores = self._scores(family, benchmark)

        def against_parent(row: Row) -> Row:
            found = paired(scores.get(commits[row.parents[0]], {}), scores.get(row.commit, {}))
            return replace(row, change=found.difference, separable=found.separable) if found.tasks else row

        known = [_estimated(row, scores.get(row.commit, {})) for row in rows]
        return [against_parent(row) if row.parents else row for row in known]

    def at_work(self, rows: Iterable[Row], benchmark: str) -> list[Row]:
        """The rows, those that a run is working on right now with how far it is."""
        from sica.runlock import is_held

        rows, runs = list(rows), self.ledger.runs()
        if not runs or runs[-1].ended is not None or not is_held(self.places.lock):
            return rows
        run, glob = runs[-1], str(runs[-1].config.get("task") or "*")
        attempts = int(runs[-1].config.get("attempts", 1))
        tasks = {t for t in self.ledger.wanted(benchmark) if _meant(t, glob)}
        here = self.ledger.seen_in(run.id)
        scores = self._scores(here, benchmark)

        def doing(row: Row) -> str:
            done = {(t, n) for t, _, _, n in scores.get(row.commit, {}) if t in tasks and n < attempts}
            wanted = len(tasks) * attempts
            if row.commit not in here or row.status == "rejected" or len(done) >= wanted:
                return ""
            return f"evaluating {len(done)}/{wanted}" if row.status != "unchecked" else "checking"

        return [replace(row, doing=doing(row)) for row in rows]

    def trials(
        self, agent: Agent, benchmark: str | None = None, split: Split | None = None
    ) -> Sequence[Trial]:
        """Every trial of the agent's tree, those of other commits with the same tree included; with a benchmark,
        those that its score counts: not the held-out ones, unless that split is named."""
        return self.ledger.trials_of(
            agent.commit, benchmark, self.setting(benchmark) if benchmark else None, split
        )

    def album(self, benchmark: str) -> Album:
        """What pictures are drawn from."""
        from sica.plots import Album, Paid

        rows = self.rows(benchmark)
        numbers = {row.tree: row.agent for row in rows}  # the first agent of a tree is the last one here
        cells: dict[int, dict[str, float | None]] = {}
        for tree, task, score in self.ledger.cells(benchmark, self.setting(benchmark)):
            cells.setdefault(numbers[tree], {})[task] = score
        paid = tuple(Paid(at, role, usd, calls) for at, _, role, usd, calls in self.ledger.paid())
        return Album(
            rows, cells, paid, report.clean(f"{benchmark}, {self.setting(benchmark) or 'not measured'}")
        )

    def kinds(self, benchmark: str) -> Mapping[str, str]:
        """What kind each task is of; nothing when all are of one."""
        found = {task.id: task.kind for task in self.ledger.tasks(benchmark)}
        return found if len(set(found.values())) > 1 else {}


UNDER = "Whose scores: part of a model's or sandbox's name; default: the latest."
"""Help of the option --under of every command that shows scores."""


def _names(bench: str) -> tuple[str, ...]:
    """What a benchmark's scores may be kept under: core, core/fix-*, a folder of tasks, or one task's folder."""
    place = PurePath(bench)
    return bench, bench.partition("/")[0], place.name, place.parent.name


def _meant(task: str, glob: str) -> bool:
    return fnmatchcase(task.rpartition("/")[2], glob) or fnmatchcase(task, glob)


def interval(summary: Summary) -> report.Interval | None:
    """Where only sums are at hand: Wilson's on the mean of n trials, as if each were another task's."""
    return None if summary.mean is None else wilson(summary.mean, summary.n)


def _estimated(row: Row, scores: Mapping[Attempted, float]) -> Row:
    known = estimate(by_task(scores).values())
    return row if known is None else replace(row, low=known.low, high=known.high, method=known.method)


def estimated(trials: Sequence[Trial]) -> Estimate | None:
    """The mean over trials and its interval: the one of every surface. A fault is a missing number."""
    return estimate(scores_of(trials).values())


def scores_of(trials: Sequence[Trial]) -> Scores:
    return by_task(_singles(trials))


def measured(trials: Sequence[Trial]) -> tuple[float | None, report.Interval | None]:
    found = estimated(trials)
    return (found.mean, (found.low, found.high)) if found else (None, None)


def solved(trials: Sequence[Trial]) -> Mapping[str, Sequence[bool]]:
    """By task, whether each attempt with a score solved it."""
    return {task: [score >= 1 for score in scores] for task, scores in scores_of(trials).items()}


def versus(old: Sequence[Trial], new: Sequence[Trial]) -> Comparison:
    return paired(_singles(old), _singles(new))


def _singles(trials: Sequence[Trial]) -> Mapping[Attempted, float]:
    return {(t.task, t.digest, t.conditions, t.attempt): t.score for t in trials if t.score is not None}


def paired(old: Mapping[Attempted, float], new: Mapping[Attempted, float]) -> Comparison:
    """The comparison on what both have: the same attempts at the same tasks under the same conditions."""
    return compare(*_matched(old, new))


def _matched(old: Mapping[Attempted, float], new: Mapping[Attempted, float]) -> tuple[Scores, Scores]:
    common = old.keys() & new.keys()
    return by_task({key: old[key] for key in common}), by_task({key: new[key] for key in common})


@dataclass(frozen=True, slots=True)
class Difference:
    """Two agents on what both have, with all that is to be said of it."""

    found: Comparison
    interval: report.Interval | None
    """Of the difference: a paired bootstrap of tasks within kinds; None where that says nothing."""
    needed: int | None
    """Paired tasks that would show it with 80 % power; None without a difference."""

    @property
    def span(self) -> str:
        """[-3.1, +6.7], or nothing."""
        if not self.interval:
            return ""
        return f"[{report.signed(self.interval[0])}, {report.signed(self.interval[1])}]"

    @property
    def words(self) -> str:
        """+1.8 [-3.1, +6.7] (14 gained, 10 lost, p 0.54: not separable)."""
        found = self.found
        if not found.tasks:
            return "no task in common"
        moved = " ".join(x for x in (report.signed(found.difference), self.span) if x)
        flips = f"{len(found.gained)} gained, {len(found.lost)} lost, {p_value(found.p)}"
        return f"{moved} ({flips}: {verdict(found)})"

    @property
    def advice(self) -> str:
        """How much more would tell, where it does not tell yet."""
        if self.found.separable or not self.found.tasks or not self.needed:
            return ""
        points = abs(100 * self.found.difference)
        return f"To separate {points:.1f} points (80% power) about {self.needed:,} paired tasks are needed in all."

    def record(self) -> dict[str, object]:
        """What JSON answers say of it."""
        low, high = self.interval or (None, None)
        return {
            "n_tasks": self.found.tasks,
            "difference": self.found.difference if self.found.tasks else None,
            "difference_low": low,
            "difference_high": high,
            "gained": self.found.gained,
            "lost": self.found.lost,
            "p": self.found.p,
            "test": self.found.test,
            "separable": self.found.separable,
            "needed_tasks": self.needed,
        }


def difference(old: Sequence[Trial], new: Sequence[Trial], kinds: Mapping[str, str]) -> Difference:
    sides = _matched(_singles(old), _singles(new))
    return Difference(compare(*sides), difference_interval(*sides, kinds), pairs_needed(*sides))


def glimpse(
    call: Invocation, command: str, benchmark: str, agents: Iterable[Agent], shown: Sequence[Trial]
) -> Glimpse:
    """That the user of this machine was shown these held-out trials just now."""
    try:
        who = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        who = call.environ.get("USER") or str(os.getuid())
    return Glimpse(time.time(), who, command, benchmark, tuple(a.commit for a in agents), len(shown))


def verdict(found: Comparison) -> str:
    return "separable" if found.separable else "not separable"


def pass_k(trials: Sequence[Trial]) -> tuple[int, float, float] | None:
    """k, pass@k and pass^k: the chances that one of k attempts solves a task, and that all of them do.

    k is how often every task was tried; None below two.
    """
    tried = list(solved(trials).values())
    k = min(map(len, tried), default=0)
    if k < 2:
        return None
    chances = [(pass_at_k(len(t), sum(t), k), pass_hat_k(len(t), sum(t), k)) for t in tried]
    return k, fmean(any_ for any_, _ in chances), fmean(all_ for _, all_ in chances)


def pass_words(trials: Sequence[Trial]) -> str:
    """pass@3 71.0%  pass^3 42.0%, or nothing."""
    found = pass_k(trials)
    if found is None:
        return ""
    k, once, always = found
    return f"pass@{k} {report.percent(once)}  pass^{k} {report.percent(always)}"


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.2f}" if p >= 0.095 else f"p {p:.3f}"
