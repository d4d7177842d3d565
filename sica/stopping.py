"""When a run stops, and what it may still start. Pure.

A cap stops scheduling first: a step is started only where it and everything under way fit into what is left at the
most that they can use. What is running then ends at its own caps and is kept. Near the end one step is run at a time,
by what such steps used before; when even that does not fit the run is over, to be continued under a higher cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sica import champion
from sica.model import Archive, Budget, Check, Evaluate, Improve, Merge, Step, Usage
from sica.utility import mean_utility


@dataclass(frozen=True, slots=True)
class Goal:
    """What is enough."""

    score: float | None = None
    """Utility of the champion; None: the more the better."""
    patience: int | None = None
    """Improvements in a row that led to no promotion; None: any number."""


def reached(archive: Archive, goal: Goal, proof: champion.Terms) -> str:
    """ "score", "patience", or "" to go on. Nothing is reached while a would-be champion is being confirmed."""
    if goal.score is None and goal.patience is None:
        return ""
    if champion.confirmations(archive, proof) or any(_confirming(archive, proof.fresh)):
        return ""
    proven = standing(archive, proof.fresh)
    if goal.score is not None and proven is not None and proven >= goal.score:
        return "score"
    return "patience" if goal.patience is not None and in_vain(archive) >= goal.patience else ""


def standing(archive: Archive, confirm: int) -> float | None:
    """The champion's mean utility: on the fresh attempts that decided on it, since its search attempts flatter it.

    The seed was chosen by nobody, so its ordinary attempts are as good. None until it is measured.
    """
    if not archive.champion:
        return None
    fresh = range(archive.attempts, archive.attempts + confirm) if confirm else None
    for attempts in (fresh, range(archive.attempts)):
        if attempts and archive.measured(archive.champion, attempts):
            return mean_utility(archive, archive.champion, attempts)
    return None


def in_vain(archive: Archive) -> int:
    """Improvements of this run, begun since the last promotion, that ended: no child, or one rejected or measured.

    Those that were begun under the champion before are not held against the new one. A fault is no attempt.
    """
    since = [i for i in archive.improvements if i.run == archive.run and i.started >= archive.crowned]
    return sum(i.child is None or _over(archive, i.child.commit) for i in since if not i.fault)


def _over(archive: Archive, child: str) -> bool:
    known = archive.agents.get(child)
    return known is not None and (known.standing == "rejected" or archive.measured(child))


def _confirming(archive: Archive, confirm: int) -> Iterable[bool]:
    fresh = range(archive.attempts, archive.attempts + confirm)
    return (isinstance(step, Evaluate) and step.attempt in fresh for step in archive.in_flight)


# ── caps ──────────────────────────────────────────────────────────────────────────────────────────


def affordable(step: Step, archive: Archive, improving: Budget, left: Budget) -> bool:
    """Whether the step can be started without cutting short what is under way.

    `left` is after what running steps have used so far, so nothing is counted too low. Alone, a step may count on what
    such steps used before instead of on the most that it may use: then only it can be cut, and it can be done again.
    """
    if left.usd is None and left.tokens is None and left.calls is None:
        return True
    if not archive.in_flight:
        return _fits(_usual(step, archive), left)
    needs = (_most(s, archive, improving) for s in (step, *archive.in_flight))
    return _fits(sum(needs, Usage()), left)


def _fits(need: Usage, left: Budget) -> bool:
    """Where nothing at all is left not even an unknown need fits."""
    pairs = ((need.usd, left.usd), (need.tokens, left.tokens), (need.calls, left.calls))
    return all(cap is None or (cap > 0 and used <= cap * (1 + 1e-9)) for used, cap in pairs)


def _most(step: Step, archive: Archive, improving: Budget) -> Usage:
    """The most that a step can use: its own caps; where there is none, the most that one of its kind used so far."""
    cap, used = Budget(), _used(step, archive)
    if isinstance(step, Improve | Merge):
        cap = improving
    elif isinstance(step, Evaluate):
        cap = next((t.budget for t in archive.tasks if t.digest == step.task), cap)
    seen = Usage(
        usd=max((u.usd for u in used), default=0.0),
        prompt_tokens=max((u.tokens for u in used), default=0),
        calls=max((u.calls for u in used), default=0),
    )
    return Usage(
        usd=seen.usd if cap.usd is None else cap.usd,
        prompt_tokens=seen.tokens if cap.tokens is None else cap.tokens,
        calls=seen.calls if cap.calls is None else cap.calls,
    )


def _usual(step: Step, archive: Archive) -> Usage:
    """The middle of what such steps used so far; nothing when there was none."""
    used = _used(step, archive)
    if not used:
        return Usage()
    return Usage(
        usd=sorted(u.usd for u in used)[len(used) // 2],
        prompt_tokens=sorted(u.tokens for u in used)[len(used) // 2],
        calls=sorted(u.calls for u in used)[len(used) // 2],
    )


def _used(step: Step, archive: Archive) -> Sequence[Usage]:
    """By such steps so far: trials of the same task, of any where it was never tried."""
    if isinstance(step, Improve | Merge):
        return [
            i.usage for i in archive.improvements if not i.fault and bool(i.other) == isinstance(step, Merge)
        ]
    if isinstance(step, Check):
        return ()
    trials = [t for of in archive.trials.values() for t in of if t.score is not None]
    return [t.usage for t in trials if t.digest == step.task] or [t.usage for t in trials]
