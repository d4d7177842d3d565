"""What a repository's tests need besides its own code, read from its own settings; none of them runs."""

from __future__ import annotations

import configparser
import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sica.errors import UsageError
from sica.mining.source import Source
from sica.model import File, Files
from sica.wheels import PYTEST, Python, adopted, pinned, plain

GROUPS = ("tests", "test", "testing", "dev")
"""Extras or groups that are for tests; the first that is there counts."""
SHIPPED = frozenset({"pytest", "pluggy", "iniconfig", "packaging", "pygments"})


@dataclass(frozen=True, slots=True)
class Packages:
    """An environment, as tasks name it."""

    pins: str
    """Lines of name==version, or "pytest" for the one that comes with sica."""
    stubs: Mapping[str, File] = field(default_factory=dict)
    """Files of the project that only a build writes, such as its own version."""

    def ours(self, protect: Sequence[str]) -> Mapping[str, str | Sequence[str]]:
        """What [metadata.sica] says because of it."""
        named = PYTEST if self.pins == PYTEST else "requirements.txt"
        return {
            "grading": "log",
            "credit": "all",
            "environment": named,
            "protect": [_exactly(path) for path in protect],
        }


def _exactly(path: str) -> str:
    return re.sub(r"([][*?])", r"[\1]", path)


def packages(
    source: Source,
    files: Files,
    python: Python,
    requirements: Path | None,
    ready: Path | None,
    *,
    known: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Packages:
    """From a folder that is ready, a file of requirements, or what the repository's own settings say.

    `known` are pins that were found for these settings before; what is found now is told, for the next time.
    """
    table = _table(files)
    name = str(table.get("project", {}).get("name", "")) or source.name
    stubs = dict(_stubs(table, files))
    if known is not None:
        return Packages(known, stubs)
    pins = _pins(files, table, name, python, requirements, ready)
    tell(pins)
    return Packages(pins, stubs)


def settings(files: Files) -> str:
    """Digest of what pins are read from: an environment is made for each."""
    told = hashlib.sha256()
    for path in ("pyproject.toml", "setup.cfg"):
        told.update(files[path].data if path in files else b"")
    return told.hexdigest()[:16]


def _pins(
    files: Files,
    table: Mapping[str, Any],
    name: str,
    python: Python,
    requirements: Path | None,
    ready: Path | None,
) -> str:
    if ready is not None:
        return adopted(ready, python)
    if requirements is not None:
        wanted = [line.strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
        wanted = [line for line in wanted if line and not line.startswith("#")]
    else:
        wanted = [line for line in _wanted(table, files) if plain(_name(line)) != plain(name)]
    if all(_name(line) == "pytest" for line in wanted) and plain(name) not in SHIPPED:
        return PYTEST
    return pinned([*wanted, "pytest"], python, name)


def _table(files: Files) -> dict[str, Any]:
    file = files.get("pyproject.toml")
    try:
        return tomllib.loads(file.data.decode()) if file else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise UsageError(
            "pyproject.toml is broken", "--requirements FILE names what the tests need"
        ) from None


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    return found[0].lower() if found else ""


def _wanted(table: Mapping[str, Any], files: Files) -> Iterable[str]:
    project = table.get("project", {})
    yield from project.get("dependencies", ())
    extras, groups = project.get("optional-dependencies", {}), table.get("dependency-groups", {})
    if chosen := next((name for name in GROUPS if name in groups), ""):
        yield from _group(groups, chosen, set())
    elif chosen := next((name for name in GROUPS if name in extras), ""):
        yield from extras[chosen]
    if "setup.cfg" in files:
        yield from _from_cfg(files["setup.cfg"].data.decode("utf-8", "replace"))


def _group(groups: Mapping[str, Any], name: str, seen: set[str]) -> Iterable[str]:
    seen.add(name)
    for entry in groups.get(name, ()):
        if isinstance(entry, str):
            yield entry
        elif (inner := entry.get("include-group")) and inner not in seen:
            yield from _group(groups, inner, seen)


def _from_cfg(text: str) -> Iterable[str]:
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read_string(text)
    except configparser.Error:
        return
    yield from filter(None, settings.get("options", "install_requires", fallback="").split("\n"))
    extras = settings["options.extras_require"] if settings.has_section("options.extras_require") else {}
    if chosen := next((name for name in GROUPS if name in extras), ""):
        yield from filter(None, extras[chosen].split("\n"))


def _stubs(table: Mapping[str, Any], files: Files) -> Iterable[tuple[str, File]]:
    """The version file that setuptools_scm or hatch-vcs writes: many packages do not import without."""
    tool = table.get("tool", {})
    scm = tool.get("setuptools_scm", {})
    hooks = tool.get("hatch", {}).get("build", {}).get("hooks", {}).get("vcs", {})
    for path in (scm.get("version_file"), scm.get("write_to"), hooks.get("version-file")):
        if isinstance(path, str) and path not in files and path.endswith(".py"):
            yield (
                path,
                File(b'__version__ = version = "0.0.0"\n__version_tuple__ = version_tuple = (0, 0, 0)\n'),
            )
