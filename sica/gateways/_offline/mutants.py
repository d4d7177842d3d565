"""Small changes of a Python file, of the kinds that people get wrong; each touches one place and keeps
the rest.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Mutant:
    kind: str
    function: str
    """Class.name of the function around it, or <module>."""
    line: int
    start: int
    end: int
    new: str
    weight: float

    @property
    def drastic(self) -> bool:
        """Whether it turns a decision round, which most tests would notice."""
        return self.kind == "not" or (
            self.kind == "compare" and self.new in ("in", "not in", "is", "is not", "==", "!=")
        )

    def apply(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


_COMPARE = {
    "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",),
    "in": ("not in",), "not in": ("in",), "is": ("is not",), "is not": ("is",),
}  # fmt: skip
_ARITHMETIC = {
    "+": ("-",), "-": ("+",), "*": ("+", "//"), "/": ("//", "*"), "//": ("%", "/", "*"), "%": ("//",),
    "**": ("*",),
}  # fmt: skip
_NEVER_ENDS = 0.25
"""How much less is expected of a change to how a loop steps: most such changes make it run for ever."""


def _both_ways(*pairs: str) -> dict[str, str]:
    return {a: b for pair in pairs for a, b in (pair.split(), pair.split()[::-1])}


_OPPOSITES = _both_ways(
    "min max", "any all", "lstrip rstrip", "startswith endswith", "partition rpartition", "find rfind",
    "split rsplit", "index rindex", "upper lower", "ceil floor", "keys values", "ljust rjust",
)  # fmt: skip
"""Names of the language and its library."""
_SIBLINGS = _both_ways(
    "first last", "left right", "start end", "start stop", "head tail", "next previous", "row column",
    "width height", "old new", "low high", "before after", "begin end", "source target", "open close",
    "append appendleft", "pop popleft", "add discard",
)  # fmt: skip
"""Names that programs make up; each is tried only where the program has the other one too."""


@lru_cache(maxsize=512)
def mutants(text: str) -> tuple[Mutant, ...]:
    """Every small change, in the order of the text; none for a text that is not Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(_Search(text).visit(tree, "<module>", ""))


