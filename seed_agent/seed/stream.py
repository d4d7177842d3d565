"""Answers that come in pieces (server-sent events), put together into what one that does not stream sends."""

import json


class Cut(ConnectionError):
    """The stream ended before its answer did."""


def whole(lines):
    """The answer that the lines of an event stream add up to. Usage stands in the last of its pieces."""
    message, finish, usage = {"role": "assistant", "content": None}, None, None
    for piece in _pieces(lines):
        if "error" in piece:
            raise Cut(f"the server broke it off: {json.dumps(piece['error'])[:200]}")
        usage = piece.get("usage") or usage
        for choice in piece.get("choices") or ():
            finish = choice.get("finish_reason") or finish
            _grow(message, choice.get("delta") or {})
    if finish is None:
        raise Cut("the stream ended in the middle of an answer")
    if "tool_calls" in message:
        message["tool_calls"] = [message["tool_calls"][at] for at in sorted(message["tool_calls"])]
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _pieces(lines):
    """The data of each event; comments, with which servers keep a connection awake, are passed over."""
    for line in lines:
        field, _, data = line.decode("utf-8", "replace").partition(":")
        if field == "data" and data.strip() == "[DONE]":
            return
        if field == "data":
            yield json.loads(data)


def _grow(message, delta):
    """Text goes on where it stopped, lists get longer, and calls grow by their number."""
    for key, value in delta.items():
        if key == "tool_calls":
            for piece in value or ():
                _grow_call(message.setdefault("tool_calls", {}), piece)
        elif value is not None:
            old = message.get(key)
            joined = type(old) is type(value) and isinstance(value, (str, list)) and key != "role"
            message[key] = old + value if joined else value


def _grow_call(calls, piece):
    """The name and the id come once, the arguments in pieces. Without a number, an id begins the next call."""
    at = piece.get("index")
    if at is None:
        at = len(calls) if piece.get("id") or not calls else max(calls)
    call = calls.setdefault(at, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    told = piece.get("function") or {}
    call["id"] = call["id"] or piece.get("id") or ""
    call["function"]["name"] = call["function"]["name"] or told.get("name") or ""
    call["function"]["arguments"] += told.get("arguments") or ""
