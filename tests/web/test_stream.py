"""Live events: everything, in order, each once, also when the server is started again in the middle."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsing import made_up
from commands import ROOT, family
from serving import Server, serving

from sica.chronicle import Mark
from sica.errors import UsageError
from sica.model import Request
from sica.traces import Traces
from sica.web.stream import Cursor, Follower

RATE, SECONDS = 200, 6


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up(tmp_path_factory.mktemp("streamed") / "made up", agents=12, tasks=6, traces=2, turns=6)


@contextmanager
def writing(project: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes into the archive as a run does."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "web_store.py"),
        str(project),
        "--live",
        str(RATE),
        "--json",
    ]
    with subprocess.Popen(
        [*command, "--seconds", str(SECONDS)], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def said(project: Path) -> Counter[tuple[object, ...]]:
    """Every event of every trace there is, by its box and its number in it."""
    traces = Traces(project / ".sica" / "traces")
    rows = sqlite3.connect(project / ".sica" / "sica.db").execute(
        "SELECT trace, session FROM evidence ORDER BY trial"
    )
    boxes = dict(rows.fetchall())
    return Counter((boxes[name], event["seq"]) for name in boxes if name for event in traces.read(name))


def test_nothing_is_lost_or_said_twice_while_the_server_comes_and_goes(project: Path) -> None:
    before = said(project)
    seen: list[dict[str, Any]] = []
    last = ""
    with serving(project) as server:
        last = server.get("/api/archive")["cursor"]
    with writing(project) as writer:
        for _ in range(3):
            time.sleep(0.7)  # nobody listens: boxes open and close meanwhile
            with serving(project) as server, server.listening(last=last) as messages:
                seen += take(messages, RATE)  # by number: a writer that is done early says no more
                last = seen[-1]["id"]
        told = json.loads(writer.communicate(timeout=120)[0])
    with serving(project) as server, server.listening(last=last) as messages:
        missing = told["events"] + told["trials"] + 1 - len(seen)
        assert missing > 0, "something was said twice"
        seen += take(messages, missing)
    events = Counter((m["data"]["session"], m["data"]["e"]) for m in seen if m["kind"] == "trace")
    assert events == said(project) - before
    assert sum(events.values()) == told["events"] >= RATE * SECONDS * 0.9
    assert sum(m["kind"] == "trial" for m in seen) == told["trials"]
    assert sum(m["kind"] == "run" for m in seen) == 1
    assert len({m["id"] for m in seen}) == len(seen)
    order: dict[str, int] = {}
    for message in seen:
        box = message["data"].get("session", "")
        if message["kind"] == "trace":
            assert message["data"]["e"] == order.get(box, -1) + 1, "in order, and never after the outcome"
            order[box] = message["data"]["e"]
        elif message["kind"] == "trial":
            order[box] = 10**9


def take(messages: Iterator[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    found = []
    for message in messages:
        if message["id"]:
            found.append(message)
        if len(found) == number:
            break
    return found


def test_the_past_is_told_from_the_beginning_on_request(project: Path) -> None:
    with serving(project) as server, server.listening("?after=start&kinds=promotion,run") as messages:
        status = server.get("/api/status")
        mark = Mark.read(status["cursor"].partition("~")[0])
        assert mark is not None
        found = take(messages, mark.r + mark.p)
    assert Counter(m["kind"] for m in found) == {"run": mark.r, "promotion": mark.p}
    assert all(m["data"]["text"] for m in found)


def test_a_request_and_its_answer_are_events(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    with serving(tmp_path / "p") as server, server.listening() as messages:
        ready(server, messages)
        asked = made.ledger.ask(Request("pause", at=time.time(), by="ann"))
        made.ledger.answer(asked.id, "done", "nothing new is started")
        request, answer = take(messages, 2)
    assert (request["kind"], request["data"]["text"].split()) == ("request", ["ann", "asks:", "pause"])
    assert (answer["kind"], answer["data"]["state"]) == ("answer", "done")
    made.ledger.close()


def test_a_hint_to_a_box_does_not_end_it_for_the_reader(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    trace = Traces(tmp_path / "p" / ".sica" / "traces").open("00000000000000aa")
    trace.event("start", agent="agent/1", **{"for": "trial"})
    with serving(tmp_path / "p") as server:
        follower = Follower(server.source, Cursor.read(server.get("/api/archive")["cursor"]))
        trace.event("stdout", text="one")
        made.ledger.ask(Request("hint", at=time.time(), by="ann", session="00000000000000aa", text="try"))
        first = [e["kind"] for _, e in follower.look()]
        trace.event("stdout", text="two")
        again = Follower(server.source, Cursor.read(follower.cursor()))
        rest = [(e["kind"], e["e"]) for _, e in again.look()]
        follower.close()
        again.close()
    trace.close()
    made.ledger.close()
    assert (first, rest) == (["trace", "request"], [("trace", 2)])


def ready(server: Server, messages: Iterator[dict[str, Any]]) -> None:
    """The first status has come: from here on everything is heard."""
    assert next(messages)["kind"] == "status"
    assert server.port


def test_a_cursor_of_another_archive_is_set_right(tmp_path: Path) -> None:
    family(tmp_path / "p").ledger.close()
    with (
        serving(tmp_path / "p") as server,
        server.listening(last="r9.i9.v9.t999.p9.q0.w0~@1.0/1.0") as messages,
    ):
        first = next(messages)
    assert first["kind"] == "reset"
    assert Cursor.read(first["id"]).mark.t == 4 * 8


@pytest.mark.parametrize(
    "text", ["x", "t1", "t1~a@1/2", "t1~a:b@1/2", "z1~@1/2", "t-1~@1/2", "t1~@1", "~@1/2"]
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no cursor"):
        Cursor.read(text)


def test_a_cursor_is_read_as_it_was_written() -> None:
    cursor = Cursor(Mark(1, 2, 3, 4, 5, 6, 7), {"aa": 12, "bb": 0}, 1.25, 2.5)
    assert Cursor.read(str(cursor)) == cursor


def test_a_box_that_left_no_outcome_is_heard_to_its_end(tmp_path: Path) -> None:
    """As a cancelled run leaves it: opened, closed, and no row."""
    family(tmp_path / "p").ledger.close()
    traces = Traces(tmp_path / "p" / ".sica" / "traces")
    trace = traces.open("00000000000000aa")
    trace.event("start", agent="agent/1", **{"for": "trial"})
    trace.event("session", session="00000000000000aa", role="main")
    with serving(tmp_path / "p") as server, server.listening("?after=start&kinds=trace") as messages:
        first = take(messages, 2)
    trace.event("stdout", text="more")
    trace.close()
    other = traces.open("00000000000000bb")
    other.event("start", agent="agent/1", **{"for": "trial"})
    other.event("session", session="00000000000000bb", role="main")
    other.close()
    with serving(tmp_path / "p") as server:
        follower = Follower(server.source, Cursor.read(first[-1]["id"]))
        rest = [e for _, e in follower.look() if e["kind"] == "trace"]
        again = [
            e
            for _, e in Follower(server.source, Cursor.read(follower.cursor())).look()
            if e["kind"] == "trace"
        ]
    assert [(e["session"][-2:], e["type"]) for e in sorted(rest, key=lambda e: e["session"])] == [
        ("aa", "stdout"),
        ("bb", "start"),
        ("bb", "session"),
    ]
    assert again == []


def test_the_stream_ends_with_the_server(project: Path) -> None:
    with serving(project) as server:
        with server.listening() as messages:
            ready(server, messages)
            done = threading.Thread(target=lambda: list(messages))
            done.start()
            began = time.monotonic()
            server.source.closing.set()
            done.join(10)
            assert not done.is_alive()
        assert time.monotonic() - began < 5
