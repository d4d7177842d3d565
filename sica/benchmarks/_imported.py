"""What importers share: problems of a data set that the user has, laid out as task folders when they are needed.

An importer is a file of this package with three names, found by `sica.benchmarks.importers`:

    FORM             what it reads and where that is to be had, in words for people
    fits(path)       whether the path holds that form; a cheap look
    problems(path)   every Problem in the data's own order
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from sica import harbor
from sica.benchmarks.folder import FolderBenchmark
from sica.errors import UsageError
from sica.model import File, Files

IMAGE = "python:3.12-slim"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,119}")
_SOLVE = b'#!/bin/bash\ncp -R "$(dirname "$0")/files/." .\n'


@dataclass(frozen=True, slots=True)
class Made:
    """One problem as a task. Nothing of `tests` and `answer` is ever put before an agent."""

    instruction: str
    tests: Files
    """By path below tests/."""
    workspace: Files = field(default_factory=dict)
    """By path below the workdir."""
    answer: Files = field(default_factory=dict)
    """What the reference solution leaves, by path below the workdir; empty when the data has none."""
    ours: Mapping[str, Any] = field(default_factory=dict)
    """[metadata.sica]: grading, kind, protect, refused, ..."""
    solution: Files = field(default_factory=dict)
    """Below solution/, when leaving files is not all that the reference does."""
    environment: Files = field(default_factory=dict)
    """Below environment/, with a Dockerfile: instead of the workspace."""
    image: str = ""
    workdir: str = "/app"
    seconds: float = 120.0
    judge_seconds: float = 60.0
    memory_mb: int = 512
    storage_mb: int = 64


@dataclass(frozen=True, slots=True)
class Problem:
    name: str
    make: Callable[[], Made]
    """Called when the problem is chosen; raises UsageError when the data will not do."""


class Importer(Protocol):
    FORM: str

    def fits(self, path: Path) -> bool: ...

    def problems(self, path: Path) -> Iterable[Problem]: ...


def text(words: str) -> File:
    return File(words.encode())


def plain_name(id: str, where: str) -> str:
    """A data set's id as the name of a folder: HumanEval/0 is HumanEval-0. UsageError for what no folder can bear."""
    name = id.strip().replace("/", "-").replace(" ", "-")
    if not NAME.fullmatch(name):
        raise UsageError(f"{where}: {id[:80]!r} is no name for a task", "use letters, digits and . _ - +")
    return name


class ImportedBenchmark(FolderBenchmark):
    """A data set as a benchmark. `root` is the user's file or folder, which is only read."""

    def __init__(self, importer: Importer, root: Path, name: str, **options: Any) -> None:
        super().__init__(root, name, **options)
        self._importer = importer

    @cached_property
    def problems(self) -> dict[str, Problem]:
        """By name, in the data's order. Raises UsageError when two have one name."""
        found: dict[str, Problem] = {}
        for problem in self._importer.problems(self.root):
            if problem.name in found:
                raise UsageError(
                    f"{self.root}: two problems are called {problem.name!r}", "ids must differ: remove one"
                )
            found[problem.name] = problem
        if not found:
            raise UsageError(f"{self.root}: holds no problem", f"expected: {self._importer.FORM}")
        return found

    def paths(self) -> dict[str, Path]:
        return dict.fromkeys(self.problems, self.root)

    def _place(self, name: str) -> Path:
        return laid(self.problems[name], self.runtime / "imported")


def laid(problem: Problem, cache: Path) -> Path:
    """The problem's folder, written when it is not there: its parent is named by its content."""
    files = folder_files(problem)
    place = cache / _digest(files) / problem.name
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    cache.chmod(0o700)  # hidden tests lie in it
    made = Path(tempfile.mkdtemp(prefix=".laying-", dir=cache))
    try:
        for path, file in files.items():
            target = made / problem.name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            target.chmod(0o755 if file.executable else 0o644)
        made.rename(place.parent)
    except OSError:
        shutil.rmtree(made)
        if not place.is_dir():  # else another sica was faster; its copy is as good
            raise
    return place


def _digest(files: Files) -> str:
    lines = (
        f"{path}\0{file.executable}\0{hashlib.sha256(file.data).hexdigest()}\n"
        for path, file in sorted(files.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]


def folder_files(problem: Problem) -> Files:
    """Everything in the problem's task folder, by relative path."""
    made = problem.make()
    environment = made.environment or {
        "Dockerfile": text(_dockerfile(made)),
        **{f"workspace/{path}": file for path, file in made.workspace.items()},
    }
    solution = made.solution or {
        "solve.sh": File(_SOLVE, True),
        **{f"files/{path}": file for path, file in made.answer.items()},
    }
    parts = {"environment": environment, "tests": made.tests, "solution": solution}
    files = {
        "task.toml": text(_table(problem.name, made)),
        "instruction.md": text(made.instruction.rstrip() + "\n"),
    }
    for part, inner in parts.items():
        files |= {_inside(problem.name, part, path): file for path, file in sorted(inner.items())}
    return files


def _inside(name: str, part: str, path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path or not pure.parts:
        raise UsageError(f"{name}: the path {path!a} leaves the task's folder", "mend the data")
    return f"{part}/{pure.as_posix()}"


def _dockerfile(made: Made) -> str:
    copy = f"COPY workspace/ {made.workdir}/\n" if made.workspace else ""
    return f"FROM {IMAGE}\nWORKDIR {made.workdir}\n{copy}"


def _table(name: str, made: Made) -> str:
    image = [f"docker_image = {toml(made.image)}"] if made.image else []
    return "\n".join(
        [
            f"schema_version = {toml(harbor.SCHEMAS[-1])}",
            "",
            "[task]",
            f"name = {toml(f'imported/{name}')}",
            "",
            "[metadata.sica]",
            *(f"{key} = {toml(value)}" for key, value in made.ours.items()),
            "",
            "[agent]",
            f"timeout_sec = {made.seconds}",
            "",
            "[verifier]",
            f"timeout_sec = {made.judge_seconds}",
            "",
            "[environment]",
            *image,
            f"memory_mb = {made.memory_mb}",
            f"storage_mb = {made.storage_mb}",
            f"workdir = {toml(made.workdir)}",
            "",
        ]
    )


def toml(value: str | float | bool | Sequence[str]) -> str:
    """A TOML value: what JSON escapes is what TOML escapes, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
