"""smoke: what every agent does that works at all: one small task in the manner of each scored suite, and no difficulty.

For the gate, which asks a few of the eight before an agent costs anything; no score of an agent comes from here. What is to
be done is spelt out; only `shell` and `history` need a program to be run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from sica.histories import History
from sica.suites._made import Made, expected
from sica.suites._words import Names

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def task(dice: Random, level: int, nth: int) -> Made:
    del level  # there is one
    return KINDS[nth % len(KINDS)](dice, Names(dice))


def edit(dice: Random, names: Names) -> Made:
    old, new = dice.sample(DAYS, 2)
    before = f"# Notes\n\nThe {names.thing()} is painted on {old}.\nThe {names.thing()} stays as it is.\n"
    return _edited(
        "edit",
        "Change one word of a short file.",
        f"In `notes.txt`, replace `{old}` by `{new}`.",
        {"notes.txt": before},
        {"notes.txt": before.replace(old, new)},
    )


def locate(dice: Random, names: Names) -> Made:
    name, modules = names.function(), [names.module() for _ in range(3)]
    files = {
        f"{module}.py": "\n\n".join(f"def {names.function()}(value):\n    return value\n" for _ in range(3))
        for module in modules
    }
    path = f"{dice.choice(modules)}.py"
    files[path] += f"\n\ndef {name}(value):\n    return value\n"
    line = files[path].split("\n").index(f"def {name}(value):") + 1
    return _answered(
        "locate",
        "Say where a function is defined.",
        f"Where is the function `{name}` defined? Write its place as `path:line` to `answer.txt`, such as `a.py:12`.",
        files,
        {f"{path}:{line}": 1.0, f"./{path}:{line}": 1.0},
    )


def fix(dice: Random, names: Names) -> Made:
    module, name, rate = names.module(), names.function(), dice.randrange(3, 30)
    before = f"def {name}(count):\n    return count - {rate}\n"
    told = f"`{name}` of `{module}.py` should add {rate} to `count`, and takes it away. In `{module}.py`, replace `count - {rate}` by `count + {rate}`."
    return Made(
        "fix",
        "Repair a function of one line.",
        told,
        {f"{module}.py": before},
        {f"{module}.py": before.replace("-", "+")},
        [
            {"id": f"of-{given}", "call": f"{module}.{name}", "args": [given], "returns": given + rate}
            for given in (0, dice.randrange(1, 90))
        ],
    )


def spec(dice: Random, names: Names) -> Made:
    text = f"{names.thing()} = {dice.randrange(100)}"
    return _answered(
        "spec",
        "Create a file as it is told.",
        f"Create the file `answer.txt` with the text `{text}`.",
        {"README.md": f"# The {names.thing()}\n"},
        {text: 1.0},
    )


def refactor(_: Random, names: Names) -> Made:
    old, new, user, module = names.function(), names.function(), names.function(), names.module()
    before = {
        f"{module}.py": f"def {old}(value):\n    return value + 1\n",
        "main.py": f"from {module} import {old}\n\n\ndef {user}(value):\n    return {old}(value) * 2\n",
    }
    return _edited(
        "refactor",
        "Rename a function in two files.",
        f"In `{module}.py` and `main.py`, rename `{old}` to `{new}`.",
        before,
        {path: text.replace(old, new) for path, text in before.items()},
    )


def shell(dice: Random, names: Names) -> Made:
    """The line is not in the script as it is printed."""
    count, thing = dice.randrange(20, 40), names.thing()
    at, code = dice.randrange(5, count - 5), dice.randrange(1000, 9999)
    script = (
        f"for step in range({count}):\n"
        f"    print(f\"{{'REFUSED' if step == {at} else 'ok'}}: {thing} {{step}}, code {{step * {code}}}\")\n"
    )
    return _answered(
        "shell",
        "Find a line in what a program prints.",
        "Which line of the output of `python3 report.py` contains `REFUSED`? Write the line to `answer.txt`.",
        {"report.py": script},
        {f"REFUSED: {thing} {at}, code {at * code}": 1.0},
    )


def history(dice: Random, names: Names) -> Made:
    story, text = History(dice), "# Notes\n"
    commits = [story.commit({"README.md": text}, "Begin")]
    for _ in range(5):
        text += f"\nAbout the {names.thing()}.\n"
        commits.append(story.commit({"README.md": text}, "Note one thing more", commits[-1]))
    story.refs["refs/heads/main"] = commits[-1].id
    wanted = dice.choice(commits[1:])
    line = str(wanted.files["README.md"]).splitlines()[-1]
    return _answered(
        "history",
        "Say which commit added a line.",
        f"`sh open.sh` makes the repository `repo/`. Which commit added the text `{line}` to `README.md`? "
        "Write its whole name, 40 digits, to `answer.txt`.",
        story.opened("repo"),
        {wanted.id[:length]: 1.0 for length in range(40, 6, -1)},
    )


def perf(dice: Random, names: Names) -> Made:
    module, name, rows = names.module(), names.function(), dice.randrange(10, 40)
    switch = "REMEMBERS"
    before = f'''{switch} = False
"""Whether what was worked out once is worked out again."""


def {name}(values):
    """The squares, and how many were worked out."""
    known, asked = {{}}, 0
    for value in values:
        if not ({switch} and value in known):
            known[value] = value * value
            asked += 1
    return [[known[value] for value in values], asked]
'''
    values = [n % 4 for n in range(rows)]
    return Made(
        "perf",
        "Switch on a memory of results.",
        f"`{module}.py` works out the same square again and again. In `{module}.py`, set `{switch}` to `True`.",
        {f"{module}.py": before},
        {f"{module}.py": before.replace("= False", "= True")},
        [
            {
                "id": "asked-once",
                "call": f"{module}.{name}",
                "args": [values],
                "returns": [[value * value for value in values], 4],
            }
        ],
    )


KINDS: tuple[Callable[[Random, Names], Made], ...] = (
    edit,
    locate,
    fix,
    spec,
    refactor,
    shell,
    history,
    perf,
)


def _edited(family: str, description: str, told: str, before: dict[str, str], after: dict[str, str]) -> Made:
    checks = [expected(f"made-{path}", path) for path in after]
    return Made(
        family, description, told, before, after, checks, {f"expected/{p}": t for p, t in after.items()}
    )


def _answered(
    family: str, description: str, told: str, files: Mapping[str, str | bytes], accept: dict[str, float]
) -> Made:
    answer = {"answer.txt": next(iter(accept)) + "\n"}
    return Made(
        family,
        description,
        told,
        files,
        answer,
        [{"id": "answer", "file": "answer.txt", "accept": accept}],
    )
