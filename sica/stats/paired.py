"""Two agents on the same tasks: is the difference more than noise, how large is it, and what would tell.

Sources: the exact McNemar test is a binomial test on the discordant pairs; the sign-flip test is Fisher's paired
permutation test; Holm 1979 for many tests at once; Connor 1987 and Miller 2024 for how many trials are needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, compress
from math import ceil, comb, fsum, sqrt
from random import Random
from statistics import fmean, pvariance

from sica.stats.proportions import Z95
from sica.stats.resampling import resampled_interval

SEPARABLE = 0.05
"""The p below which a difference is called separable from noise."""

POWER80 = 0.8416212335729143
"""The normal quantile of 80 % power."""


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p that gains and losses are equally likely."""
    n, k = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    tail = sum(comb(n, i) for i in range(k + 1))
    return min(1.0, 2 * tail / (1 << n))


def sign_flip(differences: Sequence[float], *, draws: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of a zero mean under random signs.

    Exact as long as the sums are few, which they are for up to 12 differences and for scores on a grid; else by
    `draws` random signs.
    """
    moved = [d for d in differences if d]
    if not moved:
        return 1.0
    observed = abs(sum(moved)) - 1e-9
    sums = _signed_sums(moved)
    if sums is not None:
        return sum(n for s, n in sums.items() if abs(s) >= observed) / (1 << len(moved))
    rng, total, hits = Random(seed), sum(moved), 0
    for _ in range(draws):
        plus = rng.randbytes(8 * len(moved))[3::8].translate(_BELOW_HALF)
        hits += abs(2 * sum(compress(moved, plus)) - total) >= observed
    return (hits + 1) / (draws + 1)


_BELOW_HALF = bytes(byte < 128 for byte in range(256))
"""Of the eight bytes that `Random.random` takes, what the one that decides says of `random() < 0.5`."""


def _signed_sums(moved: Sequence[float], most: int = 5_000) -> Mapping[float, int] | None:
    """How many choices of signs give each sum; None when there are too many sums to count."""
    sums = {0.0: 1}
    for d in moved:
        grown: dict[float, int] = {}
        for s, n in sums.items():
            for t in (round(s + d, 10), round(s - d, 10)):
                grown[t] = grown.get(t, 0) + n
        if len(grown) > most:
            return None
        sums = grown
    return sums


def swapped(
    old: Mapping[str, Sequence[float]],
    new: Mapping[str, Sequence[float]],
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> float:
    """One-sided p that `new` is no better: how often it would come out as far ahead if, within each task, its trials
    and those of `old` were the same agent's.

    With one trial each this is the sign-flip test, and for 0 and 1 McNemar's. With several, a task that always turns
    from failed to solved counts for more than one of luck: the tasks are the given ones, not a sample of others.
    Exact as long as the sums are few, else by `draws` random swaps. A task that only one side has tells nothing.
    """
    pairs = [(old[t], new[t]) for t in sorted(old.keys() & new.keys()) if old[t] and new[t]]
    observed = fsum(fmean(after) - fmean(before) for before, after in pairs) - 1e-9
    chances = _swapped_sums(pairs)
    if chances is not None:
        return min(1.0, fsum(chance for total, chance in chances.items() if total >= observed))
    rng, hits = Random(seed), 0
    for _ in range(draws):
        total = 0.0
        for before, after in pairs:
            mixed = [*before, *after]
            rng.shuffle(mixed)
            total += fmean(mixed[len(before) :]) - fmean(mixed[: len(before)])
        hits += total >= observed
    return (hits + 1) / (draws + 1)


def _swapped_sums(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]], most: int = 5_000
) -> Mapping[float, float] | None:
    """The chance of each sum over the tasks; None when there are too many sums to count."""
    sums = {0.0: 1.0}
    for before, after in pairs:
        if len({*before, *after}) == 1:
            continue  # however they are swapped
        if comb(len(before) + len(after), len(after)) > 1000:
            return None
        splits = _splits(tuple(before), tuple(after))
        every = splits.total()
        grown: dict[float, float] = {}
        for total, chance in sums.items():
            for difference, times in splits.items():
                key = round(total + difference, 10)
                grown[key] = grown.get(key, 0.0) + chance * times / every
        if len(grown) > most:
            return None
        sums = grown
    return sums


@lru_cache(maxsize=1 << 10)
def _splits(before: Sequence[float], after: Sequence[float]) -> Counter[float]:
    """In how many ways the two could have been shared out, by the difference of their means."""
    mixed, n = [*before, *after], len(after)
    return Counter(
        round(fsum(part) / n - (fsum(mixed) - fsum(part)) / len(before), 10)
        for part in combinations(mixed, n)
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two agents on the tasks that both have."""

    tasks: int
    difference: float
    """Mean of (new - old) over tasks; 0 without a common task."""
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    p: float
    test: str

    @property
    def separable(self) -> bool:
        return self.p < SEPARABLE


def compare(old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]]) -> Comparison:
    """Paired by task; exact McNemar when every score is one 0 or 1, else the sign-flip test on per-task means."""
    differences = _differences(old, new)
    common = list(differences)
    gained = tuple(t for t, d in differences.items() if d > 0)
    lost = tuple(t for t, d in differences.items() if d < 0)
    binary = all(len(side[t]) == 1 and side[t][0] in (0, 1) for side in (old, new) for t in common)
    p = mcnemar(len(gained), len(lost)) if binary else sign_flip(list(differences.values()))
    mean = fmean(differences.values()) if common else 0.0
    return Comparison(len(common), mean, gained, lost, p, "exact McNemar" if binary else "sign-flip")


