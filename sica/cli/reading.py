"""What the reading commands read: the database, and git only where code or history is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import names
from sica.cli.invocation import Invocation
from sica.ledger import SqliteLedger
from sica.model import Agent, Summary, Trial
from sica.places import Places
from sica.report import Row
from sica.stats import Comparison, cluster_bootstrap, compare, wilson

if TYPE_CHECKING:
    from sica.repo import GitRepo


@dataclass(frozen=True)
class Reading:
    places: Places
    ledger: SqliteLedger

    @classmethod
    def of(cls, call: Invocation) -> Reading:
        places = call.places()
        return cls(places, SqliteLedger.open(places.db, readonly=True))

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

    def benchmark(self, wanted: str) -> str:
        """The benchmark to show: the wanted one when anything was measured on it, else the most measured one."""
        measured: dict[str, int] = defaultdict(int)
        for summary in self.ledger.summaries():
            measured[summary.benchmark] += summary.n
        return wanted if wanted in measured or not measured else max(measured, key=lambda b: measured[b])

    def rows(self, benchmark: str) -> tuple[Row, ...]:
        return report.rows(self.agents, self.ledger.summaries(benchmark), self.champion, interval)

    def trials(self, agent: Agent, benchmark: str = "") -> Sequence[Trial]:
        """Every trial of the agent's tree, those of other commits with the same tree included."""
        return [
            t
            for t in self.ledger.trials_of(agent.commit)
            if not benchmark or t.task.rpartition("/")[0] == benchmark
        ]


def interval(summary: Summary) -> report.Interval | None:
    return None if summary.mean is None else wilson(summary.mean, summary.n)


def by_task(trials: Sequence[Trial]) -> Mapping[str, Sequence[float]]:
    """Scores by task id; a fault is a missing number."""
    scores: dict[str, list[float]] = defaultdict(list)
    for trial in trials:
        if trial.score is not None:
            scores[trial.task].append(trial.score)
    return scores


ENOUGH_TASKS = 10
"""Below, a bootstrap over tasks is narrower than what it stands for."""


def measured(trials: Sequence[Trial]) -> tuple[float | None, report.Interval | None]:
    """Mean over trials; Wilson's interval, or the bootstrap over tasks where tasks were tried more than once.

    Repeats of a task are not new tasks: with few tasks the interval is that of so many single trials.
    """
    scores = by_task(trials)
    every = [s for task in scores.values() for s in task]
    if not every:
        return None, None
    mean = sum(every) / len(every)
    if len(every) > len(scores) >= ENOUGH_TASKS:
        return mean, cluster_bootstrap(scores)
    return mean, wilson(mean, len(scores))


def versus(old: Sequence[Trial], new: Sequence[Trial]) -> Comparison:
    return compare(by_task(old), by_task(new))


def in_words(found: Comparison) -> str:
    """+1.8 (14 gained, 10 lost, p 0.54: not separable)."""
    if not found.tasks:
        return "no task in common"
    verdict = "separable" if found.separable else "not separable"
    return (
        f"{report.signed(found.difference)} ({len(found.gained)} gained, {len(found.lost)} lost, "
        f"{p_value(found.p)}: {verdict})"
    )


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.2f}" if p >= 0.095 else f"p {p:.3f}"


def complete_agents(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Agent names for the shell, with score and summary; silent where there is nothing to read."""
    import os
    from pathlib import Path

    from sica.errors import SicaError

    del ctx
    try:
        reading = Reading.of(Invocation(Path.cwd(), dict(os.environ)))
        rows = reading.rows(reading.benchmark("core"))
    except SicaError:
        return []  # completion has no place to put an error
    return [
        (name, f"{report.percent(row.score)}  {row.subject}")
        for row in rows
        for name in (str(row.agent), row.name)
        if name.startswith(incomplete)
    ]
