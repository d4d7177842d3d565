"""Who `main` points at. Pure.

Choosing the highest of many noisy means overstates it (the winner's curse: +13 to +26 points for the best of ten
on 10 to 18 tasks), so a would-be champion and the reigning one are both measured again on fresh attempts, and
only those decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sica.model import Agent, Archive, Evaluate, Promotion
from sica.stats import compare
from sica.utility import mean_utility

Rule = Literal["mean", "separable"]


def confirmations(archive: Archive, fresh: int) -> Sequence[Evaluate]:
    """Fresh trials still needed to decide on the best challenger that is not decided yet."""
    for challenger in _challengers(archive):
        if not _decidable(archive, challenger, fresh):
            return [
                step
                for agent in (challenger.commit, archive.champion)
                for step in archive.missing(agent, _deciding(archive, fresh))
            ]
    return ()


def promotion(archive: Archive, fresh: int, rule: Rule) -> Promotion | None:
    """The promotion that the archive's facts ask for, if any."""
    for challenger in _challengers(archive):
        if not _decidable(archive, challenger, fresh):
            return None  # a better challenger is still being measured: wait for it
        old, new = (_value(archive, a, fresh) for a in (archive.champion, challenger.commit))
        if new > old and (rule == "mean" or _separable(archive, challenger, fresh)):
            on = f"{fresh} fresh attempt{'s' * (fresh != 1)} per task" if fresh else "the same attempts"
            return Promotion(challenger.commit, f"{new:.3f} against {old:.3f} on {on}", archive.run)
    return None


def _challengers(archive: Archive) -> Sequence[Agent]:
    """Agents measured in full that beat the champion on the ordinary attempts and that nothing flags; best first."""
    unfinished = archive.unfinished()
    finished = archive.found(
        "finished",
        (archive.agents, unfinished),
        lambda: tuple(a for a in archive.ready() if a.commit not in unfinished),
    )
    if not any(a.commit == archive.champion for a in finished):
        return ()
    better = archive.found(
        ("better", archive.champion, archive.attempts),
        (finished, archive.tasks, archive.weights),
        lambda: _better(archive, finished),
    )
    return [a for a in better if not _flagged(archive, a)]


def _better(archive: Archive, finished: Sequence[Agent]) -> Sequence[Agent]:
    """Ordinary trials are all there, so that whatever else is measured of these agents changes nothing here."""
    means = {a.commit: mean_utility(archive, a.commit) for a in finished}
    able = [a for a in finished if means[a.commit] > means[archive.champion]]
    return sorted(able, key=lambda a: (-means[a.commit], a.number))


def _flagged(archive: Archive, agent: Agent) -> bool:
    """Here, or ever: what the probes of `integrity` found counts too, though their scores are in no mean."""
    return agent.tree in archive.flagged or any(t.ending == "integrity" for t in archive.scored(agent.commit))


def _deciding(archive: Archive, fresh: int) -> range:
    return range(archive.attempts, archive.attempts + fresh) if fresh else range(archive.attempts)


def _decidable(archive: Archive, challenger: Agent, fresh: int) -> bool:
    attempts = _deciding(archive, fresh)
    return all(archive.measured(a, attempts) for a in (archive.champion, challenger.commit))


def _value(archive: Archive, agent: str, fresh: int) -> float:
    return mean_utility(archive, agent, _deciding(archive, fresh))


def _separable(archive: Archive, challenger: Agent, fresh: int) -> bool:
    attempts = _deciding(archive, fresh)
    old, new = (
        {
            task.digest: [
                t.score
                for t in archive.scored(agent)
                if t.digest == task.digest and t.attempt in attempts and t.score is not None
            ]
            for task in archive.tasks
        }
        for agent in (archive.champion, challenger.commit)
    )
    return compare(old, new).separable
