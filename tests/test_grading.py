"""Judging in real boxes: what is taken from the agent, the three judges, and what happens when a judge
cannot run.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sica import grading, twobox
from sica.benchcheck import check, exit_code, vandalised
from sica.benchmarks.folder import FolderBenchmark
from sica.errors import SandboxError, UsageError
from sica.grading import Case, lay_over, reward
from sica.model import Ended, File, Files, Grade, Task
from sica.ports import Sandbox

ROOT = Path(__file__).parents[1]


def files(**texts: str) -> Files:
    return {f"/app/{name}": File(text.encode()) for name, text in texts.items()}


def case(grading: str, tests: dict[str, str], pristine: Files, **more: Any) -> Case:
    task = Task("t/x", "digest", "do it", grading=grading, folder="/t/x")
    hidden = {name: File(text.encode()) for name, text in tests.items()}
    return Case(task, pristine, hidden, **{"seconds": 60.0, "patience": 2.0, **more})


# ── what is taken from the agent ──────────────────────────────────────────────────────────────────


def test_the_agents_files_replace_add_and_delete() -> None:
    pristine = {"/app/a.py": File(b"old"), "/app/gone.py": File(b"x")}
    left = {"/app/a.py": File(b"new"), "/app/deep/b.py": File(b"b")}
    assert lay_over(pristine, left, "/app") == (left, ())


def test_protected_files_are_as_the_task_had_them() -> None:
    pristine = {
        f"/app/{n}": File(n.encode())
        for n in ("conftest.py", "tests/test_a.py", "tests/test_b.py", "data/x.csv")
    }
    left = {
        **pristine,
        "/app/conftest.py": File(b"evil"),
        "/app/tests/test_a.py": File(b""),
        "/app/data/x.csv": File(b"1"),
    }
    del left["/app/tests/test_b.py"]
    laid, findings = lay_over(pristine, left, "/app", protect=("data/*",))
    assert laid == pristine
    assert findings == (
        "steers pytest: 'conftest.py'",
        "changed a protected file: 'data/x.csv'",
        "changed a visible test: 'tests/test_a.py'",
        "deleted a protected file: 'tests/test_b.py'",
    )


def test_a_task_may_free_what_is_protected_otherwise() -> None:
    pristine, left = {"/app/test_a.py": File(b"old")}, {"/app/test_a.py": File(b"new")}
    assert lay_over(pristine, left, "/app", protect=("!test_a.py",)) == (left, ())


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "/app/../etc/passwd", "relative", "/app", "/application/x", "/app/conftest.py",
        "/app/a/conftest.py",
        "/app/sitecustomize.py", "/app/x.pth", "/app/json.py", "/app/pytest/__init__.py",
        "/app/src/unittest.py",
        "/app/pyproject.toml", "/app/tox.ini", "/app/a/usercustomize.py",
    ],
)  # fmt: skip
def test_what_steers_a_judge_is_dropped_and_told(name: str) -> None:
    laid, findings = lay_over({}, {name: File(b"[tool.pytest.ini_options]\naddopts = '--co'\n")}, "/app")
    assert laid == {}
    assert len(findings) == 1


@pytest.mark.parametrize("name", ["/app/.git/config", "/app/__pycache__/a.pyc", "/app/x/.pytest_cache/v"])
def test_junk_is_dropped_without_a_word(name: str) -> None:
    assert lay_over({}, {name: File(b"x")}, "/app") == ({}, ())


def test_an_ordinary_pyproject_is_taken() -> None:
    left = {
        "/app/pyproject.toml": File(b"[project]\nname = 'x'\n"),
        "/app/setup.cfg": File(b"[metadata]\nname = x\n"),
    }
    assert lay_over({}, left, "/app") == (left, ())


def test_a_file_in_the_place_of_a_protected_directory_gives_way() -> None:
    pristine = {"/app/tests/test_a.py": File(b"t")}
    laid, findings = lay_over(pristine, {"/app/tests": File(b"in the way")}, "/app")
    assert laid == pristine
    assert "stands in the way" in findings[0]


def test_hostile_names_reach_no_terminal() -> None:
    _, findings = lay_over({}, {"/app/\x1b[31m\n/conftest.py": File(b"")}, "/app")
    assert findings[0].isprintable()


# ── split ─────────────────────────────────────────────────────────────────────────────────────────

CHECKS: dict[str, list[dict[str, Any]]] = {
    "checks": [
        {"id": "call", "call": "pkg.mod.double", "args": [2], "returns": 4},
        {"id": "kwargs", "call": "pkg.mod.double", "kwargs": {"x": 1.5}, "returns": 3},
        {"id": "raises", "call": "pkg.mod.double", "args": [None], "raises": "pkg.mod.Bad"},
        {"id": "steps", "steps": [
            {"new": "b", "call": "pkg.mod.Bag", "args": [[1]]}, {"on": "b", "call": "put", "args": [2]},
            {"on": "b", "call": "items"},
        ], "returns": [None, None, [1, 2]]},
        {"id": "run", "run": ["python3", "-m", "pkg", "x"], "stdin": "in", "stdout": "in x\n", "exit": 3},
        {"id": "file", "file": "answer.txt", "accept": {"a.py:3": 1.0, "a.py": 0.5}},
        {"id": "edit", "file": "conf.ini", "expected": "expected/conf.ini"},
        {"id": "guard", "guard": True, "call": "pkg.mod.double", "args": ["a"], "returns": "aa"},
    ]
}  # fmt: skip
SOLVED = {
    "/app/pkg/__init__.py": File(b""),
    "/app/pkg/__main__.py": File(b"import sys\nprint(sys.stdin.read(), sys.argv[1])\nsys.exit(3)\n"),
    "/app/pkg/mod.py": File(
        b"class Bad(Exception): pass\n"
        b"class Bag:\n"
        b"    def __init__(self, items): self.items = items\n"
        b"    def put(self, x): self.items.append(x)\n"
        b"def double(x):\n"
        b"    if x is None: raise Bad\n"
        b"    return x * 2\n"
    ),
    "/app/answer.txt": File(b"  a.py:3\n"),
    "/app/conf.ini": File(b"a\nB\nc\n"),
}
PRISTINE = {"/app/conf.ini": File(b"a\nb\nc\n")}


def split(**more: Any) -> Case:
    return case(
        "split", {"checks.json": json.dumps(CHECKS), "expected/conf.ini": "a\nB\nc\n"}, PRISTINE, **more
    )


def credits(grade: Grade) -> dict[str, float]:
    return dict(grade.checks)


def test_every_kind_of_check(box: Sandbox) -> None:
    grade = grading.grade(split(), SOLVED, box)
    assert credits(grade) == dict.fromkeys((check["id"] for check in CHECKS["checks"]), 1.0)
    assert (grade.score, grade.mode, grade.fault) == (1.0, "split", "")


def test_a_fault_in_one_check_fails_that_check_only(box: Sandbox) -> None:
    source = SOLVED["/app/pkg/mod.py"].data.replace(
        b"return x * 2", b"return x * 2 if x != 1.5 else exec('while 1: pass')"
    )
    grade = grading.grade(split(patience=1.0), {**SOLVED, "/app/pkg/mod.py": File(source)}, box)
    assert [id for id, credit in grade.checks if not credit] == ["kwargs"]


def test_a_broken_guard_caps_the_score(box: Sandbox) -> None:
    source = SOLVED["/app/pkg/mod.py"].data.replace(b"return x * 2", b"return x * 2.0")
    grade = grading.grade(split(), {**SOLVED, "/app/pkg/mod.py": File(source)}, box)
    assert credits(grade)["guard"] == 0.0
    assert grade.score == 0.3


def test_a_hostile_workspace_is_judged(box: Sandbox) -> None:
    hostile = {
        f"/app/{name}": File(b"x")
        for name in ("a\nb", "\x1b[2J", "é\u202e", "-rf", "a b", ".hidden", "x" * 200)
    }
    left = {**SOLVED, **hostile, "/app/long.py": File(b"x = '" + b"y" * 5_000_000 + b"'\n")}
    assert grading.grade(split(), left, box).score == 1.0


def test_a_flood_from_a_program_ends(box: Sandbox) -> None:
    left = {**SOLVED, "/app/pkg/__main__.py": File(b"while True: print('in x')\n")}
    grade = grading.grade(split(), left, box)
    assert [id for id, credit in grade.checks if not credit] == ["run"]


def test_an_unknown_expected_file_is_the_authors_error(box: Sandbox) -> None:
    with pytest.raises(UsageError, match=r"expected = 'expected/conf.ini': no such file"):
        grading.grade(case("split", {"checks.json": json.dumps(CHECKS)}, PRISTINE), SOLVED, box)


class Broken:
    """A sandbox that cannot make a box."""

    name = "broken"

    def run(self, *_: object) -> Ended:
        raise SandboxError("no space for a box")


@pytest.mark.parametrize("mode", ["split", "two-box", "script"])
def test_a_judge_that_cannot_run_is_a_fault_and_no_zero(mode: str, runtime: Path) -> None:
    tests = {
        "checks.json": json.dumps(CHECKS),
        "expected/conf.ini": "",
        "test_a.py": "def test_a(): pass\n",
        "test.sh": "",
    }
    grade = grading.grade(case(mode, tests, PRISTINE, runtime=runtime), SOLVED, Broken())  # type: ignore[arg-type]
    assert grade.score is None
    assert "no space for a box" in grade.fault


# ── script ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("script", "score", "verifier"),
    [
        ("echo '{\"reward\": 0.5}' > /logs/verifier/reward.json; exit 7", 0.5, False),
        (
            "echo 1 > /logs/verifier/reward.txt; echo '{\"reward\": 0}' > /logs/verifier/reward.json",
            0.0,
            False,
        ),
        ("grep -q hello /app/a.txt && echo 1 > /logs/verifier/reward.txt", 1.0, False),
        ("cat /tests/extra/data > /logs/verifier/reward.txt", 0.25, False),
        ("true", 0.0, True),
        ("echo NaN > /logs/verifier/reward.txt", 0.0, True),
        ('echo \'{"reward": "1"}\' > /logs/verifier/reward.json', 0.0, True),
    ],
)
def test_a_script_is_judged_by_its_reward(box: Sandbox, script: str, score: float, verifier: bool) -> None:
    grade = grading.grade(
        case("script", {"test.sh": script, "extra/data": "0.25"}, {}), files(**{"a.txt": "hello"}), box
    )
    assert (grade.score, grade.mode) == (score, "script")
    assert any("verifier" in finding for finding in grade.findings) is verifier


@pytest.mark.parametrize(
    "text",
    ["{}", "[1]", "1", '{"reward": {"a": 1}}', '{"reward": NaN}', '{"reward": Infinity}',
     '{"a": 1, "b": null}',
     '{"reward": 2}', '{"reward": -1}', "{", "", '{"reward": 1' + "0" * 5000 + "}", "[" * 100000],
)  # fmt: skip
def test_a_reward_that_is_none(text: str) -> None:
    assert reward({"/logs/verifier/reward.json": File(text.encode())})[0] is None


def test_json_wins_over_text_and_true_is_one() -> None:
    both = {"/logs/verifier/reward.json": File(b'{"reward": true}'), "/logs/verifier/reward.txt": File(b"0")}
    assert reward(both) == (1.0, "")


# ── two boxes ─────────────────────────────────────────────────────────────────────────────────────


def test_hidden_pytest_files_work_across_the_boxes(box: Sandbox, runtime: Path) -> None:
    tests = {
        name: (ROOT / "tests/data/twobox" / f"{name}.txt").read_text()
        for name in ("test_shop.py", "helper.py")
    }
    left = {"/app/shop/__init__.py": File(b"from .core import *\n"),
            "/app/shop/core.py": File((ROOT / "tests/data/twobox/core.py.txt").read_bytes())}  # fmt: skip
    grade = grading.grade(case("two-box", tests, {}, runtime=runtime), left, box)
    assert [id for id, credit in grade.checks if not credit] == ["test_shop.py::test_wrong"], grade.log
    assert grade.fault == ""


def test_a_process_that_dies_fails_its_test_and_is_replaced(box: Sandbox, runtime: Path) -> None:
    tests = {
        "test_a.py": "import pytest, a\n"
        "def test_dies():\n    with pytest.raises(BaseException): a.leave()\n"
        "def test_hangs():\n    try: a.hang()\n    except Exception: pass\n"
        "def test_lives(): assert a.one() == 1\n"
    }
    left = files(
        **{"a.py": "import os\ndef leave(): os._exit(0)\ndef hang():\n  while 1: pass\ndef one(): return 1\n"}
    )
    grade = grading.grade(case("two-box", tests, {}, runtime=runtime, patience=1.0), left, box)
    assert credits(grade) == {
        "test_a.py::test_dies": 0.0,
        "test_a.py::test_hangs": 0.0,
        "test_a.py::test_lives": 1.0,
    }


def test_the_number_of_tests_is_read_from_the_files() -> None:
    source = (
        "import unittest\n"
        "def test_a(): pass\n"
        "class TestB:\n    def test_c(self): pass\n"
        "class D(unittest.TestCase):\n    def test_e(self): pass\n"
        "class F(D):\n    def test_g(self): pass\n"
        "class Helper:\n    def test_no(self): pass\n"
    )
    found = twobox.expected_ids(
        {"test_x.py": File(source.encode()), "helper.py": File(b"def test_no(): pass")}
    )
    assert [id.partition("::")[2] for id in found] == [
        "test_a",
        "TestB::test_c",
        "D::test_e",
        "F::test_g",
        "F::test_e",
    ]


def test_an_empty_list_of_cases_passes_nothing() -> None:
    assert not twobox.Report({}).passed("test_a.py::test_a")
    assert not twobox.Report({"test_a.py::test_a[1]": "passed", "test_a.py::test_a[2]": "failed"}).passed(
        "test_a.py::test_a"
    )
    assert not twobox.Report({"test_a.py::test_ab": "passed"}).passed("test_a.py::test_a")


# ── an agent that would rather not be judged ──────────────────────────────────────────────────────


class Fails:
    """A sandbox that loses its first boxes and works after."""

    name = "bubblewrap"

    def __init__(self, box: Sandbox, times: int) -> None:
        self.box, self.times = box, times

    def run(self, *job: Any) -> Ended:
        self.times -= 1
        if self.times >= 0:
            raise SandboxError("the box was killed")
        return self.box.run(*job)


JUDGES: dict[str, dict[str, str]] = {
    "split": {"checks.json": json.dumps({"checks": [{"id": "a", "call": "a.f", "returns": 1}]})},
    "two-box": {"test_a.py": "import a\ndef test_a(): assert a.f() == 1\n"},
    "script": {"test.sh": "python3 -c 'import a; exit(a.f() - 1)' && echo 1 > /logs/verifier/reward.txt"},
}
START = files(**{"a.py": "def f(): return 0\n"})


@pytest.mark.parametrize("mode", JUDGES)
def test_what_no_box_can_hold_is_the_agents_zero_and_no_fault(mode: str, box: Sandbox, runtime: Path) -> None:
    """A fault would be retried for nothing, and at last leave the failure out of the mean."""
    left = {**START, "/app/holes.bin": File(bytes(70 << 20))}
    grade = grading.grade(case(mode, JUDGES[mode], START, runtime=runtime), left, box)
    assert (grade.score, grade.fault, grade.mode) == (0.0, "", mode)
    assert any("cannot be judged" in finding for finding in grade.findings), grade.findings


@pytest.mark.parametrize("mode", JUDGES)
def test_a_judge_that_fails_once_is_asked_again(mode: str, box: Sandbox, runtime: Path) -> None:
    left = files(**{"a.py": "def f(): return 1\n"})
    grade = grading.grade(case(mode, JUDGES[mode], START, runtime=runtime), left, Fails(box, 1))  # type: ignore[arg-type]
    assert (grade.score, grade.fault, grade.findings) == (1.0, "", ())


@pytest.mark.parametrize("code", [97, 125, 126, 127, 255])
def test_no_exit_code_of_the_agents_makes_a_script_a_fault(code: int, box: Sandbox) -> None:
    left = files(**{"a.py": f"import os; os._exit({code})\n"})
    judge = {"test.sh": "python3 -c 'import a' && echo 1 > /logs/verifier/reward.txt"}
    grade = grading.grade(case("script", judge, START), left, box)
    assert (grade.score, grade.fault) == (0.0, "")


TAKES_OVER_THE_WORKER = """
import os, re
def f():
    for path in ("/judge/answers", "/judge/worker.py"):
        os.path.exists(path) and os.remove(path)
    code = bytes.fromhex("bf7f000000b8e70000000f05")  # exit_group(127)
    with open(f"/proc/{os.getppid()}/maps") as maps, open(f"/proc/{os.getppid()}/mem", "wb", 0) as memory:
        for line in maps:
            if "r-xp" in line and "libc" in line:
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                memory.seek(start)
                memory.write((bytes([0x90]) * (end - start - len(code))) + code)
                os._exit(0)
