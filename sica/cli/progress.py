"""What a run is doing, from the loop's events: lines to grep in a pipe, a picture that redraws on a terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sica import report
from sica.cli.signals import tell
from sica.model import (
    Agent,
    Archive,
    Check,
    Evaluate,
    Event,
    Finished,
    Improve,
    Improvement,
    Merge,
    Outcome,
    Promoted,
    Started,
    Step,
    Stopped,
    Trial,
    Verdict,
)
from sica.stats import wilson

PHASES = {Improve: "improve", Merge: "merge", Check: "check", Evaluate: "evaluate"}


class Progress(Protocol):
    def event(self, event: Event) -> None: ...

    def interrupted(self, words: str) -> None: ...

    def abandoned(self) -> None: ...


@dataclass
class State:
    """What both renderings know of a run, kept from the events alone."""

    run: str
    cap: float | None
    children: int
    spent: Callable[[], float]
    archive: Archive | None = None
    began: float = field(default_factory=time.time)
    at_work: dict[Step, float] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    made: int = 0

    def take(self, event: Event) -> None:
        self.archive = event.archive
        match event:
            case Started():
                self.at_work[event.step] = event.at
            case Finished():
                self.at_work.pop(event.step, None)
                if isinstance(event.outcome, Improvement) and not _broken(event.outcome):
                    self.made += 1
                if words := self.news(event.outcome):
                    self.recent.append(words)
            case Promoted():
                self.recent.append(
                    f"{self.name(event.promotion.agent)}  is the new best: {event.promotion.why}"
                )

    def news(self, outcome: Outcome) -> str:
        """What is worth a line when it has happened; single trials are not."""
        match outcome:
            case Improvement(child=Agent() as child):
                way = "merged from" if outcome.other else "made by"
                who = self.name(outcome.parent) + (
                    f" and {self.name(outcome.other)}" if outcome.other else ""
                )
                return f"{child.name}  {way} {who}: {report.clean(child.subject)}"
            case Improvement():
                why = report.clean(outcome.why) or outcome.ending
                who = self.name(outcome.parent) + (
                    f" and {self.name(outcome.other)}" if outcome.other else ""
                )
                return f"{who}  made no child: {why}"
            case Verdict(passed=False):
                return f"{self.name(outcome.agent)}  rejected: {report.clean(outcome.reason)}"
        return ""

    def name(self, commit: str) -> str:
        agent = self.archive.agents.get(commit) if self.archive else None
        return agent.name if agent else commit[:8]

    def about(self, step: Step) -> str:
        match step:
            case Improve():
                return self.name(step.parent)
            case Merge():
                return f"{self.name(step.parent)} and {self.name(step.other)}"
            case Check():
                return self.name(step.agent)
            case Evaluate():
                return f"{self.name(step.agent)}  {self.task(step.task)}"

    def task(self, digest: str) -> str:
        tasks = self.archive.tasks if self.archive else ()
        found = next((t.id for t in tasks if t.digest == digest), digest[:12])
        return report.clean(found)

    def measured(self, commit: str) -> tuple[int, int, int, int]:
        """Of an agent's wanted trials: done, wanted, solved, with a fault."""
        assert self.archive is not None
        wanted = len(self.archive.tasks) * self.archive.attempts
        trials = self.archive.trials.get(self.archive.agents[commit].tree, ())
        scored = [t.score for t in trials if t.score is not None and t.attempt < self.archive.attempts]
        return len(scored), wanted, sum(s >= 1 for s in scored), sum(t.score is None for t in trials)

    def score(self, commit: str) -> tuple[float | None, report.Interval | None]:
        if self.archive is None or commit not in self.archive.agents:
            return None, None
        scores = [t.score for t in self.archive.scored(commit) if t.score is not None]
        if not scores:
            return None, None
        mean = sum(scores) / len(scores)
        return mean, wilson(mean, len(scores))


def _broken(made: Improvement) -> bool:
    return made.ending in ("infra", "provider", "cancelled")


class Lines:
    """One line an event: time, then key=value; for pipes and CI."""

    def __init__(self, state: State, say: Callable[[str], None]) -> None:
        self.state = state
        self.say = say

    def event(self, event: Event) -> None:
        self.state.take(event)
        match event:
            case Started(step=Evaluate()):
                return  # its end says as much
            case Started():
                self._line(event.at, PHASES[type(event.step)], self._subject(event.step), "started")
            case Finished():
                self._line(
                    event.at, PHASES[type(event.step)], self._subject(event.step), self._came(event.outcome)
                )
            case Promoted():
                number = self.state.name(event.promotion.agent).removeprefix("agent/")
                self._line(event.at, "promote", f"agent={number}", report.clean(event.promotion.why))
            case Stopped():
                self._line(event.at, "stop", "", f"reason={event.reason} spent={self.state.spent():.4f}")

    def interrupted(self, words: str) -> None:
        tell(words)

    def abandoned(self) -> None:
        pass

    def _line(self, at: float, phase: str, subject: str, rest: str) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        self.say(
            " ".join(x for x in (clock, f"run={self.state.run}", f"phase={phase:<8}", subject, rest) if x)
        )

    def _subject(self, step: Step) -> str:
        commit = step.parent if isinstance(step, Improve | Merge) else step.agent
        subject = f"agent={self.state.name(commit).removeprefix('agent/')}"
        if isinstance(step, Evaluate):
            subject += f" task={self.state.task(step.task)} attempt={step.attempt}"
        if isinstance(step, Merge):
            subject += f" with={self.state.name(step.other).removeprefix('agent/')}"
        return subject

    def _came(self, outcome: Outcome) -> str:
        match outcome:
            case Trial():
                done, wanted, _, _ = self.state.measured(outcome.agent)
                result = f"fault={outcome.fault}" if outcome.score is None else f"score={outcome.score:.3g}"
                why = f" why={report.clean(outcome.why)!r}" if outcome.score is None else ""
                return (
                    f"{result} ending={outcome.ending} done={done}/{wanted} cost={outcome.usage.usd:.4f}{why}"
                )
            case Improvement(child=Agent() as child):
                return f"ok child={child.number} cost={outcome.usage.usd:.4f} subject={report.clean(child.subject)!r}"
            case Improvement():
                return f"none ending={outcome.ending} cost={outcome.usage.usd:.4f} why={report.clean(outcome.why)!r}"
            case Verdict():
                passed = "ok" if outcome.passed else f"rejected why={report.clean(outcome.reason)!r}"
                return f"{passed} cost={outcome.usage.usd:.4f}"
        return ""


