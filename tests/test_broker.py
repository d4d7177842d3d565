"""The broker over its real sockets: who may ask for what, what it costs, and what a hostile box can do to it."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doors import Connection, ScriptedGateway, ask, raw_talk, replies, request, said
from hypothesis import given, settings
from hypothesis import strategies as st

from sica import chat
from sica.broker import BoxSession, HttpBroker, Terms
from sica.errors import CredentialsError, ProviderError, RequestRejected, UsageError
from sica.model import Budget, Call, Usage
from sica.ports import Asked, Price
from sica.roles import Roles
from sica.traces import OpenTrace, Traces

NO_LIMIT = Budget()
QUICK = Terms(backoff=0.001, header_seconds=0.3, body_seconds=0.5, grace=0.2)


class Bench:
    """A broker, the rows that it recorded, and the traces of its sessions."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root, self.stack = root, stack
        self.rows: list[Call] = []
        self.traces = Traces(root / "traces")
        self.gateway = ScriptedGateway()
        self.broker: HttpBroker | None = None
        self.trace: OpenTrace | None = None

    def start(self, **options: Any) -> HttpBroker:
        options = {"record": self.rows.append, "terms": QUICK, **options}
        self.broker = self.stack.enter_context(HttpBroker(self.gateway, runtime=self.root / "r", **options))
        return self.broker

    def session(self, id: str = "s1", budget: Budget = NO_LIMIT, **more: Any) -> BoxSession:
        broker = self.broker or self.start()
        self.trace = self.traces.open(id)
        given = {"role": "agent", "model": "test/model", "seed": 1, "trace": self.trace, "run": "run", **more}
        return self.stack.enter_context(broker.session(id=id, budget=budget, **given))

    def events(self, kind: str, session: str = "s1") -> list[dict[str, Any]]:
        return [event for event in self.traces.read(session) if event["type"] == kind]

    def final(self) -> dict[tuple[str, int], Call]:
        """The last row of each call: what the ledger would hold."""
        return {(row.session, row.number): row for row in self.rows}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


# ── speaking ──────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_comes_back_whole(bench: Bench) -> None:
    session = bench.session()
    reply = ask(session.directory)
    assert (reply.status, reply.body) == (200, said())


def test_a_stream_ends_with_done_and_has_usage_only_when_asked(bench: Bench) -> None:
    bench.gateway.script = lambda asked: said("a" * 200)
    session = bench.session()
    plain = ask(session.directory, stream=True).events
    counted = ask(session.directory, stream=True, stream_options={"include_usage": True}).events
    assert plain[-1] == counted[-1] == "[DONE]"
    assert len(plain) > 4
    assert not any("usage" in event for event in plain[:-1])
    assert counted[-2]["usage"]["total_tokens"] == 15
    assert chat.whole(counted[:-1]) == said("a" * 200)


def test_chunks_are_passed_on_as_they_come(bench: Bench) -> None:
    """The provider's second chunk is held back until the agent has read the first."""
    read_first = threading.Event()

    def stream(asked: Asked) -> Iterator[dict[str, Any]]:
        first, *rest = chat.chunks(said("later"))
        yield first
        assert read_first.wait(20)
        yield from rest

    bench.gateway.stream = stream  # type: ignore[method-assign]
    session = bench.session()
    connection = Connection(session.directory / "gw.sock")
    body = {"model": "default", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    read_first.set()
    assert b"later" in response.read()
    connection.close()


def test_models_lists_what_may_be_asked_for(bench: Bench) -> None:
    bench.gateway.prices = {"test/model": Price(0, 0), "test/small": Price(0, 0)}
    bench.start(roles=Roles(small="test/small"))
    session = bench.session()
    listed = request(session.directory, "GET", "/v1/models").body["data"]
    assert [model["id"] for model in listed] == ["default", "test/model", "small", "reasoning", "test/small"]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("default", "test/model"),
        ("test/model",) * 2,
        ("test/small",) * 2,
        ("small", "test/small"),
        ("reasoning", "test/model"),
    ],
)
def test_the_model_asked_for_is_the_one_that_answers(bench: Bench, asked: str, meant: str) -> None:
    bench.start(roles=Roles(small="test/small"))
    assert ask(bench.session().directory, model=asked).status == 200
    assert bench.gateway.asked[0].request["model"] == meant


def test_another_model_is_refused_and_never_swapped(bench: Bench) -> None:
    bench.start(roles=Roles(oversight="test/small"))
    session = bench.session()
    reply = ask(session.directory, model="test/small")
    assert (reply.status, reply.error["code"]) == (400, "model_not_found")
    assert "default, test/model" in reply.error["message"]
    assert bench.gateway.asked == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/embeddings", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
    ],
)
def test_what_is_not_spoken_is_said_in_openais_words(
    bench: Bench, method: str, path: str, status: int
) -> None:
    reply = request(bench.session().directory, method, path, b"{}" if method == "POST" else None)
    assert reply.status == status
    assert set(reply.error) == {"message", "type", "param", "code"}


