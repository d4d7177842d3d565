"""Our own tasks: distinct, worth 0 undone and 1 solved, and not giving their answers away."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from loopback import ROOT, reward, workspace_of

TASKS = sorted((ROOT / "benchmark_data" / "core").iterdir())


def config(task: Path) -> dict[str, Any]:
    return tomllib.loads((task / "task.toml").read_text())


def checks(task: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((task / "tests" / "checks.json").read_text())["checks"]
    return found


def test_there_are_enough_of_every_kind_level_and_split() -> None:
    about = [config(t)["metadata"]["sica"] for t in TASKS]
    kinds = Counter(a["kind"] for a in about)
    assert len(TASKS) >= 12
    assert all(kinds[kind] >= 4 for kind in ("edit", "locate", "fix"))
    assert {a["level"] for a in about} == {1, 2, 3, 4}
    assert Counter(a["split"] for a in about)["dev"] >= 3
    assert len({config(t)["task"]["name"] for t in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_doing_nothing_scores_0_and_the_solution_1(task: Path, tmp_path: Path) -> None:
    app = workspace_of(task, tmp_path)
    assert reward(task, app, tmp_path) == 0.0
    solution = shutil.copytree(task / "solution", tmp_path / "solution")
    subprocess.run(["bash", str(solution / "solve.sh")], cwd=app, check=True, timeout=60)
    assert reward(task, app, tmp_path) == 1.0


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_nothing_that_the_agent_sees_gives_a_hidden_check_away(task: Path) -> None:
    seen = (task / "instruction.md").read_text() + "".join(
        p.read_text() for p in sorted((task / "environment" / "workspace").rglob("*")) if p.is_file()
    )
    for check in checks(task):
        if "args" in check and not check.get("guard"):
            calls = [a for a in check["args"] if isinstance(a, str) and len(a) > 4]
            assert not any(repr(a)[1:-1] in seen for a in calls), check["id"]
        if "/" in str(check.get("accept")):  # places; a word or a key has to stand in the task
            assert not any(answer in seen for answer in check["accept"] if ":" in answer), check["id"]


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_the_judge_compares_with_what_the_agent_started_from(task: Path) -> None:
    for check in checks(task):
        start = task / "environment" / "workspace" / str(check.get("file"))
        if "expected" in check and start.exists():
            assert (task / "tests" / "base" / check["file"]).read_bytes() == start.read_bytes()


def test_every_task_has_the_same_judge() -> None:
    assert len({(t / "tests" / "judge.py").read_bytes() for t in TASKS}) == 1


def test_images_are_files_on_top_of_a_plain_one() -> None:
    for task in TASKS:
        words = [line.split()[0] for line in (task / "environment" / "Dockerfile").read_text().splitlines()]
        assert set(words) <= {"FROM", "WORKDIR", "COPY"}
