"""What agents ask to be installed, built once outside of every box and shown to boxes read-only.

uv resolves and unpacks for the Python of the box, which may be another than ours. Wheels only: unpacking one runs no
code of its author. The place is named by what was asked for and by whose Python it is for, so two agents that
ask for the same share one, and a child that asks for more leaves its parent's alone.

What was not pinned is resolved once for each project, which keeps the answer: when the place is gone, or another
project's has newer packages, the same ones are installed again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sica import requirements
from sica.errors import CannotInstall, SandboxError, SandboxUnavailable
from sica.model import BoxSpec, Installed, Job, Limits
from sica.ports import Sandbox

FORMAT = 1
MOUNT = "/opt/env"
LARGEST = 3 << 30
"""Bytes of one environment."""
SECONDS = 1200.0
"""For one build."""
UNUSED_DAYS = 30

ASK = """
import json, platform, sys
json.dump([sys.version.split()[0], sys.implementation.name, platform.machine(), *platform.libc_ver()], sys.stdout)
"""

_OURS = re.compile(
    r"error sending request|failed to lookup|dns error|connection (refused|reset)|timed out|client error"
    r"|certificate|no space left|permission denied|5\d\d (internal|bad gateway|service)|429 too many",
    re.IGNORECASE,
)
"""What uv says when it could not ask, as against when the answer was no."""


@dataclass(frozen=True, slots=True)
class Python:
    """What a box runs."""

    version: str
    implementation: str
    machine: str
    libc: str
    libc_version: str

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def platform(self) -> str:
        """uv's name for what its wheels must fit."""
        if self.libc != "glibc":
            return f"{self.machine}-unknown-linux-musl"
        new = tuple(map(int, self.libc_version.split(".")[:2])) >= (2, 28)
        return f"{self.machine}-manylinux_2_28" if new else f"{self.machine}-manylinux2014"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be installed."""

    wanted: tuple[str, ...]
    pins: list[str]
    """What it was resolved to before, transitively; empty the first time."""
    kept: Path | None
    """Where that is written."""

    def lost(self, why: str) -> SandboxError:
        """No verdict about an agent: it has run with these packages."""
        return SandboxError(
            f"the packages that agents of this project ran with cannot be installed again: {why}",
            f"{self.kept} names them; without that file they are resolved anew, to other versions perhaps",
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """One environment on this machine."""

    path: Path
    python: str
    packages: int
    size: int
    used: float
    """Unix time of the last box that had it."""


def usual_root(environ: Mapping[str, str]) -> Path:
    """$XDG_CACHE_HOME/agent-environments: a process in a box can read where binds come from, so it says no more."""
    named = Path(environ.get("XDG_CACHE_HOME", ""))
    home = Path(environ.get("HOME") or Path.home())
    return (named if named.is_absolute() else home / ".cache") / "agent-environments"


class Environments:
    """All environments of this user; `root` is made when the first one is.

    `resolutions`: where one project keeps what its agents' requirements were resolved to at first, a file each.
    """

    def __init__(self, root: Path, say: Callable[[str], object], resolutions: Path | None = None) -> None:
        self.root = root
        self._say = say
        self._resolutions = resolutions
        self._pythons: dict[str, Python] = {}
        self._lock = threading.Lock()

    def ready(
        self,
        wanted: Sequence[str],
        sandbox: Sandbox,
        image: str | None = None,
        cancel: threading.Event | None = None,
    ) -> Installed:
        """The environment of these requirements for a box of this image, built when it is not there yet.

        Raises CannotInstall when the answer is no, and SandboxError when it could not be had for reasons of ours.
        """
        return self.made_for(self._python(sandbox, image, cancel), wanted, cancel)

    def made_for(
        self, python: Python, wanted: Sequence[str], cancel: threading.Event | None = None
    ) -> Installed:
        """The same for a Python that is known, wherever it runs."""
        asked = [FORMAT, list(wanted), python.minor, python.implementation, python.platform]
        place = self.root / _name(asked)
        kept = None  # where all have hashes, nothing is left open
        if self._resolutions and not requirements.hashed(tuple(wanted)):
            kept = self._resolutions / f"{place.name}.txt"
        pins = _pins(kept.read_text()) if kept and kept.exists() else []
        if pins and _installed(place) not in (None, pins):
            place = self.root / _name([*asked, pins])
        if _installed(place) is None:
            self.root.mkdir(parents=True, exist_ok=True)
            with _turn(self.root / f"{place.name}.lock", cancel) as held:
                if _installed(place) is None:
                    self._build(place, Asked(tuple(wanted), pins, kept), python, held, cancel)
        os.utime(place / "about.json")
        lock = (place / "lock.txt").read_text()
        if kept and not kept.exists():
            _keep(kept, f"# {python.minor}, {python.platform}: {', '.join(wanted)}\n{lock}")
        return Installed(place / "packages", hashlib.sha256(lock.encode()).hexdigest()[:16], python.minor)

    def kept(self) -> Iterator[Kept]:
        """Every whole environment, the one used last first."""
        found = []
        for about in self.root.glob("*/about.json"):
            told = json.loads(about.read_text())
            used = about.stat().st_mtime
            found.append(Kept(about.parent, told["python"]["version"], told["packages"], told["size"], used))
        yield from sorted(found, key=lambda one: -one.used)

    def sweep(self, before: float) -> int:
        """Remove what no box had since then, and what killed builds left; bytes of the whole ones among it."""
        freed = 0
        for one in [one for one in self.kept() if one.used < before]:
            with _turn(self.root / f"{one.path.name}.lock", None):
                (one.path / "about.json").unlink()  # first: without it nobody takes it for whole
                shutil.rmtree(one.path)
                freed += one.size
        return freed

    # ── what the box runs ─────────────────────────────────────────────────────────────────────────

    def _python(self, sandbox: Sandbox, image: str | None, cancel: threading.Event | None) -> Python:
        known = image or sandbox.image()
        with self._lock:
            if known not in self._pythons:
                self._pythons[known] = _asked(sandbox, image, cancel)
            return self._pythons[known]

    # ── building ──────────────────────────────────────────────────────────────────────────────────

    def _build(
        self,
        place: Path,
        asked: Asked,
        python: Python,
        held: int,
        cancel: threading.Event | None,
    ) -> None:
        for left in self.root.glob(f".building-{place.name}-*"):
            shutil.rmtree(left)  # of one that was killed: whoever builds holds the lock
        if place.exists():
            shutil.rmtree(place)
        self._say(
            f"building the environment of {len(asked.wanted)} requirements for Python {python.minor}, once ..."
        )
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self.root, prefix=f".building-{place.name}-") as name:
            room = Path(name)
            _install(room, asked, python, self.root / ".wheels", held, cancel)
            packages = room / "packages"
            size = sum(f.lstat().st_size for f in packages.rglob("*"))
            if size > LARGEST:
                raise CannotInstall(
                    f"its packages take {size >> 20} MB; {LARGEST >> 20} MB are allowed", "ask for fewer"
                )
            compiled = _compile(room, python, held, cancel)
            lock = _lock(packages)
            if asked.pins and lock != asked.pins:
                raise asked.lost(f"{', '.join(sorted(set(lock) ^ set(asked.pins)))} differ")
            (room / "lock.txt").write_text("".join(f"{line}\n" for line in lock))
            about = {"python": asdict(python), "packages": len(lock), "size": size, "compiled": compiled}
            (room / "about.json").write_text(json.dumps({**about, "wanted": list(asked.wanted)}))
            room.chmod(0o755)
            os.sync()
            room.rename(place)
            room.mkdir()  # for TemporaryDirectory, which removes it
        seconds = time.monotonic() - began
        self._say(f"built: {len(lock)} packages, {size >> 20} MB, {seconds:.0f} s, in {place}")


def _asked(sandbox: Sandbox, image: str | None, cancel: threading.Event | None) -> Python:
    spec = BoxSpec(
        writable=() if image else ("/tmp",),
        limits=Limits(seconds=60, memory_mb=256),
        image=image,
        profile="compat" if image else "strict",
    )
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    ended = sandbox.run(spec, Job(("python3", "-I", "-S", "-c", ASK), cwd="/", env=path), cancel)
    try:
        return Python(*json.loads(ended.stdout))
    except (ValueError, TypeError):
        said = ended.stderr.decode(errors="replace").strip()[-200:]
        raise SandboxError(
            f"{image or sandbox.image()} has no python3 that says what it is: {said or ended.limit}"
        ) from None


@contextmanager
def _turn(path: Path, cancel: threading.Event | None) -> Iterator[int]:
    """Alone with one environment, among all threads and processes. The lock dies with whoever holds its descriptor."""
    waiting = cancel or threading.Event()
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting.wait(0.1):
                    raise SandboxError("stopped while another was building the environment") from None
        yield fd
    finally:
        os.close(fd)


def _install(
    room: Path,
    asked: Asked,
    python: Python,
    wheels: Path,
    held: int,
    cancel: threading.Event | None,
) -> None:
    for name, lines in (("requirements.txt", asked.wanted), ("pins.txt", asked.pins)):
        (room / name).write_text("".join(f"{line}\n" for line in lines))
    hashed = requirements.hashed(asked.wanted)
    command = [
        *(uv(), "pip", "install", "--quiet", "--color", "never", "--python", sys.executable),
        *("--target", "packages", "--only-binary", ":all:", "--cache-dir", str(wheels)),
        *("--python-version", python.minor, "--python-platform", python.platform),
        *(("--require-hashes",) if hashed else ("--constraint", "pins.txt")),
        *("--requirement", "requirements.txt"),
    ]
    (room / "packages").mkdir()
    code, said = _run(command, room, held, cancel)
    if code:
        refused = _refusal(said)
        raise asked.lost(str(refused)) if asked.pins and isinstance(refused, CannotInstall) else refused
    for script in (room / "packages" / "bin").glob("*"):
        _free_of_our_python(script)


def _run(command: list[str], room: Path, held: int, cancel: threading.Event | None) -> tuple[int, str]:
    """The program inherits the lock: if we are killed and it lives on, nobody builds beside it."""
    env = {"UV_SYSTEM_CERTS": "true", **os.environ}
    stopped = cancel or threading.Event()
    with (room / "said.txt").open("w+b") as said:
        process = subprocess.Popen(
            command, cwd=room, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env, umask=0o022,
            pass_fds=(held,),
        )  # fmt: skip
        until = time.monotonic() + SECONDS
        try:
            while True:
                try:
                    process.wait(0.2)
                    break
                except subprocess.TimeoutExpired:
                    if stopped.is_set():
                        raise SandboxError("stopped while an environment was being built") from None
                    if time.monotonic() > until:
                        raise SandboxError(
                            f"building an environment took longer than {SECONDS:g} s"
                        ) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        said.seek(0)
        return process.returncode, said.read(100_000).decode(errors="replace")


def _refusal(said: str) -> SandboxError:
    """uv's words as an error: of ours when it could not ask, else of whoever wrote the requirements."""
    words = " ".join(re.sub(r"[×╰│├─▶]+", " ", said).split())
    if _OURS.search(words):
        return SandboxError(
            f"an agent's packages cannot be fetched: {words[:600]}",
            "is the package index reachable? UV_INDEX_URL names another one; then run it again",
        )
    cure = "correct its requirements"
    if (
        "no wheels" in words
        or "building source distributions is disabled" in words
        or "no usable wheels" in words
    ):
        cure = "only wheels are installed: ask for a version that has one for this Python, or do without"
    return CannotInstall(f"its packages cannot be installed: {words[:600]}", cure)


