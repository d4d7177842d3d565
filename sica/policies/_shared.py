"""What the policies share. Pure.

A policy that is random says so as chances: one number for each possible parent, adding up to one. Tests read them, and
one draw at the end is all the randomness there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations
from math import exp, fsum
from random import Random

from sica.economy import estimate
from sica.model import Agent, Archive, Improve, Merge, Step, Task
from sica.utility import utility

Chances = Mapping[str, float]
"""By commit of a possible parent; they add up to one, and are empty when there is none."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is still to be measured, and the mean of every agent that is measured: the possible parents."""

    missing: Sequence[Step] = ()
    means: Mapping[str, float] = field(default_factory=dict)
    staged: frozenset[str] = frozenset()
    """Agents that fell short in the first stage and were measured no further."""


def missing(archive: Archive, stage: int = 0, bar: float = 0.0) -> Sequence[Step]:
    """Of every agent, all tasks; or what `known` says with a stage."""
    if 0 < stage < len(archive.tasks):
        return known(archive, stage, bar).missing
    every = [archive.missing(agent) for agent in archive.unmeasured()]
    return every[0] if len(every) == 1 else [*chain.from_iterable(every)]


def known(archive: Archive, stage: int = 0, bar: float = 0.0) -> Known:
    """All tasks for every agent; with a stage, its first tasks, and the rest only for those that reach the bar.

    The seed is always measured in full: without it there is nothing to compare with.
    """
    first = archive.tasks[:stage] if 0 < stage < len(archive.tasks) else ()
    wanted: list[Step] = []
    unmeasured = frozenset(archive.unmeasured())
    means: dict[str, float] = {}
    staged = set()
    for agent in archive.ready():
        short = bool(first) and bool(agent.parents) and _short(archive, agent, first, bar)
        if short:
            wanted += _within(archive, agent, first)
        elif agent.commit in unmeasured:
            wanted += archive.missing(agent.commit)
        if short and not _settled(archive, agent, first):
            continue
        if short:
            means[agent.commit] = mean_on(archive, agent.commit, first)
            staged.add(agent.commit)
        elif archive.measured(agent.commit):
            means[agent.commit] = estimate(archive, agent.commit)
    return Known(wanted, means, frozenset(staged))


def _short(archive: Archive, agent: Agent, first: Sequence[Task], bar: float) -> bool:
    """Whether the first stage is all that the agent gets, as far as it is known."""
    return not _settled(archive, agent, first) or mean_on(archive, agent.commit, first) < bar


def _settled(archive: Archive, agent: Agent, tasks: Sequence[Task]) -> bool:
    """Whether these tasks, alone, are settled."""
    return Archive(
        archive.agents, tuple(tasks), archive.trials, attempts=archive.attempts, run=archive.run
    ).measured(agent.commit)


def _within(archive: Archive, agent: Agent, tasks: Sequence[Task]) -> list[Step]:
    digests = {t.digest for t in tasks}
    return [s for s in archive.missing(agent.commit, range(archive.attempts)) if s.task in digests]


def mean_on(archive: Archive, agent: str, tasks: Sequence[Task]) -> float:
    """Mean utility on these tasks alone; 0 without a score."""
    digests = {t.digest for t in tasks}
    values = [
        utility(t, archive.weights)
        for t in archive.scored(agent)
        if t.digest in digests and t.attempt < archive.attempts
    ]
    return fsum(values) / len(values) if values else 0.0


def offspring(archive: Archive) -> Mapping[str, int]:
    """How many children every agent has or is about to have; the rejected ones do not count.

    Improvements in flight do: else every free worker would be sent to the same parent.
    """
    found = dict.fromkeys(archive.agents, 0)
    for agent in archive.agents.values():
        for parent in agent.parents:
            if agent.standing != "rejected" and parent in found:
                found[parent] += 1
    for step in archive.in_flight:
        parents: Sequence[str] = (step.parent,) if isinstance(step, Improve) else ()
        if isinstance(step, Merge):
            parents = step.parent, step.other
        for parent in parents:
            if parent in found:
                found[parent] += 1
    return found


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x)) if x >= 0 else 1 - 1 / (1 + exp(x))


def shares(weights: Mapping[str, float]) -> Chances:
    """Weights as chances; equal ones when no weight is left, so that there is always a parent."""
    total = fsum(weights.values())
    if not total > 0:
        return {name: 1 / len(weights) for name in weights}
    return {name: weight / total for name, weight in weights.items()}


PAIRED = 8
"""Of so many of the best agents, a pair is looked for that is to be merged."""


def crossed(
    archive: Archive, known: Callable[[], Mapping[str, float]], share: float, rng: Random
) -> list[Step]:
    """With this chance the merge of the two that solve most between them; nothing when no two can be merged.

    Neither descends from the other, and no pair is tried twice. The better one comes first.
    """
    if share <= 0 or rng.random() >= share:
        return []
    means = known()
    best = sorted(means, key=lambda c: (-means[c], archive.agents[c].number))[:PAIRED]
    merged = archive.merged()
    pairs = [
        (one, other)
        for one, other in combinations(best, 2)
        if frozenset((one, other)) not in merged
        and archive.agents[one].tree not in archive.line(other)
        and archive.agents[other].tree not in archive.line(one)
    ]
    if not pairs:
        return []
    scores = {commit: _by_task(archive, commit) for commit in best}
    one, other = max(pairs, key=lambda pair: fsum(map(max, *(scores[c] for c in pair))))
    return [Merge(one, other)]


def _by_task(archive: Archive, agent: str) -> Sequence[float]:
    """Mean score at each task; of a task that it was not tried at, nothing."""
    scores: dict[str, list[float]] = {}
    for t in archive.scored(agent):
        scores.setdefault(t.digest, []).append(t.score or 0.0)
    return [fsum(of) / len(of) if (of := scores.get(t.digest)) else 0.0 for t in archive.tasks]


def drawn(archive: Archive, chances: Chances, rng: Random) -> list[Step]:
    """The improvement of one parent, by chance; nothing when there is no possible parent."""
    if not chances:
        return []
    (parent,) = rng.choices(list(chances), list(chances.values()))
    return [archive.improve(parent)]
