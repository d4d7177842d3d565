"""Starts confined programs for a process that has threads; a program of its own, standard library only.

`fork` in a process with threads is unsafe, and a parent-death signal follows the *thread* that forked, so
this small process without threads forks for sica. A request is one message on the socket that is our stdin:
JSON {argv, binds, cgroups, uid} with four descriptors: the box's stdin, stdout and stderr, and its leash.
The leash is a socket whose other end sica holds: when sica shuts it, or is killed, the box is ended; when
the box has ended, its wait status is written to it. When our stdin ends, every box is ended, its cgroups
are removed, and we leave.
"""

# ruff: noqa: PTH102, PTH106, PTH112, PTH123, S606

from __future__ import annotations

import array
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

STAGE = "/tmp"
"""Covered by an empty file system, in a mount namespace of the box's own: there an unprivileged bwrap finds
what it is to bind, wherever that lies."""

CLONE_NEWNS, MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_SLAVE = (
    0x20000,
    1,
    2,
    4,
    4096,
    16384,
    1 << 19,
)
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def call(what: str, result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what + ": " + os.strerror(ctypes.get_errno()))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    encoded = [os.fsencode(text) if text else None for text in (source, target, kind)]
    call("mount " + target, libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(options) or None))


def stage(binds: list[str]) -> None:
    """Make every source reachable as /tmp/<n>. Opened first: a source may lie below the stage itself."""
    call("unshare", libc.unshare(CLONE_NEWNS))
    mount("", "/", "", MS_SLAVE | MS_REC)
    sources = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source in binds]
    mount("none", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    for number, source in enumerate(sources):
        target = f"{STAGE}/{number}"
        if os.path.isdir(f"/proc/self/fd/{source}"):
            os.mkdir(target, 0o755)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(f"/proc/self/fd/{source}", target, "", MS_BIND)


def become(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """In the child: join the cgroups, reach the sources, give up root, and turn into the program."""
    os.setsid()
    for cgroup in request["cgroups"]:
        with open(cgroup + "/cgroup.procs", "w") as file:
            file.write("0")
    if request["binds"]:
        stage(request["binds"])
    if request["uid"] is not None:
        os.setgroups([])
        os.setresgid(request["uid"], request["uid"], request["uid"])
        os.setresuid(request["uid"], request["uid"], request["uid"])
    call("prctl", libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.chdir("/")
    os.execve(request["argv"][0], request["argv"], {})  # an empty environment: the box's init would show ours


def start(request: dict[str, Any], descriptors: list[int]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        signal.set_wakeup_fd(-1)
        become(request, descriptors)
    except BaseException as error:  # noqa: BLE001  # nothing may return into the parent's code
        os.write(descriptors[2], os.fsencode(f"cannot start a box: {error}\n"))
        os._exit(125)


def kill(pid: int) -> None:
    """End the box's init, with which everything in its namespace dies; or bwrap, if it is not so far yet."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as file:
        for child in file.read().split():
            os.kill(int(child), signal.SIGKILL)
            return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def remove(cgroups: list[str]) -> None:
    for cgroup in cgroups:
        for _ in range(100):
            try:
                os.rmdir(cgroup)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)  # the last process is on its way out
            else:
                break


class Launcher:
    def __init__(self, requests: socket.socket) -> None:
        self.requests = requests
        self.boxes: dict[int, tuple[int, list[str]]] = {}  # pid -> leash, cgroups
        self.poll = select.poll()
        self.leashes: dict[int, int] = {}  # descriptor -> pid

    def serve(self) -> None:
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C is for sica, which then closes what it wants closed
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.poll.register(self.requests, select.POLLIN)
        self.poll.register(wake, select.POLLIN)
        going = True
        while going or self.boxes:
            for descriptor, _ in self.poll.poll():
                if descriptor == wake:
                    os.read(wake, 4096)
                elif descriptor == self.requests.fileno():
                    going = self.accept()
                elif descriptor in self.leashes:
                    self.poll.unregister(descriptor)
                    kill(self.leashes.pop(descriptor))
            self.bury(alone=not going or self.orphaned())

    def orphaned(self) -> bool:
        """Whether sica has gone, even when a leash told so first."""
        with contextlib.suppress(BlockingIOError):
            return not self.requests.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return False

    def accept(self) -> bool:
        data, descriptors = receive(self.requests)
        if not data:
            self.poll.unregister(self.requests)
            for pid in self.boxes:
                kill(pid)
            return False
        request = json.loads(data)
        pid = start(request, descriptors)
        for descriptor in descriptors[:3]:
            os.close(descriptor)
        leash = descriptors[3]
        self.boxes[pid] = (leash, request["cgroups"])
        self.leashes[leash] = pid
        self.poll.register(leash, select.POLLIN)
        return True

    def bury(self, alone: bool) -> None:
        """Report the boxes that ended; without sica nobody else removes their cgroups."""
        while self.boxes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            leash, cgroups = self.boxes.pop(pid)
            if self.leashes.pop(leash, None) is not None:
                self.poll.unregister(leash)
            with contextlib.suppress(OSError):
                os.write(leash, b"%d\n" % status)
            os.close(leash)
            if alone:
                remove(cgroups)


def receive(requests: socket.socket) -> tuple[bytes, list[int]]:
    descriptors: array.array[int] = array.array("i")
    data, ancillary, _, _ = requests.recvmsg(1 << 20, socket.CMSG_SPACE(4 * descriptors.itemsize))
    for _, _, payload in ancillary:
        descriptors.frombytes(payload)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, list(descriptors)


if __name__ == "__main__":
    Launcher(socket.socket(fileno=os.dup(0))).serve()
    sys.exit(0)
