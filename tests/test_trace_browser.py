"""`sica trace` on a terminal, driven by its keys; and the blocks and lines under it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import OFFLINE, Project, environment, sica
from hypothesis import example, given, settings
from hypothesis import strategies as st
from screens import screen
from textual.pilot import Pilot
from textual.widgets import Input

from sica import report
from sica.blocks import HEAD, Story, body
from sica.cli.browser import Browser, Choice, Line, Reading
from sica.cli.rows import Rows, wrapped
from sica.errors import StoreError
from sica.model import Task, Trial, Usage
from sica.runlock import run_lock
from sica.traces import Lines, OpenTrace, Traces

# ── a trace as agents leave them ──────────────────────────────────────────────────────────────────

HOSTILE = "[red]not markup[/red] \x1b[31mred\x1b[0m \x00nul \u202eevil [@click=app.quit]no link[/]"


def tool(call: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "id": call,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def turn(
    trace: OpenTrace, call: int, *said: dict[str, Any], text: str | None, tools: Any = (), **span: Any
) -> dict[str, Any]:
    """One model call: what it was told anew, and its answer, which comes back. The request says whose it is."""
    trace.event("request", call=call, model="m", messages=[trace.message(m) for m in said], **span)
    answer = {"role": "assistant", "content": text, "tool_calls": list(tools)}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "usd": 0.01}
    trace.event("response", call=call, body={"choices": [{"message": answer}]}, usage=usage, seconds=1.5)
    return answer


def written(traces: Traces, session: str = "s1") -> OpenTrace:
    """An agent that lists files, is warned, and lets a sub-agent look for it."""
    trace = traces.open(session)
    trace.event("start", agent="agent/0", commit="c" * 40, **{"for": "trial", "task": "core/a", "attempt": 0})
    system, user = {"role": "system", "content": "be careful"}, {"role": "user", "content": HOSTILE}
    first = turn(trace, 0, system, user, text="Look around.", tools=[tool("t1", "bash", command="ls -la")])
    result = {"role": "tool", "tool_call_id": "t1", "content": "total 0\nneedle.txt"}
    trace.event("notice", call=1, text="you are repeating yourself")
    warned = {"role": "user", "content": "you are repeating yourself"}
    second = turn(
        trace, 1, system, user, first, result, warned, text=None, tools=[tool("t2", "ask", who="x")]
    )
    turn(
        trace,
        2,
        {"role": "user", "content": "inner question"},
        text="inner answer",
        span="main/x",
        parent="main",
    )
    back = {"role": "tool", "tool_call_id": "t2", "content": "it is deep"}
    turn(trace, 3, system, user, first, result, warned, second, back, text="done")
    trace.event("retry", call=3, reason="busy", seconds=1)
    trace.event("stdout", text="printed\n")
    trace.event("ended", how="done", exit_code=0)
    return trace


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "traces")


def story(traces: Traces, name: str) -> Story:
    made = Story()
    with traces.lines(name) as lines:
        for number, event in enumerate(lines.more()):
            made.take(number, event)
    return made


# ── blocks ────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_and_its_result_are_one_block_and_repeats_are_none(traces: Traces) -> None:
    made = story(traces, written(traces).close())
    assert [(b.kind, b.head.split("[red]")[0].rstrip()) for b in made.blocks if b.kind != "box"] == [
        ("message", "system: be careful"),
        ("message", "user:"),
        ("call", "Look around."),
        ("tool", "bash ls -la"),
        ("notice", "notice: you are repeating yourself"),
        ("tool", "ask x"),
        ("agent", "main/x"),
        ("message", "user: inner question"),
        ("call", "inner answer"),
        ("call", "done"),
        ("trouble", "retry: busy"),
        ("output", "stdout: printed"),
    ]


def test_a_sub_agents_blocks_stand_under_it_and_its_cost_adds_up(traces: Traces) -> None:
    made = story(traces, written(traces).close())
    (inner,) = [b for b in made.blocks if b.kind == "agent"]
    assert [made.blocks[n].head for n in inner.children] == ["user: inner question", "inner answer"]
    assert (inner.calls, inner.tokens, inner.usd) == (1, 110, 0.01)
    assert (made.total.calls, made.total.tokens, round(made.total.usd, 6)) == (4, 440, 0.04)
    assert {made.blocks[n].depth for n in inner.children} == {1}


def test_a_tools_block_says_its_arguments_and_its_result(traces: Traces) -> None:
    name = written(traces).close()
    (block,) = [b for b in story(traces, name).blocks if b.head == "bash ls -la"]
    with traces.lines(name) as lines:
        list(lines.more())
        text = body(block, [lines.event(n) for n in block.events])
    assert text == "bash\ncommand: ls -la\n→ total 0\nneedle.txt"


def test_sub_agents_that_count_their_calls_alike_get_their_own_results(traces: Traces) -> None:
    trace = traces.open("s")
    for call, span in enumerate(("main/a", "main/b")):
        asks = [tool("call_0", "bash", command=span)]
        turn(trace, call, {"role": "user", "content": span}, text=None, tools=asks, span=span)
    for call, span in enumerate(("main/a", "main/b"), 2):
        result = {"role": "tool", "tool_call_id": "call_0", "content": f"of {span}"}
        turn(trace, call, result, text="done", span=span)
    trace.event("ruling", by="overseer", action="notice", text="go on", span="main")
    name = trace.close()
    made = story(traces, name)
    with traces.lines(name) as lines:
        list(lines.more())
        said = [body(b, [lines.event(n) for n in b.events]) for b in made.blocks if b.kind == "tool"]
    assert said == [f"bash\ncommand: {span}\n→ of {span}" for span in ("main/a", "main/b")]
    assert [b.head for b in made.blocks if b.kind == "notice"] == ["overseer notice go on"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(["request", "response", "message", "failed", "notice", "stdout", "start", "odd"])
keys = st.sampled_from(["call", "body", "usage", "text", "span", "parent", "ts", "choices", "reason"])


@settings(max_examples=60)
@given(st.lists(st.tuples(kinds, st.dictionaries(keys, json_values, max_size=5)), max_size=12))
@example([("failed", {"reason": f"{'x' * (HEAD - 9)} cut behind a blank"})])
def test_any_events_make_blocks_of_safe_lines(events: list[tuple[str, dict[str, Any]]]) -> None:
    made = Story()
    lines = [{**data, "type": kind} for kind, data in events]
    for number, event in enumerate(lines):
        made.take(number, event)
    for block in made.blocks:
        assert block.head == report.clean(block.head)
        assert isinstance(body(block, [lines[n] for n in block.events]), str)
    reached = list(made.roots)
    for number in reached:
        reached.extend(made.blocks[number].children)
    assert sorted(reached) == list(range(len(made.blocks)))


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────


def test_lines_of_an_open_trace_come_as_they_are_written_and_stay_when_it_closes(traces: Traces) -> None:
    trace = written(traces)
    lines = traces.lines("s1")
    seen = len(list(lines.more()))
    assert list(lines.more()) == []
    trace.event("late")
    assert [e["type"] for e in lines.more()] == ["late"]
    assert len(lines) == seen + 1
    trace.close()
    assert lines.event(0)["type"] == "start"
    assert not traces.is_open("s1")
    lines.close()


def test_a_damaged_trace_is_said_to_be_damaged(traces: Traces) -> None:
    name = written(traces).close()
    path = traces.find(name)
    path.write_bytes(path.read_bytes()[:-200])
    with traces.lines(name) as lines, pytest.raises(StoreError, match="is damaged"):
        list(lines.more())


def test_who_is_at_work(traces: Traces) -> None:
    written(traces, "one")
    two = written(traces, "two")
    assert [session for session, _ in traces.at_work()] == ["one", "two"]
    two.close()
    ((session, about),) = traces.at_work()
    assert (session, about["task"]) == ("one", "core/a")


@given(st.text(max_size=60), st.integers(1, 20))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    safe = report.clean_block(text)
    lines = list(wrapped(safe, width))
    assert all(report.cells(line) <= max(width, 2) for line in lines)
    assert "".join(lines) == "".join(safe.expandtabs(4).splitlines())


# ── the browser ───────────────────────────────────────────────────────────────────────────────────


def seen(pilot: Pilot[None]) -> list[str]:
    rows = pilot.app.screen.query_one(Rows)
    texts = ("".join(s.text for s in rows.render_line(y)) for y in range(rows.size.height))
    return [text.rstrip() for text in texts]


def heads(pilot: Pilot[None]) -> list[str]:
    """The rows without what stands at the right."""
    return [line.strip().split("   ")[0] for line in seen(pilot) if line]


def words_of(pilot: Pilot[None], part: str) -> str:
    return str(pilot.app.screen.query_one(part, Line).content)


async def settled(pilot: Pilot[None]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def drive(
    app: Browser, story: Callable[[Pilot[None]], Awaitable[None]], size: tuple[int, int] = (100, 30)
) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await story(pilot)

    asyncio.run(run())


def browser(traces: Traces, *names: str, at: int | None = 0) -> Browser:
    choices = [
        Choice((f"trial {n}", "x"), f"trial {n} {HOSTILE}", lambda name=name: traces.lines(name))  # type: ignore[misc]
        for n, name in enumerate(names)
    ]
    return Browser("all trials", choices, at=at)


def test_keys_open_close_and_move(traces: Traces) -> None:
    async def story(pilot: Pilot[None]) -> None:
        closed = heads(pilot)
        await pilot.press("g", *"jjjj", "l")
        assert "     bash" in seen(pilot)
        assert "     → total 0" in seen(pilot)
        await pilot.press("j", "j", "h")
        assert heads(pilot) == closed
        await pilot.press("enter")
        assert "     needle.txt" in seen(pilot)
        await pilot.press("enter")
        assert heads(pilot) == closed
        await pilot.press("G")
        rows = pilot.app.screen.query_one(Rows)
        assert rows.cursor == rows.count - 1
        await pilot.press("g")
        assert rows.cursor == 0

    drive(browser(traces, written(traces).close()), story)


def test_sub_agents_are_closed_until_they_are_opened(traces: Traces) -> None:
    async def story(pilot: Pilot[None]) -> None:
        (agent,) = [n for n, line in enumerate(heads(pilot)) if line.startswith("▸ ◆ main/x 1 call")]
        assert not any("inner" in line for line in heads(pilot))
        await pilot.press("g", *["j"] * agent, "right")
        assert "▸ ● inner answer" in heads(pilot)
        await pilot.press("j", "left")
        assert pilot.app.screen.query_one(Rows).cursor == agent
        await pilot.press("h")
        assert not any("inner" in line for line in heads(pilot))

    drive(browser(traces, written(traces).close()), story)


def test_search_finds_what_is_closed_and_goes_on(traces: Traces) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"INNER", "enter")
        await settled(pilot)
        rows = pilot.app.screen.query_one(Rows)
        assert "inner question" in seen(pilot)[rows.cursor]
        await pilot.press("n")
        await settled(pilot)
        assert "inner answer" in seen(pilot)[rows.cursor]
        await pilot.press("N")
        await settled(pilot)
        assert "inner question" in seen(pilot)[rows.cursor]
        await pilot.press("slash", *"nowhere", "enter")
        await settled(pilot)
        assert words_of(pilot, ".foot") == "not found: nowhere"
        await pilot.press("slash", "escape")
        assert not pilot.app.screen.query_one(Input).has_focus
        assert isinstance(pilot.app.screen, Reading)

    drive(browser(traces, written(traces).close()), story)


def test_one_kind_alone_raw_events_and_everything(traces: Traces) -> None:
    async def story(pilot: Pilot[None]) -> None:
        whole = heads(pilot)
        await pilot.press("f", "f", "f")
        assert heads(pilot) == ["▸ $ bash ls -la", "▸ $ ask x"]
        assert "only tool" in words_of(pilot, ".foot")
        await pilot.press("r")
        assert any('"type": "response",' in line for line in seen(pilot))
        await pilot.press("r", "h", "F", "F", "F")
        assert heads(pilot) == whole
        await pilot.press("e")
        await settled(pilot)
        text = "\n".join(seen(pilot))
        assert "be careful" in text
        await pilot.press("e")
        assert heads(pilot) == whole

    drive(browser(traces, written(traces).close()), story)


def test_the_next_trial_and_the_way_back(traces: Traces) -> None:
    one, two = written(traces).close(), written(traces, "s2").close()

    async def story(pilot: Pilot[None]) -> None:
        assert words_of(pilot, ".head").startswith("trial 0")
        await pilot.press("t")
        await settled(pilot)
        assert words_of(pilot, ".head").startswith("trial 1")
        await pilot.press("t")
        assert words_of(pilot, ".foot") == "this is the last one"
        await pilot.press("q")
        assert heads(pilot) == ["trial 0  x", "trial 1  x"]
        await pilot.press("j", "enter")
        await settled(pilot)
        assert words_of(pilot, ".head").startswith("trial 1")
        await pilot.press("q", "q")
        assert not pilot.app.is_running or pilot.app._exit

    drive(browser(traces, one, two), story)


def test_hostile_text_is_text(traces: Traces) -> None:
    async def story(pilot: Pilot[None]) -> None:
        assert "[red]not markup[/red] red nul evil [@click=app.quit]no link[/]" in words_of(pilot, ".head")
        await pilot.press("g", "j", "j", "l")
        text = "\n".join(seen(pilot))
        assert "[red]not markup[/red] red nul evil [@click=app.quit]no link[/]" in text
        assert not set(text) & set("\x1b\x00\u202e")
        assert "[red]not markup" in pilot.app.export_screenshot().replace("&#160;", " ")

    drive(browser(traces, written(traces).close()), story)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (200, 60)])
def test_any_size_will_do(traces: Traces, size: tuple[int, int]) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("e")
        await settled(pilot)
        await pilot.press("G", "g", "question_mark", "q")
        await pilot.resize_terminal(size[0] + 7, size[1] + 3)
        await pilot.pause()
        assert all(report.cells(line) <= size[0] + 7 for line in seen(pilot))

    drive(browser(traces, written(traces).close()), story, size)


def test_a_trace_that_is_being_written_grows_on_the_screen(traces: Traces) -> None:
    trace = written(traces, "live")
    live = Choice(("now", ""), "now", lambda: traces.lines("live"), live=lambda: traces.is_open("live"))

    async def story(pilot: Pilot[None]) -> None:
        assert words_of(pilot, ".head").endswith("live")
        turn(trace, 9, {"role": "user", "content": "a late word"}, text="a late answer")
        await until(pilot, lambda: "a late answer" in "\n".join(seen(pilot)))
        rows = pilot.app.screen.query_one(Rows)
        assert rows.cursor == rows.count - 1
        trace.close()
        await until(pilot, lambda: words_of(pilot, ".head").endswith("ended"))

    drive(Browser("at work", [live], at=0, end=True), story)


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "\n".join(seen(pilot))
        await pilot.pause(0.02)


def held(lines: Lines, go_on: threading.Event) -> Lines:
    """Lines whose reading stands still in the middle until `go_on`, as if it took that long."""
    more = lines.more

    def slowly() -> Iterator[dict[str, Any]]:
        for number, event in enumerate(more()):
            if number == 30_000:
                assert go_on.wait(60)
            yield event

    lines.more = slowly  # type: ignore[method-assign]
    return lines


def test_a_huge_trace_is_there_at_once_and_keys_answer(traces: Traces) -> None:
    trace = traces.open("huge")
    trace.event("stdout", text="x" * 5_000_000 + " needle")
    for n in range(25_000):
        trace.event("request", call=n, model="m", messages=[])
        trace.event("response", call=n, body={"choices": [{"message": {"content": f"answer {n}"}}]})
    name = trace.close()
    pressed = threading.Event()
    app = Browser(
        "a trial", [Choice(("a trial", "x"), "a trial", lambda: held(traces.lines(name), pressed))], at=0
    )

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: app.screen.query_one(Rows).count > 5)
            await pilot.press("g", "j", "j", "j")
            assert app.screen.query_one(Rows).cursor == 3
            pressed.set()
            await until(pilot, lambda: app.screen.query_one(Rows).count >= 25_001)
            await settled(pilot)
            await pilot.press("g", "l")
            assert "more characters: Enter shows more" in "\n".join(heads_of_all(app))
            await pilot.press("slash", *"needle", "enter")
            await settled(pilot)
            assert app.screen.query_one(Rows).cursor == 0
            await pilot.press("G")
            assert "answer 24999" in "\n".join(seen(pilot))
            began = time.process_time()
            await pilot.press(*"kkkkkkkkkk")
            assert (
                time.process_time() - began < 1.0
            )  # ten keys; whatever grows with the trace would take more

    asyncio.run(run())


def test_leaving_while_a_trace_is_read_is_no_error(traces: Traces) -> None:
    trace = traces.open("big")
    for n in range(20_000):
        trace.event("stdout", text=f"line {n}")
    name = trace.close()
    for keys in (["t", "q", "q"], ["q", "q"], ["ctrl+c"]):
        app = browser(traces, name, name)

        async def run(app: Browser = app, keys: list[str] = keys) -> None:
            async with app.run_test(size=(100, 30)) as pilot:
                await pilot.press(*keys)

        asyncio.run(run())
        assert app.return_code in (0, None)


def heads_of_all(app: Browser) -> list[str]:
    rows = app.screen.query_one(Rows)
    return ["".join(text for _, text in rows._draw(n, 100)) for n in range(min(rows.count, 400))]


# ── the command ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = Project.make(tmp_path / "my project")
    agent = made.agent("print(0)\n", subject="seed: plain")
    traces = Traces(made.folder / ".sica" / "traces")
    made.ledger.see_tasks([Task("core/a", "d", "do it")])
    for attempt in (0, 1):
        made.ledger.record(
            Trial(
                agent=agent.commit,
                tree=agent.tree,
                task="core/a",
                digest="d",
                attempt=attempt,
                conditions="c",
                setting=OFFLINE,
                score=1.0,
                fault=None,
                ending="done",
                grading="split",
                usage=Usage(0.04, 400, 0, 40, 4, 2.0),
                trace=written(traces, f"s{attempt}").close(),
                session=f"s{attempt}",
                run="r1",
                started=1.0,
            )
        )
    made.ledger.close()
    return made.folder


def test_a_terminal_gets_the_browser_and_is_given_back(project: Path) -> None:
    argv = [sys.executable, "-m", "sica", "trace", "0", "a#0"]
    with screen(argv, project, environment(project.parent)) as shown:
        shown.wait("Look around.")
        assert "agent/0  core/a  attempt 0  score 1.00" in shown.text
        shown.type("q")
        shown.wait("#1")
        shown.type("q")
        modes = shown.modes()
        assert shown.end() == 0
        assert shown.cursor_is_shown
    assert modes is not None


def test_a_killed_browser_gives_the_terminal_back(project: Path) -> None:
    with screen([sys.executable, "-m", "sica", "trace"], project, environment(project.parent)) as shown:
        shown.wait("seed: plain")
        shown.process.terminate()
        shown.end()
        assert shown.cursor_is_shown
        assert b"\x1b[?1049l" in shown.raw


def test_a_pipe_gets_text(project: Path) -> None:
    first, last = sica(project, "trace", "0", "a#0"), sica(project, "trace", "0", "a")
    assert "agent/0  core/a  attempt 0  score 1.00" in first.out
    assert "attempt 1" in last.out
    assert "── answer 0" in first.out
    assert not set(first.out) & set("\x1b\x00\u202e")
    assert sica(project, "trace").code == 2
    assert "there are: 0, 1" in sica(project, "trace", "0", "a#7").err


def test_a_box_at_work_is_followed_in_a_pipe_until_it_ends(project: Path) -> None:
    traces = Traces(project / ".sica" / "traces")
    with run_lock(project / ".sica" / "run.lock"):
        trace = written(traces, "live")
        argv = [sys.executable, "-m", "sica", "trace", "--follow"]
        env = environment(project.parent)
        with subprocess.Popen(argv, cwd=project, env=env, stdout=subprocess.PIPE, text=True) as process:
            said = process.stdout
            assert said is not None
            assert said.readline() == "agent/0  core/a  attempt 0\n"
            first = list(iter(said.readline, "   how=done  exit_code=0\n"))
            assert any("Look around." in line for line in first)
            trace.event("grade", score=1.0)
            assert said.readline().startswith("── grade")
            trace.close()
            assert said.read() == "   score=1.0\n"
        assert process.returncode == 0
        other = written(traces, "other")
        ran = sica(project, "trace", "0", "b", "--follow")
        assert (ran.code, "there are: agent/0  core/a  attempt 0" in ran.err) == (2, True)
        other.close()


def test_nothing_to_follow_is_said_with_the_cure(project: Path) -> None:
    ran = sica(project, "trace", "--follow")
    assert (ran.code, "no box is at work" in ran.err) == (2, True)


def test_textual_is_loaded_for_the_browser_only(project: Path) -> None:
    code = "import sys, sica.cli.trace; print('textual' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(project.parent),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
