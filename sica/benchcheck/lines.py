"""Which lines of a workspace a judgement runs: modules that tell of themselves, in whatever process they are loaded."""

from __future__ import annotations

import ast
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sica import checks as rules
from sica import grading
from sica.model import BoxSpec, Ended, File, Files, Job
from sica.ports import Sandbox

NOTES, WATCH = "/judge/lines", "/judge/watch.py"
START = f"exec(open('{WATCH}').read(), {{'given': __import__('sys')._getframe()}})\n".encode()
PATIENCE = 120.0
"""Seconds for one answer: a program that is watched is slow, and what it runs may not depend on that."""

Lines = Mapping[str, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Seen:
    """Lines by path: those that can run in the modules that were loaded, and those that did."""

    possible: Lines
    ran: Lines

    @property
    def share(self) -> tuple[int, int]:
        """Lines that ran, of lines."""
        of = sum(map(len, self.possible.values()))
        return sum(len(self.ran.get(path, frozenset()) & can) for path, can in self.possible.items()), of

    def missed(self, changed: Lines) -> list[str]:
        """`path:line` of each changed line that could have run and did not; modules that are only read have none."""
        return [
            f"{path}:{line}"
            for path, can in sorted(self.possible.items())
            for line in sorted((can & changed.get(path, frozenset())) - self.ran.get(path, frozenset()))
        ]


def watch(case: grading.Case, left: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Seen:
    """Judge it once more, for its lines alone. Raises nothing that a judgement does not."""
    starts = {path: at for path, file in left.items() if is_source(path) and (at := _start(file.data))}
    told = {
        path: replace(file, data=_told(file.data, starts[path])) if path in starts else file
        for path, file in left.items()
    }
    watching = _Watching(sandbox, cancel)
    grading.grade(replace(case, patience=PATIENCE), told, watching, cancel)
    return _seen(watching.notes(), starts)


def changed(before: Files, after: Files) -> Lines:
    """Numbers of the lines of Python that are new in `after`."""
    found: dict[str, frozenset[int]] = {}
    for path, file in after.items():
        old = before[path].data if path in before else b""
        if is_source(path) and file.data != old:
            hunks = rules.differences(rules.lines_of(old), rules.lines_of(file.data))
            found[path] = frozenset(n + 1 for _, _, start, end in hunks for n in range(start, end))
    return found


def is_source(path: str) -> bool:
    return path.endswith(".py") and not grading.is_test(path)


def _start(source: bytes) -> int:
    """The first line that is no docstring and no import of the future; 0 where none could stand before it."""
    end = 0
    for node in _body(source):
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not text and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            return first if first > end else 0
        end = node.end_lineno or node.lineno
    return 0


def _body(source: bytes) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _told(source: bytes, start: int) -> bytes:
    lines = rules.lines_of(source)
    return b"".join([*lines[: start - 1], START, *lines[start - 1 :]])


def _seen(notes: Iterator[tuple[str, int]], starts: Mapping[str, int]) -> Seen:
    """Numbers as they were before each module got its one line more."""
    possible: dict[str, set[int]] = defaultdict(set)
    ran: dict[str, set[int]] = defaultdict(set)
    for path, line in notes:
        start = starts.get(path, 0)
        if start and abs(line) > start:
            (possible if line < 0 else ran)[path].add(abs(line) - 1)
    return Seen(
        {path: frozenset(lines) for path, lines in possible.items()},
        {path: frozenset(lines) for path, lines in ran.items()},
    )


class _Watching:
    """A sandbox whose boxes also give what their modules note."""

    def __init__(self, within: Sandbox, cancel: threading.Event | None) -> None:
        self.within, self.cancel = within, cancel
        self.name, self.image, self.probe, self.sweep = within.name, within.image, within.probe, within.sweep
        self.series = within.series
        self.files: list[File] = []

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        """To the box's own end: a judge that needs it no longer would cut off what it noted."""
        del cancel, stop
        watch = File((grading.INSIDE / "watch.py").read_bytes())
        noting = replace(job, files={**job.files, WATCH: watch}, collect=(*job.collect, NOTES))
        ended = self.within.run(spec, noting, self.cancel)
        if NOTES in ended.files:
            self.files.append(ended.files[NOTES])
        return ended

    def notes(self) -> Iterator[tuple[str, int]]:
        for file in self.files:
            for line in file.data.decode("utf-8", "replace").splitlines():
                path, _, number = line.partition("\0")
                if number.removeprefix("-").isdecimal():
                    yield path, int(number)
