"""Who `main` points at. Pure.

Choosing the highest of many noisy means overstates it (the winner's curse: +13 to +26 points for the best of ten
on 10 to 18 tasks), so a would-be champion and the reigning one are both measured again on fresh attempts, and
only those decide. They are made one whole attempt after the other, and a challenger that is not ahead is let go.

    mean         ahead on all the fresh attempts: in half of the cases luck alone
    separable    and more than noise: with p one-sided, under swaps of the two agents' trials within each task,
                 the k-th challenger of one champion needs p < 5 % / (k (k + 1))

Those shares add up to 5 %, however many children are tried: a run whose children are all as good as the champion
promotes one of them in at most one of twenty runs. Nobody is promoted who is worse in one kind of task by more than
`veto`, with a chance of 90 %, nor whom an integrity finding flags, nor who was not measured in full.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal

from sica import repeats
from sica.model import Agent, Archive, Evaluate, Promotion
from sica.stats import swapped
from sica.utility import mean_utility, utility

Rule = Literal["mean", "separable"]

ALPHA = 0.05
SURE = 0.9
SIGNIFICANT = 1.96
"""Standard deviations: what the first challenger of a champion needs; later ones need more."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """How a challenger is proved. A plan has one: what is asked of it at every step tells them apart at a glance."""

    fresh: int = 1
    """Attempts that decide."""
    rule: Rule = "separable"
    veto: float | None = None
    """A champion is not worse than the last one by more than this in any kind of task."""
    futile: float = repeats.FUTILE
    """A challenger whose chance is below this is let go before all of its fresh attempts are made; 0 never does."""


def confirmations(archive: Archive, terms: Terms) -> Sequence[Evaluate]:
    """Fresh trials still needed to decide on the best challenger that is not decided yet, the telling ones first."""
    open_ = _decided(archive, terms)[1]
    if open_ is None:
        return ()
    challenger, attempts = open_
    pair = challenger.commit, archive.champion
    steps = [step for agent in pair for step in archive.missing(agent, attempts)]
    places = {key: place for place, key in enumerate(_order(archive, challenger, attempts))}
    return sorted(steps, key=lambda s: places[s.task, s.attempt])


def promotion(archive: Archive, terms: Terms) -> Promotion | None:
    """The promotion that the archive's facts ask for, if any."""
    return _decided(archive, terms)[0]


def _decided(archive: Archive, terms: Terms) -> tuple[Promotion | None, tuple[Agent, range] | None]:
    """Who is to be promoted, and what is still open. No trial of another line changes anything in it."""

    def find() -> tuple[Promotion | None, tuple[Agent, range] | None]:
        able = [a for a in _better(archive)[0] if not _flagged(archive, a)]
        return _promotion(archive, able, terms), _first_open(archive, able, terms)

    return archive.known(("decided", archive.champion, terms), lambda: _better(archive)[1], find)


def _first_open(archive: Archive, challengers: Sequence[Agent], terms: Terms) -> tuple[Agent, range] | None:
    """The best challenger that is not decided yet, and the attempts that are being made."""
    for challenger in challengers:
        if _candidacy(archive, challenger, terms) == "open":
            rounds = _rounds(archive, terms.fresh)
            return challenger, next(r for r in rounds if _unsettled(archive, challenger, r))
    return None


def _promotion(archive: Archive, challengers: Sequence[Agent], terms: Terms) -> Promotion | None:
    fresh, attempts = terms.fresh, _deciding(archive, terms.fresh)
    found = [_candidacy(archive, challenger, terms) for challenger in challengers]
    tried = sum(candidacy != "open" for candidacy in found)
    for challenger, candidacy in zip(challengers, found, strict=True):
        if candidacy == "open":
            return None  # a better challenger is still being measured: wait for it
        if candidacy == "lost":
            continue
        p = _luck(archive, challenger, attempts)
        if terms.rule == "separable" and not p < ALPHA / (tried * (tried + 1)):
            continue
        if terms.veto is not None and worse_kinds(archive, challenger.commit, terms.veto):
            continue
        old, new = (mean_utility(archive, a, attempts) for a in (archive.champion, challenger.commit))
        on = f"{fresh} fresh attempt{'s' * (fresh != 1)} per task" if fresh else "the same attempts"
        noise = f"p {p:.2g}" if p < 0.05 else f"p {p:.2g}: not separable from noise"
        return Promotion(challenger.commit, f"{new:.3f} against {old:.3f} on {on} ({noise})", archive.run)
    return None


def worse_kinds(archive: Archive, agent: str, margin: float) -> Sequence[str]:
    """Kinds of task in which the agent is worse than the champion by more than the margin, with a chance of 90 %."""
    kinds = sorted({task.kind or task.benchmark for task in archive.tasks})
    return [kind for kind in kinds if _surely_worse(archive, agent, kind, margin)]


def _surely_worse(archive: Archive, agent: str, kind: str, margin: float) -> bool:
    """By two Beta posteriors on every attempt known; their difference taken for normal."""
    digests = {t.digest for t in archive.tasks if (t.kind or t.benchmark) == kind}
    means, variance = [], 0.0
    for commit in (archive.champion, agent):
        scores = [t.score for t in archive.scored(commit) if t.digest in digests and t.score is not None]
        won, lost = 1 + sum(scores), 1 + len(scores) - sum(scores)
        means.append(won / (won + lost))
        variance += won * lost / ((won + lost) ** 2 * (won + lost + 1))
    return NormalDist(means[1] - means[0], sqrt(variance)).cdf(-margin) >= SURE


