"""The other two ways in which clients ask: Anthropic's messages and OpenAI's responses.

Both become a chat completion, which dialect.py then checks like any other, and its answer becomes what the client
expects. What cannot be honoured is refused; what asks nothing of a model (store, include, metadata) is passed over. An
answer comes whole, as one quick stream where one was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sica.broker import dialect
from sica.broker.dialect import Refused, Request

Body = Mapping[str, Any]
Events = Sequence[tuple[str, Body]]
"""Server-sent events: name and data."""


@dataclass(frozen=True, slots=True)
class Manner:
    """One way of asking."""

    chat: Callable[[dict[str, Any]], dict[str, Any]]
    """The request as a chat completion. Raises Refused."""
    reply: Callable[[Body], Body]
    events: Callable[[Body], Iterator[tuple[str, Body]]]
    """Of a reply, for a client that asked for a stream."""
    error: Callable[[Body], Body]

    def read(self, raw: bytes) -> tuple[Request, bool]:
        """The request, and whether its client wants a stream."""
        body = dialect.parse(raw)
        wants = body.pop("stream", None)
        try:
            asked = self.chat(body)
        except (KeyError, TypeError, AttributeError) as error:
            raise Refused(400, f"the request is not of the form asked for: {error!r:.200}") from None
        return replace(dialect.read(json.dumps(asked).encode()), stream=False), wants is True


def _only(body: Mapping[str, Any], known: Sequence[str], where: str = "") -> None:
    for name in body:
        if name not in known:
            raise Refused(400, f"{where}{name}: this field is not accepted here")


def _dropped(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(text: Any) -> Any:
    """A tool's arguments as an object; what is none stands in one."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


# ── Anthropic's messages ──────────────────────────────────────────────────────────────────────────

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_MESSAGES = (
    *("model", "messages", "system", "max_tokens", "tools", "tool_choice", "temperature", "top_p"),
    *("stop_sequences", "thinking", "metadata"),
)


def _from_messages(body: dict[str, Any]) -> dict[str, Any]:
    _only(body, _MESSAGES)
    system = [{"role": "system", "content": _parts(body["system"])}] if body.get("system") else []
    said = [message for told in body["messages"] for message in _turn(told)]
    return _dropped(
        model=body["model"],
        messages=[*system, *said],
        max_tokens=body.get("max_tokens"),
        tools=[_anthropic_tool(tool) for tool in body["tools"]] if body.get("tools") else None,
        **_choice(body.get("tool_choice")),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        stop=body.get("stop_sequences"),
        thinking=body.get("thinking"),
        user=(body.get("metadata") or {}).get("user_id"),
    )


def _parts(content: Any) -> Any:
    """Text and images as parts of a chat message; a plain text stays one."""
    if isinstance(content, str):
        return content
    parts = []
    for block in content:
        if block["type"] == "text":
            parts.append(_dropped(type="text", text=block["text"], cache_control=block.get("cache_control")))
        elif block["type"] == "image" and block["source"]["type"] == "base64":
            source = block["source"]
            parts.append(
                {
                    "type": "image_url",
                    "image_url": {"url": f"data:{source['media_type']};base64,{source['data']}"},
                }
            )
        else:
            raise Refused(400, f"a block of type {str(block['type'])[:60]!r} is not accepted here")
    return parts


