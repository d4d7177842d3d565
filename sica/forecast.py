"""What a run will most likely cost and take, from what was recorded. Pure; the same answer for the same archive.

    samples    what single trials took, by agent and task
    estimate   the rest of a run from them: means and variances added up, told as a range
    forecast   a run that is going: what it spent, how fast, and where that ends

The range is the middle 90 % of a lognormal with the mean and variance found: costs are never negative, and some trials
cost a lot. Four things make it wide, each learnt from the record and widened by a stated prior where that is thin:
trials of one task differ (NOISE), tasks never tried are like any other task, agents differ from one another (DRIFT,
taken as shared by all children, since a child inherits its parent's habits), and improvements may leave no child.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from math import exp, log, sqrt
from statistics import fmean, pvariance

from sica.model import Archive, Budget, Evaluate, Improve, Improvement, Merge, Task
from sica.ports import Price
from sica.smoke import BEST_OF

NOISE, NOISE_WEIGHT = 0.5, 4
"""A trial's standard deviation, as a share of its task's mean, before anything is known; worth so many repeats."""

TASKS, TASKS_WEIGHT = 1.0, 2
"""The same of a task among tasks; worth so many tasks."""

DRIFT, DRIFT_WEIGHT = 0.35, 1
"""An agent's standard deviation as a share of another's cost; worth so many agents."""

IMPROVING, IMPROVING_SPREAD = 3.0, 0.7
"""An improvement costs so many trials, give or take this share, as long as none was recorded."""

PASSES = 8
"""Of fitting tasks and agents in turn."""

Z90 = 1.6448536269514722


# ── what was recorded ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Sample:
    """What one trial, or one improvement, took."""

    agent: str
    """Tree."""
    task: str
    """Digest; the parent's tree stands for an improvement."""
    usd: float
    seconds: float


def samples(archive: Archive) -> tuple[Sample, ...]:
    """Of the archive's scored trials: a fault says nothing of what a trial costs."""
    return tuple(
        Sample(tree, t.digest, t.usage.usd, t.usage.seconds)
        for tree, of in archive.trials.items()
        for t in of
        if t.score is not None
    )


def improving(made: Iterable[Improvement]) -> tuple[Sample, ...]:
    return tuple(Sample(i.parent, "", i.usage.usd, i.usage.seconds) for i in made if not i.fault)


# ── what is to be done ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Work:
    """What is still to be done."""

    owed: Mapping[tuple[str, str], float]
    """Trials of agents that exist, by tree and task."""
    tasks: Sequence[Task]
    attempts: int
    children: float
    """Improvements to make."""
    kept: float = 1.0
    """Share of them that become agents to measure."""
    confirm: int = 0
    """Fresh attempts that decide on a champion."""
    contested: float = 0.5
    """Share of measured children that are confirmed."""
    unchecked: int = 0
    """Agents that the gate has not seen."""
    crowned: bool = True
    """Whether the champion was measured on the fresh attempts already."""

    @property
    def trials(self) -> int:
        """Those that are certain, and those of children that come."""
        per_child = len(self.tasks) * self.attempts
        return round(sum(self.owed.values()) + self.children * self.kept * per_child)


