"""Each rule of `sica bench check` finds a task that breaks it, says why with its code, and ends with its exit code."""

from __future__ import annotations

import ast
import datetime
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import sica

from sica import suites
from sica.benchcheck import RULES, CheckResult, Rule, check, exit_code, lines
from sica.benchmarks.folder import FolderBenchmark
from sica.benchmarks.suites import write
from sica.ports import Sandbox
from sica.sandboxes import open_sandbox


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    runtime = tmp_path_factory.mktemp("rt")
    runtime.chmod(0o711)
    for parent in (runtime, *runtime.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    sandbox = open_sandbox("bubblewrap", store="benchcheck", runtime=runtime)
    yield sandbox
    sandbox.close()


def task(
    root: Path, checks: list[dict[str, Any]], *, solution: dict[str, str], work: dict[str, str]
) -> FolderBenchmark:
    texts = {
        "task.toml": '[task]\nname = "t/x"\n[metadata.sica]\nkind = "x"\n[verifier]\ntimeout_sec = 30\n',
        "instruction.md": "Mend calc.py and write answer.txt.\n",
        "environment/Dockerfile": "FROM python:3.12-slim\nWORKDIR /app\nCOPY work/ /app/\n",
        "solution/solve.sh": 'cp -R "$(dirname "$0")/files/." .\n',
        "tests/test.sh": "exec python3 /tests/judge.py\n",
        "tests/checks.json": json.dumps({"checks": checks}),
        **{f"environment/work/{path}": text for path, text in work.items()},
        **{f"solution/{path}": text for path, text in solution.items()},
    }
    for name, text in texts.items():
        path = root / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return FolderBenchmark(root, "t")


def failed(benchmark: FolderBenchmark, box: Sandbox, *rules: Rule) -> dict[str, CheckResult]:
    results = [r for r in check(benchmark, box, rules=rules or RULES) if r.verdict not in ("ok", "advice")]
    return {result.rule: result for result in results}


BROKEN = "def add(a, b):\n    return a - b\n"
RIGHT = "def add(a, b):\n    return a + b\n"
ADD: dict[str, Any] = {"id": "adds", "call": "calc.add", "args": [1, 2], "returns": 3}


def test_an_answer_that_hangs_on_the_hash_seed_is_unstable(tmp_path: Path, box: Sandbox) -> None:
    words = "print(sorted('one two three four five six seven eight'.split(), key=hash))\n"
    order = subprocess.run(
        [sys.executable, "-c", words], env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True
    ).stdout
    checks = [ADD, {"id": "order", "run": ["python3", "order.py"], "stdout": order}]
    right = {"files/calc.py": RIGHT, "files/order.py": words}
    found = failed(task(tmp_path, checks, solution=right, work={"calc.py": BROKEN}), box)
    assert set(found) == {"stable"}
    assert found["stable"].code == "UNSTABLE"
    assert "(order)" in found["stable"].why
    assert "the hash seed" in found["stable"].why
    assert exit_code([*found.values()]) == 14


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (
            "import datetime\n\n\ndef year():\n    return datetime.date.today().year < 2027 + {n}\n",
            "the clock",
        ),
        ("import time\n\n\ndef year():\n    return time.localtime().tm_gmtoff == 0\n", "the time zone"),
    ],
)
def test_an_answer_that_hangs_on_the_day_or_the_place_is_unstable(
    body: str, cause: str, tmp_path: Path, box: Sandbox
) -> None:
    body = body.replace("2027 + {n}", str(datetime.datetime.now(datetime.UTC).year + 1))
    checks = [ADD, {"id": "year", "call": "calc.year", "returns": True}]
    right = {"files/calc.py": f"{body}\n\n{RIGHT}"}
    found = failed(task(tmp_path, checks, solution=right, work={"calc.py": BROKEN}), box)
    assert set(found) == {"stable"}
    assert cause in found["stable"].why


def test_a_check_that_agrees_with_everything_is_found_by_the_cheats(tmp_path: Path, box: Sandbox) -> None:
    loose = {"id": "runs", "run": ["python3", "calc.py"], "exit": 0}
    crash = "raise SystemExit(1)\n"
    benchmark = task(tmp_path, [loose], solution={"files/calc.py": RIGHT}, work={"calc.py": crash})
    found = failed(benchmark, box, "nothing", "cheats")
    assert set(found) == {"cheats"}
    assert "agrees: scores 1" in found["cheats"].why or "emptied: scores 1" in found["cheats"].why
    assert exit_code([*found.values()]) == 13


