"""Agents that others wrote, as seeds: one TOML file each. Their code is fetched from the package index, never shipped.

The package's own source becomes the agent's tree, so that evolution can change it and `git diff` shows how; what it
depends on becomes a requirements.txt with versions and hashes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.parser import BytesParser
from importlib.resources import files as resources
from pathlib import Path

from packaging.requirements import Requirement

from sica.environments import uv
from sica.errors import UsageError, no_such
from sica.model import File, Files

_PYTHON = "3.11"
"""The oldest that a box may have; what is resolved holds for later ones too."""


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    package: str
    versions: str
    manifest: str
    without: tuple[str, ...]
    """Dependencies that the agent at work never imports."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A preset's tree, and what it is of."""

    files: Files
    version: str
    left_out: tuple[str, ...]


def names() -> tuple[str, ...]:
    found = (file.name for file in resources("sica.presets").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def named(name: str) -> Preset:
    if name not in names():
        raise no_such("preset", name, list(names()))
    told = tomllib.loads((resources("sica.presets") / f"{name}.toml").read_text("utf-8"))
    return Preset(
        name, told["package"], told["versions"], told["manifest"].lstrip("\n"), tuple(told["without"])
    )


def fetch(preset: Preset, say: Callable[[str], object], wheel: Path | None = None) -> Fetched:
    """The preset's tree, from the package index; its own package from a wheel where one is given."""
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        say(f"fetching {wheel.name if wheel else preset.package + preset.versions} ...")
        what = str(wheel.resolve()) if wheel else preset.package + preset.versions
        _uv(
            preset,
            room,
            *("pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy"),
            *("--python-version", _PYTHON, "--target", "tree", what),
        )
        info = next((room / "tree").glob("*.dist-info"))
        metadata = BytesParser().parsebytes((info / "METADATA").read_bytes())
        if metadata["Name"].lower().replace("_", "-") != preset.package:
            raise UsageError(f"{wheel} is {metadata['Name']}, and {preset.name} is {preset.package}")
        files, left_out = _tree(room / "tree", info)
        wanted = _dependencies(metadata.get_all("Requires-Dist") or (), preset.without)
        say(f"resolving its {len(wanted)} dependencies ...")
        (room / "wanted.in").write_text("".join(f"{line}\n" for line in wanted))
        _uv(
            preset,
            room,
            *(
                "pip",
                "compile",
                "--quiet",
                "--universal",
                "--generate-hashes",
                "--no-header",
                "--no-annotate",
            ),
            *(
                "--only-binary",
                ":all:",
                "--python-version",
                _PYTHON,
                "wanted.in",
                "--output-file",
                "pinned.txt",
            ),
        )
        ours = {
            "agent.toml": File(preset.manifest.encode()),
            "requirements.txt": File((room / "pinned.txt").read_bytes()),
        }
        return Fetched({**files, **ours}, metadata["Version"], left_out)


def _dependencies(lines: Sequence[str], without: Sequence[str]) -> list[str]:
    """What the package needs without any of its extras."""
    found = []
    for line in lines:
        wanted = Requirement(line)
        if wanted.name.lower() in without or (wanted.marker and "extra" in str(wanted.marker)):
            continue
        found.append(str(wanted))
    return found


def _tree(root: Path, info: Path) -> tuple[Files, tuple[str, ...]]:
    """The package's files, with its licences at the root; of its metadata nothing else."""
    files: dict[str, File] = {}
    left_out = []
    for path in sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink()):
        name = path.relative_to(root).as_posix()
        if path.is_relative_to(info):
            if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")):
                files[path.name] = File(path.read_bytes())
        elif name.startswith("bin/") or name == ".lock" or path.suffix == ".pyc":
            continue  # made by the installer
        elif path.stat().st_size > _LARGE:
            left_out.append(name)
        else:
            files[name] = File(path.read_bytes())
    return files, tuple(left_out)


_LARGE = 4_000_000
"""Bytes of one file, past which it is left out: a file of an agent may not have many more (sica/repo.py)."""


def _uv(preset: Preset, room: Path, *words: str) -> None:
    done = subprocess.run(
        [uv(), "--color", "never", *words],
        cwd=room,
        env={"UV_SYSTEM_CERTS": "true", **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[:600]
        raise UsageError(
            f"{preset.name} cannot be fetched: {said}",
            "it comes from the package index: is it reachable? UV_INDEX_URL names another one, "
            "--wheel FILE gives the package itself",
        )
