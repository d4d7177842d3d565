"""The picture of a run: on real terminals, at every size, with every key; and what it is drawn from."""

from __future__ import annotations

import shlex
import signal
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives import archive
from commands import begin, environment
from hypothesis import given, settings
from hypothesis import strategies as st
from screens import Screen, screen

from sica import report
from sica.cli.picture import Asked, Picture, picture
from sica.cli.progress import State, in_short
from sica.errors import StoreError
from sica.model import Archive, Evaluate, Started, Usage
from sica.traces import Traces

# ── what is drawn, at any size ────────────────────────────────────────────────────────────────────


def state(known: Archive, **changes: Any) -> State:
    settings: dict[str, Any] = {"run": "r1", "cap": None, "children": 2, "spent": lambda: 0.0, "began": 0.0}
    return State(archive=known, **{**settings, **changes})


def busy(workers: int, tasks: int = 8, **changes: Any) -> State:
    """A run with so many boxes at work on agent/1."""
    made = state(archive({"a": [1.0] * tasks, "b": [1.0]}, parents={"b": "a"}), workers=workers, **changes)
    for n in range(workers):
        made.take(Started(Evaluate("b", f"d-t{n % tasks}", n // tasks), made.archive, 0.0))
    return made


def draw(made: State, columns: int, lines: int, **asked: Any) -> list[str]:
    return picture(made, Asked(**asked), (columns, lines), report.Look(), 65.0)


@given(columns=st.integers(1, 300), lines=st.integers(1, 60), workers=st.integers(0, 12), asked=st.booleans())
def test_the_picture_fits_every_size(columns: int, lines: int, workers: int, asked: bool) -> None:
    drawn = draw(busy(workers, cap=5.0, spent=lambda: 1.25), columns, lines, every_worker=asked, help=asked)
    assert 1 <= len(drawn) <= max(1, lines - 1)
    assert all(report.cells(line) <= max(1, columns - 1) for line in drawn)
    assert columns < 10 or drawn[0].startswith("r1")


@settings(max_examples=50)
@given(name=st.text(max_size=60), tool=st.text(max_size=60), columns=st.integers(20, 120))
def test_hostile_names_show_and_do_not_steer(name: str, tool: str, columns: int) -> None:
    made = busy(1)
    made.recent.append("agent/1  " + report.clean(name))
    made.watch.take("s", "start", {"for": "trial", "commit": "b", "task": "toy/t0", "attempt": 0})
    asks = {"choices": [{"message": {"tool_calls": [{"function": {"name": tool}}]}}]}
    made.watch.take("s", "response", {"body": asks})
    drawn = draw(made, columns, 24)
    assert all(report.cells(line) < columns for line in drawn)
    assert not [c for line in drawn for c in line if unicodedata.category(c) == "Cc"]


def test_few_workers_are_shown_until_more_are_asked_for() -> None:
    few, every = draw(busy(8), 100, 40), draw(busy(8), 100, 40, every_worker=True)
    assert any(line.startswith("  5 more   w shows them") for line in few)
    assert [line for line in every if line.startswith("  8  toy/t7")]
    assert len(every) == len(few) + 4


def test_a_short_terminal_keeps_the_first_lines_and_the_last() -> None:
    drawn = draw(busy(8), 100, 6)
    assert drawn[0].startswith("r1   0 of 2 improvements")
    assert drawn[1].startswith("best")
    assert "Ctrl-C stop now" in drawn[-1]


def test_money_is_said_with_its_bar_its_rate_and_where_it_will_end() -> None:
    known = archive({"a": [1.0] * 8})
    paid = {"tree-a": tuple(replace(t, usage=Usage(usd=0.25, seconds=8.0)) for t in known.trials["tree-a"])}
    made = state(replace(known, trials=paid), cap=50.0, spent=lambda: 12.0, before=10.0)
    (line,) = [line for line in draw(made, 120, 30) if line.startswith("spent")]
    money, bar, rate, end = line.removeprefix("spent    ").split("   ")
    assert (money, bar, rate) == ("$12.00 of $50.00", report.bar(0.24, 30), "$110.77/h")
    assert 12 < float(end.removeprefix("about $").removesuffix(" at the end")) < 30
    made.cap = 13.0
    assert "the cap comes first" in "\n".join(draw(made, 120, 30))
    assert "eta" in draw(made, 120, 30)[0]


def test_an_evaluation_is_held_against_the_parent_on_the_same_tasks() -> None:
    made = busy(2)
    text = "\n".join(draw(made, 120, 30))
    assert "▸ evaluate  agent/1    1/8   1 ✓  0 ✗   100.0%" in text
    assert "parent agent/0 at the same 1: 100.0%" in text


def test_a_line_keeps_its_place_while_its_work_goes_on() -> None:
    made = busy(3)
    first, *_ = made.at_work
    seats = {w.what: w.slot for w in made.seats(1.0)}
    made.at_work.pop(first)
    made._seats.pop(first)
    assert {w.what: w.slot for w in made.seats(2.0)}.items() < seats.items()


def test_the_size_of_a_change_in_a_few_characters() -> None:
    assert in_short(" 14 files changed, 210 insertions(+), 96 deletions(-)\n") == "14 files  +210 -96"
    assert in_short(" 1 file changed, 1 deletion(-)\n") == "1 file  -1"
    assert in_short("") == ""


# ── what each worker is at ────────────────────────────────────────────────────────────────────────


def test_what_a_box_is_doing_is_read_off_its_trace_as_it_is_written(tmp_path: Path) -> None:
    made = busy(1)
    trace = made.watch.opening(Traces(tmp_path).open)("s1")

    def now() -> tuple[int, str, float]:
        (worker,) = made.seats(1.0)
        return worker.turn, worker.doing, worker.usd

    assert now() == (0, "preparing", 0.0)
    trace.event("start", **{"for": "trial", "commit": "b", "task": "toy/t0", "attempt": 0})
    assert now() == (0, "starting", 0.0)
    trace.event("request", call=0, messages=[trace.message({"role": "user", "content": "hello"})])
    assert now() == (1, "waiting for model", 0.0)
    trace.event("retry", call=0, reason="busy", seconds=1)
    assert now() == (1, "waiting for provider", 0.0)
    asks = {"choices": [{"message": {"tool_calls": [{"function": {"name": "bash"}}]}}]}
    trace.event("response", call=0, body=asks, usage={"usd": 0.25, "prompt_tokens": 10})
    assert now() == (1, "bash", 0.25)
    trace.event("request", call=1, messages=[])
    trace.event("response", call=1, body={"odd": 1}, usage={"usd": 0.25})
    assert now() == (2, "working", 0.5)
    trace.event("ended", how="done")
    assert now() == (2, "being judged", 0.5)
    name = trace.close()
    assert [e["type"] for e in Traces(tmp_path).read(name)][:2] == ["start", "message"]


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────


class Steered:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.paused = self.stopping = False

    def pause(self) -> None:
        self.said.append("pause")
        self.paused = True

    def resume(self) -> None:
        self.said.append("resume")
        self.paused = False

    def stop(self) -> None:
        self.said.append("stop")
        self.stopping = True


def test_p_pauses_and_goes_on_and_s_stops_for_good() -> None:
    controls = Steered()
    made = busy(1, controls=controls, keys=True)
    assert "p pause" in draw(made, 120, 30)[-1]
    made.steer("p")
    assert "paused" in draw(made, 120, 30)[0]
    assert "p go on" in draw(made, 120, 30)[-1]
    for key in "pspp":
        made.steer(key)
    assert controls.said == ["pause", "resume", "stop"]
    assert "stopping after what is running" in draw(made, 120, 30)[0]


def test_typed_keys_reach_what_they_are_for() -> None:
    class Broken(Steered):
        def stop(self) -> None:
            raise StoreError("the disk is full")

    controls = Broken()
    shown = Picture(busy(8, controls=controls, keys=True), report.Look(), "utf-8", None)
    assert not any("core" in line or "8  toy" in line for line in shown.lines((120, 40)))
    shown.key("w")
    assert any(line.startswith("  8  toy") for line in shown.lines((120, 40)))
    shown.key("?")
    assert any("Ctrl-C twice" in line for line in shown.lines((120, 40)))
    shown.key("p")
    shown.key("s")
    assert controls.said == ["pause"]
    assert shown.lines((120, 40))[-1] == "the disk is full"  # and the run goes on


def test_nobody_is_offered_keys_that_do_nothing() -> None:
    assert "pause" not in draw(busy(1, keys=True), 120, 30)[-1]
    assert draw(busy(1), 120, 30)[-1] == "Ctrl-C stop now, work is kept"


# ── a terminal is given back as it was ────────────────────────────────────────────────────────────

PROGRAM = """
import os, sys, time
from sica.cli.terminal import Terminal

class Drawn:
    keys = ""
    def lines(self, size):
        if "!" in self.keys:
            raise ValueError("a fault of the picture")
        return [f"typed {self.keys}", f"{size[0]} by {size[1]}"]
    def key(self, key):
        self.keys += key

drawn = Drawn()
print("before")
with Terminal(drawn, 2, 0).drawing():
    while "q" not in drawn.keys:
        if "e" in drawn.keys:
            raise SystemExit("went wrong")
        if "m" in drawn.keys:
            drawn.keys = ""
            print("a message", file=sys.stderr)
        time.sleep(0.01)
print("after")
"""


@pytest.fixture
def drawing(tmp_path: Path) -> Iterator[Screen]:
    with screen([sys.executable, "-c", PROGRAM], tmp_path, environment(tmp_path)) as seen:
        seen.wait("typed")
        yield seen


def given_back(seen: Screen) -> bool:
    return seen.cursor_is_shown and seen.modes() == (True, True)


def test_keys_come_one_by_one_unechoed_and_arrows_are_none(drawing: Screen) -> None:
    assert not drawing.cursor_is_shown
    assert drawing.modes() == (False, False)
    drawing.type("a\x1b[Ab\x1bOPc")
    assert drawing.wait("typed abc").splitlines() == ["before", "typed abc", "100 by 30"]
    drawing.type("q")
    drawing.wait("after")
    assert given_back(drawing)
    assert drawing.end() == 0
    assert drawing.lines[:3] == ["before", "after", ""]


def test_messages_stay_above_the_picture(drawing: Screen) -> None:
    drawing.type("m")
    drawing.wait("a message")
    drawing.type("z")
    assert drawing.wait("typed z").splitlines() == ["before", "a message", "typed z", "100 by 30"]


def test_another_size_is_another_picture(drawing: Screen) -> None:
    drawing.resize(40, 10)
    assert drawing.wait("40 by 10").splitlines()[-2:] == ["typed", "40 by 10"]


def test_an_error_finds_the_terminal_in_order(drawing: Screen) -> None:
    drawing.type("e")
    drawing.wait("went wrong")
    assert given_back(drawing)
    assert drawing.lines[:2] == ["before", "went wrong"]
    assert drawing.end() == 1


def test_a_fault_of_the_picture_ends_the_picture_and_not_the_work(drawing: Screen) -> None:
    drawing.type("!")
    drawing.wait("a fault of the picture")
    assert given_back(drawing)
    assert drawing.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGHUP])
def test_a_deadly_signal_finds_the_terminal_in_order(drawing: Screen, number: signal.Signals) -> None:
    drawing.process.send_signal(number)
    assert drawing.end() == -number
    assert drawing.cursor_is_shown


# ── a real run on a real terminal ─────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("p") / "my project")


def fits(text: str, columns: int) -> bool:
    return all(report.cells(line) <= columns for line in text.splitlines())


def test_a_run_is_watched_suspended_brought_back_and_stopped(project: Path) -> None:
    env = environment(project.parent, SICA_SANDBOX="bubblewrap", PS1="$ ", PS2="")
    with screen(["bash", "--norc", "-i"], project, env) as seen:
        seen.wait("$")
        seen.type(
            f"{shlex.quote(sys.executable)} -m sica evolve -n 0 --workers 5 --attempts 50 --task 'edit-*'\n"
        )
        seen.wait("turn")
        text = seen.wait("▸ evaluate  agent/0")
        assert "w workers   Ctrl-C stop now, work is kept   ? help" in text
        seen.wait("2 more   w shows them")
        seen.type("w")
        seen.wait(lambda text: "more" not in text and "\n  5  core/" in text)
        seen.type("?")
        seen.wait("Ctrl-C twice")
        seen.type("?")
        seen.resize(44, 8)
        seen.wait(lambda text: text.startswith("r") and "? help" in text and fits(text, 43))
        seen.resize(100, 30)
        seen.type("\x1a")
        seen.wait("Stopped")
        assert seen.cursor_is_shown
        assert "? help" not in seen.text
        seen.type("fg\n")
        seen.wait("? help")
        assert not seen.cursor_is_shown
        seen.type("\x03")
        seen.wait("Continue:")
        seen.wait(lambda text: text.endswith("$"))
        assert seen.cursor_is_shown
        assert "? help" not in seen.text
        seen.type("stty -a | grep -c ' icanon .* echo '\n")  # the shell's own line is never plain
        seen.wait(lambda text: text.endswith("1\n$"))


def test_a_terminated_run_gives_the_terminal_back(project: Path) -> None:
    argv = [sys.executable, "-m", "sica", "evolve", "-n", "0", "--attempts", "60", "--task", "edit-*"]
    env = environment(project.parent, SICA_SANDBOX="bubblewrap", NO_COLOR="1")
    with screen(argv, project, env) as seen:
        seen.wait("▸ evaluate")
        seen.process.send_signal(signal.SIGTERM)
        seen.wait("interrupted")
        modes = seen.modes()
        assert seen.end() == 130
        assert modes == (True, True)
        assert seen.cursor_is_shown
        assert b"\x1b[1m" not in seen.raw  # NO_COLOR


@pytest.mark.parametrize("setting", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_dumb_terminal_and_ci_get_a_line_an_event(project: Path, setting: dict[str, str]) -> None:
    argv = [sys.executable, "-m", "sica", "evolve", "-n", "0", "--task", "edit-settings"]
    env = environment(project.parent, SICA_SANDBOX="bubblewrap")
    words = " ".join(f"{key}={value}" for key, value in setting.items())
    with screen(["sh", "-c", f'{words} exec "$@"', "sh", *argv], project, env, columns=200) as seen:
        seen.wait("phase=stop     reason=done")
        assert seen.end() == 0
    assert b"\x1b" not in seen.raw
    assert b"pass=1 fail=0 error=0" in seen.raw or b"phase=evaluate" not in seen.raw