def test_what_is_asked_goes_on_unchanged(bench: Bench) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    fields: dict[str, Any] = {
        "tools": [tool],
        "tool_choice": "auto",
        "reasoning_effort": "low",
        "temperature": 0.5,
        "max_tokens": 9,
    }
    ask(bench.session().directory, **fields)
    sent = dict(bench.gateway.asked[0].request)
    assert sent == {"model": "test/model", "messages": [{"role": "user", "content": "hi"}], **fields}


def test_a_notice_is_put_before_the_model_once(bench: Bench) -> None:
    session = bench.session()
    session.notice("you are going in circles")
    ask(session.directory, "one")
    ask(session.directory, "two")
    first, second = ([m["content"] for m in asked.request["messages"]] for asked in bench.gateway.asked)
    assert (first, second) == (["one", "you are going in circles"], ["two"])
    assert [(e["call"], e["text"]) for e in bench.events("notice")] == [(0, "you are going in circles")]


def test_a_notice_waits_when_its_request_is_refused(bench: Bench) -> None:
    session = bench.session()
    session.notice("stop")
    assert ask(session.directory, model="nobody").status == 400
    ask(session.directory)
    assert bench.gateway.asked[0].request["messages"][-1]["content"] == "stop"


# ── what a provider would act on and nobody reserved ──────────────────────────────────────────────


@pytest.mark.parametrize(
    "fields",
    [
        {"api_base": "http://attacker.example"},
        {"api_key": "x"},
        {"mock_response": "free"},
        {"callbacks": ["x"]},
        {"extra_headers": {}},
        {"service_tier": "priority"},
        {"web_search_options": {}},
        {"tools": [{"type": "mcp", "server_url": "http://169.254.169.254"}]},
        {"tools": [{"type": "web_search"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://a/b"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "http://a/b"}}]}]},
        {"messages": [{"role": "user", "content": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "image_url": "http://a"}]}]},
        {"n": 9},
        {"max_tokens": 10**6},
        {"max_tokens": 5, "max_completion_tokens": 6},
    ],
    ids=json.dumps,
)
def test_no_field_can_reach_the_network_or_add_a_charge(bench: Bench, fields: dict[str, Any]) -> None:
    reply = ask(bench.session().directory, **fields)
    assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
    assert bench.gateway.asked == []


def test_an_answer_can_be_sent_back_as_it_came(bench: Bench) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call],
        "refusal": None,
        "annotations": [],
    }
    thinking = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
    message |= {"reasoning_content": "hm", "thinking_blocks": thinking, "audio": None, "function_call": None}
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "done"}]}
    assert ask(bench.session().directory, messages=[message, result]).status == 200
    assert bench.gateway.asked[0].request["messages"] == [message, result]


# ── money ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_is_on_record_before_it_is_sent(bench: Bench) -> None:
    seen: list[str] = []

    def script(asked: Asked) -> dict[str, Any]:
        seen.extend(row.state for row in bench.rows)
        return said()

    bench.gateway.script = script
    session = bench.session()
    ask(session.directory, max_tokens=100)
    assert seen == ["reserved"]
    assert [row.state for row in bench.rows] == ["reserved", "settled"]
    assert bench.rows[0].usage.completion_tokens == 100
    assert bench.rows[1].usage == session.usage() == Usage(10 * 1e-6 + 5 * 2e-6, 10, 0, 5, 1)


def test_an_answer_is_limited_to_what_was_reserved(bench: Bench) -> None:
    bench.start(terms=Terms(completion=777))
    session = bench.session()
    ask(session.directory)
    assert bench.gateway.asked[0].request["max_tokens"] == 777
    assert bench.rows[0].usage.completion_tokens == 777


def test_the_last_answers_shrink_to_what_is_left(bench: Bench) -> None:
    session = bench.session(budget=Budget(tokens=3_000))
    ask(session.directory)
    limit = bench.gateway.asked[0].request["max_tokens"]
    reserved = bench.rows[0].usage
    assert reserved.tokens == 3_000
    assert limit == reserved.completion_tokens