"""


def test_an_agent_that_takes_over_the_worker_gains_nothing(box: Sandbox) -> None:
    """It shares the worker's user: it may write into its memory, and end it as if python3 were not there."""
    grade = grading.grade(
        case("split", JUDGES["split"], START), files(**{"a.py": TAKES_OVER_THE_WORKER}), box
    )
    assert (grade.score, grade.fault) == (0.0, "")


def test_a_box_without_python_is_a_fault(box: Sandbox) -> None:
    """The sandbox says 127 of a program that is not there."""
    poor = case("split", JUDGES["split"], START, env={"PATH": "/nowhere"})
    assert "python3 does not start" in grading.grade(poor, START, box).fault


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg"])
def test_settings_that_nobody_could_read_are_not_read(name: str) -> None:
    """The judge's own process reads them, and nothing stops it there."""
    left = files(**{name: "a.b.c.d.e = [" + "1," * 10_000_000 + "]\n"})
    start = time.monotonic()
    laid, findings = lay_over({}, left, "/app")
    assert (laid, len(findings)) == ({}, 1)
    assert time.monotonic() - start < 2.0


FLOODS_THE_ANSWERS = """
import json
def f():
    nonce = json.load(open("/judge/questions.json"))["nonce"]
    with open("/judge/answers", "a") as out:
        out.write(json.dumps({"n": 0, "nonce": nonce, "value": 1}) + "\\n")
        out.write('{"n": 0, "nonce": "%s", "value": [%s]}\\n' % (nonce, ",".join(["{}"] * 10_000_000)))
        for n in range(100_000): out.write(json.dumps({"n": n + 5, "nonce": nonce, "value": 1}) + "\\n")
    return 0
"""


