"""Bootstrap intervals of a mean without throwing dice: what infinitely many resamples would give.

A resample draws as many tasks as there are from each stratum, with replacement, then as many repeats of each drawn
task. Its mean is a sum of independent draws, so its distribution is known by its cumulants, and the saddlepoint
approximation reads the quantiles off them (Davison and Hinkley 1988; in the form of Barndorff-Nielsen 1986). That
takes less than a millisecond where ten thousand resamples take a hundred: a leaderboard of thousands can have it.

A percentile interval is too short for few tasks: here it is widened as Student's t asks (Hesterberg 2015, "expanded").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log, sqrt

from sica.stats.proportions import Z95

Task = tuple[float, ...]
"""The repeats of one task."""

FEWEST = 8
"""Tasks without which resampling them says little: its intervals fall short of 95 %, however they are widened."""


def resampled_interval(strata: Sequence[Sequence[Sequence[float]]]) -> tuple[float, float] | None:
    """The 95 % interval of the mean over tasks (each the mean of its repeats), resampling within each stratum.

    None with fewer than FEWEST tasks, and where all tasks are alike: a resample of them would show no doubt at all.
    """
    urns = [_Urn.of(tasks) for tasks in strata if tasks]
    size = sum(urn.size for urn in urns)
    freedom = size - len(urns)
    drawn = _Mean(urns, size)
    if size < FEWEST or freedom < 2 or drawn.slope(0.0)[1] <= 1e-18:
        return None
    z = sqrt(size / freedom) * student(freedom)
    return drawn.quantile(-z), drawn.quantile(z)


def student(freedom: int, z: float = Z95) -> float:
    """Student's quantile where the normal one is z (Abramowitz and Stegun 26.7.5); to 0.2 % from 4 degrees on."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + fsum(term / freedom**power for power, term in enumerate(terms, 1))


@dataclass(frozen=True, slots=True)
class _Urn:
    """One stratum: tasks that are drawn from, each kind of them once with how many there are of it."""

    size: int
    kinds: Mapping[Task, int]

    @classmethod
    def of(cls, tasks: Sequence[Sequence[float]]) -> _Urn:
        return cls(len(tasks), Counter(tuple(sorted(task)) for task in tasks))

    def cumulants(self, t: float) -> tuple[float, float, float]:
        """log E exp(t X) of one drawn task's mean, with its first two derivatives."""
        return _mixed([(count, *_repeated(task, t)) for task, count in self.kinds.items()])


def _repeated(task: Task, t: float) -> tuple[float, float, float]:
    """The same for the mean of as many draws from a task's repeats as it has."""
    if task[0] == task[-1]:
        return t * task[0], task[0], 0.0
    n = len(task)
    value, first, second = _mixed([(1, t * x / n, x, 0.0) for x in task])
    return n * value, first, second / n


def _mixed(parts: Sequence[tuple[int, float, float, float]]) -> tuple[float, float, float]:
    """The cumulant function of a mixture and its derivatives, from those of its parts; weights are counts."""
    top = max(value for _, value, _, _ in parts)
    weights = [count * exp(value - top) for count, value, _, _ in parts]
    total, size = fsum(weights), sum(count for count, *_ in parts)
    first = fsum(w * f for w, (_, _, f, _) in zip(weights, parts, strict=True)) / total
    second = fsum(w * (s + (f - first) ** 2) for w, (_, _, f, s) in zip(weights, parts, strict=True)) / total
    return top + log(total / size), first, second


class _Mean:
    """The resampled mean over all tasks."""

    def __init__(self, urns: Sequence[_Urn], size: int) -> None:
        self.urns = urns
        self.size = size

    def cumulants(self, t: float) -> tuple[float, float, float]:
        found = [(urn.size, *urn.cumulants(t / self.size)) for urn in self.urns]
        return (
            fsum(n * value for n, value, _, _ in found),
            fsum(n * first for n, _, first, _ in found) / self.size,
            fsum(n * second for n, _, _, second in found) / self.size**2,
        )

    def slope(self, t: float) -> tuple[float, float]:
        return self.cumulants(t)[1:]

    def quantile(self, z: float) -> float:
        """What the mean stays below with the chance that a normal variable stays below z; z is not near 0.

        The tilt that puts the mean there is looked for outwards from the normal guess. Where none is enough, so much
        of the distribution lies on its last value that this value is the quantile.
        """
        near, low = 0.0, 0.0
        far = z / sqrt(self.slope(0.0)[1])
        while (high := abs(self._normal(far))) < abs(z):
            if high <= low:
                return self._last(z)
            near, low, far = far, high, 1.5 * far
        for _ in range(50):
            between = near + (far - near) * (abs(z) - low) / (high - low)
            reached = abs(self._normal(between))
            if abs(reached - abs(z)) < 1e-6:
                break
            if reached < abs(z):
                near, low = between, reached
            else:
                far, high = between, reached
        return self.slope(between)[0]

    def _normal(self, t: float) -> float:
        """The normal quantile of the chance that the mean stays below its tilted expectation."""
        value, first, second = self.cumulants(t)
        away = sqrt(max(0.0, 2 * (t * first - value)))
        if not away or second <= 0:
            return 0.0
        signed = away if t > 0 else -away
        return signed + log(t * sqrt(second) / signed) / signed

    def _last(self, z: float) -> float:
        end = max if z > 0 else min
        return fsum(urn.size * end(end(task) for task in urn.kinds) for urn in self.urns) / self.size