@pytest.mark.parametrize(
    ("budget", "reached"),
    [(Budget(calls=1), "calls"), (Budget(tokens=1_400), "tokens"), (Budget(usd=0.002), "usd")],
)
def test_a_session_past_its_budget_is_told_so_and_sends_nothing(
    bench: Bench, budget: Budget, reached: str
) -> None:
    bench.gateway.script = lambda asked: said(completion=150)
    session = bench.session(budget=budget)
    statuses = [ask(session.directory, max_tokens=200).status for _ in range(40)]
    reply = ask(session.directory, max_tokens=200)
    assert statuses[0] == 200
    assert reply.status == 429
    assert reply.headers["x-should-retry"] == "false"
    assert (reply.error["type"], reply.error["code"]) == ("budget_exhausted",) * 2
    assert session.reached() == reached
    assert len(bench.gateway.asked) == statuses.count(200)
    assert bench.final()["s1", 40].state == "refused"
    assert bench.events("refused")[-1]["call"] == 40


def test_the_runs_cap_counts_what_was_spent_before(bench: Bench) -> None:
    bench.start(cap=Budget(calls=5), spent=Usage(calls=4))
    session = bench.session()
    assert [ask(session.directory).status for _ in range(2)] == [200, 429]
    assert session.reached() == "run"


def test_no_known_price_under_a_cap_is_refused_before_anything_is_sent(bench: Bench) -> None:
    bench.start(cap=Budget(usd=1.0))
    with pytest.raises(UsageError, match="price of mystery/model") as error:
        bench.session(model="mystery/model")
    assert "[prices" in error.value.hint
    assert "sica.toml" in error.value.hint


def test_a_price_of_the_users_own_cures_that(bench: Bench) -> None:
    bench.start(cap=Budget(usd=1.0), prices={"mystery/model": Price(1.0e-5, 0.0)})
    session = bench.session(model="mystery/model")
    ask(session.directory)
    assert session.usage().usd == pytest.approx(1.0e-4)


def test_an_answer_without_usage_costs_what_was_reserved(bench: Bench) -> None:
    bench.gateway.script = lambda asked: {k: v for k, v in said().items() if k != "usage"}
    session = bench.session()
    ask(session.directory, max_tokens=50)
    assert session.usage() == bench.rows[0].usage == bench.rows[1].usage
    assert session.usage().completion_tokens == 50


NONSENSE = [
    {},
    [],
    "12",
    {"prompt_tokens": -1, "completion_tokens": 2},
    {"prompt_tokens": True, "completion_tokens": 1},
]


@pytest.mark.parametrize("usage", NONSENSE)
def test_nonsense_for_usage_is_no_discount(bench: Bench, usage: object) -> None:
    bench.gateway.script = lambda asked: {**said(), "usage": usage}
    session = bench.session()
    ask(session.directory, max_tokens=50)
    assert session.usage() == bench.rows[0].usage


def test_cached_and_cache_writing_tokens_have_their_own_price(bench: Bench) -> None:
    answer = said(prompt=100, completion=0)
    answer["usage"] |= {"prompt_tokens_details": {"cached_tokens": 60}, "cache_creation_input_tokens": 30}
    bench.gateway.script = lambda asked: answer
    bench.start(prices={"test/model": Price(1e-3, 0.0, cached=1e-4, cache_write=2e-3)})
    session = bench.session()
    ask(session.directory)
    assert session.usage().usd == pytest.approx(10e-3 + 60e-4 + 30 * 2e-3)
    assert session.usage().cached_tokens == 60


def test_a_long_prompt_is_reserved_and_paid_at_its_own_price(bench: Bench) -> None:
    """Many providers ask twice as much for the whole call past some length of the prompt."""
    dearer = Price(4e-6, 6e-6, cached=1e-6)
    bench.start(prices={"test/model": Price(2e-6, 3e-6, beyond=5_000, dearer=dearer)})
    bench.gateway.script = lambda asked: said(prompt=len(str(asked.request["messages"])), completion=10)
    session = bench.session()
    ask(session.directory, "x" * 100, max_tokens=100)
    ask(session.directory, "x" * 6_000, max_tokens=100)
    short, short_paid, long, long_paid = (row.usage for row in bench.rows)
    assert short.usd == pytest.approx(short.prompt_tokens * 2e-6 + 100 * 3e-6)
    assert short_paid.usd == pytest.approx(short_paid.prompt_tokens * 2e-6 + 10 * 3e-6)
    assert long.usd == pytest.approx(long.prompt_tokens * 4e-6 + 100 * 6e-6)
    assert long_paid.usd == pytest.approx(long_paid.prompt_tokens * 4e-6 + 10 * 6e-6)


def test_a_price_of_the_call_itself_is_paid_once_a_call(bench: Bench) -> None:
    bench.start(prices={"test/model": Price(0.0, 0.0, call=0.005)}, cap=Budget(usd=0.012))
    session = bench.session()
    assert [ask(session.directory).status for _ in range(3)] == [200, 200, 429]
    assert session.usage().usd == pytest.approx(0.01)


