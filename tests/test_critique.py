"""Critiques: of which trials, from what, at whose cost, and what becomes of one that fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from archives import agent, archive, task, trial
from conftest import World, skilled
from doors import ScriptedGateway, said

from sica import critique, making
from sica.broker import HttpBroker
from sica.critique import Critic
from sica.errors import ProviderError
from sica.loop import evolve
from sica.model import Budget, Finished, Stopped, Trial
from sica.ports import Asked, Price

SECRET = "xq7-hidden-expected-value"


def run(world: World, gateway: ScriptedGateway, budget: Budget) -> list[Any]:
    world.seed(skilled())
    with HttpBroker(
        gateway, runtime=world.root / "rt", record=world.ledger.call, cap=Budget(usd=1.0)
    ) as broker:
        world.run = world.ledger.start_run({"test": True}).id
        place = replace(world.place, broker=broker, model="offline")
        critic = Critic("critic", budget, place, world.ledger, world.traces.read)
        plan = world.plan(children=0)
        return list(critic.listening(evolve(plan, place, world.ledger, world.archive(plan))))


def trials(events: list[Any]) -> list[Trial]:
    return [e.outcome for e in events if isinstance(e, Finished) and isinstance(e.outcome, Trial)]


def test_every_train_trial_is_criticised_once_and_the_improver_reads_it(world: World) -> None:
    gateway = ScriptedGateway(
        lambda asked: said("It never looked at the file."), {"offline": Price(0, 0), "critic": Price(0, 1e-3)}
    )
    events = run(world, gateway, Budget(usd=0.6, calls=2))
    made = trials(events)
    assert {world.ledger.critique(t.session) for t in made} == {"It never looked at the file."}
    calls = [c for c in world.ledger.calls() if c.role == "critique"]
    assert len(calls) == len(made) and all(c.usage.usd > 0 and c.task for c in calls)
    known = making.known(world.repo, world.traces.read, world.ledger.critique)
    plan = world.plan()
    found = world.archive(plan)
    rows = known(next(iter(found.agents.values())), found)["trials.jsonl"].data.splitlines()
    assert {json.loads(row)["critique"] for row in rows} == {"It never looked at the file."}


@pytest.mark.parametrize("budget", [Budget(usd=1e-9), Budget(usd=0.6)])
def test_a_critique_that_fails_changes_nothing_of_the_run(world: World, budget: Budget) -> None:
    def script(asked: Asked) -> Mapping[str, Any]:
        raise ProviderError("down", transient=False)

    gateway = ScriptedGateway(script, {"offline": Price(0, 0), "critic": Price(0, 1e-3)})
    events = run(world, gateway, budget)
    assert isinstance(events[-1], Stopped) and events[-1].reason == "done"
    made = trials(events)
    assert len(made) == 3 and {t.fault for t in made} == {None}
    assert {world.ledger.critique(t.session) for t in made} == {""}


def test_only_scored_trials_of_the_train_split_are_criticised() -> None:
    known = archive({"a": [1]})
    who, held = agent(0), task("held", split="heldout")
    known = replace(known, tasks=(*known.tasks, held))
    traced = replace(trial(who, known.tasks[0], 1.0), trace="sha256:1")
    assert critique.wanted(known, traced)
    assert not critique.wanted(known, replace(traced, digest=held.digest))
    assert not critique.wanted(known, replace(traced, score=None, fault="infra"))


def test_the_critic_is_told_nothing_that_the_grader_knows() -> None:
    events: list[Mapping[str, Any]] = [
        {"type": "start", "task": SECRET},
        {"type": "message", "hash": "1", "body": {"role": "user", "content": "Mend it."}},
        {"type": "request", "messages": ["1"], "span": ""},
        {"type": "request", "messages": ["1"], "span": ""},
        {"type": "stdout", "text": "ended: step limit"},
        {"type": "grade", "log": SECRET},
    ]
    one = replace(
        trial(agent(0), task("t"), 0.25),
        detail={"log": SECRET, "checks": {SECRET: 0.0}},
        why="ended by itself",
    )
    asked = json.dumps(critique.messages(one, events))
    assert SECRET not in asked
    assert (
        asked.count("Mend it.") == 1
        and "step limit" in asked
        and "Score 0.25 of 1. It ended by itself." in asked
    )
