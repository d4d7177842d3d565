"""Where is the thing defined that this line uses? Answers by resolving Python's imports, without running anything.

Only answers that are beyond doubt are asked for: a name with one binding at each hop, shadowed nowhere in the file
that uses it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from sica.mining.candidates import Candidate, Yield, short
from sica.mining.source import Source, texts
from sica.model import File

NEAR = 3
"""Lines beside the definition that still earn half."""
CONTEXT = 2
MOST_HOPS = 8


@dataclass(frozen=True, slots=True)
class Import:
    """A top-level name that stands for something of another module."""

    module: str
    name: str
    """"" when it stands for the module itself."""
    line: int


@dataclass(frozen=True, slots=True)
class Definition:
    path: str
    name: str
    line: int
    kind: str


Binding = Import | Definition


@dataclass(frozen=True)
class Module:
    path: str
    dotted: str
    tree: ast.Module
    package: str
    """What relative imports start from."""
    bindings: Mapping[str, Binding]
    """Names bound exactly once, at the top level, and nowhere rebound by `global`."""
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Use:
    path: str
    line: int
    spelling: str
    """As the line has it."""


@dataclass(frozen=True, slots=True)
class Answer:
    definition: Definition
    chain: tuple[tuple[str, int], ...]
    """Path and line of each import on the way."""
    aliased: bool


def candidates(source: Source, seed: int, told: Yield) -> Iterator[Candidate]:
    """One question for each definition that another module uses; which use is asked about is the seed's choice."""
    modules = read_modules(texts(source.files), told)
    same = Counter(name for module in modules.values() for name in _definitions(module.tree))
    uses: dict[Definition, list[tuple[Use, Answer]]] = {}
    for module in modules.values():
        for use, answer in _uses(module, modules, told):
            uses.setdefault(answer.definition, []).append((use, answer))
    taken = {path for path in source.files if "/" not in path}
    for definition, places in sorted(uses.items(), key=lambda pair: (pair[0].path, pair[0].line)):
        told.looked += 1
        item = f"locate:{definition.path}:{definition.name}"
        use, answer = source.dice(seed, item).choice(places)
        yield _candidate(
            source, modules, item, use, answer, same[definition.name], _unused("answer.txt", taken)
        )


def read_modules(python: Mapping[str, str], told: Yield) -> dict[str, Module]:
    """By dotted name. Two files of one name are none: which one an import means is settled at run time."""
    found: dict[str, Module] = {}
    twice: set[str] = set()
    for path, text in python.items():
        dotted = _dotted(path, python)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            told.refuse("UNPARSED")
            continue
        if dotted in found or dotted in twice:
            twice.add(dotted)
            continue
        package = dotted if path.endswith("__init__.py") else dotted.rpartition(".")[0]
        found[dotted] = Module(
            path, dotted, tree, package, _bindings(tree, path, package), tuple(text.split("\n"))
        )
    told.reasons["TWO_MODULES"] += len(twice)
    return {dotted: module for dotted, module in found.items() if dotted not in twice}


def _dotted(path: str, python: Mapping[str, str]) -> str:
    """The module's name below the first folder that is no package."""
    pure = PurePosixPath(path)
    parts = [] if pure.stem == "__init__" else [pure.stem]
    for folder in pure.parents:
        if folder == PurePosixPath(".") or (folder / "__init__.py").as_posix() not in python:
            break
        parts.insert(0, folder.name)
    return ".".join(parts) or pure.parent.name


def _definitions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


# ── what a module binds ───────────────────────────────────────────────────────────────────────────


def _bindings(tree: ast.Module, path: str, package: str) -> Mapping[str, Binding]:
    found: dict[str, Binding] = {}
    often: Counter[str] = Counter()
    for name, binding in _bound(tree, path, package):
        often[name] += 1
        if binding is not None:
            found[name] = binding
    unsure = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    if often["*"]:
        return {}  # a star may bind any name
    return {name: b for name, b in found.items() if often[name] == 1 and name not in unsure}


