"""evolve, eval, run and trace with everything real: processes, boxes, the broker, the offline model."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from commands import begin, environment, sica

BOXES = {"SICA_SANDBOX": "bubblewrap", "SICA_WORKERS": "2"}


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after one improvement, measured on two tasks."""
    folder = begin(tmp_path_factory.mktemp("p") / "p")
    ran = sica(folder, "evolve", "-n", "1", "--task", "edit-[rs]*", env=BOXES)
    assert ran.code == 0, ran.err
    return folder


def test_evolve_leaves_agents_scores_notes_and_traces(evolved: Path) -> None:
    agents = {a["agent"]: a for a in sica(evolved, "log", "--json").json["agents"]}
    assert set(agents) == {0, 1}
    assert agents[0]["n"] >= 2
    assert agents[1]["parents"] == [0]
    assert sica(evolved, "db", "check").code == 0
    noted = sica(evolved, "git", "notes", "--ref", "sica/score", "show", "agent/0").out
    assert "core" in noted
    before = sica(evolved, "log", "--plain").out
    assert sica(evolved, "db", "rebuild").code == 0
    assert sica(evolved, "log", "--plain").out == before


def test_a_trace_reads_as_a_conversation(evolved: Path) -> None:
    ran = sica(evolved, "trace", "0", "edit-settings")
    assert ran.code == 0, ran.err
    assert "agent/0  core/edit-settings  attempt 0  score" in ran.out
    assert "── user" in ran.out
    assert "── answer 0" in ran.out
    events = [
        json.loads(line) for line in sica(evolved, "trace", "0", "edit-settings", "--json").out.splitlines()
    ]
    assert {"start", "request", "response", "ended"} <= {e["type"] for e in events}
    assert "how it was made" in sica(evolved, "trace", "1").out


def test_what_is_known_is_not_measured_again(evolved: Path) -> None:
    ran = sica(evolved, "eval", "0", "--task", "edit-settings", env=BOXES)
    assert ran.code == 0, ran.err
    assert "Known: 1 of 1." in ran.err
    assert "phase=evaluate" not in ran.err


def test_fresh_attempts_are_new_ones(evolved: Path) -> None:
    found = sica(evolved, "eval", "0", "--task", "edit-settings", "--fresh", "--json", env=BOXES).json
    (agent,) = found["agents"]
    assert agent["n"] == 1
    assert agent["trials"][0]["attempt"] >= 1


def test_eval_judges_for_scripts_and_bisect(evolved: Path) -> None:
    score = sica(evolved, "eval", "0", "--task", "edit-settings", "--json", env=BOXES).json["agents"][0][
        "score"
    ]
    assert score == 1.0
    args = ["eval", "0", "--task", "edit-settings"]
    assert sica(evolved, *args, "--fail-under", "100%", env=BOXES).code == 0
    assert sica(evolved, *args, "--bisect", env=BOXES).code == 0
    assert sica(evolved, "eval", "77", "--task", "edit-settings", "--bisect", env=BOXES).code == 125
    assert sica(evolved, "eval", "HEAD~99", "--bisect", env=BOXES).code == 125


