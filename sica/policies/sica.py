"""SICA's choice: the newest agent that is not separable from the best (Robeyns et al. 2025, runner's base choice).

L is the lower bound of the best agent's interval; walking back from the newest, the first agent whose mean reaches L
is improved next. The walk ends at the best itself at the latest.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sica.model import Archive, Step
from sica.utility import bounds, mean_utility


def policy(archive: Archive, rng: Random) -> Sequence[Step]:
    missing = [step for agent in archive.ready() for step in archive.missing(agent.commit)]
    known = [a for a in archive.ready() if archive.measured(a.commit)]
    if missing or not known:
        return missing
    means = {a.commit: mean_utility(archive, a.commit) for a in known}
    best = max(known, key=lambda a: (means[a.commit], a.number))
    floor = min(bounds(archive, best.commit)[0], means[best.commit])
    newest = max((a for a in known if means[a.commit] >= floor), key=lambda a: a.number)
    return [archive.improve(newest.commit)]