def _bound(tree: ast.Module, path: str, package: str) -> Iterator[tuple[str, Binding | None]]:
    """Every binding of the module's own scope, under whatever `if` and `try`; None: of a kind that is not asked for."""
    for node in _own_scope(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, Definition(path, node.name, node.lineno, "function")
            case ast.ClassDef():
                yield node.name, Definition(path, node.name, node.lineno, "class")
            case ast.ImportFrom():
                module = _absolute(node, package)
                for alias in node.names:
                    yield alias.asname or alias.name, Import(module, alias.name, node.lineno)
            case ast.Import():
                for alias in node.names:
                    whole = alias.asname is not None or "." not in alias.name
                    name = alias.asname or alias.name.partition(".")[0]
                    yield name, Import(alias.name, "", node.lineno) if whole else None
            case ast.Name(ctx=ast.Store() | ast.Del()):
                yield node.id, None
            case ast.ExceptHandler(name=str()):
                yield str(node.name), None


def _own_scope(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes whose names belong to the module: not what is inside functions, classes, lambdas and comprehensions."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*inner, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            waiting += ast.iter_child_nodes(node)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


# ── what a use means ──────────────────────────────────────────────────────────────────────────────


def _uses(module: Module, modules: Mapping[str, Module], told: Yield) -> Iterator[tuple[Use, Answer]]:
    shadowed = _rebound(module.tree)
    for node in ast.walk(module.tree):
        match node:
            case ast.Name(ctx=ast.Load()):
                start, attribute = node, ""
            case ast.Attribute(value=ast.Name() as start, ctx=ast.Load()):
                attribute = node.attr
            case _:
                continue
        binding = module.bindings.get(start.id)
        if not isinstance(binding, Import):
            continue
        if start.id in shadowed:
            told.refuse("SHADOWED")
            continue
        answer = _resolve(binding, attribute, module.path, modules)
        if answer is None or answer.definition.path == module.path:
            continue
        spelling = f"{start.id}.{attribute}" if attribute else start.id
        name = spelling.rpartition(".")[2]
        aliased = name != answer.definition.name
        yield Use(module.path, node.lineno, spelling), Answer(answer.definition, answer.chain, aliased)


def _rebound(tree: ast.Module) -> set[str]:
    """Names that some scope of the file binds anew: arguments, assignments, definitions and imports inside others."""
    top = set(map(id, _own_scope(tree)))
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.arg():
                found.add(node.arg)
            case ast.Name(ctx=ast.Store() | ast.Del()):
                found.add(node.id)
            case ast.ExceptHandler(name=str()) | ast.MatchAs(name=str()) | ast.MatchStar(name=str()):
                found.add(str(node.name))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if id(node) not in top:
                found.add(node.name)
            case ast.Import() | ast.ImportFrom() if id(node) not in top:
                found |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    return found


def _resolve(binding: Import, attribute: str, path: str, modules: Mapping[str, Module]) -> Answer | None:
    """Follow imports to a definition. None when a hop leaves the tree, is ambiguous or goes in circles."""
    chain: list[tuple[str, int]] = []
    here: Binding | None = binding
    for _ in range(MOST_HOPS):
        match here:
            case Import():
                chain.append((path, here.line))
                inner = f"{here.module}.{here.name}" if here.name else here.module
                if inner in modules:  # the name is a module: only an attribute of it can be defined somewhere
                    if here.name and here.name in _names(modules, here.module):
                        return None  # and also something of the package: which one is settled at run time
                    if not attribute:
                        return None
                    path, here, attribute = modules[inner].path, modules[inner].bindings.get(attribute), ""
                elif here.name and here.module in modules:
                    module = modules[here.module]
                    path, here = module.path, module.bindings.get(here.name)
                else:
                    return None
            case Definition():
                return None if attribute else Answer(here, tuple(chain), False)
            case None:
                return None
    return None


def _names(modules: Mapping[str, Module], dotted: str) -> Mapping[str, Binding]:
    return modules[dotted].bindings if dotted in modules else {}


# ── who leans on what ─────────────────────────────────────────────────────────────────────────────


def leaning(python: Mapping[str, str], on: Collection[str]) -> Iterator[str]:
    """Files that import one of these, anywhere, or use what is defined in one, whoever re-exports it."""
    nobody = Yield()
    modules = read_modules(python, nobody)
    named = {module.dotted for module in modules.values() if module.path in on}
    for module in modules.values():
        if module.path not in on and (
            not named.isdisjoint(_imported(module))
            or any(answer.definition.path in on for _, answer in _uses(module, modules, nobody))
        ):
            yield module.path


def _imported(module: Module) -> Iterator[str]:
    """Whatever may be a module of what it imports, in functions and under conditions, too."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                base = _absolute(node, module.package)
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


# ── the question ──────────────────────────────────────────────────────────────────────────────────


def _candidate(
    source: Source, modules: Mapping[str, Module], item: str, use: Use, answer: Answer, same: int, file: str
) -> Candidate:
    definition = answer.definition
    lines = next(m.lines for m in modules.values() if m.path == use.path)
    hops = len(answer.chain) - 1
    level = 1 + min(3, min(hops, 2) + (same > 1) + (same > 5) + answer.aliased)
    plain = re.sub(r"[^a-z0-9]+", "-", definition.name.lower()).strip("-")[:40] or "name"
    place = f"{definition.path}:{definition.line}"
    return Candidate(
        item=item,
        name=f"locate-{plain}-{short(item)}",
        level=level,
        instruction=_instruction(use, lines, file, source.name),
        checks=[{"id": "where", "file": file, "accept": _credits(answer, _length(modules, definition.path))}],
        commit=source.commit,
        answer={file: File(f"{place}\n".encode())},
        facts={"hops": hops, "same_name": same, "aliased": answer.aliased, "kind": definition.kind},
    )


def _credits(answer: Answer, length: int) -> dict[str, float]:
    """1 for the line, half for a line beside it and for an import on the right way; nothing for a wrong file's line."""
    definition = answer.definition
    beside = range(max(1, definition.line - NEAR), min(length, definition.line + NEAR) + 1)
    half = {f"{path}:{line}": 0.5 for path, line in answer.chain[1:]}
    return {
        **half,
        **{f"{definition.path}:{n}": 0.5 for n in beside},
        f"{definition.path}:{definition.line}": 1.0,
    }


def _length(modules: Mapping[str, Module], path: str) -> int:
    return next(len(m.lines) for m in modules.values() if m.path == path)


def _instruction(use: Use, lines: tuple[str, ...], file: str, name: str) -> str:
    first, last = max(1, use.line - CONTEXT), min(len(lines), use.line + CONTEXT)
    shown = "\n".join(f"{n:>5} | {lines[n - 1]}" for n in range(first, last + 1))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    return (
        f"The current directory holds the source of {name}.\n"
        f"`{use.spelling}` is used in `{use.path}`, line {use.line}:\n\n"
        f"{fence}\n{shown}\n{fence}\n\n"
        f"Where is what it refers to defined? Follow imports and re-exports to the `def`, `async def` or `class`\n"
        f"statement itself (its own line, not that of a decorator). Write `path:line`, and nothing else, to `{file}`;\n"
        f"the path is relative to the current directory.\n"
    )


def _unused(wanted: str, taken: set[str]) -> str:
    name = wanted
    while name in taken:
        name = f"the-{name}"
    return name