def test_answers_that_flood_the_judge_take_no_room_and_earn_nothing(box: Sandbox) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grade = grading.grade(case("split", JUDGES["split"], START), files(**{"a.py": FLOODS_THE_ANSWERS}), box)
    assert (grade.score, grade.fault) == (0.0, ""), grade
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
    )  # kilobytes; parsed it is 1.4 million


KILLS_THE_SUPERVISOR = "import os, signal\ndef f(): os.kill(os.getppid(), signal.SIGKILL)\n"


def test_a_side_that_is_gone_raises_nothing_that_a_test_expects(box: Sandbox, runtime: Path) -> None:
    tests = {
        "test_a.py": "import pytest, a\n"
        "def test_first(): a.f()\n"
        "def test_any_error():\n    with pytest.raises(Exception): a.f()\n"
        "def test_swallows():\n    try: a.f()\n    except Exception: pass\n"
    }
    left = files(**{"a.py": KILLS_THE_SUPERVISOR})
    grade = grading.grade(case("two-box", tests, START, runtime=runtime), left, box)
    assert set(credits(grade).values()) == {0.0}, grade
    assert grade.fault == ""


@pytest.mark.parametrize("error", ["BaseException", "KeyboardInterrupt", "GeneratorExit"])
def test_an_error_that_is_no_exception_is_none_for_raises(error: str, box: Sandbox, runtime: Path) -> None:
    tests = {"test_a.py": "import pytest, a\ndef test_a():\n    with pytest.raises(Exception): a.f()\n"}
    left = files(**{"a.py": f"class E({error}): pass\ndef f(): raise E\n"})
    assert grading.grade(case("two-box", tests, START, runtime=runtime), left, box).score == 0.0


