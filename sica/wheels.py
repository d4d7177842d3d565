"""What a task's tests import beyond its own code: pinned wheels in a directory that boxes see read-only at /packages.

Made once for each list of pins and each Python that boxes run, and shared by every task that names the same list. Only
wheels are taken: nothing of a package runs while it is put there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sica.errors import SandboxError, UsageError
from sica.model import BoxSpec, Files, Job, Limits
from sica.ports import Sandbox
from sica.twobox import clean_pytest

PLACE = "/packages"
PYTEST = "pytest"
"""Instead of a list of pins: the pytest that comes with sica, and nothing else."""

SECONDS = 600
_ASK = (
    "import json,platform,sys;"
    "print(json.dumps([list(sys.version_info[:2]),platform.machine(),platform.libc_ver()]))"
)


@dataclass(frozen=True, slots=True)
class Python:
    """What boxes run, as far as wheels care."""

    version: tuple[int, int]
    machine: str
    glibc: int
    """Its minor version; 0 for another libc."""

    @property
    def words(self) -> list[str]:
        """pip's options that choose wheels for it, whatever Python runs pip."""
        minor = "".join(map(str, self.version))
        names = [f"manylinux_2_{n}_{self.machine}" for n in range(self.glibc, 4, -1)]
        names += [
            f"{old}_{self.machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1") if self.glibc
        ]
        return [
            "--only-binary=:all:",
            f"--python-version={'.'.join(map(str, self.version))}",
            "--implementation=cp",
            *(f"--abi={abi}" for abi in (f"cp{minor}", "abi3", "none")),
            *(f"--platform={name}" for name in (*names, "any")),
        ]

    def __str__(self) -> str:
        return f"cp{self.version[0]}{self.version[1]}-{self.machine}-{self.glibc}"


def python_of(sandbox: Sandbox) -> Python:
    """The Python of its boxes. Raises SandboxError when none starts."""
    ended = sandbox.run(
        BoxSpec(writable=("/tmp",), limits=Limits(seconds=60.0)),
        Job(("python3", "-I", "-c", _ASK), cwd="/tmp", env={"PATH": "/usr/local/bin:/usr/bin:/bin"}),
    )
    if ended.exit_code != 0:
        raise SandboxError(
            f"python3 does not start in a box: {ended.stderr.decode('utf-8', 'replace')[-500:]}"
        )
    version, machine, (name, libc) = json.loads(ended.stdout)
    return Python((version[0], version[1]), machine, int(libc.split(".")[1]) if name == "glibc" else 0)


def cache() -> Path:
    """Where environments are kept, for every project of this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sica" / "environments"


def directory(pins: str, python: Python, runtime: Path, kept: Path | None = None) -> Path:
    """The directory of the pins, made now if it is not there. Raises UsageError when pip cannot get them."""
    if pins == PYTEST:
        return clean_pytest(runtime)
    kept = kept or cache()
    place = kept / f"{digest(pins)}-{python}"
    if place.is_dir():
        return place
    kept.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=kept))
    try:
        listed = made / "requirements.txt"
        listed.write_text(pins, encoding="utf-8")
        _pip(
            [
                "install",
                "--no-deps",
                "--no-compile",
                f"--target={made / 'site'}",
                *python.words,
                "-r",
                str(listed),
            ]
        )
        _open_to_all(made / "site")
        (made / "site").rename(place)
    except OSError:  # another sica was faster; its copy is as good
        if not place.is_dir():
            raise
    finally:
        shutil.rmtree(made)
    return place


def digest(pins: str) -> str:
    return hashlib.sha256(pins.encode()).hexdigest()[:24]


def pinned(wanted: Sequence[str], python: Python, without: str = "") -> str:
    """Requirements with all that they need as pins, one a line; the project itself, which is not to come from an
    index, left out. Raises UsageError when pip cannot say.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed, told = Path(folder, "requirements.txt"), Path(folder, "report.json")
        listed.write_text("\n".join([*wanted, ""]), encoding="utf-8")
        _pip(
            [
                "install",
                "--dry-run",
                "--ignore-installed",
                f"--target={folder}/none",
                f"--report={told}",
                *python.words,
                "-r",
                str(listed),
            ]
        )
        found = [entry["metadata"] for entry in json.loads(told.read_text(encoding="utf-8"))["install"]]
    lines = {plain(each["name"]): f"{plain(each['name'])}=={each['version']}\n" for each in found}
    lines.pop(plain(without), None)
    return "".join(lines[name] for name in sorted(lines))


def plain(name: str) -> str:
    """A distribution's name as all of its spellings have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def adopted(folder: Path, python: Python, kept: Path | None = None) -> str:
    """Take over a ready directory of packages (`pip install --target`): the pins that stand for it from now on.

    Raises UsageError for a directory that holds no distribution: nothing could be written down to make it again.
    """
    names = []
    for entry in sorted(folder.glob("*.dist-info")) if folder.is_dir() else []:
        name, _, version = entry.name.removesuffix(".dist-info").rpartition("-")
        names.append(f"{plain(name)}=={version}\n")
    if not names:
        raise UsageError(
            f"{folder}: holds no installed distribution", "pip install --target DIR ... makes such a folder"
        )
    pins = "".join(sorted(names))
    kept = kept or cache()
    place = kept / f"{digest(pins)}-{python}"
    if not place.is_dir():
        kept.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=kept))
        shutil.copytree(folder, made / "site", ignore=shutil.ignore_patterns("__pycache__"))
        _open_to_all(made / "site")
        (made / "site").rename(place)
        made.rmdir()
    return pins


def _pip(words: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise UsageError(f"pip took more than {SECONDS} s", "try again with a faster index") from None
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise UsageError(
            f"{sys.executable} has no pip", "python -m ensurepip, or name a ready folder with --env"
        )
    lines = [line for line in done.stderr.strip().splitlines() if line.startswith("ERROR:")] or [
        done.stderr[-500:]
    ]
    raise UsageError(
        f"the packages that the tests need cannot be had as wheels: {' '.join(lines[-2:])}",
        "be online, or name what is needed with --requirements FILE, or a ready folder with --env DIR",
    )


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def mounted(pins: str, sandbox: Sandbox, runtime: Path) -> tuple[str, str]:
    """(box path, directory on this machine) of the pins, for boxes of this sandbox."""
    python = Python((0, 0), "", 0) if pins == PYTEST else python_of(sandbox)
    return PLACE, str(directory(pins, python, runtime))


def read(files: Files, named: str, where: str) -> str:
    """The pins of a task that names a file below environment/. Raises UsageError for one that pip could be led by."""
    if named == PYTEST:
        return PYTEST
    file = files.get(named)
    if file is None:
        raise UsageError(
            f"{where}/environment/{named}: there is no such file", 'or say environment = "pytest"'
        )
    try:
        text = file.data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{where}/environment/{named}: not UTF-8", "save it as UTF-8") from None
    for line in text.splitlines():
        if line and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*", line):
            raise UsageError(
                f"{where}/environment/{named}: {line[:80]!r} is no pin", "write name==version, one a line"
            )
    return text
