"""Control groups through their file system, both versions: a box's memory, processes and processor time.

`Cgroups.find` looks for a place where this user may make groups: anywhere for root, a delegated subtree of
version 2 for others. There may be none; then `None`, and rlimits and the runner's watch over memory must do.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sica.errors import SandboxError
from sica.model import Limits

CONTROLLERS = ("memory", "pids", "cpu")
PERIOD = 100_000


@dataclass(frozen=True, slots=True)
class Group:
    """One box's group: a directory for each hierarchy."""

    paths: Mapping[str, Path]
    version: int

    def directories(self) -> list[str]:
        return sorted({str(path) for path in self.paths.values()})

    def limit(self, limits: Limits) -> None:
        memory = limits.memory_mb << 20
        quota = max(int(limits.cpus * PERIOD), 1000)
        if self.version == 2:
            self._write("memory", "memory.max", memory)
            self._write("memory", "memory.swap.max", 0, must=False)
            self._write("cpu", "cpu.max", f"{quota} {PERIOD}")
        else:
            self._write("memory", "memory.limit_in_bytes", memory)
            self._write("memory", "memory.memsw.limit_in_bytes", memory, must=False)
            self._write("cpu", "cpu.cfs_period_us", PERIOD)
            self._write("cpu", "cpu.cfs_quota_us", quota)
        self._write("pids", "pids.max", limits.processes + 2)  # bwrap and the runner are ours

    def _write(self, controller: str, name: str, value: object, must: bool = True) -> None:
        path = self.paths[controller] / name
        if not must and not path.exists():
            return  # a kernel without swap accounting
        try:
            path.write_text(str(value))
        except OSError as error:
            raise SandboxError(f"cannot set {path} to {value}: {error.strerror}") from error

    def memory_kills(self) -> int:
        """How many processes the kernel ended because the box's memory was used up."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        for line in (self.paths["memory"] / name).read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
        return 0

    def remove(self) -> None:
        for directory in self.directories():
            remove(Path(directory))


def remove(directory: Path) -> None:
    """Its last process may still be on its way out of the kernel."""
    until = time.monotonic() + 5
    while True:
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > until:
                raise SandboxError(f"cannot remove {directory}: {error.strerror}") from error
            time.sleep(0.005)
        else:
            return


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where groups can be made."""

    parents: Mapping[str, Path]
    version: int

    @staticmethod
    def find() -> Cgroups | None:
        mounts, own = _mounts(), _own()
        return _version2(mounts, own) or _version1(mounts, own)

    def make(self, name: str, limits: Limits) -> Group:
        group = Group(
            {controller: parent / name for controller, parent in self.parents.items()}, self.version
        )
        try:
            for directory in group.directories():
                Path(directory).mkdir()
        except OSError as error:
            group.remove()
            raise SandboxError(f"cannot make the control group {error.filename}: {error.strerror}") from error
        group.limit(limits)
        return group

    def named(self, prefix: str) -> list[Path]:
        return [
            path
            for parent in set(self.parents.values())
            for path in parent.glob(prefix + "*")
            if path.is_dir()
        ]


def _mounts() -> dict[str, tuple[Path, str]]:
    """Controller, or "" for version 2 -> (mount point, the group that is its root)."""
    found: dict[str, tuple[Path, str]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        root, point = fields.split()[3:5]
        kind, _, options = rest.split(maxsplit=2)
        if kind == "cgroup2":
            found.setdefault("", (Path(point), root))
        elif kind == "cgroup":
            for controller in set(options.split(",")) & set(CONTROLLERS):
                found.setdefault(controller, (Path(point), root))
    return found


def _own() -> dict[str, str]:
    """Controller, or "" for version 2 -> our own group."""
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    return own


def _below(mount: tuple[Path, str], path: str) -> Path:
    point, root = mount
    return point / os.path.relpath(path, root) if path.startswith(root) else point


def _version1(mounts: Mapping[str, tuple[Path, str]], own: Mapping[str, str]) -> Cgroups | None:
    if not all(controller in mounts and controller in own for controller in CONTROLLERS):
        return None
    parents = {controller: _below(mounts[controller], own[controller]) for controller in CONTROLLERS}
    parents = {controller: parent.resolve() for controller, parent in parents.items()}
    return Cgroups(parents, 1) if all(_usable(parent) for parent in parents.values()) else None


def _version2(mounts: Mapping[str, tuple[Path, str]], own: Mapping[str, str]) -> Cgroups | None:
    """The nearest group above ours that hands all three controllers to its children and lets us make one."""
    if "" not in mounts or "" not in own:
        return None
    point = mounts[""][0]
    here = _below(mounts[""], own[""]).resolve()
    while here.is_relative_to(point):
        control = here / "cgroup.subtree_control"
        with contextlib.suppress(OSError):
            control.write_text(" ".join("+" + controller for controller in CONTROLLERS))
        with contextlib.suppress(OSError):
            if set(CONTROLLERS) <= set(control.read_text().split()) and _usable(here):
                return Cgroups(dict.fromkeys(CONTROLLERS, here), 2)
        here = here.parent
    return None


def _usable(parent: Path) -> bool:
    return os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK)
