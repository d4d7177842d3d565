"""What a box may say to the broker: OpenAI's chat completions, checked before anything acts on it.

A request is written by an agent, so it is hostile. Whatever a provider or its client library would turn into
a connection, a credential or a charge that nobody reserved is refused here: unknown fields, addresses of
images, tools that a provider hosts. What is accepted goes on unchanged; nothing is dropped silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

DEPTH = 64
"""Levels of nesting; real tool schemas need about ten."""


class Refused(Exception):
    """A request that is answered with an error; never raised past the broker."""

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error", code: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code = status, message, kind, code or kind

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": None, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Request:
    """One accepted request."""

    body: Mapping[str, Any]
    """As it came, without `model`, `stream` and `stream_options`."""
    model: str
    stream: bool
    wants_usage: bool
    completion: int | None
    """Tokens the agent asked for, of each choice; None when it left that open."""
    choices: int
    span: str = ""
    """Which of an agent's sub-agents asks, in its own words; "" for agents that know nothing of it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Cache(_Strict):
    type: Literal["ephemeral"]


class _Text(_Strict):
    type: Literal["text"]
    text: str
    cache_control: _Cache | None = None


class _Inline(_Strict):
    url: Annotated[str, Field(pattern=r"^data:image/")]
    """Never an address: somebody outside the box would fetch it."""
    detail: str | None = None


class _Image(_Strict):
    type: Literal["image_url"]
    image_url: _Inline
    cache_control: _Cache | None = None


class _Refusal(_Strict):
    type: Literal["refusal"]
    refusal: str


class _Thought(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    type: Literal["thinking", "redacted_thinking"]


_Part = Annotated[_Text | _Image | _Refusal | _Thought, Field(discriminator="type")]


class _Function(_Strict):
    name: str
    arguments: str


class _ToolCall(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    id: str
    type: Literal["function"] = "function"
    function: _Function


class _Message(_Strict):
    """The fields that a model may have put in an answer are accepted, since agents send answers back."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    thinking_blocks: list[_Thought] | None = None
    annotations: list[Any] | None = None
    provider_specific_fields: dict[str, Any] | None = None
    audio: None = None
    images: None = None
    cache_control: _Cache | None = None


class _Declared(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    name: str


class _Tool(_Strict):
    type: Literal["function"]
    """Tools that a provider hosts reach the network and cost extra."""
    function: _Declared
    cache_control: _Cache | None = None


class _StreamOptions(_Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


_Tokens = Annotated[int, Field(ge=1, le=10_000_000)]


class _Body(_Strict):
    model: str
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: Annotated[int, Field(ge=1, le=8)] | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[_Declared] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    thinking: dict[str, Any] | None = None
    user: str | None = None


_BODY = TypeAdapter(_Body)


def read(raw: bytes) -> Request:
    """The request, or Refused with what is wrong with it."""
    body = parse(raw)
    try:
        asked = _BODY.validate_python(body)
    except ValidationError as error:
        raise Refused(400, _first(error)) from None
    if asked.max_tokens and asked.max_completion_tokens:
        raise Refused(400, "max_tokens and max_completion_tokens are both given: give one")
    wants = asked.stream_options.include_usage if asked.stream_options else False
    return Request(
        body={
            k: v for k, v in body.items() if k not in {"model", "stream", "stream_options"} and v is not None
        },
        model=asked.model,
        stream=bool(asked.stream),
        wants_usage=bool(wants),
        completion=asked.max_tokens or asked.max_completion_tokens,
        choices=asked.n or 1,
    )


def parse(raw: bytes) -> dict[str, Any]:
    """A JSON object that is safe to handle, or Refused."""
    try:
        body = json.loads(raw.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON in UTF-8: {str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    if _deeper_than(body, DEPTH):
        raise Refused(400, f"the body is nested more than {DEPTH} levels deep")
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(400, "a text holds half of a surrogate pair, which no provider takes") from None
    return body


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            child
            for item in layer
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not layer:
            return False
    return True


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:200]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{where}: this field is not accepted here{more}"
    return f"{where or 'body'}: {first['msg']}{more}"