def _turn(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One turn of the dialogue: the results of tools first, then what else was said."""
    role, content = told["role"], told["content"]
    if isinstance(content, str):
        yield {"role": role, "content": content}
        return
    kinds: dict[str, list[Any]] = {"tool_result": [], "tool_use": [], "thinking": [], "": []}
    for block in content:
        kind = str(block["type"]).removeprefix("redacted_")
        kinds.get(kind, kinds[""]).append(block)
    results, calls, thoughts, rest = kinds.values()
    for block in results:
        found = _parts(block.get("content") or "")
        text = found if isinstance(found, str) else "".join(part.get("text", "") for part in found)
        shown = f"error: {text}" if block.get("is_error") else text
        yield {"role": "tool", "tool_call_id": block["tool_use_id"], "content": shown}
    if rest or calls or (thoughts and role == "assistant"):
        made = [
            {
                "id": block["id"],
                "type": "function",
                "function": {"name": block["name"], "arguments": json.dumps(block["input"])},
            }
            for block in calls
        ]
        yield _dropped(
            role=role,
            content=_parts(rest) if rest else None,
            tool_calls=made or None,
            thinking_blocks=thoughts or None,
        )


def _anthropic_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise Refused(
            400, f"a tool of type {str(tool['type'])[:60]!r} is not accepted here: a provider would run it"
        )
    function = _dropped(
        name=tool["name"], description=tool.get("description"), parameters=tool.get("input_schema")
    )
    return _dropped(type="function", function=function, cache_control=tool.get("cache_control"))


def _choice(choice: Any) -> dict[str, Any]:
    if not choice:
        return {}
    kind = choice["type"]
    words: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none"}
    picked = words.get(kind) or {"type": "function", "function": {"name": choice["name"]}}
    parallel = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    return {"tool_choice": picked, **parallel}


def _to_message(body: Body) -> Body:
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    content: list[Body] = list(message.get("thinking_blocks") or ())
    if message.get("content"):
        content.append({"type": "text", "text": message["content"]})
    for call in message.get("tool_calls") or ():
        function = call["function"]
        content.append(
            {
                "type": "tool_use",
                "id": call["id"],
                "name": function["name"],
                "input": _json(function["arguments"]),
            }
        )
    usage = body.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return {
        "id": str(body.get("id", "msg")),
        "type": "message",
        "role": "assistant",
        "model": str(body.get("model", "")),
        "content": content,
        "stop_reason": _STOPS.get(choice.get("finish_reason") or "", "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": max(0, (usage.get("prompt_tokens") or 0) - cached - written),
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
            "output_tokens": usage.get("completion_tokens") or 0,
        },
    }


def _message_events(message: Body) -> Iterator[tuple[str, Body]]:
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 0}}
    yield "message_start", {"type": "message_start", "message": begun}
    for n, block in enumerate(message["content"]):
        empty, deltas = _pieces(block)
        yield "content_block_start", {"type": "content_block_start", "index": n, "content_block": empty}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": n, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": n}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": ended, "usage": message["usage"]}
    yield "message_stop", {"type": "message_stop"}


def _pieces(block: Body) -> tuple[Body, Sequence[Body]]:
    """A block as it begins, and what is then added to it."""
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": block["text"]}]
    if block["type"] == "tool_use":
        return {**block, "input": {}}, [
            {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        ]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block.get("thinking", "")}]
        if block.get("signature"):
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    return block, ()


def _anthropic_error(body: Body) -> Body:
    error = body["error"]
    return {"type": "error", "error": {"type": error["type"], "message": error["message"]}}


# ── OpenAI's responses ────────────────────────────────────────────────────────────────────────────

_RESPONSES = (
    *("model", "input", "instructions", "max_output_tokens", "tools", "tool_choice", "temperature", "top_p"),
    *("parallel_tool_calls", "reasoning", "text", "store", "include", "user", "metadata", "truncation"),
)


def _from_responses(body: dict[str, Any]) -> dict[str, Any]:
    _only(body, _RESPONSES)
    if body.get("truncation") not in (None, "disabled"):
        raise Refused(400, "truncation: nothing is kept here that could be cut; send what you mean")
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    instructions = body.get("instructions")
    system = [{"role": "system", "content": instructions}] if instructions else []
    return _dropped(
        model=body["model"],
        messages=[*system, *_joined([message for item in items for message in _item(item)])],
        max_tokens=body.get("max_output_tokens"),
        tools=[_responses_tool(tool) for tool in body["tools"]] if body.get("tools") else None,
        tool_choice=_responses_choice(body.get("tool_choice")) if body.get("tools") else None,
        parallel_tool_calls=body.get("parallel_tool_calls") if body.get("tools") else None,
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        reasoning_effort=(body.get("reasoning") or {}).get("effort"),
        response_format=_format((body.get("text") or {}).get("format")),
        user=body.get("user"),
    )


def _item(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    kind = item.get("type", "message")
    if kind == "message":
        yield {"role": item["role"], "content": _response_parts(item["content"])}
    elif kind == "function_call":
        function = {"name": item["name"], "arguments": item["arguments"]}
        yield {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": item["call_id"], "type": "function", "function": function}],
        }
    elif kind == "function_call_output":
        yield {"role": "tool", "tool_call_id": item["call_id"], "content": _response_parts(item["output"])}
    elif kind != "reasoning":  # which is for the provider that wrote it, and none is written here
        raise Refused(400, f"an item of type {str(kind)[:60]!r} is not accepted here")


def _response_parts(content: Any) -> Any:
    if isinstance(content, str):
        return content
    parts = []
    for part in content:
        if part["type"] in ("input_text", "output_text", "text"):
            parts.append({"type": "text", "text": part["text"]})
        elif part["type"] == "refusal":
            parts.append({"type": "refusal", "refusal": part["refusal"]})
        elif part["type"] == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        else:
            raise Refused(400, f"a part of type {str(part['type'])[:60]!r} is not accepted here")
    return parts


def _joined(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls that stand one after the other are calls of one answer, together with the words before them."""
    joined: list[dict[str, Any]] = []
    for message in messages:
        last = joined[-1] if joined else {}
        if message.get("tool_calls") and last.get("role") == "assistant":
            joined[-1] = {**last, "tool_calls": [*last.get("tool_calls", ()), *message["tool_calls"]]}
        else:
            joined.append(message)
    return joined


def _responses_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        raise Refused(
            400, f"a tool of type {str(tool['type'])[:60]!r} is not accepted here: a provider would run it"
        )
    fields = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": _dropped(**{name: tool.get(name) for name in fields})}


def _responses_choice(choice: Any) -> Any:
    if isinstance(choice, dict) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice["name"]}}
    return choice


