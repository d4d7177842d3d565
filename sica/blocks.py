"""A trace's events as blocks that people read: a tool's call with its result, sub-agents as branches, repeats left out.

Pure. A block keeps one clean line and the numbers of its events, so that a trace of any size fits into memory; what it
says in full is asked for with its events at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sica import report

Event = Mapping[str, Any]
HEAD = 300
"""Characters of a block's line."""

KINDS: Mapping[str, str] = {
    "message": "what the model was told",
    "call": "what the model said",
    "tool": "a tool's call and its result",
    "notice": "what was put before the model on the way, and what an overseer did",
    "trouble": "retries, refusals and failures",
    "output": "what the agent printed",
    "box": "how the box began and ended",
    "agent": "a sub-agent's own blocks",
    "other": "anything else",
}

_TROUBLE = ("retry", "refused", "failed", "swept")
_MAIN = (None, "", "main", 0)


@dataclass(slots=True)
class Block:
    kind: str
    """One of KINDS."""
    head: str
    parent: int | None
    """The sub-agent's block that it belongs to."""
    depth: int
    at: float
    """Seconds since the trace began."""
    events: list[int] = field(default_factory=list)
    """Numbers of the lines that it stands for."""
    children: list[int] = field(default_factory=list)
    nth: int | None = None
    """Which of an answer's tool calls this is."""
    open: bool = False
    """Not answered yet."""
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0


