"""One of the best at a task that is drawn by weight: GEPA's choice by task, mended for pass/fail tasks.

GEPA gives a program weight for every example that it is best at, after pruning programs that others cover. On pass/fail
tasks a single lucky pass makes a front of its own that nothing can take away, while a broadly strong agent, which
shares its fronts, may be pruned and get no chance at all. Here nothing is pruned, and fronts stand on posterior means

    m(agent, task) = (sum of scores on the task + prior * mean of the agent) / (attempts scored + prior)

so that of two agents that pass a task, the front is the better one's, and what nobody passes goes to the best. The
best agent always has a chance; an agent that is good at what the best is bad at has one, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import fsum
from random import Random

from sica.model import Archive, Step
from sica.policies._shared import Chances, crossed, drawn, known, missing, shares
from sica.utility import utility


def policy(archive: Archive, rng: Random, *, prior: float = 1.0, merge: float = 0.0) -> Sequence[Step]:
    return (
        missing(archive)
        or crossed(archive, lambda: known(archive).means, merge, rng)
        or drawn(archive, chances(archive, prior=prior), rng)
    )


def chances(archive: Archive, *, prior: float = 1.0) -> Chances:
    means = known(archive).means
    posterior = {commit: _known(archive, commit, mean, prior) for commit, mean in means.items()}
    weights: dict[str, list[float]] = {commit: [] for commit in means}
    for task, known_of in zip(archive.tasks, zip(*posterior.values(), strict=True), strict=False):
        best = max(known_of)
        front = [commit for commit, value in zip(posterior, known_of, strict=True) if value == best]
        for commit in front:
            weights[commit].append(task.weight / len(front))
    return shares({commit: fsum(won) for commit, won in weights.items()})


def _known(archive: Archive, agent: str, mean: float, prior: float) -> Sequence[float]:
    """By task, in the tasks' order."""
    tree = archive.agents[agent].tree
    return archive.known(
        ("posterior", tree, prior, mean), (tree,), lambda: _posterior(archive, agent, mean, prior)
    )


def _posterior(archive: Archive, agent: str, mean: float, prior: float) -> Sequence[float]:
    scores: Mapping[str, list[float]] = defaultdict(list)
    for trial in archive.scored(agent):
        if trial.attempt < archive.attempts:
            scores[trial.digest].append(utility(trial, archive.weights))
    found = []
    for task in archive.tasks:
        known = scores.get(task.digest, ())
        n = len(known) + prior
        found.append((fsum(known) + prior * mean) / n if n else mean)
    return found
