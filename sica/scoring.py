"""What trials say: an agent's score with its interval, and two agents on what both tried. Pure.

Every surface takes its numbers from here, so that log, show, compare, report and the notes in git never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sica.model import Trial
from sica.report import Interval, percent, signed
from sica.stats import (
    SEPARABLE,
    Comparison,
    Estimate,
    compare,
    difference_interval,
    estimate,
    holm,
    mean_of_means,
    pairs_needed,
    pass_at_k,
    pass_hat_k,
)

Scores = Mapping[str, Sequence[float]]
"""By task."""

Attempted = tuple[str, str, str, int]
"""Task, digest, conditions, attempt: what two scores have in common that can be compared."""


def by_task(scores: Mapping[Attempted, float]) -> Scores:
    """An agent's scores of each task, in the order of the attempts."""
    found: dict[str, list[float]] = {}
    for key in sorted(scores):
        found.setdefault(key[0], []).append(scores[key])
    return found


def estimated(trials: Sequence[Trial]) -> Estimate | None:
    """The mean over trials and its interval: the one of every surface. A fault is a missing number."""
    return estimate(scores_of(trials).values())


def scores_of(trials: Sequence[Trial]) -> Scores:
    return by_task(_singles(trials))


def measured(trials: Sequence[Trial]) -> tuple[float | None, Interval | None]:
    found = estimated(trials)
    return (found.mean, (found.low, found.high)) if found else (None, None)


def solved(trials: Sequence[Trial]) -> Mapping[str, Sequence[bool]]:
    """By task, whether each attempt with a score solved it."""
    return {task: [score >= 1 for score in scores] for task, scores in scores_of(trials).items()}


def versus(old: Sequence[Trial], new: Sequence[Trial]) -> Comparison:
    return paired(_singles(old), _singles(new))


def _singles(trials: Sequence[Trial]) -> Mapping[Attempted, float]:
    return {(t.task, t.digest, t.conditions, t.attempt): t.score for t in trials if t.score is not None}


def paired(old: Mapping[Attempted, float], new: Mapping[Attempted, float]) -> Comparison:
    """The comparison on what both have: the same attempts at the same tasks under the same conditions."""
    return compare(*_matched(old, new))


def _matched(old: Mapping[Attempted, float], new: Mapping[Attempted, float]) -> tuple[Scores, Scores]:
    common = old.keys() & new.keys()
    return by_task({key: old[key] for key in common}), by_task({key: new[key] for key in common})


@dataclass(frozen=True, slots=True)
class Difference:
    """Two agents on what both have, with all that is to be said of it."""

    found: Comparison
    interval: Interval | None
    """Of the difference: a paired bootstrap of tasks within kinds; None where that says nothing."""
    needed: int | None
    """Paired tasks that would show it with 80 % power; None without a difference."""

    @property
    def span(self) -> str:
        """[-3.1, +6.7], or nothing."""
        if not self.interval:
            return ""
        return f"[{signed(self.interval[0])}, {signed(self.interval[1])}]"

    @property
    def words(self) -> str:
        return in_words(self.found, self.span)

    @property
    def advice(self) -> str:
        """How much more would tell, where it does not tell yet."""
        if self.found.separable or not self.found.tasks or not self.needed:
            return ""
        points = abs(100 * self.found.difference)
        return f"To separate {points:.1f} points (80% power) about {self.needed:,} paired tasks are needed in all."

    def record(self) -> dict[str, object]:
        """What JSON answers say of it."""
        low, high = self.interval or (None, None)
        return {
            "n_tasks": self.found.tasks,
            "difference": self.found.difference if self.found.tasks else None,
            "difference_low": low,
            "difference_high": high,
            "gained": self.found.gained,
            "lost": self.found.lost,
            "p": self.found.p,
            "test": self.found.test,
            "separable": self.found.separable,
            "needed_tasks": self.needed,
        }


def in_words(found: Comparison, span: str = "") -> str:
    """+1.8 [-3.1, +6.7] (14 gained, 10 lost, p 0.54: not separable)."""
    if not found.tasks:
        return "no task in common"
    moved = " ".join(x for x in (signed(found.difference), span) if x)
    flips = f"{len(found.gained)} gained, {len(found.lost)} lost, {p_value(found.p)}"
    return f"{moved} ({flips}: {verdict(found)})"


def difference(old: Sequence[Trial], new: Sequence[Trial], kinds: Mapping[str, str]) -> Difference:
    sides = _matched(_singles(old), _singles(new))
    return Difference(compare(*sides), difference_interval(*sides, kinds), pairs_needed(*sides))


def verdict(found: Comparison) -> str:
    return "separable" if found.separable else "not separable"


def pass_k(trials: Sequence[Trial]) -> tuple[int, float, float] | None:
    """k, pass@k and pass^k: the chances that one of k attempts solves a task, and that all of them do.

    k is how often every task was tried; None below two.
    """
    tried = list(solved(trials).values())
    k = min(map(len, tried), default=0)
    if k < 2:
        return None
    chances = [(pass_at_k(len(t), sum(t), k), pass_hat_k(len(t), sum(t), k)) for t in tried]
    return k, fmean(any_ for any_, _ in chances), fmean(all_ for _, all_ in chances)


def pass_words(trials: Sequence[Trial]) -> str:
    """pass@3 71.0%  pass^3 42.0%, or nothing."""
    found = pass_k(trials)
    if found is None:
        return ""
    k, once, always = found
    return f"pass@{k} {percent(once)}  pass^{k} {percent(always)}"


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.2f}" if p >= 0.095 else f"p {p:.3f}"


@dataclass(frozen=True, slots=True)
class Kind:
    """Several agents on the tasks of one kind."""

    name: str
    scores: tuple[float | None, ...]
    found: Comparison
    """Of the last against the first."""
    p: float
    """Holm's: adjusted for how many kinds were looked at."""

    @property
    def words(self) -> str:
        return f"{p_value(self.p)}{'' if self.p < SEPARABLE else ': not separable'}"


def by_kind(sides: Sequence[Sequence[Trial]], kinds: Mapping[str, str]) -> list[Kind]:
    """A line a kind; nothing when the tasks are all of one."""
    groups = _grouped(sides, kinds)
    found = [versus(of[0], of[-1]) for of in groups.values()]
    ps = holm([f.p for f in found])
    return [
        Kind(name, tuple(measured(side)[0] for side in of), compared, p)
        for (name, of), compared, p in zip(groups.items(), found, ps, strict=True)
    ]


def means_of_kinds(sides: Sequence[Sequence[Trial]], kinds: Mapping[str, str]) -> list[float | None]:
    """Each side's mean of the means of its kinds, so that a kind of many tasks does not drown the others."""
    groups = _grouped(sides, kinds)
    return [
        mean_of_means({name: list(scores_of(of[at]).values()) for name, of in groups.items()})
        for at in range(len(sides))
    ]


def _grouped(
    sides: Sequence[Sequence[Trial]], kinds: Mapping[str, str]
) -> Mapping[str, Sequence[Sequence[Trial]]]:
    there = sorted({kinds.get(t.task, "") for side in sides for t in side}) if kinds else []
    return {k: [[t for t in side if kinds.get(t.task, "") == k] for side in sides] for k in there}