@settings(max_examples=200, deadline=None)
@given(
    rates=st.tuples(*[st.floats(0, 1e-3)] * 4),
    long=st.tuples(*[st.floats(0, 1e-3)] * 4),
    beyond=st.integers(1, 1_000),
    counts=st.tuples(*[st.integers(0, 500)] * 4),
)
def test_no_usage_within_a_reservation_costs_more_than_was_reserved(
    rates: tuple[float, float, float, float],
    long: tuple[float, float, float, float],
    beyond: int,
    counts: tuple[int, int, int, int],
) -> None:
    plain, cached, written, answer = counts
    price = Price(*rates, beyond=beyond, dearer=Price(*long))
    prompt = plain + cached + written
    used = Usage(0.0, prompt, cached, answer, 1, cache_write_tokens=written)
    for bound in (prompt, prompt + 100):
        per_prompt, per_answer = price.most(bound)
        assert price.of(used) <= bound * per_prompt + answer * per_answer + 1e-12


def test_each_price_is_told_once_and_before_its_first_call(bench: Bench) -> None:
    told: list[tuple[str, Price, int]] = []
    bench.start(priced=lambda model, price: told.append((model, price, len(bench.rows))))
    for name in ("s1", "s2"):
        ask(bench.session(name).directory)
    assert told == [("test/model", Price(1e-6, 2e-6), 0)]


# ── days ──────────────────────────────────────────────────────────────────────────────────────────

DAY = 86_400.0


def test_the_days_cap_counts_what_other_runs_spent_today_and_says_so(bench: Bench) -> None:
    bench.start(cap_of_day=Budget(calls=5), spent_by_day={3: Usage(calls=4)}, now=lambda: 3.5 * DAY)
    session = bench.session()
    assert [ask(session.directory).status for _ in range(2)] == [200, 429]
    assert session.reached() == "day"
    assert bench.broker is not None
    assert bench.broker.left().calls == 0


def test_a_new_day_begins_with_its_own_cap(bench: Bench) -> None:
    clock = [3.9 * DAY]
    bench.start(cap_of_day=Budget(calls=2), spent_by_day={3: Usage(calls=1)}, now=lambda: clock[0])
    first = bench.session("s1")
    assert [ask(first.directory).status for _ in range(2)] == [200, 429]
    clock[0] = 4.1 * DAY
    second = bench.session("s2")
    assert [ask(second.directory).status for _ in range(3)] == [200, 200, 429]


def test_a_call_through_midnight_counts_for_the_day_that_reserved_it(bench: Bench) -> None:
    clock = [3.99 * DAY]

    def script(asked: Asked) -> dict[str, Any]:
        clock[0] = 4.01 * DAY
        return said()

    bench.gateway.script = script
    bench.start(cap_of_day=Budget(calls=1), now=lambda: clock[0])
    session = bench.session()
    assert ask(session.directory).status == 200
    assert [row.at for row in bench.rows] == [3.99 * DAY] * 2
    assert ask(session.directory).status == 200  # the fourth day's own
    assert ask(session.directory).status == 429


def test_what_is_left_is_the_smaller_of_the_runs_and_the_days(bench: Bench) -> None:
    broker = bench.start(cap=Budget(usd=1.0, calls=9), cap_of_day=Budget(usd=0.5), now=lambda: 0.0)
    assert broker.left() == Budget(usd=0.5, calls=9)


