"""Runs inside a box: tries one class of mischief and prints a JSON object with everything that worked."""

# ruff: noqa: PTH101, PTH102, PTH103, PTH110, PTH112, PTH113, PTH116, PTH118, PTH123, PTH208, PTH211, SIM115, T201

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"


def outcome(attempt: Callable[[], Any]) -> str:
    """ "" when it was refused, else what came of it."""
    try:
        return repr(attempt())[:200] or "done"
    except (OSError, ValueError):
        return ""


def worked(attempts: dict[str, Callable[[], Any]]) -> dict[str, str]:
    results = {name: outcome(attempt) for name, attempt in attempts.items()}
    return {name: result for name, result in results.items() if result}


def connect(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> Callable[[], Any]:
    def attempt() -> Any:
        with socket.socket(family, kind) as sock:
            sock.settimeout(2)
            sock.connect(address)
            return sock.send(b"x")

    return attempt


def network(port: str) -> dict[str, str]:
    inet, inet6, datagram = socket.AF_INET, socket.AF_INET6, socket.SOCK_DGRAM
    return worked(
        {
            "host loopback": connect(inet, ("127.0.0.1", int(port))),
            "docker bridge": connect(inet, ("172.17.0.1", int(port))),
            "public tcp": connect(inet, ("1.1.1.1", 443)),
            "public udp": connect(inet, ("1.1.1.1", 53), datagram),
            "metadata": connect(inet, ("169.254.169.254", 80)),
            "public ipv6": connect(inet6, ("2606:4700:4700::1111", 443)),
            "dns": lambda: socket.getaddrinfo("example.org", 443),
            "raw": lambda: socket.socket(inet, socket.SOCK_RAW, 1),
            "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
            "netlink": lambda: socket.socket(16, socket.SOCK_RAW),
            "packet": lambda: socket.socket(17, socket.SOCK_RAW),
            "host abstract socket": connect(socket.AF_UNIX, f"\0host-listener-{port}"),
        }
    )


def syscall(x86: int, arm: int, *arguments: Any) -> Callable[[], Any]:
    def attempt() -> int:
        result: int = libc.syscall(x86 if X86 else arm, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), "refused")
        return result

    return attempt


def calls() -> dict[str, str]:
    empty = ctypes.create_string_buffer(256)
    return worked(
        {
            "mount": syscall(165, 40, b"none", b"/tmp", b"tmpfs", 0, 0),
            "umount": syscall(166, 39, b"/tmp", 2),
            "pivot_root": syscall(155, 41, b"/tmp", b"/tmp"),
            "unshare user": syscall(272, 97, 0x10000000),
            "unshare mount": syscall(272, 97, 0x20000),
            "setns": syscall(308, 268, 0, 0),
            "clone user": syscall(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0),
            "clone3": syscall(435, 435, empty, 88),
            "ptrace": syscall(101, 117, 0, 0, 0, 0),
            "process_vm_readv": syscall(310, 270, 1, empty, 1, empty, 1, 0),
            "io_uring": syscall(425, 425, 8, empty),
            "bpf": syscall(321, 280, 0, empty, 72),
            "keyctl": syscall(250, 219, 0, -3, 1),
            "add_key": syscall(248, 217, b"user", b"x", b"y", 1, -3),
            "userfaultfd": syscall(323, 282, 1),
            "perf_event_open": syscall(298, 241, empty, 0, -1, -1, 0),
            "fsopen": syscall(430, 430, b"tmpfs", 0),
            "open_tree": syscall(428, 428, -100, b"/", 1),
            "kexec_load": syscall(246, 104, 0, 0, 0, 0),
            "chroot": lambda: os.chroot("/tmp"),
            "setuid": lambda: os.setuid(0),
            "device": lambda: os.mknod("/tmp/dev", 0o60600, os.makedev(254, 0)),
        }
    )


def write(path: str) -> Callable[[], Any]:
    def attempt() -> str:
        with open(path, "w") as file:
            file.write("x")
        return path

    return attempt


