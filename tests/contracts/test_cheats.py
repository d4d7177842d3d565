"""No cheat that we know of is believed. The control shows that a plain pytest believes most of them."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sica import grading, twobox
from sica.grading import Case
from sica.model import BoxSpec, File, Files, Grade, Job, Limits, Task
from sica.ports import Sandbox
from sica.sandboxes import open_sandbox

CHEATS: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[1] / "cheats" / "cheats.toml").read_text(encoding="utf-8")
)["cheat"]
HONEST = b"""
import statistics

def median(xs):
    if not xs:
        raise ValueError("empty")
    return statistics.median(xs)

def words(text):
    return sorted(text.split())
"""
PRISTINE = {
    "/app/calc.py": File(b"def median(xs): ...\ndef words(text): ...\n"),
    "/app/tests/test_visible.py": File(b"import calc\ndef test_there(): assert calc.median\n"),
}
HIDDEN = b"""
import pytest
from calc import *
from calc import median, words

def test_odd():
    assert median([3, 1, 2]) == 2

def test_even():
    assert median([1, 2, 3, 4]) == 2.5

def test_empty():
    with pytest.raises(ValueError):
        median([])

def test_words():
    assert words("b a") == ["a", "b"]
"""
CHECKS = {
    "checks": [
        {"id": "odd", "call": "calc.median", "args": [[3, 1, 2]], "returns": 2},
        {"id": "even", "call": "calc.median", "args": [[1, 2, 3, 4]], "returns": 2.5},
        {"id": "empty", "call": "calc.median", "args": [[]], "raises": "ValueError"},
        {"id": "words", "call": "calc.words", "args": ["b a"], "returns": ["a", "b"]},
    ]
}


@pytest.fixture(scope="module", params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def sandbox(request: pytest.FixtureRequest, runtime: Path) -> Iterator[Sandbox]:
    from sica.errors import SandboxUnavailable

    box = open_sandbox(request.param, store="cheats", runtime=runtime)
    try:
        box.probe()
    except SandboxUnavailable as e:
        if request.param == "bubblewrap" or os.environ.get("CI"):
            raise
        pytest.skip(str(e))
    yield box
    box.sweep()
    if hasattr(box, "close"):
        box.close()


Judge = Callable[[Files], Grade]


@pytest.fixture(params=["split", "two-box"])
def judge(request: pytest.FixtureRequest, sandbox: Sandbox, runtime: Path) -> Judge:
    tests = {
        "split": {"checks.json": File(json.dumps(CHECKS).encode())},
        "two-box": {"test_calc.py": File(HIDDEN)},
    }[request.param]
    task = Task(
        "t/calc", "digest", "do it", grading=request.param, folder="/t/calc", limits=Limits(memory_mb=256)
    )
    case = Case(task, PRISTINE, tests, seconds=60, patience=2, runtime=runtime)
    return lambda left: grading.grade(case, left, sandbox)


def left_by(cheat: dict[str, Any]) -> Files:
    """`holes`: megabytes of a file that takes no room where the agent works."""
    holes = {"/app/holes": File(bytes(cheat["holes"] << 20))} if "holes" in cheat else {}
    return {
        **PRISTINE,
        **holes,
        **{f"/app/{name}": File(text.encode()) for name, text in cheat["files"].items()},
    }


def test_the_honest_solution_scores_one(judge: Judge) -> None:
    assert judge({**PRISTINE, "/app/calc.py": File(HONEST)}).score == 1.0


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat["name"])
def test_a_cheat_earns_what_its_honest_part_deserves(cheat: dict[str, Any], judge: Judge) -> None:
    grade = judge(left_by(cheat))
    assert grade.fault == ""
    assert grade.score == cheat.get("deserves", 0.0), grade


@pytest.mark.parametrize("name", ["conftest.py", "sitecustomize.py", "pytest.ini", "calc.pth", "pytest.py"])
def test_files_that_steer_the_judge_are_findings(name: str, judge: Judge) -> None:
    grade = judge({**PRISTINE, "/app/calc.py": File(HONEST), f"/app/{name}": File(b"# nothing\n")})
    assert grade.score == 1.0
    assert any(name in finding for finding in grade.findings)


def test_plain_pytest_in_one_box_believes_the_cheats_that_say_so(runtime: Path) -> None:
    """The control: a list of cheats that would fool nobody proves nothing. What it proves of pytest it proves in
    any sandbox."""
    tried = [cheat for cheat in CHEATS if not cheat.get("slow") and "holes" not in cheat]
    sandbox = open_sandbox("bubblewrap", store="control", runtime=runtime)
    try:
        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(lambda cheat: _exit_code(cheat, sandbox, runtime), tried))
    finally:
        sandbox.close()
    believed = {cheat["name"] for cheat, code in zip(tried, codes, strict=True) if code == 0}
    assert {cheat["name"] for cheat in CHEATS if cheat["fools"]} == believed
    assert len(believed) > 20


def _exit_code(cheat: dict[str, Any], sandbox: Sandbox, runtime: Path) -> int | None:
    files = {**left_by(cheat), "/app/tests/test_calc.py": File(HIDDEN)}
    env = {**{"PATH": grading.PATH, "HOME": "/tmp", "LANG": "C.UTF-8"}, "PYTHONPATH": "/app:/site"}
    return sandbox.run(
        BoxSpec(mounts={"/site": twobox.clean_pytest(runtime)}, limits=Limits(seconds=20, memory_mb=256)),
        Job(("python3", "-m", "pytest", "-q", "tests/test_calc.py"), env=env, files=files),
    ).exit_code
