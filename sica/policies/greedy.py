"""Check out the best commit: improve the agent whose lower confidence bound is highest.

The interval is what keeps a lucky draw on few tasks from being taken for the best agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sica.model import Archive, Step
from sica.utility import bounds


def policy(archive: Archive, rng: Random) -> Sequence[Step]:
    missing = [step for agent in archive.ready() for step in archive.missing(agent.commit)]
    known = [a for a in archive.ready() if archive.measured(a.commit)]
    if missing or not known:
        return missing
    best = max(known, key=lambda a: (bounds(archive, a.commit)[0], a.number))
    return [archive.improve(best.commit)]
