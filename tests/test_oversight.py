"""Guards and overseer over real boxes, through the real broker: what loops, what is silent, what does not listen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import MANIFEST, World, write_task
from doors import ScriptedGateway, said
from hypothesis import given
from hypothesis import strategies as st

from sica.attempt import trial
from sica.benchmarks import open_benchmark
from sica.broker import HttpBroker
from sica.model import Budget, File, Files, Ruling, Trial, Usage
from sica.oversight import Terms, Watched, read
from sica.ports import Asked, Price

SPEAKS = r"""
import json, os, sys, time, urllib.request

def ask(messages, span=""):
    body = json.dumps({"model": "default", "messages": messages}).encode()
    headers = {"Content-Type": "application/json", **({"X-Agent-Span": span} if span else {})}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["choices"][0]["message"]
    except urllib.error.HTTPError as error:
        return {"role": "assistant", "content": f"refused {error.code}: {error.read().decode()}"}
"""
LOOPS = (
    SPEAKS
    + r"""
told = [{"role": "user", "content": "work"}]
for _ in range(200):
    told.append(ask(told))
    told.append({"role": "user", "content": "and again"})
"""
)
SILENT = """import time
open("/app/answer.txt", "w").write("one")
time.sleep(600)
"""
DEAF = (
    SPEAKS
    + r"""
for n in range(200):
    ask([{"role": "user", "content": f"question {n}"}])
"""
)
TEAM = (
    SPEAKS
    + r"""
log = open("/app/log.txt", "w")
for n in range(40):
    answer = ask([{"role": "user", "content": f"part {n}"}], "main/coder-1")["content"]
    if answer.startswith("refused"):
        print(answer, file=log)
        break
