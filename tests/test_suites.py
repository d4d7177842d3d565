"""The built-in suites: made of a seed and nothing else, pinned, whole, and not giving their answers away."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from commands import ROOT, environment, sica
from loopback import workspace_of

from sica import suites
from sica.benchmarks import open_benchmark
from sica.errors import UsageError
from sica.harbor import task_files
from sica.model import Files

DATA = ROOT / "benchmark_data"
PINS = tomllib.loads((DATA / "suites.toml").read_text())


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Files]]:
    return {name: dict(suites.make(name, PINS[name]["seed"])) for name in suites.COUNTS}


def test_what_is_pinned_is_what_the_generators_give(made: dict[str, dict[str, Files]]) -> None:
    assert {*PINS} == {*suites.NAMES}
    given = {name: suites.digest(tasks) for name, tasks in made.items()}
    assert given == {name: PINS[name]["digest"] for name in suites.COUNTS}, "run bin/pin_suites.py"


def test_another_process_with_another_hash_seed_makes_the_same_bytes() -> None:
    code = (
        "from sica import suites; "
        "print(*[suites.digest(dict(suites.make(name, 5, 4))) for name in suites.COUNTS])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment(ROOT, PYTHONHASHSEED=seed, TZ=zone, LC_ALL=words),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone, words in (("1", "UTC", "C.UTF-8"), ("2", "Pacific/Kiritimati", "C"))
    }
    assert len(told) == 1


@pytest.mark.parametrize("suite", [*suites.COUNTS])
def test_another_seed_gives_other_tasks_and_more_tasks_change_none(suite: str) -> None:
    few, more, other = (dict(suites.make(suite, seed, n)) for seed, n in ((5, 4), (5, 8), (6, 4)))
    assert few == {name: more[name] for name in few}
    assert len(more) == 8
    for files in other.values():
        assert not any(files == mine for mine in more.values())


def test_there_are_three_of_each_level_in_every_scored_suite(made: dict[str, dict[str, Files]]) -> None:
    for suite in suites.SCORED:
        tables = [
            tomllib.loads(f["task.toml"].data.decode())["metadata"]["sica"] for f in made[suite].values()
        ]
        assert Counter(t["level"] for t in tables) == {1: 3, 2: 3, 3: 3, 4: 3}
        assert Counter(t["split"] for t in tables) == {"train": 8, "dev": 4}
        assert {t["kind"] for t in tables} == {suite}
    assert (len(made["self"]), len(made["integrity"])) == (8, 8)
    assert [name.rpartition("-")[2] for name in made["smoke"]] == [*suites.SCORED]


def test_a_whole_set_is_small(made: dict[str, dict[str, Files]]) -> None:
    for tasks in made.values():
        for name, files in tasks.items():
            assert sum(len(f.data) for p, f in files.items() if p.startswith("environment/")) < 700_000, name
            assert len(files["instruction.md"].data) < 3_000, name


@pytest.mark.parametrize("suite", ["locate", "history", "shell", "smoke"])
def test_an_answer_does_not_stand_in_what_the_agent_sees(
    suite: str, made: dict[str, dict[str, Files]]
) -> None:
    for name, files in made[suite].items():
        seen = b"".join(
            f.data for p, f in files.items() if p.startswith("environment/") or p == "instruction.md"
        )
        for check in json.loads(files["tests/checks.json"].data)["checks"]:
            answers = [a for a, credit in check.get("accept", {}).items() if credit == 1.0 and len(a) > 7]
            hard = [a for a in answers if ":" in a or re.fullmatch("[0-9a-f]{40}", a)]
            assert not any(a.encode() in seen for a in hard), (name, check["id"])


def test_quick_is_made_of_the_suites_own_tasks() -> None:
    quick = open_benchmark("quick").tasks()
    assert len(quick) == 24
    assert Counter(task.kind for task in quick) == dict.fromkeys(suites.SCORED, 3)
    assert {task.level for task in quick} == {1, 2, 3}
    whole = {task.digest for task in open_benchmark("edit").tasks()}
    assert {task.digest for task in quick if task.kind == "edit"} <= whole


def test_a_suite_lies_in_its_folder_as_it_was_made(made: dict[str, dict[str, Files]]) -> None:
    place = open_benchmark("self").root
    for name, files in made["self"].items():
        assert {path: p.read_bytes() for path, p in task_files(place / name)} == {
            p: f.data for p, f in files.items()
        }


@pytest.mark.parametrize("suite", [*suites.COUNTS])
def test_the_judge_that_harbor_runs_says_the_same_of_nothing_and_of_the_reference(
    suite: str, tmp_path: Path
) -> None:
    root = open_benchmark(suite).root
    task = min(path for path in root.iterdir() if path.is_dir())
    app = workspace_of(task, tmp_path)
    judge = next(
        task / "tests" / name for name in ("judge.py", "run.py") if (task / "tests" / name).is_file()
    )
    solution = shutil.copytree(task / "solution", tmp_path / "solution")

    def reward() -> float:
        out = tmp_path / "reward.json"
        environ = environment(tmp_path, REWARD_FILE=str(out), PYTHONDONTWRITEBYTECODE="1")
        subprocess.run([sys.executable, str(judge)], cwd=app, env=environ, check=True, timeout=120)
        return float(json.loads(out.read_text())["reward"])

    assert reward() == 0.0
    subprocess.run(["bash", str(solution / "solve.sh")], cwd=app, check=True, timeout=60)
    assert reward() == 1.0


def test_bench_make_writes_a_suite_once_and_says_how(tmp_path: Path) -> None:
    project = tmp_path / "a b"
    project.mkdir()
    done = sica(project, "bench", "make", "self", "--seed", "7", "--to", "tasks/own", "--json")
    assert done.code == 0, done.err
    told = json.loads((project / "tasks" / "own" / "manifest.json").read_text())
    assert told == {key: value for key, value in done.json.items() if key != "folder"}
    assert (told["suite"], told["seed"], len(told["tasks"])) == ("self", 7, 8)
    before = sorted(p.name for p in (project / "tasks").iterdir())
    again = sica(project, "bench", "make", "self", "--seed", "8", "--to", "tasks/own")
    assert (again.code, "there is something already" in again.err) == (2, True)
    assert sorted(p.name for p in (project / "tasks").iterdir()) == before == ["own"]
    for nowhere in ("tasks/own/manifest.json/x", "/proc/x"):
        done = sica(project, "bench", "make", "smoke", "--seed", "8", "--to", nowhere)
        assert (done.code, "no folder can be made there" in done.err) == (2, True), done.err
    spaced = sica(project, "bench", "make", "smoke", "--seed", "8", "--to", "two words")
    assert spaced.err.splitlines()[-1] == "Next:  sica bench check 'two words'"


@pytest.mark.parametrize("words", [("sefl", None), ("edit", 0), ("edit", 10**6), ("quick", 3)])
def test_what_cannot_be_made_is_said(words: tuple[str, int | None]) -> None:
    with pytest.raises(UsageError):
        next(suites.make(words[0], 1, words[1]))