def ahead(archive: Archive, children: int, confirm: int, attempts: range | None = None) -> Work:
    """The rest of a run that makes so many children in all; what is under way counts as half done.

    `attempts`: of the agents that there are, when other ones are meant than the usual.
    """
    owed: Counter[tuple[str, str]] = Counter()
    for agent in archive.agents.values():
        if agent.standing != "rejected":
            owed.update((agent.tree, step.task) for step in archive.missing(agent.commit, attempts))
    under_way = [s for s in archive.in_flight if isinstance(s, Evaluate)]
    halves = {key: float(n) for key, n in owed.items()}
    for step in under_way:
        key = archive.agents[step.agent].tree, step.task
        halves[key] = halves.get(key, 0.0) + 0.5
    tried = [i for i in archive.improvements if not i.fault]
    made = sum(i.run == archive.run for i in tried)
    going = sum(isinstance(s, Improve | Merge) for s in archive.in_flight)
    left = max(0, children - made - going) + 0.5 * going
    born = {i.child.commit for i in tried if i.child}
    lived = sum(archive.agents[c].standing != "rejected" for c in born if c in archive.agents)
    measured = [c for c in born if c in archive.agents and archive.measured(c)]
    fresh = range(archive.attempts, archive.attempts + confirm)
    decided = sum(archive.measured(c, fresh) for c in measured) if confirm else 0
    return Work(
        owed=halves,
        tasks=archive.tasks,
        attempts=archive.attempts,
        children=left,
        kept=(lived + 1) / (len(tried) + 1),
        confirm=confirm,
        unchecked=sum(a.standing == "unchecked" for a in archive.agents.values()),
        contested=(decided + 0.5) / (len(measured) + 1),
        crowned=not confirm or (bool(archive.champion) and archive.measured(archive.champion, fresh)),
    )


