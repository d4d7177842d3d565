"""Check out the best commit: improve the agent whose lower confidence bound is highest.

The interval is what keeps a lucky draw on few tasks from being taken for the best agent. An agent that had `patience`
improvements and not one living child may have lost its way with code: it stands back while there is another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from sica.economy import estimate, interval
from sica.model import Archive, Step
from sica.policies._shared import crossed, missing, offspring


def policy(archive: Archive, rng: Random, *, patience: int = 5, merge: float = 0.0) -> Sequence[Step]:
    if steps := missing(archive):
        return steps
    known = [a for a in archive.ready() if archive.measured(a.commit)]
    if not known:
        return []
    means = {a.commit: estimate(archive, a.commit) for a in known}
    if crossing := crossed(archive, lambda: means, merge, rng):
        return crossing
    tried = Counter(made.parent for made in archive.improvements if not (made.fault or made.other))
    children = offspring(archive)
    fertile = [a for a in known if children[a.commit] or tried[a.commit] < patience]
    best = max(fertile or known, key=lambda a: (interval(archive, a.commit)[0], a.number))
    return [archive.improve(best.commit)]