print(ask([{"role": "user", "content": "go on alone"}], "main")["content"], file=log, flush=True)
"""
)


def agent(code: str) -> Files:
    return {"agent.toml": File(MANIFEST.encode()), "main.py": File(code.encode())}


class Answering(ScriptedGateway):
    """The agent's model says the same for ever; the overseer's says what the test says."""

    def __init__(self, *looks: Mapping[str, Any]) -> None:
        super().__init__(self.answer, {"m": Price(0, 0), "watcher": Price(0, 1e-3)})
        self.looks = list(looks)
        self.looked: list[str] = []

    def answer(self, asked: Asked) -> Mapping[str, Any]:
        if asked.role != "oversight":
            return said("Certainly.")
        self.looked.append(asked.request["messages"][-1]["content"])
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return said(json.dumps(look))


@pytest.fixture
def place(world: World) -> Iterator[Any]:
    """A trial of some code, watched on some terms, with some gateway."""

    def run(code: str, terms: Terms, gateway: Any = None, seconds: float = 30.0) -> Trial:
        found = world.seed(agent(code))
        write_task(world.root / "watched", "one", 1)
        bench = open_benchmark(str(world.root / "watched"))
        (task,) = bench.tasks()
        task = replace(task, limits=replace(task.limits, seconds=seconds))
        runtime = world.root / "rt2"
        runtime.mkdir(mode=0o711, exist_ok=True)
        with HttpBroker(gateway or Answering({}), runtime=runtime, record=world.ledger.call) as broker:
            where = replace(world.place, broker=broker, model="m", run="r1", watch=terms)
            return trial(where, found, task, 0, bench)

    yield run


def events(world: World, outcome: Trial, kind: str) -> list[dict[str, Any]]:
    return [e for e in world.traces.read(outcome.trace) if e["type"] == kind]


def test_a_looping_agent_is_told_and_then_stopped(world: World, place: Any) -> None:
    outcome = place(LOOPS, Terms(repeats=4))
    assert (outcome.ending, outcome.fault, outcome.score) == ("stopped", None, 0.0)
    assert outcome.why == "stopped from outside: guard: repeats: 8 steps in a row without anything new"
    assert [(r.action, r.session) for r in outcome.rulings] == [
        ("notice", outcome.session),
        ("cancel", outcome.session),
    ]
    (notice,) = events(world, outcome, "notice")
    assert (
        "showed nothing new" in notice["text"]
    )  # it reached an agent that knows nothing of sica, as a message
    assert [e["by"] for e in events(world, outcome, "ruling")] == ["guard: repeats"] * 2
    assert outcome.usage.calls < 200  # as many as it would have made
    world.ledger.record(outcome)
    for _ in range(2):  # a kill between git and the ledger says it again
        news = world.ledger.notes()
        world.repo.annotate(news.scores, news.evaluations, news.reviews)
    told = [json.loads(line) for line in world.repo.reviews(outcome.agent)]
    assert [(line["kind"], line["action"], line["by"], line["task"], line["of"]) for line in told] == [
        ("ruling", "notice", "guard: repeats", "watched/one", "trial"),
        ("ruling", "cancel", "guard: repeats", "watched/one", "trial"),
    ]
    assert {line["trace"] for line in told} == {outcome.trace}


def test_a_silent_agent_is_stopped_and_its_trial_counts(place: Any) -> None:
    began = time.monotonic()
    outcome = place(SILENT, Terms(silent=0.5))
    assert (outcome.ending, outcome.fault) == ("stopped", None)
    assert outcome.score == 1.0, "what it had written by then is judged, as at a time limit"
    assert "no model call within 0.5 s" in outcome.why
    assert time.monotonic() - began < 20


def test_an_agent_that_ignores_the_notice_is_stopped_by_the_overseer(world: World, place: Any) -> None:
    gateway = Answering(
        {
            "action": "notice",
            "span": "main",
            "text": "You were asked for a file.",
            "notes": "asks in vain",
            "after_steps": 3,
        },
        {"action": "cancel", "span": "main", "text": "It does not listen.", "notes": ""},
    )
    outcome = place(DEAF, Terms(model="watcher", least=0.05, most=5.0), gateway)
    assert (outcome.ending, outcome.score) == ("stopped", 0.0)
    assert outcome.why == "stopped from outside: overseer: It does not listen."
    assert [n["text"] for n in events(world, outcome, "notice")] == ["You were asked for a file."]
    assert "Your notes:\nasks in vain" in gateway.looked[1] and "main calls" not in gateway.looked[1]
    (opened, closed) = events(world, outcome, "overseer")
    assert opened["model"] == "watcher"
    own = list(world.traces.read(closed["trace"]))
    assert own[0]["for"] == "oversight"
    calls = [c for c in world.ledger.calls() if c.role == "oversight"]
    assert len(calls) == 2 and all(c.usage.usd > 0 and c.agent == outcome.agent for c in calls)


def test_a_cancelled_sub_agent_gets_no_more_answers_and_its_caller_goes_on(world: World, place: Any) -> None:
    gateway = Answering(
        {"action": "nothing", "notes": "", "after_steps": 2},
        {"action": "cancel", "span": "main/coder-1", "text": "Wrong file.", "notes": ""},
        {"action": "nothing", "notes": ""},
    )
    outcome = place(TEAM, Terms(model="watcher", least=0.01, most=5.0), gateway)
    assert outcome.ending == "done"
    log = [e for e in events(world, outcome, "ruling") if e["action"] == "cancel"]
    assert [e["span"] for e in log] == ["main/coder-1"]
    spans = [e.get("span") for e in events(world, outcome, "request")]
    assert spans[-1] == "main" and set(spans) == {"main/coder-1", "main"}


def test_an_overseer_that_talks_nonsense_or_runs_out_of_money_changes_nothing(
    world: World, place: Any
) -> None:
    gateway = Answering({"verdict": "all is well"})
    outcome = place(
        LOOPS.replace("range(200)", "range(3)"), Terms("watcher", Budget(usd=0.0001), 0.01, 0.01), gateway
    )
    assert (outcome.ending, outcome.fault) == ("done", None)
    assert outcome.rulings == ()


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────


class Lines:
    """A ports.Trace that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def event(self, kind: str, /, **data: Any) -> None:
        self.events.append((kind, data))

    def message(self, body: Mapping[str, Any]) -> str:
        return json.dumps(body)

    def close(self) -> str:
        return "sha256:0"


