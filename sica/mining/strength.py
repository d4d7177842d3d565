"""How much of a change its tests would notice: small bugs are put into the lines that it wrote, and the tests run."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sica.mining.candidates import in_turn, short
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

    def own(bug: tuple[str, Edit]) -> str:
        path, edit = bug
        return short(f"{work.item}:{path}:{edit.operator}:{edit.start}:{edit.end}:{edit.text!r}")

    return [*islice(in_turn(_edits(work), lambda bug: bug[1].operator, own), MOST_MUTANTS)]


def _edits(work: Work) -> Iterator[tuple[str, Edit]]:
    for path in work.source:
        if path not in work.after:
            continue
        data, new = work.after[path].data, {*work.new(path)}
        for edit in edits(hushed(data, new)):
            last = edit.line + data[edit.start : edit.end].count(b"\n")
            if new.issuperset(range(edit.line - 1, last)):
                yield path, edit


def hushed(source: bytes, lines: Collection[int]) -> bytes:
    """A module of the same places in which functions without one of these lines do nothing, so that no time goes into
    the edits that could be made there.
    """
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    made = bytearray(source)
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _apart(node, lines):
            told = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            _hush(node.body[told:] or node.body, made, starts)
        else:
            waiting += ast.iter_child_nodes(node)
    return bytes(made)


def _apart(node: ast.stmt, lines: Collection[int]) -> bool:
    return not any(n in lines for n in range(node.lineno - 1, node.end_lineno or node.lineno))


def _hush(body: Sequence[ast.stmt], made: bytearray, starts: Sequence[int]) -> None:
    first, last = body[0], body[-1]
    top = min(each.lineno for each in (first, *getattr(first, "decorator_list", ())))
    start = starts[top - 1] + first.col_offset
    end = starts[(last.end_lineno or last.lineno) - 1] + (last.end_col_offset or 0)
    if end - start >= 4 and b"\n" not in made[start : start + 4]:
        made[start:end] = b"pass" + re.sub(rb"[^\r\n]", b" ", made[start + 4 : end])


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