_OUR_PYTHON = re.compile(rb"#!(?:[^\n]*python[^\n]*|/bin/sh\n'''exec' [^\n]*\n' ''')\n")
"""How a program begins that is Python's: a path with a blank in it, or a long one, takes a shell and three lines."""


def _free_of_our_python(script: Path) -> None:
    """A program begins with the Python that uv was given, which no box has."""
    program = script.read_bytes()
    named = _OUR_PYTHON.match(program)
    if named is None:
        return
    mode = script.stat().st_mode
    script.unlink()  # it may be a second name of a file in uv's cache
    script.write_bytes(b"#!/usr/bin/env python3\n" + program[named.end() :])
    script.chmod(mode)


def _compile(room: Path, python: Python, held: int, cancel: threading.Event | None) -> bool:
    """Bytecode beside the sources: nothing can write it later. Compiling runs no code of what it compiles."""
    program = _same_bytecode(python.minor)
    if program is None:
        return False
    packages = str(room / "packages")
    command = [program, "-I", "-S", "-m", "compileall", "-q", "-j", "0", "-s", packages, "-p", MOUNT]
    # A file of a package that is no Python of this version stays as it is.
    _run([*command, "--invalidation-mode", "unchecked-hash", packages], room, held, cancel)
    return True


def _same_bytecode(minor: str) -> str | None:
    if platform.python_version().startswith(minor + "."):
        return sys.executable
    return shutil.which(f"python{minor}")


def _name(asked: list[object]) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


def _installed(place: Path) -> list[str] | None:
    """What a whole environment holds; None where there is none."""
    return _pins((place / "lock.txt").read_text()) if (place / "about.json").exists() else None


def _pins(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _keep(path: Path, text: str) -> None:
    """The first one who writes it is right."""
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as fresh:
        fresh.write(text)
        fresh.flush()
        os.fsync(fresh.fileno())
        with suppress(FileExistsError):
            os.link(fresh.name, path)


def _lock(packages: Path) -> list[str]:
    """What was resolved: name==version, by name."""
    found = []
    for info in packages.glob("*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").partition("-")
        found.append(f"{name.lower().replace('_', '-')}=={version}")
    return sorted(found)


def uv() -> str:
    """The program that came with sica, or the system's."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise SandboxUnavailable("there is no uv, which installs an agent's packages", "pip install uv")
    return found
