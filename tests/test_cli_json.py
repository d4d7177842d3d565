"""--json: every reading command prints one object that scripts can rely on, as `sica help json` says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from commands import Project, Ran, family, sica

from sica.report import STATUSES, Row


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Project = family(tmp_path_factory.mktemp("json") / "p")
    (made.folder / "sica.toml").write_text('sandbox = "bubblewrap"\n')
    return made.folder


@pytest.fixture(scope="module")
def documented(project: Path) -> dict[str, set[str]]:
    """Keys by schema, and those of an agent, as the help page has them."""
    lines = sica(project, "help", "json").out.splitlines()
    schemas = {
        found[1]: set(found[2].split())
        for line in lines
        if (found := re.fullmatch(r" {4}(sica\.\S+/\d+) +(.+)", line))
    }
    sections = {
        "agent": "An agent in log, show and best:",
        "difference": "A difference of two agents:",
    }
    return {**schemas, **{name: _keys_below(lines, title) for name, title in sections.items()}}


def _keys_below(lines: list[str], title: str) -> set[str]:
    """The words at the left of a section, which ends where text begins at the margin again."""
    rest = lines[lines.index(title) + 2 :]
    end = next((n for n, line in enumerate(rest) if re.match(r"\S", line)), len(rest))
    named = [re.split(r" {3,}", line.strip())[0] for line in rest[:end] if re.match(r" {4}\w", line)]
    return {word.strip(",") for names in named for word in names.split()}


def one(ran: Ran) -> dict[str, Any]:
    """The one object on stdout, and nothing else."""
    found = json.loads(ran.out)
    assert isinstance(found, dict)
    assert ran.out.count("\n") == 1
    assert "Traceback" not in ran.err
    return found


READING = [
    ("log", 0),
    ("log --all --sort cost", 0),
    ("log --failed", 0),
    ("show 3", 0),
    ("best", 0),
    ("best --by score", 0),
    ("compare 0 1 3", 0),
    ("compare 0 1 --exit-code", 5),
    ("diff 0 3", 0),
    ("diff 3 --stat", 0),
    ("report --no-heldout", 0),
    ("tell list", 0),
    ("review", 0),
    ("review 3", 0),
    ("tasks", 0),
    ("tasks --bench smoke", 0),
    ("bench list", 0),
    ("bench check smoke", 0),
    ("config list", 0),
    ("doctor", 0),
    ("db check", 0),
    ("simulate --policy iid --seeds 2 --budget 9 --jobs 1 --world tasks=4", 0),
]


@pytest.mark.parametrize(("words", "code"), READING, ids=[words for words, _ in READING])
def test_a_reading_command_prints_one_documented_object(
    project: Path, documented: dict[str, set[str]], words: str, code: int
) -> None:
    ran = sica(project, *words.split(), "--json")
    assert ran.code == code, ran
    found = one(ran)
    keys = set(found) - {"schema"}
    prose = {"and", "a", "an", "own", "agent's", "difference's"}
    known = {word.strip(",") for word in documented[found["schema"]]} - prose
    if found["schema"] in ("sica.show/1", "sica.best/1"):
        known |= documented["agent"] - {"body"} if "best" in words else documented["agent"]
    if found["schema"] == "sica.diff/1":
        known |= documented["difference"]
    assert keys == known


def test_an_agent_is_one_record_everywhere(project: Path, documented: dict[str, set[str]]) -> None:
    row = one(sica(project, "log", "--json"))["agents"][1]
    assert set(row) == documented["agent"] - {"body"} == set(Row.__slots__)
    shown = one(sica(project, "show", str(row["agent"]), "--json"))
    best = one(sica(project, "best", "--json"))
    assert {key: shown[key] for key in row} == {key: best[key] for key in row} == row
    compared = one(sica(project, "compare", "0", "3", "--json"))["agents"][1]
    shared = ("agent", "commit", "score", "low", "high", "method", "n", "subject")
    assert {key: compared[key] for key in shared} == {key: row[key] for key in shared}


def test_a_difference_is_one_record_everywhere(project: Path, documented: dict[str, set[str]]) -> None:
    compared = one(sica(project, "compare", "0", "3", "--json"))["agents"][1]
    differs = one(sica(project, "diff", "0", "3", "--json"))
    shared = documented["difference"]
    assert {key: compared[key] for key in shared} == {key: differs[key] for key in shared}
    assert differs["difference_low"] < differs["difference"] == 0.75 < differs["difference_high"]


def test_the_statuses_are_documented(project: Path) -> None:
    page = sica(project, "help", "json").out
    assert all(f"{status}:" in page for status in STATUSES)
    assert {a["status"] for a in one(sica(project, "log", "--json"))["agents"]} <= set(STATUSES)


def test_what_goes_wrong_prints_no_half_object(project: Path) -> None:
    for words in ("show 77", "log --format {scroe}", "compare 0", "tasks --bench nothing"):
        ran = sica(project, *words.split(), "--json" if "format" not in words else "--plain")
        assert (ran.code, ran.out) == (2, ""), ran


def test_what_goes_into_a_pipe_is_not_cut(project: Path) -> None:
    ran = sica(project, "log", "--all", env={"COLUMNS": ""})
    assert "run the tests evil before submitting  [best]" in ran.out
    narrow = sica(project, "log", "--all", env={"COLUMNS": "60"}).out
    assert "…" in narrow
    assert max(len(line) for line in narrow.splitlines() if "agent/" in line) <= 60


# ── the shell ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("sica show ag", ["agent/0", "agent/4"]),
        ("sica evolve --policy ", ["greedy", "sica"]),
        ("sica eval 0 --bench ", ["core", "smoke"]),
        ("sica evolve --sandbox b", ["bubblewrap"]),
        ("sica trace 3 ", ["task-0", "task-7"]),
        ("sica log --sort ", ["score", "cost"]),
        ("sica best --by ", ["champion", "low"]),
        ("sica bench check s", ["smoke"]),
        ("sica config get mod", ["model"]),
        ("sica help e", ["exit-codes"]),
    ],
)
def test_the_shell_completes(project: Path, line: str, choices: list[str]) -> None:
    words = line.split()
    env = {
        "_SICA_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) if line.endswith(" ") else len(words) - 1),
    }
    ran = sica(project, env=env)
    assert set(choices) <= set(ran.out.split()), ran


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_shown_for_every_shell(project: Path, shell: str) -> None:
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # else the shell that runs the tests
    ran = sica(project, "--show-completion", shell, env=env)
    assert ran.code == 0, ran.err
    assert "_SICA_COMPLETE=complete_" + shell in ran.out.replace('"', "")


def test_completion_is_silent_where_there_is_nothing(tmp_path: Path) -> None:
    env = {"_SICA_COMPLETE": "complete_bash", "COMP_WORDS": "sica show ", "COMP_CWORD": "2"}
    ran = sica(tmp_path, env=env)
    assert (ran.out.strip(), ran.err) == ("", "")
