"""The reading commands on a real archive, as processes."""

from __future__ import annotations

import json
import os
import pty
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import ROOT, Project, environment, family, sica

from sica.ledger import SqliteLedger
from sica.model import Agent, File, Message, Setting, Verdict


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return family(tmp_path_factory.mktemp("p") / "with space and ünïcode")


def test_log_draws_the_lineage(project: Project) -> None:
    ran = sica(project.folder, "log")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("○    agent/4  37.5% ±")
    assert "crossover of 3 and 1" in lines[0]
    assert lines[1] == "├─╮"
    assert next(line for line in lines if "◆" in line).endswith(
        "run the tests evil before submitting  [best]"
    )
    assert next(line for line in lines if "×" in line).endswith("does not start: SyntaxError")
    assert "core, n=7 to 8" in lines[-1]


def test_log_from_a_folder_below(project: Project) -> None:
    below = project.folder / "src" / "deep"
    below.mkdir(parents=True, exist_ok=True)
    assert sica(below, "log", "--plain").out == sica(project.folder, "log", "--plain").out


def test_log_as_json_has_one_record_an_agent(project: Project) -> None:
    found = sica(project.folder, "log", "--json").json
    assert (found["schema"], found["benchmark"], found["best"]) == ("sica.log/1", "core", 3)
    assert [a["agent"] for a in found["agents"]] == [4, 3, 2, 1, 0]
    three = found["agents"][1]
    assert {"commit", "tree", "parents", "status", "score", "low", "high", "n", "cost_usd", "subject"} <= set(
        three
    )
    assert (three["parents"], three["score"], three["n"], three["best"]) == ([1], 0.875, 8, True)
    assert three["cost_usd"] == pytest.approx(0.25 + 8 * 0.01)
    assert found["agents"][2]["status"] == "rejected"
    assert found["agents"][0]["parents"] == [3, 1]


def test_nothing_an_agent_wrote_steers_the_terminal(project: Project) -> None:
    for args in (["log"], ["log", "--json"], ["log", "--plain"], ["show", "3"], ["diff", "3"], ["best"]):
        out = sica(project.folder, *args).out
        assert "\u202e" not in out, args
        assert "\x1b" not in out, args


@pytest.mark.parametrize(
    ("args", "agents"),
    [
        (["--best-path"], [3, 1, 0]),
        (["--of", "1"], [4, 3, 1, 0]),
        (["--failed"], [2]),
        (["-n", "2"], [4, 3]),
        (["--sort", "score"], [3, 4, 1, 0, 2]),
        (["--all"], [4, 3, 2, 1, 0]),
    ],
)
def test_log_shows_what_is_asked_for(project: Project, args: list[str], agents: list[int]) -> None:
    ran = sica(project.folder, "log", *args, "--format", "{agent}")
    assert [int(line) for line in ran.out.split()] == agents


def test_an_unknown_field_is_named(project: Project) -> None:
    ran = sica(project.folder, "log", "--format", "{scroe}")
    assert ran.code == 2
    assert "no field called 'scroe'" in ran.err
    assert "did you mean 'score'?" in ran.err


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("3", 3),
        ("agent/3", 3),
        ("best", 3),
        ("best^", 1),
        ("3~2", 0),
        ("4^2", 1),
        ("4^0", 4),
        ("v1", 0),
        ("main", 3),
    ],
)
def test_agents_have_many_names(project: Project, name: str, number: int) -> None:
    sica(project.folder, "git", "tag", "-f", "v1", "agent/0")
    ran = sica(project.folder, "show", name, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["agent"] == number


def test_a_hash_names_an_agent(project: Project) -> None:
    commit = sica(project.folder, "log", "--format", "{commit}", "-n", "1").out.strip()
    assert sica(project.folder, "show", commit[:9], "--json").json["agent"] == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("9", "no agent called '9'; there are: agent/0, agent/1"),
        ("agent/33", "no agent called 'agent/33'"),
        ("0^", "agent/0 has no parent"),
        ("3^2", "agent/3 has only 1 parent"),
        ("ffffffff", "no agent called 'ffffffff'"),
        ("--upload-pack=x", "No such option"),
    ],
)
def test_a_wrong_name_says_what_there_is(project: Project, name: str, words: str) -> None:
    ran = sica(project.folder, "show", name)
    assert ran.code == 2
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_show_tells_everything(project: Project) -> None:
    out = sica(project.folder, "show", "3", "--tasks").out
    assert "87.5%" in out
    assert "n=8 core, 7 solved" in out
    assert "best" in out
    assert "agent/1  +71.4 (5 gained, 0 lost, p 0.062: not separable)" in out
    assert "since 0    +75.0 [+32.2, +100.0] (6 gained, 0 lost, p 0.031: separable)" in out
    assert "interval   95%, Wilson over 8 tasks" in out
    assert "1 file changed" in out
    assert out.count("task-") >= 8


