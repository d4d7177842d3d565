"""READ FIRST. The loop: everything known goes to a policy, its steps are performed, their outcomes become known.

    archive = everything known: agents (commits), tasks, trials, improvements, what is in flight
    policy(archive, rng) -> steps          pure; decides
    perform(step) -> outcome               touches git, boxes, models
    record the outcome, repeat

The archive is the only state. A killed run goes on by being started again: the policy sees what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from sica import champion, economy, gate, making, stopping
from sica.attempt import Workplace, trial
from sica.control import Controls
from sica.crew import Threads
from sica.dice import Dice
from sica.errors import SandboxError
from sica.model import (
    Archive,
    Budget,
    Check,
    Evaluate,
    Event,
    Finished,
    Improve,
    Limits,
    Merge,
    Outcome,
    Promoted,
    Started,
    Step,
    Stopped,
    Task,
    Trial,
    Waiting,
)
from sica.ports import Benchmark, Crew, Policy, Recorder

FAULTS_IN_A_ROW = 6
"""So many faults in a row are no accident: stop and say so, instead of spending the night on a broken machine."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to do."""

    policy: Policy
    benchmark: Benchmark
    tasks: Sequence[Task]
    smoke: Benchmark
    """The gate's tasks: every agent that works at all passes them."""
    known: making.Known
    workers: int = 2
    children: int = 4
    """Improvements to make in this run; 0 measures only."""
    race: bool = False
    """Whether a child that falls behind its parent is measured no further (sica/economy.py)."""
    proof: champion.Terms = field(default_factory=champion.Terms)
    """What a challenger has to show."""
    seed: int = 0
    improve_limits: Limits = field(default_factory=lambda: Limits(seconds=600))
    improve_budget: Budget = field(default_factory=lambda: Budget(calls=100))
    until: float = float("inf")
    """Unix time after which nothing new is started."""
    goal: stopping.Goal = field(default_factory=stopping.Goal)
    controls: Controls = field(default_factory=Controls)
    """What people ask while it goes."""

    @property
    def making(self) -> making.Terms:
        return making.Terms(self.improve_limits, self.improve_budget, self.seed, self.known)


def evolve(
    plan: Plan, place: Workplace, ledger: Recorder, archive: Archive, crew: Crew | None = None
) -> Iterator[Event]:
    """Run until the plan is done, its goal, a cap or the time is reached, or `place.cancel` is set; then Stopped.

    Every outcome is durable before its event is seen. Raises SandboxError when outcome after outcome fails
    outside the agents, CredentialsError when a key is refused; what was measured is kept.
    """
    reason, faults = "", 0
    archive = replace(archive, offers=economy.offers if plan.race else None)
    crew = crew or Threads(
        plan.workers,
        lambda step, archive: perform(step, archive, plan, plan.controls.at(step, place)),
    )
    with closing(crew):
        try:
            while True:
                for asked in plan.controls.look(archive):
                    archive = archive.plus(asked)
                if news := _crown(plan, place, ledger, archive):
                    archive = news.archive
                    yield news
                while crew.busy < plan.workers and not (reason := reason or _over(plan, place, archive)):
                    step, left = next(wanted(plan, archive), None), place.broker.left()
                    if step is None or not stopping.affordable(step, archive, plan.improve_budget, left):
                        reason = "budget" if step and not crew.busy else reason
                        break
                    archive = archive.starting(step)
                    crew.start(step, archive)
                    yield Started(step, archive, time.time())
                if not crew.busy:
                    if reason or not plan.controls.paused:
                        break
                    plan.controls.rest()
                for step, ended in crew.ended():
                    outcome, by_hand = plan.controls.settled(step, ended)
                    if outcome.fault == "cancelled" and not by_hand:
                        archive = archive.ending(step)
                        reason = reason or ("interrupted" if place.cancel.is_set() else "budget")
                        continue  # nothing was learnt; what it spent stands in the ledger's calls
                    ledger.record(outcome)
                    archive = archive.plus(outcome, of=step)
                    yield Finished(step, outcome, archive, time.time())
                    faults = faults + (not by_hand) if outcome.fault else 0
                    if faults >= FAULTS_IN_A_ROW:
                        raise SandboxError(
                            f"{faults} outcomes in a row failed outside the agents: {outcome.why}"
                        )
        except BaseException:
            place.cancel.set()  # leave no box running behind an error
            raise
    yield Stopped(reason or "done", archive, time.time())


def _crown(plan: Plan, place: Workplace, ledger: Recorder, archive: Archive) -> Promoted | Waiting | None:
    """Promote the agent that the archive's facts ask for, unless a person is to say yes first."""
    if not (won := champion.promotion(archive, plan.proof)):
        return None
    won = replace(won, at=time.time())
    match plan.controls.allows(won, archive):
        case "yes":
            place.repo.promote(archive.agents[won.agent])
            ledger.record(won)
            return Promoted(won, archive.plus(won), won.at)
        case "ask":
            return Waiting(won, archive, won.at)
    return None


def wanted(plan: Plan, archive: Archive) -> Iterator[Step]:
    """What to start next, most wanted first: the gate, a would-be champion's proof, then the policy's steps."""
    if plan.controls.paused:
        return
    for agent in archive.unchecked():
        if Check(agent.commit) not in archive.in_flight:
            yield Check(agent.commit)
    yield from champion.confirmations(archive, plan.proof)
    for step in plan.policy(archive, Dice(f"{plan.seed}:{archive.settled}:{len(archive.in_flight)}")):
        if not isinstance(step, Improve | Merge) or _making(archive) < plan.children:
            yield step


def _making(archive: Archive) -> int:
    """Improvements of this run, those in flight included."""
    return archive.made() + sum(isinstance(step, Improve | Merge) for step in archive.in_flight)


def perform(step: Step, archive: Archive, plan: Plan, place: Workplace) -> Outcome:
    """Do one step. A harness that fails becomes a fault in the outcome."""
    match step:
        case Check():
            return gate.check(archive.agents[step.agent], plan.smoke, place)
        case Evaluate():
            return evaluate(step, plan, place, archive)
        case Improve():
            return making.improve(step, plan.making, place, archive)
        case Merge():
            return making.merge(step, plan.making, place, archive)


def evaluate(step: Evaluate, plan: Plan, place: Workplace, archive: Archive) -> Trial:
    """One attempt of one agent at one task, judged in a box that it never saw."""
    agent = archive.agents[step.agent]
    task = next(t for t in plan.tasks if t.digest == step.task)
    return trial(place, agent, task, step.attempt, plan.benchmark, faults_before=archive.faults(step))


def _over(plan: Plan, place: Workplace, archive: Archive) -> str:
    if place.cancel.is_set():
        return "interrupted"
    if plan.controls.stopping:
        return "stopped"
    return "time" if time.time() >= plan.until else stopping.reached(archive, plan.goal, plan.proof)
