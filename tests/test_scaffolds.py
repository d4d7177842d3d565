"""The two reference scaffolds: they do what each of them can with the offline model, and differ where access does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from loopback import ROOT, door, reward, run_agent, workspace_of

from sica.benchmarks import open_benchmark
from sica.contract import manifest
from sica.gateways.offline import OfflineGateway
from sica.model import File
from sica.ports import Asked

SCAFFOLDS = ROOT / "benchmarks" / "scaffolds"


def scored(scaffold: str, suite: str, start: str, folder: Path) -> float:
    """What the scaffold earns on the suite's task whose name begins so."""
    root = open_benchmark(suite).root
    (task,) = root.glob(f"{start}*")
    place = folder / scaffold
    place.mkdir()
    app = workspace_of(task, place)
    with door() as opened:
        done = run_agent(SCAFFOLDS / scaffold, app, (task / "instruction.md").read_text(), opened.url)
    assert done.returncode == 0, done.stderr
    return reward(task, app, place)


@pytest.mark.parametrize(
    ("suite", "task", "bare", "bash"),
    [
        ("edit", "edit-1a", 1.0, 1.0),  # a small file: one answer holds it
        (
            "edit",
            "edit-3a",
            0.5,
            1.0,
        ),  # two of 2,000 lines: one answer holds one, but a place can be changed in both
        ("locate", "locate-1a", 1.0, 1.0),
        ("shell", "shell-1a", 0.0, 1.0),  # nothing of the answer stands anywhere before it is run
        ("history", "history-1a", 0.0, 1.0),
    ],
)
def test_what_a_shell_is_worth(suite: str, task: str, bare: float, bash: float, tmp_path: Path) -> None:
    assert (scored("bare", suite, task, tmp_path), scored("bash", suite, task, tmp_path)) == (bare, bash)


@pytest.mark.parametrize(("scaffold", "cannot"), [("bare", {"shell", "history"}), ("bash", set())])
def test_the_gate_lets_scaffolds_through_whatever_they_are_asked(
    scaffold: str, cannot: set[str], tmp_path: Path
) -> None:
    """The best of five of tasks of which an agent without a shell fails two."""
    failed = set()
    for name in open_benchmark("smoke").paths():
        (folder := tmp_path / name).mkdir()
        if scored(scaffold, "smoke", name, folder) < 1:
            failed.add(name.rpartition("-")[2])
    assert failed == cannot


@pytest.mark.parametrize("name", ["bare", "bash"])
def test_a_scaffold_is_an_agent(name: str) -> None:
    tree = {path.name: File(path.read_bytes()) for path in (SCAFFOLDS / name).iterdir() if path.is_file()}
    assert manifest(tree).name == name


def test_in_mind_it_sees_the_message_and_answers_with_whole_files() -> None:
    files = '<file path="a.txt">\none\nthree\n</file>\n<file path="b.txt">\none\n</file>'
    message = f"In `a.txt`, replace `one` by `two`.\n{files}"
    request = {"messages": [{"role": "user", "content": message}]}
    said = OfflineGateway().complete(Asked(request, "work", 0, 0, 60.0))["choices"][0]["message"]["content"]
    assert '<file path="a.txt">\ntwo\nthree\n</file>' in said
    assert "b.txt" not in said


def _measuring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaffolds", ROOT / "benchmarks" / "scaffolds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_shows_means_with_intervals_and_the_lift() -> None:
    bare = {f"t{n}": [0.0] for n in range(12)}
    bash = {f"t{n}": [float(n < 9)] for n in range(12)}
    lines = _measuring().table({"edit": {"bare": bare, "bash": bash}}, ["bare", "bash"]).splitlines()
    assert lines[2] == "| edit | 0.0% ±12 | 75.0% ±22 | +75.0% | 0.004 |"
    assert lines[3] == "| mean of suites | 0.0% | 75.0% | +75.0% |  |"


def test_the_table_of_the_document_is_of_these_suites_and_agents() -> None:
    text = (ROOT / "docs" / "suites.md").read_text()
    rows = [
        line.split("|")[1].strip()
        for line in text.partition("## What separates")[2].splitlines()
        if line.startswith("| ")
    ]
    assert rows[:1] == ["suite"]
    assert set(rows[2:]) == {
        "edit",
        "locate",
        "fix",
        "spec",
        "refactor",
        "shell",
        "history",
        "perf",
        "mean of suites",
    }
