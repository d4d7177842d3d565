"""What tests that nobody sees hold a change to and nobody could know: names, and texts and numbers that it made up.

A value that follows from what is told needs no telling. One that the change had to write down as it is, and that its
tests write down as well, does: the words of a message, a key, a limit. Pure.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sica.mining.running import is_source
from sica.mining.work import Work, nodes
from sica.model import Files

MOST_VALUES, MOST_TEXT, MOST_PLACE = 12, 160, 100
"""Values that are told, characters of one, and of the expression of a test that it stands in."""
PLACES = (ast.Call, ast.Compare, ast.Tuple, ast.Dict, ast.List, ast.stmt)
ANYBODYS = frozenset({*range(11), 100})
"""Numbers that stand in a test and in a change by chance."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_WORD = re.compile(r"[^\W\d_]{3}")
_FILLED = re.compile(r"%(?:\(\w+\))?[-#0 +]*\d*(?:\.\d+)?[a-zA-Z%]|\{[^{}]*\}")
"""What formatting fills in."""
_PATTERN = re.compile(r"\\[dwsbDWSBAZ][+*?]*|\.[+*]\??|\[[^\]]*\][+*?]*|[()|^$]")
"""What in a regular expression is no text."""


@dataclass(frozen=True, slots=True)
class Untold:
    """What an instruction must say beside what it says already."""

    signatures: Sequence[str]
    values: Sequence[str]

    @property
    def words(self) -> str:
        return _listed("Interface, as tests use it", self.signatures) + _listed(
            "Values, as tests use them", self.values
        )


def _listed(title: str, lines: Sequence[str]) -> str:
    listed = "\n".join(f"    {line}" for line in lines)
    return f"\n{title}:\n\n{listed}\n" if lines else ""


def untold(work: Work, told: str, *, shown: bool) -> Untold | None:
    """Who sees the tests is told signatures alone. None when something cannot be told.

    It cannot when a text is no line, nothing short says what a number or a name without a signature is of, there are
    too many, or a line of the change itself would be told.
    """
    used = list(_used(work))
    known, names = _signatures(work), _unknown(work, told, used)
    signatures = list(dict.fromkeys(known[name] for name in names if name in known))
    if shown:
        return Untold(signatures, ())
    told = "\n".join([told, *signatures])  # which bring the values of their defaults
    values = _values(work, told, used, {name for name in names if name not in known})
    lines = [line for line in values.values() if line]
    if len(lines) < len(values) or len(lines) > MOST_VALUES:
        return None
    return None if any(line in each for line in work.code() for each in lines) else Untold(signatures, lines)


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def _unknown(work: Work, told: str, used: Sequence[_Value]) -> Sequence[str]:
    """Names that tests use, that the change brought and that are not told."""
    old = {name for text in _python(work.before).values() for name in _NAME.findall(text)}
    new = {name for path in work.source if path in work.after for name in _names(work.after[path].data)}
    there = {name for each in used for name in _NAME.findall(str(each.value))}
    return sorted((new & there) - old - _own(work) - {*_NAME.findall(told)})


def _python(files: Files) -> Mapping[str, str]:
    return {p: f.data.decode("utf-8", "replace") for p, f in files.items() if is_source(p)}


def _own(work: Work) -> set[str]:
    """What a test made up for itself is no name of the project."""
    return {name for path in work.modules for name in _defined(work.after[path].data)}


