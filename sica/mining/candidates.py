"""What a generator makes, and which of it is taken."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sica.model import Files


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that could be written: everything is known of it but its workspace."""

    item: str
    """What it was made from; names it for ever."""
    name: str
    level: int
    instruction: str
    commit: str
    """Whose files are the workspace, unless it is stated."""
    answer: Files
    """Files of the reference solution, below the workdir."""
    checks: Sequence[Mapping[str, Any]] = ()
    expected: Files = field(default_factory=dict)
    """Files below tests/ that checks name."""
    workspace: Files | None = None
    tests: Files = field(default_factory=dict)
    """Files below tests/ instead of checks: a log is read then."""
    gone: Sequence[str] = ()
    """Files that the reference solution removes."""
    ours: Mapping[str, str | float | Sequence[str]] = field(default_factory=dict)
    """More of [metadata.sica]."""
    env: Mapping[str, str] = field(default_factory=dict)
    pins: str = ""
    """What environment/requirements.txt says, when `ours` names it."""
    cheats: Mapping[str, Files] = field(default_factory=dict)
    """By name: wrong ways, laid over the workspace, that must earn nothing."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Yield:
    """How many candidates there were, and why the others are none; filled while a generator runs."""

    looked: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def refuse(self, code: str) -> None:
        self.reasons[code] += 1


def draw(found: Iterable[Candidate], most: int, key: Callable[[str], float]) -> Sequence[Candidate]:
    """At most so many, the levels in turn, in each level by the item's own dice: another item moves none of them."""
    levels: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in found:
        levels[candidate.level].append(candidate)
    for each in levels.values():
        each.sort(key=lambda c: (key(c.item), c.item), reverse=True)
    chosen: list[Candidate] = []
    while len(chosen) < most and levels:
        for level in sorted(levels):
            chosen.append(levels[level].pop())
            if not levels[level]:
                del levels[level]
    return sorted(chosen[:most], key=lambda c: (c.level, c.name))


def short(item: str) -> str:
    return hashlib.sha256(item.encode()).hexdigest()[:8]
