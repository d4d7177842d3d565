"""READ FIRST. The loop: everything known goes to a policy, its steps are performed, their outcomes become known.

    archive = everything known: agents (commits), tasks, trials, improvements, what is in flight
    policy(archive, rng) -> steps          pure; decides
    perform(step) -> outcome               touches git, boxes, models
    record the outcome, repeat

The archive is the only state. A killed run goes on by being started again: the policy sees what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from sica import brief, champion, gate, stopping
from sica.attempt import Assignment, Workplace, seeded, trial, work
from sica.errors import SandboxError, UsageError
from sica.model import (
    Archive,
    Budget,
    Check,
    Evaluate,
    Event,
    Files,
    Finished,
    Improve,
    Improvement,
    Limits,
    Message,
    Outcome,
    Promoted,
    Started,
    Step,
    Stopped,
    Task,
    Trial,
)
from sica.ports import Benchmark, Policy, Recorder

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
    read_trace: Callable[[str], Iterable[Mapping[str, Any]]]
    workers: int = 2
    children: int = 4
    """Improvements to make in this run; 0 measures only."""
    confirm: int = 1
    """Fresh attempts that decide on a champion."""
    promote: champion.Rule = "mean"
    seed: int = 0
    improve_limits: Limits = field(default_factory=lambda: Limits(seconds=600))
    improve_budget: Budget = field(default_factory=lambda: Budget(calls=100))
    until: float = float("inf")
    """Unix time after which nothing new is started."""
    goal: stopping.Goal = field(default_factory=stopping.Goal)


def evolve(plan: Plan, place: Workplace, ledger: Recorder, archive: Archive) -> Iterator[Event]:
    """Run until the plan is done, its goal, a cap or the time is reached, or `place.cancel` is set; then Stopped.

    Every outcome is durable before its event is seen. Raises SandboxError when outcome after outcome fails
    outside the agents, CredentialsError when a key is refused; what was measured is kept.
    """
    running: dict[Future[Outcome], Step] = {}
    reason, faults = "", 0
    with ThreadPoolExecutor(plan.workers, thread_name_prefix="worker") as pool:
        try:
            while True:
                while len(running) < plan.workers and not (reason := reason or _over(plan, place, archive)):
                    step, left = next(wanted(plan, archive), None), place.broker.left()
                    if step is None or not stopping.affordable(step, archive, plan.improve_budget, left):
                        reason = "budget" if step and not running else reason
                        break
                    archive = archive.starting(step)
                    running[pool.submit(perform, step, plan, place, archive)] = step
                    yield Started(step, archive, time.time())
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(future)
                    archive, outcome = archive.ending(step), future.result()
                    if outcome.fault == "cancelled":
                        reason = reason or ("interrupted" if place.cancel.is_set() else "budget")
                        continue  # nothing was learnt; what it spent stands in the ledger's calls
                    ledger.record(outcome)
                    archive = archive.plus(outcome)
                    yield Finished(step, outcome, archive, time.time())
                    faults = faults + 1 if outcome.fault else 0
                    if faults >= FAULTS_IN_A_ROW:
                        raise SandboxError(
                            f"{faults} outcomes in a row failed outside the agents: {outcome.why}"
                        )
                if won := champion.promotion(archive, plan.confirm, plan.promote):
                    won = replace(won, at=time.time())
                    place.repo.promote(archive.agents[won.agent])
                    ledger.record(won)
                    archive = archive.plus(won)
                    yield Promoted(won, archive, won.at)
        except BaseException:
            place.cancel.set()  # leave no box running behind an error
            raise
    yield Stopped(reason or "done", archive, time.time())


def wanted(plan: Plan, archive: Archive) -> Iterator[Step]:
    """What to start next, most wanted first: the gate, a would-be champion's proof, then the policy's steps."""
    for agent in archive.agents.values():
        if agent.standing == "unchecked" and Check(agent.commit) not in archive.in_flight:
            yield Check(agent.commit)
    yield from champion.confirmations(archive, plan.confirm)
    made = sum(i.run == archive.run and not i.fault for i in archive.improvements)
    going = sum(isinstance(step, Improve) for step in archive.in_flight)
    for step in plan.policy(archive, Random(f"{plan.seed}:{archive.settled}:{len(archive.in_flight)}")):
        if not isinstance(step, Improve) or made + going < plan.children:
            yield step


def perform(step: Step, plan: Plan, place: Workplace, archive: Archive) -> Outcome:
    """Do one step. A harness that fails becomes a fault in the outcome."""
    match step:
        case Check():
            return gate.check(archive.agents[step.agent], plan.smoke, place)
        case Evaluate():
            return evaluate(step, plan, place, archive)
        case Improve():
            return improve(step, plan, place, archive)


def evaluate(step: Evaluate, plan: Plan, place: Workplace, archive: Archive) -> Trial:
    """One attempt of one agent at one task, judged in a box that it never saw."""
    agent = archive.agents[step.agent]
    task = next(t for t in plan.tasks if t.digest == step.task)
    return trial(place, agent, task, step.attempt, plan.benchmark, faults_before=archive.faults(step))


def improve(step: Improve, plan: Plan, place: Workplace, archive: Archive) -> Improvement:
    """The parent works on a checkout of its own code; what it leaves becomes a commit."""
    parent = archive.agents[step.parent]
    before = place.repo.files(parent.tree)
    made = work(
        place,
        parent,
        Assignment(
            role="improve",
            instruction=brief.instruction(parent, archive),
            workspace=brief.workspace(before),
            workdir="/app",
            limits=plan.improve_limits,
            budget=plan.improve_budget,
            seed=seeded(plan.seed, parent.tree, step.nth),
            beside=_evidence(parent.commit, plan, place, archive),
            about={"for": "improvement", "nth": step.nth},
        ),
    )
    told = Improvement(
        parent.commit, None, made.how, made.usage, made.trace, made.session, place.run, made.started, made.why
    )
    if made.how not in ("done", "agent_error"):
        return told  # a fault, or a limit that cut the work short: half a change is not measured
    after, note = brief.deliverable(made.left("/app"))
    if after == before:
        return replace(told, ending="empty", why=f"changed nothing; {made.why}")
    subject, body = brief.message(note, before, after)
    words = Message(subject, body, "self-edit", place.run, place.model, made.usage.usd, made.trace)
    try:
        return replace(told, child=place.repo.add(after, [parent], words), ending="child")
    except UsageError as error:
        return replace(told, ending="broken", why=str(error))


def _evidence(parent: str, plan: Plan, place: Workplace, archive: Archive) -> Files:
    trials = brief.shown(archive, parent)
    traces = {name: plan.read_trace(name) for name in brief.with_trace(trials)}
    known = brief.relevant(archive, parent)
    diffs = {a.commit: place.repo.diff(a.parents[0], a.commit) for a in known}
    return brief.beside(brief.evidence(trials, traces), brief.changes(archive, known, diffs))


def _over(plan: Plan, place: Workplace, archive: Archive) -> str:
    if place.cancel.is_set():
        return "interrupted"
    return "time" if time.time() >= plan.until else stopping.reached(archive, plan.goal, plan.confirm)
