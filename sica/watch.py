"""What every box is doing right now, from the events of its trace while they are written: no file is read again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sica.model import Check, Evaluate, Improve, Merge, Step, Task
from sica.ports import Trace


@dataclass
class Box:
    """One box that is open, or whose work is being judged."""

    about: Mapping[str, Any]
    """The trace's first line: who works, at what."""
    began: float
    calls: int = 0
    """Model calls begun."""
    doing: str = "starting"
    """In a few words; the name of a tool in it is the agent's own, so it is hostile text."""
    usd: float = 0.0
    tokens: int = 0

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        self.doing = _doing(kind, data) or self.doing
        if kind == "request":
            self.calls += 1
        usage = data.get("usage")
        if isinstance(usage, Mapping):
            self.usd += usage.get("usd") or 0.0
            self.tokens += (usage.get("prompt_tokens") or 0) + (usage.get("completion_tokens") or 0)

    def of(self, step: Step, tasks: Sequence[Task]) -> bool:
        """Whether this box is part of the step."""
        match step:
            case Improve():
                keys: tuple[str, ...] = ("for", "commit", "nth")
                mine: tuple[object, ...] = ("improvement", step.parent, step.nth)
            case Merge():
                keys, mine = ("for", "commit", "other"), ("merge", step.parent, step.other)
            case Check():
                keys, mine = ("for", "commit"), ("trial", step.agent)
            case Evaluate():
                task = next((t.id for t in tasks if t.digest == step.task), "")
                keys, mine = ("for", "commit", "task", "attempt"), ("trial", step.agent, task, step.attempt)
        return tuple(self.about.get(key) for key in keys) == mine


@dataclass
class Watch:
    """The boxes of one run. `opening` is put around what opens traces; reading is safe from any thread."""

    _boxes: dict[str, Box] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def opening(self, open_trace: Callable[[str], Trace]) -> Callable[[str], Trace]:
        return lambda session: _Watched(open_trace(session), self, session)

    def box(self, step: Step, tasks: Sequence[Task]) -> Box | None:
        """The step's latest box: the gate opens one after another."""
        with self._lock:
            return next((b for b in reversed(self._boxes.values()) if b.of(step, tasks)), None)

    def forget(self, step: Step, tasks: Sequence[Task]) -> None:
        with self._lock:
            for session in [s for s, box in self._boxes.items() if box.of(step, tasks)]:
                del self._boxes[session]

    def take(self, session: str, kind: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            if kind == "start":
                self._boxes[session] = Box(data, time.time())
            elif session in self._boxes:
                self._boxes[session].take(kind, data)


class _Watched:
    """A ports.Trace that tells the watch what it writes, once it is written."""

    def __init__(self, trace: Trace, watch: Watch, session: str) -> None:
        self._trace, self._watch, self._session = trace, watch, session

    def event(self, kind: str, /, **data: Any) -> None:
        self._trace.event(kind, **data)
        self._watch.take(self._session, kind, data)

    def message(self, body: Mapping[str, Any]) -> str:
        return self._trace.message(body)

    def close(self) -> str:
        return self._trace.close()


def _doing(kind: str, data: Mapping[str, Any]) -> str:
    match kind:
        case "session":
            return "starting"
        case "request":
            return "waiting for model"
        case "retry":
            return "waiting for provider"
        case "response":
            return tool(data.get("body")) or "working"
        case "refused" | "failed":
            return "working"
        case "ended":
            return "being judged"
    return ""


def tool(body: Any) -> str:
    """Names of the tools that an answer asks for, if it does."""
    try:
        calls = body["choices"][0]["message"]["tool_calls"] or ()
        return ", ".join(dict.fromkeys(str(call["function"]["name"]) for call in calls))
    except (KeyError, IndexError, TypeError):
        return ""  # a provider's answer may have any form; without tools the agent simply works
