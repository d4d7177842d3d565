"""The offline model: a way to see and test the whole loop without a key. It is not a language model.

It is a small deterministic program that speaks the chat protocol. Given a task it looks around with the
tools that the agent offers, carries out edits that are spelt out in plain sentences, answers questions
about where things are, and mends failing programs by generate-and-validate: it tries small changes of
the kinds that people get wrong (comparisons, bounds, operators, arguments, names, missing returns),
ranked by what the failing tests printed, and keeps those that make more tests pass. Given the brief of
an improvement it changes the agent's own code: it scales limits and flips switches that the recorded
failures point to, adds a small tool from a generic template (replacing one piece of a file), or makes a
random change. So what it proposes is mutation; some of it is useless or broken, and tests decide.

It knows no task by name and holds no answers. It sees only what the agent shows it: a cut output stays
cut, an answer longer than `max_tokens` is cut off in the middle, and a step that the agent does not
allow is not made. It is a pure function of the messages, the tools and the seed: its state is found
again in the conversation at every call. Scores with it measure a scaffold with this program in it, and
say nothing about any language model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from sica.errors import UsageError
from sica.gateways._offline import inmind
from sica.gateways._offline.hands import Act, Hands, Seen
from sica.gateways._offline.plan import think
from sica.ports import Asked, Price

BYTES_PER_TOKEN = 4
CALL_TOKENS = 8
"""What a tool call costs beside its arguments."""


class OfflineGateway:
    """Price nothing, key none."""

    name = "offline"

    def check(self, model: str) -> None:
        if model != "offline":
            raise UsageError(f"the offline gateway has no model {model!r}; there is: offline")

    def price(self, model: str) -> Price | None:  # noqa: ARG002  it is never anything else
        return Price(0.0, 0.0)

    def complete(self, asked: Asked) -> Mapping[str, Any]:
        request = asked.request
        messages = [m for m in request.get("messages") or [] if isinstance(m, Mapping)]
        message, cut = _speak(_decide(request, messages, asked.seed), _limit(request), len(messages))
        calls = message.get("tool_calls")
        finish = "length" if cut else "tool_calls" if calls else "stop"
        prompt = _tokens(json.dumps([request.get("messages"), request.get("tools")], ensure_ascii=False))
        completion = _tokens(str(message["content"])) + sum(
            CALL_TOKENS + _tokens(call["function"]["arguments"]) for call in calls or ()
        )
        return {
            "id": f"offline-{len(messages)}",
            "object": "chat.completion",
            "created": 0,
            "model": str(request.get("model", "offline")),
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }

    def stream(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        whole = self.complete(asked)
        head = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        choice = whole["choices"][0]
        delta = dict(choice["message"])
        if "tool_calls" in delta:
            delta["tool_calls"] = [{"index": n, **call} for n, call in enumerate(delta["tool_calls"])]
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        yield {**head, "choices": [last], "usage": whole["usage"]}


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def _limit(request: Mapping[str, Any]) -> int:
    limits = [request.get(key) for key in ("max_tokens", "max_completion_tokens")]
    return min((n for n in limits if isinstance(n, int) and n > 0), default=1 << 60)


# ── deciding: the thought is run again from the start, over what the conversation already holds ──────


def _decide(
    request: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], seed: int
) -> Sequence[Act] | str:
    dice = Random(hashlib.sha256(f"{seed}".encode()).digest())
    hands = Hands(_functions(request.get("tools")), request.get("parallel_tool_calls") is not False)
    instruction = next((_text(m) for m in messages if m.get("role") == "user"), "")
    if not hands.roles:
        return inmind.answer(instruction, dice)
    past = _Past(messages)
    thought = think(hands, instruction, dice)
    try:
        acts = next(thought)
        while True:
            seen = [past.recall(act) for act in acts]
            if any(s is None for s in seen):
                return [act for act, s in zip(acts, seen, strict=True) if s is None]
            acts = thought.send(tuple(s for s in seen if s is not None))
    except StopIteration as end:
        return str(end.value)


def _functions(tools: Any) -> list[Mapping[str, Any]]:
    found = [t.get("function") for t in tools or () if isinstance(t, Mapping)]
    return [f for f in found if isinstance(f, Mapping) and isinstance(f.get("name"), str)]


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(p.get("text", "")) for p in parts if isinstance(p, Mapping))


class _Past:
    """The calls that the conversation holds and what was shown for them; each is recalled once."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        shown = {m.get("tool_call_id"): _text(m) for m in messages if m.get("role") == "tool"}
        self._made: list[tuple[str, str, Any, str]] = []
        for message in messages:
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                if call.get("id") in shown:
                    raw = str(function.get("arguments", ""))
                    self._made.append((str(function.get("name", "")), raw, _parsed(raw), shown[call["id"]]))

    def recall(self, act: Act) -> Seen | None:
        """What was shown for this call; None when it is not in the conversation (any more)."""
        arguments = dict(act.arguments)
        for n, (name, _, parsed, text) in enumerate(self._made):
            if name == act.tool and parsed == arguments:
                del self._made[n]
                return Seen(text)
        whole = _arguments(act)
        for n, (name, raw, parsed, text) in enumerate(self._made):
            if name == act.tool and parsed is None and whole.startswith(raw):
                del self._made[n]
                return Seen(text, cut=True)
        return None


def _parsed(raw: str) -> Any:
    """The arguments of a call; None when they were cut off."""
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _arguments(act: Act) -> str:
    return json.dumps(dict(act.arguments), ensure_ascii=False)


# ── speaking ─────────────────────────────────────────────────────────────────────────────────────────


def _speak(decided: Sequence[Act] | str, limit: int, turn: int) -> tuple[dict[str, Any], bool]:
    """The assistant's message within the limit on tokens, and whether it was cut off."""
    words = decided if isinstance(decided, str) else " ".join(dict.fromkeys(a.why for a in decided if a.why))
    room = limit - _tokens(words)
    if room < 0:
        return {"role": "assistant", "content": _clip(words, limit)}, True
    message: dict[str, Any] = {"role": "assistant", "content": words}
    calls: list[dict[str, Any]] = []
    for act in () if isinstance(decided, str) else decided:
        arguments = _arguments(act)
        room -= CALL_TOKENS + _tokens(arguments)
        fits = room >= 0
        text = arguments if fits else _clip(arguments, max(0, room + _tokens(arguments)))
        calls.append(
            {
                "id": f"call_{turn}_{len(calls)}",
                "type": "function",
                "function": {"name": act.tool, "arguments": text},
            }
        )
        message["tool_calls"] = calls
        if not fits:
            return message, True
    return message, False


def _clip(text: str, tokens: int) -> str:
    return text.encode("utf-8", "surrogatepass")[: tokens * BYTES_PER_TOKEN].decode("utf-8", "ignore")
