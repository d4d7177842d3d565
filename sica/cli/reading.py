"""What the reading commands read: the database, and git only where code or history is asked for."""

from __future__ import annotations

import os
import pwd
import shlex
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

from sica import report
from sica.cli import names
from sica.cli.invocation import Invocation
from sica.economy import Race, looks, races
from sica.errors import UsageError, no_such
from sica.ledger import SqliteLedger
from sica.model import Agent, Glimpse, Setting, Split, Summary, Trial
from sica.places import Places
from sica.report import Row
from sica.scoring import Attempted, by_task
from sica.scoring import in_words as in_words
from sica.scoring import paired as paired
from sica.scoring import versus as versus
from sica.stats import estimate, wilson

if TYPE_CHECKING:
    from sica.plots import Album
    from sica.repo import GitRepo


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
        found = next((name for name in names_of(asked or configured) if name in measured), None)
        if asked and not found:
            held = {summary.benchmark for summary in self.ledger.summaries(split="heldout")}
            if name := next((name for name in names_of(asked) if name in held), ""):
                raise UsageError(
                    f"of {report.clean(name)} only held-out tasks are measured, and they are in no score",
                    f"sica eval AGENT --bench {shlex.quote(report.clean(asked))} --split heldout shows them",
                )
            there = ", ".join(sorted(measured)) or "nothing"
            raise UsageError(
                f"nothing is measured on {report.clean(asked)!r}; measured is: {there}",
                f"sica eval best --bench {shlex.quote(report.clean(asked))}",
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
        races = self.races(benchmark)
        scores = self.ledger.scores(benchmark, sorted(family), self.setting(benchmark))

        def against_parent(row: Row) -> Row:
            if row.commit in races and row.status == "evaluated":
                row = replace(row, status="stopped", reason=races[row.commit].words)
            old, new = scores.get(commits[row.parents[0]], {}), scores.get(row.commit, {})
            found = paired(old, new)
            if not found.tasks:
                return row
            return replace(row, change=found.difference, separable=found.separable)

        known = [_estimated(row, scores.get(row.commit, {})) for row in rows]
        return [against_parent(row) if row.parents else row for row in known]

    def races(self, benchmark: str) -> Mapping[str, Race]:
        """By commit, the agents that the latest run measured no further (sica/economy.py).

        Raced were scores; where the run weighed cost or time as well, nothing is said. hgm races nobody.
        """
        run = next((r.config for r in reversed(self.ledger.runs()) if r.config.get("kind") == "evolve"), {})
        plain = {"score": 1.0, "cost": 0.0, "time": 0.0, "timeout_penalty": 0.0}
        weighed = {k: v for k, v in dict(run.get("utility") or {}).items() if k in plain and v != plain[k]}
        globs, attempts = str(run.get("task") or ""), int(run.get("attempts", 1))
        tasks = {t for t in self.ledger.wanted(benchmark) if names.meant(globs, t)}
        apart = str(run.get("policy", "")).partition(":")[0] == "hgm"
        if apart or not run.get("race") or weighed or not looks(len(tasks), attempts):
            return {}
        scores = self.ledger.scores(benchmark, [a.commit for a in self.agents], self.setting(benchmark))
        outcomes = {
            commit: {(d, n): score for (t, d, _, n), score in of.items() if t in tasks and n < attempts}
            for commit, of in scores.items()
        }
        found = races({a.commit: a.parents for a in self.agents}, outcomes, len(tasks), attempts)
        return {commit: race for commit, race in found.items() if race.stopped}

    def at_work(self, rows: Iterable[Row], benchmark: str) -> list[Row]:
        """The rows, those that a run is working on right now with how far it is."""
        from sica.runlock import is_held

        rows, runs = list(rows), self.ledger.runs()
        if not runs or runs[-1].ended is not None or not is_held(self.places.lock):
            return rows
        run, globs = runs[-1], str(runs[-1].config.get("task") or "")
        attempts = int(runs[-1].config.get("attempts", 1))
        tasks = {t for t in self.ledger.wanted(benchmark) if names.meant(globs, t)}
        here = self.ledger.seen_in(run.id)
        scores = self._scores(here, benchmark)

        def doing(row: Row) -> str:
            done = {(t, n) for t, _, _, n in scores.get(row.commit, {}) if t in tasks and n < attempts}
            wanted = len(tasks) * attempts
            if row.commit not in here or row.status in ("rejected", "stopped") or len(done) >= wanted:
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


def names_of(bench: str) -> tuple[str, ...]:
    """What a benchmark's scores may be kept under: core, core/fix-*, a folder, a file of tasks, one task's folder."""
    from sica.benchmarks import named, set_name

    asked = named(bench)
    place = PurePath(asked.place)
    return bench, asked.place.partition("/")[0], place.name, set_name(place.name), place.parent.name


def interval(summary: Summary) -> report.Interval | None:
    """Where only sums are at hand: Wilson's on the mean of n trials, as if each were another task's."""
    return None if summary.mean is None else wilson(summary.mean, summary.n)


def _estimated(row: Row, scores: Mapping[Attempted, float]) -> Row:
    known = estimate(by_task(scores).values())
    return row if known is None else replace(row, low=known.low, high=known.high, method=known.method)


def glimpse(call: Invocation, command: str, benchmark: str, agents: Iterable[Agent], scores: int) -> Glimpse:
    """That the user of this machine asks for so many held-out scores now. Record it before the first is shown."""
    try:
        who = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        who = call.environ.get("USER") or str(os.getuid())
    return Glimpse(time.time(), who, command, benchmark, tuple(a.commit for a in agents), scores)
