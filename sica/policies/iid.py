"""The control: every child is the seed's, and nothing is learnt from what was measured.

What a search finds above this, at the same budget, is what the search is worth; the rest is having tried often.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sica.model import Archive, Step
from sica.policies._shared import known, missing


def policy(archive: Archive, rng: Random) -> Sequence[Step]:
    if steps := missing(archive):
        return steps
    eldest = min(
        known(archive).means,
        key=lambda c: (len(archive.agents[c].parents), archive.agents[c].number),
        default=None,
    )
    return [archive.improve(eldest)] if eldest else []
