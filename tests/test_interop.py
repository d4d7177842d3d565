"""What we export is read by the published harbor and inspect_ai, in an environment of their own (bin/interop)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, family, sica

NO_PYTHON = 3


@pytest.fixture(scope="module")
def python() -> str:
    """Their Python. Skipped only where none is new enough for them, and CI has one."""
    done = subprocess.run(
        [sys.executable, ROOT / "bin" / "interop"], capture_output=True, text=True, check=False
    )
    if done.returncode == NO_PYTHON and not os.environ.get("CI"):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def read(python: str, what: str, *folders: Path) -> Any:
    words = [python, str(ROOT / "tests" / "interop_check.py"), what, *map(str, folders)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two real trials of the offline model, traces and all."""
    folder = tmp_path_factory.mktemp("p") / "with space"
    folder.mkdir()
    for words in (
        ["init"],
        ["eval", "0", "--bench", "core:max=2:seed=3", "--sandbox", "bubblewrap", "--quiet"],
    ):
        ran = sica(folder, *words)
        assert ran.code == 0, ran.err
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five agents, some with faults, none with a trace."""
    return family(tmp_path_factory.mktemp("p") / "many agents").folder


def test_harbor_reads_our_job_directories(python: str, measured: Path, many: Path) -> None:
    for folder in (measured, many):
        assert sica(folder, "export", "harbor", "jobs/mine").code == 0
    real, faulty = read(python, "harbor", measured / "jobs/mine", many / "jobs/mine")
    assert len(real["trials"]) == real["valid"] == 2
    assert all(steps[:2] == ["system", "user"] and "agent" in steps for steps in real["steps"])
    assert real["agents"] == ["sica.harbor_agent:CommitAgent"]
    assert faulty["valid"] < len(faulty["trials"]), "a fault is no reward"
    for found in (real, faulty):
        assert found["same_stats"], found["stats"]


def test_inspect_reads_our_logs(python: str, measured: Path, many: Path) -> None:
    for folder in (measured, many):
        assert sica(folder, "export", "inspect", "logs").code == 0
    real, faulty = (found["logs"] for found in read(python, "inspect", measured / "logs", many / "logs"))
    (log,) = real
    assert (log["status"], log["task"], log["solver"], len(log["samples"])) == (
        "success",
        "core",
        "agent/0",
        2,
    )
    assert log["mean"] == pytest.approx(sum(log["scores"]) / 2)
    assert all(roles[:3] == ["system", "user", "assistant"] for roles in log["roles"])
    assert len(faulty) == 4
    assert any(score is None for log in faulty for score in log["scores"])