class Story:
    """Blocks in the order of the trace, grown event by event."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.roots: list[int] = []
        self.about: Event = {}
        """The trace's first line."""
        self.total = Block("box", "", None, 0, 0.0)
        """Sums over the whole trace."""
        self._began: float | None = None
        self._spans: dict[object, int | None] = dict.fromkeys(_MAIN)
        self._waiting: list[tuple[int, Event]] = []
        """Messages whose request, which knows whose they are, is still to come."""
        self._calls: dict[str, int] = {}
        self._tools: dict[tuple[int | None, str], int] = {}
        """Those without a result, by who asked and the call's id: sub-agents may count alike."""
        self._answers: set[str] = set()
        self._notices: dict[str, int] = {}

    def take(self, number: int, event: Event) -> None:
        """One more line of the trace, with its number."""
        at = event.get("ts")
        if isinstance(at, int | float):
            self._began = at if self._began is None else self._began
            self.total.seconds = at - self._began
        kind = str(event.get("type", ""))
        if kind == "message" and "span" not in event:
            self._waiting.append((number, event))
            return
        under = self._span(event)
        for earlier, message in self._waiting:
            self._message(earlier, message, under)
        self._waiting.clear()
        match kind:
            case "message":
                self._message(number, event, under)
            case "request":
                self._calls[_name_of(event)] = at_ = self._add("call", "…", number, under)
                self.blocks[at_].open = True
            case "response":
                self._response(number, event, under)
            case "refused" | "failed" if _name_of(event) in self._calls:
                self._broken(number, event)
            case _:
                self._plainly(kind, number, event, under)

    # ── what happens ──────────────────────────────────────────────────────────────────────────────

    def _message(self, number: int, event: Event, under: int | None) -> None:
        message = event.get("body")
        if not isinstance(message, Mapping):
            self._add("message", "(left out: the trace is full)", number, under)
            return
        text, role = content(message), str(message.get("role", "message"))
        tool = self._tools.pop((under, str(message.get("tool_call_id"))), None) if role == "tool" else None
        if tool is not None:
            block = self.blocks[tool]
            block.events.append(number)
            block.open, block.seconds = False, self.total.seconds - block.at
        elif role == "assistant" and _key(text) in self._answers:
            return  # the next request repeats the answer as its history
        elif (notice := self._notices.pop(text, None)) is not None:
            self.blocks[notice].events.append(number)
        else:
            self._add("message", f"{role}: {text}", number, under)

    def _response(self, number: int, event: Event, under: int | None) -> None:
        at = self._calls.pop(_name_of(event), None)
        if at is None:
            at = self._add("call", "", number, under)
        else:
            self.blocks[at].events.append(number)
        block = self.blocks[at]
        block.open, block.calls = False, 1
        block.seconds = _number(event.get("seconds"))
        usage = event.get("usage")
        if isinstance(usage, Mapping):
            block.tokens = int(_number(usage.get("prompt_tokens")) + _number(usage.get("completion_tokens")))
            block.usd = _number(usage.get("usd"))
        self._sum(block)
        messages = list(answers(event.get("body")))
        self._answers.update(_key(content(m)) for m in messages)
        text = "\n".join(words(m) for m in messages).strip()
        block.head = _line(text)
        for nth, call in enumerate(call for m in messages for call in tool_calls(m)):
            head = f"{name(call)}  {_arguments_in_short(call)}"
            if nth == 0 and not text:  # a turn without words is its tool's
                tool, block.kind, block.head = at, "tool", _line(head)
            else:
                tool = self._add("tool", head, number, block.parent)
            self.blocks[tool].nth, self.blocks[tool].open = nth, True
            if isinstance(call, Mapping):
                self._tools[block.parent, str(call.get("id"))] = tool
        block.head = block.head or "(an empty answer)"

    def _plainly(self, kind: str, number: int, event: Event, under: int | None) -> None:
        """What is a block of its own."""
        text = str(event.get("text", ""))
        match kind:
            case "start":
                self.about = event
                self._add("box", f"for {_facts(event)}", number, under)
            case "session" | "ended" | "grade":
                self._add("box", f"{kind}  {_facts(event)}", number, under)
            case "notice":
                self._notices[text] = self._add("notice", f"notice: {text}", number, under)
            case "ruling":
                by, action = (str(event.get(key, "")) for key in ("by", "action"))
                self._add("notice", f"{by}  {action}  {text}", number, under)
            case "stdout" | "stderr":
                if text.strip():
                    self._add("output", f"{kind}: {text.strip()[-HEAD:].splitlines()[-1]}", number, under)
            case _ if kind in _TROUBLE:
                self._add("trouble", f"{kind}: {_reason(event)}", number, under)
            case _:
                shown = "notice" if "overseer" in kind else "other"
                self._add(shown, f"{kind}  {_facts(event)}", number, under)

    def _broken(self, number: int, event: Event) -> None:
        block = self.blocks[self._calls.pop(_name_of(event))]
        block.events.append(number)
        block.kind, block.open = "trouble", False
        block.head = _line(f"{event.get('type')}: {_reason(event)}")

    # ── the tree ──────────────────────────────────────────────────────────────────────────────────

    def _span(self, event: Event) -> int | None:
        """The sub-agent that an event belongs to; None: the agent itself."""
        span = event.get("span")
        if not isinstance(span, str | int) or span in self._spans:
            return self._spans.get(span) if isinstance(span, str | int) else None
        above = event.get("parent")
        if above is None and isinstance(span, str):
            above = span.rpartition("/")[0]
        under = self._span({"span": above}) if above != span and _depth(above) < 50 else None
        self._spans[span] = made = self._add("agent", str(span), None, under)
        return made

    def _add(self, kind: str, head: str, number: int | None, under: int | None) -> int:
        depth = 0 if under is None else self.blocks[under].depth + 1
        block = Block(kind, _line(head), under, depth, self.total.seconds)
        if number is not None:
            block.events.append(number)
        self.blocks.append(block)
        here = self.roots if under is None else self.blocks[under].children
        here.append(len(self.blocks) - 1)
        return len(self.blocks) - 1

    def _sum(self, block: Block) -> None:
        """What a call used is used by everybody above it."""
        at = block.parent
        while at is not None:
            self._count(self.blocks[at], block)
            at = self.blocks[at].parent
        self._count(self.total, block)

    def _count(self, whole: Block, part: Block) -> None:
        whole.calls += 1
        whole.tokens += part.tokens
        whole.usd += part.usd
        if whole is not self.total:
            whole.seconds = self.total.seconds - whole.at


# ── what a block says in full ─────────────────────────────────────────────────────────────────────


def body(block: Block, events: Sequence[Event]) -> str:
    """The block's text, hostile bytes included."""
    return "\n".join(part for event in events for part in _said(block, event) if part).strip("\n")