ASKS_FOR_EVER = """
def f(callback):
    while True: callback()
def g(callback):
    return 1
"""


def test_questions_without_end_end_at_the_patience_of_one_call(box: Sandbox, runtime: Path) -> None:
    tests = {
        "test_a.py": "import a\n"
        "def test_endless(): assert a.f(lambda: None) is None\n"
        "def test_next(): assert a.g(lambda: None) == 1\n"
    }
    slow = case("two-box", tests, START, runtime=runtime, patience=1.0, seconds=30.0)
    grade = grading.grade(slow, files(**{"a.py": ASKS_FOR_EVER}), box)
    assert credits(grade) == {"test_a.py::test_endless": 0.0, "test_a.py::test_next": 1.0}, grade.log


NUMBERS_OF_ITS_OWN = """
class Number(float):
    def __sub__(self, other): return 0.0
    __rsub__ = __mod__ = __sub__
    def __abs__(self): return 0.0
    def __contains__(self, other): return True
class Text(str):
    def __contains__(self, other): return True
    def __mod__(self, other): return "right"
    def startswith(self, *_): return True
class Degrees(float):
    def __add__(self, other): return Degrees(float(self) + other)
import enum
class Color(enum.IntFlag):
    RED = 1
    BLUE = 2
def number(): return Number(99)
def text(): return Text("wrong")
"""


