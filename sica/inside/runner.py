"""First process of every box: takes a job on stdin, ends everything it started, answers on stdout.

Standard library only, Python 3.9 or newer, because it runs on whatever a box's image has. Both directions
are frames: four bytes of length, then JSON, then the bytes that the JSON announces.

    job      {argv cwd env seconds grace output rlimits memory relay collect caps renew stdin files}, files being
             a list of [path, size, executable]; then the files' bytes in order, then the bytes for stdin
    answer   {event: "ready"} once confined; {event: "ended", ...} with stdout's and stderr's bytes, one
             {path, size, executable} with bytes for each file, and {event: "end"}; or {event: "error"}

A box takes one job, unless that names the places to `renew`: then the runner empties them, and says ready again when
nothing else of the job can have stayed either. Else it leaves, and the box with it.

What the agent cannot do, and why: write to the answer (the descriptors are close-on-exec, and /proc/1/fd
belongs to root because this process is not dumpable), end this process (it is init of its namespace and
handles no signal that does harm), outlive it (a namespace dies with its init), or be alive while its files
are read.

While a job's program runs, one byte on stdin asks for its end: what its time limit would do is done now.
"""

# ruff: noqa: PTH101, PTH103, PTH108, PTH112, PTH114, PTH120, PTH123, PTH208, S606, SIM115

from __future__ import annotations

import ctypes
import errno
import json
import math
import os
import selectors
import signal
import socket
import stat
import struct
import time
from contextlib import suppress

TYPE_CHECKING = False  # importing typing would cost every box 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO, NoReturn

    Instruction = tuple[int, int, int, int]
    Pipes = tuple[int, int, int]

RELAY = ("127.0.0.1", 8765)
GATEWAY = "/gw/gw.sock"
CONNECTIONS = 256
LOOK = 0.25
"""Seconds between two looks at the memory of all processes, where no control group limits it."""
BUFFER = 1 << 18
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 4, 38, 22

libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The box cannot be confined or the job cannot be set up: the harness's failure, never the agent's."""


# ── confinement ───────────────────────────────────────────────────────────────────────────────────

NUMBERS: dict[str, tuple[int, int | None]] = {
    # name: (x86_64, aarch64); None where the machine has no such call
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "set_mempolicy": (238, 237),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "uselib": (134, None),
    "ustat": (136, None),
    "vhangup": (153, 58),
}
CLONE, CLONE3, SOCKET, SOCKETPAIR, IOCTL = (56, 220), (435, 435), (41, 198), (53, 199), (16, 29)
AUDIT_ARCH = (0xC000003E, 0xC00000B7)
MACHINES = {"x86_64": 0, "aarch64": 1, "arm64": 1}
NAMESPACES = 0x7E020080
"""CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}."""
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
X32 = 0x40000000

LOAD, JUMP_EQ, JUMP_GE, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NR, ARCH, ARG0, ARG1 = 0, 4, 16, 24


def refuse(number: int) -> Instruction:
    return (RETURN, 0, 0, ERRNO | number)


def when(number: int, body: list[Instruction]) -> list[Instruction]:
    """A rule for one call: jump over the body unless this is the call; the body always returns."""
    return [(JUMP_EQ, 0, len(body), number), *body]


def seccomp_filter(machine: str) -> list[Instruction]:
    """The filter as (code, jump if true, jump if false, value): all is allowed but what is named here."""
    column = MACHINES.get(machine)
    if column is None:
        raise Refused(f"no system call table for machine {machine!r}")
    allow, eperm = (RETURN, 0, 0, ALLOW), refuse(errno.EPERM)
    program = [
        (LOAD, 0, 0, ARCH),
        (JUMP_EQ, 1, 0, AUDIT_ARCH[column]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NR),
    ]
    if column == 0:
        program += [(JUMP_GE, 0, 1, X32), refuse(errno.ENOSYS)]
    for numbers in NUMBERS.values():
        number = numbers[column]
        if number is not None:
            program += when(number, [eperm])
    program += when(CLONE3[column], [refuse(errno.ENOSYS)])  # libc falls back to clone
    program += when(CLONE[column], [(LOAD, 0, 0, ARG0), (JUMP_SET, 0, 1, NAMESPACES), eperm, allow])
    terminal = [(LOAD, 0, 0, ARG1), (JUMP_EQ, 1, 0, TIOCSTI), (JUMP_EQ, 0, 1, TIOCLINUX), eperm, allow]
    program += when(IOCTL[column], terminal)
    families = [(JUMP_EQ, 3 - n, 0, family) for n, family in enumerate((1, 2, 10))]  # unix, inet, inet6
    program += when(SOCKET[column], [(LOAD, 0, 0, ARG0), *families, refuse(errno.EAFNOSUPPORT), allow])
    return [*program, allow]


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


def prctl(option: int, *values: Any) -> None:
    arguments = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in values]
    arguments += [ctypes.c_ulong(0)] * (4 - len(arguments))
    if libc.prctl(option, *arguments) != 0:
        raise Refused(f"prctl({option}): {os.strerror(ctypes.get_errno())}")


def confine() -> None:
    """Not dumpable, no new privileges, our filter on top of whatever is there already."""
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    program = seccomp_filter(os.uname().machine)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    prctl(PR_SET_SECCOMP, 2, ctypes.byref(Filter(len(program), packed)))
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # init is immune to signals that have no handler; python's is one


# ── frames ────────────────────────────────────────────────────────────────────────────────────────


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Not a byte more: what follows a job must stay where `Work` hears it."""
    data = bytearray()
    while len(data) < size:
        more = stream.read(min(size - len(data), 1 << 20))
        if not more:
            raise Refused("the job ended early")
        data += more
    return bytes(data)


