"""Statistics against published vectors and brute force."""

from __future__ import annotations

from itertools import product
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sica.stats import compare, mcnemar, pass_at_k, sign_flip, swapped, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (5, 10, 0.24, 0.76),
        (9, 18, 0.29, 0.71),
        (30, 60, 0.38, 0.62),
        (60, 120, 0.41, 0.59),
        (126, 225, 0.495, 0.623),
    ],
)
def test_wilson_gives_the_published_intervals(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right / n, n)
    assert found == pytest.approx((low, high), abs=0.006)


def test_nothing_measured_means_nothing_known() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_wilson_holds_the_mean_and_stays_in_range(mean: float, n: int) -> None:
    low, high = wilson(mean, n)
    assert -1e-12 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1 + 1e-12


def test_mcnemar_gives_the_exact_values() -> None:
    assert mcnemar(24, 15) == pytest.approx(0.20, abs=0.005)
    assert mcnemar(6, 0) == pytest.approx(0.03125)
    assert mcnemar(5, 0) == pytest.approx(0.0625)
    assert mcnemar(0, 0) == 1.0


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), max_size=8))
def test_sign_flip_equals_brute_force(differences: list[float]) -> None:
    moved = [d for d in differences if d]
    flips = list(product((1, -1), repeat=len(moved)))
    sums = [abs(sum(s * d for s, d in zip(signs, moved, strict=True))) for signs in flips]
    expected = sum(s >= abs(sum(moved)) - 1e-12 for s in sums) / len(flips) if moved else 1.0
    assert sign_flip(differences) == pytest.approx(expected)


def test_many_differences_on_a_grid_are_counted_exactly() -> None:
    assert sign_flip([1.0] * 20) == pytest.approx(2 / 2**20)
    assert sign_flip([0.3] * 30 + [-0.3] * 30) == pytest.approx(1.0)
    assert sign_flip([0.5] * 12 + [-0.5] * 3) == pytest.approx(mcnemar(12, 3))


def test_many_odd_differences_are_sampled_and_stay_deterministic() -> None:
    differences = [(-1) ** i / (i + 1.7) for i in range(20)]
    assert sign_flip(differences) == sign_flip(differences)
    assert sign_flip([1 / (i + 1.7) for i in range(20)]) < 0.001


def test_compare_uses_only_tasks_that_both_have() -> None:
    found = compare({"a": [0], "b": [1], "c": [0]}, {"a": [1], "b": [1], "d": [1]})
    assert (found.tasks, found.gained, found.lost, found.test) == (2, ("a",), (), "exact McNemar")
    assert not found.separable


def test_graded_scores_use_the_sign_flip_test() -> None:
    old = {f"t{i}": [0.2, 0.3] for i in range(9)}
    new = {f"t{i}": [0.8, 0.7] for i in range(9)}
    found = compare(old, new)
    assert found.test == "sign-flip"
    assert found.difference == pytest.approx(0.5)
    assert found.separable


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_equals_counting(numbers: tuple[int, int, int]) -> None:
    n, right, k = numbers
    from itertools import combinations

    draws = list(combinations([1] * right + [0] * (n - right), k))
    assert pass_at_k(n, right, k) == pytest.approx(fmean(any(d) for d in draws))


def test_swaps_of_one_trial_each_are_mcnemars_one_sided() -> None:
    old, new = {str(t): [0.0] for t in range(9)}, {str(t): [float(t < 6)] for t in range(9)}
    assert swapped(old, new) == pytest.approx(mcnemar(6, 0) / 2)
    assert swapped(new, old) == 1.0
    assert swapped(old, old) == 1.0


def test_a_task_that_always_turns_counts_for_more_than_one_of_luck() -> None:
    """Of the 20 ways to deal six trials to two agents, one gives all three to the new one."""
    assert swapped({"t": [0, 0, 0]}, {"t": [1, 1, 1]}) == pytest.approx(1 / 20)
    assert swapped({"t": [0, 0], "u": [1, 0]}, {"t": [1, 1], "u": [1, 0]}) == pytest.approx(0.25, abs=0.1)
    assert swapped({"t": [0.0]}, {"u": [1.0]}) == 1.0


@pytest.mark.parametrize("reps", [1, 2, 3])
def test_swaps_call_the_same_agent_better_as_often_as_they_say(reps: int) -> None:
    rng = Random(reps)
    chances = [rng.betavariate(0.5, 0.5) for _ in range(14)]
    hits = 0
    for _ in range(300):
        old, new = (
            {str(t): [float(rng.random() < p) for _ in range(reps)] for t, p in enumerate(chances)}
            for _ in "ab"
        )
        hits += swapped(old, new) < 0.05
    assert hits <= 24  # 15 are expected at most


def test_swaps_of_many_graded_trials_are_drawn_and_agree_with_the_exact_ones() -> None:
    rng = Random(1)
    old, new = ({str(t): [rng.random() + 0.1 * b] for t in range(10)} for b in (0, 1))
    few, many = (
        swapped(old, new),
        swapped(
            {**old, **{f"x{t}": [t / 7] for t in range(9)}}, {**new, **{f"x{t}": [t / 7] for t in range(9)}}
        ),
    )
    assert few == pytest.approx(many, abs=0.03)
