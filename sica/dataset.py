"""Harbor's dataset.toml: which tasks make a data set, and the digest that each must have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sica import harbor
from sica.errors import UsageError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def listed(root: Path, there: Mapping[str, Path]) -> dict[str, Path]:
    """The folders that root's dataset.toml names, checked; without one, all that are there.

    Raises UsageError for a task that is missing or is not the one that was meant.
    """
    manifest = root / "dataset.toml"
    if not manifest.is_file():
        _no_registry(root, there)
        return dict(there)
    by_name = {**there, **{_stated(path): path for path in there.values()}}
    return dict(_checked(manifest, entry, by_name) for entry in _entries(manifest))


def _no_registry(root: Path, there: Mapping[str, Path]) -> None:
    if not there and (root / "registry.json").is_file():
        raise UsageError(
            f"{root / 'registry.json'}: a legacy registry lists git addresses, which sica does not fetch",
            "clone the repository that it names, and give the folder of tasks",
        )


def _stated(path: Path) -> str:
    """The name in the folder's own table, or "" when it has none or cannot be read: reading it says why."""
    try:
        return harbor.read(path).table.task.name
    except UsageError:
        return ""


def _entries(manifest: Path) -> list[dict[str, Any]]:
    entries = harbor.toml(manifest).get("tasks")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{manifest}: tasks: holds no task", "write [[tasks]] with name and digest")
    return entries


def _checked(manifest: Path, entry: Mapping[str, Any], by_name: Mapping[str, Path]) -> tuple[str, Path]:
    name, wanted = entry.get("name"), entry.get("digest")
    if not isinstance(name, str) or not name:
        raise UsageError(f"{manifest}: tasks.name = {name!r} is no name", "write it like 'org/task'")
    if not isinstance(wanted, str) or not DIGEST.fullmatch(wanted):
        raise UsageError(
            f"{manifest}: {name}: digest = {wanted!r} is no digest", "write sha256: and 64 hexadecimal digits"
        )
    path = by_name.get(name.rpartition("/")[2]) or by_name.get(name)
    if path is None:
        raise UsageError(
            f"{manifest}: {name}: there is no folder of this task in {manifest.parent}",
            "download the data set, for example with `harbor download`, and give its folder",
        )
    found = f"sha256:{harbor.digest(path)}"
    if found != wanted:
        raise UsageError(
            f"{manifest}: {name}: digest = {wanted} but {path} is {found}",
            "restore the folder, or write the new digest: it is another task",
        )
    return path.name, path