# ── how much that is ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Range:
    """Nine times in ten it is between low and high."""

    low: float
    likely: float
    high: float

    def plus(self, known: float) -> Range:
        return Range(self.low + known, self.likely + known, self.high + known)

    def times(self, factor: float) -> Range:
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def under(self, cap: float | None) -> Range:
        """Nothing is spent above a cap."""
        if cap is None:
            return self
        return Range(min(self.low, cap), min(self.likely, cap), min(self.high, cap))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is ahead, and how it is known."""

    usd: Range | None
    """None when nothing is recorded."""
    seconds: Range | None
    """In boxes, all together: divided by the workers it is the time to wait."""
    trials: int
    children: float
    n_trials: int
    """Recorded ones that it stands on."""
    n_improvements: int
    n_agents: int
    related: bool = False
    """Whether the trials are of other tasks, limits or benchmarks under the same model."""


def estimate(
    work: Work, known: Sequence[Sample], improved: Sequence[Sample] = (), *, related: bool = False
) -> Estimate:
    """The rest of a run from recorded trials and improvements. Without a trial there is no range."""
    found = (_total(work, known, improved, of) for of in ("usd", "seconds")) if known else (None, None)
    usd, seconds = found
    agents = len({s.agent for s in known})
    return Estimate(
        usd, seconds, work.trials, work.children, len(known), len(improved), agents, related and bool(known)
    )


def rest(archive: Archive, children: int, confirm: int) -> Estimate:
    """Of a run that makes so many children in all, from what its own archive recorded."""
    return estimate(ahead(archive, children, confirm), samples(archive), improving(archive.improvements))


@dataclass(frozen=True, slots=True)
class _Sum:
    """Mean and variance of something not known yet; independent things add up."""

    mean: float = 0.0
    variance: float = 0.0

    def __add__(self, other: _Sum) -> _Sum:
        return _Sum(self.mean + other.mean, self.variance + other.variance)

    def range(self) -> Range:
        if self.mean <= 0:
            return Range(0.0, 0.0, 0.0)
        spread = log(1 + self.variance / self.mean**2)
        middle = log(self.mean) - spread / 2
        return Range(
            exp(middle - Z90 * sqrt(spread)), self.mean, max(self.mean, exp(middle + Z90 * sqrt(spread)))
        )


def _total(work: Work, known: Sequence[Sample], improved: Sequence[Sample], of: str) -> Range:
    costs = _Costs([(s.agent, s.task, float(getattr(s, of))) for s in known])
    owed = costs.of(work.owed)
    of_child = costs.of({("", t.digest): float(work.attempts) for t in work.tasks})
    gate = _Sum(costs.mean, (NOISE * costs.mean) ** 2)
    again = costs.of({("", t.digest): float(work.confirm) for t in work.tasks})
    champions = 0 if work.crowned or not work.children else 1
    measured = work.children * work.kept
    total = owed + _shared(of_child, measured) + _shared(gate, work.children)
    total += _Sum(0.0, work.children * work.kept * (1 - work.kept) * of_child.mean**2)
    total += _shared(again, measured * work.contested + champions)
    total += _Sum(0.0, measured * work.contested * (1 - work.contested) * again.mean**2)
    total += _improving(work.children, [float(getattr(s, of)) for s in improved], costs.mean)
    return total.range()


def _shared(one: _Sum, times: float) -> _Sum:
    """So many of one kind whose errors go the same way."""
    return _Sum(one.mean * times, one.variance * times**2)


def _improving(number: float, took: Sequence[float], trial: float) -> _Sum:
    if not took:
        each = IMPROVING * trial
        return _Sum(number * each, (number * IMPROVING_SPREAD * each) ** 2)
    mean = fmean(took)
    variance = (pvariance(took) * len(took) + (NOISE * mean) ** 2 * NOISE_WEIGHT) / (
        len(took) + NOISE_WEIGHT - 1
    )
    return _Sum(number * mean, number * variance * (1 + number / len(took)))


class _Costs:
    """What trials took, taken apart into tasks, agents and noise."""

    def __init__(self, taken: Sequence[tuple[str, str, float]]) -> None:
        self._seen = Counter(task for _, task, _ in taken)
        self._means, self._factors = _fitted(taken)
        self.mean = fmean(self._means.values())
        self._noise = self._relative_noise(taken)
        self._agents = self._relative_drift()
        self._unseen = self._relative_spread()

    def of(self, trials: Mapping[tuple[str, str], float]) -> _Sum:
        """So many trials by tree and task; a tree never seen is an agent like the others."""
        mean = noise = unsure = drifting = unseen = 0.0
        for (tree, task), n in trials.items():
            each = self._means.get(task, self.mean) * self._factors.get(tree, 1.0)
            mean += n * each
            noise += n * each**2 * self._noise
            if task in self._seen:
                unsure += (n * each) ** 2 * self._noise / self._seen[task]
            else:
                unseen += n * each
            if tree not in self._factors:
                drifting += n * each
        variance = noise + unsure + drifting**2 * self._agents + unseen**2 * self._unseen / len(self._means)
        return _Sum(mean, variance + unseen * self.mean * self._unseen)

    def _relative_noise(self, taken: Sequence[tuple[str, str, float]]) -> float:
        """Of a trial around what its agent usually takes at its task."""
        off = 0.0
        for agent, task, value in taken:
            due = self._means[task] * self._factors[agent]
            off += (value / due - 1) ** 2 if due else 0.0
        free = max(0, len(taken) - len(self._means) - len(self._factors) + 1)
        return (off + NOISE_WEIGHT * NOISE**2) / (free + NOISE_WEIGHT)

    def _relative_drift(self) -> float:
        """Of another agent around the mean of these, which is not known exactly either."""
        n, off = len(self._factors), sum((f - 1) ** 2 for f in self._factors.values())
        return (off + DRIFT_WEIGHT * DRIFT**2) / (n - 1 + DRIFT_WEIGHT) * (1 + 1 / n)

    def _relative_spread(self) -> float:
        """Of a task around the mean task."""
        if not self.mean:
            return 0.0
        between = pvariance(self._means.values()) / self.mean**2
        return (between * len(self._means) + TASKS**2 * TASKS_WEIGHT) / (len(self._means) + TASKS_WEIGHT - 1)


def _fitted(taken: Sequence[tuple[str, str, float]]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Means by task and factors by agent whose products fit: agents need not have tried the same tasks."""
    cells: dict[tuple[str, str], tuple[float, int]] = {}
    for agent, task, value in taken:
        total, n = cells.get((agent, task), (0.0, 0))
        cells[agent, task] = total + value, n + 1
    factors = {agent: 1.0 for agent, _ in cells}
    means: dict[str, float] = {}
    for _ in range(PASSES):
        by_task = ((task, total, n * factors[agent]) for (agent, task), (total, n) in cells.items())
        means = _ratios(by_task, 0.0)
        by_agent = ((agent, total, n * means[task]) for (agent, task), (total, n) in cells.items())
        factors = _ratios(by_agent, 1.0)
        centre = fmean(factors.values()) or 1.0
        factors = {agent: factor / centre for agent, factor in factors.items()}
        means = {task: mean * centre for task, mean in means.items()}
    return means, factors


