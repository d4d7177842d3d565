"""A trace's events as what people read: a call and what came of it as one block, conversations nested as they were.

Pure. The events come one by one, so a trace that is still being written is read on, never again. Blocks hold line
numbers and figures, no text: what is shown is rendered from the lines when it is shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Event = Mapping[str, Any]
SHORT = 4_000
"""Characters kept of each end of a long text."""
LONGEST = 1_000_000
"""Of one text that was asked for whole."""

_OVERSEERS = ("overseer", "ruling", "critique")
"""Events of whoever watches a box from outside."""


@dataclass(slots=True)
class Block:
    e: float
    """The `seq` of its first event: its name for ever. The second tool of one answer has a thousandth more."""
    kind: str
    span: int
    ts: float
    lines: list[int]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Span:
    """One conversation."""

    span: int
    parent: int | None
    label: str
    depth: int
    at: float
    path: str = ""
    last: list[str] = field(default_factory=list)
    """Hashes of the messages of its latest request."""
    placed: set[str] = field(default_factory=set)
    pending: dict[str, Block] = field(default_factory=dict)
    """Tools without a result, by the id of their call, oldest first."""
    unsaid: int = 0
    """Answers that its next request will repeat as history."""
    until: float = 0.0
    turns: int = 0
    tokens: int = 0
    usd: float = 0.0
    blocks: int = 0
    first: int = 0
    final: int = 0


@dataclass(slots=True)
class _Message:
    line: int
    seq: int
    role: str
    answers: str
    """Id of the tool call that it answers."""
    shown: bool = False


class Assembler:
    """Takes a trace's events in order; its blocks and spans can be read at any time."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.spans: list[Span] = []
        self.about: dict[str, Any] = {}
        self.kinds: Counter[str] = Counter()
        self.totals: dict[str, float] = dict.fromkeys(
            ("turns", "prompt_tokens", "cached_tokens", "completion_tokens", "usd", "seconds"), 0
        )
        self.began = 0.0
        self.notices = 0
        self.latest = 0.0
        self._messages: dict[str, _Message] = {}
        self._calls: dict[Any, Block] = {}
        self._ruled: dict[str, str] = {}
        """Who ruled what is put before the model next."""

    def feed(self, event: Event, line: int) -> None:
        ts = event.get("ts")
        self.latest = ts if isinstance(ts, int | float) else self.latest
        self.began = self.began or self.latest
        kind = str(event.get("type", ""))
        take = getattr(self, f"_{kind}", None) if kind in _TAKEN else None
        if take is not None:
            take(event, line)
        else:
            self._other(kind, event, line)
        if self.spans:
            self.totals["seconds"] = self.latest - self.began

    # ── single events ─────────────────────────────────────────────────────────────────────────────

    def _start(self, event: Event, line: int) -> None:
        number = str(event.get("agent", "")).rpartition("/")[2]
        self.about |= {
            "for": _text(event.get("for")) or "check",
            "agent": int(number) if number.isascii() and number.isdigit() else None,
            "task": _text(event.get("task")),
            "attempt": event.get("attempt"),
            "nth": event.get("nth"),
        }
        self._add("start", event, line, 0)

    def _session(self, event: Event, line: int) -> None:
        del line
        self.about |= {name: _text(event.get(name)) for name in ("session", "role", "model", "run")}

    def _message(self, event: Event, line: int) -> None:
        body = event.get("body")
        body = body if isinstance(body, Mapping) else {}
        role, answers = _text(body.get("role")) or "message", _text(body.get("tool_call_id"))
        self._messages[_text(event.get("hash"))] = _Message(line, _seq(event, line), role, answers)

    def _request(self, event: Event, line: int) -> None:
        hashes = [str(h) for h in event.get("messages") or ()]
        span = self._span_of(event, hashes)
        for nth, name in enumerate(self._fresh(span, hashes), 1):
            self._say(span, name, _seq(event, line) - 0.5 + nth / 10_000)
        span.last = hashes
        span.turns += 1
        self.totals["turns"] += 1
        facts = {
            "call": event.get("call"),
            "turn": span.turns,
            "model": _text(event.get("model")),
            "state": "open",
        }
        self._calls[event.get("call")] = self._add("call", event, line, span.span, facts)

    def _fresh(self, span: Span, hashes: Sequence[str]) -> list[str]:
        """Messages that this request is the first to bring; history that an agent rewrote brings only new texts."""
        if span.last and list(hashes[: len(span.last)]) == span.last:
            return list(hashes[len(span.last) :])
        return [name for name in hashes if name not in span.placed]

    def _say(self, span: Span, name: str, again: float) -> None:
        """`again`: what a message is called that was shown before, in another conversation."""
        message = self._messages.get(name)
        span.placed.add(name)
        if message is None:
            return
        if message.answers and (tool := span.pending.pop(message.answers, None)) is not None:
            tool.lines.append(message.line)
            tool.facts |= {"answered": True, "seconds": max(0.0, self.latest - tool.ts)}
        elif message.role == "assistant" and span.unsaid > 0:
            span.unsaid -= 1
        else:
            said: Event = {"seq": message.seq, "ts": self.latest}
            block = self._add("message", said, message.line, span.span, {"role": message.role})
            block.e = round(again, 4) if message.shown else block.e
            message.shown = True

    def _response(self, event: Event, line: int) -> None:
        block = self._calls.get(event.get("call"))
        if block is None:
            self._other("response", event, line)
            return
        span = self.spans[block.span]
        usage = event.get("usage")
        usage = usage if isinstance(usage, Mapping) else {}
        used = {
            name: _number(usage.get(name))
            for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "usd")
        }
        block.lines.append(line)
        block.facts |= {**used, "seconds": _number(event.get("seconds")), "state": "done"}
        for name, value in used.items():
            self.totals[name] += value
        span.usd += used["usd"]
        span.tokens += int(used["prompt_tokens"] + used["completion_tokens"])
        span.unsaid += 1
        span.until = self.latest
        tools = tool_calls(event.get("body"))
        block.facts["tools"] = len(tools)
        span.pending.clear()
        for nth, tool in enumerate(tools):
            facts = {
                "tool": _text(tool.get("name")) or "?",
                "nth": nth,
                "starts": None,
                "answered": False,
                "seconds": None,
            }
            made = self._add("tool", event, line, span.span, facts)
            made.e = round(made.e + nth / 1000, 3) if nth else made.e
            span.pending[_text(tool.get("id")) or f"{line}:{nth}"] = made

    def _failed(self, event: Event, line: int) -> None:
        self._gave_up("failed", event, line)

    def _refused(self, event: Event, line: int) -> None:
        self._gave_up("refused", event, line)

    def _gave_up(self, state: str, event: Event, line: int) -> None:
        block = self._calls.get(event.get("call")) if event.get("call") is not None else None
        if block is None:
            self._add(state, event, line, 0, {"call": event.get("call")})
            return
        block.facts |= {"state": state, "why": _text(event.get("reason"))[:SHORT]}
        block.lines.append(line)

    def _retry(self, event: Event, line: int) -> None:
        self._add("retry", event, line, self._whose(event), {"call": event.get("call")})

    def _notice(self, event: Event, line: int) -> None:
        self.notices += 1
        by = _author(event) or self._ruled.get(_text(event.get("text")), "")
        self._add("notice", event, line, self._whose(event), {"by": by})

    def _stdout(self, event: Event, line: int) -> None:
        if _text(event.get("text")).strip() or event.get("omitted"):
            self._add("stdout", event, line, 0)

    def _stderr(self, event: Event, line: int) -> None:
        if _text(event.get("text")).strip() or event.get("omitted"):
            self._add("stderr", event, line, 0)

    def _ended(self, event: Event, line: int) -> None:
        facts = {name: event.get(name) for name in ("how", "exit_code", "seconds")}
        self._add("ended", event, line, 0, facts)

    def _grade(self, event: Event, line: int) -> None:
        self._add("grade", event, line, 0, {"score": event.get("score")})

    def _swept(self, event: Event, line: int) -> None:
        self._add("swept", event, line, 0)

    def _other(self, kind: str, event: Event, line: int) -> None:
        if kind in _OVERSEERS:
            action, by = _text(event.get("action")), _text(event.get("by")).partition(":")[0]
            self._add("overseer", event, line, self._whose(event), {"action": action, "by": by or "overseer"})
            self._ruled[_text(event.get("text"))] = by
        else:
            self._add("other", event, line, 0, {"type": kind})

    def _whose(self, event: Event) -> int:
        """The span that an event names, or of the call that it names; an event may come before its call."""
        named = next((s.span for s in self.spans if s.path and s.path == _text(event.get("span"))), None)
        if named is not None:
            return named
        block = self._calls.get(event.get("call"))
        return block.span if block else 0

    def _add(
        self, kind: str, event: Event, line: int, span: int, facts: dict[str, Any] | None = None
    ) -> Block:
        ts = event.get("ts")
        block = Block(
            _seq(event, line),
            kind,
            span,
            ts if isinstance(ts, int | float) else self.latest,
            [line],
            facts or {},
        )
        self.blocks.append(block)
        self.kinds[kind] += 1
        if span < len(self.spans):
            of = self.spans[span]
            of.first = of.first if of.blocks else len(self.blocks) - 1
            of.final = len(self.blocks) - 1
            of.blocks += 1
            of.until = max(of.until, block.ts)
        return block

    # ── spans ─────────────────────────────────────────────────────────────────────────────────────

    def _span_of(self, event: Event, hashes: Sequence[str]) -> Span:
        """By the agent's own word for it (`span`: main/coder-1), else by what the conversation goes on from."""
        if path := _text(event.get("span")):
            known = next((s for s in self.spans if s.path == path), None)
            return known or self._open(path.rpartition("/")[2], self._parent_by(path), path)
        for span in sorted(self.spans, key=lambda s: -s.until):
            if self._goes_on(span, hashes):
                return span
        waiting = [s for s in self.spans if s.pending]
        parent = max(waiting, key=lambda s: (s.depth, s.until), default=None)
        label = "main" if not self.spans else self._label(parent)
        return self._open(label, parent if parent is not None or not self.spans else self.spans[0], "")

    def _goes_on(self, span: Span, hashes: Sequence[str]) -> bool:
        """The same beginning, and the answer to what it last asked for: else it is another conversation."""
        begins = _head(span.last, self._messages)
        if not begins or list(hashes[: len(begins)]) != begins:
            return False
        answered = {m.answers for h in hashes if (m := self._messages.get(h)) is not None and m.answers}
        return not span.pending or not answered.isdisjoint(span.pending)

    def _parent_by(self, path: str) -> Span | None:
        above = path.rpartition("/")[0]
        found = next((s for s in self.spans if s.path == above), None) if above else None
        return found or (self.spans[0] if self.spans else None)

    def _label(self, parent: Span | None) -> str:
        tool = _starter(parent)
        return str(tool.facts["tool"]) if tool else f"conversation {len(self.spans)}"

    def _open(self, label: str, parent: Span | None, path: str) -> Span:
        span = Span(
            len(self.spans),
            parent.span if parent else None,
            label,
            parent.depth + 1 if parent else 0,
            self.latest,
            path,
            until=self.latest,
            first=len(self.blocks),
            final=len(self.blocks),
        )
        if (tool := _starter(parent)) is not None:
            tool.facts["starts"] = span.span
        if not self.spans:  # what came before the first request is the agent's own
            span.blocks, span.first = sum(b.span == 0 for b in self.blocks), 0
        self.spans.append(span)
        return span


