"""Changes that no test can tell: how a module could have looked before somebody tidied it. Pure.

Each is told backwards, as what stood there before; the module as it is has all of them made. Like a bug, one replaces
the bytes of its spans and leaves all others; its lines are nobody else's.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Spans = tuple[tuple[int, int, bytes], ...]
MOST_LINES = 30
_LEFT = re.compile(
    rb"#\s*(!|type:|noqa|pragma|fmt:|mypy|pylint|isort|ruff|pyright|flake8|nosec|spdx|copyright|licen|-\*-|.*coding[:=])",
    re.IGNORECASE,
)
"""Comments that programs read, or lawyers."""


@dataclass(frozen=True, slots=True)
class Rough:
    """What one small change found: bytes that stood at these spans of the module as it is."""

    kind: str
    """comment, docstring, brackets or name."""
    about: str
    """What it was done to, for a commit's message."""
    spans: Spans
    lines: frozenset[int]
    """Of the module as it is, which the change wrote."""


def roughened(source: bytes, rough: Iterable[Spans]) -> bytes:
    """The module before these changes, which share no byte."""
    for start, end, text in sorted((span for spans in rough for span in spans), reverse=True):
        source = source[:start] + text + source[end:]
    return source


def roughs(source: bytes) -> list[Rough]:
    """Every such change, in the order of the text. SyntaxError when the module is none."""
    tree = ast.parse(source)
    found = [*_Finder(source).all(tree)]
    return sorted(found, key=lambda each: (each.spans, each.kind))


def harmless(source: bytes, made: Sequence[Rough]) -> bool:
    """Whether the module means the same without these changes, but for comments, docstrings and names of locals."""
    before = roughened(source, [each.spans for each in made])
    # a former name is nowhere in the module, so that putting the present one back must give the module
    names = {
        text.decode(): source[start:end].decode()
        for each in made
        if each.kind == "name"
        for start, end, text in each.spans
    }
    return before != source and _meaning(before, names) == _meaning(source, {})


def _meaning(source: bytes, names: Mapping[str, str]) -> str:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = isinstance(first.value.value, str)
    return ast.dump(tree)


class _Finder:
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.text = source.splitlines(keepends=True)
        self.starts = [0]
        for line in self.text:
            self.starts.append(self.starts[-1] + len(line))
        self.words = {*re.findall(rb"\w+", source)}

    def all(self, tree: ast.Module) -> Iterator[Rough]:
        first = tree.body[0].lineno if tree.body else 0
        yield from self._comments(first)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from self._docstring(node)
                yield from self._names(node)
                yield from self._brackets(node)

    def _comments(self, first: int) -> Iterator[Rough]:
        """Blocks of lines that hold a comment alone, below the first statement."""
        tokens = tokenize.tokenize(io.BytesIO(self.source).readline)
        own = [
            token.start[0]
            for token in tokens
            if token.type == tokenize.COMMENT and self.text[token.start[0] - 1].lstrip().startswith(b"#")
        ]
        blocks: list[list[int]] = []
        for line in own:
            if blocks and line == blocks[-1][-1] + 1:
                blocks[-1].append(line)
            else:
                blocks.append([line])
        for block in blocks:
            lines = [self.text[line - 1] for line in block]
            if (
                block[0] <= first
                or len(block) > MOST_LINES
                or any(_LEFT.match(each.strip()) for each in lines)
            ):
                continue
            if any(len(each.strip(b"# \t\r\n")) > 8 for each in lines):
                span = (self.starts[block[0] - 1], self.starts[block[-1]], b"")
                yield Rough("comment", "", (span,), frozenset(block))

    def _docstring(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Rough]:
        """Before, it said its first line alone, or that without a full stop."""
        text = node.body[0]
        if not (isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and len(node.body) > 1):
            return
        start, end = self._span(text)
        found = re.fullmatch(rb'"""\s*([^\n"\\]*[^\n"\\\s])(\n[^"\\]*)?\s*"""', self.source[start:end])
        lines = frozenset(range(text.lineno, (text.end_lineno or text.lineno) + 1))
        if found is None or len(lines) > MOST_LINES or not isinstance(text.value.value, str):
            return
        short = found[1] if found[2] and found[2].strip() else found[1].rstrip(b".")
        yield Rough("docstring", node.name, ((start, end, b'"""%s"""' % short),), lines)

    def _brackets(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Rough]:
        """Before, what is returned or kept stood in brackets that nobody needs."""
        for each in _own(node):
            if not isinstance(each, ast.Return | ast.Assign) or each.lineno != each.end_lineno:
                continue
            value = each.value
            if value is None or isinstance(value, ast.Tuple):
                continue
            if isinstance(each, ast.Return) or isinstance(value, ast.BinOp | ast.BoolOp | ast.Compare):
                start, end = self._span(value)
                if self.source[start - 1 : start] == b" " and self.source[end : end + 1] in (b"\n", b"\r"):
                    text = b"(%s)" % self.source[start:end]
                    yield Rough("brackets", node.name, ((start, end, text),), frozenset({each.lineno}))

    def _names(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Rough]:
        """Before, a local variable was called otherwise: one that no inner scope knows and only names bind."""
        places: dict[str, list[ast.Name]] = defaultdict(list)
        bound: set[str] = set()
        elsewhere = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        for each in _own(node):
            if isinstance(each, ast.Name):
                places[each.id].append(each)
                bound |= {each.id} if isinstance(each.ctx, ast.Store) else set()
            elsewhere |= _otherwise(each)
        if places.keys() & {"locals", "vars", "eval", "exec", "dir"}:
            return
        for name in sorted(bound - elsewhere):
            other = self._other(name)
            if name.startswith("_") or not other:
                continue
            spans = sorted((*self._span(each), other) for each in places[name])
            lines = frozenset(each.lineno for each in places[name])
            yield Rough("name", node.name, tuple(spans), lines)

    def _other(self, name: str) -> bytes:
        tried = (f"the_{name}", f"{name}_value", f"{name}_", f"cur_{name}")
        start = len(name) % len(tried)
        for word in (*tried[start:], *tried[:start]):
            if word.encode() not in self.words:
                return word.encode()
        return b""

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp,
           ast.GeneratorExp, ast.JoinedStr)  # fmt: skip
"""What has names of its own; and f-strings, whose inner positions Python 3.11 tells wrongly."""


def _own(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Nodes of a function's own scope, inner ones whole."""
    waiting: list[ast.AST] = [*node.body]
    while waiting:
        each = waiting.pop()
        yield each
        if not isinstance(each, _SCOPES):
            waiting += ast.iter_child_nodes(each)


def _otherwise(node: ast.AST) -> set[str]:
    """Names that are bound or read here by something else than a plain name of the scope."""
    match node:
        case ast.Global() | ast.Nonlocal():
            return {*node.names}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        case (
            ast.ExceptHandler(name=str() as name)
            | ast.MatchAs(name=str() as name)
            | ast.MatchStar(name=str() as name)
        ):
            return {name}
        case ast.MatchMapping(rest=str() as name):
            return {name}
    if not isinstance(node, _SCOPES):
        return set()
    inner = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    nested = {
        name for each in ast.walk(node) if isinstance(each, ast.Global | ast.Nonlocal) for name in each.names
    }
    return inner | nested | {getattr(node, "name", "")}
