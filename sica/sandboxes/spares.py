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

    box: Future[Box]
    door: Path | None


class Spares(Generic[Box]):
    """The boxes of one sandbox.

    Of a shape as many wait as work at once, for the moment when the next job comes. `make` and `destroy` are
    called from several threads. What destroying raises is raised by the next `use`, or by `close`.
    """

    def __init__(self, make: Callable[[BoxSpec], Box], destroy: Callable[[Box], None], folder: Path) -> None:
        """`folder`: where doors are put; boxes must be able to see it."""
        self._make, self._destroy, self._folder = make, destroy, folder
        self._folder.mkdir()
        self._folder.chmod(0o755)
        self._numbers = itertools.count()
        self._makers = ThreadPoolExecutor(THREADS, thread_name_prefix="box-maker")
        self._buriers = ThreadPoolExecutor(THREADS, thread_name_prefix="box-burier")
        self._lock = threading.Lock()
        self._idle: OrderedDict[Hashable, deque[Spare[Box]]] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._busy: Counter[Hashable] = Counter()
        self._failed: BaseException | None = None

    @contextmanager
    def use(self, spec: BoxSpec) -> Iterator[Box]:
        """A box for one job. It is destroyed afterwards, which nobody waits for."""
        self._raise_failure()
        kind = shape(spec)
        with self._lock:
            self._busy[kind] += 1
        try:
            box, door = self._ahead(kind, spec) or (None, None)
            self._make_another(kind, spec)
            box = self._make(spec) if box is None else box
            try:
                yield box
            finally:
                self._bury(box, door)
        finally:
            with self._lock:
                self._busy[kind] -= 1
                self._busy += Counter()  # forgets the shapes at zero

    def close(self) -> None:
        """Destroy the boxes that wait; return when all are gone."""
        self._makers.shutdown()
        with self._lock:
            spares = [spare for waiting in self._idle.values() for spare in waiting]
            self._idle.clear()
        for spare in spares:
            self._dismiss(spare)
        self._buriers.shutdown()
        self._raise_failure()

    # ── ahead ──

    def _ahead(self, kind: Hashable, spec: BoxSpec) -> tuple[Box, Path | None] | None:
        with self._lock:
            waiting = self._idle.get(kind)
            spare = waiting.popleft() if waiting else None
        if spare is None or spare.box.exception() is not None:
            return None  # what hindered it will hinder the box that is made now, and be raised there
        if spare.door is not None and spec.socket is not None:
            try:
                (spare.door / SOCKET).hardlink_to(spec.socket / SOCKET)
            except OSError:
                self._dismiss(
                    spare
                )  # on another file system, or not there yet: that box must see the directory
                return None
        return spare.box.result(), spare.door

    def _make_another(self, kind: Hashable, spec: BoxSpec) -> None:
        with self._lock:
            again = kind in self._seen
            self._seen[kind] = None
            self._seen.move_to_end(kind)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            waiting = self._idle.setdefault(kind, deque()) if again else None
            if waiting is None or len(waiting) >= self._busy[kind]:
                return
            self._idle.move_to_end(kind)
            door = self._new_door() if spec.socket is not None else None
            ours = replace(spec, socket=door)
            waiting.append(Spare(self._makers.submit(self._make, ours), door))
            surplus = list(self._surplus())
        for spare in surplus:
            self._dismiss(spare)

    def _surplus(self) -> Iterator[Spare[Box]]:
        """Those of the shapes that were not asked for the longest."""
        while sum(map(len, self._idle.values())) > IDLE:
            kind, waiting = next(iter(self._idle.items()))
            if waiting:
                yield waiting.popleft()
            else:
                del self._idle[kind]

    def _new_door(self) -> Path:
        door = self._folder / str(next(self._numbers))
        door.mkdir()
        door.chmod(0o755)
        return door

    # ── after ──

    def _dismiss(self, spare: Spare[Box]) -> None:
        """Also one that is still being made."""

        def bury(made: Future[Box]) -> None:
            if made.exception() is None:
                self._bury(made.result(), spare.door)

        spare.box.add_done_callback(bury)

    def _bury(self, box: Box, door: Path | None) -> None:
        self._buriers.submit(self._end, box, door).add_done_callback(self._note_failure)

    def _end(self, box: Box, door: Path | None) -> None:
        self._destroy(box)
        if door is not None:
            shutil.rmtree(door)

    def _note_failure(self, buried: Future[None]) -> None:
        with self._lock:
            self._failed = self._failed or buried.exception()

    def _raise_failure(self) -> None:
        with self._lock:
            failed, self._failed = self._failed, None
        if failed is not None:
            raise SandboxError(f"a box could not be destroyed: {failed}") from failed
