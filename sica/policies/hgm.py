"""The Huxley-Goedel Machine's choice (Wang et al. 2025): an ancestor is worth what its descendants achieve.

Of every agent, s and f are the successes and failures of its own trials; S and F those of its clade, which is the
agent and all its descendants. Graded scores count as parts of a success. With N trials scored and |T| agents:

    N^alpha >= |T| - 1        improve the agent with the highest draw of Beta(tau (1 + S), tau (1 + F))
    else                      one trial of the agent with the highest draw of Beta(tau (1 + s), tau (1 + f))

so agents are made as fast as evidence grows, and evidence goes where it may still change the choice. tau is 1, or with
`cooling` (evaluations / those left)^beta: draws come closer to the means as the budget ends. Improvements in flight and
agents before the gate count in |T|, so that many workers do not overshoot. When this run has made its `evaluations`,
the agent with the highest `quantile` of its own posterior is measured in full beside the champion, and that is all.
With `merge` above zero, so many of the new agents are merges of two. With `clade=false` an agent is worth what it
achieves itself: the control for the idea.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import fsum
from operator import attrgetter
from random import Random
from typing import Any, NamedTuple

from sica.errors import UsageError
from sica.model import Agent, Archive, Evaluate, Improve, Merge, Step, Trial
from sica.policies._beta import draws
from sica.policies._beta import quantile as beta_quantile
from sica.policies._shared import crossed
from sica.utility import utility

COLD = 10_000.0
"""tau when nothing is left to spend."""


def policy(
    archive: Archive,
    rng: Random,
    *,
    alpha: float = 0.6,
    evaluations: int = 0,
    cooling: bool = False,
    beta: float = 1.0,
    quantile: float = 0.01,
    clade: bool = True,
    merge: float = 0.0,
) -> Iterator[Step]:
    if cooling and not evaluations:
        raise UsageError("hgm cools towards the end of a budget", "hgm:evaluations=800:cooling=true")
    left = evaluations - _made(archive) if evaluations else 1
    if left <= 0:
        yield from _finish(archive, quantile)
        return
    tau = min(COLD, (evaluations / left) ** beta) if cooling else 1.0
    own = outcomes(archive)

    def means() -> Mapping[str, float]:
        return {a.commit: own[a.tree].won / own[a.tree].n for a in archive.ready() if own[a.tree].n}

    def expand(*, desperate: bool) -> Sequence[Step]:
        worth = clades(archive, own) if clade else {c: own[a.tree] for c, a in archive.agents.items()}
        crossing = crossed(archive, means, merge, rng)
        return crossing or _expand(archive, own, worth, tau, rng, desperate=desperate)

    made = expand(desperate=False) if due(archive, own, alpha) else ()
    yield from made
    measured = _measure(archive, own, tau, rng)
    yield from measured or (() if made else expand(desperate=True))


class Counts(NamedTuple):
    """Successes and failures; parts of one when scores are graded."""

    won: float = 0.0
    lost: float = 0.0
    n: int = 0
    """Trials."""


NOTHING = Counts()
_TRIALS = attrgetter("n")


def outcomes(archive: Archive) -> Mapping[str, Counts]:
    """By tree: commits with the same code share their trials, and share them once. A fault counts nowhere."""
    return archive.by_tree(_counts)


def _counts(archive: Archive, tree: str) -> Counts:
    def more(before: tuple[float, ...], trials: Sequence[Trial]) -> tuple[float, ...]:
        new = [utility(t, archive.weights) for t in trials if t.score is not None]
        return *before, *(max(0.0, min(v, 1.0)) for v in new)

    values = archive.grown(("values", tree), archive.trials.get(tree, ()), tuple[float, ...], more)
    won = fsum(values)  # the same in whatever order they came
    return Counts(won, len(values) - won, len(values))


def clades(archive: Archive, own: Mapping[str, Counts]) -> Mapping[str, Counts]:
    """By commit. Every tree counts once for each of its ancestors, however many ways lead there."""
    totals: dict[str, list[Any]] = {commit: [0.0, 0.0, 0] for commit in archive.agents}
    for tree, ancestors in archive.known("ancestors", ("agents",), lambda: _ancestors(archive)):
        won, lost, n = own[tree]
        if n:
            for total in [totals[commit] for commit in ancestors]:
                total[0] += won
                total[1] += lost
                total[2] += n
    return {commit: Counts(*total) if total[2] else NOTHING for commit, total in totals.items()}


def _ancestors(archive: Archive) -> Sequence[tuple[str, Collection[str]]]:
    """Every tree, in an order that stays, with the agents that have it and all their ancestors."""
    found: dict[str, frozenset[str]] = {}
    for commit, agent in archive.agents.items():
        above = archive.above(commit)
        found[agent.tree] = found[agent.tree] | above if agent.tree in found else above
    return sorted(found.items())


def due(archive: Archive, own: Mapping[str, Counts], alpha: float) -> bool:
    """Whether the evidence is enough for one more agent."""
    agents = len(archive.ready()) + len(archive.unchecked())
    pending = sum(isinstance(step, Improve | Merge) for step in archive.in_flight)
    trials = sum(map(_TRIALS, own.values()))
    return bool(trials**alpha >= agents - 1 + pending)


def _expand(
    archive: Archive,
    own: Mapping[str, Counts],
    worth: Mapping[str, Counts],
    tau: float,
    rng: Random,
    *,
    desperate: bool,
) -> Sequence[Step]:
    """Agents that have solved nothing are left out, unless nothing else can be done or is under way."""
    tried = [a for a in archive.ready() if own[a.tree].n]
    able = [a for a in tried if own[a.tree].won > 0]
    if desperate and not archive.in_flight:
        able = able or tried
    if not able:
        return []
    commits = [a.commit for a in able]
    return [archive.improve(_highest(commits, [worth[commit] for commit in commits], tau, rng))]


def _measure(archive: Archive, own: Mapping[str, Counts], tau: float, rng: Random) -> Sequence[Step]:
    """One random trial that is missing, of the first attempt that is not complete. No race stops it: this is one."""
    wanted = range(archive.attempts)
    free = archive.unfinished()
    if archive.in_flight:
        free = tuple(commit for commit in free if archive.missing(commit, wanted))
    if not free:
        return []
    best = _highest(free, [own[archive.agents[commit].tree] for commit in free], tau, rng)
    steps = archive.missing(best, wanted)
    return [rng.choice([s for s in steps if s.attempt == steps[0].attempt])]


def _highest(agents: Sequence[str], counts: Iterable[Counts], tau: float, rng: Random) -> str:
    drawn = draws([(tau * (1 + won), tau * (1 + lost)) for won, lost, _ in counts], rng)
    return agents[drawn.index(max(drawn))]


def best(archive: Archive, quantile: float = 0.01) -> Agent | None:
    """The final choice: the ready agent that is good with the highest certainty; None before any score."""
    own = outcomes(archive)
    able = [a for a in archive.ready() if own[a.tree].n]
    return max(
        able,
        key=lambda a: (beta_quantile(quantile, 1 + own[a.tree].won, 1 + own[a.tree].lost), -a.number),
        default=None,
    )


def _made(archive: Archive) -> int:
    """Trials that this run has scored or is making."""
    mine = archive.by_tree(_scored_here)
    return sum(mine.values()) + sum(isinstance(step, Evaluate) for step in archive.in_flight)


def _scored_here(archive: Archive, tree: str) -> int:
    return sum(t.score is not None and t.run == archive.run for t in archive.trials.get(tree, ()))


def _finish(archive: Archive, quantile: float) -> Sequence[Step]:
    """What a promotion of the final choice still needs: the same tasks for it and for the champion."""
    chosen = best(archive, quantile)
    if chosen is None or chosen.commit == archive.champion:
        return []
    reigning = archive.agents.get(archive.champion)
    wanted = range(archive.attempts)
    steps = archive.missing(chosen.commit, wanted)
    if reigning is None or reigning.standing != "ready":
        return steps
    return *steps, *archive.missing(reigning.commit, wanted)
