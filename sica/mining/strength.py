"""How much of a change its tests would notice: small bugs are put into the lines that it wrote, and the tests run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sica.mining.candidates import short
from sica.mining.mutants import Edit, edits
from sica.mining.running import Bench
from sica.mining.work import Work
from sica.model import File, Files

MOST_MUTANTS, LEAST_MUTANTS = 10, 5
ENOUGH = 0.8
"""Of the bugs that tests should notice."""
LEAST_WEIGHT = 0.25
EACH_SECONDS, SECONDS = 10.0, 60.0
"""For one test and for all of them; a bug that takes longer was noticed."""


@dataclass(frozen=True, slots=True)
class Strength:
    tried: int
    noticed: int

    @property
    def share(self) -> float | None:
        """None when too few bugs say nothing."""
        return round(self.noticed / self.tried, 2) if self.tried >= LEAST_MUTANTS else None

    @property
    def weight(self) -> float:
        """1 when they notice enough, else less in proportion: such a score also goes to what is not right."""
        return 1.0 if self.share is None else round(max(LEAST_WEIGHT, min(1.0, self.share / ENOUGH)), 2)


def drawn(work: Work) -> Sequence[tuple[str, Edit]]:
    """Bugs in what the change wrote, the operators in turn, in each of them by the bug's own hash."""
    by: dict[str, list[tuple[str, str, Edit]]] = defaultdict(list)
    for path, edit in _edits(work):
        own = short(f"{work.item}:{path}:{edit.operator}:{edit.start}:{edit.end}:{edit.text!r}")
        by[edit.operator].append((own, path, edit))
    for each in by.values():
        each.sort(key=lambda entry: entry[0], reverse=True)
    found: list[tuple[str, Edit]] = []
    while by and len(found) < MOST_MUTANTS:
        for operator in sorted(by):
            found.append(by[operator].pop()[1:])
            if not by[operator]:
                del by[operator]
    return found[:MOST_MUTANTS]


def _edits(work: Work) -> Iterator[tuple[str, Edit]]:
    for path in work.source:
        if path not in work.after:
            continue
        data, new = work.after[path].data, {*work.new(path)}
        for edit in edits(data):
            last = edit.line + data[edit.start : edit.end].count(b"\n")
            if new.issuperset(range(edit.line - 1, last)):
                yield path, edit


def measured(
    work: Work, stubs: Files, modules: Sequence[str], counted: Collection[str], bench: Bench
) -> Strength:
    """Run the tests once on each bug: one of those that count must not pass."""
    bugs = drawn(work)
    with bench.sandbox.series() as boxes:
        quick = replace(bench, sandbox=boxes, each=EACH_SECONDS)
        passed = [
            quick.run(_with(path, edit, {**stubs, **work.after}), modules, seconds=SECONDS).passed
            for path, edit in bugs
        ]
    return Strength(len(bugs), sum(not passing.issuperset(counted) for passing in passed))


def _with(path: str, edit: Edit, files: Mapping[str, File]) -> Files:
    return {**files, path: File(edit.applied(files[path].data), files[path].executable)}
