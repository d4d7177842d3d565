"""SWE-bench rows and Terminal-Bench 1 folders of our own invention, judged by what a test run prints."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sica import benchcheck, patches
from sica.attempt import _judged
from sica.benchmarks import open_benchmark
from sica.benchmarks.folder import FolderBenchmark
from sica.errors import UsageError
from sica.exports import Exported
from sica.exports.predictions import predictions
from sica.model import File, Grade
from sica.ports import Sandbox
from sica.sandboxes import open_sandbox

BEFORE = {
    "calc/__init__.py": "",
    "calc/core.py": "def add(a, b):\n    return a - b\n\n\ndef twice(a):\n    return 2 * a\n",
    "tests/test_core.py": "from calc.core import twice\n\n\ndef test_twice():\n    assert twice(2) == 4\n",
    "setup.cfg": "[metadata]\nname = calc\n",
}
FIXED = {**BEFORE, "calc/core.py": BEFORE["calc/core.py"].replace("a - b", "a + b")}
TESTED = {
    **BEFORE,
    "tests/test_core.py": BEFORE["tests/test_core.py"].replace("import twice", "import add, twice")
    + "\n\ndef test_add():\n    assert add(2, 3) == 5\n",
}


def diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    return patches.made({p: t.encode() for p, t in before.items()}, {p: t.encode() for p, t in after.items()})


def git(folder: Path, *words: str) -> str:
    options = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *options, *words], cwd=folder, capture_output=True, check=True, text=True
    ).stdout


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, words in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(words)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A file of one row, and beside it a clone whose history holds the fix."""
    folder = tmp_path_factory.mktemp("swe bench")
    clone = write(folder / "repos" / "mine__calc", BEFORE)
    git(clone, "init", "-q")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "base")
    base = git(clone, "rev-parse", "HEAD").strip()
    write(clone, FIXED)
    git(clone, "commit", "-qam", "the fix")
    row = {
        "instance_id": "mine__calc-1",
        "repo": "mine/calc",
        "base_commit": base,
        "problem_statement": "add subtracts",
        "hints_text": "it is the sign",
        "patch": diff(BEFORE, FIXED),
        "test_patch": diff(BEFORE, TESTED),
        "FAIL_TO_PASS": json.dumps(["tests/test_core.py::test_add"]),
        "PASS_TO_PASS": ["tests/test_core.py::test_twice"],
        "version": "1.0",
    }
    path = folder / "mini.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return path, row


@pytest.fixture(scope="module")
def benchmark(data: tuple[Path, dict[str, Any]], runtime: Path) -> FolderBenchmark:
    return open_benchmark(str(data[0]), runtime=runtime)


def graded(benchmark: FolderBenchmark, box: Sandbox, files: Mapping[str, str]) -> Grade:
    (task,) = benchmark.tasks()
    left: dict[str, File] = dict(benchmark.workspace(task))
    left |= {f"{task.workdir}/{path}": File(words.encode()) for path, words in files.items()}
    return benchmark.grade(task, left, box)


def test_the_gold_patch_earns_one_and_nothing_and_the_vandal_earn_zero(
    benchmark: FolderBenchmark, box: Sandbox
) -> None:
    # tests that run beside the code believe objects that agree with everything: the rule "cheats" is not for this mode
    rules: list[benchcheck.Rule] = ["form", "oracle", "nothing", "vandal"]
    results = list(benchcheck.check(benchmark, box, benchmark.selected(), rules))
    assert "PRINTED" not in {r.code for r in results}, "pytest itself is asked"
    assert [(r.rule, r.verdict) for r in results if r.verdict not in ("ok", "advice")] == []
    assert {r.rule for r in results} == {"form", "oracle", "nothing", "vandal"}


