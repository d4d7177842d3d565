"""What we export is read by the published harbor and inspect_ai, in an environment of their own (bin/interop)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Project, family, sica
from packed import wheel

from sica.sandboxes.bubblewrap import find_bwrap

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


ANSWERS = """import os, pathlib
told = pathlib.Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text()
assert os.environ["AGENT_MODEL"] == "gpt-test" and os.environ["OPENAI_API_KEY"] == "k"
assert pathlib.Path.cwd() == pathlib.Path("/app") and pathlib.Path("there.txt").exists()
pathlib.Path("answer.txt").write_text("yes" if "write yes" in told else "no")
print("worked as", os.environ["AGENT_HOME"])
"""


IMPORTS = """import pathlib, greet
pathlib.Path("answer.txt").write_text("yes" if greet.VERSION == "1.0" else "no")
print("imported", greet.__file__)
"""


def test_harbor_runs_our_commits_with_their_packages(python: str, tmp_path: Path) -> None:
    """The whole of `harbor run`: its orchestrator, our adapter, a box without a network, the task's own verifier."""
    project = Project.make(tmp_path / "a project")
    project.agent("print('the seed does nothing')\n", subject="seed")
    project.agent(ANSWERS, project.ledger.agents()[0], subject="answers")
    project.agent(IMPORTS, project.ledger.agents()[0], subject="imports", packages="greet==1.0\n")
    wheel(tmp_path / "wheels", "greet", "1.0")
    files = {
        "task.toml": 'schema_version = "1.4"\n[task]\nname = "mine/say-yes"\n[environment]\nworkdir = "/app"\n',
        "instruction.md": "write yes into answer.txt\n",
        "environment/Dockerfile": "FROM python:3.12-slim\nWORKDIR /app\nCOPY workspace/ /app/\n",
        "environment/workspace/there.txt": "x",
        "tests/test.sh": "grep -qx yes answer.txt && r=1 || r=0\necho $r > /logs/verifier/reward.txt\n",
        "solution/solve.sh": "printf yes > answer.txt\n",
    }
    for name, words in files.items():
        path = tmp_path / "tasks" / "say-yes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)
    store = f"{project.folder}/.sica/agents.git"
    agents = [
        {
            "import_path": "sica.harbor_agent:CommitAgent",
            "model_name": "openai/gpt-test",
            "kwargs": {"agent": name, "store": store},
        }
        for name in ("0", "agent/1", "agent/2")
    ]
    job = {
        "job_name": "both",
        "jobs_dir": str(tmp_path / "jobs"),
        "agents": agents,
        "tasks": [{"path": str(tmp_path / "tasks" / "say-yes")}],
        "environment": {"import_path": "interop_box:Box"},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OPENAI_API_KEY": "k"}
    environ |= {"BWRAP": str(find_bwrap()[0]), "HARBOR_TELEMETRY": "0", "HOME": str(tmp_path)}
    environ |= {
        "UV_FIND_LINKS": f"{tmp_path}/wheels",
        "UV_NO_INDEX": "1",
        "XDG_CACHE_HOME": f"{tmp_path}/cache",
    }
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"  # where uv is
    command = [f"{Path(python).parent}/harbor", "run", "-c", f"{tmp_path}/job.json", "-q", "-y"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results = [json.loads(path.read_text()) for path in (tmp_path / "jobs/both").glob("*/result.json")]
    commits = [agent.commit for agent in project.ledger.agents()]
    assert {r["agent_info"]["version"]: r["verifier_result"] for r in results} == {
        commits[0]: {"rewards": {"reward": 0}},
        commits[1]: {"rewards": {"reward": 1}},
        commits[2]: {"rewards": {"reward": 1}},
    }, [r["exception_info"] for r in results]
    said = [path.read_text() for path in (tmp_path / "jobs/both").glob("*/agent/stdout.txt")]
    assert sorted(said) == ["imported /opt/env/greet.py\n", "the seed does nothing\n", "worked as /agent\n"]