_TAKEN = frozenset(
    (
        *("start", "session", "message", "request", "response", "failed", "refused", "retry", "notice"),
        *("stdout", "stderr", "ended", "grade", "swept"),
    )
)


def _starter(parent: Span | None) -> Block | None:
    """The tool call of the parent that is still without a result and has started nothing yet."""
    if parent is None:
        return None
    return next((b for b in parent.pending.values() if b.facts["starts"] is None), None)


def _head(hashes: Sequence[str], known: Mapping[str, _Message]) -> list[str]:
    """What makes a conversation the one it is: everything up to its first message that is no instruction."""
    head = []
    for name in hashes:
        head.append(name)
        message = known.get(name)
        if message is None or message.role not in ("system", "developer"):
            break
    return head


# ── showing ───────────────────────────────────────────────────────────────────────────────────────


def shown(block: Block, events: Sequence[Event], began: float, *, most: int = SHORT) -> dict[str, Any]:
    """The block as JSON: `events` are those of its lines. `most` characters of each end of a text."""
    cut = _Cut(most)
    facts = {k: v for k, v in block.facts.items() if k not in ("nth", "answered")}
    texts: dict[str, str | None] = {name: cut(text) for name, text in parts(block, events)}
    if block.kind == "tool" and not block.facts.get("answered"):
        texts["result"] = None
    head = {
        "e": block.e,
        "kind": block.kind,
        "span": block.span,
        "at": round(max(0.0, block.ts - began), 3),
        "ts": block.ts,
    }
    return {**head, **facts, **texts, "cut": cut.left_out}


