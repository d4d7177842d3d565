"""The Beta distribution's lower tail, with the standard library alone. Pure.

The regularised incomplete beta function by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated by
Lentz's method; quantiles by Newton's steps within a bracket that is halved where they would leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, lgamma, log, log1p, sqrt
from random import Random

_TINY = 1e-300
_TERMS = 10_000
"""Never reached: the fraction needs about sqrt(a + b) terms."""


def below(x: float, a: float, b: float) -> float:
    """The chance that a Beta(a, b) variable is at most x."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - below(1 - x, b, a)  # where the fraction converges fast
    scale = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    return scale * _fraction(x, a, b) / a


@lru_cache(maxsize=1 << 16)
def quantile(q: float, a: float, b: float) -> float:
    """The x that a Beta(a, b) variable stays below with chance q."""
    low, high, x = 0.0, 1.0, a / (a + b)
    scale = lgamma(a + b) - lgamma(a) - lgamma(b)
    while high - low > 1e-12:
        over = below(x, a, b) - q
        low, high = (low, x) if over > 0 else (x, high)
        density = exp(scale + (a - 1) * log(x) + (b - 1) * log1p(-x)) if 0 < x < 1 else 0.0
        step = over / density if density else 1.0
        if abs(step) < 1e-13:
            return x
        x = x - step if low < x - step < high else (low + high) / 2  # Newton's, or half way
    return x


def draws(pairs: Sequence[tuple[float, float]], rng: Random) -> list[float]:
    """One draw of Beta(a, b) for each pair: those of `rng.betavariate`, from the same dice, in half of the time.

    A draw is x / (x + y) of two gamma variables (Cheng 1977, the rejection method GB).
    """
    random, found = rng.random, []
    for pair in pairs:
        first = -1.0
        for a in pair:
            if a > 1:
                root = sqrt(2.0 * a - 1.0)
                while True:
                    u = random()
                    if 1e-7 < u < 0.9999999:
                        w = 1.0 - random()
                        v = log(u / (1.0 - u)) / root
                        x = a * exp(v)
                        z, r = u * u * w, a - _LOG4 + (a + root) * v - x
                        if r + _ALWAYS - 4.5 * z >= 0.0 or r >= log(z):
                            break
            else:
                x = -log(1.0 - random()) if a == 1 else rng.gammavariate(a, 1.0)
            if first < 0:
                first = x
                if not x:
                    break  # nothing of nothing: the other one is not drawn
        found.append(first / (first + x) if first else 0.0)
    return found


_LOG4, _ALWAYS = log(4.0), 1.0 + log(4.5)


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at x={x}, a={a}, b={b}")


def _nonzero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY
