"""locate: where is it? Nothing is changed; the answer is a place, a set of places or a key, written to a file.

Ladder: a name that stands once; five homonyms; re-exports and aliases; registries and names put together at run time.
The trees grow from 8 to 120 modules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from sica.suites._made import Made
from sica.suites._words import Names

MODULES = (8, 25, 60, 120)


def task(dice: Random, level: int, nth: int) -> Made:
    return (definition, callers, wiring)[nth % 3](dice, level)


@dataclass
class Tree:
    """A package in the making: modules of functions that mean nothing much."""

    dice: Random
    names: Names
    package: str
    modules: dict[str, list[str]] = field(default_factory=dict)

    def path(self, module: str) -> str:
        return f"{self.package}/{module}.py"

    def put(self, module: str, *lines: str) -> int:
        """Add lines; the number of the first."""
        text = self.modules.setdefault(
            module, [f'"""The {module.replace("_", " ")} of the {self.package}."""', ""]
        )
        text += lines
        return len(text) - len(lines) + 1

    def fill(self, module: str, functions: int, calls: str = "") -> None:
        for _ in range(functions):
            name, bound = self.names.function(), self.dice.randrange(2, 60)
            self.put(module, "", "", f"def {name}(values):", f"    total = sum(values) + {bound}",
                     f"    return {calls or 'min'}(total, {bound})" if calls else f"    return min(total, {bound * 9})")  # fmt: skip

    def files(self) -> dict[str, str]:
        init = {f"{self.package}/__init__.py": f'"""The {self.package}."""\n'}
        made = {self.path(module): "\n".join(lines) + "\n" for module, lines in sorted(self.modules.items())}
        return {**init, **made}


def _tree(dice: Random, level: int) -> Tree:
    names = Names(dice)
    tree = Tree(dice, names, names.thing())
    for _ in range(MODULES[level - 1]):
        tree.fill(names.module(), dice.randrange(2, 6))
    return tree


def _made(
    family: str, description: str, question: str, tree: Tree, answer: str, check: dict[str, object]
) -> Made:
    return Made(
        family=family,
        description=description,
        instruction=question,
        workspace=tree.files(),
        solution={"answer.txt": f"{answer}\n"},
        checks=[{"id": "where", "file": "answer.txt", **check}],
    )


def _place(path: str, line: int) -> dict[str, object]:
    """1 for the line, 0.5 for one at most three away, 0.2 for the file."""
    near = {f"{path}:{n}": 0.5 for n in range(max(1, line - 3), line + 4)}
    return {"accept": {**near, path: 0.2, f"{path}:{line}": 1.0}}


# ── definitions ───────────────────────────────────────────────────────────────────────────────────


def definition(dice: Random, level: int) -> Made:
    tree = _tree(dice, level)
    name = tree.names.function()
    homes = dice.sample(sorted(tree.modules), 1 + 5 * (level > 1))
    lines = {home: 2 + tree.put(home, "", "", f"def {name}(values):", f"    return values[: {n + 2}]")
             for n, home in enumerate(homes)}  # fmt: skip
    home, user = homes[0], tree.names.module()
    if level == 4:
        return _plugin(tree, name, home, lines[home])
    source, called = home, name
    if level == 3:
        first, second, called = tree.names.module(), tree.names.module(), tree.names.function()
        tree.put(first, f"from {tree.package}.{home} import {name}")
        tree.put(second, f"from {tree.package}.{first} import {name} as {called}")
        source = second
        for other in homes[1:3]:
            tree.put(
                tree.names.module(), f"from {tree.package}.{other} import {name} as {tree.names.function()}"
            )
    tree.put(
        user,
        f"from {tree.package}.{source} import {called}",
        "",
        "",
        "def run(values):",
        f"    return {called}(values)",
    )
    question = (
        f"Where is the function `{called}` that `{tree.path(user)}` uses defined? Follow the imports to the `def` statement.\n"
        "Write its place as `path:line` to `answer.txt`, the path from here, such as `a/b.py:12`."
    )
    return _made("definition", "The definition behind a name.", question, tree, f"{tree.path(home)}:{lines[home]}",
                 _place(tree.path(home), lines[home]))  # fmt: skip


def _plugin(tree: Tree, name: str, home: str, line: int) -> Made:
    """The name is put together at run time: from a table of verbs and a table of places."""
    verb, _, thing = name.partition("_")
    wrong = [tree.names.module() for _ in range(2)]
    loader = tree.names.module()
    tree.put(loader, "import importlib", "", f'HOME = "{tree.package}"',
             f'PLACES = {{"a": "{wrong[0]}", "k": "{home}", "z": "{wrong[1]}"}}', f'VERBS = {{"k7": "{verb}", "k9": "{verb}s"}}',
             "", "", "def load(code):", '    """The function of a code such as k7-anchor."""', '    short, _, rest = code.partition("-")',
             '    module = importlib.import_module(f"{HOME}.{PLACES[short[0]]}")', '    return getattr(module, f"{VERBS[short]}_{rest}")')  # fmt: skip
    for other in wrong:
        tree.put(other, "", "", f"def {name}(values):", "    return values[1:]")
    question = (
        f'Where is the function that `load("k7-{thing}")` of `{tree.path(loader)}` gives defined?\n'
        "Write the place of its `def` as `path:line` to `answer.txt`, the path from here."
    )
    return _made("definition", "A definition behind a name made at run time.", question, tree, f"{tree.path(home)}:{line}",
                 _place(tree.path(home), line))  # fmt: skip


# ── callers ───────────────────────────────────────────────────────────────────────────────────────


def callers(dice: Random, level: int) -> Made:
    tree = _tree(dice, level)
    name, home = tree.names.function(), tree.names.module()
    tree.put(home, "", "", f"def {name}(value, bound=9):", "    return min(value, bound)")
    found: set[str] = set()
    for user in dice.sample(sorted(m for m in tree.modules if m != home), 3 + level):
        called = name
        if level >= 3 and dice.random() < 0.5:
            called = tree.names.function()
            tree.modules[user].insert(1, f"from {tree.package}.{home} import {name} as {called}")
        else:
            tree.modules[user].insert(1, f"from {tree.package}.{home} import {name}")
        for _ in range(dice.randrange(1, 3)):
            caller = tree.names.function()
            tree.put(user, "", "", f"def {caller}(values):", *_call(dice, called, level))
            found.add(f"{tree.path(user)}:{caller}")
        tree.put(
            user,
            "",
            "",
            f"def {tree.names.function()}(values):",
            f"    # {name}(values) would be too slow here",
            "    return values",
        )
    if level >= 2:  # homonyms: another module's function of the same name, and what calls that
        other = tree.names.module()
        tree.put(other, "", "", f"def {name}(value):", "    return value + 1")
        for _ in range(3):
            user = tree.names.module()
            tree.put(user, f"from {tree.package}.{other} import {name}")
            tree.put(user, "", "", f"def {tree.names.function()}(values):", f"    return {name}(len(values))")
    place = tree.path(home)
    which = f" of `{place}`" if level >= 2 else ""
    note = (
        " Imports may give it another name, and other modules have functions of that name."
        if level >= 2
        else ""
    )
    question = (
        f"Which functions of the package call `{name}`{which}?{note}\n"
        "Write them to `answer.txt`, one `path:function` a line, the path from here. Comments and the definition do not count."
    )
    answer = "\n".join(sorted(found))
    return _made("callers", "All callers of a function.", question, tree, answer, {"lines": sorted(found)})


def _call(dice: Random, called: str, level: int) -> list[str]:
    forms = [
        [f"    return {called}(sum(values))"],
        [
            "    best = 0",
            "    for value in values:",
            f"        best = max(best, {called}(value, 7))",
            "    return best",
        ],
    ]
    if level == 4:
        forms.append([f"    return list(map({called}, values))"])
    return dice.choice(forms)


# ── wiring ────────────────────────────────────────────────────────────────────────────────────────


def wiring(dice: Random, level: int) -> Made:
    return (_route, _setting, _unread, _dispatch)[level - 1](dice, level)


def _route(dice: Random, level: int) -> Made:
    tree = _tree(dice, level)
    tree.put("router", "ROUTES = {}", "", "", "def route(path):", "    def keep(function):", "        ROUTES[path] = function",
             "        return function", "", "    return keep")  # fmt: skip
    places: dict[str, tuple[str, int]] = {}
    for module in dice.sample(sorted(m for m in tree.modules if m != "router"), 5):
        tree.modules[module].insert(1, f"from {tree.package}.router import route")
        for _ in range(3):
            path = f"/{tree.names.thing()}/<id>/{dice.choice(('history', 'owner', 'state'))}"
            line = tree.put(
                module,
                "",
                "",
                f'@route("{path}")',
                f"def {tree.names.function()}(id):",
                f'    return {{"id": id, "of": "{module}"}}',
            )
            places[path] = module, line + 3
    path = dice.choice(sorted(places))
    module, line = places[path]
    question = f"Which function handles the path `{path}`? Write the place of its `def` as `path:line` to `answer.txt`."
    return _made(
        "wiring",
        "The function behind a path.",
        question,
        tree,
        f"{tree.path(module)}:{line}",
        _place(tree.path(module), line),
    )


def _settings(tree: Tree, count: int) -> list[str]:
    """Keys of a settings file, and a function that reads each of them."""
    keys = [tree.names.key() for _ in range(count)]
    for key in keys:
        module = tree.dice.choice(sorted(tree.modules))
        tree.put(
            module,
            "",
            "",
            f"def {tree.names.function()}(conf, values):",
            f'    return values[: conf["{key}"]]',
        )
    return keys


def _with_settings(made: Made, keys: list[str], dice: Random) -> Made:
    text = "".join(f"{key} = {dice.randrange(1, 90)}\n" for key in keys)
    return Made(
        made.family,
        made.description,
        made.instruction,
        {**made.workspace, "settings.ini": text},
        made.solution,
        made.checks,
    )


def _setting(dice: Random, level: int) -> Made:
    """The key is read two calls below."""
    tree = _tree(dice, level)
    keys = _settings(tree, 12)
    key, (top, middle, low) = tree.names.key(), (tree.names.function() for _ in range(3))
    modules = [tree.names.module() for _ in range(3)]
    tree.put(modules[0], "", "", f"def {low}(conf):", f'    return conf["{key}"] * 2')
    tree.put(
        modules[1],
        f"from {tree.package}.{modules[0]} import {low}",
        "",
        "",
        f"def {middle}(conf, values):",
        f"    return values[: {low}(conf)]",
    )
    tree.put(
        modules[2],
        f"from {tree.package}.{modules[1]} import {middle}",
        "",
        "",
        f"def {top}(conf, values):",
        f"    return sorted({middle}(conf, values))",
    )
    keys.append(key)
    dice.shuffle(keys)
    question = f"Which key of `settings.ini` decides what `{top}` of `{tree.path(modules[2])}` returns?\nWrite the key alone to `answer.txt`."
    return _with_settings(
        _made("wiring", "The setting that reaches a function.", question, tree, key, {"accept": {key: 1.0}}),
        keys,
        dice,
    )


def _unread(dice: Random, level: int) -> Made:
    """Every key but one is read somewhere; some through a table of names, and the dead one stands in a comment."""
    tree = _tree(dice, level)
    keys = _settings(tree, 30)
    dead, tabled = tree.names.key(), [tree.names.key() for _ in range(4)]
    table = tree.names.module()
    tree.put(
        table,
        f"NAMES = {tuple(tabled)!r}",
        "",
        "",
        f"def {tree.names.function()}(conf):",
        "    return [conf[name] for name in NAMES]",
    )
    tree.put(
        dice.choice(sorted(tree.modules)),
        "",
        "",
        f"def {tree.names.function()}(conf):",
        f"    # once this was bound by {dead}",
        "    return len(conf)",
    )
    keys += [dead, *tabled]
    dice.shuffle(keys)
    question = "Exactly one key of `settings.ini` is read by no code any more. Write it to `answer.txt`. A comment is no code."
    return _with_settings(
        _made("wiring", "The setting that nothing reads.", question, tree, dead, {"accept": {dead: 1.0}}),
        keys,
        dice,
    )


def _dispatch(dice: Random, level: int) -> Made:
    """Methods found by a name put together from a word, over a class and the classes that it derives from."""
    tree = _tree(dice, level)
    word, base, top = tree.names.thing(), tree.names.module(), tree.names.module()
    line = tree.put(base, "", "", "class Base:", "    def send(self, word, value):", '        return getattr(self, f"on_{word}")(value)', "",
                    f"    def on_{word}(self, value):", "        return value", "", "    def on_other(self, value):", "        return -value")  # fmt: skip
    middle = tree.names.module()
    override = tree.put(middle, f"from {tree.package}.{base} import Base", "", "", "class Middle(Base):", f"    def on_{word}(self, value):",
                        "        return value * 2")  # fmt: skip
    tree.put(top, f"from {tree.package}.{middle} import Middle", f"from {tree.package}.{base} import Base", "", "", "class Desk(Middle, Base):",
             "    def on_other(self, value):", "        return value")  # fmt: skip
    for _ in range(6):
        tree.put(
            tree.names.module(),
            "",
            "",
            f"class Other{dice.randrange(99)}:",
            f"    def on_{word}(self, value):",
            "        return None",
        )
    del line
    place = tree.path(middle), override + 4
    question = (
        f'Which function handles `"{word}"` when `Desk().send("{word}", 1)` of `{tree.path(top)}` is called?\n'
        "Write the place of its `def` as `path:line` to `answer.txt`, the path from here."
    )
    return _made(
        "wiring", "The method that a call ends in.", question, tree, f"{place[0]}:{place[1]}", _place(*place)
    )
