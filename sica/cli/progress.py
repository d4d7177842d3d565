"""What a run is doing, from the loop's events: lines to grep in a pipe, a picture that redraws on a terminal."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from sica import forecast, report
from sica.cli.reading import versus
from sica.cli.signals import tell
from sica.cli.terminal import in_front
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
    Waiting,
)
from sica.stats import estimate
from sica.watch import Watch

PHASES = {Improve: "improve", Merge: "merge", Check: "check", Evaluate: "evaluate"}
MANY = 3
"""Lines of one phase; a run with many workers may be at more agents at once."""


class Progress(Protocol):
    def event(self, event: Event) -> None: ...

    def interrupted(self, words: str) -> None: ...

    def abandoned(self) -> None: ...


class Controls(Protocol):
    """How a run is steered while it goes on; others may do it too, so what was asked is read off here."""

    paused: bool
    stopping: bool

    def pause(self) -> None:
        """Start nothing new."""

    def resume(self) -> None: ...

    def stop(self) -> None:
        """End the run after what is running."""


# ── what is seen ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Best:
    name: str
    score: float
    low: float
    high: float
    change: float | None
    seed: str
    """The agent that the change is against; "" when it is this one."""


@dataclass(frozen=True, slots=True)
class Count:
    """How far an agent's evaluation is."""

    done: int
    wanted: int
    solved: int
    faults: int
    mean: float | None
    eta: float | None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Phase:
    name: str
    subject: str
    running: bool
    seconds: float = 0.0
    usd: float = 0.0
    count: Count | None = None
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Worker:
    slot: int
    what: str
    turn: int
    doing: str
    seconds: float
    usd: float


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was ahead when the archive was this."""

    archive: Archive
    rest: forecast.Estimate
    pace: float
    until: float
    """When it may be worked out anew."""


# ── what is known ─────────────────────────────────────────────────────────────────────────────────


def _nothing_known(old: str, new: str) -> str:
    del old, new
    return ""


@dataclass
class State:
    """What every rendering knows of a run, from the loop's events and the boxes' own. Safe from any thread."""

    run: str
    cap: float | None
    children: int
    spent: Callable[[], float]
    archive: Archive
    watch: Watch = field(default_factory=Watch)
    workers: int = 1
    confirm: int = 0
    before: float = 0.0
    """Dollars that earlier sittings of the run spent."""
    attempts: range | None = None
    """Which attempts at each task are wanted; None: the archive's."""
    change: Callable[[str, str], str] = _nothing_known
    """git's --shortstat between two commits."""
    controls: Controls | None = None
    keys: bool = False
    """Whether somebody can type."""
    began: float = field(default_factory=time.time)
    at_work: dict[Step, float] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    made: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._seats: dict[Step, int] = {}
        self._last: dict[str, Phase] = {}
        self._took: list[float] = []
        self._told = {commit for commit in self.archive.agents if self._is_measured(commit)}
        self._ahead: Ahead | None = None
        self._best: tuple[object, Best | None] = (None, None)

    def take(self, event: Event) -> None:
        with self._lock:
            self.archive = event.archive
            match event:
                case Started():
                    self.at_work[event.step] = event.at
                    self._seats[event.step] = self._free_seat()
                    if isinstance(event.step, Improve):
                        there = report.plural(len(event.archive.agents), "agent")
                        self._last["select"] = Phase(
                            "select", self.name(event.step.parent), False, rest=f"of {there}"
                        )
                case Finished():
                    self._finish(event)
                case Promoted():
                    name = self.name(event.promotion.agent)
                    self.recent.append(f"{name}  is the new best: {report.clean(event.promotion.why)}")
                case Waiting():
                    self.recent.append(f"{self.name(event.promotion.agent)}  waits for you: sica review")

    def _finish(self, event: Finished) -> None:
        began = self.at_work.pop(event.step, event.at)
        self._seats.pop(event.step, None)
        self.watch.forget(event.step, self.archive.tasks)
        seconds, outcome = event.at - began, event.outcome
        match outcome:
            case Improvement():
                self.made += not outcome.fault
                self._last["improve"] = self._improved(outcome, seconds)
            case Verdict():
                words = "ok" if outcome.passed else "rejected"
                self._last["check"] = Phase(
                    "check", self.name(outcome.agent), False, seconds, outcome.usage.usd, rest=words
                )
            case Trial():
                self._took.append(seconds)
        if words := self.news(outcome):
            self.recent.append(words)

    def _improved(self, made: Improvement, seconds: float) -> Phase:
        if made.child is None:
            return Phase(
                "improve", self.name(made.parent), False, seconds, made.usage.usd, rest=f"none: {made.ending}"
            )
        rest = in_short(self.change(made.parent, made.child.commit))
        return Phase("improve", made.child.name, False, seconds, made.usage.usd, rest=rest)

    def _free_seat(self) -> int:
        taken = set(self._seats.values())
        return next(n for n in range(1, len(taken) + 2) if n not in taken)

    @property
    def mode(self) -> str:
        """What was asked for, or ""."""
        if self.controls is None:
            return ""
        waits = " after what is running" if self.at_work else ""
        if self.controls.stopping:
            return f"stopping{waits}"
        return f"paused{waits}" if self.controls.paused else ""

    def steer(self, key: str) -> None:
        """p pauses or goes on, s stops; nothing where nobody can steer."""
        if self.controls is None or self.controls.stopping:
            return
        if key == "s":
            self.controls.stop()
        elif self.controls.paused:
            self.controls.resume()
        else:
            self.controls.pause()

    def news(self, outcome: Outcome) -> str:
        """What is worth a line when it has happened; single trials are not, the last one of an agent is."""
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
            case Trial() if outcome.agent not in self._told and self._is_measured(outcome.agent):
                self._told.add(outcome.agent)
                agent = self.archive.agents[outcome.agent]
                score, _ = self.score(agent.commit)
                gain = self._gain(agent.parents[0], agent.commit) if agent.parents else None
                words = "  ".join(w for w in (report.percent(score), report.signed(gain)) if w)
                return f"{agent.name}  {words}  {report.clean(agent.subject)}"
        return ""

    # ── words ─────────────────────────────────────────────────────────────────────────────────────

    def name(self, commit: str) -> str:
        agent = self.archive.agents.get(commit)
        return agent.name if agent else commit[:8]

    def task(self, digest: str) -> str:
        found = next((t.id for t in self.archive.tasks if t.digest == digest), digest[:12])
        return report.clean(found)

    def _what(self, step: Step) -> str:
        match step:
            case Improve():
                return f"{self.name(step.parent)} writes its child"
            case Merge():
                return f"{self.name(step.parent)} merges {self.name(step.other)}"
            case Check():
                return f"{self.name(step.agent)} at the gate"
            case Evaluate():
                name = self.task(step.task)
                attempt = f" #{step.attempt}" if step.attempt else ""
                agents = {s.agent for s in self.at_work if isinstance(s, Evaluate)}
                return name + attempt + (f" {self.name(step.agent)}" if len(agents) > 1 else "")

    # ── numbers ───────────────────────────────────────────────────────────────────────────────────

    def _wanted(self) -> range:
        return self.attempts or range(self.archive.attempts)

    def _is_measured(self, commit: str) -> bool:
        return self.archive.measured(commit, self._wanted())

    def measured(self, commit: str) -> Count:
        """Of an agent's wanted trials."""
        attempts = self._wanted()
        wanted = len(self.archive.tasks) * len(attempts)
        trials = self.archive.trials.get(self.archive.agents[commit].tree, ())
        scores = [t.score for t in trials if t.score is not None and t.attempt in attempts]
        faults = sum(t.score is None for t in trials)
        mean = sum(scores) / len(scores) if scores else None
        left = wanted - len(scores)
        eta = left * sum(self._took) / len(self._took) / max(1, self.workers) if self._took and left else None
        return Count(len(scores), wanted, sum(s >= 1 for s in scores), faults, mean, eta)

    def score(self, commit: str) -> tuple[float | None, report.Interval | None]:
        if commit not in self.archive.agents:
            return None, None
        scores: dict[str, list[float]] = {}
        for trial in self.archive.scored(commit):
            scores.setdefault(trial.digest, []).append(trial.score or 0.0)
        found = estimate(scores.values())
        return (found.mean, (found.low, found.high)) if found else (None, None)

    def _gain(self, old: str, new: str) -> float | None:
        if old not in self.archive.agents:
            return None
        found = versus(self.archive.scored(old), self.archive.scored(new))
        return found.difference if found.tasks else None

    def best(self) -> Best | None:
        with self._lock:
            champion = self.archive.agents.get(self.archive.champion)
            if champion is None:
                return None
            trials = self.archive.scored(champion.commit)
            if self._best[0] is not trials:
                self._best = (trials, self._best_now(champion))
            return self._best[1]

    def _best_now(self, champion: Agent) -> Best | None:
        score, interval = self.score(champion.commit)
        if score is None or interval is None:
            return None
        seed = next(iter(self.archive.agents.values()))
        change = self._gain(seed.commit, champion.commit) if seed.commit != champion.commit else None
        return Best(champion.name, score, *interval, change, seed.name if change is not None else "")

    def outlook(self, now: float) -> forecast.Forecast:
        """Where the run will end, from what is known of what is ahead."""
        ahead = self._known_ahead(now)
        return forecast.forecast(
            ahead.rest,
            spent=self.spent(),
            spent_before=self.before,
            elapsed=now - self.began,
            pace=ahead.pace,
            cap=self.cap,
        )

    def _known_ahead(self, now: float) -> Ahead:
        """It looks at every trial there is, so it is worked out anew only once in a while, and takes 5 % at most."""
        known = self._ahead
        if known is None or (known.archive is not self.archive and now >= known.until):
            archive, began = self.archive, time.perf_counter()
            work = forecast.ahead(archive, self.children, self.confirm)
            improved = forecast.improving(archive.improvements)
            rest = forecast.estimate(work, forecast.samples(archive), improved)
            pace = forecast.pace(archive, self.began, now, self.workers)
            took = time.perf_counter() - began
            self._ahead = known = Ahead(archive, rest, pace, now + max(1.0, 20 * took))
        return known

    # ── what goes on ──────────────────────────────────────────────────────────────────────────────

    def seats(self, now: float) -> list[Worker]:
        """By seat, so that a line stays where it is as long as its work goes on."""
        with self._lock:
            seats = sorted(self._seats.items(), key=lambda item: item[1])
            return [self._worker(step, seat, now) for step, seat in seats]

    def _worker(self, step: Step, seat: int, now: float) -> Worker:
        box = self.watch.box(step, self.archive.tasks)
        seconds = now - self.at_work[step]
        if box is None:
            return Worker(seat, self._what(step), 0, "preparing", seconds, 0.0)
        return Worker(seat, self._what(step), box.calls, report.clean(box.doing), seconds, box.usd)

    def phases(self, now: float) -> list[Phase]:
        """The story of the newest child: what is running, and what was done for it before."""
        with self._lock:
            found = [self._last["select"]] if "select" in self._last else []
            for kind in (Improve, Merge, Check):
                running = [s for s in self.at_work if isinstance(s, kind)]
                found += [self._running(step, now) for step in running[:MANY]]
                if not running and PHASES[kind] in self._last:
                    found.append(self._last[PHASES[kind]])
            agents = dict.fromkeys(s.agent for s in self.at_work if isinstance(s, Evaluate))
            found += [phase for commit in list(agents)[:MANY] for phase in self._evaluating(commit)]
            if len(agents) > MANY:
                found.append(Phase("evaluate", f"{len(agents) - MANY} more agents", True))
            return found

    def _running(self, step: Improve | Merge | Check, now: float) -> Phase:
        worker = self._worker(step, 0, now)
        commit = step.agent if isinstance(step, Check) else step.parent
        return Phase(PHASES[type(step)], self.name(commit), True, worker.seconds, worker.usd)

    def _evaluating(self, commit: str) -> Iterator[Phase]:
        agent, count = self.archive.agents[commit], self.measured(commit)
        wanted = self._wanted()
        trials = [t for t in self.archive.trials.get(agent.tree, ()) if t.attempt in wanted]
        usd = sum(t.usage.usd for t in trials)
        proof = "proof on fresh attempts" if count.done >= count.wanted else ""
        yield Phase("evaluate", agent.name, True, usd=usd, count=count, rest=proof)
        if agent.parents and agent.parents[0] in self.archive.agents and count.done:
            here = {(t.task, t.attempt) for t in trials if t.score is not None}
            there = [t.score for t in self.archive.scored(agent.parents[0]) if (t.task, t.attempt) in here]
            known = [s for s in there if s is not None]
            if known:
                words = f"at the same {len(known)}: {report.percent(sum(known) / len(known))}"
                yield Phase("", "", False, rest=f"parent {self.name(agent.parents[0])} {words}")


