"""A directory of task folders as a benchmark. Judges from the folders' own files, in boxes the agent
never saw.
"""

from __future__ import annotations

import fnmatch
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from os import getuid
from pathlib import Path
from shutil import which

from sica import dataset, grading, harbor, images, quarantine, wheels
from sica.errors import SandboxError, SandboxUnavailable, UsageError, no_such
from sica.harbor import Folder
from sica.images import Image
from sica.model import Budget, Files, Grade, Limits, Task
from sica.ports import Sandbox


@dataclass(frozen=True, slots=True)
class Subset:
    """So many of the tasks, drawn by the seed. A larger one holds the smaller, and a new task moves no other."""

    most: int | None = None
    seed: int = 0

    def of(self, names: Sequence[str]) -> list[str]:
        """Those that are drawn, in their own order."""
        if self.most is None or self.most >= len(names):
            return list(names)
        drawn = sorted(names, key=lambda name: sha256(f"{self.seed}:{name}".encode()).digest())
        kept = set(drawn[: self.most])
        return [name for name in names if name in kept]


class FolderBenchmark:
    """`root` is a directory of task folders, or one task folder. `names` are task names or globs;
    empty means all.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        names: Sequence[str] = (),
        subset: Subset | None = None,
        runtime: Path | None = None,
    ) -> None:
        self.root = root
        self.name = name
        self.names = tuple(names)
        self.subset = subset or Subset()
        self._read: dict[str, Folder] = {}
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._images: dict[str, tuple[Image, Files]] = {}
        """By digest: the image, and the workspace that it brings."""
        self._packages: dict[tuple[str, str], tuple[str, str]] = {}
        self.runtime = runtime or Path(tempfile.gettempdir()) / f"box-{getuid()}" / "judge"

    @cached_property
    def folders(self) -> dict[str, Folder]:
        """Every selected task by name, the unsupported ones too. Raises UsageError for the first
        broken folder.
        """
        return {name: self._named(name) for name in self.selected()}

    def selected(self) -> list[str]:
        """Names of the tasks that are meant, read or not."""
        paths = self.paths()
        if not paths:
            raise UsageError(
                f"{self.root}: holds no task",
                "a task is a folder with task.toml and instruction.md; docs/importers.md has the other forms",
            )
        return self.subset.of(_chosen(list(paths), self.names, self.name))

    def paths(self) -> dict[str, Path]:
        """Where the tasks are, by name, read or not."""
        if not self.root.is_dir():
            raise UsageError(f"{self.root}: there is no such directory", "name a directory of task folders")
        if (self.root / "task.toml").is_file():
            return {self.root.name: self.root}
        there = {path.parent.name: path.parent for path in sorted(self.root.glob("*/task.toml"))}
        return dict(sorted(dataset.listed(self.root, there).items()))

    def read(self, name: str, sandbox: str = "docker") -> tuple[Folder, tuple[str, ...]]:
        """One folder and why this sandbox cannot run it. Raises UsageError when it is broken."""
        folder = self._named(name)
        return folder, unsupported(folder, sandbox)

    @property
    def unsupported(self) -> dict[str, tuple[str, ...]]:
        """Tasks that are left out in every sandbox and why, by name."""
        return self.unsupported_in("docker")

    def unsupported_in(self, sandbox: str) -> dict[str, tuple[str, ...]]:
        """Tasks that cannot be run in this sandbox and why, by name. They are never scored."""
        found = {
            name: (*unsupported(folder, sandbox), *self._quarantined(name, folder))
            for name, folder in self.folders.items()
        }
        return {name: why for name, why in found.items() if why}

    @cached_property
    def quarantine(self) -> Mapping[str, quarantine.Entry]:
        """By name, tasks that did not hold when they were last looked at."""
        alone = (self.root / "task.toml").is_file()
        return quarantine.read(self.root.parent if alone else self.root)

    def _quarantined(self, name: str, folder: Folder) -> tuple[str, ...]:
        entry = self.quarantine.get(name)
        return (entry.words,) if entry and entry.digest == folder.digest else ()

    def tasks(self) -> Sequence[Task]:
        """Those that can be had at all. Raises UsageError when each one that is meant is left out."""
        left_out = self.unsupported
        if len(left_out) == len(self.folders):
            name, why = next(iter(left_out.items()))
            more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
            raise UsageError(
                f"{self.name}/{name} cannot be run: {'; '.join(why)}{more}", "docs/tasks.md says what can"
            )
        return tuple(self.task(name) for name in self.folders if name not in left_out)

    def task(self, name: str) -> Task:
        folder = self._named(name)
        ours = folder.sica
        return Task(
            id=f"{self.name}/{name}",
            digest=folder.digest,
            instruction=folder.instruction,
            workdir=folder.workdir,
            split=ours.split,
            level=ours.level,
            kind=ours.kind or str((folder.table.metadata.model_extra or {}).get("category", "")),
            weight=ours.weight,
            limits=_limits(folder),
            budget=Budget(usd=ours.usd, tokens=ours.tokens, calls=ours.calls),
            grading=folder.grading,
            image=_image(folder),
            places=folder.workspace,
            env=_environment(folder),
            tries=ours.tries,
            folder=str(folder.path),
        )

    def workspace(self, task: Task) -> Files:
        return {} if task.image else harbor.copied(self._folder(task))

    def prepare(self, task: Task, sandbox: Sandbox, cancel: threading.Event | None = None) -> Task:
        """The task with its image built or fetched, and what the image says of itself.

        Nothing is built twice: the image's name is the task's digest. Raises SandboxError when it fails.
        """
        folder = self._folder(task)
        if task.image is None:
            return self._with_packages(task, folder, sandbox)
        if sandbox.name != "docker":
            raise SandboxError(f"{folder.path}: {unsupported(folder, sandbox.name)[-1]}")
        with self._lock:
            turn = self._turns.setdefault(folder.digest, threading.Lock())
        with turn:
            if folder.digest not in self._images:
                image = images.ready(folder, _image(folder) or "")
                ready = _in_image(task, folder, image)
                self._images[folder.digest] = image, grading.pristine(ready, sandbox, cancel)
        return _in_image(task, folder, self._images[folder.digest][0])

    def _with_packages(self, task: Task, folder: Folder, sandbox: Sandbox) -> Task:
        pins = _pins(folder)
        if not pins:
            return task
        key = wheels.digest(pins), sandbox.image()
        with self._lock:
            turn = self._turns.setdefault("packages", threading.Lock())
        with turn:
            if key not in self._packages:
                try:
                    self._packages[key] = wheels.mounted(pins, sandbox, self.runtime)
                except UsageError as error:
                    raise SandboxError(f"{folder.path}: {error}", error.hint) from error
        return replace(task, mounts=(self._packages[key],))

    def pristine(self, task: Task) -> Files:
        """The workspace before the agent came. Of a task with an image, after `prepare`."""
        if task.image is None:
            return self.workspace(task)
        return self._images[task.digest][1]

    def grade(
        self, task: Task, left: Files, sandbox: Sandbox, cancel: threading.Event | None = None
    ) -> Grade:
        try:
            ready = self.prepare(task, sandbox, cancel)
        except SandboxUnavailable:
            raise
        except SandboxError as error:
            return Grade(None, task.grading, fault=str(error))
        return grading.grade(self.case(ready), left, sandbox, cancel)

    def case(self, task: Task) -> grading.Case:
        folder = self._folder(task)
        return grading.Case(
            task=task,
            pristine=self.pristine(task),
            tests=harbor.tree(folder.path, "tests"),
            protect=folder.sica.protect,
            guards=folder.sica.guards,
            seconds=folder.table.verifier.timeout_sec,
            whole=folder.sica.credit == "all",
            env={**dict(task.env), **folder.table.verifier.env},
            runtime=self.runtime,
        )

    def solution(self, task: Task) -> Files:
        """The reference solution, by relative path. For checking the task, never for an agent."""
        return harbor.tree(self._folder(task).path, "solution")

    def _folder(self, task: Task) -> Folder:
        return self._named(task.name)

    def _named(self, name: str) -> Folder:
        """Read once each: a broken neighbour does not matter to this one."""
        if name not in self._read:
            if name not in (paths := self.paths()):
                raise no_such("task", f"{self.name}/{name}", [f"{self.name}/{each}" for each in paths])
            if not name.isprintable():
                raise UsageError(f"{paths[name]}: {name!a} is no name for a task", "rename the folder")
            folder = harbor.read(self._place(name))
            if not unsupported(folder) and folder.grading != "script":
                grading.judgeable(folder.grading, str(folder.path), harbor.tree(folder.path, "tests"))
            _pins(folder)
            self._read[name] = folder
        return self._read[name]

    def _place(self, name: str) -> Path:
        """The task's folder on the disk."""
        return self.paths()[name]


