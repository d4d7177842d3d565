"""Every policy file, on frozen archives."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from archives import archive
from hypothesis import given
from hypothesis import strategies as st

import sica.policies
from sica.model import Archive, Check, Evaluate, Improve
from sica.ports import Policy

NAMES = sorted(p.stem for p in Path(sica.policies.__file__).parent.glob("[a-z]*.py"))


@pytest.fixture(params=NAMES)
def policy(request: pytest.FixtureRequest) -> Policy:
    found: Policy = importlib.import_module(f"sica.policies.{request.param}").policy
    return found


archives = st.integers(1, 4).flatmap(
    lambda tasks: st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=tasks, max_size=tasks),
        min_size=1,
        max_size=5,
    ).map(lambda rows: archive({chr(97 + i): row for i, row in enumerate(rows)}))
)


@given(known=archives, seed=st.integers(0, 99))
@pytest.mark.parametrize("name", NAMES)
def test_steps_name_what_exists_and_repeat_by_seed(name: str, known: Archive, seed: int) -> None:
    policy: Policy = importlib.import_module(f"sica.policies.{name}").policy
    steps = list(policy(known, Random(seed)))
    assert steps == list(policy(known, Random(seed)))
    for step in steps:
        match step:
            case Evaluate():
                assert step.agent in known.agents
                assert step.task in {t.digest for t in known.tasks}
            case Improve():
                assert known.agents[step.parent].standing == "ready"
            case Check():
                raise AssertionError("the gate is the loop's affair")


def test_what_is_missing_is_measured_first(policy: Policy) -> None:
    steps = policy(archive({"a": [1, 1], "b": [1]}), Random(0))
    assert list(steps) == [Evaluate("b", "d-t1", 0)]


def test_a_fault_is_asked_again_and_never_counted_as_zero(policy: Policy) -> None:
    steps = policy(archive({"a": [1, None]}), Random(0))
    assert list(steps) == [Evaluate("a", "d-t1", 0)]


def test_a_trial_that_keeps_failing_is_given_up(policy: Policy) -> None:
    known = archive({"a": [1, None]})
    broken = known.trials["tree-a"][1]
    for _ in range(3):
        known = known.plus(broken)
    assert [type(s) for s in policy(known, Random(0))] == [Improve]


def test_steps_in_flight_are_not_asked_twice(policy: Policy) -> None:
    known = archive({"a": [1, 1], "b": []})
    first = policy(known, Random(0))[0]
    assert first not in policy(known.starting(first), Random(0))


def test_two_improvements_of_one_parent_are_told_apart(policy: Policy) -> None:
    known = archive({"a": [1, 0]})
    first = policy(known, Random(0))[0]
    second = policy(known.starting(first), Random(0))[0]
    assert (first, second) == (Improve("a", 0), Improve("a", 1))


def test_a_strictly_better_agent_is_improved(policy: Policy) -> None:
    (step,) = policy(archive({"a": [0] * 30, "b": [1] * 30}, parents={"b": "a"}), Random(0))
    assert isinstance(step, Improve)
    assert step.parent == "b"


def test_rejected_agents_are_never_parents(policy: Policy) -> None:
    known = archive({"a": [0.5], "b": [1]})
    rejected = replace(known.agents["b"], standing="rejected")
    (step,) = policy(replace(known, agents={**known.agents, "b": rejected}), Random(0))
    assert step == Improve("a", 0)


def test_greedy_is_not_fooled_by_one_lucky_trial() -> None:
    from sica.policies.greedy import policy as greedy

    known = archive({"a": [1.0] * 9 + [0.0], "b": [1.0]})
    known = replace(known, tasks=known.tasks[:1])  # b is fully measured on the one task that is left
    (step,) = greedy(known, Random(0))
    assert isinstance(step, Improve)
    assert step.parent == "a"


def test_sica_takes_the_newest_that_is_not_separable_from_the_best() -> None:
    from sica.policies.sica import policy as sica_policy

    (step,) = sica_policy(archive({"a": [1] * 10, "b": [1] * 9 + [0], "c": [0] * 10}), Random(0))
    assert isinstance(step, Improve)
    assert step.parent == "b"
