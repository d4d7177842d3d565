"""The control: every child is the seed's, and nothing is learnt from what was measured.

What a search finds above this, at the same budget, is what the search is worth; the rest is having tried often.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from sica.model import Archive, Step
from sica.policies._shared import known


def policy(archive: Archive, rng: Random) -> Sequence[Step]:
    now = known(archive)
    if now.missing:
        return now.missing
    eldest = min(
        now.means, key=lambda c: (len(archive.agents[c].parents), archive.agents[c].number), default=None
    )
    return [archive.improve(eldest)] if eldest else []
