"""When a run has enough, and what it may still start under its caps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from archives import agent, archive, task, trial

from sica.champion import Terms
from sica.model import Archive, Budget, Check, Evaluate, Improve, Improvement, Promotion, Usage
from sica.stopping import Goal, affordable, in_vain, reached, standing

# ── score ─────────────────────────────────────────────────────────────────────────────────────────


def confirmed(known: Archive, scores: Sequence[float], who: str = "a") -> Archive:
    """With the agent's fresh attempts, numbered from 1."""
    tree = known.agents[who].tree
    fresh = [trial(known.agents[who], t, s, 1) for t, s in zip(known.tasks, scores, strict=True)]
    return replace(known, trials={**known.trials, tree: (*known.trials[tree], *fresh)})


def test_the_seeds_own_attempts_count_since_nobody_chose_it() -> None:
    known = archive({"a": [1, 1, 1, 0]})
    assert standing(known, confirm=1) == 0.75
    assert reached(known, Goal(score=0.75), Terms(1, "mean")) == "score"
    assert reached(known, Goal(score=0.76), Terms(1, "mean")) == ""


def test_a_champion_counts_with_the_attempts_that_decided_on_it() -> None:
    known = confirmed(archive({"a": [1, 1, 1, 1]}), [1, 0, 0, 0])
    assert standing(known, confirm=1) == 0.25
    assert reached(known, Goal(score=0.9), Terms(1, "mean")) == ""
    assert standing(known, confirm=0) == 1.0


def test_an_unmeasured_champion_has_reached_nothing() -> None:
    assert standing(archive({"a": [1, 1], "b": [1]}, champion="b"), confirm=0) is None
    assert reached(archive({"a": []} | {"b": [1]}, champion="a"), Goal(score=0.0), Terms(0, "mean")) == ""


def test_no_score_is_reached_while_a_better_one_waits_for_its_confirmation() -> None:
    """The challenger might take over with less on fresh attempts: the run ends with a decision, not in the middle."""
    known = archive({"a": [1, 0], "b": [1, 1]})
    assert reached(known, Goal(score=0.5), Terms(1, "mean")) == ""
    going = known.starting(Evaluate("b", "d-t0", 1))
    assert reached(going, Goal(score=0.5), Terms(1, "mean")) == ""


# ── patience ──────────────────────────────────────────────────────────────────────────────────────


def tried(known: Archive, *children: str, started: float = 1.0, run: str = "r1") -> Archive:
    """Each child's improvement; "" is one that left none."""
    made = [
        Improvement(
            "a", known.agents[c] if c else None, "child" if c else "empty", Usage(), run=run, started=started
        )
        for c in children
    ]
    return replace(known, run="r1", improvements=(*known.improvements, *made))


def test_children_that_led_to_no_promotion_are_counted_when_they_are_measured() -> None:
    known = tried(archive({"a": [1, 1], "b": [0, 0], "c": [0]}), "b", "c", "")
    assert in_vain(known) == 2  # b was measured, c is not yet, and one left no child
    assert reached(known, Goal(patience=2), Terms(1, "mean")) == "patience"
    assert reached(known, Goal(patience=3), Terms(1, "mean")) == ""


def test_a_rejected_child_was_in_vain_and_a_fault_was_no_attempt() -> None:
    known = archive({"a": [1, 1], "b": []})
    known = replace(known, agents={**known.agents, "b": replace(known.agents["b"], standing="rejected")})
    known = tried(known, "b")
    fault = Improvement("a", None, "provider", Usage(), run="r1", started=1.0)
    assert in_vain(replace(known, improvements=(*known.improvements, fault))) == 1


def test_a_promotion_begins_the_count_anew_and_what_began_before_it_is_forgiven() -> None:
    known = tried(archive({"a": [0, 0], "b": [1, 1], "c": [0, 0]}), "b", "c", started=10.0)
    promoted = known.plus(Promotion("b", "better", "r1", at=20.0))
    assert in_vain(promoted) == 0
    assert in_vain(tried(promoted, "", started=30.0)) == 1


def test_improvements_of_other_runs_do_not_count() -> None:
    known = tried(archive({"a": [1, 1], "b": [0, 0]}), "b", run="r0")
    assert in_vain(known) == 0


def test_without_a_goal_nothing_is_ever_enough() -> None:
    assert reached(tried(archive({"a": [1]}), "", ""), Goal(), Terms(1, "mean")) == ""


# ── caps ──────────────────────────────────────────────────────────────────────────────────────────

T0, T1 = (task(f"t{n}", budget=Budget(usd=0.10, calls=10)) for n in range(2))
IMPROVING = Budget(usd=0.50, calls=50)


def known(**of: Sequence[float]) -> Archive:
    """An archive of tasks with caps of their own, with the trials' costs given by agent."""
    agents = {name: agent(n) for n, name in enumerate(of)}
    trials = {
        agents[name].tree: tuple(
            trial(agents[name], t, 1, n, usage=Usage(usd=usd, prompt_tokens=int(usd * 1e4), calls=4))
            for t in (T0, T1)
            for n, usd in enumerate(costs)
        )
        for name, costs in of.items()
    }
    return Archive(agents=agents, tasks=(T0, T1), trials=trials, champion="a", attempts=9)


STEP, OTHER = Evaluate("a", T0.digest, 5), Evaluate("a", T1.digest, 5)


def test_without_a_cap_everything_can_be_started() -> None:
    assert affordable(STEP, known(a=[0.05]), IMPROVING, Budget())


def test_beside_others_a_step_must_fit_at_the_most_that_all_of_them_can_use() -> None:
    busy = known(a=[0.01]).starting(OTHER)
    assert affordable(STEP, busy, IMPROVING, Budget(usd=0.20))
    assert not affordable(STEP, busy, IMPROVING, Budget(usd=0.19))
    assert not affordable(STEP, busy, IMPROVING, Budget(usd=9.0, calls=19))
    assert not affordable(Improve("a", 0), busy, IMPROVING, Budget(usd=0.59))
    assert affordable(Improve("a", 0), busy, IMPROVING, Budget(usd=0.60))


def test_alone_it_must_fit_by_what_such_steps_used_before() -> None:
    alone = known(a=[0.01, 0.03, 0.02])
    assert affordable(STEP, alone, IMPROVING, Budget(usd=0.02))
    assert not affordable(STEP, alone, IMPROVING, Budget(usd=0.019))
    assert affordable(Improve("a", 0), alone, IMPROVING, Budget(usd=0.001))  # none was recorded: try


@pytest.mark.parametrize("left", [Budget(usd=0.0), Budget(tokens=0), Budget(calls=0)])
def test_where_nothing_is_left_nothing_is_started(left: Budget) -> None:
    assert not affordable(STEP, known(a=[]), IMPROVING, left)
    assert not affordable(Check("a"), known(a=[]), IMPROVING, left)


def test_a_task_without_a_cap_is_taken_to_need_as_much_as_the_dearest_of_its_trials() -> None:
    bare = replace(known(a=[0.05, 0.20]), tasks=(replace(T0, budget=Budget()), T1)).starting(OTHER)
    assert affordable(STEP, bare, IMPROVING, Budget(usd=0.30))
    assert not affordable(STEP, bare, IMPROVING, Budget(usd=0.29))
    never = Evaluate("a", "d-other", 0)
    assert not affordable(never, bare, IMPROVING, Budget(usd=0.29))
