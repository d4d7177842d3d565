"""The built-in suites: one file each, which makes tasks of a seed and nothing else.

`make("edit", seed=7)` gives the same folders, byte for byte, wherever and whenever it is called. What comes with sica is
one seed of each, pinned with its digest in benchmark_data/suites.toml; nothing generated is kept in git. A suite is a
module with `task(dice, level, nth) -> Made`; a new file is a new suite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from random import Random

from sica.errors import UsageError, no_such
from sica.model import Files
from sica.suites._made import files

VERSION = 1
"""Raised when the same seed would give other tasks."""

SCORED = ("edit", "locate", "fix", "spec", "refactor", "shell", "history", "perf")
COUNTS: Mapping[str, int] = {**dict.fromkeys(SCORED, 12), "self": 8, "integrity": 8, "smoke": 8}
LEVELS = 4
MOST = 26 * 26 * LEVELS
"""Tasks of one suite: a folder's name holds its number as two letters."""
JOINED = ("quick", "suites")
"""quick: of each scored suite one task at levels 1, 2 and 3. suites: all 96. They are the suites' own folders, byte for byte, so
that a score counts wherever its task stands."""
NAMES = (*COUNTS, *JOINED)


Split = Callable[[str], str]
"""A task's split by its folder's name; "" leaves what it has."""


def make(
    suite: str, seed: int, count: int | None = None, split: Split = lambda _: ""
) -> Iterator[tuple[str, Files]]:
    """(folder name, files) of each task, levels in turn. UsageError for a suite that is not there."""
    if suite not in NAMES:
        raise no_such("suite", suite, [*NAMES])
    if count is not None and not 1 <= count <= MOST:
        raise UsageError(f"--count {count}: a suite has 1 to {MOST} tasks", "name another number")
    if count is not None and suite in JOINED:
        raise UsageError(f"--count: {suite} is made of the other suites", "make one of them with --count")
    for each in SCORED if suite in JOINED else (suite,):
        yield from _made(each, seed, _drawn(suite, count), split)


def size(suite: str) -> int:
    """Tasks of a suite as it comes with sica."""
    return sum(len(_drawn(suite, None)) for _ in (SCORED if suite in JOINED else (suite,)))


def _drawn(suite: str, count: int | None) -> list[tuple[int, int]]:
    """(level, number within the level) of each task."""
    if suite == "quick":
        return [(1, 0), (2, 1), (3, 2)]
    if suite == "smoke":
        return [(1, n) for n in range(count or COUNTS[suite])]
    return [(n % LEVELS + 1, n // LEVELS) for n in range(count or COUNTS.get(suite, 12))]


def _made(suite: str, seed: int, drawn: list[tuple[int, int]], split: Split) -> Iterator[tuple[str, Files]]:
    task = import_module(f"sica.suites.{suite}").task
    for level, nth in drawn:
        made = task(Random(f"{VERSION}:{suite}:{seed}:{level}:{nth}"), level, nth)
        name = f"{suite}-{level}{_letters(nth)}-{made.family}"
        yield name, files(made, suite, name, level, nth, split(name) or ("train" if suite == "smoke" else ""))


def _letters(nth: int) -> str:
    """a to z, then ba, bb and so on."""
    return (chr(97 + nth // 26) if nth >= 26 else "") + chr(97 + nth % 26)


def digest(tasks: Mapping[str, Files]) -> str:
    """Of every name, byte and mode."""
    told = hashlib.sha256()
    for name, content in sorted(tasks.items()):
        for path, file in sorted(content.items()):
            told.update(
                f"{name}/{path}\0{hashlib.sha256(file.data).hexdigest()}\0{file.executable}\n".encode()
            )
    return told.hexdigest()
