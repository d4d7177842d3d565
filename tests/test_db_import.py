"""sica db import: what another archive measured of the same code is not measured again."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Project, sica

from sica.model import Setting

OTHER = Setting("another-model", "box:1")


@pytest.fixture
def two(tmp_path: Path) -> tuple[Project, Project]:
    """The same seed in both; there it was measured on eight tasks, here on two of them; each has a child of its own."""
    here, there = Project.make(tmp_path / "here"), Project.make(tmp_path / "there ü")
    mine = here.agent("print(0)\n", subject="seed: plain")
    here.trials(mine, [1, 0])
    here.agent("print(1)\n", mine, subject="mine")
    theirs = there.agent("print(0)\n", subject="seed: the same code, another commit")
    there.trials(theirs, [0, 0, 1, 1, 1, 1, None, 1])
    child = there.agent("print(2)\n", theirs, subject="theirs")
    there.trials(child, [1, 1, 1])
    return here, there


def test_what_is_new_is_taken_and_what_is_known_stays(two: tuple[Project, Project]) -> None:
    here, there = two
    dry = sica(here.folder, "db", "import", str(there.folder), "--dry-run")
    assert dry.code == 0, dry.err
    assert sica(here.folder, "show", "0", "--json").json["n"] == 2
    ran = sica(here.folder, "db", "import", "../there ü")
    assert ran.out == "5 trials taken from there ü, for 1 agent; 2 known here, 3 of code that is not here\n"
    assert dry.out == ran.out.replace("taken", "would be taken")
    trials = {t["task"]: t["score"] for t in sica(here.folder, "show", "0", "--json").json["trials"]}
    assert trials["core/task-0"] == 1.0  # as it was measured here
    assert len(trials) == 7
    assert "reused     5 of 7 trials: 5 measured in there ü" in sica(here.folder, "show", "0").out
    assert "5 trials measured in another archive" in sica(here.folder, "log").out
    again = sica(here.folder, "db", "import", str(there.folder / ".sica"), "--json").json
    assert (again["fresh"], again["known"], again["schema"]) == (0, 7, "sica.db.import/1")
    assert sica(here.folder, "db", "check").code == 0
    before = sica(here.folder, "show", "0", "--json").json
    assert sica(here.folder, "db", "rebuild").code == 0
    assert sica(here.folder, "show", "0", "--json").json == before


def test_other_conditions_are_taken_but_never_mixed(two: tuple[Project, Project]) -> None:
    here, there = two
    (seed, *_) = there.repo.agents()
    there.trials(seed, [0] * 8, setting=OTHER)
    assert sica(here.folder, "db", "import", str(there.folder)).code == 0
    for under, n in (("offline", 7), ("another-model", 8)):
        assert sica(here.folder, "show", "0", "--under", under, "--json").json["n"] == n


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("../nowhere", "there is no archive at"),
        (".", "is this project's own archive"),
        ("notes.txt", "not a database"),
    ],
)
def test_what_is_no_archive_is_refused(two: tuple[Project, Project], source: str, said: str) -> None:
    here, _ = two
    (here.folder / "notes.txt").write_text(
        "no database, but longer than a header of one would have to be" * 9
    )
    ran = sica(here.folder, "db", "import", source)
    assert ran.code in (1, 2, 6)
    assert said in ran.err
    assert "Traceback" not in ran.err
