"""Boxes made by a Docker engine: single-use containers without a network, on an image that holds no key.

Nothing is ever executed in a running container and no file is copied in or out by the engine: the runner is
the first process, and the job, the answer and the files pass over its attached stream.
"""

from __future__ import annotations

import select
import shutil
import socket
import struct
import threading
import uuid
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sica import wire
from sica.errors import SandboxError, SandboxUnavailable
from sica.model import BoxSpec, Ended, Job, Limits
from sica.owner import alive, owner
from sica.sandboxes.bubblewrap import INSIDE, PROBE, RUNNER, check_probe, place_runner
from sica.sandboxes.spares import Spare, Spares, open_door, shape

IMAGE = "sica-sandbox"
STORE, OWNER = "sica.store", "sica.owner"
"""Labels; nothing inside a box shows them."""

COMPAT = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID", "KILL", "NET_BIND_SERVICE")
"""What root needs in foreign images to install, chown and su."""

TIMEOUT = 120
"""Seconds for one answer of the engine; a busy one takes tens."""


class Docker:
    """The sandbox of a Docker engine."""

    name = "docker"

    def __init__(self, *, store: str, runtime: Path, image: str = IMAGE) -> None:
        self._store = store
        self._runtime = runtime
        self._home = runtime / f"box-{owner()}-{uuid.uuid4().hex[:8]}"
        self._tag = image
        self._lock = threading.Lock()
        self._boxes: Spares[Container] | None = None
        self._version = ""
        self._image = ""

    # ── what the loop calls ───────────────────────────────────────────────────────────────────────

    def image(self) -> str:
        self._ready()
        return f"docker:{self._image.removeprefix('sha256:')[:12]}"

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        boxes = self._ready()
        frame = wire.encode(spec, job)
        with boxes.use(spec) as container:
            return _ended(container, wire.converse(container, spec, job, frame, cancel, stop))

    @contextmanager
    def series(self) -> Iterator[Series]:
        """A container costs half a second of a core: one that is empty again serves the next job."""
        series = Series(self, self._ready())
        try:
            yield series
        finally:
            series.close()

    def probe(self) -> Mapping[str, str]:
        self._ready()
        job = Job(("python3", "-I", "-c", PROBE), cwd="/tmp", env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
        limits = Limits(seconds=30, memory_mb=256, processes=16)
        try:
            ended = self.run(BoxSpec(writable=("/tmp",), limits=limits), job)
        except SandboxUnavailable:
            raise
        except SandboxError as error:
            raise SandboxUnavailable(f"docker cannot make a box here: {error}", error.hint) from error
        facts = check_probe(ended)
        with Engine(self._version) as engine:
            about = engine.call("version")
        components = {part["Name"]: part["Version"] for part in about.get("Components", ())}
        return {
            "engine": about["Version"],
            "runc": components.get("runc", "unknown"),
            "kernel": about.get("KernelVersion", "unknown"),
            "image": self._image,
            "limits": "memory, processes and CPU by the engine",
            "python": str(facts["python"]),
            "network": "none",
            "seccomp": "the engine's and ours",
        }

    def sweep(self) -> int:
        """Remove the containers of this store whose sica is dead."""
        self._ready()
        removed = 0
        with Engine(self._version) as engine:
            for found in engine.call("containers", all=True, filters={"label": f"{STORE}={self._store}"}):
                if not alive(found["Labels"].get(OWNER, "")):
                    removed += engine.remove(found["Id"])
        for path in self._runtime.glob("box-*-*"):
            if not alive(path.name.split("-")[1]):
                shutil.rmtree(path)
        return removed

    def close(self) -> None:
        with self._lock:
            if self._boxes is None:
                return
            boxes, self._boxes = self._boxes, None
            try:
                boxes.close()
            finally:
                shutil.rmtree(self._home)

    # ── making a box ──────────────────────────────────────────────────────────────────────────────

    def _ready(self) -> Spares[Container]:
        """Once: the engine answers, can limit what boxes take, and has the image."""
        with self._lock:
            if self._boxes is None:
                with Engine() as engine:
                    require_limits(engine.call("info"))
                    self._image = find_image(engine, self._tag)
                    self._version = engine.version
                place_runner(self._home)
                self._boxes = Spares(self._make, Container.destroy, Container.alive, self._home / "doors")
            return self._boxes

    def _make(self, spec: BoxSpec) -> Container:
        """Started, and waiting for its job."""
        engine = Engine(self._version)
        try:
            container = Container(engine, self._create(engine, spec))
        except SandboxError:
            engine.close()
            raise
        try:
            container.start()
        except SandboxError:
            container.destroy()
            raise
        return container

    def _create(self, engine: Engine, spec: BoxSpec) -> str:
        image = find_image(engine, spec.image) if spec.image else self._image
        config = self._config(engine, spec, image)
        identity: str = engine.call("create_container_from_config", config)["Id"]
        try:
            assert_confined(engine.call("inspect_container", identity), config)
        except SandboxError:
            engine.remove(identity)
            raise
        return identity

    def _config(self, engine: Engine, spec: BoxSpec, image: str) -> dict[str, Any]:
        strict = spec.profile == "strict"
        user = f"{INSIDE}:{INSIDE}" if strict else "0:0"
        limits = spec.limits
        host = engine.host_config(
            network_mode="none",
            read_only=strict,
            cap_drop=["ALL"],
            cap_add=None if strict else list(COMPAT),
            security_opt=["no-new-privileges:true"],
            mem_limit=limits.memory_mb << 20,
            memswap_limit=limits.memory_mb << 20,
            pids_limit=limits.processes + 1,  # the runner is ours
            nano_cpus=int(limits.cpus * 1e9),
            ipc_mode="private",
            shm_size=16 << 20,
            init=False,
            oom_score_adj=500,
            log_config={"Type": "none", "Config": {}},
            ulimits=[
                {"Name": "nofile", "Soft": wire.OPEN_FILES, "Hard": wire.OPEN_FILES},
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "fsize", "Soft": wire.FILE_BYTES, "Hard": wire.FILE_BYTES},
            ],
            tmpfs={place: _tmpfs(place, limits, user) for place in spec.writable},
            mounts=self._mounts(spec),
        )
        return {
            "Image": image,
            "User": user,
            "Hostname": "box",
            "WorkingDir": "/",
            "Entrypoint": ["python3", "-I", "-S", "-X", "utf8", RUNNER],
            "Cmd": [],
            "Healthcheck": {"Test": ["NONE"]},
            "NetworkDisabled": True,
            "Tty": False,
            "OpenStdin": True,
            "StdinOnce": True,  # the runner ends when we do
            **{f"Attach{name}": True for name in ("Stdin", "Stdout", "Stderr")},
            "Labels": {STORE: self._store, OWNER: owner()},
            "HostConfig": host,
        }

    def _mounts(self, spec: BoxSpec) -> list[dict[str, Any]]:
        places = {**spec.mounts, RUNNER: self._home / "runner.py"}
        if spec.socket is not None:
            places["/gw"] = spec.socket
        return [
            {"Type": "bind", "Source": str(path.resolve()), "Target": place, "ReadOnly": True}
            for place, path in sorted(places.items())
        ]