def _chosen(there: list[str], names: tuple[str, ...], benchmark: str) -> list[str]:
    if not names:
        return there
    chosen: list[str] = []
    for name in names:
        wanted = name.removeprefix(f"{benchmark}/")
        found = [wanted] if wanted in there else fnmatch.filter(there, wanted)
        if not found:
            raise no_such("task", name, there)
        chosen += [each for each in found if each not in chosen]
    return chosen


def unsupported(folder: Folder, sandbox: str = "docker") -> tuple[str, ...]:
    """Why a task cannot be run in this sandbox: the reader's list, and what only an image can give."""
    reasons = list(folder.unsupported)
    host = {**folder.table.environment.env, **folder.table.verifier.env}
    reasons += [
        f"unsupported: {key} takes a variable of the host" for key, value in host.items() if "${" in value
    ]
    if not folder.needs_image:
        reasons += [
            f"unsupported: {program} is not in the sandbox (docs/importers.md: toolchains)"
            for program in folder.sica.requires
            if sandbox == "docker" or which(program, path=grading.PATH) is None
        ]
    if sandbox == "docker" and (why := images.missing(folder)):
        reasons.append(f"unsupported: {why}")
    if folder.needs_image and sandbox != "docker":
        image = folder.table.environment.docker_image
        what = f"docker_image {image}" if image else f"{folder.needs_build} in the Dockerfile"
        reasons.append(f"unsupported: {what} without Docker")
    return tuple(reasons)


