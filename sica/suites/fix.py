"""fix: a fault in a small program, tests that fail, and nothing else said.

Ladder: the traceback ends at the fault; two calls away from it; in another module's state; two faults at once, behind a
report's text. The tests print more and more around what matters. Which hidden checks earn is found by running the whole
and the faulty program on the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pprint import pformat
from random import Random
from typing import Any

from sica.errors import StoreError
from sica.suites import _programs
from sica.suites._made import Made
from sica.suites._truth import Probe, answers, checks
from sica.suites._words import Names

COMMAND = "python3 -m unittest discover -s tests -t ."
NOISE = (0, 20, 120, 400)
"""Lines that the tests print around a failure."""
FILLERS = (0, 4, 12, 24)
VISIBLE = 3


@dataclass(frozen=True)
class Program:
    family: str
    package: str
    files: Callable[[Random], dict[str, str]]
    probes: Callable[[Random], list[Probe]]
    faults: Sequence[Sequence[tuple[str, str, str]]]
    """By level 1 to 3: (file, what is right, what is wrong)."""


PROGRAMS = (
    Program("formula", "formula", _programs.formula, _programs.formula_probes, _programs.FORMULA_FAULTS),
    Program(
        "stockroom", "stockroom", _programs.stockroom, _programs.stockroom_probes, _programs.STOCKROOM_FAULTS
    ),
    Program("planner", "planner", _programs.planner, _programs.planner_probes, _programs.PLANNER_FAULTS),
)


def task(dice: Random, level: int, nth: int) -> Made:
    program = PROGRAMS[nth % len(PROGRAMS)]
    whole = program.files(dice)
    names = Names(dice)
    for _ in range(FILLERS[level - 1]):
        whole[f"{program.package}/{names.module()}.py"] = _filler(dice, names)
    for _ in range(200):
        faulty, changed = _with_faults(dice, program, whole, level)
        probes = program.probes(dice)
        right, wrong = answers(whole, probes), answers(faulty, probes)
        failing = [n for n in range(len(probes)) if right[n] != wrong[n]]
        passing = [n for n in range(len(probes)) if right[n] == wrong[n]]
        if len(failing) >= 4 and len(passing) >= 4:
            break
    else:
        raise StoreError(
            f"no fault of {program.family} at level {level} shows in its probes", "mend the generator"
        )
    shown = [*failing[: min(VISIBLE, len(failing) // 2)], *passing[:VISIBLE]]
    tests = _tests(program.package, [(probes[n], right[n]) for n in shown], NOISE[level - 1])
    hidden = [n for n in range(len(probes)) if n not in shown]
    some = [[each[n] for n in hidden] for each in (probes, right, wrong)]
    return Made(
        family=program.family,
        description=f"{'Two faults' if level == 4 else 'A fault'} in a package of {len(whole)} modules.",
        instruction=(
            f"Some tests of the package `{program.package}` fail. Find {'the faults' if level == 4 else 'the fault'} and fix "
            f"{'them' if level == 4 else 'it'}. Do not change the tests.\nRun them with `{COMMAND}`."
        ),
        workspace={**faulty, "tests/__init__.py": "", "tests/test_package.py": tests},
        solution={path: whole[path] for path in changed},
        checks=checks(some[0], some[1], some[2]),
    )


def _with_faults(
    dice: Random, program: Program, whole: dict[str, str], level: int
) -> tuple[dict[str, str], list[str]]:
    pools = [program.faults[1], program.faults[2]] if level == 4 else [program.faults[level - 1]]
    faulty = dict(whole)
    changed = []
    for pool in pools:
        path, good, bad = dice.choice(pool)
        if faulty[path].count(good) != 1:
            raise StoreError(
                f"{program.family}: {good!r} stands {faulty[path].count(good)} times in {path}", "mend it"
            )
        faulty[path] = faulty[path].replace(good, bad)
        changed.append(path)
    return faulty, sorted(set(changed))


def _tests(package: str, shown: Sequence[tuple[Probe, dict[str, Any]]], noise: int) -> str:
    lines = [f'"""What {package} should do."""', "", "import unittest", "",
             *sorted({f"import {probe['call'].rpartition('.')[0]}" for probe, _ in shown}), "", "",
             "class Package(unittest.TestCase):", "    maxDiff = None", ""]  # fmt: skip
    if noise:
        lines += [
            "    def setUp(self):",
            f"        for n in range({noise}):",
            f'            print("{package}: step", n, "of {noise}")',
            "",
        ]
    for n, (probe, good) in enumerate(shown, 1):
        call = f"{probe['call']}({', '.join(map(_literal, probe['args']))})"
        lines.append(f"    def test_{n}(self):")
        if "raises" in good:
            lines += [f"        with self.assertRaises({good['raises']}):", f"            {call}", ""]
        else:
            lines += [f"        self.assertEqual({call}, {_literal(good['returns'])})", ""]
    return "\n".join(lines)


def _literal(value: object) -> str:
    return pformat(value, width=90, sort_dicts=False).replace("\n", "\n" + " " * 16)


def _filler(dice: Random, names: Names) -> str:
    """A module that is neither wrong nor used."""
    lines = [f'"""{names.thing().title()} and such."""', ""]
    for _ in range(dice.randrange(3, 7)):
        bound = dice.randrange(2, 50)
        lines += ["", f"def {names.function()}(values, bound={bound}):", "    total = 0", "    for value in values:",
                  "        if value > bound:", "            total += value", "    return total", ""]  # fmt: skip
    return "\n".join(lines)
