"""What may still be spent, and when the next call may be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sica.model import Budget, Usage


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

    def left_for_completion(self, prompt: Usage, each: float) -> float:
        """Completion tokens that the cap allows after the prompt, at so many dollars each."""
        used = self.used() + prompt
        tokens = float("inf") if self.cap.tokens is None else self.cap.tokens - used.tokens
        if self.cap.usd is None or not each:
            return tokens
        return min(tokens, (self.cap.usd - used.usd) / each * (1 - 1e-9))

    def left(self) -> Budget:
        """What may still be reserved; None where nothing is capped."""
        used, cap = self.used(), self.cap
        return Budget(
            usd=None if cap.usd is None else max(0.0, cap.usd - used.usd),
            tokens=None if cap.tokens is None else max(0, cap.tokens - used.tokens),
            calls=None if cap.calls is None else max(0, cap.calls - used.calls),
        )

    def settle(self, key: object, usage: Usage) -> None:
        self.held.pop(key)
        self.settled += usage


class Days:
    """An account for each day, so that a run through midnight is held to both days' caps; guarded by the broker.

    A call counts for the day on which it is reserved, in UTC: that is how providers bill, and no day has 23 hours.
    """

    def __init__(self, cap: Budget, spent: Mapping[int, Usage]) -> None:
        """`spent`: by day, before this broker was made."""
        self.cap = cap
        self._accounts = {number: Account(cap, usage) for number, usage in spent.items()}

    def on(self, at: float) -> Account:
        return self._accounts.setdefault(day(at), Account(self.cap))


def day(at: float) -> int:
    """The number of the UTC day of a time in Unix seconds."""
    return int(at // 86_400)


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


def least(one: Budget, other: Budget) -> Budget:
    """The smaller of two budgets, part by part."""

    def of(a: Any, b: Any) -> Any:
        return min((v for v in (a, b) if v is not None), default=None)

    return Budget(of(one.usd, other.usd), of(one.tokens, other.tokens), of(one.calls, other.calls))


def with_completion(prompt: Usage, tokens: int, each: float) -> Usage:
    return replace(prompt, completion_tokens=tokens, usd=prompt.usd + tokens * each)