def test_what_was_sent_before_is_reserved_by_the_providers_own_count(bench: Bench) -> None:
    bench.gateway.script = lambda asked: said(prompt=250)
    session = bench.session()
    long = [{"role": "user", "content": "word " * 2_000}]
    ask(session.directory, messages=long)
    ask(session.directory, messages=[*long, {"role": "user", "content": "more"}])
    first, second = (row.usage.prompt_tokens for row in bench.rows if row.state == "reserved")
    assert first > 10_000
    assert 250 < second < 400


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), cap=st.floats(0.002, 0.03))
def test_eight_workers_never_pass_the_cap_and_every_cent_is_in_a_row(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cap: float
) -> None:
    """The provider uses any part of what was reserved, fails at times, or forgets to count."""
    above: list[float] = []
    on_record: list[float] = []

    def script(asked: Asked) -> dict[str, Any] | Exception:
        dice = random.Random(f"{seed} {asked.seed} {asked.number}")
        above.append(broker.spent().usd - cap)
        if dice.random() < 0.1:
            return ProviderError("overloaded", transient=False)
        bound = len(json.dumps(asked.request["messages"]))
        limit = asked.request["max_tokens"]
        answer = said(prompt=dice.randint(1, bound), completion=dice.randint(1, limit))
        return answer if dice.random() < 0.8 else {k: v for k, v in answer.items() if k != "usage"}

    with ExitStack() as stack:
        bench = Bench(tmp_path_factory.mktemp("money"), stack)
        bench.gateway.script = script

        def record(call: Call) -> None:
            bench.rows.append(call)
            on_record.append(sum(row.usage.usd for row in bench.final().values()))

        broker = bench.start(cap=Budget(usd=cap), record=record)
        sessions = [bench.session(f"s{n}", seed=n) for n in range(8)]

        def work(n: int) -> None:
            dice = random.Random(f"{seed} {n}")
            for turn in range(6):
                text, limit = "x" * dice.randint(1, 800), dice.randint(1, 900)
                ask(sessions[n].directory, text, max_tokens=limit, stream=turn % 2 == 0)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        final = bench.final()
        assert max(above) <= 1e-9
        assert max(on_record) <= cap + 1e-9
        assert broker.spent().usd == pytest.approx(sum(row.usage.usd for row in final.values()))
        assert all(row.state != "reserved" for row in final.values())
        for session in sessions:
            mine = [row.usage for row in final.values() if row.session == session.id]
            assert session.usage().calls == sum(usage.calls for usage in mine)
            assert session.usage().tokens == sum(usage.tokens for usage in mine)
            assert session.usage().usd == pytest.approx(sum(usage.usd for usage in mine))


def test_a_call_waits_for_others_under_way_rather_than_end_its_run(bench: Bench) -> None:
    """Two fit one after the other, since the first costs less than was held for it."""
    under_way, go_on = threading.Event(), threading.Event()

    def script(asked: Asked) -> dict[str, Any]:
        if asked.number == 0 and asked.seed == 1:
            under_way.set()
            assert go_on.wait(20)
        return said()

    bench.gateway.script = script
    bench.start(cap=Budget(tokens=3_000))
    one, two = bench.session("s1", seed=1), bench.session("s2", seed=2)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, one.directory, max_tokens=1_500)
        assert under_way.wait(20)
        second = pool.submit(ask, two.directory, max_tokens=1_500)
        threading.Timer(0.05, go_on.set).start()
        assert [first.result().status, second.result().status] == [200, 200]
    first_row = next(row for row in bench.rows if row.session == "s2")
    assert (first_row.state, bench.rows.index(first_row)) == ("reserved", 2)


CRASHES = """
import json, os, sys, threading
from pathlib import Path
sys.path[:0] = ["tests"]
from doors import ScriptedGateway, ask
from sica.broker import HttpBroker
from sica.model import Budget
from sica.traces import Traces
root = Path(sys.argv[1])
rows = os.open(root / "rows", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
record = lambda call: os.write(rows, f"{call.state} {call.usage.completion_tokens}\\n".encode())
gateway = ScriptedGateway(lambda asked: os._exit(9))
with HttpBroker(gateway, runtime=root / "r", record=record) as broker:
    trace = Traces(root / "t").open("s1")
    with broker.session(id="s1", role="agent", model="m", budget=Budget(), seed=1, trace=trace, run="r") as session:
        ask(session.directory, max_tokens=42)
"""


def test_a_crash_in_the_middle_of_a_call_leaves_its_reservation(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASHES, str(tmp_path)], cwd=Path(__file__).parents[1], check=False
    )
    assert done.returncode == 9
    assert (tmp_path / "rows").read_text() == "reserved 42\n"


def test_a_call_still_out_when_the_box_ends_is_counted_at_its_reservation(bench: Bench) -> None:
    under_way, go_on, returned = threading.Event(), threading.Event(), threading.Event()

    def script(asked: Asked) -> dict[str, Any]:
        under_way.set()
        assert go_on.wait(20)
        returned.set()
        return said()

    bench.gateway.script = script
    broker = bench.start(terms=Terms(grace=0.05))
    trace = bench.traces.open("s1")
    opened = broker.session(
        id="s1", role="a", model="test/model", budget=Budget(), seed=1, trace=trace, run="r"
    )
    with opened as session:
        connection = Connection(session.directory / "gw.sock")
        body = {"model": "default", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 60}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        assert under_way.wait(20)
        connection.close()
    name = trace.close()
    go_on.set()
    assert returned.wait(20)
    late = [thread for thread in threading.enumerate() if thread.name == "call of s1"]
    for thread in late:
        thread.join(20)
    assert [row.state for row in bench.rows] == ["reserved"]
    assert session.usage() == broker.spent() == bench.rows[0].usage
    assert broker.fatal is None
    assert [event["type"] for event in bench.traces.read(name)][-1] == "failed"