def _names(source: bytes) -> Iterator[str]:
    """Names of code: words of texts and comments are none."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=str() as name) | ast.Attribute(attr=str() as name) | ast.arg(arg=str() as name):
                found = name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found = name
            case ast.keyword(arg=str() as name):
                found = name
            case ast.alias():
                yield from _NAME.findall(f"{node.name} {node.asname or ''}")
                continue
            case _:
                continue
        if _NAME.fullmatch(found):
            yield found


def _defined(source: bytes) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id


def _signatures(work: Work) -> Mapping[str, str]:
    """By name of a function, class, argument or attribute: where it is and how it is called."""
    found: dict[str, str] = {}
    for path in work.source:
        if path not in work.after:
            continue
        tree = ast.parse(work.after[path].data)
        for node in ast.walk(tree):
            for name, words in _signature(node):
                found.setdefault(name, f"{path}: {words}")
    return found


def _signature(node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.ClassDef():
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            yield node.name, f"class {node.name}({bases})" if bases else f"class {node.name}"
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            words = f"def {node.name}({ast.unparse(node.args)}){back}"
            yield node.name, words
            for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                yield each.arg, words
        case ast.Attribute(ctx=ast.Store()):
            yield node.attr, f"attribute {node.attr}"
        case ast.Name(ctx=ast.Store()):
            yield node.id, node.id


# ── texts and numbers ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Value:
    """Something that tests write down."""

    value: str | float
    place: str = ""
    """The expression around it, when that is short."""
    name: bool = False
    """It stands there as a name."""


def _values(work: Work, told: str, used: Sequence[_Value], names: set[str]) -> Mapping[str | float, str]:
    """How values are told that the change and its tests both made up, and these names; "" for what cannot be."""
    said = told.casefold()

    def known(text: str) -> bool:
        return text.casefold() in said or any(text.encode() in f.data for f in work.before.values())

    written, numbers = _made_up(work)
    texts = [text for text in written if not known(text)]
    found: dict[str | float, str] = dict.fromkeys(sorted(names), "")
    for each in used:
        value = each.value
        if not isinstance(value, str):
            if value in numbers and not _counted(value, told):
                found[value] = found.get(value) or _placed(str(value), each)
            continue
        for name in names.intersection(_NAME.findall(value)):
            found[name] = found[name] or _placed(name, each)
        if shared := next((part for part in _shared(each, texts) if not known(part)), ""):
            line = next((t for t in (value, shared) if len(t) <= MOST_TEXT and t.isprintable()), "")
            place = "" if " " in line else _placed(repr(line), each)
            found[line or shared] = found.get(line) or place or (line and repr(line))
    return found


def _placed(shown: str, used: _Value) -> str:
    return f"{shown}, as in: {used.place}" if used.place else ""


def _counted(number: float, told: str) -> bool:
    return re.search(rf"(?<![\d.]){re.escape(str(number))}(?!\.?\d)", told) is not None


def _shared(value: _Value, texts: Sequence[str]) -> Iterator[str]:
    """What of a value the change wrote, too."""
    text = " ".join(str(value.value).split())
    if value.name:
        yield from (text for each in texts if each == text)
        return
    for each in dict.fromkeys((text, *_PATTERN.split(text))):
        part = re.sub(r"\\([^\w\s])", r"\1", each).strip()
        if _WORD.search(part):
            yield from (
                made_up if made_up in part else part
                for made_up in texts
                if made_up in part or part in made_up
            )


def _made_up(work: Work) -> tuple[Sequence[str], frozenset[float]]:
    """Texts and numbers of the lines that the change wrote: texts by line, and without what formatting fills in."""
    texts: set[str] = set()
    numbers: set[float] = set()
    for path in work.source:
        if path not in work.after:
            continue
        old = ast.parse(work.before[path].data if path in work.before else b"")
        before = {literal.value for literal in _literals(old)}
        for literal in _literals(ast.parse(work.after[path].data), {*work.new(path)}):
            if isinstance(literal.value, str):
                texts.update(_parts(literal.value))
            elif literal.value not in before:
                numbers.add(literal.value)
    return sorted(texts, key=lambda text: (-len(text), text)), frozenset(numbers - ANYBODYS)


@dataclass(frozen=True, slots=True)
class _Literal:
    node: ast.expr
    value: str | float


def _literals(tree: ast.Module, new: set[int] | None = None) -> Iterator[_Literal]:
    """Texts and numbers, of these lines or all; with "{}" for what an f-string fills in. No docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node, at in nodes(tree):
        if not isinstance(node, ast.expr) or id(node) in docstrings or node is not at:
            continue
        if new is not None and new.isdisjoint(range(node.lineno - 1, node.end_lineno or node.lineno)):
            continue
        match node:
            case ast.Constant(value=str() | int() | float() as value) if not isinstance(value, bool):
                yield _Literal(node, value)
            case ast.JoinedStr():
                parts = (each.value if isinstance(each, ast.Constant) else "{}" for each in node.values)
                yield _Literal(node, "".join(map(str, parts)))


def _parts(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for part in _FILLED.split(line):
            words = " ".join(part.split())
            if _WORD.search(words):
                yield words


def _used(work: Work) -> Iterator[_Value]:
    """What the tests' new lines write down: texts by line, names, numbers that something is compared with; and the
    lines of their data.
    """
    own = _own(work)
    for path in work.tests:
        if path in work.after and path.endswith(".py"):
            for value in _in_module(work, path):
                if not value.name or value.value not in own:
                    yield value
        elif path in work.after and b"\0" not in work.after[path].data:
            yield from (_Value(line.strip()) for line in work.added(path))


def _in_module(work: Work, path: str) -> Iterator[_Value]:
    try:
        tree = ast.parse(work.after[path].data)
    except (SyntaxError, ValueError):  # data that only looks like a module
        return
    new, lines = {*work.new(path)}, work.lines(path)
    around = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for literal in _literals(tree, new):
        place = _place(literal.node, around, lines)
        if isinstance(literal.value, str):
            yield from (_Value(line.strip(), place) for line in literal.value.splitlines())
        elif _compared(literal.node, around):
            yield _Value(literal.value, place)
    for node, at in nodes(tree):
        for name in _named(node):
            if getattr(at, "lineno", 0) - 1 in new:
                yield _Value(name, _place(at, around, lines), True)


def _named(node: ast.AST) -> Iterator[str]:
    """Names that something which is not this module knows it by."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str() as name):
            yield name
        case ast.alias():
            yield from node.name.split(".")


def _compared(node: ast.AST, around: Mapping[ast.AST, ast.AST]) -> bool:
    """Whether it is part of an assertion, or of what a test is called with."""
    for outer in _outwards(node, around):
        match outer:
            case ast.Assert():
                return True
            case ast.Call(func=ast.Attribute(attr=name)) if re.match("assert|parametrize|approx", name):
                return True
    return False


def _place(node: ast.AST, around: Mapping[ast.AST, ast.AST], lines: Sequence[str]) -> str:
    """The call, comparison, collection or statement that it stands in, on one line; "" when that is long."""
    outer = next((each for each in _outwards(node, around) if isinstance(each, PLACES)), None)
    place = _on_one_line(_segment(outer, lines)) if outer is not None else ""
    return place if len(place) <= MOST_PLACE and place.isprintable() else ""


def _on_one_line(text: str) -> str:
    within = re.sub(r"(?<=[(\[{])\s*\n\s*|\s*\n\s*(?=[)\]}])", "", text)
    return re.sub(r"\s*\n\s*", " ", within)


def _segment(node: ast.expr | ast.stmt, lines: Sequence[str]) -> str:
    """As `ast.get_source_segment`, which splits the whole text anew each time."""
    part = [line.encode() for line in lines[node.lineno - 1 : node.end_lineno]]
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][node.col_offset :]
    return b"\n".join(part).decode()


def _outwards(node: ast.AST, around: Mapping[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    at: ast.AST | None = node
    while at is not None:
        yield at
        at = around.get(at)