def in_short(shortstat: str) -> str:
    """14 files  +210 -96."""
    found = {word: number for number, word in re.findall(r"(\d+) (file|insertion|deletion)", shortstat)}
    if "file" not in found:
        return ""
    lines = "".join(
        f" {sign}{found[word]}" for sign, word in (("+", "insertion"), ("-", "deletion")) if word in found
    )
    return report.plural(int(found["file"]), "file") + (" " + lines if lines else "")


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────


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
            case Waiting():
                number = self.state.name(event.promotion.agent).removeprefix("agent/")
                self._line(
                    event.at,
                    "approve",
                    f"agent={number}",
                    f"waits for a person: sica review {number} --approve",
                )
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
                return f"{self._scored(outcome)} {self._counted(outcome)}"
            case Improvement(child=Agent() as child):
                return f"ok child={child.number} cost={outcome.usage.usd:.4f} subject={report.clean(child.subject)!r}"
            case Improvement():
                return f"none ending={outcome.ending} cost={outcome.usage.usd:.4f} why={report.clean(outcome.why)!r}"
            case Verdict():
                passed = "ok" if outcome.passed else f"rejected why={report.clean(outcome.reason)!r}"
                return f"{passed} cost={outcome.usage.usd:.4f}"
        return ""

    def _scored(self, trial: Trial) -> str:
        if trial.score is not None:
            return f"score={trial.score:.3g} ending={trial.ending}"
        return f"fault={trial.fault} ending={trial.ending} why={report.clean(trial.why)!r}"

    def _counted(self, trial: Trial) -> str:
        count = self.state.measured(trial.agent)
        eta = f" eta={report.duration(count.eta)}" if count.eta else ""
        return (
            f"done={count.done}/{count.wanted} pass={count.solved} fail={count.done - count.solved} "
            f"error={count.faults} cost={trial.usage.usd:.4f}{eta}"
        )


