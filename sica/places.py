"""Where things lie: the project, its store, the runtime directory. Light: `sica log` stands on this file."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sica.errors import StoreError, UsageError

SOCKET_PATH_BYTES = 107
"""Of a Unix socket's name, without its final zero."""
_LONGEST_SOCKET = "/s/0123456789abcdef/gw.sock"


@dataclass(frozen=True, slots=True)
class Places:
    """One project's store and what lies in it (docs/design.md, "Places")."""

    project: Path
    """The folder with sica.toml and .sica/."""
    runtime: Path
    """Sockets and exported trees; short, walkable by the boxes' user, deletable when no run is going."""

    @property
    def store(self) -> Path:
        return self.project / ".sica"

    @property
    def settings(self) -> Path:
        return self.project / "sica.toml"

    @property
    def repo(self) -> Path:
        return self.store / "agents.git"

    @property
    def db(self) -> Path:
        return self.store / "sica.db"

    @property
    def traces(self) -> Path:
        return self.store / "traces"

    @property
    def resolutions(self) -> Path:
        """What agents' packages were resolved to, a file for each set of requirements and Python."""
        return self.store / "packages"

    @property
    def log(self) -> Path:
        return self.store / "log"

    @property
    def lock(self) -> Path:
        return self.store / "run.lock"


def at(project: Path, environ: Mapping[str, str]) -> Places:
    """The places of the project at this folder, whether or not anything is there yet."""
    project = project.resolve()
    base = Path(environ.get("TMPDIR") or tempfile.gettempdir()).resolve()
    name = hashlib.sha256(os.fsencode(project / ".sica")).hexdigest()[:12]
    return Places(project, base / f"box-{os.getuid()}" / name)


def find(start: Path, environ: Mapping[str, str]) -> Places | None:
    """The places of the nearest project at or above a folder, found by its .sica/ as git finds .git."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / ".sica" / "agents.git").is_dir() or (folder / ".sica" / "sica.db").is_file():
            return at(folder, environ)
    return None


def require(start: Path, environ: Mapping[str, str]) -> Places:
    found = find(start, environ)
    if found is None:
        raise UsageError(f"no .sica/ in {start} or above it", "sica init   starts one here")
    return found


def user_settings(environ: Mapping[str, str]) -> Path:
    """$XDG_CONFIG_HOME/sica/config.toml; a relative XDG path counts as unset, as its specification says."""
    named = Path(environ.get("XDG_CONFIG_HOME", ""))
    home = Path(environ.get("HOME") or Path.home())
    return (named if named.is_absolute() else home / ".config") / "sica" / "config.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """A settings file's content; nothing when there is none."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not TOML: {error}", "mend it; or move it aside, and sica init writes one"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def write_whole(path: Path, text: str) -> None:
    """Put a file's new text in the place of the old one at once: a kill or a full disk leaves the old one whole."""
    path = path.resolve()  # a link stays a link
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            if path.exists():
                fresh.chmod(stat.S_IMODE(path.stat().st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException as error:
        fresh.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk is met in write(), which names no file
        raise


def make_runtime(places: Places) -> Path:
    """Make the runtime directory. Refuses one that somebody else could have prepared for us."""
    longest = len(os.fsencode(places.runtime)) + len(_LONGEST_SOCKET)
    if longest > SOCKET_PATH_BYTES:
        raise UsageError(
            f"{places.runtime} is too long for the sockets in it by {longest - SOCKET_PATH_BYTES} bytes",
            "set TMPDIR to a shorter path, such as /tmp",
        )
    for folder in (places.runtime.parent, places.runtime, places.runtime / "trees", places.runtime / "s"):
        _own_folder(folder)
    return places.runtime


def _own_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o711)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}", "set TMPDIR to a folder that you can write"
        ) from error
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StoreError(
            f"{folder} is not a folder of yours: somebody else put it there",
            f"look at it, then remove {folder}",
        )
    if stat.S_IMODE(found.st_mode) != 0o711:
        folder.chmod(0o711)  # the umask took bits away, or an older sica left others
