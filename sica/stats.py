"""Intervals and paired tests. Pure, standard library, deterministic.

Sources: Wilson 1927 for the interval of a proportion; the exact McNemar test is a binomial test on the discordant
pairs; the sign-flip test is Fisher's paired permutation test; Chen et al. 2021 (HumanEval) for pass@k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from random import Random
from statistics import fmean

Z95 = 1.959963984540054


def wilson(mean: float, n: int, z: float = Z95) -> tuple[float, float]:
    """The 95 % interval of a mean of n scores in 0..1.

    For graded scores it is conservative: no variable in 0..1 with this mean varies more than a 0/1 one.
    Without scores nothing is known: (0, 1).
    """
    if n == 0:
        return 0.0, 1.0
    middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


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
    rng = Random(seed)
    hits = sum(abs(sum(d if rng.random() < 0.5 else -d for d in moved)) >= observed for _ in range(draws))
    return (hits + 1) / (draws + 1)


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
        return self.p < 0.05


def compare(old: Mapping[str, Sequence[float]], new: Mapping[str, Sequence[float]]) -> Comparison:
    """Paired by task; exact McNemar when every score is one 0 or 1, else the sign-flip test on per-task means."""
    common = sorted(t for t in old.keys() & new.keys() if old[t] and new[t])
    differences = {t: fmean(new[t]) - fmean(old[t]) for t in common}
    gained = tuple(t for t, d in differences.items() if d > 0)
    lost = tuple(t for t, d in differences.items() if d < 0)
    binary = all(len(side[t]) == 1 and side[t][0] in (0, 1) for side in (old, new) for t in common)
    p = mcnemar(len(gained), len(lost)) if binary else sign_flip(list(differences.values()))
    mean = fmean(differences.values()) if common else 0.0
    return Comparison(len(common), mean, gained, lost, p, "exact McNemar" if binary else "sign-flip")


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that one of k attempts is right, from `correct` of n; n >= k."""
    return 1.0 - comb(n - correct, k) / comb(n, k)
