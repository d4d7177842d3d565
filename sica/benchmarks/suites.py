"""The built-in suites as folders: made of their pinned seed when they are first wanted, and kept for the next time."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sica import suites
from sica.errors import StoreError
from sica.harbor import toml
from sica.model import Files

PINS = "suites.toml"


def pinned(data: Path) -> dict[str, tuple[int, str]]:
    """Seed and digest of each suite that comes with sica, by name; `data` is the folder benchmark_data."""
    return {name: (int(pin["seed"]), str(pin["digest"])) for name, pin in toml(data / PINS).items()}


def folder(name: str, data: Path) -> Path:
    """Where the suite's tasks lie, made now if they are not there yet. Safe beside others that do the same.

    Raises StoreError when the generators do not give what is pinned: scores of such tasks would be of something else.
    """
    seed, digest = pinned(data)[name]
    place = _own_place() / f"{name}-{digest[:16]}"
    if place.is_dir():
        return place
    tasks = dict(suites.make(name, seed))
    if suites.digest(tasks) != digest:
        raise StoreError(
            f"the suite {name} of seed {seed} is not what {data / PINS} pins",
            "its generators were changed: python3 bin/pin_suites.py pins what they give now",
        )
    try:
        write(tasks, place)
    except OSError:
        if not place.is_dir():  # else another sica was faster; what it made is the same
            raise
    return place


def _own_place() -> Path:
    """A folder of ours below the temporary one. Refuses what somebody else could have put there."""
    base = Path(tempfile.gettempdir()) / f"box-{os.getuid()}"
    for place in (base, base / "suites"):
        place.mkdir(mode=0o711, exist_ok=True)
        if place.is_symlink() or place.stat().st_uid != os.getuid():
            raise StoreError(
                f"{place} is not a folder of yours: somebody else put it there",
                f"look at it, then remove {place}",
            )
    return base / "suites"


def write(tasks: Mapping[str, Files], out: Path, manifest: Mapping[str, Any] | None = None) -> None:
    """All of them or nothing. OSError when somebody else was faster."""
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        made.chmod(0o755)
        for name, files in tasks.items():
            for path, file in files.items():
                target = made / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.data)
                target.chmod(0o755 if file.executable else 0o644)
        if manifest is not None:
            (made / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        made.rename(out)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
