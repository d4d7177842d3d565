"""One run at a time on a store. The kernel holds the lock, so a killed run leaves none behind."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sica.errors import StoreError, UsageError


@contextmanager
def run_lock(path: Path, command: Sequence[str] | None = None) -> Iterator[None]:
    """Hold the store's run lock; raises UsageError naming who holds it already.

    The text in the file is for people only. The lock is the kernel's: it ends with the process, however it ends,
    and boxes do not inherit it.
    """
    fd = _open(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(_taken(path), "wait for it, or end it with Ctrl-C; its work is kept") from None
        facts = {
            "pid": os.getpid(),
            "command": shlex.join(command if command is not None else sys.argv),
            "started": time.time(),
        }
        _write(fd, path, facts)
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
            fcntl.flock(fd, fcntl.LOCK_UN)  # a child that is just being started may still hold a copy of fd
    finally:
        os.close(fd)


def _write(fd: int, path: Path, facts: Mapping[str, object]) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(facts).encode() + b"\n", 0)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}", "make room and run the command again, nothing is lost"
        ) from error


def is_held(path: Path) -> bool:
    """Whether a run is going. The kernel's list is read and no lock is tried: that could refuse a run that starts."""
    try:
        inode = path.stat().st_ino
        locks = Path("/proc/locks").read_text()
    except OSError:
        return False  # no run was ever here, or the kernel does not tell
    # 1: FLOCK  ADVISORY  WRITE 1234 00:2f:5678 0 EOF
    held = (line.split() for line in locks.splitlines() if "->" not in line)
    return any(f[1] == "FLOCK" and f[5].rpartition(":")[2] == str(inode) for f in held if len(f) > 5)


def began(path: Path) -> float:
    """When the run that holds the lock was started; 0 when its holder has not written that yet."""
    try:
        return float(json.loads(path.read_bytes())["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"cannot lock {path}: {error.strerror}",
            "is the disk full or read-only, or the folder somebody else's?",
        ) from error


def _taken(path: Path) -> str:
    try:
        facts = json.loads(path.read_bytes())
        since = time.strftime("%H:%M:%S", time.localtime(float(facts["started"])))
        who = f"process {int(facts['pid'])} since {since}: {facts['command']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process that has just started"  # it holds the lock and has not yet written its name
    return f"a run is going on this store already ({who})"
