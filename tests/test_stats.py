"""Statistics against published vectors and brute force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from math import sqrt
from random import Random
from statistics import NormalDist, fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sica.stats import (
    compare,
    coverage,
    difference_interval,
    estimate,
    holm,
    mcnemar,
    mean_of_means,
    overstatement,
    pairs_needed,
    pass_at_k,
    pass_hat_k,
    resampled_interval,
    sign_flip,
    swapped,
    trials_needed,
    wilson,
)
from sica.stats.resampling import student

Scores = Mapping[str, Sequence[float]]


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (5, 10, 0.24, 0.76),
        (9, 18, 0.29, 0.71),
        (30, 60, 0.38, 0.62),
        (60, 120, 0.41, 0.59),
        (250, 500, 0.46, 0.54),
        (126, 225, 0.495, 0.623),
    ],
)
def test_wilson_gives_the_known_intervals(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right / n, n)
    assert found == pytest.approx((low, high), abs=0.006)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_table_of_newcombe(right: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3."""
    assert wilson(right / n, n) == pytest.approx((low, high), abs=0.00005)


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


def test_mcnemar_gives_the_textbooks_values() -> None:
    assert mcnemar(9, 2) == pytest.approx(0.06543, abs=5e-6)  # the exact2x2 package's vignette (Fay 2010)
    assert mcnemar(86, 150) == pytest.approx(3.716e-5, rel=1e-3)  # Agresti's two surveys of approval


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


@pytest.mark.parametrize(
    ("n", "right", "k", "chance"),
    [(6, 3, 1, 0.5), (10, 5, 5, 0.996032), (5, 2, 3, 0.9), (10, 0, 1, 0), (10, 10, 5, 1), (200, 1, 100, 0.5)],
)
def test_pass_at_k_gives_the_values_of_humaneval(n: int, right: int, k: int, chance: float) -> None:
    """What the product form of Chen et al. 2021 gives; the first is the example of the HumanEval repository."""
    assert pass_at_k(n, right, k) == pytest.approx(chance, abs=5e-7)


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_and_pass_hat_k_equal_counting(numbers: tuple[int, int, int]) -> None:
    n, right, k = numbers
    draws = list(combinations([1] * right + [0] * (n - right), k))
    assert pass_at_k(n, right, k) == pytest.approx(fmean(any(d) for d in draws))
    assert pass_hat_k(n, right, k) == pytest.approx(fmean(all(d) for d in draws))


def test_more_attempts_than_there_are_is_no_question() -> None:
    with pytest.raises(ValueError, match="k=3 attempts cannot be drawn from 2"):
        pass_hat_k(2, 1, 3)


# ── many tests, and how much it takes ─────────────────────────────────────────────────────────────