def places() -> dict[str, str]:
    forbidden = (
        *("/agent/x", "/usr/x", "/usr/lib/x.pth", "/etc/x", "/x", "/opt/x", "/opt/inside/runner.py", "/gw/x"),
        *("/root/x", "/var/x", "/dev/x", "/sys/x", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"),
        *("/sys/fs/cgroup/memory/x", "/proc/self/uid_map"),
    )
    secret = (
        "/etc/shadow",
        "/proc/kcore",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/vda",
        "/var/run/docker.sock",
        "/proc/1/mem",
    )
    attempts = {"write " + path: write(path) for path in forbidden}
    attempts.update({"read " + path: lambda path=path: open(path, "rb").read(1) for path in secret})  # type: ignore[misc]
    return worked(attempts)


def init() -> dict[str, str]:
    """Everything that could end the first process or put words in its mouth."""
    forged = (
        b"\0\0\0\x30" + json.dumps({"event": "ended", "exit_code": 0, "limit": None, "seconds": 0.1}).encode()
    )

    def shout(path: str) -> Callable[[], Any]:
        def attempt() -> int:
            with open(path, "wb", buffering=0) as file:
                return file.write(forged) or 0

        return attempt

    attempts = {f"write fd {n} of init": shout(f"/proc/1/fd/{n}") for n in range(12)}
    attempts["environ of init"] = lambda: open("/proc/1/environ", "rb").read()
    attempts["memory of init"] = lambda: open("/proc/1/mem", "r+b").write(b"x")
    attempts["our own high descriptors"] = lambda: [os.write(n, forged) for n in range(3, 64)]
    found = worked(attempts)
    for number in range(1, 65):
        if number not in (32, 33, signal.SIGCONT):
            os.kill(1, number)
    return found


def canary(token: str, reversed_token: str) -> dict[str, str]:
    """Look for a secret in every process and every file that can be read; the token comes in two halves."""
    needle = (token + reversed_token[::-1]).encode()
    found = {}
    for folder, folders, names in os.walk("/"):
        if folder.startswith(("/sys", "/usr/share", "/usr/lib", "/usr/include")):
            folders.clear()
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                if name in ("kmsg", "trace_pipe") or not (os.path.isfile(path) or folder.startswith("/proc")):
                    continue
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                if needle in os.read(descriptor, 1 << 20):
                    found[path] = "seen"
            except OSError:
                pass
            finally:
                os.close(descriptor)
    return found


def mess() -> dict[str, str]:
    """Leave everything in the workspace that must not come out, and one good file."""
    os.symlink("/etc/passwd", "link")
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    for name, text in {"good.txt": "good", "first": "twice", "new\nline": "x", "\x1b[31mred": "x"}.items():
        with open(name, "w") as file:
            file.write(text)
    os.link("first", "second")
    with open(b"not-utf8-\xff", "w") as file:
        file.write("x")
    with open("sparse", "wb") as file:
        file.truncate(250 << 20)
    os.mkdir("folder")
    os.symlink("/", "folder/root")
    here = os.open(".", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("deep", dir_fd=here)
        here = os.open("deep", os.O_RDONLY, dir_fd=here)
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    with open("folder/run.sh", "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod("folder/run.sh", 0o755)
    return {}


def immortal(marker: str) -> dict[str, str]:
    """A process in its own session that ignores what it can; the marker stays in its argv."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp(sys.executable, [sys.executable, __file__, "wait", marker])
        os._exit(0)
    return {}


SHARED = ("/app", "/tmp", "/logs/agent", "/dev/shm", "/dev/mqueue")


def litter(marker: str) -> dict[str, str]:
    """Something of every kind that could outlast its process, wherever that may be put."""
    mess()
    for place in SHARED:
        try:
            os.mkdir(f"{place}/litter")
            os.chmod(place, 0o700)
        except OSError:
            pass  # not there, or not ours
    libc.mq_open(b"/litter", os.O_CREAT | os.O_RDWR, 0o600, None)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("900")
    os.umask(0)
    os.environ["LITTER"] = marker
    return immortal(marker)


def found() -> dict[str, str]:
    """What somebody else left here."""
    listed = {place: os.listdir(place) for place in SHARED if os.path.isdir(place)}
    listed["/tmp"].remove("attacks.py")
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid not in ("1", str(os.getpid()))]
    modes = [place for place in SHARED[:3] if os.stat(place).st_mode & 0o777 not in (0o755, 0o777)]
    return {**{place: repr(names) for place, names in listed.items() if names},
            **{f"process {pid}": "" for pid in others}, **{f"mode of {place}": "" for place in modes}}  # fmt: skip


def segment() -> dict[str, str]:
    """Memory of System V, which no file shows."""
    return {} if libc.shmget(77, 4096, 0o1666) >= 0 else {"shmget": "refused"}


def locked() -> dict[str, str]:
    """A directory that not even its owner lists."""
    os.makedirs("/app/locked/inner")
    os.chmod("/app/locked", 0)
    return {}


def starved() -> dict[str, str]:
    """A child killed for want of memory, which its parent survives."""
    import subprocess

    subprocess.run([sys.executable, "-c", "x = bytearray(400 << 20)"], check=False)
    return {}


if __name__ == "__main__":
    name, arguments = sys.argv[1], sys.argv[2:]
    if name == "wait":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open("/app/started", "w") as mark:
            mark.write("yes")
        while True:
            signal.pause()
    print(json.dumps(globals()[name](*arguments)))
    if name == "immortal":
        while not os.path.exists("/app/started"):
            os.sched_yield()