def test_hanging_up_in_a_stream_stops_it_and_counts_it(bench: Bench) -> None:
    hung_up, closed = threading.Event(), threading.Event()

    def stream(asked: Asked) -> Iterator[dict[str, Any]]:
        try:
            first, *_ = chat.chunks(said())
            while True:
                yield first
                hung_up.wait(0.01)
        finally:
            closed.set()

    bench.gateway.stream = stream  # type: ignore[method-assign]
    session = bench.session()
    connection = Connection(session.directory / "gw.sock")
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": 70,
    }
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    response.close()
    connection.close()
    assert closed.wait(20)
    bench.gateway.stream = ScriptedGateway.stream.__get__(bench.gateway)  # type: ignore[method-assign]
    assert ask(session.directory).status == 200
    assert bench.final()["s1", 0].usage.completion_tokens == 70


# ── the provider fails ────────────────────────────────────────────────────────────────────────────


def test_a_passing_failure_is_tried_again_unseen(bench: Bench) -> None:
    bench.gateway.script = replies(*[ProviderError("busy", transient=True)] * 2, said())
    session = bench.session()
    assert ask(session.directory).body == said()
    assert session.failure() == ""
    assert session.waited() > 0
    assert session.usage().calls == 1
    assert [event["reason"] for event in bench.events("retry")] == ["busy", "busy"]


def test_a_failure_that_stays_is_the_providers_not_the_agents(bench: Bench) -> None:
    bench.gateway.script = lambda asked: ProviderError("down at secret.host", transient=True)
    session = bench.session()
    reply = ask(session.directory, stream=True)
    assert (reply.status, reply.error["code"]) == (502, "provider_error")
    assert b"secret.host" not in reply.raw
    assert session.failure() == "down at secret.host"
    assert len(bench.gateway.asked) == QUICK.retries + 1
    assert bench.final()["s1", 0].state == "failed"
    assert session.usage() == Usage(calls=1)


def test_retry_after_holds_everybody_back(bench: Bench) -> None:
    """The second session's call is sent after the wait that the first one's was told."""
    bench.gateway.script = replies(
        ProviderError("slow down", transient=True, retry_after=0.3), said(), said()
    )
    one, two = bench.session("s1"), bench.session("s2")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, one.directory)
        while not bench.events("retry", "s1"):
            assert not first.done()
        second = pool.submit(ask, two.directory)
        assert [first.result().status, second.result().status] == [200, 200]
    assert one.waited() >= 0.3
    assert two.waited() > 0.1


def test_a_wait_past_patience_is_a_failure_at_once(bench: Bench) -> None:
    bench.gateway.script = replies(ProviderError("tomorrow", transient=True, retry_after=86_400))
    assert ask(bench.session().directory).status == 502


@pytest.mark.parametrize("error", [CredentialsError("the key was refused"), UsageError("no such model")])
def test_a_refused_key_stops_the_run_and_is_never_tried_again(bench: Bench, error: Exception) -> None:
    bench.gateway.script = lambda asked: error
    broker = bench.start()
    session = bench.session()
    assert [ask(session.directory).status for _ in range(3)] == [502] * 3
    assert broker.fatal is error
    assert "refused" in session.failure() or "model" in session.failure()
    assert len(bench.gateway.asked) == 1


def test_a_request_that_no_provider_takes_is_the_agents_own_error(bench: Bench) -> None:
    bench.gateway.script = replies(RequestRejected("too long", code="context_length_exceeded"), said())
    broker = bench.start()
    session = bench.session()
    reply = ask(session.directory)
    assert (reply.status, reply.error["code"], reply.error["message"]) == (
        400,
        "context_length_exceeded",
        "too long",
    )
    assert (session.failure(), broker.fatal) == ("", None)
    assert ask(session.directory).status == 200


def test_a_stream_that_breaks_says_so_and_costs_its_reservation(bench: Bench) -> None:
    def stream(asked: Asked) -> Iterator[dict[str, Any]]:
        yield next(iter(chat.chunks(said())))
        raise ProviderError("connection lost", transient=True)

    bench.gateway.stream = stream  # type: ignore[method-assign]
    session = bench.session()
    events = ask(session.directory, stream=True, max_tokens=30).events
    assert events[-1]["error"]["code"] == "provider_error"
    assert session.failure() == "connection lost"
    assert bench.final()["s1", 0].state == "failed"
    assert session.usage().completion_tokens == 30


def test_a_ledger_that_cannot_be_written_stops_the_run_before_anything_is_sent(bench: Bench) -> None:
    def record(call: Call) -> None:
        raise OSError("disk full")

    broker = bench.start(record=record)
    session = bench.session()
    assert ask(session.directory).status == 500
    assert isinstance(broker.fatal, OSError)
    assert bench.gateway.asked == []
    assert session.usage() == Usage()


