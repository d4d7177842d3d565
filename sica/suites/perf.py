"""perf: make it do less, with the same results. What counts is how often it calls what it was given: a comparison, a store, a
parser. The counters live in the judge's own box, so nobody can turn them back, and no clock is read.

Ladder: one obvious loop; hidden in another function; two hot spots; several, with a limit on what one call may take. Five
thresholds stand between what the slow program needs and what the reference does, equally far apart in the logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any

from sica.suites import _slow
from sica.suites._made import Made
from sica.suites._words import Names

STEPS = 5
SLACK = 1.1
COMMAND = "python3 -m unittest discover -s tests -t ."

RUNNER = '''"""Runs the test functions beside it where sica is not, and writes the share that pass; a failed guard caps it at 0.3."""

import importlib.util
import json
import os
import pathlib
import sys

sys.path.insert(0, os.getcwd())
spec = importlib.util.spec_from_file_location("test_perf", pathlib.Path(__file__).parent / "test_perf.py")
tests = importlib.util.module_from_spec(spec)
passed = {}
try:
    spec.loader.exec_module(tests)
except Exception:
    pass
for name in [name for name in vars(tests) if name.startswith("test_")] or ["test_none"]:
    try:
        getattr(tests, name)()
        passed[name] = True
    except Exception:
        passed[name] = False
earning = [name for name in passed if not name.startswith("test_right")]
share = sum(passed[name] for name in earning) / max(1, len(earning))
kept = all(passed[name] for name in passed if name.startswith("test_right"))
place = pathlib.Path(os.environ.get("REWARD_FILE", "/logs/verifier/reward.json"))
place.parent.mkdir(parents=True, exist_ok=True)
place.write_text(json.dumps({"reward": share if kept else min(share, 0.3)}))
'''


@dataclass(frozen=True)
class Case:
    """A slow module, a fast one, and the driver that counts: `measure(work, size, seed)` gives result, truth and count."""

    slow: str
    fast: str
    driver: str
    told: str
    """What the module does and what counts."""


def task(dice: Random, level: int, nth: int) -> Made:
    family = ("order", "store", "parse")[nth % 3]
    names = Names(dice)
    module = names.module()
    case = Case(*_slow.CASES[family][level - 1](names))
    size, seed = dice.randrange(40, 60), dice.randrange(1000)
    base, reference = (_count(text, case.driver, size, seed) for text in (case.slow, case.fast))
    limits = [round(base * (reference / base) ** (step / STEPS) * SLACK) for step in range(1, STEPS + 1)]
    small = size // 3
    shown = round(_count(case.fast, case.driver, small, seed + 1) * SLACK)
    return Made(
        family=family,
        description=f"From {base} calls to {reference}.",
        instruction=(
            f"`{module}.py` gives the right results and takes far too many calls to get them. {case.told}\nMake it take as few as you can; how it is "
            f"called and what it gives stay the same. `{COMMAND}` shows one small case; a larger one decides."
        ),
        workspace={f"{module}.py": case.slow, "tests/__init__.py": "", "tests/test_calls.py": _visible(module, case.driver, small, seed + 1, shown)},
        solution={f"{module}.py": case.fast},
        tests={"test_perf.py": _hidden(module, case.driver, size, seed, limits), "run.py": RUNNER},
        guards=("test_perf.py::test_right*",),
    )  # fmt: skip


def _count(text: str, driver: str, size: int, seed: int) -> int:
    """What our own module needs."""
    work: dict[str, Any] = {}
    known: dict[str, Any] = {}
    exec(text, work)  # noqa: S102  texts of _slow.py
    exec(driver, known)  # noqa: S102
    result, truth, count = known["measure"](SimpleNamespace(**work), size, seed)
    if result != truth:
        raise AssertionError(f"the generator's own module gives {result!r} instead of {truth!r}")
    return int(count)


def _visible(module: str, driver: str, size: int, seed: int, limit: int) -> str:
    return (
        f'"""How many calls a small case takes."""\n\nimport unittest\n\nimport {module}\n\n{driver}\n\nclass Calls(unittest.TestCase):\n'
        f"    def test_result(self):\n        result, truth, _ = measure({module}, {size}, {seed})\n        self.assertEqual(result, truth)\n\n"
        f"    def test_calls(self):\n        _, _, count = measure({module}, {size}, {seed})\n        self.assertLessEqual(count, {limit})\n"
    )


def _hidden(module: str, driver: str, size: int, seed: int, limits: list[int]) -> str:
    tests = "".join(f"\n\ndef test_at_most_{n}():\n    result, truth, count = measured()\n    assert result == truth\n    assert count <= {limit}\n"
                    for n, limit in enumerate(limits, 1))  # fmt: skip
    return (
        f"import functools\n\nimport {module}\n\n{driver}\n\n@functools.cache\ndef measured():\n    return measure({module}, {size}, {seed})\n\n\n"
        f"def test_right():\n    result, truth, _ = measured()\n    assert result == truth\n\n\n"
        f"def test_right_when_empty_or_small():\n    for size in (0, 1, 2):\n        result, truth, _ = measure({module}, size, {seed})\n        assert result == truth\n{tests}"
    )
