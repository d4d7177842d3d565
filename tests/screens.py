"""A terminal that tests look at: a real pty with a shell or a program on it, seen through an emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte

_ON_ITS_OWN = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"  # the session's terminal, as a login has it
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)


class Screen:
    def __init__(self, master: int, process: subprocess.Popen[bytes], columns: int, lines: int) -> None:
        self.process, self._master = process, master
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    @property
    def cursor_is_shown(self) -> bool:
        return not self._screen.cursor.hidden

    def wait(self, seen: str | Callable[[str], bool], seconds: float = 60.0) -> str:
        """The screen once it shows this."""
        found = (lambda text: seen in text) if isinstance(seen, str) else seen
        until = time.monotonic() + seconds
        while not found(self.text):
            if time.monotonic() > until or not self._take(max(0.0, until - time.monotonic())):
                raise AssertionError(f"{seen!r} never came:\n{self.text}")
        return self.text

    def end(self) -> int:
        """Read on until the program has ended; its exit code."""
        while self._take(60.0):
            pass
        return self.process.wait(60)

    def _take(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], seconds)
        try:
            new = os.read(self._master, 65536) if ready else b""
        except OSError:  # how Linux says that the other end is closed
            new = b""
        self.raw += new
        self._stream.feed(new)
        return bool(new)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def modes(self) -> tuple[bool, bool]:
        """Whether the terminal echoes, and whether it gives whole lines."""
        flags = termios.tcgetattr(self._master)[3]
        return bool(flags & termios.ECHO), bool(flags & termios.ICANON)


@contextmanager
def screen(
    argv: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    *,
    columns: int = 100,
    lines: int = 30,
) -> Iterator[Screen]:
    """The program on a terminal of its own; whatever still runs at the end is ended."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_ITS_OWN, *argv],
        cwd=folder,
        env={**env, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Screen(master, process, columns, lines)
    finally:
        os.close(master)
        if process.poll() is None:
            process.send_signal(signal.SIGHUP)
            process.wait(60)
