"""kill -9 at any moment, then the same command: nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EVOLVE = ("evolve", "--sandbox", "bubblewrap", "--task", "locate-*", "--children", "4", "--workers", "2")


class Project:
    """A project of its own, driven by the real command."""

    def __init__(self, folder: Path, tmp: Path) -> None:
        self.folder, self.tmp = folder, tmp
        folder.mkdir()
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.tmp), "NO_COLOR": "1"}
        self.env.pop("CI", None)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "sica", *argv],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sica", *argv],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
        )

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(f"file:{self.folder}/.sica/sica.db?mode=ro", uri=True) as db:
            return db.execute(sql).fetchall()

    def processes(self) -> list[str]:
        """Command lines of living processes that name this project's runtime directory."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if str(self.tmp) in line:
                found.append(line)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    # The runtime directory stands below TMPDIR, so all in it belongs to this test; sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="t") as short:
        Path(short).chmod(0o755)
        made = Project(tmp_path / "a projéct", Path(short))
        done = made.run("init")
        assert done.returncode == 0, done.stderr
        yield made


def read_until(process: subprocess.Popen[str], line: int) -> list[str]:
    """The first lines of progress; fewer when the run ended before."""
    assert process.stderr is not None
    lines = []
    for text in process.stderr:
        lines.append(text)
        if len(lines) >= line:
            break
    return lines


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_it_never_was(project: Project) -> None:
    known: set[tuple[object, ...]] = set()
    scored = "SELECT tree, task, attempt, conditions, started FROM trials WHERE score IS NOT NULL"
    for line in (1, 2, 3, 5, 7, 4):
        process = project.start(*EVOLVE)
        read_until(process, line)
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        now = set(project.rows(scored))
        assert known <= now, "an outcome that was acknowledged is gone"
        known = now
        assert project.rows("PRAGMA integrity_check") == [("ok",)]
    done = project.run(*EVOLVE)
    assert done.returncode == 0, done.stderr
    assert known <= set(project.rows(scored))

    keys = "tree, task, attempt, conditions"
    twice = f"SELECT {keys} FROM trials WHERE score IS NOT NULL GROUP BY {keys} HAVING count(*) > 1"
    assert project.rows(twice) == []
    assert len(project.rows("SELECT 1 FROM runs")) == 1, "every start went on with the same run"
    made = project.rows(
        "SELECT count(*) FROM improvements WHERE ending NOT IN ('infra', 'provider', 'cancelled')"
    )
    assert made == [(4,)]
    store = project.folder / ".sica" / "agents.git"
    fsck = subprocess.run(
        ["git", "-C", store, "fsck", "--strict"], capture_output=True, text=True, check=True
    )
    assert fsck.stdout == ""
    branches = subprocess.run(
        ["git", "-C", store, "for-each-ref", "--format=%(objectname)", "refs/heads/agent"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {h for (h,) in project.rows("SELECT hash FROM agents")} == set(branches)
    assert project.processes() == []
    assert list(project.tmp.rglob("gw.sock")) == []
    assert list((project.folder / ".sica" / "traces").glob("open/*")) == []
    again = project.run(*EVOLVE[:-4], "--children", "0", "--workers", "2")
    assert "phase=evaluate" not in again.stderr


def test_boxes_die_with_a_killed_sica(project: Project) -> None:
    process = project.start(*EVOLVE)
    lines = read_until(process, 3)
    assert len(lines) == 3, lines
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.read()  # ends when every process that inherited the pipe is gone
    process.stderr.close()
    assert project.processes() == []


def test_ctrl_c_stops_keeps_and_says_how_to_go_on(project: Project) -> None:
    process = project.start(*EVOLVE)
    read_until(process, 4)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    rest = process.stderr.read()
    assert process.wait() == 130
    process.stderr.close()
    assert "sica evolve" in rest
    assert project.rows("SELECT reason FROM runs") == [("interrupted",)]
    assert project.rows("SELECT count(*) FROM trials WHERE fault IS NOT NULL") == [(0,)]
    assert project.processes() == []


def test_a_second_evolve_is_refused_and_names_the_first(project: Project) -> None:
    first = project.start(*EVOLVE)
    read_until(first, 1)
    second = project.run(*EVOLVE)
    first.kill()
    first.wait()
    assert first.stderr is not None
    first.stderr.close()
    assert second.returncode == 2
    assert str(first.pid) in second.stderr
    assert "Traceback" not in second.stderr
