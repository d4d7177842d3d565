"""Isolated populations, as in OpenEvolve and ShinkaEvolve: several lines of descent are kept from crowding each other.

An island is a child of the seed with all its descendants: ancestry is the only record of it, so no agent is ever on an
island that its parent is not on, and none drifts to another one. The seed founds islands until there are `count`;
then the island that had the fewest improvements, those in flight included, is next (one whose children never live must
not be next for ever), and within it the parent is

    with `explore`   any agent, equally
    with `exploit`   one of the best quarter, equally
    else             any agent, in proportion to its mean

Migration copies agents between islands elsewhere; here a copy is the same agent. What crosses is a merge: it descends
from two founders and belongs to both islands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from random import Random

from sica.errors import UsageError
from sica.model import Archive, Improve, Step
from sica.policies._shared import Chances, crossed, drawn, known, missing, shares

ELITE = 4
"""One agent in so many is among the best of its island."""


def policy(
    archive: Archive,
    rng: Random,
    *,
    count: int = 4,
    explore: float = 0.2,
    exploit: float = 0.7,
    merge: float = 0.0,
) -> Sequence[Step]:
    if not (min(explore, exploit) >= 0 and explore + exploit <= 1):
        raise UsageError(f"explore = {explore} and exploit = {exploit} are no shares of one whole")
    return (
        missing(archive)
        or crossed(archive, lambda: known(archive).means, merge, rng)
        or drawn(archive, chances(archive, count=count, explore=explore, exploit=exploit), rng)
    )


def chances(archive: Archive, *, count: int = 4, explore: float = 0.2, exploit: float = 0.7) -> Chances:
    means = known(archive).means
    seeds = {c: mean for c, mean in means.items() if not archive.agents[c].parents}
    every = islands(archive)
    founding = sum(
        isinstance(step, Improve) and not archive.agents[step.parent].parents for step in archive.in_flight
    )
    if seeds and len(every) + founding < count:
        return shares(seeds)
    for island in sorted(every, key=lambda founder: _tried(archive, every[founder])):
        if there := {commit: means[commit] for commit in every[island] if commit in means}:
            return _within(there, explore, exploit)
    return shares(seeds or means)


def islands(archive: Archive) -> Mapping[str, Sequence[str]]:
    """Founder -> the founder and its descendants, in order of number. A rejected founder founds nothing."""
    found: dict[str, list[str]] = {}
    homes: dict[str, set[str]] = {}
    for agent in sorted(archive.agents.values(), key=lambda a: a.number):
        parents = [archive.agents[p] for p in agent.parents if p in archive.agents]
        homes[agent.commit] = set().union(*(homes[p.commit] for p in parents))
        if any(not p.parents for p in parents) and not homes[agent.commit] and agent.standing != "rejected":
            homes[agent.commit] = {agent.commit}
            found[agent.commit] = []
        for founder in homes[agent.commit]:
            found[founder].append(agent.commit)
    return found


def _tried(archive: Archive, island: Sequence[str]) -> int:
    made = sum(i.parent in island for i in archive.improvements if not i.fault)
    return made + sum(isinstance(s, Improve) and s.parent in island for s in archive.in_flight)


def _within(means: Mapping[str, float], explore: float, exploit: float) -> Chances:
    ranked = sorted(means, key=lambda commit: -means[commit])
    last = means[ranked[ceil(len(ranked) / ELITE) - 1]]
    elite = [commit for commit in ranked if means[commit] >= last]
    fit = shares({commit: max(mean, 0.001) for commit, mean in means.items()})
    return {
        commit: explore / len(means)
        + exploit * (commit in elite) / len(elite)
        + (1 - explore - exploit) * fit[commit]
        for commit in means
    }