def _format(told: Any) -> Any:
    if not told or told.get("type") == "text":
        return None
    if told["type"] == "json_schema":
        return {"type": "json_schema", "json_schema": {k: v for k, v in told.items() if k != "type"}}
    return told


def _to_response(body: Body) -> Body:
    choice = (body.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    id_ = str(body.get("id", "resp"))
    output: list[Body] = []
    if message.get("content"):
        text = {"type": "output_text", "text": message["content"], "annotations": []}
        output.append(
            {
                "type": "message",
                "id": f"msg_{id_}",
                "status": "completed",
                "role": "assistant",
                "content": [text],
            }
        )
    for n, call in enumerate(message.get("tool_calls") or ()):
        output.append(
            {
                "type": "function_call",
                "id": f"fc_{id_}_{n}",
                "call_id": call["id"],
                "name": call["function"]["name"],
                "arguments": call["function"]["arguments"],
                "status": "completed",
            }
        )
    cut = choice.get("finish_reason") == "length"
    usage = body.get("usage") or {}
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "id": id_,
        "object": "response",
        "created_at": body.get("created") or 0,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "metadata": {},
        "model": str(body.get("model", "")),
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {
                "cached_tokens": (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            },
            "output_tokens": completion,
            "output_tokens_details": {
                "reasoning_tokens": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
                or 0
            },
            "total_tokens": prompt + completion,
        },
    }


def _response_events(response: Body) -> Iterator[tuple[str, Body]]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    told: list[tuple[str, Body]] = [("response.created", {"response": begun})]
    for n, item in enumerate(response["output"]):
        at = {"output_index": n, "item_id": item["id"]}
        empty = {**item, "status": "in_progress"}
        if item["type"] == "message":
            (part,) = item["content"]
            inside = {**at, "content_index": 0}
            blank = {**part, "text": ""}
            told += [
                ("response.output_item.added", {"output_index": n, "item": {**empty, "content": []}}),
                ("response.content_part.added", {**inside, "part": blank}),
                ("response.output_text.delta", {**inside, "delta": part["text"], "logprobs": []}),
                ("response.output_text.done", {**inside, "text": part["text"], "logprobs": []}),
                ("response.content_part.done", {**inside, "part": part}),
            ]
        else:
            told += [
                ("response.output_item.added", {"output_index": n, "item": {**empty, "arguments": ""}}),
                ("response.function_call_arguments.delta", {**at, "delta": item["arguments"]}),
                (
                    "response.function_call_arguments.done",
                    {**at, "name": item["name"], "arguments": item["arguments"]},
                ),
            ]
        told.append(("response.output_item.done", {"output_index": n, "item": item}))
    last = "response.incomplete" if response["status"] == "incomplete" else "response.completed"
    told.append((last, {"response": response}))
    for number, (name, data) in enumerate(told):
        yield name, {"type": name, "sequence_number": number, **data}


MESSAGES = Manner(_from_messages, _to_message, _message_events, _anthropic_error)
RESPONSES = Manner(_from_responses, _to_response, _response_events, lambda body: body)
