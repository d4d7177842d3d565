"""What a trial is worth making: racing, looks, and which task comes first. Pure.

A child is measured against its parent, on the same tasks and attempts, and looked at after 10, 30, 90, ... of them and
after each whole attempt. With d the differences in utility so far,

    z = sum(d) / sqrt(sum(d^2))          for pass and fail: (gained - lost) / sqrt(gained + lost)

and below -1 the race is over: the child keeps what was measured, is measured no further and cannot become champion.
It only ever stops for futility, so that no error of the first kind is added. The parent's own trials are known already.

Which task comes first: those that tell agents of this level apart. With s and n the sum and the number of scores that
the other agents before it have at a task, p = (s + 1/2) / (n + 1), and the higher p (1 - p), the earlier. The parent's
own scores are left out: chosen by them, the tasks would be those on which it was lucky, and every child look worse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import fsum, sqrt
from operator import mul
from typing import NamedTuple, TypeVar

from sica.model import Agent, Archive, Evaluate, Trial
from sica.stats import wilson
from sica.utility import bounds, mean_utility, utility

FIRST, GROWTH = 10, 3
FUTILE = -1.0

T = TypeVar("T")
Outcomes = Mapping[tuple[str, int], float]
"""Task digest and attempt -> what came of it."""


@dataclass(frozen=True, slots=True)
class Race:
    """How a child stands against the agent that it is measured against."""

    against: str
    """Commit."""
    n: int
    """Trials that both have."""
    of: int
    z: float
    difference: float
    """Mean of (child - other) over those trials."""
    stopped: bool

    @property
    def words(self) -> str:
        return f"stopped early after {self.n} of {self.of} trials: z {self.z:+.1f}"


@lru_cache
def looks(tasks: int, attempts: int = 1) -> tuple[int, ...]:
    """So many trials in, a child is looked at; the last look of all would save nothing and is left out."""
    within = []
    at = FIRST
    while at < tasks:
        within.append(at)
        at *= GROWTH
    return (*within, *(tasks * attempt for attempt in range(1, attempts)))


def race(mine: Outcomes, theirs: Outcomes, tasks: int, attempts: int = 1, against: str = "") -> Race:
    """The race as far as both have been measured."""
    differences = [value - theirs[key] for key, value in mine.items() if key in theirs]
    n, total = len(differences), fsum(differences)
    spread = sqrt(fsum(map(mul, differences, differences)))
    z = total / spread if spread else 0.0
    stopped = n in looks(tasks, attempts) and z < FUTILE
    return Race(against, n, tasks * attempts, z, total / n if n else 0.0, stopped)


def races(
    parents: Mapping[str, Sequence[str]], outcomes: Mapping[str, Outcomes], tasks: int, attempts: int = 1
) -> Mapping[str, Race]:
    """Of many agents at once, from what the ledger tells of them; parents before their children."""
    found: dict[str, Race] = {}
    for agent, above in parents.items():
        rivals = [found[p].against if p in found and found[p].stopped else p for p in above]
        able = [p for p in rivals if outcomes.get(p)]
        if able and outcomes.get(agent):
            against = max(able, key=lambda p: fsum(outcomes[p].values()) / len(outcomes[p]))
            found[agent] = race(outcomes[agent], outcomes[against], tasks, attempts, against)
    return found


def raced(archive: Archive, agent: str) -> Race | None:
    """The agent's race; None for a seed, which runs against nobody, and for one whose rival has no score yet."""
    return _of_line(archive, "race", agent, lambda: _raced(archive, archive.agents[agent]))


def stopped(archive: Archive, agent: str) -> bool:
    found = raced(archive, agent)
    return found is not None and found.stopped


def offers(archive: Archive, agent: str) -> tuple[Evaluate, ...]:
    """Of the open trials those up to the next look, the telling ones first; none when the race is over."""

    def more(before: Batch, trials: Sequence[Trial]) -> Batch:
        """Without what was made; once the look has come, or by any other way than that, anew."""
        left = dict(before.trials)
        for t in trials:
            key = t.digest, t.attempt
            if t.score is None or key not in before.counting or left.pop(key, None) is None:
                return _batch(archive, agent)
        return Batch(left, tuple(left.values()), before.counting) if left else _batch(archive, agent)

    trials, before = archive.trials.get(archive.agents[agent].tree, ()), _before(archive, agent)
    # The same object as long as the same agents were there before it, and no other has another trial.
    undisturbed = archive.known(("undisturbed", agent, before), lambda: _others(archive, agent), object)
    batch = archive.grown(("batch", agent), trials, lambda: _batch(archive, agent), more, beside=undisturbed)
    return batch.steps


def estimate(archive: Archive, agent: str) -> float:
    """The agent's mean over all tasks. Of one that was stopped, which saw some of them only: what the other one has
    on all, plus their difference on those that both saw."""
    if not archive.offers:
        return mean_utility(archive, agent)
    return _of_line(archive, "estimate", agent, lambda: _estimate(archive, agent))


def _estimate(archive: Archive, agent: str) -> float:
    found = raced(archive, agent)
    if found is None or not found.stopped:
        return mean_utility(archive, agent)
    return min(1.0, max(0.0, mean_utility(archive, found.against) + found.difference))


