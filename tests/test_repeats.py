"""Which repeat comes next, and when none matters any more."""

from __future__ import annotations

from random import Random

from archives import archive, trial
from hypothesis import given, settings
from hypothesis import strategies as st

from sica.champion import Terms, confirmations, promotion
from sica.model import Archive
from sica.repeats import Belief, Key, believed, chance, order

TASKS = [f"t{n}" for n in range(6)]
SCORES = st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=5)
KNOWN = st.fixed_dictionaries(dict.fromkeys(TASKS, SCORES))
FRESH = st.dictionaries(st.sampled_from([(t, n) for t in TASKS for n in (5, 6)]), st.sampled_from([0.0, 1.0]))
EVERY: list[Key] = [(task, attempt) for attempt in (5, 6) for task in TASKS]


def test_the_task_that_was_solved_now_and_then_comes_before_those_that_never_change() -> None:
    old = believed({"always": [1.0] * 4, "never": [0.0] * 4, "sometimes": [1.0, 0.0, 1.0, 0.0]}, {})
    assert order(old, old, [("always", 4), ("never", 4), ("sometimes", 4), ("new", 4)])[:2] == [
        ("new", 4),
        ("sometimes", 4),
    ]


@settings(deadline=None)
@given(KNOWN, KNOWN, st.permutations(EVERY))
def test_the_order_is_one_whole_attempt_after_the_other_and_the_widest_first(
    old: dict[str, list[float]], new: dict[str, list[float]], open_: list[Key]
) -> None:
    one, other = believed(old, {}), believed(new, {})
    found = order(one, other, open_)
    assert sorted(found) == sorted(open_)
    places = [(attempt, -(one[task].width + other[task].width)) for task, attempt in found]
    assert places == sorted(places)


@settings(deadline=None)
@given(SCORES, st.sampled_from([0.0, 0.5, 1.0]))
def test_a_posterior_grows_narrower_with_what_is_known_on_the_average(
    scores: list[float], more: float
) -> None:
    del more
    belief = Belief(sum(scores), len(scores))
    after = [Belief(belief.won + score, belief.n + 1).width ** 2 for score in (0.0, 1.0)]
    expected = belief.mean * after[1] + (1 - belief.mean) * after[0]
    assert expected <= belief.width**2 + 1e-12


@settings(deadline=None)
@given(KNOWN, KNOWN, FRESH, FRESH, st.integers(0, 10_000))
def test_a_score_that_turns_out_better_never_lowers_the_chance(
    old: dict[str, list[float]],
    new: dict[str, list[float]],
    before: dict[Key, float],
    now: dict[Key, float],
    seed: int,
) -> None:
    """Of being ahead at all: of being significantly ahead, one more change of hands may."""
    if not now:
        return
    open_ = [key for key in EVERY if key not in before or key not in now]
    beliefs, weights = (believed(old, {}), believed(new, {})), dict.fromkeys(TASKS, 1.0)
    lucky = {**now, Random(seed).choice(sorted(now)): 1.0}
    assert (
        chance(before, lucky, open_, beliefs, weights) >= chance(before, now, open_, beliefs, weights) - 1e-9
    )


@settings(deadline=None)
@given(FRESH, FRESH)
def test_with_nothing_left_to_make_it_is_what_is_known(
    before: dict[Key, float], now: dict[Key, float]
) -> None:
    ahead = sum(now[key] - before[key] for key in before.keys() & now.keys())
    assert chance(before, now, [], ({}, {}), {}) == float(ahead > 0)


def proved(known: Archive, terms: Terms, challenger: float) -> Archive:
    """All fresh trials that are asked for: the challenger scores this much, the champion all."""
    while steps := confirmations(known, terms):
        step = steps[0]
        score = challenger if step.agent != known.champion else 1.0
        task = next(t for t in known.tasks if t.digest == step.task)
        known = known.plus(trial(known.agents[step.agent], task, score, attempt=step.attempt))
    return known


def test_both_agents_meet_the_same_task_and_the_telling_one_first() -> None:
    """b, which descends from a, solved t3 and nothing else."""
    known = archive({"a": [0] * 8, "b": [0] * 3 + [1] + [0] * 4, "c": [0] * 8})
    steps = confirmations(known, Terms(2))
    assert [s.task for s in steps[2:4]] == [steps[2].task] * 2
    assert {s.agent for s in steps[:2]} == {"a", "b"}
    assert {s.attempt for s in steps} == {1}
    assert len(steps) == 16
    assert steps[0].task == "d-t3"


def test_a_challenger_that_falls_behind_is_let_go_before_the_attempt_is_over() -> None:
    known = archive({"a": [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0], "b": [1] * 9 + [0] * 3})
    whole, short = (proved(known, Terms(2, futile=futile), 0.0) for futile in (0.0, 0.01))
    assert len(whole.scored("b")) == 24
    assert len(short.scored("b")) < 20
    assert promotion(short, Terms(2)) is None
    assert promotion(whole, Terms(2, futile=0)) is None


def test_one_that_stays_ahead_is_measured_to_the_end_and_crowned() -> None:
    known = archive({"a": [0] * 12, "b": [1] * 9 + [0] * 3})
    for step in [s for s in confirmations(known, Terms(1)) if s.agent == "a"]:
        task = next(t for t in known.tasks if t.digest == step.task)
        known = known.plus(trial(known.agents["a"], task, 0.0, attempt=1))
    known = proved(known, Terms(1), 1.0)
    assert len(known.scored("b")) == 24
    assert promotion(known, Terms(1)) is not None
