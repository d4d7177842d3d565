"""Trials to one number. Pure.

SICA's paper: U = 0.5 p + 0.25 (1 - min(1, cost / $10)) + 0.25 (1 - min(1, time / 300 s)), and U <- (1 - 0.5) U after a
timeout. The default here is the score alone: with the paper's weights an agent that fails fast and free earns 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from statistics import fmean

from sica.model import PLAIN, Archive, Trial, Weights
from sica.stats import wilson

PAPER = Weights(0.5, 0.25, 0.25, 10.0, 300.0, 0.5)


def utility(trial: Trial, weights: Weights) -> float:
    """Of one scored trial; in 0..1 when the weights add up to one."""
    assert trial.score is not None, "a fault has no utility"
    if weights is PLAIN:
        return trial.score
    value = (
        weights.score * trial.score
        + weights.cost * (1 - min(1.0, trial.usage.usd / weights.cost_cap))
        + weights.seconds * (1 - min(1.0, trial.usage.seconds / weights.seconds_cap))
    )
    return value * (1 - weights.timeout_penalty) if trial.ending in ("seconds", "stopped") else value


def mean_utility(archive: Archive, agent: str, attempts: range | None = None) -> float:
    """Over the agent's scored trials, tasks by their weight; 0 without any."""
    wanted, tree = attempts or range(archive.attempts), archive.agents[agent].tree
    return archive.known(
        ("mean utility", tree, wanted.start, wanted.stop),
        (tree,),
        lambda: _mean(archive, archive.scored(agent), wanted),
    )


def _mean(archive: Archive, trials: Sequence[Trial], attempts: range) -> float:
    weight = {t.digest: t.weight for t in archive.tasks}
    pairs = [
        (utility(t, archive.weights), weight.get(t.digest, 1.0)) for t in trials if t.attempt in attempts
    ]
    total = fsum(w for _, w in pairs)  # the exact sum: the order in which trials arrived decides nothing
    return fsum(u * w for u, w in pairs) / total if total else 0.0


def bounds(archive: Archive, agent: str) -> tuple[float, float]:
    """Interval of the mean utility over every attempt known; utilities outside 0..1 are clipped for it."""
    tree = archive.agents[agent].tree
    return archive.known(("bounds", tree), (tree,), lambda: _bounds(archive, archive.scored(agent)))


def _bounds(archive: Archive, trials: Sequence[Trial]) -> tuple[float, float]:
    values = [min(1.0, max(0.0, utility(t, archive.weights))) for t in trials]
    return wilson(fmean(values) if values else 0.0, len(values))
