"""Files of a folder that the user names: what git would list, or everything but junk; regular files only."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sica.errors import UsageError
from sica.model import File, Files

_HISTORY = (".git", ".hg", ".svn", ".sica")
_MADE = (
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
)
JUNK = frozenset((*_HISTORY, *_MADE))
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Folder:
    """What was taken from a folder, and what was not."""

    files: Files
    skipped: tuple[str, ...]
    """Links, devices and nested repositories: never taken."""
    origin: str
    """main@3f9c1d2 in a git repository; the folder's name otherwise."""
    dirty: bool


def read(path: Path, origin: str = "", cure: str = "give the folder that holds agent.toml") -> Folder:
    """Read a folder, or the work tree of a git repository: tracked and untracked files that are not ignored.

    With an `origin` of its own the folder is taken as it is, and git is not asked. `cure` is said when there is none.
    """
    if not path.is_dir():
        kind = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(f"{path} {kind}", cure)
    listed = None if origin else _git_lists(path)
    names = sorted(listed if listed is not None else _walk(path))
    files: dict[str, File] = {}
    skipped: list[str] = []
    total = 0
    for name in names:
        place = path / name
        try:
            found = place.lstat()
        except FileNotFoundError:
            continue  # tracked and deleted: git lists it still
        if not stat.S_ISREG(found.st_mode) or not JUNK.isdisjoint(Path(name).parts):
            skipped.append(name)
            continue
        total += found.st_size
        if total > MOST_BYTES:
            raise UsageError(
                f"{path} holds more than {MOST_BYTES >> 20} MB; {name} is where it passed",
                "name the agent's own folder, or let .gitignore leave out what is not its code",
            )
        files[name] = File(place.read_bytes(), bool(found.st_mode & stat.S_IXUSR))
    named, dirty = _origin(path) if listed is not None else (origin or path.resolve().name, False)
    return Folder(files, tuple(skipped), named, dirty)


def _walk(path: Path) -> Iterator[str]:
    for folder, names, files in os.walk(path):
        names[:] = sorted(n for n in names if n not in JUNK)
        base = Path(folder).relative_to(path)
        linked = [n for n in names if (Path(folder) / n).is_symlink()]
        yield from ((base / n).as_posix() for n in (*files, *linked) if not n.endswith(".pyc"))


def _git_lists(path: Path) -> list[str] | None:
    """None where git is not, or knows nothing of the folder."""
    listed = _git(path, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return None
    names = [name for name in listed.split("\0") if name]
    return list(dict.fromkeys(names)) or None


def _origin(path: Path) -> tuple[str, bool]:
    commit = (_git(path, "rev-parse", "--short", "HEAD") or "").strip()
    branch = (_git(path, "rev-parse", "--abbrev-ref", "HEAD") or "").strip()
    if not commit:
        return path.resolve().name, True
    dirty = bool((_git(path, "status", "--porcelain", "--", ".") or "").strip())
    return f"{branch}@{commit}" if branch != "HEAD" else commit, dirty


def _git(path: Path, *args: str) -> str | None:
    command = ["git", "-C", str(path), "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *args]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
