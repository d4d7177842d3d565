"""What recorded trials say of a benchmark's tasks: which tell agents apart, which are not what was measured. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sica.model import Task, Tried
from sica.stats import Estimate, estimate

FLOOR, CEILING = 0.05, 0.95
"""Mean scores at which a task hardly tells agents apart."""

State = Literal["floor", "ceiling", "tells", "unmeasured"]


@dataclass(frozen=True, slots=True)
class TaskHealth:
    """What is known of one task, of the digest that the archive has in use."""

    task: Task
    agents: int
    trials: int
    """With a score."""
    solved: int
    faults: int
    flagged: int
    estimate: Estimate | None
    """Of the mean score; agents are resampled whole."""
    twice: int
    """Agents that tried it more than once,"""
    varies: int
    """and how many of them did not score the same each time."""
    older: int
    """Trials of other digests of the task, which no score counts."""
    changed: bool
    """Whether its folder holds another task by now; False where the folder is not known."""
    quarantined: str

    @property
    def state(self) -> State:
        if self.estimate is None:
            return "unmeasured"
        mean = self.estimate.mean
        return "floor" if mean <= FLOOR else "ceiling" if mean >= CEILING else "tells"


def health(
    tasks: Iterable[Task],
    tried: Iterable[Tried],
    now: Mapping[str, str] | None = None,
    quarantined: Mapping[str, str] | None = None,
) -> Sequence[TaskHealth]:
    """A line for each task. `now` are the digests of the folders by the task's id, None when they are not at hand."""
    by: dict[str, list[Tried]] = defaultdict(list)
    for each in tried:
        by[each.task].append(each)
    return [_one(task, by[task.id], now, (quarantined or {}).get(task.id, "")) for task in tasks]


def _one(task: Task, tried: Sequence[Tried], now: Mapping[str, str] | None, quarantined: str) -> TaskHealth:
    mine = [each for each in tried if each.digest == task.digest]
    trees: dict[str, list[float]] = defaultdict(list)
    for each in mine:
        if each.score is not None:
            trees[each.tree].append(each.score)
    twice = [scores for scores in trees.values() if len(scores) > 1]
    return TaskHealth(
        task,
        agents=len(trees),
        trials=sum(map(len, trees.values())),
        solved=sum(score >= 1 for scores in trees.values() for score in scores),
        faults=sum(each.score is None for each in mine),
        flagged=sum(each.flagged for each in mine),
        estimate=estimate(trees.values()),
        twice=len(twice),
        varies=sum(len(set(scores)) > 1 for scores in twice),
        older=len(tried) - len(mine),
        changed=now is not None and now.get(task.id) != task.digest,
        quarantined=quarantined,
    )


@dataclass(frozen=True, slots=True)
class Group:
    """The tasks of one kind or level."""

    name: str
    tasks: int
    estimate: Estimate | None
    """Of the mean of the tasks' means: each task weighs the same, however often it was tried."""
    floors: int
    ceilings: int


def grouped(found: Iterable[TaskHealth], by: Literal["kind", "level"]) -> Sequence[Group]:
    groups: dict[str, list[TaskHealth]] = defaultdict(list)
    for each in found:
        groups[each.task.kind if by == "kind" else str(each.task.level)].append(each)
    return [_group(name, groups[name]) for name in sorted(groups)]


def _group(name: str, of: Sequence[TaskHealth]) -> Group:
    means = estimate([each.estimate.mean] for each in of if each.estimate)
    states = [each.state for each in of]
    return Group(name, len(of), means, states.count("floor"), states.count("ceiling"))
