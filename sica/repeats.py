"""Which repeat is worth making next, and when no further one is. Pure.

Two agents are measured again on tasks that both know, to decide which is better. What an agent will score at a task
is not known: with s and n the sum and the number of its scores there, its chance has the posterior
Beta(m + s, 1 - m + n - s), where m is what agents of its line scored at the task. A task that both always solve, or
never, says little that is new, so the next repeat goes to the task whose two posteriors are widest together, in pairs:
both agents meet the same task at the same attempt.

And a repeat matters only while it can still decide. D is what the newer agent is ahead by at the end of all attempts:
what is known of it, and the predictions of the rest, with m = 1/2: a line does not foresee what a change does. Once
P(D > bar) is below `FUTILE` the matter is settled. It is only ever settled against the newer agent, so that no error
of the first kind is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import NormalDist

FUTILE = 0.01

Key = tuple[str, int]
"""Task digest and attempt."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of one agent at one task: the posterior of its chance."""

    won: float = 0.0
    n: int = 0
    prior: float = 0.5

    @property
    def mean(self) -> float:
        return (self.prior + self.won) / (1 + self.n)

    @property
    def width(self) -> float:
        """Standard deviation."""
        return sqrt(self.mean * (1 - self.mean) / (2 + self.n))

    def variance(self, repeats: int) -> float:
        """Of the sum of so many further scores: they share the one chance that is not known."""
        return repeats * self.mean * (1 - self.mean) * (1 + self.n + repeats) / (2 + self.n)


Beliefs = Mapping[str, Belief]
"""By task digest."""


def believed(scores: Mapping[str, Sequence[float]], pool: Mapping[str, Sequence[float]]) -> Beliefs:
    """From an agent's own scores and those of its line, both by task."""
    found = {}
    for task in {**pool, **scores}:
        own, others = scores.get(task, ()), pool.get(task, ())
        found[task] = Belief(fsum(own), len(own), (0.5 + fsum(others)) / (1 + len(others)))
    return found


def order(old: Beliefs, new: Beliefs, open_: Sequence[Key]) -> Sequence[Key]:
    """One whole attempt after the other; within it the widest first, of equals as they came."""

    def wide(task: str) -> float:
        return old.get(task, Belief()).width + new.get(task, Belief()).width

    return sorted(open_, key=lambda key: (key[1], -wide(key[0])))


def chance(
    old: Mapping[Key, float],
    new: Mapping[Key, float],
    open_: Sequence[Key],
    beliefs: tuple[Beliefs, Beliefs],
    weights: Mapping[str, float],
    sure: float = 0.0,
) -> float:
    """How likely `new` is to be ahead at the end by more than `sure` standard deviations of pure luck.

    `old` and `new` are the scores of the attempts that decide, `open_` those of which one or both are still to come.
    """
    ahead, spread, luck = [], [], []
    for key in new.keys() & old.keys():
        difference = weights.get(key[0], 1.0) * (new[key] - old[key])
        ahead.append(difference)
        luck.append(difference**2)
    left: dict[str, list[Key]] = {}
    for key in open_:
        left.setdefault(key[0], []).append(key)
    for task, keys in left.items():
        weight, means = weights.get(task, 1.0), []
        for known, of, sign in ((old, beliefs[0], -1), (new, beliefs[1], 1)):
            belief, missing = of.get(task, Belief()), [key for key in keys if key not in known]
            score = fsum(known[key] for key in keys if key in known) + len(missing) * belief.mean
            ahead.append(sign * weight * score)
            spread.append(weight**2 * belief.variance(len(missing)))
            means.append(score / len(keys))
        apart = means[0] * (1 - means[1]) + means[1] * (1 - means[0])
        luck.append(len(keys) * weight**2 * apart)
    bar, deviation = sure * sqrt(fsum(luck)), sqrt(fsum(spread))
    if deviation == 0:
        return float(fsum(ahead) > bar)
    return 1 - NormalDist(fsum(ahead), deviation).cdf(bar)
