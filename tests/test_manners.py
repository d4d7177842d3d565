"""Anthropic's and OpenAI's own clients against the real broker, over its real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from doors import ScriptedGateway, replies, request, said
from hypothesis import given
from hypothesis import strategies as st

from sica.broker import HttpBroker
from sica.broker.dialect import Refused
from sica.broker.manners import MESSAGES, RESPONSES
from sica.model import Budget
from sica.ports import Price
from sica.traces import Traces

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"path": "a"}'}}
LOOK = {"type": "object", "properties": {"path": {"type": "string"}}}


class Door:
    """One session, its gateway, and clients that speak to its socket."""

    def __init__(self, directory: Path, gateway: ScriptedGateway) -> None:
        self.directory, self.gateway = directory, gateway
        path = str(directory / "gw.sock")
        self.http = httpx.Client(transport=httpx.HTTPTransport(uds=path))
        self.http2 = httpx2.Client(transport=httpx2.HTTPTransport(uds=path))

    def close(self) -> None:
        self.http.close()
        self.http2.close()

    @property
    def asked(self) -> list[Mapping[str, Any]]:
        return [asked.request for asked in self.gateway.asked]

    @property
    def claude(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(
            api_key="bridge", base_url="http://box", http_client=self.http2, max_retries=0
        )

    @property
    def gpt(self) -> openai.OpenAI:
        return openai.OpenAI(api_key="bridge", base_url="http://box/v1", http_client=self.http, max_retries=0)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    gateway = ScriptedGateway(prices={"m": Price(1e-6, 2e-6)})
    trace = Traces(tmp_path / "traces").open("s")
    with (
        HttpBroker(gateway, runtime=tmp_path / "rt", record=lambda call: None) as broker,
        broker.session(
            id="s", role="main", model="m", budget=Budget(calls=3), seed=0, trace=trace, run="r"
        ) as session,
    ):
        opened = Door(session.directory, gateway)
        try:
            yield opened
        finally:
            opened.close()
    trace.close()


def test_messages_with_a_tool_and_its_result(door: Door) -> None:
    door.gateway.script = replies(
        said("I look.", prompt=30, completion=7, tool_calls=[CALL]), said("It is empty.")
    )
    tool: Any = {"name": "look", "description": "Look at a file.", "input_schema": LOOK}
    first = door.claude.messages.create(
        model="default",
        max_tokens=100,
        system="Be brief.",
        tools=[tool],
        messages=[{"role": "user", "content": "What is in a?"}],
    )
    assert [block.type for block in first.content] == ["text", "tool_use"]
    assert (first.stop_reason, first.usage.input_tokens, first.usage.output_tokens) == ("tool_use", 30, 7)
    use: Any = first.content[1]
    assert (use.name, use.input) == ("look", {"path": "a"})
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "nothing", "is_error": True}
    last = door.claude.messages.create(
        model="default",
        max_tokens=100,
        system="Be brief.",
        tools=[tool],
        messages=[
            {"role": "user", "content": "What is in a?"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]},
        ],
    )
    assert (
        last.content[0].type == "text"
        and last.content[0].text == "It is empty."
        and last.stop_reason == "end_turn"
    )
    told = door.asked[1]["messages"]
    assert [m["role"] for m in told] == ["system", "user", "assistant", "tool", "user"]
    assert told[2]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"path": "a"}'}
    assert told[3] == {"role": "tool", "tool_call_id": "c1", "content": "error: nothing"}
    assert door.asked[0]["tools"][0]["function"]["parameters"] == LOOK


def test_messages_as_a_stream(door: Door) -> None:
    door.gateway.script = replies(said("I look.", tool_calls=[CALL]))
    with door.claude.messages.stream(
        model="m",
        max_tokens=9,
        messages=[
            {
                "role": "user",
                "content": [{"type": "text", "text": "Go", "cache_control": {"type": "ephemeral"}}],
            }
        ],
    ) as stream:
        final = stream.get_final_message()
    text, use = final.content
    assert text.type == "text" and text.text == "I look."
    assert use.type == "tool_use" and use.input == {"path": "a"}
    assert door.asked[0]["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_messages_past_the_budget_are_refused_in_its_own_words(door: Door) -> None:
    for _ in range(3):
        door.claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(anthropic.RateLimitError, match="budget exhausted: calls"):
        door.claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])


def test_responses_with_a_tool_and_its_result(door: Door) -> None:
    door.gateway.script = replies(
        said("I look.", prompt=30, completion=7, tool_calls=[CALL]), said("It is empty.")
    )
    tool: Any = {
        "type": "function",
        "name": "look",
        "description": "Look.",
        "parameters": LOOK,
        "strict": False,
    }
    first = door.gpt.responses.create(
        model="default",
        instructions="Be brief.",
        input="What is in a?",
        tools=[tool],
        reasoning={"effort": "low"},
    )
    assert (first.output_text, first.status) == ("I look.", "completed")
    assert first.usage is not None and (first.usage.input_tokens, first.usage.output_tokens) == (30, 7)
    call: Any = first.output[1]
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "look", {"path": "a"})
    items: Any = [
        {"role": "user", "content": "What is in a?"},
        *[item.model_dump(exclude_none=True) for item in first.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "nothing"},
    ]
    last = door.gpt.responses.create(model="default", instructions="Be brief.", input=items, tools=[tool])
    assert last.output_text == "It is empty."
    told = door.asked[1]["messages"]
    assert [m["role"] for m in told] == ["system", "user", "assistant", "tool"]
    assert (
        told[2]["content"] == [{"type": "text", "text": "I look."}] and told[2]["tool_calls"][0]["id"] == "c1"
    )
    assert door.asked[0]["reasoning_effort"] == "low"


def test_responses_as_a_stream(door: Door) -> None:
    door.gateway.script = replies(said("I look.", tool_calls=[CALL]))
    with door.gpt.responses.stream(model="m", input="Go") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == "I look."
    assert final.output[1].type == "function_call" and json.loads(final.output[1].arguments) == {"path": "a"}


def test_a_cut_answer_says_so_in_both(door: Door) -> None:
    cut = said("One two")
    cut["choices"][0]["finish_reason"] = "length"
    door.gateway.script = replies(cut, cut)
    told = door.claude.messages.create(model="m", max_tokens=2, messages=[{"role": "user", "content": "hi"}])
    assert told.stop_reason == "max_tokens"
    answer = door.gpt.responses.create(model="m", input="hi", max_output_tokens=2)
    assert (answer.status, answer.incomplete_details and answer.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        (
            "messages",
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "a provider would run it",
        ),
        ("messages", {"top_k": 3}, "top_k: this field is not accepted here"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "'document'"),
        ("messages", {"messages": 7}, "not of the form"),
        ("responses", {"input": "x", "tools": [{"type": "web_search"}]}, "a provider would run it"),
        ("responses", {"input": "x", "previous_response_id": "r"}, "previous_response_id"),
        ("responses", {"input": [{"type": "computer_call"}]}, "'computer_call'"),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x/y"}]}]},
            "messages.0.content",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(door: Door, path: str, body: dict[str, Any], why: str) -> None:
    whole = {
        "model": "m",
        **({"messages": [{"role": "user", "content": "x"}], "max_tokens": 5} if path == "messages" else {}),
        **body,
    }
    reply = request(door.directory, "POST", f"/v1/{path}", json.dumps(whole).encode())
    assert reply.status == 400 and why in reply.error["message"]
    assert door.asked == []


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["user", "text", "tool_use", "tool_result", "message"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "id", "name", "input", "text", "call_id", "messages", "model"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(_JSON, st.sampled_from([MESSAGES, RESPONSES]))
def test_no_request_breaks_the_door(value: Any, manner: Any) -> None:
    body = value if isinstance(value, dict) else {"model": "m", "messages": value, "input": value}
    try:
        manner.read(json.dumps(body).encode())
    except Refused as refused:
        assert refused.status == 400