def test_a_gateway_with_a_bug_is_a_fault_and_counted(bench: Bench) -> None:
    bench.gateway.script = lambda asked: ZeroDivisionError("bug")
    broker = bench.start()
    session = bench.session()
    assert ask(session.directory, max_tokens=20).status == 500
    assert isinstance(broker.fatal, ZeroDivisionError)
    assert "bug" in session.failure()
    assert session.usage().completion_tokens == 20


# ── hostile boxes ─────────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    b"",
    b"\x00",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b"\xff\xfe{}",
    b'{"model": 1, "messages": []}',
    b'{"model": "default"}',
    b'{"model": "default", "messages": {}}',
    b'{"model": "default", "messages": []}',
    b'{"model": "default", "messages": [null]}',
    b'{"model": "default", "messages": [{"role": "root", "content": "x"}]}',
    b'{"model": "default", "messages": [{"role": "user", "content": {"a": 1}}]}',
    b'{"model": "default", "messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "max_tokens": true}',
    b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "max_tokens": -5}',
    b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1e3}',
    b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 5000 + b"}",
    b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}',
    b'{"model": "../../etc\\u0000", "messages": [{"role": "user", "content": "x"}]}',
    b"[" * 100_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b'{"model": "default", "messages": [{"role": "user", "content": "x"}], "logit_bias": '
    + b"[" * 70
    + b"]" * 70
    + b"}",
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:60]))
def test_a_hostile_body_gets_a_clean_error(bench: Bench, body: bytes) -> None:
    broker = bench.start()
    session = bench.session()
    reply = request(session.directory, "POST", "/v1/chat/completions", body)
    assert reply.status == 400
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert (bench.rows, broker.fatal, session.failure()) == ([], None, "")
    assert ask(session.directory).status == 200