class _Search:
    def __init__(self, text: str) -> None:
        self.text = text
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self.starts, self.lines = starts, text.splitlines(keepends=True)
        words = set(re.findall(r"\w+", text))
        self.antonyms = _OPPOSITES | {a: b for a, b in _SIBLINGS.items() if b in words}
        self.function = "<module>"
        self.steps: frozenset[str] = frozenset()
        self.damp = 1.0
        self.names: list[str] = []
        self.attributes: list[str] = []

    # ── positions ──

    def at(self, line: int, column: int) -> int:
        before = self.lines[line - 1].encode()[:column].decode("utf-8", "ignore")
        return self.starts[line - 1] + len(before)

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.at(node.lineno, node.col_offset), self.at(end_line, end_column)

    def source(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def change(self, kind: str, node: ast.expr | ast.stmt, new: str, weight: float = 1.0) -> Mutant:
        return Mutant(kind, self.function, node.lineno, *self.span(node), new, weight)

    # ── the walk ──

    def visit(self, node: ast.AST, function: str, prefix: str) -> Iterator[Mutant]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                outer = self.attributes
                self.attributes = _self_attributes(child)
                yield from self.visit(child, function, f"{prefix}{child.name}.")
                self.attributes = outer
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                outer = self.names
                self.names = _names(child)
                self.function = prefix + child.name
                yield from self.missing_return(child)
                yield from self.visit(child, prefix + child.name, f"{prefix}{child.name}.")
                self.names = outer
            elif not _docstring(child):
                outer_steps, outer_damp = self.steps, self.damp
                if isinstance(child, ast.While):
                    self.steps = self.steps | _read(child.test)
                if isinstance(child, ast.Assign | ast.AugAssign) and _stored(child) & self.steps:
                    self.damp = _NEVER_ENDS
                self.function = function
                yield from self.changes(child)
                yield from self.visit(child, function, prefix)
                self.steps, self.damp = outer_steps, outer_damp

    def changes(self, node: ast.AST) -> Iterator[Mutant]:
        change = getattr(self, "on_" + type(node).__name__, None)
        for mutant in change(node) if change else ():
            yield replace(mutant, weight=mutant.weight * self.damp)

    # ── one kind each ──

    def _operator(
        self, left: ast.expr, right: ast.expr, options: dict[str, tuple[str, ...]], kind: str
    ) -> Iterator[Mutant]:
        start, end = self.span(left)[1], self.span(right)[0]
        between = self.text[start:end]
        found = re.search(r"not\s+in|is\s+not|\bin\b|\bis\b|[<>=!]=|\*\*|//|[-+*/%<>]", between)
        if not found:
            return
        for n, new in enumerate(options.get(re.sub(r"\s+", " ", found[0]), ())):
            weight = 1.4 if n == 0 else 0.6
            yield Mutant(
                kind, self.function, left.lineno, start + found.start(), start + found.end(), new, weight
            )

    def on_Compare(self, node: ast.Compare) -> Iterator[Mutant]:
        sides = [node.left, *node.comparators]
        for left, right in pairwise(sides):
            yield from self._operator(left, right, _COMPARE, "compare")

    def on_BinOp(self, node: ast.BinOp) -> Iterator[Mutant]:
        text = isinstance(node.left, ast.Constant | ast.JoinedStr) and not isinstance(
            getattr(node.left, "value", 0), int | float
        )
        if not text:
            yield from self._operator(node.left, node.right, _ARITHMETIC, "arithmetic")
        if isinstance(node.op, ast.Sub):
            yield self.change(
                "arithmetic", node, f"{self.source(node.right)} - {self.source(node.left)}", 0.5
            )
        if (
            isinstance(node.op, ast.Add | ast.Sub)
            and isinstance(node.right, ast.Constant)
            and node.right.value == 1
        ):
            yield self.change("bound", node, self.source(node.left), 1.3)

    def on_BoolOp(self, node: ast.BoolOp) -> Iterator[Mutant]:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            start, end = self.span(left)[1], self.span(right)[0]
            swapped = re.sub(rf"\b{old}\b", new, self.text[start:end])
            yield Mutant("boolean", self.function, left.lineno, start, end, swapped, 1.0)
        for value in node.values if len(node.values) == 2 else ():
            yield self.change("boolean", node, self.source(value), 0.4)

    def on_UnaryOp(self, node: ast.UnaryOp) -> Iterator[Mutant]:
        if isinstance(node.op, ast.Not | ast.USub):
            yield self.change("not", node, self.source(node.operand), 0.9)

    def _negated(self, test: ast.expr) -> Iterator[Mutant]:
        if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield self.change("not", test, f"not ({self.source(test)})", 0.7)

    def on_If(self, node: ast.If) -> Iterator[Mutant]:
        yield from self._negated(node.test)

    def on_While(self, node: ast.While) -> Iterator[Mutant]:
        yield from self._negated(node.test)

    def on_IfExp(self, node: ast.IfExp) -> Iterator[Mutant]:
        swapped = f"{self.source(node.orelse)} if {self.source(node.test)} else {self.source(node.body)}"
        yield self.change("not", node, swapped, 0.9)

    def on_Constant(self, node: ast.Constant) -> Iterator[Mutant]:
        if isinstance(node.value, bool):
            yield self.change("constant", node, str(not node.value), 1.2)
        elif isinstance(node.value, int) and self.source(node).isdigit():
            for new in dict.fromkeys((node.value + 1, node.value - 1)):
                yield self.change("constant", node, str(new), 0.9 if abs(node.value) < 4 else 0.3)
            if node.value == 0:
                yield self.change("constant", node, "None", 0.1)

    def on_Subscript(self, node: ast.Subscript) -> Iterator[Mutant]:
        index = node.slice
        if isinstance(index, ast.Constant) and index.value == 0:
            yield self.change("bound", index, "-1", 0.8)
        elif isinstance(index, ast.UnaryOp) and self.source(index) == "-1":
            yield self.change("bound", index, "0", 0.9)
        elif isinstance(index, ast.Name | ast.BinOp):
            yield self.change("bound", index, f"{self.source(index)} - 1", 0.5)
            yield self.change("bound", index, f"{self.source(index)} + 1", 0.5)

    def on_Slice(self, node: ast.Slice) -> Iterator[Mutant]:
        for bound in (node.lower, node.upper):
            if bound is not None and not isinstance(bound, ast.Constant):
                yield self.change("slice", bound, f"{self.source(bound)} + 1", 0.9)
                yield self.change("slice", bound, f"{self.source(bound)} - 1", 0.7)
        if node.lower and not node.upper:
            yield self.change("slice", node, f":{self.source(node.lower)}", 0.6)
        elif node.upper and not node.lower:
            yield self.change("slice", node, f"{self.source(node.upper)}:", 0.6)

    def on_Call(self, node: ast.Call) -> Iterator[Mutant]:
        plain = [a for a in node.args if not isinstance(a, ast.Starred)]
        if len(plain) == len(node.args) >= 2:
            first, second = plain[:2]
            start, end = self.span(first)[0], self.span(second)[1]
            between = self.text[self.span(first)[1] : self.span(second)[0]]
            new = self.source(second) + between + self.source(first)
            yield Mutant("arguments", self.function, node.lineno, start, end, new, 1.0)
        if isinstance(node.func, ast.Name) and node.func.id in ("range", "len") and plain:
            yield self.change(
                "bound", plain[-1], f"{self.source(plain[-1])} + 1", 0.8 if node.func.id == "range" else 0
            )
            if node.func.id == "range":
                yield self.change("bound", plain[-1], f"{self.source(plain[-1])} - 1", 0.5)
        if (
            isinstance(node.func, ast.Name)
            and node.func.id in ("reversed", "sorted", "abs", "list")
            and len(plain) == 1
        ):
            yield self.change("return", node, self.source(plain[0]), 0.3)

    def on_Name(self, node: ast.Name) -> Iterator[Mutant]:
        if isinstance(node.ctx, ast.Load) and node.id in self.antonyms:
            yield self.change("antonym", node, self.antonyms[node.id], 1.3)
        if node.id in self.names and isinstance(node.ctx, ast.Load):
            others = [n for n in self.names if n != node.id and n != "self"]
            for other in others[:6]:
                yield self.change("name", node, other, 0.5 / max(2, len(others)))

    def on_Attribute(self, node: ast.Attribute) -> Iterator[Mutant]:
        end = self.span(node)[1]
        start = end - len(node.attr)
        if node.attr in self.antonyms:
            yield Mutant("antonym", self.function, node.lineno, start, end, self.antonyms[node.attr], 1.3)
        if isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr in self.attributes:
            for other in [a for a in self.attributes if a != node.attr][:6]:
                yield Mutant("attribute", self.function, node.lineno, start, end, other, 0.3)

    def on_AugAssign(self, node: ast.AugAssign) -> Iterator[Mutant]:
        start, end = self.span(node.target)[1], self.span(node.value)[0]
        sign = self.text[start:end].strip()
        for new in {"+=": ("-=", "="), "-=": ("+=", "="), "*=": ("+=",)}.get(sign, ()):
            yield Mutant(
                "arithmetic", self.function, node.lineno, start, end, f" {new} ", 1.0 if new != "=" else 0.5
            )

    def on_Assign(self, node: ast.Assign) -> Iterator[Mutant]:
        start, end = self.span(node.targets[-1])[1], self.span(node.value)[0]
        target = self.source(node.targets[-1])
        if self.function != "<module>" and (target in self.names or target.startswith("self.")):
            yield Mutant("arithmetic", self.function, node.lineno, start, end, " += ", 0.3)

    def on_For(self, node: ast.For) -> Iterator[Mutant]:
        if isinstance(node.iter, ast.Name | ast.Attribute):
            yield self.change("bound", node.iter, f"reversed({self.source(node.iter)})", 0.6)

    def on_Break(self, node: ast.Break) -> Iterator[Mutant]:
        yield self.change("return", node, "continue", 0.9)

    def on_Continue(self, node: ast.Continue) -> Iterator[Mutant]:
        yield self.change("return", node, "break", 0.9)

    def on_Return(self, node: ast.Return) -> Iterator[Mutant]:
        if node.value is not None and isinstance(node.value, ast.Name | ast.Constant):
            for other in [n for n in self.names if n != self.source(node.value)][:4]:
                yield self.change("return", node.value, other, 0.2)

    def missing_return(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Mutant]:
        """The last statement's value, when a function that computes something gives nothing back."""
        last = node.body[-1]
        if any(isinstance(n, ast.Return | ast.Yield | ast.YieldFrom) and n.value for n in ast.walk(last)):
            return
        if isinstance(last, ast.Expr) and not isinstance(last.value, ast.Constant):
            yield self.change("return", last, f"return {self.source(last)}", 0.2)
        if isinstance(last, ast.Pass) or node.name == "__init__":
            return
        indent = " " * node.body[0].col_offset
        for name in [n for n in _names(node) if n != "self"][-2:]:
            yield self.change("return", last, f"{self.source(last)}\n{indent}return {name}", 0.15)


def _read(node: ast.AST) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def _stored(node: ast.AST) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Arguments and variables of a function."""
    arguments = [a.arg for a in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]]
    stored = [n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return list(dict.fromkeys([*arguments, *stored]))


def _self_attributes(node: ast.ClassDef) -> list[str]:
    found = (
        n.attr
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name)
    )
    return list(dict.fromkeys(found))
