"""What every gateway promises; a new one is added to `GATEWAYS` and passes this file unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from doors import ScriptedGateway, ask, said

from sica import chat
from sica.broker import HttpBroker
from sica.errors import ProviderError, StoreError, UsageError
from sica.gateways import names, open_gateway
from sica.model import Budget
from sica.ports import Asked, Gateway
from sica.traces import Traces

TALK = ({"role": "user", "content": "one"}, {"role": "user", "content": "two"})


def record(root: Path) -> tuple[Traces, str]:
    """A trace of two calls, the second one streamed."""
    traces = Traces(root / "traces")
    trace = traces.open("s1")
    gateway = ScriptedGateway(lambda asked: said(f"answer {asked.number}"))
    with HttpBroker(gateway, runtime=root / "r", record=lambda call: None) as broker:
        opened = broker.session(
            id="s1", role="agent", model="test/model", budget=Budget(), seed=1, trace=trace, run="r"
        )
        with opened as session:
            ask(session.directory, messages=TALK[:1], max_tokens=100)
            ask(session.directory, messages=TALK, max_tokens=100, stream=True)
    return traces, trace.close()


def replay(root: Path) -> tuple[Gateway, str]:
    traces, name = record(root)
    model = f"replay/{name}"
    return open_gateway(model, traces=traces), model


def offline(root: Path) -> tuple[Gateway, str]:
    return open_gateway("offline"), "offline"


GATEWAYS: dict[str, Callable[[Path], tuple[Gateway, str]]] = {"offline": offline, "replay": replay}
"""LiteLLM keeps these promises in tests/test_gateways.py, where its import is paid once."""


def asked(model: str, number: int = 0) -> Asked:
    request = {"model": model, "messages": list(TALK[: number + 1]), "max_tokens": 100}
    return Asked(request, "agent", 1, number, 5.0)


@pytest.fixture(params=sorted(GATEWAYS))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Gateway, str]:
    return GATEWAYS[request.param](tmp_path)


def test_every_file_of_the_folder_keeps_a_contract() -> None:
    assert set(names()) <= {*GATEWAYS, "litellm"}


def test_an_answer_is_a_completion_with_usage(made: tuple[Gateway, str]) -> None:
    gateway, model = made
    gateway.check(model)
    answer = gateway.complete(asked(model))
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    counted = chat.usage(answer)
    assert counted
    assert counted.prompt_tokens > 0


def test_a_stream_adds_up_to_a_completion_with_usage(made: tuple[Gateway, str]) -> None:
    gateway, model = made
    parts = list(gateway.stream(asked(model)))
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert parts[-1]["usage"]["prompt_tokens"] > 0
    assert chat.whole(parts)["choices"][0]["finish_reason"]


def test_it_costs_nothing(made: tuple[Gateway, str]) -> None:
    gateway, model = made
    price = gateway.price(model)
    assert price
    assert (price.prompt, price.completion) == (0, 0)


# ── replay ────────────────────────────────────────────────────────────────────────────────────────


def test_a_replay_gives_the_recorded_answers_in_order(tmp_path: Path) -> None:
    gateway, model = replay(tmp_path)
    assert gateway.complete(asked(model))["choices"][0]["message"]["content"] == "answer 0"
    assert chat.whole(gateway.stream(asked(model, 1)))["choices"][0]["message"]["content"] == "answer 1"
    with pytest.raises(ProviderError, match=r"call 2: .* asked for one more"):
        gateway.complete(asked(model, 2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"messages": [{"role": "user", "content": "other"}]}, r"call 0: message 0 \(user\)"),
        ({"messages": list(TALK)}, "call 0: 2 messages, recorded were 1"),
        ({"temperature": 1}, "call 0: these fields differ: temperature"),
    ],
    ids=["text", "length", "field"],
)
def test_a_replay_that_diverges_says_where_and_how(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    gateway, model = replay(tmp_path)
    other = asked(model)
    with pytest.raises(ProviderError, match=said) as error:
        gateway.complete(
            Asked({**other.request, **change}, other.role, other.seed, other.number, other.timeout)
        )
    assert not error.value.transient


def test_a_replay_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no trace"):
        open_gateway("replay/abc", traces=Traces(tmp_path)).check("replay/abc")
    with pytest.raises(UsageError, match="recorded trace"):
        open_gateway("replay/abc")
    traces = Traces(tmp_path)
    trace = traces.open("s1")
    trace.event("start")
    with pytest.raises(UsageError, match="no model call"):
        open_gateway(f"replay/{trace.close()}", traces=traces).check("x")


def test_a_replay_of_a_damaged_trace_is_refused(tmp_path: Path) -> None:
    traces, name = record(tmp_path)
    traces.find(name).write_bytes(b"")
    with pytest.raises(StoreError, match="damaged"):
        open_gateway(f"replay/{name}", traces=traces).check("x")
