"""What one commit did, sorted, and which of its lines are new. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from sica.mining.running import is_module, is_source
from sica.model import Files

if TYPE_CHECKING:
    from dulwich.objects import Commit

LONG_LINE = 40
"""Characters of a line of code that nobody writes twice by chance."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a commit did, sorted."""

    commit: Commit
    before: Files
    after: Files
    """All files of Z and of B."""
    tests: Sequence[str]
    others: Sequence[str]
    """Changed paths."""
    size: int
    """Lines of source that came or went."""
    _new: dict[str, list[int]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def item(self) -> str:
        return f"mine:{self.commit.id.decode()}"

    @property
    def source(self) -> Sequence[str]:
        return [path for path in self.others if is_source(path)]

    @property
    def shown(self) -> Files:
        """A."""
        files = {path: file for path, file in self.before.items() if path not in self.tests}
        return files | {path: self.after[path] for path in self.tests if path in self.after}

    @property
    def modules(self) -> list[str]:
        return [path for path in self.tests if is_module(path) and path in self.after]

    @property
    def level(self) -> int:
        files = len(self.source)
        if files == 1 and self.size <= 25:
            return 1 if self.size <= 5 else 2
        return 3 if files <= 3 and self.size <= 80 else 4

    def lines(self, path: str) -> list[str]:
        """Of B's file, as Python's syntax tree counts them; none when it is gone."""
        return _lines(self.after, path)

    def new(self, path: str) -> list[int]:
        """Which lines of B's file are new, the first being 0."""
        if path not in self._new:  # a long file takes a second
            self._new[path] = _came(_lines(self.before, path), self.lines(path))
        return self._new[path]

    def added(self, path: str) -> list[str]:
        lines = self.lines(path)
        return [lines[n] for n in self.new(path)]

    def code(self) -> Iterator[str]:
        """Long new lines of source but for those that tests or people have to repeat: imports, headings of functions
        and classes, comments, and text.
        """
        for path in self.source:
            lines = self.lines(path)
            repeated = set(_repeated(self.after[path].data, lines)) if path in self.after else ()
            for n in self.new(path):
                line = lines[n].strip()
                if len(line) >= LONG_LINE and n not in repeated and not line.startswith("#"):
                    yield line


def _lines(files: Files, path: str) -> list[str]:
    if path not in files:
        return []
    lines = re.split(r"\r\n?|\n", files[path].data.decode("utf-8", "replace"))
    return lines if lines[-1] else lines[:-1]


def _came(old: Sequence[str], new: Sequence[str]) -> list[int]:
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [n for tag, _, _, start, end in codes if tag in ("insert", "replace") for n in range(start, end)]


def nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """In the order of the text, each with the one that says where it stands: the f-string that it is in, since before
    Python 3.12 what is in one has no place of its own.
    """
    waiting: list[tuple[ast.AST, ast.AST | None]] = [(tree, None)]
    while waiting:
        node, around = waiting.pop()
        yield node, around or node
        inner = around or (node if isinstance(node, ast.JoinedStr) else None)
        waiting += reversed([(child, inner) for child in ast.iter_child_nodes(node)])


def _repeated(source: bytes, lines: Sequence[str]) -> Iterator[int]:
    for _, node in nodes(ast.parse(source)):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from range(node.lineno - 1, node.end_lineno or node.lineno)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                yield from range(first - 1, max(node.lineno, node.body[0].lineno - 1))
            case ast.Constant(value=str()) | ast.JoinedStr():
                alone = not lines[node.lineno - 1].encode()[: node.col_offset].strip()
                yield from range(node.lineno - alone, node.end_lineno or node.lineno)
