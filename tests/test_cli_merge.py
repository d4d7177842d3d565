"""sica merge: real processes, real boxes, an agent that needs no model."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Ran, sica
from conftest import write_task
from test_merge import TAKE_LARGER, code

from sica.ledger import SqliteLedger
from sica.model import Agent, Files, Message, Verdict
from sica.repo import GitRepo

BOXES = {"SICA_SANDBOX": "bubblewrap", "SICA_WORKERS": "2"}


def write(files: Files, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, file in files.items():
        (folder / name).write_bytes(file.data)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Four agents: a seed that solves level 1, and three children; of these, 2 and 3 changed the same line."""
    folder = tmp_path / "a project"
    for level in (1, 2, 3):
        write_task(folder / "toy", f"level{level}", level)
    write_task(folder / "gate", "starts", 1)
    write(code(), folder / "agent")
    ran = sica(folder, "init", "--agent", "agent", "--bench", "toy")
    assert ran.code == 0, ran.err
    assert sica(folder, "config", "set", "smoke", "gate").code == 0
    repo = GitRepo.open(folder / ".sica" / "agents.git")
    (seed,) = repo.agents()
    children = (code(two=1), code(one=2), code(one=3, resolve=TAKE_LARGER))
    agents = [seed, *(repo.add(files, [seed], Message(f"change {n}")) for n, files in enumerate(children))]
    with SqliteLedger.open(folder / ".sica" / "sica.db") as ledger:
        ledger.reconcile(agents)
        for agent in agents:
            ledger.record(Verdict(agent.commit, True, "", started=float(agent.number)))
    return folder


def agents(folder: Path) -> list[Agent]:
    return list(GitRepo.open(folder / ".sica" / "agents.git").agents())


def merge(folder: Path, *args: str) -> Ran:
    return sica(folder, "merge", *args, env=BOXES)


def test_both_changes_are_in_one_child_and_the_same_command_again_only_says_so(project: Path) -> None:
    ran = merge(project, "1", "2")
    assert ran.code == 0, ran.err
    assert "agent/1 and agent/2: git puts them together without a conflict" in ran.err
    assert ran.out.startswith("agent/4  100.0%")
    assert "against agent/1  no task in common" in ran.out
    child = agents(project)[4]
    assert child.parents == (agents(project)[1].commit, agents(project)[2].commit)
    again = merge(project, "1", "2", "--json")
    assert again.code == 0, again.err
    assert (again.json["child"], again.json["n"], again.json["score"]) == (4, 3, 1.0)
    assert len(agents(project)) == 5
    assert "├─" in sica(project, "log").out  # two lanes meet
    row = next(r for r in sica(project, "log", "--json").json["agents"] if r["agent"] == 4)
    assert (row["parents"], row["operator"], row["status"]) == ([1, 2], "merge", "evaluated")
    before = sica(project, "log", "--plain").out
    assert sica(project, "db", "rebuild").code == 0
    assert sica(project, "log", "--plain").out == before


def test_an_estimate_says_what_conflicts_and_makes_nothing(project: Path) -> None:
    ran = merge(project, "3", "2", "--estimate")
    assert ran.code == 0, ran.err
    assert "agent/3 and agent/2: agent/3 is to resolve 1 conflict: main.py" in ran.err
    assert "estimate" in ran.err
    told = merge(project, "3", "2", "--estimate", "--json").json
    assert (told["schema"], told["parents"], told["conflicts"]) == ("sica.merge/1", [3, 2], ["main.py"])
    assert len(agents(project)) == 4


def test_a_conflict_that_nobody_resolves_makes_no_child(project: Path) -> None:
    ran = merge(project, "2", "3", "--no-eval")
    assert ran.code == 1
    assert "agent/2 and agent/3 made no child: left conflict markers in main.py" in ran.err
    assert len(agents(project)) == 4
    told = merge(project, "2", "3", "--no-eval", "--json")
    assert told.code == 1
    assert (told.json["child"], told.json["ending"]) == (None, "broken")


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (("1", "1"), "agent/1 and agent/1 are the same code"),
        (("1", "0"), "agent/1 descends from agent/0 and has its changes already"),
        (("0", "1"), "agent/1 descends from agent/0 and has its changes already"),
        (("1", "9"), "no agent called '9'"),
    ],
)
def test_what_cannot_be_merged_is_exit_2_and_costs_nothing(
    project: Path, pair: tuple[str, str], said: str
) -> None:
    ran = merge(project, *pair)
    assert ran.code == 2
    assert said in ran.err
    assert len(agents(project)) == 4
