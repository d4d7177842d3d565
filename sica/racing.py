"""What racing saves and what it costs, by simulation: children of four kinds against a parent that is measured already.

Tasks are bimodal, as they are for real agents: the parent's chance at most of them is near zero or near one. A child's
chances are the parent's, moved in logits until their mean is so many points away. Decisions are those at the end: a
child that was measured in full is taken for better when its paired t, one-sided, is beyond 1.645.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from random import Random
from statistics import fmean, stdev

from sica import economy

KINDS: Mapping[str, tuple[float, float]] = {
    "broken": (0.40, -0.30),
    "worse": (0.25, -0.06),
    "equal": (0.25, 0.0),
    "better": (0.10, 0.08),
}
"""Share of the children, and how much better they truly are."""

BETTER = 1.645
POOL = 8
"""Earlier agents whose outcomes order the tasks."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    tasks: int
    attempts: int
    futile: float | None = None
    """The z below which a child is stopped at a look; None measures all."""
    telling: bool = False
    """Whether the tasks come in the order of what they tell; else at random."""
    published: str = ""
    """Mean trials, trials by kind, share of the equal and of the better ones taken, of an earlier simulation."""


RULES = (
    Rule("all", 60, 5, published="300 | 300 300 300 300 | 5.6% 84.5%"),
    Rule("race", 60, 5, economy.FUTILE, published="95 | 11 76 186 280 | 3.2% 81%"),
    Rule("race, telling tasks first", 60, 5, economy.FUTILE, telling=True),
    Rule("stop below -0.5", 60, 5, -0.5, published="78 | 10 41 143 266 | 3.8% 79%"),
    Rule("stop below 0", 60, 5, 0.0, published="47 | 10 24 79 199 | 4.0% 59%"),
    Rule("all", 120, 3, published="360 | 360 360 360 360 | 3.3% 90%"),
    Rule("race", 120, 3, economy.FUTILE, published="119 | 11 92 239 339 | 3.0% 89%"),
    Rule("all", 60, 1),
    Rule("race", 60, 1, economy.FUTILE),
    Rule("all", 14, 1),
    Rule("race", 14, 1, economy.FUTILE),
)


@dataclass(frozen=True, slots=True)
class Figures:
    rule: Rule
    trials: Mapping[str, float]
    """By kind, of one child."""
    taken: Mapping[str, float]
    """By kind, the share that is taken for better than the parent."""

    @property
    def mean(self) -> float:
        return sum(KINDS[kind][0] * trials for kind, trials in self.trials.items())


def figures(rules: Sequence[Rule] = RULES, children: int = 400, seed: int = 0) -> Iterator[Figures]:
    """Rules of the same tasks and attempts meet the same children with the same luck."""
    for rule in rules:
        trials, taken = {}, {}
        for kind, (_, points) in KINDS.items():
            rng = Random(f"{seed}:{rule.tasks}:{rule.attempts}:{kind}")
            ended = [_child(rule, points, rng) for _ in range(children)]
            trials[kind] = fmean(n for n, _ in ended)
            taken[kind] = fmean(better for _, better in ended)
        yield Figures(rule, trials, taken)


def _child(rule: Rule, points: float, rng: Random) -> tuple[int, bool]:
    """Trials that it took, and whether it was taken for better."""
    chances = [rng.betavariate(0.35, 0.35) for _ in range(rule.tasks)]
    theirs, mine = (_outcomes(of, rule.attempts, rng) for of in (chances, _moved(chances, points)))
    pool = [_outcomes(chances, 1, rng) for _ in range(POOL)]
    tasks = list(range(rule.tasks))
    if rule.telling:
        shares = [(sum(known[str(t), 0] for known in pool) + 0.5) / (POOL + 1) for t in tasks]
        tasks.sort(key=lambda t: -shares[t] * (1 - shares[t]))
    order = [(str(t), attempt) for attempt in range(rule.attempts) for t in tasks]
    if rule.futile is not None:
        for at in economy.looks(rule.tasks, rule.attempts):
            so_far = {key: mine[key] for key in order[:at]}
            if economy.race(so_far, theirs, rule.tasks, rule.attempts).z < rule.futile:
                return at, False
    return len(order), _better(mine, theirs, rule)


def _outcomes(chances: Sequence[float], attempts: int, rng: Random) -> dict[tuple[str, int], float]:
    return {(str(t), n): float(rng.random() < p) for n in range(attempts) for t, p in enumerate(chances)}


def _moved(chances: Sequence[float], points: float) -> Sequence[float]:
    logits = [log(p / (1 - p)) for p in (min(max(p, 1e-3), 1 - 1e-3) for p in chances)]
    wanted, low, high = fmean(chances) + points, -12.0, 12.0
    while high - low > 1e-6:
        by = (low + high) / 2
        low, high = (by, high) if fmean(1 / (1 + exp(-x - by)) for x in logits) < wanted else (low, by)
    return [1 / (1 + exp(-x - low)) for x in logits]


def _better(mine: economy.Outcomes, theirs: economy.Outcomes, rule: Rule) -> bool:
    gains = [
        fmean(mine[str(t), n] - theirs[str(t), n] for n in range(rule.attempts)) for t in range(rule.tasks)
    ]
    spread = stdev(gains)
    return spread > 0 and fmean(gains) > BETTER * spread / sqrt(rule.tasks)
