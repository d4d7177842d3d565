"""Tells other people's tools what happens: one file each with a class `Exporter`, opened as NAME=WHERE.

An exporter is given the loop's own events, while a run goes on or out of the archive afterwards, and cannot tell the
two apart. None is loaded, and none of their packages needed, unless it is asked for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sica.errors import SicaError, UsageError, no_such
from sica.model import Event

PATIENCE = 3
"""Failures in a row after which an exporter is left alone."""
GRACE = 10.0
"""Seconds that what is still to be told may take once the run has ended."""


class Exporter(Protocol):
    def take(self, event: Event) -> None:
        """Tell of one event. Raises SicaError when that cannot be done; the next one may work again."""

    def close(self) -> None:
        """Tell the rest, and let go. Raises SicaError like `take`."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an exporter may read beside the events."""

    read_trace: Callable[[str], Iterable[Mapping[str, Any]]]
    settings: Mapping[str, Mapping[str, Any]]
    """Of every run, by its name."""
    store: str
    """Tells this archive from any other: runs are called r1 in each."""


def names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def open_exporter(words: str, source: Source) -> Exporter:
    """NAME=WHERE, such as otel=http://127.0.0.1:4318.

    Raises UsageError, at once, for a name that nobody has, a place that cannot be, or packages that are missing.
    """
    name, equals, where = words.partition("=")
    if name not in names():
        raise no_such("exporter", name, names())
    if not equals or not where:
        raise UsageError(f"{words!r} does not say where to", f"such as --export {name}=WHERE")
    try:
        made: Exporter = import_module(f"sica.exporters.{name}").Exporter(where, source)
    except ModuleNotFoundError as error:
        needs = f"the exporter {name} needs packages that are not installed ({error.name})"
        raise UsageError(needs, f"pip install 'sica[{name}]'") from error
    return made


class Beside:
    """An exporter in a thread of its own, so that no slow, dead or failing receiver ever holds up a run."""

    def __init__(self, name: str, exporter: Exporter, say: Callable[[str], None]) -> None:
        self._name, self._exporter, self._say = name, exporter, say
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._failed = 0
        self._in_a_row = 0
        self._thread = threading.Thread(target=self._run, name=f"export {name}", daemon=True)
        self._thread.start()

    def take(self, event: Event) -> None:
        self._events.put(event)

    def close(self) -> None:
        """Wait for the rest, not for ever; what was not told is said."""
        self._events.put(None)
        self._thread.join(0.5)
        if self._thread.is_alive():
            self._say(f"{self._name}: telling the rest, for at most {GRACE:.0f} s")
            self._thread.join(GRACE)
        if self._thread.is_alive() or self._failed:
            what = "some of what happened was" if self._thread.is_alive() else f"{self._failed} events were"
            self._say(f"{self._name}: {what} not exported; sica export {self._name} tells all of it again")

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            if self._in_a_row >= PATIENCE:
                self._failed += 1
            elif self._tried(self._exporter.take, event):
                self._in_a_row = 0
            else:
                self._failed += 1
        self._tried(self._exporter.close)

    def _tried(self, tell: Callable[..., None], *event: Event) -> bool:
        try:
            tell(*event)
        except Exception as error:  # noqa: BLE001 - whatever another tool's client does, the run goes on
            self._in_a_row += 1
            if self._failed == 0 and self._in_a_row == 1:
                words = str(error) if isinstance(error, SicaError) else f"{type(error).__name__}: {error}"
                self._say(f"{self._name}: {words}; the run goes on")
            return False
        return True