WORDS = st.sampled_from(["model", "messages", "role", "content", "tools", "stream", "n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), value=VALUES)
def test_any_body_is_accepted_or_refused_and_nothing_else(data: bytes, value: object) -> None:
    from sica.broker import dialect

    for raw in (data, json.dumps(value).encode()):
        try:
            dialect.read(raw)
        except dialect.Refused as refused:
            assert refused.status == 400


def test_nul_and_unicode_go_through_unharmed(bench: Bench) -> None:
    text = "a\x00b\u2028\U0001f600é"
    ask(bench.session().directory, text)
    assert bench.gateway.asked[0].request["messages"][0]["content"] == text
    assert bench.events("message")[0]["body"]["content"] == text


def test_a_huge_body_is_refused_and_the_connection_closed(bench: Bench) -> None:
    bench.start(terms=Terms(body_bytes=10_000))
    session = bench.session()
    reply = ask(session.directory, "x" * 20_000)
    assert (reply.status, reply.headers.get("Connection")) == (413, "close")
    chunked = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = raw_talk(session.directory, chunked + b"4000\r\n" + b"x" * 0x4000 + b"\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert ask(session.directory).status == 200


def test_a_packed_body_is_not_unpacked(bench: Bench) -> None:
    headers = {"Content-Encoding": "gzip"}
    reply = request(bench.session().directory, "POST", "/v1/chat/completions", b"x" * 100, **headers)
    assert reply.status == 415


def test_huge_headers_are_refused(bench: Bench) -> None:
    session = bench.session()
    answer = raw_talk(session.directory, b"GET /v1/models HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
    assert ask(session.directory).status == 200


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00\xa5", b"GET\r\n\r\n", b"\x00" * 50 + b"\r\n\r\n"])
def test_what_is_no_http_ends_the_connection(bench: Bench, garbage: bytes) -> None:
    session = bench.session()
    raw_talk(session.directory, garbage)
    assert ask(session.directory).status == 200


def test_a_request_that_drips_in_is_ended(bench: Bench) -> None:
    session = bench.session()
    assert b"200" not in raw_talk(session.directory, b"POST /v1/chat/completions HTTP/1.1\r\nHost: ")
    slow = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    assert raw_talk(session.directory, slow).startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_kept_for_the_agents_next_call(bench: Bench) -> None:
    """An agent that works between two calls for longer than a head may take is no attacker."""
    session = bench.session()
    idle = threading.Event()
    connection = Connection(session.directory / "gw.sock")
    body = json.dumps({"model": "default", "messages": [{"role": "user", "content": "hi"}]})
    for _ in range(2):
        connection.request("POST", "/v1/chat/completions", body)
        assert connection.getresponse().read()
        idle.wait(QUICK.header_seconds * 1.5)
    connection.close()


def test_a_hundred_connections_of_one_box_do_not_hold_up_another(bench: Bench) -> None:
    calm, wild = bench.session("calm"), bench.session("wild")
    held = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(100)]
    try:
        for sock in held:
            sock.connect(str(wild.directory / "gw.sock"))
            sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n")
        assert ask(calm.directory).status == 200
    finally:
        for sock in held:
            sock.close()


def test_a_hundred_calls_at_once_are_all_answered_a_few_at_a_time(bench: Bench) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def script(asked: Asked) -> dict[str, Any]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.002)
        with lock:
            now[0] -= 1
        return said()

    bench.gateway.script = script
    session = bench.session()
    with ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(lambda _: ask(session.directory).status, range(100)))
    assert statuses == [200] * 100
    assert 1 < most[0] <= QUICK.at_once
    assert session.usage().calls == 100
    assert sorted(number for _, number in bench.final()) == list(range(100))


def test_connections_past_the_limit_are_closed(bench: Bench) -> None:
    bench.start(terms=Terms(connections=2))
    session = bench.session()
    with ExitStack() as stack:
        for _ in range(2):
            connection = Connection(session.directory / "gw.sock")
            stack.callback(connection.close)
            connection.request("GET", "/v1/models")
            assert connection.getresponse().read()
        with pytest.raises((ConnectionError, BrokenPipeError)):
            request(session.directory, "GET", "/v1/models")


def test_an_agent_that_ignores_its_budget_cannot_flood_the_ledger(bench: Bench) -> None:
    bench.start(terms=Terms(refusals=3))
    session = bench.session(budget=Budget(calls=0))
    assert {ask(session.directory).status for _ in range(20)} == {429}
    assert len(bench.rows) == len(bench.events("refused")) == 3


# ── sockets and evidence ──────────────────────────────────────────────────────────────────────────


def test_a_box_of_another_user_can_walk_to_its_socket_and_list_nothing(bench: Bench) -> None:
    session = bench.session()

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(session.directory / "gw.sock") == 0o666
    assert [mode(p) for p in (session.directory, *session.directory.parents[:2])] == [0o711] * 3


def test_the_socket_is_gone_with_its_session(bench: Bench) -> None:
    broker = bench.start()
    trace = bench.traces.open("s1")
    with broker.session(
        id="s1", role="a", model="m", budget=Budget(), seed=1, trace=trace, run="r"
    ) as session:
        assert (session.directory / "gw.sock").is_socket()
    assert not session.directory.exists()


def test_what_a_killed_broker_left_is_in_nobodys_way(bench: Bench) -> None:
    left = bench.root / "r" / "s" / "s1"
    left.mkdir(parents=True)
    (left / "gw.sock").touch()
    assert ask(bench.session().directory).status == 200


def test_a_long_path_still_gets_its_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    with ExitStack() as stack:
        bench = Bench(deep, stack)
        session = bench.session()
        assert (session.directory / "gw.sock").is_socket()
        folder = os.open(session.directory, os.O_RDONLY)
        stack.callback(os.close, folder)
        assert ask(Path(f"/proc/self/fd/{folder}")).status == 200


def test_a_trace_holds_each_message_once_and_every_answer(bench: Bench) -> None:
    session = bench.session()
    one, two = {"role": "user", "content": "one"}, {"role": "user", "content": "two"}
    ask(session.directory, messages=[one])
    ask(session.directory, messages=[one, two], stream=True, temperature=0.5)
    bodies = {event["hash"]: event["body"] for event in bench.events("message")}
    requests, responses = bench.events("request"), bench.events("response")
    assert [[bodies[h] for h in event["messages"]] for event in requests] == [[one], [one, two]]
    assert len(bench.events("message")) == 2
    assert requests[1]["rest"] == {"temperature": 0.5, "max_tokens": QUICK.completion}
    assert [event["body"]["choices"][0]["message"]["content"] for event in responses] == ["hello", "hello"]
    assert [event["call"] for event in responses] == [0, 1]


@settings(max_examples=40, deadline=None)
@given(
    text=st.none() | st.text(max_size=300),
    calls=st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=30)), max_size=3),
    usage=st.booleans(),
)
def test_an_answer_survives_being_streamed(
    text: str | None, calls: Sequence[tuple[str, str]], usage: bool
) -> None:
    made = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    ]
    extra: dict[str, Any] = {"tool_calls": made} if made else {}
    answer = said(text, **extra)
    if not usage:
        del answer["usage"]
    assert chat.whole(chat.chunks(answer)) == answer


def test_importing_the_broker_loads_no_provider() -> None:
    code = "import sys, sica.broker, sica.gateways, sica.gateways.litellm; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"litellm", "openai", "httpx"} & set(done.stdout.split())
