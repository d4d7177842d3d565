"""SICA's choice: the newest agent that is not separable from the best (Robeyns et al. 2025, runner's base choice).

Walking back from the newest, the first agent whose mean reaches L is improved next. In the original L is the lower
bound of the best mean's interval; here it is the highest lower bound of any agent, which is the same where all were
measured equally often. Else an agent could lose its turn by overtaking the best with fewer trials and a wider interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sica.economy import estimate, interval
from sica.model import Archive, Step
from sica.policies._shared import missing


def policy(archive: Archive, rng: Random) -> Sequence[Step]:
    if steps := missing(archive):
        return steps
    known = [a for a in archive.ready() if archive.measured(a.commit)]
    if not known:
        return []
    means = {a.commit: estimate(archive, a.commit) for a in known}
    floor = max(min(interval(archive, commit)[0], mean) for commit, mean in means.items())
    newest = max((a for a in known if means[a.commit] >= floor), key=lambda a: a.number)
    return [archive.improve(newest.commit)]
