"""Check out the best commit: improve the agent whose lower confidence bound is highest.

The interval is what keeps a lucky draw on few tasks from being taken for the best agent. An agent that had `patience`
improvements and not one living child may have lost its way with code: it stands back while there is another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from sica.economy import interval
from sica.model import Archive, Step
from sica.policies._shared import missing, offspring


def policy(archive: Archive, rng: Random, *, patience: int = 5) -> Sequence[Step]:
    if steps := missing(archive):
        return steps
    known = [a for a in archive.ready() if archive.measured(a.commit)]
    if not known:
        return []
    tried = Counter(made.parent for made in archive.improvements if not made.fault)
    children = offspring(archive)
    fertile = [a for a in known if children[a.commit] or tried[a.commit] < patience]
    best = max(fertile or known, key=lambda a: (interval(archive, a.commit)[0], a.number))
    return [archive.improve(best.commit)]
