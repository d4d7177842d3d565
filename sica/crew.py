"""Threads that perform steps: the loop's own crew. Another one is the simulator's, where time is a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from sica.control import EVERY
from sica.model import Archive, Outcome, Step


class Threads:
    """Performs each step on a thread of its own, as many as there are workers."""

    def __init__(self, workers: int, perform: Callable[[Step, Archive], Outcome]) -> None:
        self._perform = perform
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._running: dict[Future[Outcome], Step] = {}

    @property
    def busy(self) -> int:
        return len(self._running)

    def start(self, step: Step, archive: Archive) -> None:
        self._running[self._pool.submit(self._perform, step, archive)] = step

    def ended(self) -> Iterator[tuple[Step, Outcome]]:
        for future in wait(self._running, EVERY, FIRST_COMPLETED).done:
            yield self._running.pop(future), future.result()

    def close(self) -> None:
        self._pool.shutdown()