def _better(archive: Archive) -> tuple[Sequence[Agent], Collection[str]]:
    """Agents measured in full that beat the champion on the ordinary attempts, flagged ones too; best first.

    And what a decision among them follows from: the trees of their lines, with the champion's.
    """
    return archive.known(("better", archive.champion), _FULL, lambda: _beating(archive))


_FULL = ("ready", "finished")
"""Nothing else that is measured of agents that have all ordinary trials changes anything in it."""


def _beating(archive: Archive) -> tuple[Sequence[Agent], Collection[str]]:
    unfinished = frozenset(archive.unfinished())
    means = {a.commit: mean_utility(archive, a.commit) for a in archive.ready() if a.commit not in unfinished}
    if archive.champion not in means:
        return (), _FULL
    able = [archive.agents[commit] for commit, mean in means.items() if mean > means[archive.champion]]
    able.sort(key=lambda a: (-means[a.commit], a.number))
    lines = (archive.line(a.commit) for a in (archive.agents[archive.champion], *able))
    return able, frozenset[str](_FULL).union(*lines)


def _flagged(archive: Archive, agent: Agent) -> bool:
    """Here, or ever: what the probes of `integrity` found counts too, though their scores are in no mean."""
    return agent.tree in archive.flagged or any(t.ending == "integrity" for t in archive.scored(agent.commit))


def _deciding(archive: Archive, fresh: int) -> range:
    return range(archive.attempts, archive.attempts + fresh) if fresh else range(archive.attempts)


def _rounds(archive: Archive, fresh: int) -> Sequence[range]:
    """The deciding attempts as they are made: the first, the first two, ..."""
    every = _deciding(archive, fresh)
    return [every[: n + 1] for n in range(fresh)] if fresh else [every]


def _unsettled(archive: Archive, challenger: Agent, attempts: range) -> Sequence[Evaluate]:
    """In flight or not; empty once both have all and a score."""
    return [
        step for agent in (challenger.commit, archive.champion) for step in archive.unsettled(agent, attempts)
    ]


def _ahead(archive: Archive, challenger: Agent, attempts: range) -> bool:
    old, new = (mean_utility(archive, a, attempts) for a in (archive.champion, challenger.commit))
    return new > old


def _candidacy(archive: Archive, challenger: Agent, terms: Terms) -> Literal["open", "lost", "ahead"]:
    """Ahead: measured on all fresh attempts, and ahead after each of them."""

    def find() -> Literal["open", "lost", "ahead"]:
        for attempts in _rounds(archive, terms.fresh):
            if _unsettled(archive, challenger, attempts):
                return "lost" if _futile(archive, challenger, terms) else "open"
            if not _ahead(archive, challenger, attempts):
                return "lost"
        return "ahead"

    pair = archive.champion, challenger.commit
    return archive.known(
        ("candidacy", *pair, terms), lambda: archive.line(pair[0]) | archive.line(pair[1]), find
    )


def _futile(archive: Archive, challenger: Agent, terms: Terms) -> bool:
    """Whether what is still to be made of the fresh attempts will hardly crown the challenger."""
    attempts = _deciding(archive, terms.fresh)
    before, now = (
        {
            (t.digest, t.attempt): utility(t, archive.weights)
            for t in archive.scored(a)
            if t.attempt in attempts
        }
        for a in (archive.champion, challenger.commit)
    )
    chance = repeats.chance(
        before,
        now,
        list(dict.fromkeys((s.task, s.attempt) for s in _unsettled(archive, challenger, attempts))),
        # Nobody else's scores: a change that helps everywhere is not foreseen by who did not have it.
        _beliefs(archive, challenger, {}),
        {t.digest: t.weight for t in archive.tasks},
        SIGNIFICANT if terms.rule == "separable" else 0.0,
    )
    return chance < terms.futile


def _order(archive: Archive, challenger: Agent, attempts: range) -> Sequence[tuple[str, int]]:
    every = [(t.digest, attempt) for attempt in attempts for t in archive.tasks]
    return repeats.order(*_beliefs(archive, challenger, _pool(archive, challenger)), every)


def _beliefs(
    archive: Archive, challenger: Agent, pool: Mapping[str, Sequence[float]]
) -> tuple[repeats.Beliefs, repeats.Beliefs]:
    """Of the champion and the challenger, by every attempt known and by what others scored."""
    old, new = (_by_task(archive, a) for a in (archive.champion, challenger.commit))
    return repeats.believed(old, pool), repeats.believed(new, pool)


def _pool(archive: Archive, challenger: Agent) -> Mapping[str, Sequence[float]]:
    """What the challenger's line scored, by task."""
    pool: dict[str, list[float]] = {}
    for tree in sorted(archive.line(challenger.commit)):
        for t in archive.trials.get(tree, ()):
            if t.score is not None and t.attempt < archive.attempts:
                pool.setdefault(t.digest, []).append(utility(t, archive.weights))
    return pool


def _luck(archive: Archive, challenger: Agent, attempts: range) -> float:
    """How likely it is that the challenger is no better, and so far ahead by luck."""
    pair = archive.champion, challenger.commit
    return archive.known(
        ("luck", *pair, attempts.start, attempts.stop),
        [archive.agents[a].tree for a in pair],
        lambda: swapped(*(_by_task(archive, a, attempts) for a in pair)),
    )


def _by_task(archive: Archive, agent: str, attempts: range | None = None) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = {}
    for t in archive.scored(agent):
        if attempts is None or t.attempt in attempts:
            found.setdefault(t.digest, []).append(utility(t, archive.weights))
    return found