def test_holm_gives_the_values_of_r() -> None:
    """p.adjust(p, "holm") of R."""
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    rejected = [p < 0.05 for p in holm([0.50, 0.01, 0.001, 0.69, 0.02, 0.05, 0.0025])]
    assert rejected == [False, False, True, False, False, False, True]  # the example of the package HDLSSkST
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_never_lowers(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    ranked = [a for _, a in sorted(zip(ps, adjusted, strict=True))]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize(
    ("spread", "trials"),
    [
        (0.25, (4360, 1570, 392, 174, 98)),
        (0.187, (3262, 1174, 294, 130, 73)),
        (0.125, (2180, 785, 196, 87, 49)),
        (0.072, (1256, 452, 113, 50, 28)),
        (0.04, (698, 251, 63, 28, 16)),
    ],
)
def test_trials_needed_are_those_of_the_formula(spread: float, trials: Sequence[int]) -> None:
    """n = 15.7 w / d^2 for d of 3, 5, 10, 15 and 20 points, rounded up here."""
    found = [trials_needed(spread, d) for d in (0.03, 0.05, 0.10, 0.15, 0.20)]
    assert all(0 <= n - told <= 1 for n, told in zip(found, trials, strict=True))


def flips(tasks: int, gained: int, lost: int) -> tuple[Scores, Scores]:
    old = {f"t{i}": [float(gained <= i < gained + lost)] for i in range(tasks)}
    new = {f"t{i}": [float(i < gained)] for i in range(tasks)}
    return old, new


@pytest.mark.parametrize(
    ("gained", "lost", "pairs"),
    [(75, 25, 312), (125, 75, 626), (175, 125, 940), (150, 50, 155), (200, 100, 234), (200, 0, 37)],
)
def test_pairs_needed_are_those_of_connor(gained: int, lost: int, pairs: int) -> None:
    """Connor 1987 for flips of 10, 20 and 30 % and differences of 5, 10 and 20 points."""
    assert pairs_needed(*flips(1000, gained, lost)) == pairs


def test_no_difference_needs_no_number() -> None:
    assert pairs_needed(*flips(10, 2, 2)) is None
    assert pairs_needed({}, {}) is None


def test_graded_differences_need_pairs_by_how_much_they_vary() -> None:
    old: Scores = {f"t{i}": [0.5] for i in range(100)}
    new: Scores = {f"t{i}": [0.5 + (0.3 if i % 2 else -0.1)] for i in range(100)}
    assert pairs_needed(old, new) == 32  # 7.85 * 0.2^2 / 0.1^2, rounded up


@pytest.mark.parametrize(("tasks", "ten", "eighty"), [(10, 17, 26), (18, 13, 20), (50, 8, 12), (60, 7, 11)])
def test_the_best_of_many_flatters_itself_as_simulated(tasks: int, ten: int, eighty: int) -> None:
    """Points by which the best of 10 and of 80 equal agents is too high; tasks of any difficulty, one attempt."""
    assert 100 * overstatement(10, 0.125, tasks) == pytest.approx(ten, abs=1)
    assert 100 * overstatement(80, 0.125, tasks) == pytest.approx(eighty, abs=1.1)
    assert overstatement(1, 0.125, tasks) == overstatement(10, 0.125, 0) == 0


def test_faults_lower_the_coverage_and_not_the_score() -> None:
    assert (coverage(27, 28), coverage(0, 28), coverage(0, 0)) == (27 / 28, 0, 1)


def test_a_suite_of_many_tasks_does_not_drown_the_others() -> None:
    assert mean_of_means({"big": [[1.0]] * 30, "small": [[0.0], [1.0, 0.0]], "empty": []}) == 0.625
    assert mean_of_means({}) is None


# ── intervals by resampling ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("freedom", "quantile"), [(4, 2.776), (7, 2.365), (10, 2.228), (30, 2.042)])
def test_students_quantiles_are_the_tables(freedom: int, quantile: float) -> None:
    assert student(freedom) == pytest.approx(quantile, rel=0.002)


def resampled(strata: Sequence[Sequence[Sequence[float]]], draws: int = 20_000) -> tuple[float, float]:
    """The same interval by throwing dice."""
    rng = Random(1)
    size = sum(map(len, strata))

    def once() -> float:
        drawn = [task for tasks in strata for task in rng.choices(tasks, k=len(tasks))]
        return sum(fmean(rng.choices(task, k=len(task))) for task in drawn) / size

    means = sorted(once() for _ in range(draws))
    freedom = size - len(strata)
    tail = NormalDist().cdf(-sqrt(size / freedom) * student(freedom))
    return means[int(tail * draws)], means[int((1 - tail) * draws)]


@pytest.mark.parametrize(
    "strata",
    [
        [[[x] for x in (0, 0.3, 0.3, 0.5, 1, 1, 1, 0.75, 0.2, 0, 1, 0.9)]],
        [[[0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 0]] * 5],
        [[[0.0, 0.5], [1.0, 1.0], [0.3, 0.2]] * 4, [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.5]] * 3],
        [[[1.0]] * 17 + [[0.0]] * 3],
    ],
    ids=["graded", "repeated", "suites", "skewed"],
)
def test_the_interval_is_that_of_countless_resamples(strata: Sequence[Sequence[Sequence[float]]]) -> None:
    step = 1 / sum(map(len, strata))
    assert resampled_interval(strata) == pytest.approx(resampled(strata), abs=step / 2 + 0.006)


@given(
    st.lists(st.lists(st.sampled_from([0, 0.3, 0.5, 1.0]), min_size=1, max_size=3), min_size=1, max_size=30)
)
@settings(deadline=None)
def test_an_interval_holds_its_mean_and_ignores_the_order(tasks: list[list[float]]) -> None:
    found, backwards = estimate(tasks), estimate([task[::-1] for task in tasks[::-1]])
    assert found
    assert 0 <= found.low <= found.mean + 1e-9
    assert found.mean <= found.high + 1e-9 <= 1 + 2e-9
    assert backwards
    assert (backwards.low, backwards.high) == pytest.approx((found.low, found.high), abs=1e-6)


def test_one_attempt_at_each_task_is_wilsons() -> None:
    found = estimate([[1]] * 9 + [[0]] * 9)
    assert found
    assert (found.method, found.tasks, found.n) == ("Wilson", 18, 18)
    assert (found.low, found.high) == wilson(0.5, 18)


