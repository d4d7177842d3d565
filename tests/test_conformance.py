"""The real seed in a real box, through the real broker and LiteLLM, against a server that answers as providers do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import World, write_task
from doors import said
from loopback import SEED_AGENT
from provider import CUT, Provider, Raw, failing

from sica.attempt import trial
from sica.benchmarks import open_benchmark
from sica.broker import HttpBroker, Terms
from sica.gateways.litellm import LitellmGateway
from sica.model import File, Files, Trial

pytestmark = pytest.mark.filterwarnings("ignore")
"""LiteLLM and its models warn when they are first used; that is not what these tests are about."""


def call(name: str, arguments: Any, number: int = 1) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": text}}


def ended(answer: dict[str, Any], reason: str) -> dict[str, Any]:
    answer["choices"][0]["finish_reason"] = reason
    return answer


WRITE = call("overwrite", {"path": "answer.txt", "content": "one"})
DONE = said(None, tool_calls=[call("submit", {}, 9)])
XML = '<call tool="overwrite">\n<path>answer.txt</path>\n<content>one</content>\n</call>'
XML_DONE = '<call tool="submit">\n</call>'
WRITES = said(None, tool_calls=[WRITE])


@dataclass
class Ended:
    trial: Trial
    asked: list[dict[str, Any]]
    """The bodies that reached the provider."""
    said: str
    """What the agent printed."""

    def shown(self, role: str = "tool") -> list[str]:
        return [str(m["content"]) for m in self.asked[-1]["messages"] if m["role"] == role]


def seed(**settings: object) -> Files:
    files = {
        p.relative_to(SEED_AGENT).as_posix(): p
        for p in SEED_AGENT.rglob("*")
        if p.is_file() and p.suffix != ".pyc"
    }
    tree = {name: File(path.read_bytes()) for name, path in files.items()}
    text = tree["seed/settings.py"].data.decode()
    for name, value in settings.items():
        text = "\n".join(
            f"{name} = {value!r}" if line.startswith(f"{name} = ") else line for line in text.split("\n")
        )
    return {**tree, "seed/settings.py": File(text.encode())}


@pytest.fixture
def work(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Ended]]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    write_task(world.root / "conform", "one", 1)
    bench = open_benchmark(str(world.root / "conform"))
    runtime = tmp_path / "rt2"
    runtime.mkdir(mode=0o711)

    def run(*answers: Any, **settings: object) -> Ended:
        agent = world.seed(seed(**settings))
        with Provider() as provider:
            provider.answers = list(answers)
            gateway = LitellmGateway(api_base=provider.base, timeout=20)
            with HttpBroker(
                gateway, runtime=runtime, record=world.ledger.call, terms=Terms(backoff=0.01, retries=2)
            ) as broker:
                place = replace(world.place, broker=broker, model="openai/test-model", run="r1")
                outcome = trial(place, agent, bench.tasks()[0], 0, bench)
            lines = [e["text"] for e in world.traces.read(outcome.trace) if e["type"] == "stdout"]
            return Ended(outcome, [body for _, body in provider.seen], "".join(lines))

    yield run


def test_native_tool_calls(work: Callable[..., Ended]) -> None:
    done = work(WRITES, DONE)
    assert (done.trial.score, done.trial.ending) == (1.0, "done")
    assert [t["function"]["name"] for t in done.asked[0]["tools"]] == sorted(
        t["function"]["name"] for t in done.asked[0]["tools"]
    )
    assert done.trial.usage.prompt_tokens == 20 and done.trial.usage.completion_tokens == 10


def test_an_answer_that_also_thinks_and_speaks(work: Callable[..., Ended]) -> None:
    """DeepSeek, Anthropic and others put more into a message than OpenAI does; it all goes back with the next one."""
    thinks = said("I write it.", reasoning_content="The task wants a file.", tool_calls=[WRITE])
    assert work(thinks, DONE).trial.score == 1.0


def test_parallel_calls_each_get_a_result(work: Callable[..., Ended]) -> None:
    both = said(None, tool_calls=[WRITE, call("bash", {"command": "echo hi"}, 2)])
    assert [text[:5] for text in work(both, DONE).shown()] == ["wrote", "not r"]
    assert [text[:5] for text in work(both, DONE, CALLS_PER_ANSWER=4).shown()] == ["wrote", "hi\n[e"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"command": "echo', "malformed call of bash: the arguments are no JSON"),
        ('{"cmd": "ls"}', "argument 'command' is missing"),
        ('["ls"]', "arguments must be an object"),
        ('{"command": ["ls"]}', "[exit code"),  # a list where a text is meant is taken as its text
        ('{"command": "echo fine",}', "fine"),
    ],
)
def test_malformed_calls_get_a_result_that_says_what_is_wrong(
    work: Callable[..., Ended], arguments: str, told: str
) -> None:
    done = work(said(None, tool_calls=[call("bash", arguments)]), WRITES, DONE)
    assert told in done.shown()[0]
    assert done.trial.score == 1.0


def test_a_tool_that_does_not_exist(work: Callable[..., Ended]) -> None:
    done = work(said(None, tool_calls=[call("fly", {})]), WRITES, DONE)
    assert "there is no tool 'fly'" in done.shown()[0] and done.trial.score == 1.0


def test_a_call_that_was_cut_off(work: Callable[..., Ended]) -> None:
    cut = ended(said(None, tool_calls=[call("overwrite", '{"path": "answer.txt", "content": "on')]), "length")
    done = work(cut, WRITES, DONE)
    assert "answers cut: 1" in done.said and done.trial.score == 1.0


def test_words_that_were_cut_off_are_continued(work: Callable[..., Ended]) -> None:
    done = work(ended(said("It cannot "), "length"), said("be done."))
    assert "ended: finished without submitting" in done.said
    assert "Go on exactly where it stopped" in done.shown("user")[-1]


def test_a_server_without_tool_calls_gets_xml(work: Callable[..., Ended]) -> None:
    refusal = failing(400, "this model does not support tools", "invalid_request_error")
    done = work(refusal, said(f"I write it.\n{XML}"), said(XML_DONE))
    assert done.trial.score == 1.0
    assert "tools" not in done.asked[-1] and '<result tool="overwrite">' in done.shown("user")[-1]


def test_an_xml_call_that_was_cut_off_is_continued(work: Callable[..., Ended]) -> None:
    done = work(ended(said(XML[:70]), "length"), said(XML[70:]), said(XML_DONE), PROTOCOL="xml")
    assert done.trial.score == 1.0


def test_a_refusal_ends_it_in_order_and_is_no_fault(work: Callable[..., Ended]) -> None:
    done = work(ended(said("I cannot help with that."), "content_filter"))
    assert (done.trial.score, done.trial.fault) == (0.0, None)
    assert "ended: finished without submitting" in done.said


def test_a_dialogue_over_the_window_is_compacted(work: Callable[..., Ended]) -> None:
    steps = [said(None, tool_calls=[call("bash", {"command": f"echo {n}"}, n)]) for n in range(8)]
    full = failing(
        400,
        "This model's maximum context length is 100 tokens, you asked for more",
        "context_length_exceeded",
    )
    done = work(*steps, full, WRITES, DONE)
    assert done.trial.score == 1.0
    assert len(done.asked[-1]["messages"]) < len(done.asked[-3]["messages"])


@pytest.mark.parametrize(
    "trouble",
    [
        failing(429, "slow down", "rate_limit_exceeded", Retry_After="0"),
        failing(503, "busy"),
        Raw(502, b"<html>"),
    ],
)
def test_trouble_that_passes_is_waited_for(work: Callable[..., Ended], trouble: Raw) -> None:
    done = work(trouble, trouble, WRITES, DONE)
    assert (done.trial.score, done.trial.fault) == (1.0, None)
    assert "requests repeated: 0" in done.said  # the broker did it: the agent never knew


def test_trouble_that_stays_is_the_providers_fault_and_no_score(work: Callable[..., Ended]) -> None:
    done = work(failing(503, "busy"))
    assert (done.trial.score, done.trial.fault) == (None, "provider")


def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def part(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    name = {"name": head.pop("name")} if "name" in head else {}
    call = {"index": index, **head, "function": {**name, "arguments": arguments}}
    return piece(tool_calls=[call])


def stream(*pieces: dict[str, Any], end: str = "data: [DONE]\n\n") -> Raw:
    """As it goes over the wire, with the comments that keep a connection awake."""
    usage = {
        **piece(),
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    text = ": waiting\n\n" + "".join(f"data: {json.dumps(one)}\n\n" for one in (*pieces, usage)) + end
    return Raw(200, text.encode(), {"Content-Type": "text/event-stream"})


PARALLEL = stream(
    piece(role="assistant", reasoning_content="The task "),
    piece(reasoning_content="wants a file."),
    piece(content="I look first."),
    part(0, "", id="a", type="function", name="bash"),
    part(0, '{"command": "ec'),
    part(1, "", id="b", type="function", name="bash"),
    part(1, '{"command": '),
    part(0, 'ho one"}'),
    part(1, '"echo two"}'),
    piece("tool_calls"),
)
MALFORMED = stream(part(0, '{"command": "echo', id="c", type="function", name="bash"), piece("tool_calls"))
TRUNCATED = stream(
    part(0, '{"path": "answer.txt", ', id="d", type="function", name="overwrite"), piece("length")
)


def test_one_streamed_dialogue_with_all_that_can_come_in_it(work: Callable[..., Ended]) -> None:
    """Parallel calls in mixed pieces with thoughts, malformed and truncated ones, trouble before and in an answer."""
    troubles = (failing(429, "slow down", "rate_limit_exceeded", Retry_After="0"), failing(503, "busy"))
    done = work(
        PARALLEL, MALFORMED, *troubles, TRUNCATED, CUT, WRITES, DONE, ANSWERS="streamed", CALLS_PER_ANSWER=2
    )
    assert (done.trial.score, done.trial.ending, done.trial.fault) == (1.0, "done", None)
    assert all(body["stream"] for body in done.asked)
    one, two, malformed, truncated, wrote = done.shown()
    assert one.startswith("one") and two.startswith("two") and wrote.startswith("wrote")
    assert "malformed call of bash: the arguments are no JSON" in malformed
    assert "malformed call of overwrite" in truncated
    assert (
        "answers cut: 1" in done.said and "requests repeated: 1" in done.said
    )  # the broker repeated the others
    assert done.trial.usage.prompt_tokens > 50 and done.asked[5] == done.asked[6]


def test_streamed_words_refusals_and_xml(work: Callable[..., Ended]) -> None:
    refused = work(ended(said("I cannot help with that."), "content_filter"), ANSWERS="streamed")
    assert (refused.trial.score, refused.trial.fault) == (0.0, None)
    cut = ended(said(XML[:70]), "length")
    assert work(cut, said(XML[70:]), said(XML_DONE), ANSWERS="streamed", PROTOCOL="xml").trial.score == 1.0


def test_a_stream_that_is_always_cut_is_the_providers_fault_and_no_score(work: Callable[..., Ended]) -> None:
    done = work(CUT, ANSWERS="streamed")
    assert (done.trial.score, done.trial.fault) == (None, "provider")
    assert "ended: model failed" in done.said
