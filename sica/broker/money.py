"""What may still be spent, and when the next call may be sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sica.model import Budget, Usage
from sica.ports import Price


@dataclass(slots=True)
class Account:
    """What one session or run has used, and what is held for its calls under way; guarded by the broker."""

    cap: Budget
    settled: Usage = field(default_factory=Usage)
    held: dict[object, Usage] = field(default_factory=dict)

    def used(self) -> Usage:
        return sum(self.held.values(), self.settled)

    def short(self, need: Usage, *, of_settled: bool = False) -> str:
        """Which part of the cap `need` would pass: calls, tokens, usd, or ""."""
        after = (self.settled if of_settled else self.used()) + need
        checks = (
            ("calls", after.calls, self.cap.calls),
            ("tokens", after.tokens, self.cap.tokens),
            ("usd", after.usd, self.cap.usd),
        )
        return next((name for name, value, cap in checks if cap is not None and value > cap), "")

    def left_for_completion(self, prompt: Usage, price: Price) -> float:
        """Completion tokens that the cap allows after the prompt."""
        used = self.used() + prompt
        tokens = float("inf") if self.cap.tokens is None else self.cap.tokens - used.tokens
        if self.cap.usd is None or not price.completion:
            return tokens
        return min(tokens, (self.cap.usd - used.usd) / price.completion * (1 - 1e-9))

    def settle(self, key: object, usage: Usage) -> None:
        self.held.pop(key)
        self.settled += usage


class Pace:
    """When the next call may be sent. One for all sessions: a provider says wait to everybody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._not_before = 0.0

    def hold(self, seconds: float) -> None:
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def wait(self, stop: threading.Event) -> float:
        """Seconds waited for; ends early when `stop` is set."""
        began = time.monotonic()
        while (left := self._left()) > 0 and not stop.wait(left):
            pass
        return time.monotonic() - began

    def _left(self) -> float:
        with self._lock:
            return self._not_before - time.monotonic()


def dearest(price: Price, body: Mapping[str, Any]) -> float:
    """Dollars that one prompt token can cost."""
    writes = "cache_control" in json.dumps(body)
    return max(price.prompt, price.cached or 0.0, (price.cache_write or 0.0) if writes else 0.0)


def with_completion(prompt: Usage, tokens: int, price: Price) -> Usage:
    return replace(prompt, completion_tokens=tokens, usd=prompt.usd + tokens * price.completion)