def test_graded_and_repeated_scores_resample_tasks() -> None:
    for scores in ([[0.5], [1.0]] * 9, [[0, 1], [1, 1], [0, 0]] * 6):
        found = estimate(scores)
        assert found
        assert found.method == "cluster bootstrap"


def test_attempts_at_one_task_are_not_new_tasks() -> None:
    """All or nothing, five times each: as much is known as from one attempt at each task."""
    once = estimate([[1]] * 10 + [[0]] * 10)
    often = estimate([[1] * 5] * 10 + [[0] * 5] * 10)
    assert once
    assert often
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.2)
    assert often.high - often.low > 1.8 * (wilson(0.5, 100)[1] - wilson(0.5, 100)[0])


def test_where_resampling_would_show_no_doubt_wilson_does() -> None:
    for scores in ([[0.5], [0.75], [1.0]], [[1, 1, 1]] * 28):
        found = estimate(scores)
        assert found
        assert found.method == "Wilson"
        assert (found.low, found.high) == wilson(found.mean, len(scores))
    assert estimate([]) is None
    assert estimate([[], []]) is None


def test_a_task_with_more_trials_weighs_more_as_it_does_in_the_mean() -> None:
    found = estimate([[1, 1, 1], [0]] * 10)
    assert found
    assert found.mean == 0.75
    assert found.low < 0.75 < found.high


# ── calibration: agents whose luck is known ───────────────────────────────────────────────────────

Flaky = Callable[[Random], Callable[[], float]]
"""Draws a task; the task then gives a score at each attempt."""


def coin(rng: Random) -> Callable[[], float]:
    chance = rng.betavariate(0.5, 0.5)
    return lambda: float(rng.random() < chance)


def graded(rng: Random) -> Callable[[], float]:
    chance = rng.betavariate(1.0, 1.0)
    return lambda: 1.0 if rng.random() < chance else rng.choice((0.0, 0.25, 0.5))


TRULY: Mapping[Flaky, float] = {coin: 0.5, graded: 0.625}


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("flaky", [coin, graded])
def test_of_a_hundred_intervals_ninety_five_hold_the_truth(flaky: Flaky, attempts: int) -> None:
    rng, runs = Random(5), 600
    held = 0
    for _ in range(runs):
        tasks = [flaky(rng) for _ in range(28)]
        found = estimate([[task() for _ in range(attempts)] for task in tasks])
        assert found
        held += found.low <= TRULY[flaky] <= found.high
    assert 0.93 <= held / runs <= 0.985


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("flaky", [coin, graded])
def test_an_agent_differs_from_itself_at_most_once_in_twenty_times(flaky: Flaky, attempts: int) -> None:
    rng, runs = Random(6), 400
    wrong = outside = 0
    for _ in range(runs):
        tasks = {f"t{n}": flaky(rng) for n in range(28)}
        first, second = ({t: [task() for _ in range(attempts)] for t, task in tasks.items()} for _ in "ab")
        wrong += compare(first, second).separable
        low, high = difference_interval(first, second) or (0, 0)
        outside += not low <= 0 <= high
    by_chance = 1.65 * sqrt(0.05 * 0.95 / runs)
    assert wrong / runs <= 0.05 + by_chance
    assert outside / runs <= 0.05 + by_chance


def test_a_real_gain_is_seen_as_often_as_the_sample_size_says() -> None:
    """Half of the tasks flip to solved or not at random, a fifth more towards solved: 80 % power where told."""
    rng = Random(7)
    needed = pairs_needed(*flips(1000, 350, 150))
    assert needed
    seen = 0
    for _ in range(300):
        drawn = [rng.choices((1, -1, 0), (0.35, 0.15, 0.5))[0] for _ in range(needed)]
        seen += mcnemar(drawn.count(1), drawn.count(-1)) < 0.05
    assert 0.70 <= seen / 300 <= 0.88  # the exact test gives away a little


def test_the_difference_has_an_interval_where_there_is_enough_to_resample() -> None:
    old, new = flips(225, 24, 15)
    low, high = difference_interval(old, new) or (0, 0)
    assert (low, high) == pytest.approx((-0.0143, 0.0948), abs=0.001)
    assert difference_interval(*flips(7, 5, 0)) is None
    assert difference_interval(*flips(50, 0, 0)) is None


def test_tasks_are_resampled_within_their_suites() -> None:
    """One suite gains, the other loses, each without a doubt: only drawing across suites would blur that."""
    old, new = flips(40, 20, 0)
    kinds = {f"t{i}": "easy" if i < 20 else "hard" for i in range(40)}
    assert difference_interval(old, new, kinds) is None
    assert difference_interval(old, new) is not None


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