def test_diff_shows_score_tasks_and_code(project: Project) -> None:
    out = sica(project.folder, "diff", "0", "3").out
    assert "12.5% → 87.5%   +75.0   6 gained, 0 lost, 2 same   p 0.031 (exact McNemar)" in out
    assert "separable: 95% interval of the difference [+" in out
    assert "gained (6)  task-1" in out
    assert "-print(0)" in out
    assert "+print(3)" in out


def test_diff_of_one_agent_is_against_its_parent(project: Project) -> None:
    found = sica(project.folder, "diff", "3", "--json").json
    assert (found["old"], found["new"]) == (1, 3)
    assert sica(project.folder, "diff", "0").code == 2


def test_code_and_tasks_alone(project: Project) -> None:
    assert "gained" not in sica(project.folder, "diff", "3", "--code").out
    assert "print" not in sica(project.folder, "diff", "3", "--tasks").out


def test_compare_uses_the_tasks_that_all_have(project: Project) -> None:
    found = sica(project.folder, "compare", "0", "1", "3", "--json").json
    assert found["n_tasks"] == 7  # agent/1 has a fault on the eighth
    assert [a["score"] for a in found["agents"]] == [pytest.approx(1 / 7), pytest.approx(2 / 7), 1.0]
    assert found["better"] is True
    assert sica(project.folder, "compare", "0", "3", "--exit-code").code == 0
    assert sica(project.folder, "compare", "0", "1", "--exit-code").code == 5
    assert "paired tasks are needed" in sica(project.folder, "compare", "0", "1").out


def test_compare_of_agents_without_a_task_in_common_says_what_each_has(project: Project) -> None:
    ran = sica(project.folder, "compare", "0", "2")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[1:] == [
        "agent/0    8 tasks measured",
        "agent/2    0 tasks measured   sica eval 2 --bench core",
    ]
    assert sica(project.folder, "compare", "0", "2", "--json").json["n_tasks"] == 0


def test_best_by_several_measures(project: Project) -> None:
    assert sica(project.folder, "best").out.startswith("agent/3  87.5%")
    assert sica(project.folder, "best", "--by", "score", "--json").json["agent"] == 3
    assert "did you mean 'score'?" in sica(project.folder, "best", "--by", "scor").err


def test_trace_without_one_says_so(project: Project) -> None:
    ran = sica(project.folder, "trace", "3", "task-1")
    assert (ran.code, "no trace was kept" in ran.err) == (2, True)
    ran = sica(project.folder, "trace", "3", "task-99")
    assert ran.code == 2
    assert "there are: task-0, task-1" in ran.err


def test_git_runs_on_the_store(project: Project) -> None:
    ran = sica(project.folder, "git", "log", "--oneline", "--branches", "--", "main.py")
    assert ran.code == 0
    assert "crossover of 3 and 1" in ran.out
    assert sica(project.folder, "git", "cat-file", "-e", "0" * 40).code != 0


# ── the terminal ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("env", "args", "coloured"),
    [
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"CLICOLOR_FORCE": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({}, ["--color", "always"], True),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
    ],
)
def test_colours_are_the_users_choice(
    project: Project, env: dict[str, str], args: list[str], coloured: bool
) -> None:
    assert ("\x1b[" in sica(project.folder, *args, "log", env=env).out) == coloured


