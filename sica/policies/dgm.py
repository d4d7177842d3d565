"""The Darwin Goedel Machine's choice (Zhang et al. 2025, appendix A.2): good agents with few children.

    s = 1 / (1 + exp(-sharpness (mean - middle)))      h = 1 / (1 + children)      p ~ s h

Every agent keeps a chance: the way to the best one may lead through a poor one.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sica.model import Archive, Step
from sica.policies._shared import Chances, drawn, known, missing, offspring, shares, sigmoid

LEEWAY = 0.1
"""How far below the seed an agent may be with `keep_better`: the noise of the original's evaluation."""


def policy(
    archive: Archive,
    rng: Random,
    *,
    sharpness: float = 10.0,
    middle: float = 0.5,
    keep_better: bool = False,
    stage: int = 0,
    bar: float = 0.4,
) -> Sequence[Step]:
    return missing(archive, stage, bar) or drawn(
        archive,
        chances(archive, sharpness=sharpness, middle=middle, keep_better=keep_better, stage=stage, bar=bar),
        rng,
    )


def chances(
    archive: Archive,
    *,
    sharpness: float = 10.0,
    middle: float = 0.5,
    keep_better: bool = False,
    stage: int = 0,
    bar: float = 0.4,
) -> Chances:
    means = known(archive, stage, bar).means
    roots = [mean for commit, mean in means.items() if not archive.agents[commit].parents]
    floor = min(roots) - LEEWAY if keep_better and roots else float("-inf")
    children = offspring(archive)
    return shares(
        {
            commit: sigmoid(sharpness * (mean - middle)) / (1 + children[commit])
            for commit, mean in means.items()
            if mean >= floor
        }
    )
