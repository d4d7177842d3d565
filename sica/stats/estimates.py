"""What an agent's scores say of it: the mean with its interval, and how much the best of many flatters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import NormalDist, fmean

from sica.stats.proportions import wilson
from sica.stats.resampling import resampled_interval

WILSON, BOOTSTRAP = "Wilson", "cluster bootstrap"


@dataclass(frozen=True, slots=True)
class Estimate:
    mean: float
    """Over trials."""
    low: float
    high: float
    method: str
    """Of the interval: Wilson or cluster bootstrap."""
    tasks: int
    n: int
    """Trials with a score."""


def estimate(by_task: Iterable[Sequence[float]]) -> Estimate | None:
    """The mean over all trials and its 95 % interval, from each task's scores; None without any.

    Wilson for one attempt a task scored 0 or 1. Else attempts at a task are not independent, or scores are not 0/1:
    then tasks are resampled whole. With too few tasks for that, or none that differs, Wilson on the number of tasks:
    too wide rather than too short.
    """
    tasks = [scores for scores in by_task if scores]
    if not tasks:
        return None
    n = sum(map(len, tasks))
    mean = fsum(fsum(scores) for scores in tasks) / n
    span = None if _plain(tasks) else _resampled(tasks, mean, n)
    low, high = span or wilson(mean, len(tasks))
    return Estimate(mean, low, high, BOOTSTRAP if span else WILSON, len(tasks), n)


def _plain(tasks: Sequence[Sequence[float]]) -> bool:
    return all(len(scores) == 1 and scores[0] in (0, 1) for scores in tasks)


def _resampled(tasks: Sequence[Sequence[float]], mean: float, n: int) -> tuple[float, float] | None:
    """Tasks with more trials weigh more: the ratio of two sums, to the first order (exact for equal numbers)."""
    each = len(tasks) / n
    found = resampled_interval([[(mean + each * (fsum(s) - mean * len(s)),) for s in tasks]])
    return found and (max(0.0, found[0]), min(1.0, found[1]))


def mean_of_means(groups: Mapping[str, Iterable[Sequence[float]]]) -> float | None:
    """Tasks within a suite, then suites, each weigh the same: a suite of many tasks does not drown the others."""
    means = [fmean(tasks) for g in groups.values() if (tasks := [fmean(s) for s in g if s])]
    return fmean(means) if means else None


def coverage(scored: int, wanted: int) -> float:
    """The share of the wanted trials that have a score; faults are missing, never zero."""
    return scored / wanted if wanted else 1.0


def overstatement(agents: int, spread: float, trials: int) -> float:
    """By how much the best of so many agents flatters itself on average, were all of them equally good.

    `spread` is the variance of one trial of a task; mean(1 - mean) bounds it. The expected maximum of normal
    variables is taken as Blom 1958 has it.
    """
    if agents < 2 or not trials:
        return 0.0
    return NormalDist().inv_cdf((agents - 0.375) / (agents + 0.25)) * sqrt(spread / trials)