def test_a_number_that_computes_for_itself_is_computed_here(box: Sandbox, runtime: Path) -> None:
    """Where a test has seen that a value is a number or a text, its operators are not the agent's word."""
    tests = {
        "test_a.py": "import math, pytest, a\n"
        "def test_near(): assert abs(a.number() - 2.5) < 1e-9\n"
        "def test_far(): assert abs(2.5 - a.number()) < 1e-9\n"
        "def test_approx(): assert pytest.approx(2.5) == a.number()\n"
        "def test_abs(): assert abs(a.number()) < 1\n"
        "def test_in(): assert 'right' in a.text()\n"
        "def test_start(): assert a.text().startswith('right')\n"
        "def test_own():\n    import a\n    assert isinstance(a.Degrees(3) + 2, a.Degrees) and a.Degrees(3) + 2 == 5\n"
        "def test_flag(): assert (a.Color.RED | a.Color.BLUE).name == 'RED|BLUE' and a.Color.RED in a.Color\n"
        "def test_honest(): assert a.number() - 1 == 98 and 'ong' in a.text() and a.text().upper() == 'WRONG'\n"
    }
    grade = grading.grade(
        case("two-box", tests, START, runtime=runtime), files(**{"a.py": NUMBERS_OF_ITS_OWN}), box
    )
    passed = [id.partition("::test_")[2] for id, credit in grade.checks if credit]
    assert passed == ["own", "flag", "honest"], grade.log


