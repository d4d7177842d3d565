"""The lock is the kernel's; these tests take it from other processes and kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sica.errors import StoreError, UsageError
from sica.runlock import run_lock

HOLD = """
import sys
from pathlib import Path
from sica.runlock import run_lock
with run_lock(Path(sys.argv[1]), ["sica", "evolve", "--name", "two words"]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_and_told_about_the_first(tmp_path: Path) -> None:
    path = tmp_path / "ein prøject" / "run.lock"
    with holder(path) as first:
        named = rf"process {first.pid} since .*: sica evolve --name 'two words'"
        with pytest.raises(UsageError, match=named) as refused, run_lock(path):
            raise AssertionError
        assert refused.value.exit_code == 2
    with run_lock(path):
        assert str(os.getpid()) in path.read_text()
    assert path.read_text() == ""


def test_a_killed_run_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    for _ in range(3):
        with holder(path) as first:
            first.send_signal(signal.SIGKILL)
            first.wait()
            assert str(first.pid) in path.read_text(), "its words are still there"
        with run_lock(path):
            pass


def test_a_child_of_the_run_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with run_lock(path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with run_lock(path):
        assert child.poll() is None
    child.communicate(b"\n")
    assert child.returncode == 0


def test_one_process_takes_it_once(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with run_lock(path), pytest.raises(UsageError, match="going on this store already"), run_lock(path):
        raise AssertionError


def test_a_lock_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot lock"), run_lock(tmp_path / "file" / "run.lock"):
        raise AssertionError
