"""The whole way: an agent's client, the box's socket, the broker, LiteLLM, a provider's HTTP server.

All tests that need LiteLLM are in this file: its import takes three seconds.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doors import ask, said
from provider import CUT, HANG, Provider, Raw, failing

from sica.broker import BoxSession, HttpBroker, Terms
from sica.errors import CredentialsError, ProviderError, RequestRejected, UsageError
from sica.gateways.litellm import LitellmGateway
from sica.model import Budget, Call
from sica.ports import Asked, Price
from sica.traces import Traces

pytestmark = pytest.mark.filterwarnings("ignore")
"""LiteLLM and its models warn when they are first used; that is not what these tests are about."""

CANARY = "sk-canary-4f1c9a77e0b24d5f"
MODEL = "openai/test-model"
CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
    },
}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


@pytest.fixture
def gateway(provider: Provider) -> LitellmGateway:
    return LitellmGateway(api_base=provider.base, timeout=20)


def asked(text: str = "hi", **fields: Any) -> Asked:
    request = {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}
    return Asked(request, "agent", 1, 0, 20.0)


class World:
    def __init__(self, gateway: LitellmGateway, root: Path, stack: ExitStack) -> None:
        self.rows: list[Call] = []
        self.traces = Traces(root / "traces")
        terms = Terms(backoff=0.001)
        prices = {MODEL: Price(1e-6, 2e-6)}
        cap = Budget(usd=1.0)
        runtime = root / "r"
        self.broker = stack.enter_context(
            HttpBroker(gateway, runtime=runtime, record=self.rows.append, prices=prices, cap=cap, terms=terms)
        )
        self.trace = self.traces.open("s1")
        opened = self.broker.session(
            id="s1", role="agent", model=MODEL, budget=Budget(), seed=1, trace=self.trace, run="run"
        )
        self.session: BoxSession = stack.enter_context(opened)


@pytest.fixture
def world(gateway: LitellmGateway, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(gateway, tmp_path, stack)


@pytest.fixture
def client(world: World) -> Iterator[Any]:
    """OpenAI's own client, as an agent would use it, over the session's socket."""
    import httpx
    import openai

    transport = httpx.HTTPTransport(uds=str(world.session.directory / "gw.sock"))
    with httpx.Client(transport=transport, trust_env=False) as http:
        yield openai.OpenAI(base_url="http://box/v1", api_key="bridge", http_client=http)


# ── the whole way ─────────────────────────────────────────────────────────────────────────────────


def test_openais_client_calls_tools_and_sends_results_back(
    world: World, client: Any, provider: Provider
) -> None:
    provider.answers = [said(None, tool_calls=[CALL]), said("two files")]
    messages: list[Any] = [{"role": "user", "content": "how many files?"}]
    first = client.chat.completions.create(model="default", messages=messages, tools=[TOOL])
    message = first.choices[0].message
    assert (first.choices[0].finish_reason, message.tool_calls[0].function.name) == ("tool_calls", "bash")
    messages += [message.model_dump(), {"role": "tool", "tool_call_id": "c1", "content": "a b"}]
    second = client.chat.completions.create(model="default", messages=messages, tools=[TOOL])
    assert second.choices[0].message.content == "two files"
    sent = provider.seen[1][1]
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool"]
    assert sent["tools"] == [TOOL]
    assert world.session.usage().calls == 2
    assert world.session.usage().usd == pytest.approx(2 * (10 * 1e-6 + 5 * 2e-6))


def test_openais_client_streams_tool_calls_and_usage(world: World, client: Any, provider: Provider) -> None:
    provider.answers = [said("thinking aloud " * 20, tool_calls=[CALL])]
    parts = list(
        client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "ls"}],
            tools=[TOOL],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    calls = [call for part in parts if part.choices for call in part.choices[0].delta.tool_calls or ()]
    assert text == "thinking aloud " * 20
    assert "".join(call.function.arguments for call in calls) == '{"command": "ls"}'
    assert [part.usage.total_tokens for part in parts if part.usage] == [15]
    assert (world.session.usage().prompt_tokens, world.session.usage().completion_tokens) == (10, 5)


def test_openais_client_reads_an_exhausted_budget_and_does_not_try_again(world: World, client: Any) -> None:
    import openai

    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "x" * 1_000_000}], max_tokens=60_000
        )
    assert error.value.code == "budget_exhausted"
    assert [row.state for row in world.rows] == ["refused"]


def test_the_key_reaches_the_provider_and_nothing_else(
    world: World, provider: Provider, tmp_path: Path
) -> None:
    provider.answers = [
        said(),
        failing(500, f"oops, your key is {CANARY}"),
        failing(401, f"bad key {CANARY}"),
    ]
    replies = [ask(world.session.directory) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 502]
    assert provider.seen[0][0]["Authorization"] == f"Bearer {CANARY}"
    name = world.trace.close()
    written = gzip.decompress(world.traces.find(name).read_bytes()).decode()
    assert "refused the key" in written
    told = str(world.broker.fatal) + world.session.failure() + repr(world.rows) + repr(replies)
    assert CANARY not in written + told
    assert isinstance(world.broker.fatal, CredentialsError)
    assert len(provider.seen) == 3


def test_a_busy_provider_is_tried_again_after_the_time_it_asks_for(world: World, provider: Provider) -> None:
    provider.answers = [failing(429, "slow down", retry_after="0.2"), failing(500, "oops"), said()]
    assert ask(world.session.directory).status == 200
    assert len(provider.seen) == 3
    assert world.session.waited() >= 0.2
    assert world.session.usage().calls == 1


def test_a_stream_that_is_cut_is_a_fault(world: World, provider: Provider) -> None:
    provider.answers = [CUT]
    events = ask(world.session.directory, stream=True, max_tokens=40).events
    assert events[-1]["error"]["code"] == "provider_error"
    assert world.session.failure()
    assert world.session.usage().completion_tokens == 40


# ── LiteLLM's errors, in our words ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "error", "transient"),
    [
        (failing(429, "rate limit"), ProviderError, True),
        (failing(500, "oops"), ProviderError, True),
        (failing(503, "overloaded"), ProviderError, True),
        (Raw(200, b"<html>garbage"), ProviderError, True),
        (failing(401, "bad key"), CredentialsError, None),
        (failing(403, "not allowed"), CredentialsError, None),
        (failing(429, "You exceeded your current quota", "insufficient_quota"), CredentialsError, None),
        (failing(404, "no such model"), UsageError, None),
        (failing(400, "bad tool schema"), RequestRejected, None),
        (
            failing(400, "maximum context length is 10 tokens", "context_length_exceeded"),
            RequestRejected,
            None,
        ),
    ],
    ids=lambda value: getattr(value, "__name__", str(getattr(value, "status", value))),
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_errors_are_mapped(
    gateway: LitellmGateway,
    provider: Provider,
    answer: Raw,
    error: type[Exception],
    transient: bool | None,
    streamed: bool,
) -> None:
    provider.answers = [answer]
    with pytest.raises(error) as raised:
        _ = list(gateway.stream(asked())) if streamed else gateway.complete(asked())
    assert getattr(raised.value, "transient", None) == transient
    assert len(provider.seen) == 1


def test_a_context_that_is_too_long_keeps_openais_word(gateway: LitellmGateway, provider: Provider) -> None:
    provider.answers = [failing(400, "maximum context length is 10 tokens", "context_length_exceeded")]
    with pytest.raises(RequestRejected) as error:
        gateway.complete(asked())
    assert error.value.code == "context_length_exceeded"


def test_retry_after_is_read(gateway: LitellmGateway, provider: Provider) -> None:
    provider.answers = [failing(429, "slow down", retry_after="7")]
    with pytest.raises(ProviderError) as error:
        gateway.complete(asked())
    assert error.value.retry_after == 7.0


def test_a_provider_that_hangs_is_left_after_the_timeout(provider: Provider) -> None:
    provider.answers = [HANG]
    with pytest.raises(ProviderError) as error:
        LitellmGateway(api_base=provider.base, timeout=0.2).complete(asked())
    assert error.value.transient


def test_nobody_there_is_a_passing_failure() -> None:
    with pytest.raises(ProviderError) as error:
        LitellmGateway(api_base="http://127.0.0.1:9/v1", timeout=5).complete(asked())
    assert error.value.transient


def test_nothing_is_dropped_on_the_way(gateway: LitellmGateway, provider: Provider) -> None:
    fields: dict[str, Any] = {
        "tools": [TOOL],
        "temperature": 0.25,
        "max_tokens": 33,
        "stop": ["END"],
        "seed": 7,
        "top_p": 0.5,
    }
    gateway.complete(asked(**fields))
    sent = provider.seen[0][1]
    assert {key: sent[key] for key in fields} == fields


def test_effort_reaches_a_model_that_reasons(gateway: LitellmGateway, provider: Provider) -> None:
    request = {**asked().request, "model": "openai/gpt-5-mini", "reasoning_effort": "low", "max_tokens": 50}
    gateway.complete(Asked(request, "agent", 1, 0, 20.0))
    sent = provider.seen[0][1]
    assert sent["reasoning_effort"] == "low"
    assert sent["max_completion_tokens"] == 50


# ── prices and keys, without a call ───────────────────────────────────────────────────────────────


def test_prices_are_by_token_and_unknown_is_not_free() -> None:
    gateway = LitellmGateway()
    price = gateway.price("anthropic/claude-sonnet-4-5")
    assert price == Price(3e-6, 15e-6, cached=3e-7, cache_write=3.75e-6)
    assert gateway.price("openai/gpt-5-mini") == Price(2.5e-7, 2e-6, cached=2.5e-8)
    assert gateway.price("openai/of-my-own") is None
    dearer = Price(2.5e-6, 15e-6, cached=2.5e-7)
    assert gateway.price("gemini/gemini-2.5-pro") == Price(
        1.25e-6, 10e-6, cached=1.25e-7, beyond=200_000, dearer=dearer
    )
    assert gateway.price("perplexity/sonar") == Price(1e-6, 1e-6, call=0.012)  # it searches unasked
    assert LitellmGateway(api_base="http://127.0.0.1:9").price("openai/of-my-own") is None


def test_a_missing_key_is_named_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialsError, match="ANTHROPIC_API_KEY"):
        LitellmGateway().check("anthropic/claude-sonnet-4-5")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-x")
    LitellmGateway().check("anthropic/claude-sonnet-4-5")


def test_a_name_without_a_provider_says_how_to_write_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="which provider") as error:
        LitellmGateway().check("nonsense")
    assert "openai/gpt-5-mini" in error.value.hint
    assert capsys.readouterr().out == ""


def test_the_library_keeps_quiet(
    gateway: LitellmGateway, provider: Provider, capfd: pytest.CaptureFixture[str]
) -> None:
    provider.answers = [failing(500, "oops")]
    with pytest.raises(ProviderError):
        gateway.complete(asked())
    assert capfd.readouterr() == ("", "")