def read_job(stream: BinaryIO) -> dict[str, Any]:
    (length,) = struct.unpack(">I", read_exactly(stream, 4))
    job: dict[str, Any] = json.loads(read_exactly(stream, length))
    for path, size, executable in job["files"]:
        write_file(path, read_exactly(stream, size), executable)
    job["stdin"] = read_exactly(stream, job["stdin"])
    return job


def write_file(path: str, data: bytes, executable: bool) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o755 if executable else 0o644)
        with open(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise Refused(f"cannot put {path}: {error.strerror}") from error


def send(stream: BinaryIO, record: dict[str, Any], *payload: bytes) -> None:
    frame = json.dumps(record).encode()
    stream.write(struct.pack(">I", len(frame)) + frame)
    for data in payload:
        stream.write(data)


# ── the relay ─────────────────────────────────────────────────────────────────────────────────────


class Relay:
    """127.0.0.1:8765 to the gateway's socket, inside the one loop of this process."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self.open = 0
        self.waiting: list[tuple[float, socket.socket, float]] = []
        self.listener = socket.create_server(RELAY, backlog=1024)
        self.sockets = {self.listener}
        self.listener.setblocking(False)
        selector.register(self.listener, selectors.EVENT_READ, self.accept)

    def accept(self, _events: int) -> None:
        try:
            client, _ = self.listener.accept()
        except OSError:
            return  # the client left before it was served
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open += 1
        self.sockets.add(client)
        if self.open >= CONNECTIONS:
            self.selector.unregister(self.listener)
        self.connect(client, time.monotonic() + 10)

    def connect(self, client: socket.socket, until: float) -> None:
        """The gateway may be a moment late or its queue full: try again soon, give up at `until`."""
        gateway = socket.socket(socket.AF_UNIX)
        gateway.setblocking(False)
        try:
            gateway.connect(GATEWAY)
        except OSError as error:
            gateway.close()
            again = error.errno in (errno.EAGAIN, errno.ENOENT, errno.ECONNREFUSED)
            if again and time.monotonic() < until:
                self.waiting.append((time.monotonic() + 0.02, client, until))
            else:
                self.closed(client)
            return
        self.sockets.add(gateway)
        Pair(self, client, gateway)

    def retry(self) -> float | None:
        """Connect what is due; when the next one is, or None."""
        now = time.monotonic()
        due = [entry for entry in self.waiting if entry[0] <= now]
        self.waiting = [entry for entry in self.waiting if entry[0] > now]
        for _, client, until in due:
            self.connect(client, until)
        return min((entry[0] for entry in self.waiting), default=None)

    def closed(self, *ends: socket.socket) -> None:
        for end in ends:
            end.close()
            self.sockets.discard(end)
        if self.open == CONNECTIONS:
            self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.open -= 1

    def close(self) -> None:
        for each in self.sockets:
            each.close()


class Pair:
    """Two sockets that are one connection: bytes and half-closes pass both ways, a buffer at most waits."""

    def __init__(self, relay: Relay, client: socket.socket, gateway: socket.socket) -> None:
        self.relay = relay
        self.ends = (client, gateway)
        self.pending = [bytearray(), bytearray()]  # what waits to be written to ends[i]
        self.ended = [False, False]  # ends[i] will send nothing more
        self.shut = [False, False]  # ends[i] was told that nothing more comes
        self.interest = [0, 0]
        for side in (0, 1):
            self.watch(side)

    def watch(self, side: int) -> None:
        other = 1 - side
        wanted = 0
        if not self.ended[side] and len(self.pending[other]) < BUFFER:
            wanted |= selectors.EVENT_READ
        if self.pending[side]:
            wanted |= selectors.EVENT_WRITE
        if wanted == self.interest[side]:
            return
        if not self.interest[side]:
            self.relay.selector.register(self.ends[side], wanted, lambda events: self.ready(side, events))
        elif not wanted:
            self.relay.selector.unregister(self.ends[side])
        else:
            self.relay.selector.modify(self.ends[side], wanted, lambda events: self.ready(side, events))
        self.interest[side] = wanted

    def ready(self, side: int, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self.receive(side)
            for end in (0, 1):
                self.flush(end)
        except OSError:
            self.close()
            return
        if all(self.shut):
            self.close()
            return
        for end in (0, 1):
            self.watch(end)

    def receive(self, side: int) -> None:
        try:
            data = self.ends[side].recv(65536)
        except BlockingIOError:
            return
        if data:
            self.pending[1 - side] += data
        else:
            self.ended[side] = True

    def flush(self, side: int) -> None:
        if self.pending[side]:
            try:
                del self.pending[side][: self.ends[side].send(self.pending[side])]
            except BlockingIOError:
                return
        if self.ended[1 - side] and not self.pending[side] and not self.shut[side]:
            self.ends[side].shutdown(socket.SHUT_WR)
            self.shut[side] = True

    def close(self) -> None:
        for side in (0, 1):
            if self.interest[side]:
                self.relay.selector.unregister(self.ends[side])
        self.relay.closed(*self.ends)


# ── the job ───────────────────────────────────────────────────────────────────────────────────────


class Kept:
    """Head and tail of a stream; the middle is counted and dropped."""

    def __init__(self, limit: int) -> None:
        self.half = max(limit // 2, 1)
        self.head = bytearray()
        self.tail = bytearray()
        self.dropped = 0

    def add(self, data: bytes) -> None:
        room = self.half - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > 4 * self.half:
            self.trim()

    def trim(self) -> None:
        over = len(self.tail) - self.half
        if over > 0:
            self.dropped += over
            del self.tail[:over]

    def kept(self) -> bytes:
        self.trim()
        gap = b"\n[... %d bytes dropped ...]\n" % self.dropped if self.dropped else b""
        return bytes(self.head) + gap + bytes(self.tail)


def start(job: dict[str, Any], pipes: Pipes) -> int:
    """Fork and exec. What goes wrong before the exec is ours; the exec itself is the agent's: 127 or 126."""
    trouble, told = os.pipe()
    child = os.fork()
    if child == 0:
        execute(job, pipes, told)
    os.close(told)
    with open(trouble, "rb") as stream:
        said = stream.read()  # ends with the exec
    if said:
        raise Refused(said.decode())
    return child


def execute(job: dict[str, Any], pipes: Pipes, told: int) -> NoReturn:
    try:
        become(job, pipes)
    except BaseException as error:  # noqa: BLE001  # nothing may return into the parent's code
        os.write(told, f"cannot start the job: {error!r}".encode())
        os._exit(125)
    program = job["argv"][0]
    try:
        os.execvpe(program, job["argv"], job["env"])
    except FileNotFoundError:
        os.write(2, os.fsencode(f"{program}: not found\n"))
        os._exit(127)
    except (OSError, ValueError) as error:
        os.write(2, os.fsencode(f"{program}: {error}\n"))
        os._exit(126)


def become(job: dict[str, Any], pipes: Pipes) -> None:
    import resource

    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)  # python ignores the first two, and an exec would pass that on
    signal.set_wakeup_fd(-1)
    for target, descriptor in enumerate(pipes):
        os.dup2(descriptor, target)
    os.chdir(job["cwd"])
    os.umask(0o022)
    prctl(PR_SET_DUMPABLE, 1)  # nobody else is alive yet; else oom_score_adj below belongs to root
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # when memory ends, the agent goes before the runner
    for name, limit in job["rlimits"].items():
        number = getattr(resource, "RLIMIT_" + name)
        hard = resource.getrlimit(number)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(number, (allowed, allowed))


