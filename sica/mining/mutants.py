"""Small bugs as edits of bytes: where they could be put into a module, by operator. Pure.

An edit replaces one span that the syntax tree names and leaves every other byte as it is, comments and layout too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

COMPARISONS: dict[type[ast.cmpop], tuple[bytes, bytes]] = {
    ast.Lt: (rb"<", b"<="),
    ast.LtE: (rb"<=", b"<"),
    ast.Gt: (rb">", b">="),
    ast.GtE: (rb">=", b">"),
    ast.Eq: (rb"==", b"!="),
    ast.NotEq: (rb"!=", b"=="),
    ast.In: (rb"in", b"not in"),
    ast.NotIn: (rb"not\s+in", b"in"),
    ast.Is: (rb"is", b"is not"),
    ast.IsNot: (rb"is\s+not", b"is"),
}
ARITHMETIC: dict[type[ast.operator], tuple[bytes, bytes]] = {
    ast.Add: (rb"\+", b"-"),
    ast.Sub: (rb"-", b"+"),
    ast.Mult: (rb"\*", b"+"),
    ast.FloorDiv: (rb"//", b"%"),
    ast.Mod: (rb"%", b"//"),
}
LOGS = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print"})
UNMARKED = frozenset({"__repr__", "__str__", "__version__"})
"""Functions whose wrongness is hardly anybody's bug."""
MOST_BODY = 40
MOST_HUNK = 12
"""Lines of a past change that may be undone."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes `start` to `end` become `text`."""

    operator: str
    line: int
    """What a test runs when it meets the edit: its own, but of a default the first of the function's body."""
    start: int
    end: int
    text: bytes
    function: str
    """Qualified name of the function that it stands in."""

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text + source[self.end :]


def edits(source: bytes) -> list[Edit]:
    """Every edit that leaves a module valid and different, in the order of the text. SyntaxError when it is none."""
    finder = _Finder(source)
    found = []
    for node in ast.parse(source).body:  # each by itself: a long module need not be read again for every edit
        start, end = finder.whole(node)
        before = ""
        for edit in {*finder.statement(node)}:
            before = before or ast.dump(ast.parse(source[start:end]))
            if _holds(source[start : edit.start] + edit.text + source[edit.end : end], before):
                found.append(edit)
    return sorted(found, key=lambda e: (e.start, e.end, e.operator, e.text))


def hunks(before: bytes, after: bytes) -> list[tuple[bytes, bytes]]:
    """Small changes that one version of a file made to another, each as what it wrote and what it replaced; those that
    only removed lines are left out: nothing says where they were.
    """
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [
        (b"".join(new[c:d]), b"".join(old[a:b]))
        for tag, a, b, c, d in codes
        if tag in ("replace", "insert") and max(b - a, d - c) <= MOST_HUNK
    ]


def reverts(source: bytes, undone: Sequence[tuple[bytes, bytes]]) -> list[Edit]:
    """Hunks that can be undone cleanly: what they wrote stands in one place, within a function, and is code."""
    tree = ast.parse(source)
    before, starts = ast.dump(tree), _line_starts(source)
    found = {}
    for written, replaced in undone:
        start = source.find(written)
        if not written.strip() or start not in starts or source.find(written, start + 1) != -1:
            continue
        line = starts[start]
        function = _enclosing(tree, line, line + written.count(b"\n") - 1)
        edit = Edit("revert_hunk", line, start, start + len(written), replaced, function)
        if function and _holds(edit.applied(source), before):
            found[start] = edit
    return [found[start] for start in sorted(found)]


def _line_starts(source: bytes) -> dict[int, int]:
    """Line by the offset at which it starts."""
    found, at = {}, 0
    for n, line in enumerate(source.splitlines(keepends=True), 1):
        found[at] = n
        at += len(line)
    return found


def _enclosing(node: ast.AST, first: int, last: int, outer: str = "") -> str:
    """The innermost function whose body these lines are of, or ""."""
    for child in ast.iter_child_nodes(node):
        start, end = getattr(child, "lineno", 0), getattr(child, "end_lineno", None) or 0
        if not start <= first <= last <= end:
            continue
        if isinstance(child, ast.ClassDef):
            return _enclosing(child, first, last, f"{outer}{child.name}.")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = _enclosing(child, first, last, f"{outer}{child.name}.")
            marked = child.name in UNMARKED or first < child.body[0].lineno
            return inner or ("" if marked else f"{outer}{child.name}")
        if inner := _enclosing(child, first, last, outer):
            return inner
    return ""


