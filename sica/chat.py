"""OpenAI's chat completions as data: a whole answer, its chunks, its usage. Pure; standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sica.model import Usage

PIECE = 64
"""Characters of text in one chunk of a whole answer that is streamed."""


def fingerprint(value: Any) -> str:
    """The same for equal JSON values whatever their keys' order; never fails on odd text."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def chunks(completion: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A whole answer as the chunks that a streaming provider would have sent; usage is in the last one."""
    head = {k: v for k, v in completion.items() if k not in {"choices", "usage", "object"}}
    head["object"] = "chat.completion.chunk"
    for choice in completion["choices"]:
        for delta in _deltas(choice["message"]):
            yield {**head, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": None}]}
        last = {k: v for k, v in choice.items() if k != "message"}
        yield {**head, "choices": [{**last, "delta": {}}]}
    if completion.get("usage") is not None:
        yield {**head, "choices": [], "usage": completion["usage"]}


def _deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {k: v for k, v in message.items() if k not in {"content", "tool_calls"}}
    text: str | None = message.get("content")
    for start in range(0, len(text or ""), PIECE):
        yield {"content": (text or "")[start : start + PIECE]}
    if text == "":
        yield {"content": ""}
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield {"tool_calls": [{"index": index, **call}]}


def whole(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer that chunks add up to, also when they stop early; `usage` is absent when no chunk had it."""
    body: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for part in parts:
        body |= {k: v for k, v in part.items() if k not in {"choices", "object"} and v is not None}
        for piece in part.get("choices") or ():
            choice = choices.setdefault(piece.get("index", 0), {"message": {"content": None}})
            choice |= {k: v for k, v in piece.items() if k != "delta"}
            _grow(choice["message"], piece.get("delta") or {})
    return {**body, "object": "chat.completion", "choices": [choices[i] for i in sorted(choices)]}


def _grow(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            for call in value or ():
                _grow_call(message.setdefault("tool_calls", []), call)
        elif value is not None or key not in message:
            message[key] = _joined(message.get(key), value, key)


def _grow_call(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    index = piece.get("index", len(calls))
    while len(calls) <= min(index, len(calls)):
        calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    call = calls[min(index, len(calls) - 1)]
    function = piece.get("function") or {}
    call |= {k: v for k, v in piece.items() if k not in {"index", "function"} and v is not None}
    for key, value in function.items():
        if value is not None:
            call["function"][key] = _joined(call["function"].get(key), value, key)


def _joined(old: Any, new: Any, key: str) -> Any:
    if key != "role" and isinstance(old, str) and isinstance(new, str):
        return old + new
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    return new


def text(body: Mapping[str, Any]) -> str:
    """What the first choice of a completion says in words."""
    choices = body.get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    parts = content if isinstance(content, list) else [{"text": content or ""}]
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def usage(body: Mapping[str, Any]) -> Usage | None:
    """What the provider says it counted, without dollars; None when it says nothing usable."""
    said = body.get("usage")
    if not isinstance(said, Mapping):
        return None
    prompt, completion = _count(said.get("prompt_tokens")), _count(said.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    cached = min(_count(_details(said).get("cached_tokens")) or 0, prompt)
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        cache_write_tokens=min(_cache_written(said), prompt - cached),
    )


def _cache_written(said: Mapping[str, Any]) -> int:
    named = (said.get("cache_creation_input_tokens"), _details(said).get("cache_creation_tokens"))
    return next((count for value in named if (count := _count(value))), 0)


def _details(said: Mapping[str, Any]) -> Mapping[str, Any]:
    details = said.get("prompt_tokens_details")
    return details if isinstance(details, Mapping) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