def kill_all() -> None:
    """Everything in the box but this process, and wait until it is gone."""
    while True:
        with suppress(ProcessLookupError):  # nobody is there but zombies
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def too_much_memory(limit: int) -> bool:
    """Whether all others in the box hold more than this; exact, and then slow, only when it may be so."""
    others = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    return sum(map(resident, others)) > limit and sum(map(share, others)) > limit


def resident(process: str) -> int:
    try:
        with open(f"/proc/{process}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0  # it has just ended


def share(process: str) -> int:
    """Its own pages, and of those that several have in common its part."""
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass  # it has ended, or hides: then all its pages count
    return resident(process)


class Work:
    """One loop: the program's output, its input and end, the deadline, the relay, and whether sica lives."""

    def __init__(self, job: dict[str, Any], source: int) -> None:
        self.job = job
        self.source = source
        self.selector = selectors.DefaultSelector()
        self.outputs = [Kept(job["output"]), Kept(job["output"])]
        self.streams: set[int] = set()
        self.status: int | None = None
        self.limit: str | None = None
        self.input = memoryview(job["stdin"])

    def run(self) -> None:
        relay = Relay(self.selector) if self.job["relay"] else None
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.selector.register(wake, selectors.EVENT_READ, lambda _: os.read(wake, 4096))
        self.selector.register(self.source, selectors.EVENT_READ, self.heard)
        self.started = time.monotonic()
        self.deadline = self.started + self.job["seconds"]
        self.child = self.launch()
        self.loop(relay)
        self.seconds = time.monotonic() - self.started
        signal.set_wakeup_fd(-1)
        kill_all()
        self.drain()
        self.selector.close()
        if relay:
            relay.close()
        for descriptor in (wake, waker):
            os.close(descriptor)

    def heard(self, _events: int) -> None:
        """A word to stop, or the end of the stream: its sender is gone, and everybody ends."""
        if not os.read(self.source, 1):
            os._exit(1)
        if not self.limit:
            self.deadline = time.monotonic()

    def launch(self) -> int:
        if not os.path.isdir(self.job["cwd"]):
            raise Refused(f"no directory {self.job['cwd']} in the box")
        pipes = [os.pipe(), os.pipe()]
        source, feed = os.pipe() if self.input else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None)
        child = start(self.job, (source, pipes[0][1], pipes[1][1]))
        os.close(source)
        for kept, (reader, writer) in zip(self.outputs, pipes):  # noqa: B905  # strict= came with Python 3.10
            os.close(writer)
            os.set_blocking(reader, False)
            self.streams.add(reader)
            self.selector.register(reader, selectors.EVENT_READ, self.reading(reader, kept))
        if feed is not None:
            os.set_blocking(feed, False)
            self.selector.register(feed, selectors.EVENT_WRITE, lambda _: self.feed(feed))
        return child

    def reading(self, reader: int, kept: Kept) -> Callable[[int], None]:
        def read(_events: int) -> None:
            try:
                data = os.read(reader, 1 << 20)
            except BlockingIOError:
                return
            if data:
                kept.add(data)
            else:
                self.selector.unregister(reader)
                self.streams.discard(reader)
                os.close(reader)

        return read

    def feed(self, feed: int) -> None:
        try:
            self.input = self.input[os.write(feed, self.input[:65536]) :]
        except BlockingIOError:
            return
        except OSError:
            self.input = self.input[:0]  # it does not read on: its own choice
        if not self.input:
            self.selector.unregister(feed)
            os.close(feed)

    def loop(self, relay: Relay | None) -> None:
        look = self.started + LOOK if self.job["memory"] else math.inf
        while not self.reap():
            now = time.monotonic()
            if now >= look:
                if too_much_memory(self.job["memory"]):
                    self.limit = "memory"
                    return
                look = time.monotonic() + LOOK
            if now >= self.deadline:
                if self.limit:
                    return
                self.limit = "seconds"
                with suppress(ProcessLookupError):
                    os.kill(-1, signal.SIGTERM)
                self.deadline = now + self.job["grace"]
            due = relay.retry() if relay else None
            until = min(self.deadline, look) if due is None else min(due, self.deadline, look)
            for key, events in self.selector.select(max(0.0, until - time.monotonic())):
                key.data(events)

    def reap(self) -> bool:
        """Bury whoever died; true when the program itself did."""
        while self.status is None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.child:
                self.status = status
        return True

    def drain(self) -> None:
        """What the dead left in the pipes."""
        while self.streams:
            for key, events in self.selector.select():
                if key.fd in self.streams:
                    key.data(events)

    def exit_code(self) -> int | None:
        if self.limit or self.status is None:
            return None
        if os.WIFSIGNALED(self.status):
            return 128 + os.WTERMSIG(self.status)
        return os.WEXITSTATUS(self.status)


