"""A recorded trace answers again, in order and for nothing, as long as it is asked the same."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sica import chat
from sica.errors import ProviderError, StoreError, UsageError
from sica.ports import Asked, Price


class Reader(Protocol):
    """Where traces are read from."""

    def read(self, name: str) -> Iterator[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One call of the trace."""

    number: int
    messages: tuple[str, ...]
    rest: Mapping[str, Any]
    answer: Mapping[str, Any] | None
    """None when the provider failed then."""
    reason: str


class ReplayGateway:
    """A ports.Gateway over one trace."""

    name = "replay"

    def __init__(self, traces: Reader, name: str) -> None:
        self._trace = name
        self._traces = traces
        self._calls: list[_Recorded] | None = None
        self._next = 0
        self._lock = threading.Lock()

    def check(self, model: str) -> None:  # noqa: ARG002 - any model: the trace answers
        with self._lock:
            if not self._recorded():
                raise UsageError(f"trace {self._trace} holds no model call to replay")

    def price(self, model: str) -> Price:  # noqa: ARG002
        return Price(0.0, 0.0)

    def complete(self, asked: Asked) -> Mapping[str, Any]:
        with self._lock:
            recorded = self._take()
        _compare(recorded, asked)
        if recorded.answer is None:
            raise ProviderError(
                f"call {recorded.number} failed when recorded: {recorded.reason}", transient=False
            )
        return recorded.answer

    def stream(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        yield from chat.chunks(self.complete(asked))

    def _take(self) -> _Recorded:
        recorded = self._recorded()
        if self._next >= len(recorded):
            raise _diverged(self._next, f"the trace has {len(recorded)} calls and is asked for one more")
        self._next += 1
        return recorded[self._next - 1]

    def _recorded(self) -> list[_Recorded]:
        if self._calls is None:
            self._calls = _calls(self._traces.read(self._trace))
        return self._calls


def _calls(events: Iterable[Mapping[str, Any]]) -> list[_Recorded]:
    """The calls that were sent, in the order of their requests."""
    requests: dict[int, Mapping[str, Any]] = {}
    ends: dict[int, Mapping[str, Any]] = {}
    for event in events:
        if event["type"] == "request":
            requests[event["call"]] = event
        elif event["type"] == "response" or (event["type"] == "failed" and event.get("call") not in ends):
            ends[event["call"]] = event
    return [_recorded(request, ends.get(number, {})) for number, request in requests.items()]


def _recorded(request: Mapping[str, Any], end: Mapping[str, Any]) -> _Recorded:
    number = request["call"]
    if "messages" not in request or "omitted" in end:
        raise StoreError(f"call {number} cannot be replayed: its trace had grown too large to keep it")
    reason = str(end.get("reason", "it had no answer"))
    return _Recorded(number, tuple(request["messages"]), request["rest"], end.get("body"), reason)


def _compare(recorded: _Recorded, asked: Asked) -> None:
    hashes = tuple(chat.fingerprint(message) for message in asked.request["messages"])
    if hashes != recorded.messages:
        pairs = zip(hashes, recorded.messages, strict=False)
        first = next((i for i, (new, old) in enumerate(pairs) if new != old), None)
        if first is None:
            raise _diverged(
                recorded.number, f"{len(hashes)} messages, recorded were {len(recorded.messages)}"
            )
        message = asked.request["messages"][first]
        raise _diverged(
            recorded.number, f"message {first} ({message.get('role')}) is another one than recorded"
        )
    rest = {k: v for k, v in asked.request.items() if k not in {"messages", "model"}}
    other = sorted(k for k in rest.keys() | recorded.rest.keys() if rest.get(k) != recorded.rest.get(k))
    if other:
        raise _diverged(recorded.number, f"these fields differ: {', '.join(other)}")


def _diverged(call: int, how: str) -> ProviderError:
    return ProviderError(
        f"the replay diverged at call {call}: {how}",
        transient=False,
        hint="replay the agent and task it was made of",
    )
