"""SICA's choice: the newest agent that is not separable from the best (Robeyns et al. 2025, runner's base choice).

Walking back from the newest, the first agent whose mean reaches L is improved next. In the original L is the lower
bound of the best mean's interval; here it is the highest lower bound of any agent, which is the same where all were
measured equally often. Else an agent could lose its turn by overtaking the best with fewer trials and a wider interval.
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
    floor = max(min(bounds(archive, commit)[0], mean) for commit, mean in means.items())
    newest = max((a for a in known if means[a.commit] >= floor), key=lambda a: a.number)
    return [archive.improve(newest.commit)]