def _holds(source: bytes, before: str) -> bool:
    try:
        return ast.dump(ast.parse(source)) != before
    except (SyntaxError, ValueError):
        return False


class _Finder:
    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.function = ""
        self.parameters: tuple[str, ...] = ()
        self.handlers: set[ast.stmt] = set()
        """Statements that are all that an `except` does."""

    def whole(self, node: ast.stmt) -> tuple[int, int]:
        """Where a statement of the module stands, decorators too."""
        lines = [node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]
        return self.starts[min(lines) - 1], self._span(node)[1]

    def statement(self, node: ast.stmt) -> Iterator[Edit]:
        yield from self._definitions(node, "")

    def _definitions(self, node: ast.AST, outer: str) -> Iterator[Edit]:
        """Only what stands in a function can be met by one test and not by another."""
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                yield from self._definitions(inner, f"{outer}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in UNMARKED:
            yield from self._in_function(node, outer)
        elif isinstance(node, ast.If | ast.Try) and not _for_types(node):
            for child in ast.iter_child_nodes(node):
                yield from self._definitions(child, outer)

    def _in_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, outer: str) -> Iterator[Edit]:
        self.function = f"{outer}{node.name}"
        named = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        self.parameters = tuple(a.arg for a in named if a.arg not in ("self", "cls"))
        body = node.body[1:] if _is_text(node.body[0]) else node.body
        if body and not _only_passes(body):
            yield from self._passed("remove_body", body)
            yield from self._defaults(node.args, body[0].lineno)
        for statement in body:
            yield from self._walk(statement)

    def _walk(self, node: ast.AST) -> Iterator[Edit]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.JoinedStr):
            return  # inner functions are seldom met by name; positions in f-strings lie before Python 3.12
        if _for_types(node) or (isinstance(node, ast.Expr) and _is_log(node.value)):
            return
        yield from self._at(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "type_comment"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._walk(child)

    def _at(self, node: ast.AST) -> Iterator[Edit]:
        yield from self._operators(node)
        yield from self._values(node)
        yield from self._waits(node)
        yield from self._statements(node)

    def _operators(self, node: ast.AST) -> Iterator[Edit]:
        match node:
            case ast.Compare(ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                yield from self._between("cmp", node.left, right, *COMPARISONS[type(op)])
            case ast.BoolOp(values=[left, right]):
                word = (rb"and", b"or") if isinstance(node.op, ast.And) else (rb"or", b"and")
                yield from self._between("bool", left, right, *word)
                yield self._edit("drop_operand", node, self._text(left))
            case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_string(node.left):
                yield from self._between("arith", node.left, node.right, *ARITHMETIC[type(node.op)])
            case ast.UnaryOp(op=ast.Not()):
                yield from self._without("drop_not", node, rb"not\s*")

    def _values(self, node: ast.AST) -> Iterator[Edit]:
        match node:
            case ast.Constant(value=bool() as value):
                yield self._edit("flip_bool", node, str(not value).encode())
            case ast.Constant(value=int() as value) if value < 10**9 and self._text(node).isdigit():
                yield self._edit("const", node, str(value + 1).encode())
            case ast.Call(args=[first, second, *_]) if not any(
                isinstance(each, ast.Starred) for each in node.args[:2]
            ):
                yield from self._swapped(first, second)
            case ast.Name(ctx=ast.Load(), id=name) if name in self.parameters:
                others = [each for each in self.parameters if each != name]
                if others:
                    after = [each for each in others if each > name] or others
                    yield self._edit("wrong_name", node, min(after).encode())

    def _waits(self, node: ast.AST) -> Iterator[Edit]:
        """A word forgotten: what would have been waited for, or handed on, is only made."""
        match node:
            case ast.Await():
                yield from self._without("drop_await", node, rb"await[\s\\]*")
            case ast.YieldFrom():
                yield from self._without("yield_from", node, rb"yield[\s\\]+from[\s\\]*")
                yield from self._without("yield_from", node, rb"yield([\s\\]+from)")

    def _statements(self, node: ast.AST) -> Iterator[Edit]:
        match node:
            case ast.ExceptHandler(body=body) if any(_raises(each) for each in body):
                self.handlers |= {*body} if len(body) == 1 else set()
                yield from self._passed("swallow", body)
            case ast.If(orelse=[_, *_]) | ast.IfExp():
                if not isinstance(node.test, ast.UnaryOp):
                    yield self._edit("negate_if", node.test, b"not (%s)" % self._text(node.test))
            case ast.Return(value=ast.expr() as value) if not (
                isinstance(value, ast.Constant) and value.value is None
            ):
                yield self._edit("return", node, b"return None")
            case ast.Raise() if node.exc is not None and node not in self.handlers:
                yield self._edit("drop_raise", node, b"pass")
            case ast.Expr(value=ast.Call()) | ast.AugAssign():
                yield self._edit("drop_stmt", node, b"pass")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield self._edit("drop_stmt", node, b"pass")
            case ast.Break():
                yield self._edit("break_continue", node, b"continue")
            case ast.Continue():
                yield self._edit("break_continue", node, b"break")

    def _passed(self, operator: str, body: list[ast.stmt]) -> Iterator[Edit]:
        first, last = body[0], body[-1]
        if (last.end_lineno or last.lineno) - first.lineno < MOST_BODY:
            span = self._span(first)[0], self._span(last)[1]
            yield Edit(operator, first.lineno, *span, b"pass", self.function)

    def _defaults(self, arguments: ast.arguments, line: int) -> Iterator[Edit]:
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if isinstance(default, ast.Constant) and (text := self._other(default)):
                yield Edit("default", line, *self._span(default), text, self.function)

    def _other(self, constant: ast.Constant) -> bytes:
        """A value of the same kind that somebody could have meant, or nothing."""
        match constant.value:
            case bool() as value:
                return str(not value).encode()
            case int() as value if value < 10**9 and self._text(constant).isdigit():
                return str(value + 1).encode()
            case float() as value if value < 10**9:
                return repr(value + 1).encode()
            case None:
                return b"0"
            case str() as value:
                return b'""' if value else b'" "'
            case bytes() as value:
                return b'b""' if value else b'b" "'
        return b""

    def _swapped(self, first: ast.expr, second: ast.expr) -> Iterator[Edit]:
        (start, middle), (other, end) = self._span(first), self._span(second)
        one, two = self.source[start:middle], self.source[other:end]
        if one != two:
            text = two + self.source[middle:other] + one
            yield Edit("swap_args", first.lineno, start, end, text, self.function)

    def _between(
        self, operator: str, left: ast.expr, right: ast.expr, word: bytes, other: bytes
    ) -> Iterator[Edit]:
        """Replace the operator between two operands, when nothing but it and brackets stand there."""
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.fullmatch(rb"[\s)\\]*(%s)[\s(\\]*" % word, self.source[start:end])
        if found is not None:
            yield Edit(
                operator, right.lineno, start + found.start(1), start + found.end(1), other, self.function
            )

    def _without(self, operator: str, node: ast.expr, words: bytes) -> Iterator[Edit]:
        """Drop these words at the start of a node, or the group among them."""
        start, end = self._span(node)
        found = re.match(words, self.source[start:end])
        if found is not None:  # a comment may stand between two words
            first, last = found.span(found.lastindex or 0)
            yield Edit(operator, node.lineno, start + first, start + last, b"", self.function)

    def _edit(self, operator: str, node: ast.stmt | ast.expr, text: bytes) -> Edit:
        return Edit(operator, node.lineno, *self._span(node), text, self.function)

    def _text(self, node: ast.stmt | ast.expr) -> bytes:
        start, end = self._span(node)
        return self.source[start:end]

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and _is_string(node.value)


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _raises(statement: ast.AST) -> bool:
    """Whether it raises, itself or in a branch of it; functions in it are not run."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    return isinstance(statement, ast.Raise) or any(
        _raises(child)
        for child in ast.iter_child_nodes(statement)
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
    )


def _only_passes(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        or (isinstance(each, ast.Raise) and "NotImplemented" in ast.dump(each))
        for each in body
    )


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _is_log(node: ast.expr) -> bool:
    """A call of print, or of a method that loggers have, waited for or not."""
    node = node.value if isinstance(node, ast.Await) else node
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called in LOGS