def _tmpfs(place: str, limits: Limits, user: str) -> str:
    mode = "1777" if place == "/tmp" else "0755"
    uid, _, gid = user.partition(":")
    size = f"size={limits.disk_mb}m,nr_inodes=20000,uid={uid},gid={gid},mode={mode}"
    return f"rw,exec,nosuid,nodev,{size}"


def _ended(container: Container, told: wire.Told) -> Ended:
    """The job's end, once the container's own is known. Raises SandboxError when nothing explains it."""
    state = container.end(cut=told.cut is not None)
    ended = wire.judge(told, memory=bool(state.get("OOMKilled")))
    if ended is None:
        said = container.said or f"it ended with exit code {state.get('ExitCode')} {state.get('Error') or ''}"
        raise SandboxError(f"a box failed: {said.strip()}", "run `sica doctor`")
    return ended


class Series:
    """A box whose runner has found it empty takes the next job of its shape. Several threads may ask."""

    name = Docker.name

    def __init__(self, sandbox: Docker, boxes: Spares[Container]) -> None:
        self._sandbox, self._boxes = sandbox, boxes
        self._empty: dict[Hashable, list[Spare[Container]]] = {}

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        if spec.profile != "strict" or stop is not None:
            # A job that may write where nothing is emptied, or whose end a late word to stop may follow.
            return self._sandbox.run(spec, job, cancel, stop)
        spare = self._waiting(spec)
        known = spare is not None
        spare = spare or self._boxes.made(spec)
        told = None
        try:
            if not open_door(spare, spec):
                return self._sandbox.run(spec, job, cancel)
            frame = wire.encode(spec, job, again=True)
            told = wire.converse(spare.box, spec, job, frame, cancel, ready=known, again=True)
            return told.answer if told.ready and told.answer else _ended(spare.box, told)
        finally:
            if told and told.ready:
                self._empty.setdefault(shape(spec), []).append(spare)
            else:
                self._boxes.bury(spare)

    def _waiting(self, spec: BoxSpec) -> Spare[Container] | None:
        waiting = self._empty.setdefault(shape(spec), [])
        while waiting:
            spare = waiting.pop()
            if spare.box.alive():
                return spare
            self._boxes.bury(spare)
        return None

    def close(self) -> None:
        for spare in [each for waiting in self._empty.values() for each in waiting]:
            self._boxes.bury(spare)

    def image(self) -> str:
        return self._sandbox.image()

    def probe(self) -> Mapping[str, str]:
        return self._sandbox.probe()

    def sweep(self) -> int:
        return self._sandbox.sweep()

    def series(self) -> AbstractContextManager[Series]:
        return nullcontext(self)


