"""Shares of a whole: the interval of a proportion, and the chance that some or all of k attempts are right.

Sources: Wilson 1927, recommended by Newcombe 1998 and by Brown, Cai and DasGupta 2001; Chen et al. 2021 (HumanEval)
for pass@k; Yao et al. 2024 (tau-bench) for pass^k.
"""

from __future__ import annotations

from math import prod, sqrt

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


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that at least one of k attempts is right, from `correct` of n; n >= k."""
    return 1.0 - pass_hat_k(n, n - correct, k)


def pass_hat_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that all of k attempts are right: an agent that can be relied on; n >= k."""
    if not 0 < k <= n:
        raise ValueError(f"k={k} attempts cannot be drawn from {n}")
    return prod((max(0, correct - i) / (n - i) for i in range(k)), start=1.0)