def _differences(old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """By task that both have; differences that only rounding made are none."""
    common = sorted(t for t in old.keys() & new.keys() if old[t] and new[t])
    moved = {t: fmean(new[t]) - fmean(old[t]) for t in common}
    return {t: 0.0 if abs(d) < 1e-12 else d for t, d in moved.items()}


def difference_interval(
    old: Mapping[str, Sequence[float]],
    new: Mapping[str, Sequence[float]],
    suites: Mapping[str, str] | None = None,
) -> tuple[float, float] | None:
    """The 95 % interval of `compare`'s difference: a paired bootstrap of tasks within suites, then of repeats.

    Repeats are paired by their place where both sides have as many. None where resampling says nothing: few tasks,
    or all of them moved alike. It is for the size of a difference; whether there is one, the test says.
    """
    strata: dict[str, list[Sequence[float]]] = {}
    for task, difference in _differences(old, new).items():
        before, after = old[task], new[task]
        alike = len(before) == len(after)
        moved = [b - a for a, b in zip(before, after, strict=True)] if alike else [difference]
        strata.setdefault((suites or {}).get(task, ""), []).append(moved)
    return resampled_interval(list(strata.values()))


def holm(ps: Sequence[float]) -> list[float]:
    """The p values adjusted so that of all those below 0.05 none is false more often than once in twenty times."""
    adjusted, floor = [1.0] * len(ps), 0.0
    for rank, at in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        floor = adjusted[at] = min(1.0, max(floor, (len(ps) - rank) * ps[at]))
    return adjusted


def trials_needed(spread: float, difference: float) -> int:
    """Trials of each agent (tasks times attempts) that show the difference at 5 % with 80 % power: 15.7 w / d^2.

    `spread` is w, the variance of one trial of a task.
    """
    return ceil(2 * (Z95 + POWER80) ** 2 * spread / difference**2 - 1e-9)


def pairs_needed(old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]]) -> int | None:
    """Paired tasks in all that would show the difference seen, at 5 % with 80 % power; None without one.

    From the flips seen where every score is one 0 or 1 (Connor 1987), else from how much the differences vary.
    """
    differences = list(_differences(old, new).values())
    edge = fmean(differences) if differences else 0.0
    if abs(edge) < 1e-9:
        return None
    if set(differences) <= {-1.0, 0.0, 1.0}:
        flips = fmean(map(abs, differences))
        root = Z95 * sqrt(flips) + POWER80 * sqrt(max(0.0, flips - edge**2))
        return ceil(root**2 / edge**2)
    return max(2, ceil((Z95 + POWER80) ** 2 * pvariance(differences) / edge**2))
