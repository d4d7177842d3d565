"""Ctrl-C once: stop now and keep what is finished. Twice: end the boxes and leave."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

CANCELLED = "stopping: running work is cancelled, finished work is kept; Ctrl-C again leaves at once"


def tell(words: str) -> None:
    """Say something from a signal handler: past Python's buffers, which the handler may have interrupted."""
    os.write(2, (words.strip() + "\n").encode(errors="replace"))


@contextmanager
def stopping(
    cancel: threading.Event, say: Callable[[str], None], kill: Callable[[], object], words: str = CANCELLED
) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM set `cancel`; the second one calls `kill` and ends this process."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        if cancel.is_set():
            try:
                kill()
            finally:
                os._exit(128 + number)
        cancel.set()
        say(words)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