def test_a_cheat_of_the_tasks_own_that_nothing_flags_is_found(tmp_path: Path, box: Sandbox) -> None:
    solution = {"files/calc.py": RIGHT, "cheats/cached/calc.py": "def add(a, b):\n    return 3\n"}
    found = failed(task(tmp_path, [ADD], solution=solution, work={"calc.py": BROKEN}), box)
    assert found["cheats"].code == "CHEAT_BELIEVED"
    assert "cached" in found["cheats"].why
    kept = {"id": "bait", "call": "calc.add", "args": [5, 5], "returns": 10, "flag": "handed in one answer"}
    asked = task(tmp_path, [ADD, kept], solution=solution, work={"calc.py": RIGHT.replace("+", "* 1 or a +")})
    assert "cheats" not in failed(asked, box, "cheats")


def test_a_reference_that_a_flag_meets_is_no_reference(tmp_path: Path, box: Sandbox) -> None:
    bait = {"id": "bait", "file": "answer.txt", "accept": {"": 1.0}, "flag": "wrote an answer"}
    solution = {"files/calc.py": RIGHT, "files/answer.txt": "7\n"}
    found = failed(task(tmp_path, [ADD, bait], solution=solution, work={"calc.py": BROKEN}), box)
    assert found["oracle"].code == "ORACLE_FLAGGED"
    assert "wrote an answer" in found["oracle"].why


def test_work_that_costs_points_half_way_is_found(tmp_path: Path, box: Sandbox) -> None:
    """Two files: after the first the guard fails that capped nothing before."""
    checks = [
        {"id": "one", "weight": 8, "call": "a.one", "returns": 1},
        {"id": "two", "call": "b.two", "returns": 2},
        {"id": "three", "call": "c.three", "returns": 3},
        {"id": "together", "guard": True, "call": "d.agree", "returns": True},
    ]
    agree = "import b\nimport c\n\n\ndef agree():\n    return (b.two() == 2) == (c.three() == 3)\n"
    wrong = {
        name: f"def {f}():\n    return 0\n"
        for name, f in (("a.py", "one"), ("b.py", "two"), ("c.py", "three"))
    }
    right = {
        f"files/{n}.py": f"def {f}():\n    return {v}\n"
        for n, f, v in (("a", "one", 1), ("b", "two", 2), ("c", "three", 3))
    }
    found = failed(task(tmp_path, checks, solution=right, work={**wrong, "d.py": agree}), box, "partial")
    assert found["partial"].code == "NOT_MONOTONE"
    assert "0 then 0.8 then 0.3 then 1" in found["partial"].why
    assert exit_code([*found.values()]) == 15


def test_a_check_that_nothing_fails_is_said(tmp_path: Path, box: Sandbox) -> None:
    empty = {"id": "calm", "guard": True, "run": ["python3", "-c", "print(1)"], "stdout": "1\n"}
    benchmark = task(tmp_path, [ADD, empty], solution={"files/calc.py": RIGHT}, work={"calc.py": BROKEN})
    advice, figure = check(benchmark, box, rules=["coverage"])
    assert (advice.verdict, advice.code) == ("advice", "NEVER_FAILS")
    assert "calm" in advice.why
    assert "adds" not in advice.why
    assert (figure.verdict, figure.lines) == ("ok", (2, 2))


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────

CALC = '''"""A module."""
from __future__ import annotations

import functools
import threading


@functools.cache
def add(a, b):
    """Both."""
    if a < 0:
        return -add(-a, -b)
    seen = []
    def beside():
        seen.append(a + b)
    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    return seen[0]
'''
PROGRAM = "import calc\n\nif __name__ == '__main__':\n    print(calc.add(1, 2))\n"
SEEN = "from calc import add\n\n\ndef test_adds():\n    assert add(1, 2) == 3\n"
RUN = 'cp "$(dirname "$0")/test_seen.py" . && exec python3 -m pytest -q test_seen.py\n'
LOG = {"parser": "pytest", "told": True, "passed": ["test_seen.py::test_adds"]}