def test_what_only_prints_is_said_to_be_weak(
    data: tuple[Path, dict[str, Any]], runtime: Path, box: Sandbox
) -> None:
    path = data[0].parent / "prints.jsonl"
    path.write_text(json.dumps({**data[1], "test_cmd": "python3 -m pytest -q -rA"}) + "\n")
    benchmark = open_benchmark(str(path), runtime=runtime)
    results = list(benchcheck.check(benchmark, box, benchmark.selected(), ["form"]))
    assert [r.verdict for r in results if r.code == "PRINTED"] == ["advice"]
    assert graded(benchmark, box, {"calc/core.py": FIXED["calc/core.py"]}).mode == "log"


def test_the_workspace_is_the_base_commit_without_history_tests_or_hints(benchmark: FolderBenchmark) -> None:
    (task,) = benchmark.tasks()
    workspace = benchmark.workspace(task)
    assert {p.removeprefix("/testbed/"): f.data.decode() for p, f in workspace.items()} == BEFORE
    assert task.instruction.strip() == "add subtracts"


def test_the_agents_work_becomes_a_prediction(benchmark: FolderBenchmark, box: Sandbox) -> None:
    from archives import agent, trial

    from sica.model import Ended

    grade = graded(benchmark, box, {"calc/core.py": FIXED["calc/core.py"], "conftest.py": "evil = 1\n"})
    assert (grade.score, grade.findings) == (1.0, ("steers pytest: 'conftest.py'",))
    assert grade.mode == "report"
    assert grade.patch == diff(BEFORE, FIXED), "what is not taken is not in it"
    (task,) = benchmark.tasks()
    ended = Ended(0, None, b"", b"", {}, (), 1.0)
    kept = _judged(trial(agent(0), task, None), grade, ended)
    assert predictions([Exported(agent(0), kept)])[0]["model_patch"] == grade.patch


FORGED = (
    "import atexit, os, sys\n"
    "print('PASSED tests/test_core.py::test_add')\nprint('PASSED tests/test_core.py::test_twice')\n"
    "def twice(a):\n    return 2 * a\n"
)


SAY = (
    "import os\ndef say(text):\n    for fd in range(1, 64):\n"
    "        try: os.write(fd, b'\\n' + text.encode() + b'\\n')\n        except OSError: pass\n"
)
"""Wherever the run's own output went while the module is imported, it is one of these."""


@pytest.mark.parametrize(
    "files",
    [
        {"calc/core.py": FORGED + "def add(a, b):\n    return 0\n"},
        {"calc/core.py": FORGED + "sys.exit(0)\n"},
        {"tests/test_core.py": "def test_add():\n    pass\n\n\ndef test_twice():\n    pass\n"},
        {"conftest.py": "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef _x():\n    pytest.skip()\n"},
        {"sitecustomize.py": "import os\nos._exit(0)\n"},
        {"pytest.ini": "[pytest]\naddopts = -k nothing\n"},
        {"setup.cfg": "[tool:pytest]\naddopts = --collect-only\n"},
        {"calc/core.py": "def add(a, b):\n    return a + b\n"},
        {
            "calc/core.py": FORGED.replace("print(", "say(").replace("import atexit, os, sys\n", SAY)
            + "os._exit(0)\n"
        },
        {
            "evil.py": "def pytest_runtest_makereport(item, call):\n    import _pytest.runner as r\n"
            "    call.excinfo = None\n    return r.TestReport.from_item_and_call(item, call)\n",
            "evil-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1\n",
            "evil-1.dist-info/entry_points.txt": "[pytest11]\nevil = evil\n",
        },
    ],
    ids=[
        "prints-passed",
        "prints-and-exits",
        "edits-tests",
        "conftest",
        "sitecustomize",
        "ini",
        "setup.cfg",
        "breaks-other",
        "prints-past-the-capture-and-leaves",
        "plugin-of-a-package",
    ],
)
def test_what_does_not_resolve_the_issue_earns_nothing(
    files: dict[str, str], benchmark: FolderBenchmark, box: Sandbox
) -> None:
    assert graded(benchmark, box, files).score == 0


