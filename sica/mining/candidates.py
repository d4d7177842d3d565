"""What a generator makes, and which of it is taken."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from sica.model import Files

T = TypeVar("T")


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
    chosen = islice(in_turn(found, lambda c: c.level, lambda c: (key(c.item), c.item)), most)
    return sorted(chosen, key=lambda c: (c.level, c.name))


def in_turn(found: Iterable[T], group: Callable[[T], Any], key: Callable[[T], Any]) -> Iterator[T]:
    """One of each group and then again, the groups in their order, in each of them by the key."""
    groups: dict[Any, list[T]] = defaultdict(list)
    for each in found:
        groups[group(each)].append(each)
    for of in groups.values():
        of.sort(key=key, reverse=True)
    while groups:
        for name in sorted(groups):
            yield groups[name].pop()
            if not groups[name]:
                del groups[name]


def short(item: str) -> str:
    return hashlib.sha256(item.encode()).hexdigest()[:8]
