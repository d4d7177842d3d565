"""Held-out tasks: drawn by hash, or made of a seed that follows from a seal and an agent's tree."""

from __future__ import annotations

import json
import time
import tomllib
from pathlib import Path

import pytest
from commands import Project, sica
from hypothesis import given
from hypothesis import strategies as st

from sica import heldout

SUITE = ("bench", "make", "edit", "--count", "4")


def splits(folder: Path) -> dict[str, str]:
    tables = {path.parent.name: tomllib.loads(path.read_text()) for path in folder.glob("*/task.toml")}
    return {name: table["metadata"]["sica"]["split"] for name, table in tables.items()}


@given(st.lists(st.text(), unique=True, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_what_a_smaller_one_held(items: list[str], one: float, other: float) -> None:
    small, large = (
        {i for i in items if heldout.drawn(i, share) == "heldout"} for share in sorted((one, other))
    )
    assert small <= large
    assert {heldout.drawn(i, 0.0) for i in items} <= {"train"}
    assert {heldout.drawn(i, 1.0) for i in items} <= {"heldout"}


def test_about_that_share_is_held_out() -> None:
    drawn = [heldout.drawn(f"task {n}", 0.3, 0.2) for n in range(2000)]
    assert 540 < drawn.count("heldout") < 660
    assert 340 < drawn.count("dev") < 460


def test_a_made_suite_says_which_of_its_tasks_are_held_out(tmp_path: Path) -> None:
    for share, to in (("0", "all"), ("0.5", "half"), ("1", "none")):
        made = sica(tmp_path, *SUITE, "--seed", "5", "--heldout", share, "--to", to)
        assert made.code == 0, made.err
    assert "heldout" not in splits(tmp_path / "all").values()
    held = {name for name, split in splits(tmp_path / "half").items() if split == "heldout"}
    assert held == {n for n in splits(tmp_path / "half") if heldout.drawn(f"edit:5:{n}", 0.5) == "heldout"}
    assert {*splits(tmp_path / "none").values()} == {"heldout"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "a project")


def test_a_seal_is_published_before_and_proves_the_suite_after(project: Project) -> None:
    folder = project.folder
    project.agent("print(0)\n", subject="seed: plain")
    sealed = sica(folder, "bench", "seal", "--json").json["seal"]
    salts = folder / ".sica" / "seals"
    assert [path.name for path in salts.iterdir()] == [sealed]
    assert (salts / sealed).stat().st_mode & 0o077 == 0
    salt = (salts / sealed).read_text()
    log = sica(folder, "git", "log", "--format=%B", f"refs/sica/seals/{sealed}").out
    assert sealed in log
    assert salt not in log, "nobody learns it before"
    child = project.agent("print(1)\n", next(project.repo.agents()), subject="better")

    made = sica(folder, *SUITE, "--sealed", "--agent", "1", "--to", "unseen")
    assert made.code == 0, made.err
    told = json.loads((folder / "unseen" / "manifest.json").read_text())
    assert (told["seal"], told["tree"]) == (sealed, child.tree)
    assert told["seed"] == heldout.seed(salt, child.tree, "edit")
    assert salt not in (folder / "unseen" / "manifest.json").read_text()
    assert {*splits(folder / "unseen").values()} == {"heldout"}

    proof = sica(folder, "bench", "unseal", "unseen", "--json")
    assert proof.code == 0, proof.out
    assert (proof.json["salt"], proof.json["tree"], proof.json["agent"]) == (salt, child.tree, "agent/1")
    assert all(proof.json["checks"].values())
    assert project.repo.seals()[0].salt == salt, "it is public now"
    again = sica(folder, *SUITE, "--sealed", "--agent", "1", "--to", "again")
    assert (again.code, "no closed seal" in again.err) == (2, True)

    task = next((folder / "unseen").glob("*/instruction.md"))
    task.write_text(task.read_text() + "\n")
    forged = sica(folder, "bench", "unseal", "unseen")
    assert forged.code == 1
    assert "NO  the tasks are what the seed gives" in forged.out
    told["seed"] += 1
    (folder / "unseen" / "manifest.json").write_text(json.dumps(told))
    assert "NO  the seed follows from salt and tree" in sica(folder, "bench", "unseal", "unseen").out


def test_an_agent_that_was_there_before_the_seal_cannot_be_measured_by_it(project: Project) -> None:
    agent = project.agent("print(0)\n", subject="seed: plain")
    while time.time() < agent.created + 1:
        time.sleep(0.05)  # git's clock has whole seconds
    assert sica(project.folder, "bench", "seal").code == 0
    ran = sica(project.folder, *SUITE, "--sealed", "--agent", "0", "--to", "x")
    assert (ran.code, "agent/0 is older than every closed seal" in ran.err) == (2, True), ran.err
    assert not (project.folder / "x").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "x"), "--seed is missing"),
        (("--seed", "1", "--sealed", "--to", "x"), "takes its seed from the seal"),
        (("--sealed", "--to", "x"), "no closed seal"),
    ],
)
def test_what_does_not_go_together_is_said(project: Project, words: tuple[str, ...], said: str) -> None:
    project.agent("print(0)\n", subject="seed: plain")
    ran = sica(project.folder, *SUITE, *words)
    assert (ran.code, said in ran.err) == (2, True), ran.err