class _Cut:
    def __init__(self, most: int) -> None:
        self.most, self.left_out = most, 0

    def __call__(self, text: str) -> str:
        left = len(text) - 2 * self.most
        if left <= 0:
            return text
        self.left_out += left
        return f"{text[: self.most]}\n[… {left:,} characters …]\n{text[-self.most :]}"


def parts(block: Block, events: Sequence[Event]) -> Iterator[tuple[str, str]]:
    """The texts of a block, whole and as hostile as they came, by the name they are shown under."""
    first = events[0] if events else {}
    match block.kind:
        case "message":
            yield "text", content(first.get("body"))
        case "call":
            message = _answer(next((e.get("body") for e in events if e.get("type") == "response"), None))
            yield "text", content({"content": message.get("content")})
            yield "thought", _text(message.get("reasoning_content") or message.get("reasoning"))
        case "tool":
            tools = tool_calls(first.get("body"))
            nth = block.facts["nth"]
            yield "input", _arguments(tools[nth].get("arguments")) if nth < len(tools) else ""
            yield "result", content(events[1].get("body")) if len(events) > 1 else ""
        case "start":
            task, nth = first.get("task"), first.get("nth")
            what = (
                f"{task}, attempt {first.get('attempt')}"
                if task
                else f"improvement {nth}"
                if nth is not None
                else ""
            )
            yield "text", f"{_text(first.get('agent'))}: {_text(first.get('for')) or 'check'} {what}".strip()
        case "retry" | "failed" | "refused":
            yield "text", _text(first.get("reason"))
        case "swept":
            yield "text", _text(first.get("torn"))
        case "ended":
            yield "text", _text(first.get("why"))
        case _:
            yield "text", _text(first.get("text")) or _rest(first)


