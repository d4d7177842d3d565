"""Several tasks checked at a time, each task's results as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sica.benchcheck import Checkable, CheckResult, Rule
    from sica.ports import Sandbox


class Checking:
    """One run of `sica bench check`."""

    def __init__(
        self, benchmark: Checkable, sandbox: Sandbox, names: Sequence[str], rules: Sequence[Rule], jobs: int
    ) -> None:
        self.benchmark, self.sandbox = benchmark, sandbox
        self.names, self.rules, self.jobs = names, rules, jobs
        self.through: list[str] = []
        """Tasks that every rule has been asked about."""
        self.cancel = threading.Event()
        self.told: SimpleQueue[CheckResult | BaseException | str] = SimpleQueue()
        """Results; its name when a task is through; what a task ended with that is no result."""

    @property
    def done(self) -> int:
        return len(self.through)

    def results(self) -> Iterator[CheckResult]:
        """As they come. Whoever stops listening, by Ctrl-C or otherwise, stops the boxes too."""
        workers = ThreadPoolExecutor(self.jobs, thread_name_prefix="check")
        with self.sandbox.series() as boxes, workers as pool:
            try:
                for name in self.names:
                    pool.submit(self._check, name, boxes)
                while self.done < len(self.names):
                    found = self.told.get()
                    if isinstance(found, BaseException):
                        raise found
                    if isinstance(found, str):
                        self.through.append(found)
                    else:
                        yield found
            finally:
                self.cancel.set()
                pool.shutdown(wait=True, cancel_futures=True)

    def _check(self, name: str, boxes: Sandbox) -> None:
        from sica.benchcheck import check

        try:
            for result in check(self.benchmark, boxes, [name], self.rules, self.cancel):
                self.told.put(result)
            self.told.put(name)
        except BaseException as error:  # noqa: BLE001  raised again where somebody listens
            self.told.put(error)
