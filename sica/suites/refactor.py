"""refactor: one change in many files while everything keeps working: a renaming, a new signature, a module split in two.

Ladder: 3 files and 8 sites; 10 and 25; 25 and 60; the same with sites that are made of text at run time. Between the
sites stand look-alikes that must stay: texts, local names, another module's function of the same name. Sites are counted in
the syntax tree by a program that never runs the agent's code; behaviour is called; look-alikes are guards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from sica.suites._made import Made, expected
from sica.suites._truth import Probe, answers
from sica.suites._words import Names

FILES = (3, 10, 25, 25)
SITES = (8, 25, 60, 60)
MARK = "@@"
"""Stands in a text where the name changes."""

COUNT_NAMES = """\
import ast, sys

def told(text, names):
    used = []
    for node in ast.walk(ast.parse(text)):
        for field in ("id", "attr", "name", "asname", "arg"):
            used.append(getattr(node, field, None))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            used += ["text " + name for name in names if name in node.value]
    return [[used.count(name), used.count("text " + name)] for name in names]
"""
COUNT_CALLS = """\
import ast, sys

def told(text, names):
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    mine = [node for node in calls if getattr(node.func, "id", getattr(node.func, "attr", "")) in names]
    return sorted([len(node.args), *sorted(str(word.arg) for word in node.keywords)] for node in mine)
"""
LIST_HOMES = """\
import ast, sys

def told(text, names):
    body = ast.parse(text).body
    sources = [node for node in body if isinstance(node, ast.ImportFrom)]
    found = [[node.module, *sorted(each.name for each in node.names if each.name in names)] for node in sources]
    return sorted(found), [node.name for node in body if getattr(node, "name", None) in names]
"""
MAIN = """
cut = sys.argv.index("--")
for path in sys.argv[1:cut]:
    try:
        with open(path, encoding="utf-8") as file:
            print(path, told(file.read(), sys.argv[cut + 1 :]))
    except (OSError, SyntaxError) as error:
        print(path, type(error).__name__)
"""
GROUPS = 5
"""Checks that share out the files: each earns when all its files are right."""


def task(dice: Random, level: int, nth: int) -> Made:
    return (rename, signature, split)[nth % 3](dice, level)


@dataclass
class Package:
    dice: Random
    names: Names
    name: str
    files: dict[str, list[str]] = field(default_factory=dict)
    probes: list[Probe] = field(default_factory=list)

    def user(self, *imports: str) -> str:
        module = self.names.module()
        self.files[module] = [f'"""The {module.replace("_", " ")}."""', "", *imports]
        return module

    def function(self, module: str, *body: str) -> None:
        """A function of one number, and a probe for it."""
        name = self.names.function()
        self.files[module] += ["", "", f"def {name}(value):", *(f"    {line}" for line in body)]
        self.probes.append({"call": f"{self.name}.{module}.{name}", "args": [self.dice.randrange(2, 90)]})

    def texts(self, word: str) -> dict[str, str]:
        made = {f"{self.name}/__init__.py": f'"""The {self.name}."""\n'}
        for module, lines in sorted(self.files.items()):
            made[f"{self.name}/{module}.py"] = "\n".join(lines).replace(MARK, word) + "\n"
        return made


def _package(dice: Random) -> Package:
    names = Names(dice)
    return Package(dice, names, names.thing())


def _sites(dice: Random, level: int) -> list[int]:
    """How many sites each file has."""
    shares = [1] * FILES[level - 1]
    for _ in range(SITES[level - 1] - len(shares)):
        shares[dice.randrange(len(shares))] += 1
    return shares


def _guards(probes: list[Probe], before: dict[str, str], most: int = 10) -> list[dict[str, Any]]:
    """What the functions give now is what they shall give."""
    kept = probes[:most]
    return [{"id": f"keeps-{n}", **probe, **right, "guard": True}
            for n, (probe, right) in enumerate(zip(kept, answers(before, kept), strict=True), 1)]  # fmt: skip


def _structure(
    program: str, texts: dict[str, str], paths: list[str], names: list[str], weight: float
) -> list[dict[str, Any]]:
    """Checks that the program tells of the files what it tells of the reference's."""
    groups = [paths[n::GROUPS] for n in range(min(GROUPS, len(paths)))]
    known: dict[str, Any] = {}
    exec(program, known)  # noqa: S102  one of the three above
    return [
        {
            "id": f"sites-{n}",
            "run": ["python3", "-I", "-c", program + MAIN, *group, "--", *names],
            "stdout": "".join(f"{path} {known['told'](texts[path], names)}\n" for path in group),
            "weight": round(weight / len(groups), 6),
        }
        for n, group in enumerate(groups, 1)
    ]