def _ratios(parts: Iterable[tuple[str, float, float]], without: float) -> dict[str, float]:
    """Of what was taken to what was due, by name; `without` where nothing is due."""
    taken: dict[str, float] = defaultdict(float)
    due: dict[str, float] = defaultdict(float)
    for name, one, other in parts:
        taken[name] += one
        due[name] += other
    return {name: taken[name] / due[name] if due[name] else without for name in taken}


# ── the worst that caps allow ─────────────────────────────────────────────────────────────────────


def worst(work: Work, improve: Budget, price: Price, gate: Sequence[Task] = ()) -> float | None:
    """Dollars that cannot be passed whatever agents do; None when no cap bounds a trial or an improvement.

    What is done again after a fault comes on top.
    """
    each = {t.digest: _dearest(t.budget, price) for t in (*work.tasks, *gate)}
    an_improvement = _dearest(improve, price) if work.children else 0.0
    if an_improvement is None or any(value is None for value in each.values()):
        return None
    priced = {digest: value for digest, value in each.items() if value is not None}
    per_attempt = sum(priced[t.digest] for t in work.tasks)
    checking = (work.children + work.unchecked) * sum(nlargest(BEST_OF, (priced[t.digest] for t in gate)))
    champion = 0 if work.crowned or not work.children else 1
    owed = sum(n * priced.get(task, 0.0) for (_, task), n in work.owed.items())
    confirming = (work.children + champion) * work.confirm * per_attempt
    return owed + checking + work.children * (an_improvement + work.attempts * per_attempt) + confirming


def _dearest(budget: Budget, price: Price) -> float | None:
    tokens = None if budget.tokens is None else budget.tokens * max(price.most(budget.tokens))
    return min((v for v in (budget.usd, tokens) if v is not None), default=None)


# ── a run that is going ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a run that is going will end, if it goes on as it did."""

    spent: float
    per_hour: float | None
    """Dollars, of this sitting; None before the first minute is over."""
    at_end: Range | None
    """Dollars of the whole run when it ends, never above the cap."""
    eta: float | None
    """Seconds until the plan is done or the cap is reached."""
    stops_at_cap: bool
    """Whether the cap will most likely end it before the plan is done."""


def forecast(
    left: Estimate,
    *,
    spent: float,
    spent_before: float = 0.0,
    elapsed: float,
    pace: float,
    cap: float | None = None,
) -> Forecast:
    """`spent_before`: by earlier sittings of the run. `pace`: seconds in boxes for a second of time, see `pace`."""
    rate = (spent - spent_before) * 3600 / elapsed if elapsed >= 60 else None
    at_end = left.usd.plus(spent) if left.usd else None
    over = at_end is not None and cap is not None and at_end.likely > cap
    eta = left.seconds.likely / max(pace, 1e-9) if left.seconds else None
    if over and eta is not None and left.usd is not None and cap is not None:
        eta *= max(0.0, cap - spent) / left.usd.likely
    return Forecast(spent, rate, at_end.under(cap) if at_end else None, eta, over)


def pace(archive: Archive, began: float, now: float, workers: int) -> float:
    """Seconds in boxes that were got done in a second; the number of workers before there is enough to tell."""
    done = [t.usage.seconds for of in archive.trials.values() for t in of if t.started >= began]
    done += [i.usage.seconds for i in archive.improvements if i.started >= began]
    if len(done) < workers or now <= began:
        return float(workers)
    return min(float(workers), sum(done) / (now - began)) or float(workers)
