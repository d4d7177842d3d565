"""improve: one child at a person's request, with everything real."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import family, sica
from conftest import MANIFEST, SKILLED, write_task

BOXES = {"SICA_SANDBOX": "bubblewrap"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An agent that does the gate's tasks by rote, and when it is to improve does what the hint says."""
    agent = tmp_path / "my agent"
    agent.mkdir()
    (agent / "agent.toml").write_text(MANIFEST)
    hears = 'if "raise the skill" in told:\n    STEP = 7\n'
    (agent / "main.py").write_text(SKILLED.replace("if told.startswith", f"{hears}if told.startswith"))
    tasks = tmp_path / "tasks"

    write_task(tasks, "one", 1)
    folder = tmp_path / "p"
    folder.mkdir()
    ran = sica(folder, "init", "--agent", str(agent), "--bench", str(tasks))
    assert ran.code == 0, ran.err
    return folder


def test_one_child_is_made_with_the_request_in_its_brief(project: Path) -> None:
    gate = {**BOXES, "SICA_SMOKE": str(project.parent / "tasks")}
    ran = sica(project, "improve", "0", "--hint", "Please raise the skill by seven.", "--json", env=gate)
    assert ran.code == 0, ran.err
    made = ran.json
    assert (made["schema"], made["parent"], made["child"], made["passed"]) == ("sica.improve/1", 0, 1, True)
    assert made["subject"] == "raise the skill by 7"
    assert "SKILL = 8" in sica(project, "git", "show", "agent/1:main.py").out
    log = {a["agent"]: a for a in sica(project, "log", "--json").json["agents"]}
    assert log[1]["parents"] == [0]
    assert sica(project, "best", "--json").json["agent"] == 0  # nobody is promoted


def test_what_cannot_be_improved_says_why(tmp_path: Path) -> None:
    shop = family(tmp_path / "p")
    ran = sica(shop.folder, "improve", "2", env=BOXES)
    assert (ran.code, "agent/2 was rejected: does not start" in ran.err) == (2, True)
    ran = sica(shop.folder, "improve", "best", "--hint", "  ", env=BOXES)
    assert (ran.code, "empty --hint" in ran.err) == (2, True)
    shop.ledger.close()