def test_a_terminal_without_unicode_gets_ascii(project: Project) -> None:
    ran = sica(project.folder, "log", env={"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert ran.code == 0, ran.err
    assert ran.out.isascii()
    assert "*    agent/3" in ran.out or "* |  agent/3" in ran.out


def test_a_reader_that_goes_away_is_no_error(project: Project) -> None:
    command = f"{shlex.quote(sys.executable)} -m sica log --json | head -c 1"
    ran = subprocess.run(
        ["bash", "-c", command],
        cwd=project.folder,
        env=environment(project.folder.parent),
        capture_output=True,
    )
    assert (ran.stdout, ran.stderr) == (b"{", b"")


def test_help_and_log_load_nothing_heavy(project: Project) -> None:
    heavy = {"pydantic", "litellm", "docker", "git", "dulwich", "sqlite_utils", "rich", "aiohttp"}
    for args in (["--help"], ["log"], ["log", "--json"], ["compare", "0", "3"]):
        ran = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "sica", *args],
            cwd=project.folder,
            env=environment(project.folder.parent),
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
        assert not heavy & loaded, args
        assert ("typer" in loaded) == (args != ["--help"]), "this test sees what is loaded"


def test_a_person_at_a_terminal_gets_the_pager(project: Project) -> None:
    master, slave = pty.openpty()
    env = environment(project.folder.parent, TERM="xterm", SICA_PAGER="sed s/^/paged:/")
    command = [sys.executable, "-m", "sica", "log"]
    process = subprocess.Popen(command, cwd=project.folder, env=env, stdout=slave, stdin=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:
        pass  # how Linux says that the other end is closed
    os.close(master)
    assert process.wait(timeout=60) == 0
    lines = shown.decode().splitlines()
    assert all(line.startswith("paged:") for line in lines)
    assert any("\x1b[" in line for line in lines)  # a terminal, so in colour


def test_the_shell_completes_agents_with_score_and_summary(project: Project) -> None:
    env = {"_SICA_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "sica show agent/"}
    out = sica(project.folder, env=env).out
    assert "agent/3" in out
    assert "87.5%  run the tests evil before submitting" in out
    env = {"_SICA_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "sica ev"}
    out = sica(project.folder, env=env).out
    assert "evolve" in out
    assert "Measure agents on a benchmark" in out


# ── the database ──────────────────────────────────────────────────────────────────────────────────


def test_a_rebuild_from_git_loses_nothing(tmp_path: Path) -> None:
    project = family(tmp_path / "p")
    before = sica(project.folder, "log", "--plain").out
    ran = sica(project.folder, "db", "rebuild")
    assert ran.code == 0, ran.err
    assert "5 agents, 32 trials" in ran.out
    assert sica(project.folder, "log", "--plain").out == before
    assert "healthy: 5 agents" in sica(project.folder, "db", "check").out


def test_rulings_stand_beside_what_people_said_and_held_out_tasks_stay_unseen(tmp_path: Path) -> None:
    project = family(tmp_path / "p")
    line = {"v": 1, "kind": "ruling", "at": 5.0, "by": "guard: repeats", "action": "notice", "of": "trial"}
    text = "nothing new\x1b[2J"
    ruled = [
        {**line, "task": "core/t1", "split": "train", "span": "main/coder-1", "text": text},
        {**line, "at": 6.0, "task": "core/secret", "split": "heldout", "text": "saw the secret"},
    ]
    seed = next(iter(project.repo.agents()))
    assert sica(project.folder, "review", "0", "--comment", "keep an eye on it").code == 0
    project.repo.annotate({}, {}, {seed.commit: [json.dumps(r) for r in ruled]})
    said = sica(project.folder, "review", "0").out.splitlines()
    assert said[0].startswith("notice   guard: repeats  ")
    assert said[0].endswith("core/t1 (main/coder-1): nothing new")
    assert said[1].endswith("trial: held out: not shown") and "keep an eye on it" in said[2]
    shown = sica(project.folder, "show", "0")
    assert "keep an eye on it" in shown.out
    assert "overseen   2 notice by guard: repeats   sica review 0" in shown.out
    assert "secret" not in shown.out + "".join(said) + sica(project.folder, "show", "0", "--json").out


def test_an_agent_that_git_has_without_a_row_is_found(tmp_path: Path) -> None:
    project = family(tmp_path / "p")
    project.repo.add({"a": File(b"x")}, [], Message("stray"))
    ran = sica(project.folder, "db", "check")
    assert (ran.code, "agent/5 is in git without a row" in ran.out) == (1, True)


def test_a_damaged_database_says_how_to_mend_it(tmp_path: Path) -> None:
    project = family(tmp_path / "p")
    project.ledger.close()
    (project.folder / ".sica" / "sica.db").write_bytes(
        b"this is no database at all, but long enough to be read"
    )
    ran = sica(project.folder, "log")
    assert ran.code == 1
    assert "sica db rebuild" in ran.err
    assert "Traceback" not in ran.err


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    project = family(tmp_path / "p")
    project.ledger.close()
    with sqlite3.connect(project.folder / ".sica" / "sica.db") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    ran = sica(project.folder, "log")
    assert (ran.code, "use the newer sica" in ran.err) == (1, True)


def test_ten_thousand_agents(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Rows only: what git would hold is not needed by the log."""
    store = tmp_path / "p" / ".sica"
    store.mkdir(parents=True)
    (store / "agents.git").mkdir()
    agents = [
        Agent(n, f"{n:040x}", f"{n:040x}", (f"{(n - 1) // 3:040x}",) if n else (), f"change {n}")
        for n in range(10_000)
    ]
    with SqliteLedger.open(store / "sica.db") as ledger:
        ledger.reconcile(agents)
        ledger.record(Verdict(agents[0].commit, True, ""))
    start = time.perf_counter()
    ran = sica(tmp_path / "p", "log", "--json")
    record_property("log --json, seconds", time.perf_counter() - start)
    assert [a["agent"] for a in ran.json["agents"]] == list(range(9_999, -1, -1))
    start = time.perf_counter()
    lines = sica(tmp_path / "p", "log", "--all").out.splitlines()
    record_property("log --all, seconds", time.perf_counter() - start)
    assert sum("agent/" in line for line in lines) == 10_000
    short = sica(tmp_path / "p", "log").out.splitlines()
    assert any(line.strip("│ ") == "~  9,989 agents (--all)" for line in short)


# ── documentation ─────────────────────────────────────────────────────────────────────────────────


def test_the_documented_command_line_is_the_real_one(tmp_path: Path) -> None:
    made = sica(tmp_path, "help", "--markdown")
    assert made.code == 0, made.err
    assert (ROOT / "docs" / "cli.md").read_text() == made.out, "run: sica help --markdown > docs/cli.md"


def test_scores_of_two_settings_are_never_averaged(tmp_path: Path) -> None:
    project = family(tmp_path / "project")
    older = sica(project.folder, "log", "--json").json
    assert older["setting"] == {"model": "offline", "image": "box:1"}
    project.trials(project.ledger.agents()[0], [1, 1, 1, 1], setting=Setting("other", "box:2"))
    newer = sica(project.folder, "log", "--json").json
    assert newer["setting"] == {"model": "other", "image": "box:2"}
    assert [(a["agent"], a["score"], a["n"]) for a in newer["agents"] if a["n"]] == [(0, 1.0, 4)]
    assert sica(project.folder, "log", "--json", "--under", "OFFLINE").json == older
    assert "other in box:2; 1 other setting, see --under" in sica(project.folder, "log").out
    assert sica(project.folder, "show", "0", "--json", "--under", "box:1").json["n"] == 8
    wrong = sica(project.folder, "log", "--under", "gpt")
    assert wrong.code == 2
    assert "gpt" in wrong.err
    assert "offline in box:1" in wrong.err


def test_help_at_once_says_what_typer_says(tmp_path: Path) -> None:
    whole = sica(tmp_path, "--pager", "--help")
    assert whole.out == (ROOT / "sica" / "cli" / "help.txt").read_text(), (
        "run: sica --pager --help > sica/cli/help.txt"
    )
    for asked in ("--help", "-h"):
        assert sica(tmp_path, asked) == whole
    assert sica(tmp_path, "--help", env={"COLUMNS": "50"}).out != whole.out, "narrow terminals are typer's"