def _changed(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    return {path: text for path, text in after.items() if before.get(path) != text}


# ── a renaming ────────────────────────────────────────────────────────────────────────────────────


def rename(dice: Random, level: int) -> Made:
    package = _package(dice)
    old, new = package.names.function(), package.names.function()
    home = package.user()
    factor = dice.randrange(2, 9)
    package.files[home] += [
        "",
        "",
        f"def {MARK}(value, bound=900):",
        f'    """Used all over the {package.name}."""',
        f"    return min(value * {factor}, bound)",
    ]
    shares = _sites(dice, level)
    for n, count in enumerate(shares):
        _renamed_user(package, home, old, count, n, level)
    twin = package.user()
    package.files[twin] += [
        "",
        "",
        f"def {old}(value):",
        '    """Another function of this name: it stays."""',
        f"    return value - {factor}",
    ]
    package.function(twin, f"return {old}(value) + 1")
    before, after = package.texts(old), package.texts(new)
    changed = _changed(before, after)
    paths = sorted(changed)
    listed = (
        f"In {', '.join(f'`{p}`' for p in paths[:-1])} and `{paths[-1]}`, rename `{old}` to `{new}`.\n"
        if level <= 2
        else ""
    )
    dynamic = "The names that the registries hold as text for `getattr` are uses too.\n" if level == 4 else ""
    path = f"{package.name}/{home}.py"
    probe = {"call": f"{package.name}.{home}.{new}", "args": [7]}
    checks = [
        {"id": "new-name", **probe, **answers(after, [probe])[0], "weight": 4.0},
        *_structure(COUNT_NAMES, changed, paths, [old, new], 6.0),
        *_guards(package.probes, before),
        {**expected("twin", f"{package.name}/{twin}.py"), "guard": True},
    ]
    return Made(
        family="rename",
        description=f"Rename a function in {len(paths)} files with look-alikes.",
        instruction=(
            f"The function `{old}` of `{path}` gets the name `{new}`, at its definition and wherever it is used.\n{listed}{dynamic}"
            f"Texts that people read keep the old word, and so do local variables and other functions that happen to be called "
            f"`{old}`. Nothing else changes."
        ),
        workspace=before,
        solution=changed,
        checks=checks,
        tests={f"expected/{package.name}/{twin}.py": before[f"{package.name}/{twin}.py"]},
    )  # fmt: skip


def _renamed_user(package: Package, home: str, old: str, count: int, n: int, level: int) -> None:
    dice = package.dice
    whole = n % 3 == 1
    imported = f"from {package.name} import {home}" if whole else f"from {package.name}.{home} import {MARK}"
    module = package.user(imported)
    call = f"{home}.{MARK}" if whole else MARK
    for _ in range(count - (0 if whole else 1) or 1):
        form = dice.randrange(3)
        if form == 0:
            package.function(module, f"return {call}(value) + {dice.randrange(9)}")
        elif form == 1:
            package.function(module, f"return sum(map({call}, range(value)))")
        else:
            package.function(module, f"best = max({call}(value), {dice.randrange(9, 99)})", "return best")
    if level >= 2 and n % 4 == 0:
        package.function(module, f'return f"{old}: {{value}}"')
    if level >= 2 and n % 4 == 2:
        package.function(module, f"{old} = value + 1", f"return {old} * 2")
    if level == 4 and n % 5 == 0:
        package.files[module].insert(2, "import importlib")
        package.function(
            module,
            f'found = importlib.import_module("{package.name}.{home}")',
            f'return getattr(found, "{MARK}")(value)',
        )


# ── a signature ───────────────────────────────────────────────────────────────────────────────────


def signature(dice: Random, level: int) -> Made:
    """Positional becomes keyword, and a new keyword without a default comes: each module has its own word for it."""
    package = _package(dice)
    name, first, second, area = (package.names.function(), *(package.names.thing() for _ in range(3)))
    home = package.user()
    old_def = [f"def {name}(value, {first}, {second}=1):", f"    return value * {first} - {second}"]
    new_def = [
        f"def {name}(value, *, {first}, {second}=1, {area}):",
        f'    """`{area}` is said by whoever calls."""',
        f"    note({area})",
        f"    return value * {first} - {second}",
    ]
    kept = ["", "SEEN = []", "", "", f"def note({area}):", f"    SEEN.append({area})", "", ""]
    package.files[home] += [*kept, MARK]
    after_lines: dict[str, list[str]] = {}
    for n, count in enumerate(_sites(dice, level)):
        _signed_user(package, home, name, (first, second, area), count, n, level, after_lines)
    before = package.texts("\n".join(old_def))
    finished = Package(dice, package.names, package.name, {**package.files, **after_lines})
    after = finished.texts("\n".join(new_def))
    changed = _changed(before, after)
    path = f"{package.name}/{home}.py"
    users = [p for p in sorted(changed) if p != path]
    probes: list[Probe] = [
        {"call": f"{package.name}.{home}.{name}", "args": [6], "kwargs": {first: 3, area: "x"}},
        {
            "steps": [
                {
                    "call": f"{package.name}.{home}.{name}",
                    "args": [6],
                    "kwargs": {first: 3, second: 2, area: "x"},
                },
                {"call": f"{package.name}.{home}.SEEN"},
            ]
        },
    ]
    return Made(
        family="signature",
        description=f"Change a signature and its calls in {len(users)} files.",
        instruction=(
            f"`{name}` of `{path}` is called as `{name}(value, {first}, {second})`. From now on everything but `value` is a keyword, and "
            f"a keyword `{area}` is required: the definition becomes `def {name}(value, *, {first}, {second}=1, {area}):` and calls "
            f"`note({area})` first.\nChange every call in the package: name the arguments that it gives, add none that it leaves out but "
            f"`{area}`, which is the constant `HERE` of the calling module. A method of the same name elsewhere is another thing. "
            "What the functions return stays the same."
        ),
        workspace=before,
        solution=changed,
        checks=[
            *({"id": f"definition-{n}", **probe, **right, "weight": 2.0} for n, (probe, right) in enumerate(zip(probes, answers(after, probes), strict=True), 1)),
            *_structure(COUNT_CALLS, after, users, [name], 6.0),
            *_guards(package.probes, before),
        ],
    )  # fmt: skip


def _signed_user(package: Package, home: str, name: str, words: tuple[str, str, str], count: int, n: int, level: int,
                 after: dict[str, list[str]]) -> None:  # fmt: skip
    dice = package.dice
    first, second, area = words
    module = package.user(
        f"from {package.name}.{home} import {name}", "", f'HERE = "{package.names.thing()}"'
    )
    changed = list(package.files[module])

    def both(old: list[str], new: list[str]) -> None:
        start = len(package.files[module])
        package.function(module, *old)
        head = package.files[module][start : start + 3]
        changed.extend([*head, *(f"    {line}" for line in new)])

    for _ in range(count):
        a, b = dice.randrange(2, 9), dice.randrange(2, 9)
        match dice.randrange(3):
            case 0:
                both([f"return {name}(value, {a})"], [f"return {name}(value, {first}={a}, {area}=HERE)"])
            case 1:
                both(
                    [f"return {name}(value + 1, {a}, {b})"],
                    [f"return {name}(value + 1, {first}={a}, {second}={b}, {area}=HERE)"],
                )
            case _:
                both([f"return [{name}(each, {a}) for each in range(value % 7)]"],
                     [f"return [{name}(each, {first}={a}, {area}=HERE) for each in range(value % 7)]"])  # fmt: skip
    if level >= 2 and n % 3 == 0:
        twin = [
            "",
            "",
            "class Other:",
            f"    def get(self, value, {first}):",
            f"        return value + {first}",
        ]
        package.files[module] += twin
        changed.extend(twin)
        both([f"return Other().get(value, {n + 1})"], [f"return Other().get(value, {n + 1})"])
    if level == 4 and n % 4 == 0:
        both(
            [f"given = (value, {n + 2})", f"return {name}(*given)"],
            [f"given = {{'{first}': {n + 2}}}", f"return {name}(value, **given, {area}=HERE)"],
        )
    after[module] = changed


# ── a split ───────────────────────────────────────────────────────────────────────────────────────


def split(dice: Random, level: int) -> Made:
    """Some functions of one module move to a new one. The old place goes on giving them."""
    package = _package(dice)
    big, new = package.user(), package.names.module()
    functions = [package.names.function() for _ in range(6 + 2 * level)]
    moved = sorted(dice.sample(functions, 2 + level))
    bodies = {name: ["", "", f"def {name}(value):", f'    """One of the {package.name}\'s own."""', f"    return value * {dice.randrange(2, 9)} + {n}"]
              for n, name in enumerate(functions)}  # fmt: skip
    whole = list(package.files[big])
    package.files[big] = whole + [line for name in functions for line in bodies[name]]
    after: dict[str, list[str]] = {}
    for n, count in enumerate(_sites(dice, level)):
        _split_user(package, big, new, functions, set(moved), count, n, level, after)
    before = package.texts("")
    after[big] = [
        *whole,
        f"from {package.name}.{new} import {', '.join(moved)}",
        *(line for name in functions if name not in moved for line in bodies[name]),
    ]
    after[new] = [
        f'"""The {new.replace("_", " ")}."""',
        *(line for name in functions if name in moved for line in bodies[name]),
    ]
    finished = Package(dice, package.names, package.name, {**package.files, **after})
    changed = _changed(before, finished.texts(""))
    old_path, new_path = (f"{package.name}/{module}.py" for module in (big, new))
    users = [p for p in sorted(changed) if p not in (old_path, new_path)]
    probes: list[Probe] = [{"call": f"{package.name}.{new}.{name}", "args": [5]} for name in moved]
    compat: list[Probe] = [{"call": f"{package.name}.{big}.{name}", "args": [5]} for name in functions]
    texts = finished.texts("")
    return Made(
        family="split",
        description=f"Split a module that {len(users)} files import from.",
        instruction=(
            f"Move {', '.join(f'`{name}`' for name in moved)} from `{old_path}` to a new module `{new_path}`. The other functions stay.\n"
            f"`{package.name}.{big}` goes on giving the moved ones: one line `from {package.name}.{new} import ...` there. Every other module "
            f"of the package imports a moved function with `from {package.name}.{new} import ...` and the others as before, one line for "
            f"each of the two modules; names within a line in any order. Texts and results stay the same."
        ),
        workspace=before,
        solution=changed,
        checks=[
            *({"id": f"moved-{n}", **probe, **right, "weight": 4 / len(moved)} for n, (probe, right) in enumerate(zip(probes, answers(texts, probes), strict=True), 1)),
            *_structure(LIST_HOMES, texts, [old_path, new_path, *users], functions, 6.0),
            *_guards([*compat, *package.probes], before, 16),
        ],
    )  # fmt: skip


def _split_user(package: Package, big: str, new: str, functions: list[str], moved: set[str], count: int, n: int, level: int,
                after: dict[str, list[str]]) -> None:  # fmt: skip
    dice = package.dice
    used = sorted({dice.choice(sorted(moved)), *dice.sample(functions, min(count, len(functions)))})
    module = package.user(f"from {package.name}.{big} import {', '.join(used)}")
    start = len(package.files[module])
    for name in used:
        package.function(module, f"return {name}(value) - {dice.randrange(9)}")
    if level >= 3 and n % 4 == 0:
        package.function(module, f'return f"see {big}.{used[0]}: {{value}}"')
    lines = []
    for home, names in ((big, [u for u in used if u not in moved]), (new, [u for u in used if u in moved])):
        lines += [f"from {package.name}.{home} import {', '.join(names)}"] if names else []
    after[module] = [*package.files[module][: start - 1], *lines, *package.files[module][start:]]