def _rest(event: Event) -> str:
    rest = {k: v for k, v in event.items() if k not in ("ts", "seq", "type") and v not in (None, "", [], {})}
    return "  ".join(
        f"{k}={v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in rest.items()
    )


def content(message: Any) -> str:
    """A message's text, whatever parts it comes in."""
    body = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(body, str):
        return body
    if isinstance(body, Sequence):
        return "\n".join(
            _text(p.get("text") or p.get("type")) if isinstance(p, Mapping) else str(p) for p in body
        )
    return ""


def tool_calls(body: Any) -> list[Mapping[str, Any]]:
    """Name, arguments and id of each tool call of an answer."""
    calls = _answer(body).get("tool_calls")
    found: list[Mapping[str, Any]] = []
    for call in calls if isinstance(calls, Sequence) and not isinstance(calls, str) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            found.append(
                {"id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
            )
    return found


def _answer(body: Any) -> Mapping[str, Any]:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    first = choices[0] if isinstance(choices, Sequence) and choices else None
    message = first.get("message") if isinstance(first, Mapping) else None
    return message if isinstance(message, Mapping) else {}


def _arguments(arguments: Any) -> str:
    """As people write them: one string alone is itself, else a line a name."""
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return str(arguments)
    if not isinstance(value, Mapping):
        return _text(value) or json.dumps(value, ensure_ascii=False)
    if len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only
    return "\n".join(
        f"{k}: {v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in value.items()
    )


def one_line(event: Event, clean: Callable[[str], str]) -> str:
    """What a list of live events says of one, in at most 300 characters."""
    match event.get("type"):
        case "request":
            text = f"call {event.get('call')} to {event.get('model', '')}, {len(event.get('messages') or ())} messages"
        case "response":
            message, tools = _answer(event.get("body")), tool_calls(event.get("body"))
            said = content({"content": message.get("content")})[:600]
            text = " ".join([said, *(f"> {t['name']} {str(t['arguments'])[:200]}" for t in tools)])
        case "message":
            body = event.get("body")
            text = f"{_text(body.get('role')) if isinstance(body, Mapping) else ''}: {content(body)[:600]}"
        case "stdout" | "stderr" | "notice":
            text = _text(event.get("text"))[:600]
        case _:
            text = _rest(event)[:600]
    return clean(text)[:300]


def _author(event: Event) -> str:
    by, text = _text(event.get("by")), _text(event.get("text"))
    return by or next((name for name in ("overseer", "guard") if text.startswith(f"[{name}]")), "")


def _seq(event: Event, line: int) -> int:
    seq = event.get("seq")
    return seq if isinstance(seq, int) else line


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
