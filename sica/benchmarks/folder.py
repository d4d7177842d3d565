"""A directory of task folders as a benchmark. Judges from the folders' own files, in boxes the agent
never saw.
"""

from __future__ import annotations

import fnmatch
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from os import getuid
from pathlib import Path, PurePosixPath

from sica import grading, harbor
from sica.errors import UsageError, no_such
from sica.harbor import Folder
from sica.model import Budget, File, Files, Grade, Limits, Task
from sica.ports import Sandbox


class FolderBenchmark:
    """`root` is a directory of task folders, or one task folder. `names` are task names or globs;
    empty means all.
    """

    def __init__(
        self, root: Path, name: str, *, names: Sequence[str] = (), runtime: Path | None = None
    ) -> None:
        self.root = root
        self.name = name
        self.names = tuple(names)
        self._read: dict[str, Folder] = {}
        self.runtime = runtime or Path(tempfile.gettempdir()) / f"box-{getuid()}" / "judge"

    @cached_property
    def folders(self) -> dict[str, Folder]:
        """Every selected task by name, the unsupported ones too. Raises UsageError for the first
        broken folder.
        """
        paths = self.paths()
        if not paths:
            raise UsageError(
                f"{self.root}: holds no task", "a task is a folder with task.toml and instruction.md"
            )
        return {name: self._named(name) for name in _chosen(sorted(paths), self.names, self.name)}

    def paths(self) -> dict[str, Path]:
        """Where the tasks are, by name, read or not."""
        if not self.root.is_dir():
            raise UsageError(f"{self.root}: there is no such directory", "name a directory of task folders")
        if (self.root / "task.toml").is_file():
            return {self.root.name: self.root}
        return {path.parent.name: path.parent for path in sorted(self.root.glob("*/task.toml"))}

    def read(self, name: str) -> tuple[Folder, tuple[str, ...]]:
        """One folder and why this sica cannot run it. Raises UsageError when it is broken."""
        folder = self._named(name)
        return folder, unsupported(folder)

    @property
    def unsupported(self) -> dict[str, tuple[str, ...]]:
        """Tasks that are left out and why, by name."""
        found = {name: unsupported(folder) for name, folder in self.folders.items()}
        return {name: why for name, why in found.items() if why}

    def tasks(self) -> Sequence[Task]:
        left_out = self.unsupported
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
            folder=str(folder.path),
        )

    def workspace(self, task: Task) -> Files:
        return harbor.copied(self._folder(task))

    def grade(
        self, task: Task, left: Files, sandbox: Sandbox, cancel: threading.Event | None = None
    ) -> Grade:
        return grading.grade(self.case(task), left, sandbox, cancel)

    def case(self, task: Task) -> grading.Case:
        folder = self._folder(task)
        return grading.Case(
            task=task,
            pristine=self.workspace(task),
            tests=below(folder.path / "tests"),
            protect=folder.sica.protect,
            guards=folder.sica.guards,
            seconds=folder.table.verifier.timeout_sec,
            env={**dict(folder.recipe.env), **folder.table.verifier.env},
            runtime=self.runtime,
        )

    def solution(self, task: Task) -> Files:
        """The reference solution, by relative path. For checking the task, never for an agent."""
        return below(self._folder(task).path / "solution")

    def build(self, task: Task) -> str:
        """Make the image that the task's Dockerfile describes, with network at this moment only; its name.

        Nothing is built twice: the image's name is the task's digest. Raises SandboxError when it fails.
        """
        folder = self._folder(task)
        if task.image is None or folder.table.environment.docker_image:
            return task.image or ""
        return _build(folder, task.image)

    def _folder(self, task: Task) -> Folder:
        return self._named(task.name)

    def _named(self, name: str) -> Folder:
        """Read once each: a broken neighbour does not matter to this one."""
        if name not in self._read:
            if name not in (paths := self.paths()):
                raise no_such("task", f"{self.name}/{name}", [f"{self.name}/{each}" for each in paths])
            self._read[name] = harbor.read(paths[name])
        return self._read[name]


def _chosen(there: list[str], names: tuple[str, ...], benchmark: str) -> list[str]:
    if not names:
        return there
    chosen: list[str] = []
    for name in names:
        wanted = name.removeprefix(f"{benchmark}/")
        found = fnmatch.filter(there, wanted)
        if not found:
            raise no_such("task", name, there)
        chosen += [each for each in found if each not in chosen]
    return chosen


def unsupported(folder: Folder) -> tuple[str, ...]:
    """The reader's list, and what the seams cannot carry yet."""
    reasons = list(folder.unsupported)
    if not folder.needs_image:
        outside = [place for _, place in folder.recipe.copies if not _within(place, folder.workdir)]
        reasons += [f"unsupported: COPY to {place} outside the workdir" for place in outside]
    far = [place for place in folder.workspace if not _within(place, folder.workdir)]
    reasons += [f"unsupported: workspace {place} outside the workdir" for place in far]
    host = {**folder.table.environment.env, **folder.table.verifier.env}
    reasons += [
        f"unsupported: {key} takes a variable of the host" for key, value in host.items() if "${" in value
    ]
    return tuple(reasons)


def _within(place: str, workdir: str) -> bool:
    return PurePosixPath(place).is_relative_to(workdir)


def below(directory: Path) -> dict[str, File]:
    if not directory.is_dir():
        return {}
    return {
        name: File(path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for name, path in harbor.task_files(directory)
    }


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
    )


def _image(folder: Folder) -> str | None:
    if folder.table.environment.docker_image:
        return folder.table.environment.docker_image
    return f"sica-task:{folder.digest[:32]}" if folder.recipe.needs_build else None


def _build(folder: Folder, image: str) -> str:
    import docker

    from sica.errors import SandboxError, SandboxUnavailable

    try:
        client = docker.from_env()
    except docker.errors.DockerException as e:
        raise SandboxUnavailable(f"{folder.path.name} needs Docker to build its image: {e}") from e
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        try:
            client.images.build(
                path=str(folder.path / "environment"),
                tag=image,
                rm=True,
                forcerm=True,
                timeout=int(folder.table.environment.build_timeout_sec),
            )
        except (docker.errors.BuildError, docker.errors.APIError) as e:
            raise SandboxError(f"{folder.path / 'environment' / 'Dockerfile'}: the build failed: {e}") from e
    finally:
        client.close()
    return image