def _pins(folder: Folder) -> str:
    """What the task's boxes see at /packages, or "". Raises UsageError for a list that is none."""
    named = folder.sica.environment
    return wheels.read(harbor.tree(folder.path, "environment"), named, str(folder.path)) if named else ""


def _limits(folder: Folder) -> Limits:
    """The task's own where it states them, in Harbor's units; our defaults elsewhere."""
    table, toml = folder.table, folder.path / "task.toml"
    limits = Limits()
    return replace(
        limits,
        seconds=table.agent.timeout_sec or limits.seconds,
        memory_mb=harbor.memory_mb(toml, table) or limits.memory_mb,
        disk_mb=harbor.storage_mb(toml, table) or limits.disk_mb,
        cpus=table.environment.cpus or limits.cpus,
        processes=folder.sica.processes or limits.processes,
    )


def _image(folder: Folder) -> str | None:
    if folder.table.environment.docker_image:
        return folder.table.environment.docker_image
    return f"sica-task:{folder.digest[:32]}" if folder.needs_build else None


def _environment(folder: Folder) -> tuple[tuple[str, str], ...]:
    own = {} if folder.needs_image else dict(folder.recipe.env)
    return tuple(sorted({**own, **folder.table.environment.env}.items()))


def _in_image(task: Task, folder: Folder, image: Image) -> Task:
    """The image's own words for what the folder left open."""
    workdir = task.workdir if folder.states_workdir else image.workdir or task.workdir
    env = {"HOME": "/root", **image.env, **dict(task.env)}
    return replace(
        task,
        image=image.name,
        workdir=workdir,
        places=harbor.places(folder.sica.workspace, workdir),
        env=tuple(sorted(env.items())),
    )
