"""HyperAgents' choice (2026): DGM's, with a middle that moves with the archive.

    m = mean of the three highest means      s = 1 / (1 + exp(-10 (mean - m)))
    h = exp(-(children / 8)^3)               p ~ s h

A fixed middle stops telling agents apart once all are good, or while all are poor; this one never does. Four children
cost a parent next to nothing, twelve almost everything. `paper` takes the paper's h = 1 / (1 + children) instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from random import Random
from statistics import fmean

from sica.model import Archive, Step
from sica.policies._shared import Chances, drawn, known, missing, offspring, shares, sigmoid

SHARPNESS = 10.0
TOP = 3


def policy(
    archive: Archive, rng: Random, *, paper: bool = False, stage: int = 0, bar: float = 0.4
) -> Sequence[Step]:
    return missing(archive, stage, bar) or drawn(
        archive, chances(archive, paper=paper, stage=stage, bar=bar), rng
    )


def chances(archive: Archive, *, paper: bool = False, stage: int = 0, bar: float = 0.4) -> Chances:
    found = known(archive, stage, bar)
    part = stage / len(archive.tasks) if archive.tasks else 1.0
    means = {c: mean * part if c in found.staged else mean for c, mean in found.means.items()}
    if not means:
        return {}
    middle = fmean(sorted(means.values())[-TOP:])
    children = offspring(archive)
    return shares(
        {
            commit: sigmoid(SHARPNESS * (mean - middle)) * _novelty(children[commit], paper)
            for commit, mean in means.items()
        }
    )


def _novelty(children: int, paper: bool) -> float:
    return 1 / (1 + children) if paper else exp(-((children / 8) ** 3))
