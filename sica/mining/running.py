"""A repository's own tests, run in boxes as a task's judge will run them. Nothing of it ever runs outside of one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

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


def python_path(files: Files, workdir: str = WORKDIR) -> str:
    src = [f"{workdir}/src"] if any(path.startswith("src/") for path in files) else []
    return ":".join([*src, workdir, PLACE])


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
    order: int | Literal["reversed"] | None = None
    """Of the tests: backwards, or shuffled with a seed."""
    zone: str = "UTC"
    ahead: float = 0.0
    """Seconds that the clock is ahead, as Python tells it."""
    crowded: bool = False
    """On one processor, which another program uses all the time; everything may take twice as long."""
    home: str = "/tmp"
    workdir: str = WORKDIR


PLAIN = Around()
OTHERS = (
    Around(1, "reversed", home=PLACE),  # a mount, so nothing can be written there
    Around(2, 1, workdir="/tmp/another/and/longer/way/to/the/same/files"),
    Around(3, zone="FAR-14", ahead=400 * 86400.0),
    Around(4, crowded=True),
)
"""With the plain one five runs."""
STEADY = 0.8
"""Of the tests that are to be made to pass: so many must do the same each time, and only those count."""


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
    seconds: float = 0.0


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
class Held:
    """What tests did in all surroundings."""

    runs: Sequence[Ran]

    @property
    def always(self) -> frozenset[str]:
        """Tests that passed each time, whatever else they are tried with.

        A number in a test's name may stand for another value each time, as of a set: when a function did not do the
        same with one, it will not with others in a sixth run.
        """
        passed = frozenset.intersection(*(ran.passed for ran in self.runs))
        shaky = {_function(id) for id in self.ever - passed}
        return frozenset(id for id in passed if _function(id) not in shaky)

    @property
    def ever(self) -> frozenset[str]:
        """Tests that passed at least once."""
        return frozenset().union(*(ran.passed for ran in self.runs))

    @property
    def late(self) -> bool:
        return any(ran.late for ran in self.runs)

    @property
    def fallen(self) -> bool:
        """Whether some run ended early or could not collect a module."""
        return any(ran.stopped or ran.broken for ran in self.runs)


def _function(test: str) -> str:
    return test.partition("[")[0]


def around_all(run: Callable[[Around], Ran], *first: Ran) -> Held:
    """Run in every other surrounding, until one takes too long; what is known of the plain one is named."""
    runs = [*first]
    for around in OTHERS:
        runs.append(run(around))
        if runs[-1].late:
            break
    return Held(runs)


def steady(
    wanted: frozenset[str], ever_before: frozenset[str], always_after: frozenset[str]
) -> frozenset[str]:
    """Of the tests that a change is to make pass those that do each time; none when too many of them differ."""
    found = wanted & always_after - ever_before
    return found if len(found) >= STEADY * len(wanted) else frozenset()


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
        workdir, slack = around.workdir, 2 if around.crowded else 1
        settings = {
            "root": workdir,
            "watched": list(watched),
            "seconds": self.each * slack,
            "order": around.order,
            "ahead": around.ahead,
            "crowded": around.crowded,
            "report": "/judge/report.json",
        }
        ended = self.sandbox.run(
            BoxSpec(
                mounts={PLACE: self.packages},
                writable=(WORKDIR, "/tmp", "/judge"),
                limits=Limits(seconds * slack, MEMORY_MB, DISK_MB),
            ),
            Job(
                (*COMMAND, "-p", "tested", *wanted),
                cwd=workdir,
                env={
                    "PATH": _PATH,
                    "HOME": around.home,
                    "LANG": "C.UTF-8",
                    "TZ": around.zone,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONHASHSEED": str(around.hash_seed),
                    "PYTHONPATH": f"{python_path(files, workdir)}:/judge",
                    "PYTEST_ADDOPTS": "--no-header",
                    "TESTED": "/judge/tested.json",
                },
                files={
                    **{f"{workdir}/{path}": file for path, file in files.items()},
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


_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
"""Of an object, which is another one each time."""


def shown(text: str) -> str:
    """Text of a test or a commit in an instruction: indented, and nothing of a box's own paths and addresses."""
    lines = _ADDRESS.sub(" at 0x...", text.replace(f"{WORKDIR}/", "")).splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines if line.isprintable())


def script(modules: Sequence[str], hidden: bool) -> bytes:
    """tests/run.sh: the hidden tests are put where they belong, then everything that counts is run."""
    put = 'cp -R "$(dirname "$0")/files/." . || exit 97\n' if hidden else ""
    return f"#!/bin/bash\n{put}exec {shlex.join(COMMAND)} {shlex.join(modules)}\n".encode()
