"""A terminal whose last lines are drawn again in place, whose keys are read, and that always gets its modes back.

rich's Live redraws too, but leaves rests when a window gets narrower, cannot draw less than it is given in a short one,
and knows neither keys nor job control.
"""

from __future__ import annotations

import io
import os
import re
import select
import signal
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from types import FrameType
from typing import Any, Protocol

from sica import report

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
_EVERY = 0.25
"""Seconds between two drawings when no key is pressed."""
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?", re.DOTALL)
"""What arrows, function keys and Alt send: none of them is a letter that was typed."""
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
Size = tuple[int, int]
"""Columns, lines."""


class Drawn(Protocol):
    def lines(self, size: Size) -> Sequence[str]:
        """What is to be seen now, no wider and no longer than this."""

    def key(self, key: str) -> None: ...


def in_front(fd: int) -> bool:
    """Whether this process may draw there: a job in the background would write into the shell's own line."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return True  # nobody's controlling terminal: there is no shell to disturb


class Terminal:
    """Draws in a thread of its own, which reads the keys too; every other thread only ever waits for one write."""

    def __init__(self, drawn: Drawn, out: int = 2, keys: int | None = None, encoding: str = "utf-8") -> None:
        """`keys`: the terminal that is typed on; None when nobody can type."""
        self._drawn, self._out, self._keys, self._encoding = drawn, out, keys, encoding
        self._lock = threading.RLock()  # a signal's handler may find its own thread inside
        self._shown: list[str] = []
        self._drawn_at: Size = (0, 0)
        self._before: list[Any] | None = None
        self._entered = self._away = False
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """While inside, the picture stands below whatever else is said on stderr."""
        above = _Above(self)
        with self._handlers(), redirect_stderr(above):
            self.enter()
            self._thread.start()
            try:
                yield
            finally:
                os.write(self._waker, b"x")
                self._thread.join()
                self.leave()
                above.write("\n" if above.rest else "")
                os.close(self._wake)
                os.close(self._waker)

    def enter(self) -> None:
        with self._lock:
            self._entered, self._shown = True, []
            self._set_modes()
            self._write(HIDE)

    def leave(self) -> None:
        """Take the picture away and give the terminal back; also from a signal's handler, also twice."""
        held = self._lock.acquire(timeout=1.0)  # a terminal that takes nothing more must not keep us
        try:
            if self._entered and in_front(self._out):
                self._write(self._erase() + SHOW)
                self._give_back_modes()
            self._entered, self._shown = False, []
        finally:
            if held:
                self._lock.release()

    def above(self, text: str) -> None:
        """Whole lines that stay, before the picture."""
        with self._lock:
            again = self._shown
            if self._entered and again:
                text = self._erase() + text.replace("\n", "\r\n") + "\r\n".join(again)
            self._write(text)
            self._shown = again

    def draw(self) -> None:
        with self._lock:
            if not self._entered or not self._here():
                return
            size = self.size()
            if (lines := list(self._drawn.lines(size))) != self._shown or size != self._drawn_at:
                self._write(self._erase() + "\r\n".join(f"{line}\x1b[K" for line in lines))
                self._shown, self._drawn_at = lines, size

    def size(self) -> Size:
        try:
            columns, lines = os.get_terminal_size(self._out)
        except OSError:
            columns, lines = 0, 0
        return columns or 80, lines or 24

    def _run(self) -> None:
        try:
            while self._wait():
                self.draw()
        finally:
            self.leave()  # a fault of the picture's own leaves a terminal to read it on

    def _wait(self) -> bool:
        """Until it is time to draw; False at the end."""
        typed = [self._keys] if self._keys is not None and in_front(self._keys) else []
        ready, _, _ = select.select([self._wake, *typed], [], [], _EVERY)
        if self._keys in ready:
            self._read_keys()
        return self._wake not in ready

    def _read_keys(self) -> None:
        assert self._keys is not None
        try:
            typed = os.read(self._keys, 1024)
        except OSError:
            typed = b""
        if not typed:
            self._keys = None  # the terminal has gone
        for key in _SEQUENCE.sub(b"", typed).decode(errors="ignore"):
            self._drawn.key(key)

    def _here(self) -> bool:
        """Whether we are in the foreground; on coming back, the modes are ours again and nothing is drawn yet."""
        if not in_front(self._out):
            self._away = True
            return False
        if self._away:
            self._away = False
            self.enter()
        return True

    def _erase(self) -> str:
        """From the picture's first row on; a terminal that got narrower has broken its lines into more rows."""
        columns, _ = self.size()
        rows = sum(max(1, -(-report.cells(_PAINT.sub("", line)) // columns)) for line in self._shown)
        self._shown = []
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "") + "\x1b[J"

    def _write(self, text: str) -> None:
        rest = memoryview(text.encode(self._encoding, "replace"))
        while rest:
            try:
                rest = rest[os.write(self._out, rest) :]
            except OSError:
                return  # the terminal has gone; the work goes on without it

    # ── modes ─────────────────────────────────────────────────────────────────────────────────────

    def _set_modes(self) -> None:
        """Keys come one by one and are not echoed; Ctrl-C and Ctrl-Z stay what they are."""
        if self._keys is None or not in_front(self._keys):
            return
        with suppress(termios.error), _unstoppable():
            modes = termios.tcgetattr(self._keys)
            self._before = self._before or [*modes[:6], list(modes[6])]
            modes[3] &= ~(termios.ICANON | termios.ECHO)
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._keys, termios.TCSANOW, modes)

    def _give_back_modes(self) -> None:
        if self._keys is not None and self._before is not None:
            with suppress(termios.error), _unstoppable():
                termios.tcsetattr(self._keys, termios.TCSANOW, self._before)

    # ── job control ───────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _handlers(self) -> Iterator[None]:
        wanted = {
            signal.SIGTSTP: self._with_default,
            signal.SIGQUIT: self._with_default,
            signal.SIGHUP: self._with_default,
            signal.SIGCONT: self._continued,
        }
        heard = [number for number in wanted if signal.getsignal(number) != signal.SIG_IGN]  # nohup means it
        before = {number: signal.signal(number, wanted[number]) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _with_default(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal does to anybody, with the terminal in order; after `fg` this goes on."""
        del frame
        self.leave()
        mine = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, mine)
        self.enter()

    def _continued(self, number: int, frame: FrameType | None) -> None:
        """Whoever stopped us may have changed the modes and has written below the picture."""
        del number, frame
        if self._entered and in_front(self._out):
            self.enter()


@contextmanager
def _unstoppable() -> Iterator[None]:
    """A job that is moved to the background just now changes the modes without being stopped for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Above(io.TextIOBase):
    """A stderr whose lines go above the picture."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._behind, self.rest = terminal, sys.stderr, ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._behind.encoding

    def fileno(self) -> int:
        return self._behind.fileno()

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        whole, newline, self.rest = (self.rest + text).rpartition("\n")
        if newline:
            self._terminal.above(whole + newline)
        return len(text)