# ── bringing files out ────────────────────────────────────────────────────────────────────────────


class Collector:
    """Regular files below the asked paths; never follows a link, never opens what is not a plain file."""

    def __init__(self, stream: BinaryIO, caps: dict[str, int]) -> None:
        self.stream = stream
        self.count, self.total, self.depth = caps["count"], caps["total"], caps["depth"]
        self.refused: list[tuple[str, str]] = []

    def refuse(self, path: str, why: str) -> None:
        if len(self.refused) < 1000:
            self.refused.append((path, why))

    def collect(self, path: str) -> None:
        """Walk to the path one name at a time, so that no part of it can be a link."""
        parts = [part for part in path.split("/") if part]
        here = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                following = os.open(
                    part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here
                )
                os.close(here)
                here = following
            self.entry(here, parts[-1], "/" + "/".join(parts), 0)
        except FileNotFoundError:
            pass  # the agent left nothing there
        except OSError as error:
            self.refuse(path, str(error.strerror))
        finally:
            os.close(here)

    def entry(self, parent: int, name: str, path: str, depth: int) -> None:
        try:
            info = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                self.directory(parent, name, path, depth)
            elif not stat.S_ISREG(info.st_mode):
                self.refuse(path, "not a regular file")
            elif info.st_nlink > 1:
                self.refuse(path, "has a second name (hard link)")
            else:
                self.file(parent, name, path)
        except FileNotFoundError:
            raise
        except OSError as error:
            self.refuse(path, str(error.strerror))

    def directory(self, parent: int, name: str, path: str, depth: int) -> None:
        if depth >= self.depth:
            self.refuse(path, "too deep")
            return
        here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for child in sorted(os.listdir(here)):
                self.count -= 1
                if self.count < 0:
                    self.refuse(path, "too many files")
                    return
                self.entry(here, child, path + "/" + child, depth + 1)
        finally:
            os.close(here)

    def file(self, parent: int, name: str, path: str) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        with open(descriptor, "rb") as file:
            info = os.fstat(descriptor)
            if info.st_size > self.total:
                self.refuse(path, f"too large: {info.st_size} bytes")
                return
            self.total -= info.st_size
            record = {"path": path, "size": info.st_size, "executable": bool(info.st_mode & 0o100)}
            send(self.stream, record)
            copy(file, self.stream, info.st_size)