# ── what the engine must be, and must have made ───────────────────────────────────────────────────


def require_limits(info: Mapping[str, Any]) -> None:
    """An engine on an unusable control group hierarchy starts boxes all the same, without limits."""
    lacking = [name for name in ("MemoryLimit", "PidsLimit", "CpuCfsQuota") if not info.get(name)]
    if lacking:
        raise SandboxUnavailable(
            f"this Docker engine cannot limit what a box takes: it lacks {', '.join(lacking)}",
            "mount control groups with the memory, pids and cpu controllers, and restart the engine",
        )
    if info.get("OSType", "linux") != "linux":
        raise SandboxUnavailable(
            f"this Docker engine runs {info['OSType']} containers", "switch it to Linux containers"
        )


def find_image(engine: Engine, tag: str) -> str:
    try:
        found: str = engine.call("inspect_image", tag)["Id"]
    except Missing as error:
        cure = "build it: make image" if tag == IMAGE else f"docker pull {tag}, or build it"
        raise SandboxUnavailable(f"there is no Docker image {tag}", cure) from error
    return found


def assert_confined(made: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Fail closed: compare what the engine says it made with what was asked for, before it starts."""
    host, want = made["HostConfig"], asked["HostConfig"]
    exact = (
        "NetworkMode",
        "ReadonlyRootfs",
        "Memory",
        "MemorySwap",
        "PidsLimit",
        "NanoCpus",
        "IpcMode",
        "CapDrop",
    )
    loose = [f"{name} is {host.get(name)!r}" for name in exact if host.get(name) != want.get(name)]
    empty = (
        *(
            "Privileged",
            "Binds",
            "Devices",
            "DeviceRequests",
            "DeviceCgroupRules",
            "GroupAdd",
            "VolumesFrom",
            "Links",
        ),
        *("PidMode", "UTSMode", "UsernsMode", "OomKillDisable", "Sysctls", "PortBindings", "PublishAllPorts"),
        *("ExtraHosts", "CgroupParent"),
    )
    loose += [f"{name} is {host.get(name)!r}" for name in empty if host.get(name)]
    capabilities = {name.removeprefix("CAP_") for name in host.get("CapAdd") or ()}
    if capabilities != set(want.get("CapAdd") or ()):
        loose.append(f"CapAdd is {sorted(capabilities)}")
    if host.get("SecurityOpt") != want["SecurityOpt"]:
        loose.append(f"SecurityOpt is {host.get('SecurityOpt')!r}")
    if made["Config"]["User"] != asked["User"]:
        loose.append(f"User is {made['Config']['User']!r}")
    binds = {mount["Target"]: mount for mount in want.get("Mounts") or ()}
    for mount in made["Mounts"]:
        if mount["Type"] == "bind":
            known = binds.get(mount["Destination"])
            if known is None or known["Source"] != mount["Source"] or mount["RW"]:
                loose.append(f"{mount['Source']} is mounted at {mount['Destination']}")
    if loose:
        raise SandboxError(f"the engine made a box that is not confined as asked: {'; '.join(loose)}")


# ── the engine ────────────────────────────────────────────────────────────────────────────────────


class Missing(SandboxError):
    """An image or a container that the engine does not have."""


class Engine:
    """The SDK's low-level client, for one thread at a time; its errors become ours."""

    def __init__(self, version: str = "auto") -> None:
        import docker
        from docker.utils import kwargs_from_env

        where = kwargs_from_env()
        try:
            if version == "auto":
                knock(where.get("base_url") or docker.constants.DEFAULT_UNIX_SOCKET)
            self._client = docker.APIClient(version=version, timeout=TIMEOUT, **where)
        except PermissionError as error:
            raise SandboxUnavailable(
                f"this user may not speak to the Docker engine: {error}",
                "join the group that owns the socket, or use the bubblewrap sandbox",
            ) from error
        except (OSError, docker.errors.DockerException) as error:
            raise SandboxUnavailable(
                f"no Docker engine answers: {_reason(error)}",
                "start it, or install one with bin/docker-engine; or use the bubblewrap sandbox",
            ) from error
        self.version: str = self._client.api_version

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def host_config(self, *, mounts: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
        private = {} if _older(self.version, "1.41") else {"CgroupnsMode": "private"}
        return {**self._client.create_host_config(**settings), "Mounts": mounts, **private}

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        from docker.errors import DockerException, NotFound
        from requests.exceptions import RequestException

        try:
            return getattr(self._client, name)(*args, **kwargs)
        except NotFound as error:
            raise Missing(f"the Docker engine knows no such thing: {_reason(error)}") from error
        except (DockerException, RequestException) as error:
            raise SandboxError(f"the Docker engine refused {name}: {_reason(error)}") from error

    def attach(self, identity: str) -> Attached:
        streams = dict.fromkeys(("stdin", "stdout", "stderr", "stream"), 1)
        return Attached(self.call("attach_socket", identity, params=streams))

    def remove(self, identity: str) -> int:
        """1 when it was there."""
        try:
            self.call("remove_container", identity, force=True, v=True)
        except Missing:
            return 0
        return 1


def knock(url: str) -> None:
    """Raise OSError when nobody listens: the SDK leaves its socket open then."""
    scheme, _, path = url.partition("://")
    if scheme in ("unix", "http+unix"):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(TIMEOUT)
            line.connect("/" + path.lstrip("/"))


def _reason(error: Exception) -> str:
    return wire.printable(str(getattr(error, "explanation", None) or error), 300)


def _older(version: str, than: str) -> bool:
    return tuple(map(int, version.split("."))) < tuple(map(int, than.split(".")))


class Attached:
    """The SDK's wrapping of an attached stream, which leaks its socket unless all three layers are closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.line: socket.socket = stream._sock
        self.line.settimeout(TIMEOUT)

    def close(self) -> None:
        self._stream._response.close()
        self._stream.close()
        self.line.close()


class Container:
    """One box; the engine wraps what comes out of it in frames of eight bytes: stream, size."""

    def __init__(self, engine: Engine, identity: str) -> None:
        self._engine = engine
        self._identity = identity
        self._attached: Attached | None = None
        self._left = 0
        self._stream = 0
        self.said = ""
        """What the runner or the engine printed on stderr."""

    def start(self) -> None:
        self._attached = self._engine.attach(self._identity)
        self._poll = select.poll()
        self._poll.register(self.line, select.POLLIN)
        self._engine.call("start", self._identity)

    @property
    def line(self) -> socket.socket:
        assert self._attached is not None
        return self._attached.line

    def wait(self, seconds: float) -> bool:
        return bool(self._poll.poll(seconds * 1000))

    def alive(self) -> bool:
        """The engine hangs up when a container has ended, or when it ends itself."""
        hung = select.poll()
        hung.register(self.line, select.POLLRDHUP)
        return not hung.poll(0)

    def read(self, size: int, /) -> bytes:
        """Of stdout; stderr is kept for the message of an error."""
        while True:
            if not self._left and not self._header():
                return b""
            data = self._receive(min(size, self._left))
            self._left -= len(data)
            if self._stream == 1 or not data:
                return data
            if len(self.said) < 1000:
                self.said += wire.printable(data.decode(errors="replace"), 1000)

    def _header(self) -> bool:
        header = b""
        while len(header) < 8:
            data = self._receive(8 - len(header))
            if not data:
                return False
            header += data
        self._stream, self._left = struct.unpack(">BxxxI", header)
        return True

    def _receive(self, size: int) -> bytes:
        try:
            return self.line.recv(size)
        except OSError as error:
            raise SandboxError(f"the Docker engine dropped a box: {error}") from error

    def write(self, data: bytes) -> None:
        self.line.sendall(data)

    def cut(self) -> None:
        """The stream first: the engine does not kill a container whose output nobody reads."""
        with suppress(OSError):  # the engine closed it already
            self.line.shutdown(socket.SHUT_RDWR)
        self.kill()

    def kill(self) -> None:
        with suppress(SandboxError):  # it ended by itself: the engine calls that a conflict; `remove` forces
            self._engine.call("kill", self._identity)

    def end(self, cut: bool) -> Mapping[str, Any]:
        """Its state after the last process is gone."""
        if not cut:
            with suppress(OSError):
                self.line.shutdown(socket.SHUT_WR)
        self._engine.call("wait", self._identity, timeout=wire.SLACK)
        state: Mapping[str, Any] = self._engine.call("inspect_container", self._identity)["State"]
        return state

    def destroy(self) -> None:
        """Whatever it is doing."""
        try:
            if self._attached is not None:
                self._attached.close()
        finally:
            try:
                self._engine.remove(self._identity)
            finally:
                self._engine.close()
