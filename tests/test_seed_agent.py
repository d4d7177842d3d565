"""The real seed agent, as a process, against a real server around the offline model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from loopback import SEED_AGENT, door, reward, run_agent, tuned, workspace_of

from sica.benchmarks import open_benchmark

SMOKE = [path for _, path in sorted(open_benchmark("smoke").paths().items())]


def calls(name: str, arguments: str) -> Mapping[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    return tmp_path / "app"


@pytest.mark.parametrize("task", SMOKE, ids=lambda t: t.name)
def test_it_solves_the_smoke_tasks(task: Path, tmp_path: Path) -> None:
    app = workspace_of(task, tmp_path)
    with door() as model:
        ended = run_agent(SEED_AGENT, app, (task / "instruction.md").read_text(), model.url)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("ended: submitted")
    assert reward(task, app, tmp_path) == 1.0


def test_a_spent_budget_ends_it_in_order(app: Path) -> None:
    with door(calls=1) as model:
        ended = run_agent(SEED_AGENT, app, "In `a.txt`, replace `a` by `b`.", model.url)
    assert (ended.returncode, len(model.asked)) == (0, 2)
    assert ended.stdout.startswith("ended: budget exhausted; steps: 1;")


def test_a_malformed_call_gets_a_result_and_the_work_goes_on(app: Path) -> None:
    with door(first=(calls("bash", '{"comm'), calls("fly", "{}"))) as model:
        ended = run_agent(SEED_AGENT, app, "Create the file `a` with the text `b`.", model.url)
    results = [m["content"] for m in model.asked[-1]["messages"] if m["role"] == "tool"]
    assert "malformed" in results[0] and "no tool 'fly'" in results[1]
    assert "malformed calls: 2" in ended.stdout
    assert (app / "a").read_text() == "b\n"


def test_a_timed_out_command_is_ended_with_all_that_it_started(app: Path) -> None:
    command = "sleep 300 & echo $! > child; echo $$ > parent; sleep 300"
    with door(first=(calls("bash", json.dumps({"command": command})), calls("submit", "{}"))) as model:
        ended = run_agent(SEED_AGENT, app, "Wait.", model.url)
    assert "commands timed out: 1" in ended.stdout
    for name in ("child", "parent"):
        assert not _alive(int((app / name).read_text()))


def _alive(pid: int) -> bool:
    """Whether a process runs; one that is only waiting for its parent to notice its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_package_called_seed_in_the_workspace_does_not_run_instead(app: Path) -> None:
    (app / "seed").mkdir()
    (app / "seed" / "__init__.py").write_text("raise SystemExit('the workspace ran')\n")
    with door() as model:
        ended = run_agent(SEED_AGENT, app, "Create the file `a` with the text `b`.", model.url)
    assert ended.stdout.startswith("ended: submitted")


def test_without_a_server_it_says_so_and_fails(app: Path) -> None:
    ended = run_agent(SEED_AGENT, app, "Anything.", "http://127.0.0.1:9/v1")
    assert ended.returncode == 1
    assert "ended: model failed" in ended.stdout


@pytest.mark.parametrize(
    "settings", [{}, {"PROTOCOL": "xml", "ANSWERS": "streamed"}], ids=["shipped", "flipped"]
)
def test_its_own_tests_pass_whichever_way_it_speaks(settings: dict[str, object], tmp_path: Path) -> None:
    agent = tuned(tmp_path, **settings)
    argv = [sys.executable, "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(agent), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(argv, cwd=agent, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