# ── tasks ─────────────────────────────────────────────────────────────────────────────────────────


def task_folder(root: Path, *, solve: str = "echo 7 > answer.txt\n", visible: str = "") -> FolderBenchmark:
    for name, text in {
        "task.toml": '[task]\nname = "t/x"\n[metadata.sica]\nkind = "x"\n[verifier]\ntimeout_sec = 30\n',
        "instruction.md": "Write the number.\n",
        "environment/Dockerfile": "FROM python:3.12-slim\nWORKDIR /app\nCOPY work/ /app/\n",
        "environment/work/readme.txt": visible or "nothing here\n",
        "solution/solve.sh": solve,
        "tests/checks.json": json.dumps(
            {"checks": [{"id": "n", "file": "answer.txt", "accept": {"7": 1.0}}]}
        ),
        "tests/test.sh": "exec python3 /tests/judge.py\n",
    }.items():
        path = root / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return FolderBenchmark(root, "t")


def test_a_good_task_is_fit(tmp_path: Path, box: Sandbox) -> None:
    results = list(check(task_folder(tmp_path), box))
    assert [(r.rule, r.verdict, r.score) for r in results] == [
        ("form", "ok", None), ("oracle", "ok", 1.0), ("nothing", "ok", 0.0), ("vandal", "ok", 0.0),
        ("cheats", "ok", 0.0), ("stable", "ok", 1.0), ("partial", "ok", None), ("coverage", "ok", None),
    ]  # fmt: skip
    assert exit_code(results) == 0