def test_without_clone_and_image_it_is_refused_with_the_cure(
    data: tuple[Path, dict[str, Any]], tmp_path: Path, runtime: Path
) -> None:
    path = tmp_path / "alone.jsonl"
    path.write_text(json.dumps(data[1]) + "\n")
    benchmark = open_benchmark(f"swebench:{path}", runtime=runtime)
    (folder,) = benchmark.folders.values()
    assert folder.sica.needs_image == "swebench/sweb.eval.x86_64.mine_1776_calc-1:latest"
    assert "rm -rf .git" in (folder.path / "environment" / "Dockerfile").read_text()
    (why,) = benchmark.unsupported_in("docker").values()
    assert "docker pull swebench/sweb.eval.x86_64.mine_1776_calc-1" in why[0] or "no Docker engine" in why[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patch": "not a diff"}, "row 1: patch: is no diff"),
        ({"test_patch": diff({"a": "x\n"}, {"a": "y\n"})}, "row 1: test_patch: does not fit .*no such file"),
        ({"patch": "--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n"}, "row 1: patch: .*leaves the tree"),
        ({"base_commit": "HEAD"}, "row 1: base_commit: 'HEAD' is no full hash"),
        ({"base_commit": "0" * 40}, "does not have commit 0000"),
        ({"FAIL_TO_PASS": "[]"}, "row 1: FAIL_TO_PASS: names no test"),
        ({"FAIL_TO_PASS": "[1]"}, "row 1: FAIL_TO_PASS: 1 in the list is not a text"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_named(
    change: dict[str, str], says: str, data: tuple[Path, dict[str, Any]], runtime: Path
) -> None:
    path = data[0].parent / "wrong.jsonl"
    path.write_text(json.dumps({**data[1], **change}) + "\n")
    with pytest.raises(UsageError, match=says):
        open_benchmark(f"swebench:{path}", runtime=runtime).tasks()


@pytest.mark.docker
def test_an_image_is_used_without_its_history(data: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """An image of our own stands for the instance's: a repository at /testbed whose history holds the fix."""
    recipe = tmp_path / "Dockerfile"
    recipe.write_text(
        "FROM sica-sandbox\nUSER root\nCOPY . /testbed\nWORKDIR /testbed\nRUN git reset -q --hard HEAD~1\n"
    )
    clone = data[0].parent / "repos" / "mine__calc"
    name = f"sica-test-swebench-{os.getpid()}"
    subprocess.run(
        ["docker", "build", "-q", "-t", name, "-f", recipe, clone], check=True, capture_output=True
    )
    path, command = tmp_path / "rows.jsonl", "PYTHONPATH=/site python3 -m pytest -rA --no-header"
    path.write_text(json.dumps({**data[1], "image_name": name, "test_cmd": command}) + "\n")
    runtime = tmp_path / "rt"
    runtime.mkdir(mode=0o711)
    benchmark = open_benchmark(str(path), runtime=runtime)
    sandbox = open_sandbox("docker", store="swebench-docker", runtime=runtime)
    try:
        assert not benchmark.unsupported_in("docker")
        (task,) = benchmark.tasks()
        ready = benchmark.prepare(task, sandbox)
        left, log = benchcheck.solve(benchmark, sandbox, ready)
        assert benchmark.grade(ready, left, sandbox).score == 1.0, log
        assert benchmark.grade(ready, benchmark.pristine(ready), sandbox).score == 0.0
        history = b"".join(f.data for p, f in benchmark.pristine(ready).items() if "/.git/logs/" in p)
        assert b"the fix" not in history
    finally:
        sandbox.close()
        for image in (name, ready.image):
            subprocess.run(["docker", "rmi", "-f", str(image)], capture_output=True, check=False)


# ── Terminal-Bench 1 ──────────────────────────────────────────────────────────────────────────────

STANDARD = """#!/bin/bash
# Install curl and uv
apt-get update
apt-get install -y curl
curl -LsSf https://astral.sh/uv/0.7.13/install.sh | sh
source $HOME/.local/bin/env
uv init
uv add pytest==8.4.1
uv run pytest $TEST_DIR/test_outputs.py -rA
"""
TERMINAL = {
    "task.yaml": "instruction: |-\n  Write yes into /app/answer.\nauthor_name: me\ndifficulty: easy\ncategory: files\n"
    "parser_name: pytest\nmax_agent_timeout_sec: 60.0\nmax_test_timeout_sec: 30.0\n",
    "Dockerfile": "FROM python:3.12-slim\nWORKDIR /app\n",
    "docker-compose.yaml": "services:\n  client:\n    build: .\n    command: [sleep, infinity]\n",
    "run-tests.sh": STANDARD,
    "solution.sh": "#!/bin/bash\necho yes > /app/answer\n",
    "tests/test_outputs.py": "from pathlib import Path\n\n\ndef test_answer():\n"
    "    assert Path('/app/answer').read_text() == 'yes\\n'\n",
}


def terminal(root: Path, runtime: Path, **changes: str) -> FolderBenchmark:
    names = {"yaml": "task.yaml", "script": "run-tests.sh", "compose": "docker-compose.yaml"}
    files = {**TERMINAL, **{names[key]: words for key, words in changes.items()}}
    return open_benchmark(str(write(root / "tasks" / "say-yes", files).parent), runtime=runtime)


def test_the_usual_script_runs_with_the_pytest_that_sica_brings(
    tmp_path: Path, runtime: Path, box: Sandbox
) -> None:
    benchmark = terminal(tmp_path, runtime)
    results = list(benchcheck.check(benchmark, box, benchmark.selected()))
    assert [(r.rule, r.verdict, r.why) for r in results if r.verdict not in ("ok", "advice")] == []
    (task,) = benchmark.tasks()
    assert (task.name, task.level, task.kind, task.limits.seconds) == ("say-yes", 1, "files", 60)


def test_steps_of_a_solution_are_a_script(tmp_path: Path, runtime: Path, box: Sandbox) -> None:
    write(
        tmp_path / "tasks" / "say-yes",
        {"solution.yaml": "- command: echo yes > answer\n  min_timeout_sec: 1\n"},
    )
    benchmark = terminal(tmp_path, runtime)
    (tmp_path / "tasks" / "say-yes" / "solution.sh").unlink()
    benchmark = open_benchmark(str(tmp_path / "tasks"), runtime=runtime)
    (task,) = benchmark.tasks()
    left, _ = benchcheck.solve(benchmark, box, task)
    assert benchmark.grade(task, left, box).score == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"script": STANDARD.replace("pytest==8.4.1", "pytest pandas==2.2")}, "fetches from the network.*pandas==2.2"),
        ({"script": "apt-get install -y npm\nnpm ci\npytest $TEST_DIR/x.py\n"}, "fetches from the network.*npm"),
        ({"compose": TERMINAL["docker-compose.yaml"] + "  db:\n    image: postgres\n"}, "compose service db"),
        ({"compose": "services:\n  client:\n    build: .\n    privileged: true\n"}, "compose client.privileged"),
    ],
)  # fmt: skip
def test_what_cannot_be_given_is_refused_by_name(
    changes: dict[str, str], says: str, tmp_path: Path, runtime: Path
) -> None:
    import re

    (why,) = terminal(tmp_path, runtime, **changes).unsupported_in("docker").values()
    assert re.search(says, "; ".join(why))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("instruction: [", "broken YAML"),
        ("- a\n", "is no table"),
        ("difficulty: easy\n", "instruction: there is none"),
        ("instruction: x\nmax_agent_timeout_sec: soon\n", "max_agent_timeout_sec = 'soon'"),
        ("!!python/object/apply:os.system ['touch /tmp/sica-yaml-bomb']\n", "broken YAML"),
    ],
)
def test_a_wrong_task_yaml_is_named(text: str, says: str, tmp_path: Path, runtime: Path) -> None:
    with pytest.raises(UsageError, match=says):
        terminal(tmp_path, runtime, yaml=text).tasks()
    assert not Path("/tmp/sica-yaml-bomb").exists()
