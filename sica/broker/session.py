"""One box's door to a model: what it was given, what it used, what it said."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sica import chat
from sica.broker.money import Account
from sica.model import Budget, Usage
from sica.ports import Price, Trace


@dataclass(frozen=True, slots=True)
class Held:
    """A call that may be made: numbered, reserved, not yet sent."""

    number: int
    model: str
    price: Price
    reserved: Usage
    at: float
    """When it was reserved, in Unix seconds: its day."""
    request: Mapping[str, Any]
    digest: str
    """Of the prompt, for estimating the prompts that begin with it."""


class BoxSession:
    """A ports.Session. Made by the broker only."""

    def __init__(
        self,
        *,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str,
        task: str,
        directory: Path,
        money: threading.Condition,
    ) -> None:
        self.directory = directory
        self._money = money
        self.id, self.role, self.model, self.run, self.seed = id, role, model, run, seed
        self.agent, self.task = agent, task
        self.account = Account(budget)
        self.reserved_at: dict[object, float] = {}
        """When its calls under way were reserved; guarded as the account is."""
        self.closing = threading.Event()
        self.running = 0
        self.lock = threading.RLock()  # what watches the trace may answer with a notice
        self._trace: Trace | None = trace
        self._numbers = iter(range(1 << 62))
        self._notices: deque[tuple[str, str]] = deque()
        self._prompts: dict[str, int] = {}
        self._reached = ""
        self._failure = ""
        self._broken: dict[str, str] = {}
        self._waited = 0.0
        self._refused = 0
        self._cancelled: dict[str, str] = {}

    def usage(self) -> Usage:
        """Of every call, the ones under way at their reservation."""
        with self._money:
            return self.account.used()

    def reached(self) -> str:
        return self._reached

    def failure(self) -> str:
        with self.lock:
            return self._failure or next(iter(self._broken.values()), "")

    def waited(self) -> float:
        return self._waited

    def notice(self, text: str, span: str = "") -> None:
        with self.lock:
            self._notices.append((span, text))

    def cancel(self, span: str, why: str) -> None:
        with self.lock:
            self._cancelled[span] = why

    def cancelled(self, span: str) -> str:
        """Why this sub-agent may ask no more, or "": it or one that it works for was cancelled."""
        with self.lock:
            found = (why for of, why in self._cancelled.items() if span == of or span.startswith(f"{of}/"))
            return next(found, "")

    def log(self, kind: str, /, **data: Any) -> None:
        with self.lock:
            if self._trace is not None:
                self._trace.event(kind, **data)

    def log_request(self, held: Held, notices: Sequence[str], span: str) -> None:
        with self.lock:
            if self._trace is None:
                return
            for text in notices:
                self._trace.event("notice", call=held.number, text=text)
            hashes = [self._trace.message(message) for message in held.request["messages"]]
            rest = {k: v for k, v in held.request.items() if k not in {"messages", "model"}}
            whose = {"span": span} if span else {}
            self._trace.event(
                "request", call=held.number, model=held.model, messages=hashes, rest=rest, **whose
            )

    def leave_trace(self) -> None:
        with self.lock:
            self._trace = None

    def next_number(self) -> int:
        return next(self._numbers)

    def take_notices(self, asking: str) -> list[str]:
        with self.lock:
            taken = [(span, text) for span, text in self._notices if span in ("", asking)]
            self._notices = deque(kept for kept in self._notices if kept not in taken)
        return [text for _, text in taken]

    def put_back(self, notices: Sequence[str], asking: str) -> None:
        with self.lock:
            self._notices.extendleft((asking, text) for text in reversed(notices))

    def mark_reached(self, what: str) -> None:
        with self.lock:
            self._reached = self._reached or what

    def count_refusal(self) -> int:
        with self.lock:
            self._refused += 1
            return self._refused

    def mark_failed(self, why: str) -> None:
        with self.lock:
            self._failure = self._failure or why

    def mark_broken(self, request: Mapping[str, Any], why: str) -> None:
        """An answer broke off while it was shown: a failure, unless the very same request is answered later."""
        with self.lock:
            self._broken[chat.fingerprint(request)] = why

    def mark_answered(self, request: Mapping[str, Any]) -> None:
        with self.lock:
            if self._broken:
                self._broken.pop(chat.fingerprint(request), None)

    def add_wait(self, seconds: float) -> None:
        with self.lock:
            self._waited += seconds

    def estimate(self, body: Mapping[str, Any]) -> tuple[int, str]:
        """Prompt tokens that the request cannot exceed, and the prompt's digest.

        A token is at least one byte. Where the beginning of the prompt was sent before, the provider's own
        count stands for it, so the bound is loose only for what is new.
        """
        rest = {k: v for k, v in body.items() if k != "messages"}
        bound = _bytes(rest) + 1_024  # what a provider adds for tools and templates
        digest = chat.fingerprint(rest)
        for message in body["messages"]:
            digest = hashlib.sha256(f"{digest} {chat.fingerprint(message)}".encode()).hexdigest()
            bound += _bytes(message) + 16
            bound = self._prompts.get(digest, bound)
        return bound, digest

    def learn(self, digest: str, prompt_tokens: int) -> None:
        with self.lock:
            self._prompts[digest] = prompt_tokens
            if len(self._prompts) > 1_024:
                del self._prompts[next(iter(self._prompts))]


_SPAN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,119}")


def clean_span(told: str) -> str:
    """What a request's X-Agent-Span says, if it is a name."""
    return told if _SPAN.fullmatch(told) else ""


def _bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def facts(record: Usage | Budget) -> dict[str, Any]:
    return asdict(record)