def interval(archive: Archive, agent: str) -> tuple[float, float]:
    """Of the estimate; as wide as the trials that the agent itself had make it."""
    if not archive.offers:
        return bounds(archive, agent)
    return _of_line(archive, "interval", agent, lambda: _interval(archive, agent))


def _interval(archive: Archive, agent: str) -> tuple[float, float]:
    found = raced(archive, agent)
    if found is None or not found.stopped:
        return bounds(archive, agent)
    return wilson(estimate(archive, agent), found.n)


# ── within ────────────────────────────────────────────────────────────────────────────────────────


def _of_line(archive: Archive, what: str, agent: str, find: Callable[[], T]) -> T:
    """What follows from the trials of the agent and of its ancestors."""
    return archive.known((what, agent), archive.line(agent), find)


class Batch(NamedTuple):
    """The trials of an agent up to its next look."""

    trials: Mapping[tuple[str, int], Evaluate]
    steps: tuple[Evaluate, ...]
    """The same in a row."""
    counting: Collection[tuple[str, int]] = ()
    """Those that the agent it runs against has, too: each is one more towards the look."""


def _batch(archive: Archive, agent: str) -> Batch:
    if archive.finished(agent):
        return Batch({}, ())
    found = raced(archive, agent)
    if found is None:
        open_ = archive.open(agent, range(archive.attempts))
        return Batch(open_, tuple(open_.values()), open_)
    if found.stopped:
        return Batch({}, ())
    done = archive.done(agent)
    following = next((at for at in looks(len(archive.tasks), archive.attempts) if at > found.n), None)
    ordered = [key for key in _order(archive, agent, found.against) if key not in done]
    upto = ordered[: following - found.n] if following else ordered
    trials = {key: Evaluate(agent, *key) for key in upto}
    return Batch(trials, tuple(trials.values()), _outcomes(archive, found.against))


def _others(archive: Archive, agent: str) -> frozenset[str]:
    """Trees whose trials may change what an agent is offered, beside its own: its ancestors', and of those that were
    there before it."""

    return (archive.line(agent) | _before(archive, agent)) - {archive.agents[agent].tree}


def _before(archive: Archive, agent: str) -> frozenset[str]:
    """Trees of the ready ones that were there before it: they tell which tasks come first."""

    def find() -> frozenset[str]:
        me = archive.agents[agent]
        return frozenset(a.tree for a in archive.ready() if a.number < me.number)

    return archive.known(("before", agent), ("ready",), find)


def _raced(archive: Archive, me: Agent) -> Race | None:
    rival = _rival(archive, me)
    if rival is None:
        return None
    mine, theirs = (_outcomes(archive, commit) for commit in (me.commit, rival.commit))
    return race(mine, theirs, len(archive.tasks), archive.attempts, rival.commit)


def _rival(archive: Archive, agent: Agent) -> Agent | None:
    """The parent; in place of one that was itself stopped, its rival. Of two parents the better one's."""
    rivals = []
    for commit in agent.parents:
        if commit in archive.agents:
            before = raced(archive, commit)
            rivals.append(archive.agents[before.against if before and before.stopped else commit])
    able = [a for a in rivals if a.tree != agent.tree and archive.scored(a.commit)]
    return max(able, key=lambda a: mean_utility(archive, a.commit), default=None)


def _outcomes(archive: Archive, agent: str) -> Outcomes:
    def find() -> Outcomes:
        weights, ordinary = archive.weights, archive.attempts
        return {
            (t.digest, t.attempt): utility(t, weights) for t in archive.scored(agent) if t.attempt < ordinary
        }

    tree = archive.agents[agent].tree
    return archive.known(("outcomes", tree), (tree,), find)


def _order(archive: Archive, agent: str, against: str) -> Sequence[tuple[str, int]]:
    """What the rival has, too, comes first, the telling ones before the others; else the tasks' order."""

    def find() -> Sequence[tuple[str, int]]:
        theirs, telling = _outcomes(archive, against), _telling(archive, agent, against)
        every = [(t.digest, attempt) for attempt in range(archive.attempts) for t in archive.tasks]
        return sorted(every, key=lambda key: (key[1], key not in theirs, -telling.get(key[0], 0.25)))

    return archive.known(
        ("order", agent, against, _before(archive, agent)), lambda: _others(archive, agent), find
    )


def _telling(archive: Archive, agent: str, against: str) -> Mapping[str, float]:
    """By task digest, p (1 - p) among the agents that were there before; a task that nobody tried tells the most."""
    me = archive.agents[agent]
    apart = me.tree, archive.agents[against].tree
    before = dict.fromkeys(a.tree for a in archive.ready() if a.number < me.number)
    return _spread(archive, [tree for tree in before if tree not in apart])


def _spread(archive: Archive, trees: Iterable[str]) -> Mapping[str, float]:
    scores: dict[str, list[float]] = {}
    for tree in trees:
        for t in archive.trials.get(tree, ()):
            if t.score is not None:
                scores.setdefault(t.digest, []).append(t.score)
    shares = {digest: (fsum(of) + 0.5) / (len(of) + 1) for digest, of in scores.items()}
    return {digest: p * (1 - p) for digest, p in shares.items()}