def test_a_score_below_the_floor_is_exit_5_and_bad_for_bisect(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    lazy = tmp_path / "lazy"
    lazy.mkdir()
    (lazy / "agent.toml").write_text(
        'contract = 1\nname = "lazy"\n[run]\nargv = ["python3", "/agent/main.py"]\n'
    )
    (lazy / "main.py").write_text(
        "import os, pathlib, re\n"
        "told = pathlib.Path(os.environ['TASK_INSTRUCTION_FILE']).read_text()\n"
        "print(told)\n"
    )
    assert sica(folder, "init", "--agent", str(lazy)).code == 0
    ran = sica(folder, "eval", "0", "--task", "edit-settings", "--fail-under", "50%", env=BOXES)
    assert ran.code == 5, ran.err
    assert "rejected" in ran.err
    assert sica(folder, "eval", "0", "--task", "edit-settings", "--bisect", env=BOXES).code == 1


def test_events_as_json_lines(evolved: Path) -> None:
    ran = sica(evolved, "evolve", "-n", "0", "--task", "edit-[rs]*", "--json", env=BOXES)
    assert ran.code == 0, ran.err
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert {e["schema"] for e in events} == {"sica.evolve/1"}
    assert (events[-1]["event"], events[-1]["reason"]) == ("stopped", "done")
    assert (events[-1]["why"], events[-1]["continue"]) == ("done", "")


def test_run_keeps_the_users_folder_unless_told(evolved: Path, tmp_path: Path) -> None:
    work = tmp_path / "my work"
    work.mkdir()
    (work / "notes.txt").write_text("draft\n")
    args = ["run", "-p", "Create `hello.txt` with the text `hi`.", "--workdir", str(work), "--agent", "0"]
    ran = sica(evolved, *args, "--json", env=BOXES)
    assert ran.code in (0, 1), ran.err
    assert sorted(p.name for p in work.iterdir()) == ["notes.txt"]
    assert ran.json["applied"] is False
    assert ran.json["trace"].startswith("sha256:")


# ── stopping ──────────────────────────────────────────────────────────────────────────────────────


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    env = environment(folder.parent, **{**BOXES, "SICA_WORKERS": "1"})
    command = [sys.executable, "-m", "sica", "evolve", *args]
    return subprocess.Popen(
        command, cwd=folder, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def read_until(stream: IO[str] | None, words: str) -> str:
    assert stream is not None
    seen = ""
    for line in stream:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} never came:\n{seen}")


def trials(folder: Path) -> list[tuple[str, int]]:
    found = sica(folder, "show", "0", "--json").json["trials"]
    return [(t["task"], t["attempt"]) for t in found]


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    process = start(folder, "-n", "0", "--task", "edit-*")
    read_until(process.stderr, "phase=evaluate")
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "stopping" in rest
    assert "Continue:" in rest
    done = trials(folder)
    assert done
    again = sica(folder, "evolve", "-n", "0", "--task", "edit-*", env=BOXES)
    assert again.code == 0, again.err
    assert "run=r1" in again.err  # the same run goes on
    whole = trials(folder)
    assert whole[: len(done)] == done
    assert len(set(whole)) == len(whole) > len(done)


def test_ctrl_c_twice_leaves_at_once(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    process = start(folder, "-n", "0")
    read_until(process.stderr, "phase=evaluate")
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, "stopping")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert sica(folder, "db", "check").code == 0


def test_a_reached_budget_is_exit_3_and_more_budget_goes_on(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    ran = sica(folder, "evolve", "-n", "0", "--task", "edit-[rs]*", "--max-calls", "5", env=BOXES)
    assert ran.code == 3, ran.err
    assert "stopped at the cap:" in ran.err
    assert "of 5 calls used" in ran.err
    (told,) = (line for line in ran.err.splitlines() if line.startswith("Continue:"))
    command = shlex.split(told.removeprefix("Continue:").partition("   (")[0])
    assert command == ["sica", "evolve", "-n", "0", "--task", "edit-[rs]*", "--max-calls", "10"]
    again = sica(folder, *command[1:-1], "500", env=BOXES)
    assert again.code == 0, again.err
    assert "run=r1" in again.err


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    process = start(folder, "-n", "0", "--task", "edit-*")
    seen = read_until(process.stderr, "done=2/")
    process.kill()
    process.communicate(timeout=60)
    again = sica(folder, "evolve", "-n", "0", "--task", "edit-*", env=BOXES)
    assert again.code == 0, again.err
    assert "run=r1" in again.err
    whole = trials(folder)
    assert len(whole) == len(set(whole)) == 4
    assert seen.count("score=") + again.err.count("score=") in (4, 5)  # one may be recorded and not yet said


def test_two_runs_on_one_store_are_refused(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    process = start(folder, "-n", "0")
    read_until(process.stderr, "phase=")
    ran = sica(folder, "evolve", "-n", "0", env=BOXES)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert ran.code == 2
    assert "a run is going on this store already" in ran.err


def test_a_terminal_gets_a_picture_and_its_cursor_back(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    master, slave = pty.openpty()
    env = environment(folder.parent, **BOXES, TERM="xterm-256color")
    process = subprocess.Popen(
        [sys.executable, "-m", "sica", "evolve", "-n", "0", "--task", "edit-settings"],
        cwd=folder,
        env=env,
        stderr=slave,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "Ctrl-C stop now" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "r1 done" in text
    assert "phase=" not in text


def test_run_shows_a_diff_and_writes_back_only_when_told(evolved: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "settings.ini").write_text("a = 1\n")
    args = [
        "run",
        "-p",
        "In `settings.ini`, replace `a = 1` by `a = 2`.",
        "--workdir",
        str(work),
        "--agent",
        "0",
    ]
    ran = sica(evolved, *args, env=BOXES)
    assert ran.code == 0, ran.err
    assert "-a = 1\n+a = 2\n" in ran.out
    assert (work / "settings.ini").read_text() == "a = 1\n"
    kept = Path(ran.err.strip().splitlines()[-1].removeprefix("the changed files are in "))
    assert (kept / "settings.ini").read_text() == "a = 2\n"
    assert sica(evolved, *args, "--apply", env=BOXES).code == 0
    assert (work / "settings.ini").read_text() == "a = 2\n"


def test_two_ctrl_c_give_the_terminal_its_cursor_back(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sica", "evolve", "-n", "0"],
        cwd=folder,
        env=environment(folder.parent, **BOXES, TERM="xterm-256color"),
        stderr=slave,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    os.close(slave)
    text = read_pty(master, "evaluate")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    text += read_pty(master)
    os.close(master)
    assert process.wait(timeout=60) == 130
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert sica(folder, "db", "check").code == 0


def read_pty(master: int, until: str = "\0") -> str:
    """What comes until these words, or to the end."""
    seen = b""
    while until.encode() not in seen:
        try:
            seen += os.read(master, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
    return seen.decode()


# ── the same again ────────────────────────────────────────────────────────────────────────────────


def test_recorded_trials_run_again_for_nothing_score_the_same(evolved: Path) -> None:
    before = sica(evolved, "log", "--plain").out, sica(evolved, "show", "0", "--json").json["trials"]
    ran = sica(evolved, "eval", "0", "1", "--replay", "--json", env=BOXES)
    assert ran.code == 0, ran.err
    again = ran.json["trials"]
    assert {t["agent"] for t in again} == {0, 1}
    assert all(t["same"] and t["score"] == t["recorded"] for t in again)
    assert (
        sica(evolved, "log", "--plain").out,
        sica(evolved, "show", "0", "--json").json["trials"],
    ) == before


def test_one_trace_run_again(evolved: Path) -> None:
    trace = sica(evolved, "show", "0", "--json").json["trials"][0]["trace"]
    ran = sica(evolved, "eval", "0", "--model", f"replay/{trace}", "--json", env=BOXES)
    assert ran.code == 0, ran.err
    (again,) = ran.json["trials"]
    assert (again["trace"], again["same"]) == (trace, True)
