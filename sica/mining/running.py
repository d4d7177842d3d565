"""A repository's own tests, run in boxes as a task's judge will run them. Nothing of it ever runs outside of one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from sica.errors import SandboxError
from sica.model import BoxSpec, File, Files, Job, Limits
from sica.ports import Sandbox
from sica.wheels import PLACE

WORKDIR = "/app"
COMMAND = (
    *("python3", "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider"),
    *("-q", "-rA", "--show-capture=no", "--continue-on-collection-errors"),
)
"""Everything else is as the repository has it."""
MEMORY_MB, DISK_MB = 1024, 256

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PLUGIN = Path(__file__).parents[1] / "inside" / "tested.py"


def python_path(files: Files) -> str:
    src = [f"{WORKDIR}/src"] if any(path.startswith("src/") for path in files) else []
    return ":".join([*src, WORKDIR, PLACE])


def is_module(path: str) -> bool:
    """Whether pytest looks for tests in a file of this name."""
    name = PurePosixPath(path).name
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


_BESIDE = re.compile(r"(^|/)(tests?|testing|docs?|examples?|bench\w*|scripts?|tools|\.[^/]+)/")


def is_test(path: str) -> bool:
    """Whether the file is for tests: one itself, or data and settings of theirs."""
    parts = PurePosixPath(path).parts
    return is_module(path) or parts[-1] == "conftest.py" or bool({"tests", "test", "testing"} & {*parts[:-1]})


def is_source(path: str) -> bool:
    """Python that the project is, rather than what stands around it."""
    plain = path.endswith(".py") and not is_test(path) and not _BESIDE.search(path)
    return plain and PurePosixPath(path).name not in (
        "setup.py",
        "noxfile.py",
        "_version.py",
        "version.py",
        "tests.py",
    )


@dataclass(frozen=True, slots=True)
class Around:
    """What is different around a run and may not matter to a test."""

    hash_seed: int = 0
    order: int | None = None
    zone: str = "UTC"


PLAIN = Around()
OTHERS = (Around(1, 1, "FAR-14"), Around(4711, 7, "NEAR+12"))
"""As `sica bench check` has them, too."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one test did."""

    outcome: str
    """passed, failed or skipped."""
    when: str = ""
    kind: str = ""
    """Name of what was raised."""
    message: str = ""
    statement: str = ""
    """The test's own statement that it happened in."""


@dataclass(frozen=True, slots=True)
class Ran:
    tests: Mapping[str, Seen]
    broken: Sequence[str]
    """Modules that could not be collected."""
    lines: Mapping[str, Mapping[int, Mapping[str, int]]] = field(default_factory=dict)
    """file -> line -> test -> how many calls deep; of watched files only."""
    stopped: str = ""
    """Why there is no report: the box's limit, or what pytest said last."""

    @property
    def passed(self) -> frozenset[str]:
        return frozenset(id for id, seen in self.tests.items() if seen.outcome == "passed")

    @property
    def late(self) -> bool:
        return self.stopped == "seconds" or any(seen.kind == "OutOfTime" for seen in self.tests.values())


@dataclass(frozen=True, slots=True)
class Bench:
    """Where tests run: boxes of one sandbox, with one environment."""

    sandbox: Sandbox
    packages: Path
    each: float = 20.0
    """Seconds for one test."""

    def run(
        self,
        files: Files,
        wanted: Sequence[str],
        *,
        watched: Sequence[str] = (),
        around: Around = PLAIN,
        seconds: float = 60.0,
    ) -> Ran:
        """Run these modules or tests over these files. Raises SandboxError when no box can be had."""
        settings = {
            "root": WORKDIR,
            "watched": list(watched),
            "seconds": self.each,
            "order": around.order,
            "report": "/judge/report.json",
        }
        ended = self.sandbox.run(
            BoxSpec(
                mounts={PLACE: self.packages},
                writable=(WORKDIR, "/tmp", "/judge"),
                limits=Limits(seconds, MEMORY_MB, DISK_MB),
            ),
            Job(
                (*COMMAND, "-p", "tested", *wanted),
                cwd=WORKDIR,
                env={
                    "PATH": _PATH,
                    "HOME": "/tmp",
                    "LANG": "C.UTF-8",
                    "TZ": around.zone,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONHASHSEED": str(around.hash_seed),
                    "PYTHONPATH": f"{python_path(files)}:/judge",
                    "PYTEST_ADDOPTS": "--no-header",
                    "TESTED": "/judge/tested.json",
                },
                files={
                    **{f"{WORKDIR}/{path}": file for path, file in files.items()},
                    "/judge/tested.py": File(_PLUGIN.read_bytes()),
                    "/judge/tested.json": File(json.dumps(settings).encode()),
                },
                collect=("/judge/report.json",),
            ),
        )
        if ended.limit == "cancelled":
            raise SandboxError("it was cancelled")
        report = ended.files.get("/judge/report.json")
        if report is None:
            said = (ended.stdout + ended.stderr).decode("utf-8", "replace").strip()
            return Ran({}, (), stopped=ended.limit or said[-400:] or f"exit {ended.exit_code}")
        return read(json.loads(report.data))


def read(told: Mapping[str, Any]) -> Ran:
    numbers = told["numbers"]
    lines = {
        name: {int(line): {numbers[n]: depth for n, depth in by} for line, by in found.items()}
        for name, found in told["lines"].items()
        if found
    }
    tests = {id: Seen(**seen) for id, seen in told["tests"].items() if _plain(id)}
    return Ran(tests, told["broken"], lines)


def _plain(id: str) -> bool:
    """Whether a line of a log says this name and no other."""
    return id.isprintable() and id.isascii() and not any(char.isspace() for char in id)


def shown(text: str) -> str:
    """Text of a test or a commit in an instruction: indented, and nothing of a box's own paths."""
    lines = text.replace(f"{WORKDIR}/", "").splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines if line.isprintable())


def script(modules: Sequence[str], hidden: bool) -> bytes:
    """tests/run.sh: the hidden tests are put where they belong, then everything that counts is run."""
    put = 'cp -R "$(dirname "$0")/files/." . || exit 97\n' if hidden else ""
    return f"#!/bin/bash\n{put}exec {shlex.join(COMMAND)} {shlex.join(modules)}\n".encode()