def test_a_solution_that_does_not_solve_is_found_with_its_words(tmp_path: Path, box: Sandbox) -> None:
    results = list(check(task_folder(tmp_path, solve="echo no such thing >&2; exit 4\n"), box))
    (oracle,) = [r for r in results if r.rule == "oracle"]
    assert oracle.verdict == "failed"
    assert "exit 4: no such thing" in oracle.why
    assert exit_code(results) == 11


def test_a_hidden_file_in_the_workspace_is_found(tmp_path: Path, box: Sandbox) -> None:
    solve = "echo 7 > answer.txt # all of it\n"
    (result,) = check(task_folder(tmp_path, solve=solve, visible=solve), box)
    assert (result.verdict, "solution/solve.sh" in result.why) == ("failed", True)


def test_a_script_that_believes_the_workspace_is_found_by_the_vandal(tmp_path: Path, box: Sandbox) -> None:
    benchmark = task_folder(tmp_path)
    (tmp_path / "x/tests/checks.json").unlink()
    (tmp_path / "x/tests/test.sh").write_text(
        "cp /app/reward.json /logs/verifier/ || echo 0 > /logs/verifier/reward.txt\n"
    )
    results = {r.rule: r for r in check(benchmark, box) if r.verdict != "advice"}
    assert results["vandal"].verdict == "failed"
    assert results["nothing"].verdict == "ok"


def test_a_broken_task_does_not_stop_the_others(tmp_path: Path, box: Sandbox) -> None:
    benchmark = task_folder(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/task.toml").write_text("[")
    results = list(check(benchmark, box))
    assert [(r.task, r.verdict) for r in results][:2] == [("a", "failed"), ("x", "ok")]


def test_the_vandal_solves_nothing_and_plants_everything() -> None:
    left = vandalised(Task("t/x", "d", "i"), files(**{"a.py": "from __future__ import annotations\nx = 1\n"}))
    compile(left["/app/a.py"].data, "a.py", "exec")
    assert {"/app/conftest.py", "/app/sitecustomize.py", "/app/zz.pth"} <= set(left)


# ── the judge that Harbor runs ────────────────────────────────────────────────────────────────────


def test_every_copy_of_the_judge_is_the_one_that_is_made() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import make_judge; print(make_judge.build(), end='')"],
        cwd=ROOT / "bin", capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ).stdout  # fmt: skip
    copies = [ROOT / "sica/inside/judge.py", *sorted((ROOT / "benchmark_data").glob("*/*/tests/judge.py"))]
    assert [str(path) for path in copies if path.read_text(encoding="utf-8") != made] == [], (
        "run bin/make_judge.py"
    )


@pytest.mark.parametrize(("left", "score"), [(SOLVED, 1.0), (PRISTINE, 0.0)])
def test_the_judge_that_harbor_runs_says_the_same(
    left: Files, score: float, tmp_path: Path, box: Sandbox
) -> None:
    judge = (ROOT / "sica/inside/judge.py").read_text(encoding="utf-8")
    tests = {"checks.json": json.dumps(CHECKS), "expected/conf.ini": "a\nB\nc\n",
             "base/conf.ini": "a\nb\nc\n",
             "judge.py": judge, "test.sh": "exec python3 /tests/judge.py\n"}  # fmt: skip
    assert grading.grade(case("script", tests, PRISTINE), left, box).score == score
    assert grading.grade(split(), left, box).score == score


# ── log ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"parser": "nose", "passed": ["a"]}, "names no parser"),
        ({"parser": "pytest", "passed": []}, "passed names no test"),
        ({"parser": "pytest", "passed": ["a"], "told": "yes"}, "told = 'yes'"),
        ({"parser": "django", "passed": ["a"], "told": True}, "told = True"),
    ],
)
def test_rules_of_a_log_that_cannot_be_followed_are_the_authors_error(
    rules: dict[str, object], says: str
) -> None:
    tests = {"log.json": File(json.dumps(rules).encode()), "run.sh": File(b"true\n")}
    with pytest.raises(UsageError, match=says):
        grading.read_log_rules("/t/x", tests)


