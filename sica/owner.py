"""The name of a living process, unique on this machine: tells what is left behind from what is in use."""

from __future__ import annotations

import os
from pathlib import Path


def owner() -> str:
    """Ours: pid and start time, so that a recycled pid is not taken for us."""
    pid = os.getpid()
    return f"{pid}.{_started(pid)}"


def alive(name: str) -> bool:
    pid, _, started = name.partition(".")
    return pid.isdigit() and started != "" and _started(int(pid)) == started


def _started(pid: int) -> str:
    """Field 22 of /proc/<pid>/stat; the name before it may hold spaces. "" when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rpartition(")")[2].split()[19]
