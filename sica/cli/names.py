"""How an agent is named on the command line, in one place (`sica help agents`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from sica.errors import UsageError, no_such
from sica.model import Agent
from sica.report import clean

_STEPS = re.compile(r"(?:\^\d*|~\d*)+$")
_STEP = re.compile(r"([\^~])(\d*)")
_HASH = re.compile(r"[0-9a-f]{4,64}")


def resolve(
    text: str, agents: Sequence[Agent], champion: str, revision: Callable[[str], str | None]
) -> Agent:
    """The agent that is meant. `revision` asks git about tags and branches, and only when nothing else fits.

    Raises UsageError naming what there is.
    """
    by_commit = {agent.commit: agent for agent in agents}
    steps = _STEPS.search(text)
    base = text[: steps.start()] if steps else text
    agent = _named(base, agents, by_commit, champion, revision)
    for kind, count in _STEP.findall(steps[0]) if steps else ():
        agent = _ancestor(agent, kind, int(count) if count else 1, by_commit)
    return agent


def globs(asked: Sequence[str] | None) -> str:
    """What --task was given, however often, in one word."""
    return ",".join(asked or ())


def meant(globs: str, task: str) -> bool:
    """Whether a task is meant, by its whole id or by its name in it; no glob means all of them."""
    either = task, task.rpartition("/")[2]
    return not globs or any(fnmatchcase(name, glob) for glob in globs.split(",") for name in either)


def _named(
    base: str,
    agents: Sequence[Agent],
    by_commit: Mapping[str, Agent],
    champion: str,
    revision: Callable[[str], str | None],
) -> Agent:
    if not agents:
        raise UsageError("there is no agent yet", "sica init   seeds agent/0")
    if base in ("best", "main"):
        return by_commit[champion]
    number = base.removeprefix("agent/")
    if number.isascii() and number.isdigit() and len(number) < 10:
        found = next((agent for agent in agents if agent.number == int(number)), None)
        if found or base.startswith("agent/"):
            return found or _nobody(base, agents)
    if _HASH.fullmatch(base):
        near = [agent for agent in agents if agent.commit.startswith(base)]
        if len(near) > 1:
            names = ", ".join(agent.name for agent in near[:5])
            raise UsageError(f"{base} begins the hash of several agents: {names}", "give more of the hash")
        if near:
            return near[0]
    if (commit := revision(base)) and commit in by_commit:
        return by_commit[commit]
    return _nobody(base, agents)


def _ancestor(agent: Agent, kind: str, count: int, by_commit: Mapping[str, Agent]) -> Agent:
    nth_parent = [count] if count else []  # 7^0 is agent/7 itself
    for nth in nth_parent if kind == "^" else [1] * min(count, len(by_commit) + 1):
        parents = [p for p in agent.parents if p in by_commit]
        if len(parents) < nth:
            which = "no parent" if not parents else f"only {len(parents)} parent"
            raise UsageError(f"{agent.name} has {which}", f"sica show {agent.number}")
        agent = by_commit[parents[nth - 1]]
    return agent


def _nobody(base: str, agents: Sequence[Agent]) -> Agent:
    last = max(agent.number for agent in agents)
    if len(agents) <= 8:
        raise no_such("agent", clean(base), [agent.name for agent in agents])
    raise UsageError(
        f"no agent called {clean(base)!r}; there are agent/0 to agent/{last}", "sica help agents"
    )


def share(text: str, flag: str) -> float:
    """0.5, 50% and 50 are the same score."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"{flag} {text!r} is not a score", "0.5 or 50%") from None
    found = value / 100 if text.endswith("%") or value > 1 else value
    if not 0 <= found <= 1:
        raise UsageError(f"{flag} {text!r} is not between 0 and 1", "0.5 or 50%")
    return found