class Door:
    """A ports.Session that keeps what it is asked to do."""

    directory = Path()

    def __init__(self) -> None:
        self.notices: list[tuple[str, str]] = []
        self.cancelled: list[str] = []

    def usage(self) -> Usage:
        return Usage()

    def reached(self) -> str:
        return ""

    def failure(self) -> str:
        return ""

    def waited(self) -> float:
        return 0.0

    def notice(self, text: str, span: str = "") -> None:
        self.notices.append((span, text))

    def cancel(self, span: str, why: str) -> None:
        self.cancelled.append(span)


def asks(watched: Watched, *said: str, span: str = "") -> None:
    """One request that holds these messages."""
    names = [watched.message({"role": "user", "content": text}) for text in said]
    watched.event("request", messages=names, span=span)


def test_a_circle_of_several_steps_is_seen_as_one_and_news_ends_it() -> None:
    watched, door = Watched(Lines(), Terms(repeats=3)), Door()
    with watched.attending(door):
        history: list[str] = ["task"]
        asks(watched, *history)
        for n in range(4):
            history.append(f"{'ab'[n % 2]}")
            asks(watched, *history, f"#{n}")  # what is added each time is new: no circle
        assert door.notices == []
        for _ in range(4):
            asks(watched, *history)
        assert [span for span, _ in door.notices] == [""]


def test_lines_of_work_are_watched_apart() -> None:
    watched, door = Watched(Lines(), Terms(repeats=2)), Door()
    with watched.attending(door):
        for _ in range(3):
            asks(watched, "task", span="main/coder-1")
        assert [span for span, _ in door.notices] == ["main/coder-1"]
        for _ in range(2):
            asks(watched, "task", span="main/coder-1")
        assert door.cancelled == ["main/coder-1"] and not watched.stop.is_set()


def test_nothing_is_ruled_once_the_box_has_ended() -> None:
    watched, door = Watched(Lines(), Terms()), Door()
    with watched.attending(door):
        pass
    watched.rule(Ruling("cancel", "overseer", "main", "late"))
    assert (watched.rulings, watched.why, watched.stop.is_set()) == ([], "", False)


def test_a_run_that_is_cancelled_while_an_agent_is_stopped_has_no_outcome(world: World, place: Any) -> None:
    world.place.cancel.set()
    outcome = place(SILENT, Terms(silent=0.0))
    assert (outcome.ending, outcome.fault, outcome.score) == ("cancelled", "cancelled", None)


@given(
    st.one_of(
        st.text(),
        st.dictionaries(
            st.sampled_from(["action", "span", "text", "notes", "after_seconds", "after_steps"]),
            st.one_of(
                st.text(max_size=5),
                st.floats(),
                st.integers(),
                st.none(),
                st.sampled_from(["nothing", "notice", "cancel"]),
            ),
        ).map(json.dumps),
    )
)
def test_whatever_an_overseer_answers_stays_within_the_bounds(answer: str) -> None:
    look = read(answer, Terms(least=20, most=300))
    assert look.ruling.action in ("nothing", "notice", "cancel")
    assert 20 <= look.seconds <= 300 and look.steps >= 1


def test_an_answer_among_words_is_found() -> None:
    look = read(
        'I think:\n```json\n{"action": "notice", "text": "Look.", "after_seconds": 1, "after_steps": 4}\n```',
        Terms(),
    )
    assert (look.ruling, look.seconds, look.steps) == (Ruling("notice", "overseer", "main", "Look."), 20.0, 4)