RUNS_PYTEST = {
    "run.sh": 'cp "$(dirname "$0")/test_a.py" . && exec python3 -m pytest -q test_a.py\n',
    "log.json": json.dumps(
        {"parser": "pytest", "told": True, "passed": ["test_a.py::test_f"], "kept": ["test_a.py::test_g"]}
    ),
    "test_a.py": "import a, pytest\n\ndef test_f(): assert a.f() == 1\ndef test_g(): assert a.g() == 2\n\n"
    "@pytest.mark.parametrize('n', [1])\ndef test_more(n): pytest.skip('not here')\n",
}


STEALS = (
    "import gc, json, os, pathlib\n"
    "(hook,) = [o for o in gc.get_objects() if getattr(o, '__qualname__', '').endswith('Teller.pytest_sessionfinish')"
    " and hasattr(o, '__closure__') and not hasattr(o, '__self__')]\n"
    "word = next(c.cell_contents for c in hook.__closure__ if isinstance(c.cell_contents, str))\n"
    "pathlib.Path('/judge/report').write_text(json.dumps({'word': word, "
)


@pytest.mark.parametrize(
    ("code", "score"),
    [
        ("def f(): return 1\ndef g(): return 2\n", 1.0),
        ("def f(): return 1\ndef g(): return 3\n", 0.3),  # what worked is broken
        ("def f(): return 2\ndef g(): return 2\n", 0.0),
        ("import os, sys\nos._exit(0)\n", 0.0),
        ("import os, pathlib\nfor p in ('/judge/report',): pathlib.Path(p).write_text("
         "'{\"word\": \"\", \"tests\": {\"test_a.py::test_f\": true}}')\nos._exit(0)\n", 0.0),
        ("import os\nassert not os.read(0, 99), 'the word'\ndef f(): return 1\ndef g(): return 2\n", 1.0),
        ("import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(20)\n"
         "def f(): return 1\ndef g(): return 2\n", 1.0),
        (STEALS + "'tests': ['test_a.py::test_f']}))\nos._exit(0)\n", 0.0),
        (STEALS + "'tests': {'test_a.py::test_f': True, "
         "'test_a.py::test_g': True}}))\nos._exit(0)\n", 1.0),
    ],
    ids=["right", "breaks", "wrong", "leaves", "forges-the-report", "finds-no-word", "leaves-a-daemon",
         "says-nonsense-under-the-word", "takes-over-the-process: the limit that docs/tasks.md names"],
)  # fmt: skip
def test_pytest_is_asked_what_its_tests_came_to(code: str, score: float, box: Sandbox, runtime: Path) -> None:
    grade = grading.grade(case("log", RUNS_PYTEST, START, runtime=runtime), files(**{"a.py": code}), box)
    assert (grade.score, grade.fault) == (score, ""), grade
