"""`sica bench check` as a person uses it: what it says, how it ends, and that it needs no project."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, environment, sica
from conftest import write_task

from sica.benchmarks import open_benchmark
from sica.grading import grade
from sica.model import File
from sica.sandboxes import open_sandbox

BOXES = {"SICA_SANDBOX": "bubblewrap"}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    write_task(tmp_path / "mine", "good", 1, kind="toy")
    return tmp_path


def test_it_needs_no_project_and_leaves_none(mine: Path) -> None:
    done = sica(mine, "bench", "check", "mine", env=BOXES)
    assert (done.code, done.out, done.err) == (0, "mine: 1 task, 8 of 8 checks ok\n", "")
    assert [path.name for path in mine.iterdir()] == ["mine"]


def test_one_task_of_a_shipped_benchmark_is_checked_alone(mine: Path) -> None:
    done = sica(mine, "bench", "check", "core/locate-key", "--json", env=BOXES)
    assert done.code == 0
    assert {result["task"] for result in done.json["results"]} == {"locate-key"}
    assert done.json["schema"] == "sica.bench.check/1"


def test_an_unfit_task_is_named_and_ends_with_1(mine: Path) -> None:
    (mine / "mine" / "good" / "solution" / "solve.sh").write_text("echo no >&2; exit 3\n")
    done = sica(mine, "bench", "check", "mine", env=BOXES)
    assert done.code == 11
    assert (
        "good  oracle: failed  scores 0 instead of 1 (answer); solve.sh said: exit 3: no [ORACLE_FAILS]"
        in done.out
    )
    assert done.out.endswith("mine: 1 task, 7 of 8 checks ok\n")


def test_a_broken_task_is_said_with_its_cure_and_the_others_are_checked(mine: Path) -> None:
    write_task(mine / "mine", "broken", 1, kind="toy")
    (mine / "mine" / "broken" / "tests" / "checks.json").write_text("{")
    done = sica(mine, "bench", "check", "mine", env=BOXES)
    assert done.code == 1
    assert "broken/tests/checks.json: broken JSON" in done.out
    assert "8 of 9 checks ok" in done.out


def test_what_cannot_be_run_is_left_out_of_a_folder_and_refused_by_name(mine: Path) -> None:
    write_task(mine / "mine", "gpu", 1)
    table = mine / "mine" / "gpu" / "task.toml"
    table.write_text(table.read_text().replace("[environment]\n", "[environment]\ngpus = 1\n"))
    checked = sica(mine, "bench", "check", "mine", env=BOXES)
    assert checked.code == 0
    assert "gpu  form: unsupported  unsupported: gpus" in checked.out
    assert "1 left out" in checked.out
    project = mine / "p"
    project.mkdir()
    assert sica(project, "init").code == 0
    for words in (["--bench", "../mine", "--task", "gpu"], ["--bench", "../mine/gpu"]):
        named = sica(project, "eval", "0", *words, env=BOXES)
        assert named.code == 2
        assert "gpu cannot be run: unsupported: gpus" in named.err
    together = sica(project, "eval", "0", "--bench", "../mine", env=BOXES)
    assert "left out mine/gpu: unsupported: gpus" in together.err
    assert together.code == 0, together.err


def test_ctrl_c_says_how_far_it_came(mine: Path) -> None:
    write_task(mine / "mine", "slow", 1, grading="script")
    (mine / "mine" / "slow" / "tests" / "test.sh").write_text("sleep 60\n")
    with subprocess.Popen(
        [sys.executable, "-m", "sica", "bench", "check", "mine", "--task", "*", "--jobs", "1"],
        cwd=mine, env=environment(mine, **BOXES), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        line = running.stdout.readline()
        assert "slow  form: advice" in line
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err == "sica: interrupted after 1 of 2 tasks\n"
    assert out in ("", line), "an interrupt within print's own flush makes Python write the line again"


def test_the_first_task_of_the_document_is_fit(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    script = text.partition("```sh\n")[2].partition("```")[0]
    done = subprocess.run(
        ["bash", "-ec", f'sica() {{ {shlex.quote(sys.executable)} -m sica "$@"; }}\n{script}'],
        cwd=tmp_path, env=environment(tmp_path, **BOXES), text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine: 1 task, 7 of 7 checks ok" in done.stdout
    assert "count-words  train" in done.stdout


INNOCENT = {
    "__pycache__/ledger.cpython-312.pyc": b"\0",
    "pkg/__pycache__/x.pyc": b"\0",
    ".pytest_cache/v/cache/lastfailed": b"{}",
    ".mypy_cache/3.12/x.json": b"{}",
    ".ruff_cache/0.1/x": b"",
    ".hypothesis/examples/x": b"",
    ".git/index": b"DIRC",
    ".coverage": b"",
    ".ledger.py.swp": b"b0VIM",
    "ledger.py~": b"old",
    "#ledger.py#": b"",
    ".#ledger.py": b"",
    ".vscode/settings.json": b"{}",
    ".idea/workspace.xml": b"<a/>",
    ".DS_Store": b"",
    "NOTES.md": b"what I did",
    "test_mine.py": b"def test_mine(): pass\n",
    "tests/test_more.py": b"def test_more(): pass\n",
    ".aider.chat.history.md": b"",
    "nohup.out": b"",
    ".gitignore": b"*.pyc\n",
}


@pytest.mark.parametrize("sandbox", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def test_what_an_honest_agent_leaves_behind_is_no_finding(sandbox: str, tmp_path: Path) -> None:
    from sica.benchcheck import solve
    from sica.errors import SandboxUnavailable

    runtime = tmp_path / "rt"
    runtime.mkdir(mode=0o711)
    benchmark = open_benchmark("core/fix-ledger", runtime=runtime)
    (task,) = benchmark.tasks()
    try:
        box = open_sandbox(sandbox, store="innocent", runtime=runtime)
        box.image()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    try:
        left, _ = solve(benchmark, box, task)
        junk = {f"/app/{name}": File(data) for name, data in INNOCENT.items()}
        verdict = grade(benchmark.case(task), {**left, **junk}, box)
    finally:
        box.close()
    assert (verdict.score, verdict.findings) == (1.0, ())
