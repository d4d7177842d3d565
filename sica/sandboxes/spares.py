"""What keeps single-use boxes off the clock: some are made before they are asked for, all are destroyed after.

A box made ahead is as unused and as confined as any: it holds what its spec says and waits for its one job.
"""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from sica.errors import SandboxError
from sica.model import BoxSpec

Box = TypeVar("Box")

THREADS = os.cpu_count() or 1
IDLE = 2 * THREADS + 2
"""Boxes that may wait at once; each takes some 10 MB."""

REMEMBERED = 64
"""Shapes. One that was asked for twice is likely to be asked for again, one asked for once is not."""

SOCKET = "gw.sock"


def shape(spec: BoxSpec) -> Hashable:
    """What a box is made from: equal for two specs when a box of the one serves the other.

    A mount is the very directory that is there now; seconds and output belong to the job.
    """
    mounts = tuple((place, _identity(place, path)) for place, path in sorted(spec.mounts.items()))
    limits = replace(spec.limits, seconds=0, output_bytes=0)
    return mounts, spec.writable, spec.socket is not None, limits, spec.image, spec.profile


def _identity(place: str, path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise SandboxError(f"there is no {path} to show at {place}") from error
    return str(path), found.st_dev, found.st_ino


@dataclass(frozen=True, slots=True)
class Spare(Generic[Box]):
    """A box that waits, and the empty directory that it shows where its socket will be."""

    box: Box
    door: Path | None


class Spares(Generic[Box]):
    """The boxes of one sandbox.

    Of a shape as many wait as work at once, for the moment when the next job comes; none before a shape is asked
    for again. The three functions are called from several threads. What destroying raises is raised by the next
    `use`, or by `close`.
    """

    def __init__(
        self,
        make: Callable[[BoxSpec], Box],
        destroy: Callable[[Box], None],
        alive: Callable[[Box], bool],
        folder: Path,
    ) -> None:
        """`folder`: where doors are put; boxes must be able to see it."""
        self._make, self._destroy, self._alive, self._folder = make, destroy, alive, folder
        self._folder.mkdir()
        self._folder.chmod(0o755)
        self._numbers = itertools.count()
        self._makers = ThreadPoolExecutor(THREADS, thread_name_prefix="box-maker")
        self._buriers = ThreadPoolExecutor(THREADS, thread_name_prefix="box-burier")
        self._lock = threading.Lock()
        self._idle: OrderedDict[Hashable, deque[Future[Spare[Box]]]] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._busy: Counter[Hashable] = Counter()
        self._closed = False
        self._failed: BaseException | None = None

    @contextmanager
    def use(self, spec: BoxSpec) -> Iterator[Box]:
        """A box for one job. It is destroyed afterwards, which nobody waits for."""
        self._raise_failure()
        kind = shape(spec)
        with self._lock:
            self._busy[kind] += 1
        spare = None
        try:
            spare = self._ahead(kind, spec)
            self._make_another(kind, spec)
            spare = spare or Spare(self._make(spec), None)
            yield spare.box
        finally:
            if spare is not None:
                self.bury(spare)
            with self._lock:
                self._busy[kind] -= 1
                self._busy += Counter()  # forgets the shapes at zero

    def close(self) -> None:
        """Destroy the boxes that wait; return when all are gone. Those in use are destroyed by who uses them."""
        with self._lock:
            self._closed = True
            waiting = [made for each in self._idle.values() for made in each]
            self._idle.clear()
        for made in waiting:
            self._dismiss(made)
        self._makers.shutdown()
        self._buriers.shutdown()
        self._raise_failure()

    # ── ahead ──

    def _ahead(self, kind: Hashable, spec: BoxSpec) -> Spare[Box] | None:
        """None when a box must be made now: also when none was begun, and when what waited is of no use."""
        with self._lock:
            waiting = self._idle.get(kind)
            made = waiting.popleft() if waiting else None
        if made is None or made.cancel() or made.exception() is not None:
            return None  # what hindered it will hinder the box that is made now, and be raised there
        spare = made.result()
        if self._alive(spare.box) and open_door(spare, spec):
            return spare
        self.bury(spare)
        return None

    def _make_another(self, kind: Hashable, spec: BoxSpec) -> None:
        with self._lock:
            again = kind in self._seen
            self._seen[kind] = None
            self._seen.move_to_end(kind)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            if not again or self._closed:
                return
            waiting = self._idle.setdefault(kind, deque())
            if len(waiting) >= self._busy[kind]:
                return
            self._idle.move_to_end(kind)
            waiting.append(self._makers.submit(self.made, spec))
            surplus = list(self._surplus())
        for made in surplus:
            self._dismiss(made)

    def made(self, spec: BoxSpec) -> Spare[Box]:
        """A box, and the door that it shows if the spec has a socket; `bury` is for who asked for it."""
        if spec.socket is None:
            return Spare(self._make(spec), None)
        door = self._folder / str(next(self._numbers))
        door.mkdir()
        try:
            door.chmod(0o755)
            return Spare(self._make(replace(spec, socket=door)), door)
        except BaseException:
            door.rmdir()
            raise

    def _surplus(self) -> Iterator[Future[Spare[Box]]]:
        """Those of the shapes that were not asked for the longest."""
        while sum(map(len, self._idle.values())) > IDLE:
            kind, waiting = next(iter(self._idle.items()))
            if waiting:
                yield waiting.popleft()
            else:
                del self._idle[kind]

    # ── after ──

    def _dismiss(self, made: Future[Spare[Box]]) -> None:
        """Also one that is still being made; one that was not begun will not be."""

        def bury(made: Future[Spare[Box]]) -> None:
            if not made.cancelled() and made.exception() is None:
                self.bury(made.result())

        made.cancel()
        made.add_done_callback(bury)

    def bury(self, spare: Spare[Box]) -> None:
        """Destroy it; nobody waits for that."""
        try:
            buried = self._buriers.submit(self._end, spare)
        except RuntimeError:  # closed while this one was in use
            self._end(spare)
        else:
            buried.add_done_callback(self._note_failure)

    def _end(self, spare: Spare[Box]) -> None:
        self._destroy(spare.box)
        if spare.door is not None:
            shutil.rmtree(spare.door)

    def _note_failure(self, buried: Future[None]) -> None:
        with self._lock:
            self._failed = self._failed or buried.exception()

    def _raise_failure(self) -> None:
        with self._lock:
            failed, self._failed = self._failed, None
        if failed is not None:
            raise SandboxError(f"a box could not be destroyed: {failed}") from failed


def open_door(spare: Spare[Box], spec: BoxSpec) -> bool:
    """Whether the box now shows the job's own socket."""
    if spare.door is None or spec.socket is None:
        return True
    door = spare.door / SOCKET
    try:
        door.unlink(missing_ok=True)
        door.hardlink_to(spec.socket / SOCKET)
    except OSError:
        return False  # on another file system, or not there yet: that box must see the directory itself
    return True