def _said(block: Block, event: Event) -> Iterator[str]:
    if "omitted" in event:
        yield f"({event['omitted']} bytes are left out: the trace is full)"
        return
    match event.get("type"):
        case "message":
            message = event.get("body")
            if isinstance(message, Mapping):
                yield ("→ " if block.kind == "tool" else "") + content(message)
        case "request":
            return
        case "response":
            messages = list(answers(event.get("body")))
            if block.nth is None:
                yield from (words(m) for m in messages)
            else:
                calls = [call for m in messages for call in tool_calls(m)]
                yield from (f"{name(c)}\n{_arguments(c)}" for c in calls[block.nth : block.nth + 1])
        case "refused" | "failed" | "retry":
            yield _reason(event)
        case "notice" | "stdout" | "stderr":
            yield str(event.get("text", ""))
        case _:
            yield from (f"{key}: {_plain(value)}" for key, value in _rest(event))


def content(message: Mapping[str, Any]) -> str:
    """An OpenAI message's text and tool calls."""
    calls = (f"> {name(call)} {_raw_arguments(call)}" for call in tool_calls(message))
    return "\n".join(part for part in (words(message), *calls) if part)


def words(message: Mapping[str, Any]) -> str:
    """Its text alone."""
    said = message.get("content")
    if isinstance(said, str):
        return said
    if not isinstance(said, Sequence):
        return ""
    return "\n".join(str(p.get("text", "")) if isinstance(p, Mapping) else str(p) for p in said)


def answers(completion: Any) -> Iterator[Mapping[str, Any]]:
    """The messages of a chat completion, of whatever form it has."""
    choices = completion.get("choices") if isinstance(completion, Mapping) else None
    for choice in choices if isinstance(choices, Sequence) else ():
        message = choice.get("message") if isinstance(choice, Mapping) else None
        if isinstance(message, Mapping):
            yield message


def tool_calls(message: Mapping[str, Any]) -> Sequence[Any]:
    calls = message.get("tool_calls")
    return calls if isinstance(calls, Sequence) and not isinstance(calls, str) else ()


def name(call: Any) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    return str(function.get("name")) if isinstance(function, Mapping) else "?"


def handed(call: Any) -> Sequence[str]:
    """The values of a call's arguments."""
    return [_plain(value) for value in (_parsed(call) or {}).values()]


def _raw_arguments(call: Any) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    return function.get("arguments", "") if isinstance(function, Mapping) else ""


def _parsed(call: Any) -> Mapping[str, Any] | None:
    raw = _raw_arguments(call)
    try:
        found = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Mapping) else None


def _arguments(call: Any) -> str:
    """One argument a line; a long one on lines of its own."""
    found = _parsed(call)
    if found is None:
        return str(_raw_arguments(call))
    shown = ((key, _plain(value)) for key, value in found.items())
    return "\n".join(f"{key}:\n{value}" if "\n" in value else f"{key}: {value}" for key, value in shown)


def _arguments_in_short(call: Any) -> str:
    found = _parsed(call)
    if found is None:
        return str(_raw_arguments(call))[:HEAD]
    return "  ".join(_plain(value)[:HEAD] for value in found.values())[:HEAD]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rest(event: Event) -> Iterator[tuple[str, Any]]:
    own = ("ts", "seq", "type")
    return ((k, v) for k, v in event.items() if k not in own and v not in (None, "", [], {}))


def _facts(event: Event) -> str:
    found = dict(_rest(event))
    first = found.pop("for", "")
    return "  ".join([*([str(first)] if first else []), *(f"{k} {_plain(v)[:80]}" for k, v in found.items())])


def _name_of(event: Event) -> str:
    return str(event.get("call"))


def _reason(event: Event) -> str:
    return str(event.get("reason", event.get("torn", "")))


def _line(text: str) -> str:
    return report.clean(text[: 2 * HEAD])[:HEAD].rstrip()


def _key(text: str) -> str:
    """Stands for an answer when it is met again; the whole text of every answer would fill the memory."""
    return text if len(text) < 64 else str(hash(text))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _depth(span: object) -> int:
    return span.count("/") if isinstance(span, str) else 0