def copy(file: BinaryIO, stream: BinaryIO, size: int) -> None:
    """In pieces: a file with holes may be larger than the box's memory."""
    while size:
        data = file.read(min(size, 1 << 18))
        if not data:
            raise OSError(errno.EIO, "a file became shorter while it was read")
        stream.write(data)
        size -= len(data)


# ── another job ───────────────────────────────────────────────────────────────────────────────────

SHARED = ("/dev/shm", "/dev/mqueue")
OOM_KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Control groups of version 2 and 1."""


def renewed(places: list[str]) -> bool:
    """Whether nothing of a job is left once these are emptied: no file, mode or attribute, nothing that processes
    share, and no kill for want of memory, which an engine counts once for a box's whole life. A doubt is a no.
    """
    try:
        for place in (*places, *filter(os.path.isdir, SHARED)):
            empty(place)
            if os.listdir(place) or os.listxattr(place):
                return False
        for place in places:
            os.chmod(place, 0o1777 if place == "/tmp" else 0o755)
        return not shares_memory() and not lost_memory()
    except (OSError, RecursionError):
        return False


def empty(place: str) -> None:
    import shutil

    for name in os.listdir(place):
        path = f"{place}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def shares_memory() -> bool:
    """Segments, queues and semaphores of System V outlive who made them; each table has a head."""
    for kind in ("shm", "msg", "sem"):
        with open(f"/proc/sysvipc/{kind}") as file:
            if len(file.readlines()) > 1:
                return True
    return False


def lost_memory() -> bool:
    for path in filter(os.path.exists, OOM_KILLS):
        with open(path) as file:
            return "oom_kill 0\n" not in file
    return True


# ── the whole of it ───────────────────────────────────────────────────────────────────────────────


def work(source: BinaryIO, answer: BinaryIO) -> None:
    if os.getpid() != 1:
        raise Refused("the runner must be the first process of its box")
    confine()
    again = True
    while again:
        send(answer, {"event": "ready"})
        answer.flush()
        again = one_job(source, answer)


def one_job(source: BinaryIO, answer: BinaryIO) -> bool:
    """Whether the box is as it was before, and wanted for another job."""
    work = Work(read_job(source), source.fileno())
    work.run()
    outputs = [output.kept() for output in work.outputs]
    ended = {"event": "ended", "exit_code": work.exit_code(), "limit": work.limit, "seconds": work.seconds}
    send(answer, {**ended, "stdout": len(outputs[0]), "stderr": len(outputs[1])}, *outputs)
    collector = Collector(answer, work.job["caps"])
    for path in work.job["collect"]:
        collector.collect(path)
    send(answer, {"event": "end", "refused": collector.refused})
    answer.flush()
    places = work.job["renew"]
    return bool(places) and work.limit is None and renewed(places)


def main() -> None:
    source, answer = open(os.dup(0), "rb", buffering=0), open(os.dup(1), "wb")  # both close on exec
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    try:
        work(source, answer)
    except Refused as error:
        send(answer, {"event": "error", "why": str(error)})
    answer.close()


if __name__ == "__main__":
    main()
