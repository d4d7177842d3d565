"""Trials in the formats of others. Each file makes plain data or files of what the ledger and the traces hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sica.model import Agent, Trial

Event = Mapping[str, Any]


def _no_events() -> Iterable[Event]:
    return ()


@dataclass(frozen=True, slots=True)
class Exported:
    """One trial with whose it is and what happened in it."""

    agent: Agent
    trial: Trial
    events: Callable[[], Iterable[Event]] = field(default=_no_events)
    """Of its trace, read when they are needed; none when no trace was kept."""

    @property
    def benchmark(self) -> str:
        return self.trial.task.rpartition("/")[0]

    @property
    def task(self) -> str:
        return self.trial.task.rpartition("/")[2]


def moment(unix: float) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(unix, UTC).isoformat()


def sound(value: Any) -> Any:
    """Plain JSON that every reader takes: no lone surrogates, which a box may print and many parsers refuse."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {sound(str(key)): sound(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sound(item) for item in value]
    return value
