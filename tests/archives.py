"""Archives typed in a line, for tests of pure parts: `archive(a=[1, 0], b=None)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sica.model import Agent, Archive, Task, Trial, Usage


def task(name: str, **changes: object) -> Task:
    return replace(Task(id=f"toy/{name}", digest=f"d-{name}", instruction=f"do {name}"), **changes)  # type: ignore[arg-type]


def agent(number: int, parents: Sequence[str] = (), **changes: object) -> Agent:
    name = chr(ord("a") + number)
    made = Agent(number, name, f"tree-{name}", tuple(parents), f"subject {name}", standing="ready")
    return replace(made, **changes)  # type: ignore[arg-type]


def trial(who: Agent, what: Task, score: float | None, attempt: int = 0, **changes: object) -> Trial:
    made = Trial(
        agent=who.commit,
        tree=who.tree,
        task=what.id,
        digest=what.digest,
        attempt=attempt,
        conditions="same",
        score=score,
        fault=None if score is not None else "infra",
        ending="done" if score is not None else "infra",
        grading="split",
        usage=Usage(calls=3),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def archive(
    scores: Mapping[str, Sequence[float | None]],
    *,
    parents: Mapping[str, str] | None = None,
    champion: str = "a",
) -> Archive:
    """Agents a, b, ... in order, each with its scores on tasks t0, t1, ...; a shorter list leaves tasks missing."""
    tasks = tuple(task(f"t{i}") for i in range(max(len(s) for s in scores.values())))
    agents = {
        name: agent(number, (parents or {}).get(name, "") and ((parents or {})[name],))
        for number, name in enumerate(scores)
    }
    trials = {
        agents[name].tree: tuple(trial(agents[name], t, s) for t, s in zip(tasks, given, strict=False))
        for name, given in scores.items()
    }
    return Archive(agents=agents, tasks=tasks, trials=trials, champion=champion)