@contextmanager
def shown(state: State, *, live: bool, look: report.Look, say: Callable[[str], None]) -> Iterator[Progress]:
    """The rendering that suits: a picture for a person, lines for everything else."""
    if not (live and in_front(sys.stderr.fileno())):
        yield Lines(state, say)
        return
    from sica.cli.picture import Picture

    keys = sys.stdin.fileno() if typed_on() else None
    state.keys = keys is not None
    picture = Picture(state, look, sys.stderr.encoding, keys)
    with picture.terminal.drawing():
        yield picture


def typed_on() -> bool:
    """Whether keys come from the terminal that shows the picture."""
    try:
        here, there = os.ttyname(sys.stdin.fileno()), os.ttyname(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False  # no terminal, or closed
    return here == there and in_front(sys.stdin.fileno())


def summary(state: State, why: str, resume: Sequence[str], first: Sequence[str]) -> Iterator[str]:
    """What is said at the end of a run: why it stopped, and how to go on if there is anything to go on with."""
    yield f"{state.run} {why}"
    if state.archive and state.archive.champion:
        score, interval = state.score(state.archive.champion)
        yield f"best   {state.name(state.archive.champion)}  {report.with_interval(score, interval)}"
    yield f"spent  {report.money(state.spent())}   {report.duration(time.time() - state.began)}"
    for word, line in zip(("Continue: ", "          "), resume, strict=False):
        yield f"{word} {line}"
    yield "Inspect:   " + " · ".join(first)
