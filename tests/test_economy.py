"""Racing, looks and the order of tasks: on outcomes typed in the test, on generated archives, and in real boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path

import pytest
from archives import archive, trial
from commands import Project, sica
from conftest import World as RealWorld
from conftest import skilled, write_task
from hypothesis import given, settings
from hypothesis import strategies as st

from sica.economy import FUTILE, estimate, interval, looks, offers, race, raced, races, stopped
from sica.model import Archive, Evaluate, Finished, Stopped, Trial, Verdict
from sica.policies import open_policy
from sica.racing import Rule
from sica.racing import figures as racing_figures


def outcomes(scores: Sequence[float]) -> Mapping[tuple[str, int], float]:
    return {(f"d-t{i}", 0): score for i, score in enumerate(scores)}


def racing(scores: Mapping[str, Sequence[float | None]], **changes: object) -> Archive:
    return replace(archive(scores, **changes), offers=offers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tasks", "attempts", "at"),
    [
        (1, 1, ()),
        (10, 1, ()),
        (11, 1, (10,)),
        (60, 1, (10, 30)),
        (60, 5, (10, 30, 60, 120, 180, 240)),
        (400, 1, (10, 30, 90, 270)),
    ],
)
def test_looks_grow_and_never_wait_for_the_end(tasks: int, attempts: int, at: tuple[int, ...]) -> None:
    assert looks(tasks, attempts) == at


def test_z_of_pass_and_fail_is_mcnemars() -> None:
    mine, theirs = outcomes([1, 0, 0, 0, 1]), outcomes([0, 1, 1, 1, 1])
    found = race(mine, theirs, 60)
    assert found.n == 5
    assert found.z == pytest.approx((1 - 3) / sqrt(1 + 3))
    assert not found.stopped  # five are no look


def test_a_child_that_fell_behind_at_a_look_is_stopped_and_keeps_what_it_has() -> None:
    known = racing({"a": [1] * 12, "b": [1] * 7 + [0] * 3}, parents={"b": "a"})
    found = raced(known, "b")
    assert found is not None
    assert (found.n, found.of, found.stopped) == (10, 12, True)
    assert found.words == "stopped early after 10 of 12 trials: z -1.7"
    assert known.missing("b") == ()
    assert known.measured("b")
    assert not known.measured("b", range(1))
    assert estimate(known, "b") == pytest.approx(1 - 0.3)
    low, high = interval(known, "b")
    assert low < 0.7 < high
    assert high - low > 0.4  # ten trials are ten trials


def test_a_child_that_keeps_up_is_measured_to_the_next_look_and_then_to_the_end() -> None:
    known = racing({"a": [1] * 40, "b": [1] * 4}, parents={"b": "a"})
    assert len(known.missing("b")) == 6
    known = racing({"a": [1] * 40, "b": [1] * 10}, parents={"b": "a"})
    assert len(known.missing("b")) == 20
    known = racing({"a": [1] * 40, "b": [1] * 30}, parents={"b": "a"})
    assert len(known.missing("b")) == 10


def test_nothing_overshoots_a_look_while_steps_are_in_flight() -> None:
    known = racing({"a": [1] * 40, "b": []}, parents={"b": "a"})
    for _ in range(10):
        known = known.starting(known.missing("b")[0])
    assert known.missing("b") == ()
    assert not known.measured("b")


def test_the_seed_races_against_nobody() -> None:
    known = racing({"a": [0] * 10 + [None] * 30})
    assert raced(known, "a") is None
    assert len(known.missing("a")) == 30


def test_the_child_of_a_stopped_agent_runs_against_whom_that_one_ran_against() -> None:
    parents = {"b": "a", "c": "b"}
    known = racing({"a": [1] * 12, "b": [0] * 10, "c": [0] * 4}, parents=parents)
    found = raced(known, "c")
    assert found is not None
    assert found.against == "a"


def test_telling_tasks_come_first_and_the_parents_own_luck_is_left_out() -> None:
    """b, c and d are there before e, whose parent is a: t1 is the task on which they differ most."""
    scores = {
        "a": [1] * 14,
        "b": [1, 0, 1] + [1] * 11,
        "c": [1, 1, 0] + [1] * 11,
        "d": [1, 0, 1] + [1] * 11,
        "e": [],
    }
    known = racing(scores, parents=dict.fromkeys("bcde", "a"))
    first = [step.task for step in known.missing("e")]
    assert set(first[:2]) == {"d-t1", "d-t2"}
    lucky = [0, 1] * 7
    other = racing({**scores, "a": lucky}, parents=dict.fromkeys("bcde", "a"))
    assert [step.task for step in other.missing("e")] == first


def test_an_agent_that_passes_the_gate_later_counts_for_the_order_from_then_on() -> None:
    scores = {"a": [1] * 14, "b": [1, 0, 1] + [1] * 11, "c": [1, 1, 0, 0] + [1] * 10, "d": []}
    known = racing(scores, parents=dict.fromkeys("bcd", "a"))
    agents = {**known.agents, "c": replace(known.agents["c"], standing="unchecked")}
    early = replace(known, agents=agents)
    assert {step.task for step in early.missing("d")[:3]} == {"d-t0", "d-t1", "d-t2"}
    late = early.plus(Verdict("c", passed=True, reason=""))
    assert [step.task for step in late.missing("d")] == [step.task for step in known.missing("d")]
    assert {step.task for step in late.missing("d")[:3]} == {"d-t1", "d-t2", "d-t3"}


def test_a_fresh_attempt_of_the_parent_changes_no_race() -> None:
    known = racing({"a": [1] * 12, "b": [1] * 7 + [0] * 3}, parents={"b": "a"})
    after = known.plus(trial(known.agents["a"], known.tasks[0], 0.0, attempt=1))
    assert raced(after, "b") == raced(known, "b")


def test_racing_saves_more_than_half_of_the_trials_at_equal_decisions() -> None:
    """Beside 300 and 95 trials, 5.6 and 3.2 % of the equal and 84.5 and 81 % of the better children elsewhere."""
    every, raced_ = racing_figures([Rule("all", 60, 5), Rule("race", 60, 5, FUTILE)], children=150)
    assert every.mean == 300
    assert raced_.mean < 150
    assert raced_.taken["equal"] <= every.taken["equal"]
    assert raced_.taken["better"] > every.taken["better"] - 0.08


SCORES = st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=0, max_size=14)


@settings(max_examples=60, deadline=None)
@given(st.lists(SCORES, min_size=1, max_size=6), st.data())
def test_what_is_carried_from_outcome_to_outcome_is_what_a_new_archive_finds(
    every: list[list[float]], data: st.DataObject
) -> None:
    """Outcomes arrive one by one, in any order, with questions asked between them; then all is asked of a fresh one."""
    names = [chr(ord("a") + i) for i in range(len(every))]
    parents = {name: data.draw(st.sampled_from(names[:i])) for i, name in enumerate(names) if i}
    whole = archive({name: [0.0] * 14 for name in names}, parents=parents)
    arriving = [
        trial(whole.agents[name], task, score)
        for name, scores in zip(names, every, strict=True)
        for task, score in zip(whole.tasks, scores, strict=False)
    ]
    waiting = data.draw(st.sets(st.sampled_from(names)))
    at_first = {c: replace(a, standing="unchecked") if c in waiting else a for c, a in whole.agents.items()}
    known = replace(whole, agents=at_first, trials={}, offers=offers)
    passed = [Verdict(name, passed=True, reason="") for name in sorted(waiting)]
    outcomes: list[Trial | Verdict] = [*arriving, *passed]
    for outcome in data.draw(st.permutations(outcomes)):
        known.unmeasured(), known.unfinished()
        if data.draw(st.booleans()):
            [known.missing(name) for name in names]
        known = known.plus(outcome)
    fresh = Archive(
        known.agents, known.tasks, known.trials, champion=known.champion, offers=offers, settled=known.settled
    )
    assert known.unmeasured() == fresh.unmeasured()
    assert known.unfinished() == fresh.unfinished()
    for name in names:
        assert known.missing(name) == fresh.missing(name)
        assert raced(known, name) == raced(fresh, name)
        assert stopped(known, name) == stopped(fresh, name)
    shown = races(
        {a.commit: a.parents for a in known.agents.values()},
        {name: {(t.digest, t.attempt): t.score or 0.0 for t in known.scored(name)} for name in names},
        len(known.tasks),
    )
    assert {n for n, r in shown.items() if r.stopped} == {n for n in names if stopped(known, n)}


def test_in_real_boxes_a_worse_child_is_stopped(world: RealWorld) -> None:
    """Twelve tasks that the seed solves; its children solve none: ten trials are enough to know."""
    for level in (1, 2, 3):
        (world.root / "toy" / f"level{level}").rename(world.root / f"unused{level}")
    for number in range(12):
        write_task(world.root / "toy", f"easy{number}", 2)
    world.seed(skilled(SKILL=2, STEP=-1))
    events = world.evolve(children=1, race=True, policy=open_policy("iid"))
    last = events[-1]
    assert isinstance(last, Stopped)
    seed, child = last.archive.agents.values()
    made = [e.step for e in events if isinstance(e, Finished) and isinstance(e.outcome, Trial)]
    assert sum(isinstance(s, Evaluate) and s.agent == child.commit for s in made) == 10
    assert stopped(last.archive, child.commit)
    assert last.archive.champion == seed.commit
    again = world.evolve(children=1, race=True, policy=open_policy("iid"))
    assert [type(e) for e in again] == [Stopped]


def test_log_show_and_best_say_what_was_stopped(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.ledger.start_run({"kind": "evolve", "race": True, "attempts": 1})
    seed = project.agent("print(0)\n", subject="seed: plain")
    child = project.agent("print(1)\n", seed, subject="forget half")
    lucky = project.agent("print(2)\n", seed, subject="guess")
    project.trials(seed, [1] * 6 + [0] * 6)
    project.trials(child, [0] * 4 + [1] * 2 + [0] * 4)
    project.trials(lucky, [1] * 6 + [0] * 4)
    words = "stopped early after 10 of 12 trials: z -2.0"
    assert f"[{words}]" in next(
        line for line in sica(project.folder, "log").out.splitlines() if "agent/1" in line
    )
    rows = {r["agent"]: r for r in sica(project.folder, "log", "--json").json["agents"]}
    assert (rows[1]["status"], rows[1]["reason"]) == ("stopped", words)
    assert rows[2]["status"] == rows[0]["status"] == "evaluated"
    shown = sica(project.folder, "show", "1").out
    assert f"standing   {words} against agent/0; measured no further, cannot become champion" in shown
    assert sica(project.folder, "show", "1", "--json").json["status"] == "stopped"
    assert child.commit in sica(project.folder, "log", "--format", "{commit} {status}").out
    for other in ({"race": False}, {"race": True, "policy": "hgm:evaluations=80"}):
        project.ledger.start_run({"kind": "evolve", "attempts": 1, **other})
        assert "stopped early" not in sica(project.folder, "log").out