@pytest.mark.parametrize(
    ("mode", "tests"),
    [
        ("split", {"checks.json": json.dumps({"checks": [ADD]})}),
        ("split", {"checks.json": json.dumps({"checks": [
            {"id": "prints", "run": ["python3", "program.py"], "stdout": "3\n"}]})}),
        ("two-box", {"test_seen.py": SEEN}),
        ("log", {"run.sh": RUN, "log.json": json.dumps(LOG), "test_seen.py": SEEN}),
    ],
    ids=["call", "program", "two-box", "log"],
)  # fmt: skip
def test_the_lines_that_checks_run_are_counted_and_changed_ones_that_they_do_not_are_named(
    mode: str, tests: dict[str, str], tmp_path: Path, box: Sandbox, runtime: Path
) -> None:
    solution = {"files/calc.py": CALC}
    made = task(tmp_path, [ADD], solution=solution, work={"calc.py": CALC.partition("    if a")[0] + "    return 0\n",
                "program.py": PROGRAM})  # fmt: skip
    (tmp_path / "x" / "tests" / "checks.json").unlink()
    for name, text in tests.items():
        (tmp_path / "x" / "tests" / name).write_text(text)
    settings = tmp_path / "x" / "task.toml"
    settings.write_text(settings.read_text().replace("kind =", f'grading = "{mode}"\nkind ='))
    made = FolderBenchmark(tmp_path, "t", runtime=runtime)
    *_, figure = check(made, box, rules=["oracle", "coverage"])
    assert (figure.verdict, figure.code) == ("advice", "UNCOVERED"), figure
    assert figure.why.endswith("none of these that the reference changes: calc.py:12")
    program = (3, 3) if "program.py" in str(tests) else (0, 0)
    assert figure.lines == (12 + program[0], 13 + program[1]), "line 12 is the one for negative numbers"


def test_a_line_more_is_the_only_change_of_a_module_that_tells() -> None:
    """Of every module of ours: what stands after it is one line further down and the same."""
    for path in sorted(Path(lines.__file__).parents[1].rglob("*.py")):
        source = path.read_bytes()
        if start := lines._start(source):
            told = ast.parse(lines._told(source, start))
            (extra,) = [node for node in told.body if node.lineno == start]
            told.body.remove(extra)
            assert ast.dump(told) == ast.dump(ast.parse(source)), path
            moved = [node.lineno - (node.lineno > start) for node in told.body]
            assert moved == [node.lineno for node in ast.parse(source).body], path


def test_what_loads_nothing_has_no_figure(tmp_path: Path, box: Sandbox) -> None:
    read = {"id": "answer", "file": "answer.txt", "accept": {"7": 1.0}}
    made = task(tmp_path, [read], solution={"files/answer.txt": "7\n"}, work={"calc.py": RIGHT})
    (result,) = check(made, box, rules=["coverage"])
    assert (result.verdict, result.lines) == ("ok", None)


def test_an_exit_code_names_the_rule_unless_several_fail() -> None:
    def of(*rules: Rule) -> list[CheckResult]:
        return [CheckResult("t", rule, "failed") for rule in rules]

    assert [exit_code(of(rule)) for rule in RULES] == [1, 11, 12, 13, 13, 14, 15, 16]
    assert (exit_code([]), exit_code(of("oracle", "stable"))) == (0, 1)
    assert exit_code([*of("oracle"), CheckResult("t", "stable", "fault")]) == 1


# ── what comes with sica ──────────────────────────────────────────────────────────────────────────


def test_a_seed_that_nobody_pinned_gives_fit_tasks_too(tmp_path: Path, box: Sandbox) -> None:
    tasks = {
        f"{suite}-{n}": files
        for suite in suites.SCORED
        for n, (_, files) in enumerate(suites.make(suite, 97, 1))
    }
    write(tasks, tmp_path / "drawn")
    rules: list[Rule] = ["form", "oracle", "nothing"]
    assert [
        r for r in check(FolderBenchmark(tmp_path / "drawn", "drawn"), box, rules=rules) if r.verdict != "ok"
    ] == []


def test_rules_are_chosen_by_name_and_codes_are_shown(tmp_path: Path) -> None:
    task(tmp_path / "mine", [ADD], solution={"files/calc.py": f"{BROKEN}\n"}, work={"calc.py": BROKEN})
    env = {"SICA_SANDBOX": "bubblewrap"}
    one = sica(tmp_path, "bench", "check", "mine", "--rule", "nothing", env=env)
    assert (one.code, one.out) == (0, "mine: 1 task, 1 of 1 check ok\n")
    two = sica(tmp_path, "bench", "check", "mine", "--rule", "oracle", "--json", env=env)
    assert (two.code, [r["code"] for r in two.json["results"]]) == (11, ["ORACLE_FAILS"])
    none = sica(tmp_path, "bench", "check", "mine", "--rule", "orcale", env=env)
    assert (none.code, "did you mean 'oracle'?" in none.err) == (2, True)
    shutil.rmtree(tmp_path / "mine")