class Picture:
    """The same, redrawn in place; made anew at every draw, so that a resized terminal is simply the next size."""

    def __init__(self, state: State, look: report.Look, width: Callable[[], int]) -> None:
        self.state = state
        self.look = look
        self.width = width
        self.note = ""

    def event(self, event: Event) -> None:
        self.state.take(event)

    def interrupted(self, words: str) -> None:
        self.note = words.strip()

    def abandoned(self) -> None:
        """The process ends at once, so nobody else gives the terminal its cursor back."""
        tell("\x1b[?25h\r\nleft at once; finished work is kept")

    def __rich__(self) -> Any:
        from rich.text import Text

        return Text.from_ansi("\n".join(self.lines()), no_wrap=True, overflow="crop")

    def lines(self) -> Iterator[str]:
        width = self.width() - 1
        for line in self._all():
            yield line if "\x1b" in line else report.cut(line, width, self.look.glyphs.more)

    def _all(self) -> Iterator[str]:
        state, paint = self.state, self.look.paint
        yield from self._head()
        yield ""
        steps = sorted(state.at_work.items(), key=lambda item: item[1])
        for step, since in steps[:8]:
            phase = PHASES[type(step)]
            clock = report.duration(time.time() - since)
            yield report.cut(f"{'>'} {phase:<9} {state.about(step)}  {clock}", self.width() - 1)
        if len(steps) > 8:
            yield f"  {len(steps) - 8} more"
        yield from self._measuring()
        if state.recent:
            yield ""
            yield from (report.cut("  " + line, self.width() - 1) for line in state.recent)
        yield ""
        yield paint("dim", report.cut(self.note or "Ctrl-C stop now, work is kept", self.width() - 1))

    def _head(self) -> Iterator[str]:
        state = self.state
        elapsed = time.time() - state.began
        made = (
            f"{state.made} of {report.plural(state.children, 'improvement')}"
            if state.children
            else "measuring"
        )
        yield f"{state.run}  {made}  {report.duration(elapsed)}"
        spent = state.spent()
        if state.cap is not None:
            shown = report.bar(spent / state.cap, 24, self.look.glyphs)
            yield f"spent    {report.money(spent)} of {report.money(state.cap)}  {shown}"
        elif spent:
            yield f"spent    {report.money(spent)}"
        if state.archive and state.archive.champion:
            score, interval = state.score(state.archive.champion)
            yield f"best     {state.name(state.archive.champion)}  {report.with_interval(score, interval)}"

    def _measuring(self) -> Iterator[str]:
        state = self.state
        if state.archive is None:
            return
        good, bad = ("✓", "✗") if self.look.glyphs is report.UNICODE else ("ok", "not")
        for commit in dict.fromkeys(s.agent for s in state.at_work if isinstance(s, Evaluate)):
            done, wanted, solved, faults = state.measured(commit)
            shown = report.bar(done / wanted if wanted else 0, 16, self.look.glyphs)
            text = f"  {state.name(commit)}  {done}/{wanted}  {shown}  {solved} {good}  {done - solved} {bad}"
            yield text + (f"  {faults} !" if faults else "")


@contextmanager
def shown(
    state: State, *, live: bool, look: report.Look, width: Callable[[], int], say: Callable[[str], None]
) -> Iterator[Progress]:
    """The rendering that suits: a picture for a person, lines for everything else."""
    if not live:
        yield Lines(state, say)
        return
    from rich.console import Console
    from rich.live import Live

    picture = Picture(state, look, width)
    console = Console(stderr=True, highlight=False, markup=False)
    with Live(picture, console=console, refresh_per_second=4, transient=True, redirect_stdout=False):
        yield picture


def summary(state: State, reason: str, resume: str, first: Sequence[str]) -> Iterator[str]:
    """What is said at the end of a run."""
    words = {
        "done": "done",
        "budget": "stopped: the budget is reached",
        "time": "stopped: the time is up",
        "interrupted": "interrupted",
    }
    yield f"{state.run} {words.get(reason, reason)}"
    if state.archive and state.archive.champion:
        score, interval = state.score(state.archive.champion)
        yield f"best   {state.name(state.archive.champion)}  {report.with_interval(score, interval)}"
    yield f"spent  {report.money(state.spent())}   {report.duration(time.time() - state.began)}"
    if reason != "done":
        more = ", with a higher cap" if reason in ("budget", "time") else ""
        yield f"Continue:  {resume}{more}   (everything finished is kept)"
    yield "Inspect:   " + " · ".join(first)
