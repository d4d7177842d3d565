"""`sica run` by hand: on a real terminal, with a real box and a real server for a model; and the parts of it."""

from __future__ import annotations

import json
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import begin, environment, sica
from doors import said
from hypothesis import given, settings
from hypothesis import strategies as st
from provider import HANG, Provider
from screens import Screen, screen

from sica import report
from sica.cli.changes import Change, Place, change, stat
from sica.cli.conversation import Turn, asking
from sica.cli.following import Following, View
from sica.ledger import SqliteLedger
from sica.model import Budget, Ended, File, Request

BOXES = {"SICA_SANDBOX": "bubblewrap"}


def bash(command: str) -> dict[str, Any]:
    call = {"name": "bash", "arguments": json.dumps({"command": command})}
    return said(None, tool_calls=[{"id": "c1", "type": "function", "function": call}])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("p") / "my project")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture
def terminal(project: Path, provider: Provider, tmp_path: Path) -> Iterator[tuple[Screen, Path]]:
    """A dialogue about a folder, just begun."""
    work = tmp_path / "my work"
    work.mkdir()
    env = environment(project.parent, **BOXES, SICA_API_BASE=provider.base, OPENAI_API_KEY="none")
    argv = [sys.executable, "-m", "sica", "run", "--workdir", str(work), "--model", "openai/m", "-y"]
    with screen(argv, project, env, columns=110, lines=40) as seen:
        seen.wait(lambda text: text.endswith("\n>"))
        yield seen, work


# ── on a terminal ─────────────────────────────────────────────────────────────────────────────────


def requests(project: Path) -> tuple[Request, ...]:
    with SqliteLedger.open(project / ".sica" / "sica.db", readonly=True) as ledger:
        return ledger.requests()


def test_a_dialogue_is_watched_joined_and_gone_on_with(
    project: Path, terminal: tuple[Screen, Path], provider: Provider
) -> None:
    seen, work = terminal
    told = threading.Event()

    def later() -> Any:
        assert told.wait(60)
        return bash("cat a.txt")

    hostile = r"echo one > a.txt; printf 'ev\033[2Jil\033]0;title\007\n'; seq 30"
    provider.answers = [bash(hostile), later, said("Made a.txt.")]
    seen.type("make a file\n")
    seen.wait("turn 1")
    text = seen.wait("the model")
    assert "▸ bash echo one > a.txt" in text and "\n    evil" in text and "29 more lines" in text
    assert "of 10m00s" in text and "99 calls left" in text and "> type to the agent" in text
    seen.type("also b, plüs\x7fs")
    seen.wait("> also b, plüs_")
    seen.resize(50, 12)
    seen.wait(
        lambda text: "> also b" in text and all(report.cells(row) <= 49 for row in text.splitlines()[-3:])
    )
    seen.resize(110, 40)
    seen.type("\n")
    seen.wait("you: also b, plüs")
    until = time.monotonic() + 20
    while any(r.state == "pending" for r in requests(project)) and time.monotonic() < until:
        time.sleep(0.05)
    told.set()
    seen.wait("a.txt   +1 -0   new")
    heard = [m["content"] for m in provider.seen[-1][1]["messages"] if m["role"] == "user"]
    assert "also b, plüs" in heard
    assert (work / "a.txt").read_text() == "one\n"
    assert b"\x1b[2J" not in seen.raw and b"\x1b]0;" not in seen.raw
    seen.type("/diff\n")
    seen.wait("+one")
    provider.answers = [said("Nothing more.")]
    seen.type("and now?\n")
    seen.wait("Nothing more.")
    asked = provider.seen[-1][1]["messages"]
    instruction = next(m["content"][0]["text"] for m in asked if m["role"] == "user")
    assert (
        instruction.startswith("and now?") and "- make a file" in instruction and "Made a.txt." in instruction
    )
    seen.wait("nothing was changed")
    seen.type("/quit\n")
    seen.wait("2 requests, 4 calls")
    assert seen.end() == 0 and seen.cursor_is_shown


def test_ctrl_c_asks_to_finish_and_a_second_one_leaves_at_once(
    terminal: tuple[Screen, Path], provider: Provider
) -> None:
    seen, work = terminal

    def until_told() -> Any:
        assert told.wait(60)
        return bash("true")

    told = threading.Event()
    provider.answers = [bash("echo half > half.txt"), until_told, bash("true"), said("Finished early.")]
    seen.type("work\n")
    seen.wait(lambda text: "turn 1" in text and "the model" in text)
    seen.type("\x03")
    seen.wait("the agent is asked to finish")
    told.set()
    seen.wait("half.txt   +1 -0   new")
    assert (work / "half.txt").read_text() == "half\n"
    seen.wait(lambda text: text.endswith("\n>"))
    seen.type("/undo\n")
    seen.wait("put back")
    assert not (work / "half.txt").exists()
    provider.answers = [HANG]
    seen.type("again\n")
    seen.wait(lambda text: "turn 0" in text and "the model" in text)
    seen.type("\x03")
    seen.wait("Ctrl-C again leaves at once")
    seen.type("\x03")
    assert seen.end() == 130 and seen.cursor_is_shown
    assert list(work.iterdir()) == []


def test_one_request_shows_its_lines_in_a_pipe_and_its_trace_can_be_read(
    project: Path, tmp_path: Path
) -> None:
    args = ["run", "-p", "Create `hello.txt` with the text `hi`.", "--agent", "0"]
    loud, quiet = (sica(project, *args, *more, env=BOXES) for more in ([], ["--quiet"]))
    assert (loud.code, quiet.code) == (0, 0), loud.err
    assert loud.out == quiet.out and "+hi" in loud.out
    assert "▸ overwrite hello.txt" in loud.err and "▸" not in quiet.err and "\x1b" not in loud.err
    made = sica(project, *args, "--json", env=BOXES).json
    assert (made["changed"], made["answer"], made["kept"]) == (["hello.txt"], "Changed 1 files.", [])
    assert "hello.txt" in sica(project, "trace", made["trace"][:19]).out
    asked = sica(project, "run", "--workdir", ".", env=BOXES)
    assert asked.code == 2 and "there is no request" in asked.err and "-p" in asked.err


# ── what is drawn ─────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(
    columns=st.integers(1, 200),
    lines=st.integers(1, 40),
    words=st.text(max_size=80),
    typed=st.text(max_size=80),
)
def test_what_is_drawn_fits_every_size_and_obeys_nobody(
    columns: int, lines: int, words: str, typed: str
) -> None:
    said_: list[str] = []
    followed = Following(report.Look(columns), said_.append)
    function = {"name": words, "arguments": words}
    for number in range(9):
        followed.once(str(number), {"role": "user", "content": words})
        followed.take("request", {"call": number, "messages": [], "span": f"main/a-{number}"})
        calls = [{"id": "1", "function": function}, {"id": "2", "function": function}]
        body = {"choices": [{"message": {"content": words, "tool_calls": calls}}]}
        followed.take("response", {"call": number, "body": body, "span": f"main/a-{number}"})
    view = View(followed, report.Look(), Budget(usd=1.0, calls=9, seconds=60), lambda text: None)
    for key in typed:
        view.key(key)
    drawn = view.lines((columns, lines))
    assert len(drawn) <= max(1, lines - 1)
    assert all(report.cells(line) <= max(1, columns - 1) for line in drawn)
    assert not [c for line in (*drawn, *said_) for c in line if unicodedata.category(c) in ("Cc", "Zl", "Zp")]


def test_sub_agents_stand_apart_and_their_answers_are_not_the_answer() -> None:
    lines: list[str] = []
    followed = Following(report.Look(100), lines.append)

    def turn(call: int, span: str, text: str) -> None:
        followed.take("request", {"call": call, "messages": [], "span": span})
        body = {"choices": [{"message": {"content": text}}]}
        followed.take("response", {"call": call, "body": body, "span": span})

    turn(0, "main", "I ask two.")
    turn(1, "main/coder-1", "one here")
    turn(2, "main/coder-2", "two here")
    turn(3, "main/coder-1", "one again")
    assert followed.answer == "I ask two."
    turn(4, "main", "Both are done.")
    assert lines == [
        "I ask two.", "+ main/coder-1", "  one here", "+ main/coder-2", "  two here", "+ main/coder-1",
        "  one again", "Both are done.",
    ]  # fmt: skip
    assert followed.answer == followed.read == "Both are done."


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def ended(limit: Any = None, refused: tuple[str, ...] = (), *, collected: bool = True) -> Ended:
    return Ended(0, limit, b"", b"", {}, refused, 1.0, collected)


def test_nothing_is_removed_that_was_only_not_brought_out() -> None:
    before = {name: File(b"x") for name in ("a", "big", "deep/b", "kept")}
    left = {"kept": File(b"x"), ".git/config": File(b"")}
    refused = ("/app/big: too large: 99 bytes", "/app/deep: too deep")
    assert change(before, left, ended(refused=refused), "/app") == Change(before, {}, ("a",))
    assert change(before, left, ended("stopped", refused), "/app") == Change(before, {}, ("a",))
    for cut in (ended("cancelled", collected=False), ended("memory", collected=False), None):
        assert not change(before, left, cut, "/app")


def test_what_somebody_else_changed_stays(tmp_path: Path) -> None:
    names = ("mine", "theirs", "dropped", "drop theirs", "deleted by them")
    before = {name: File(b"old\n") for name in names}
    for name in names:
        (tmp_path / name).write_text("old\n")
    (tmp_path / "unlisted").write_text("a secret that no listing names\n")
    (tmp_path / "theirs").write_text("theirs\n")
    (tmp_path / "drop theirs").write_text("theirs\n")
    (tmp_path / "deleted by them").unlink()
    new = {n: File(b"new\n") for n in ("mine", "theirs", "deleted by them", "fresh", "unlisted")}
    place = Place(tmp_path)
    done = Change(before, new, ("dropped", "drop theirs"))
    kept = place.land(done)
    assert (sorted(kept.changed), kept.gone) == (["deleted by them", "theirs", "unlisted"], ("drop theirs",))
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        "mine": "new\n", "theirs": "theirs\n", "drop theirs": "theirs\n", "fresh": "new\n",
        "unlisted": "a secret that no listing names\n",
    }  # fmt: skip
    (tmp_path / "fresh").write_text("edited since\n")
    stuck = place.undo(done)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        "mine": "old\n", "dropped": "old\n", "theirs": "theirs\n", "drop theirs": "theirs\n",
        "fresh": "edited since\n", "unlisted": "a secret that no listing names\n",
    }  # fmt: skip
    assert "fresh" in stuck.gone


def test_what_was_written_before_may_be_written_again(tmp_path: Path) -> None:
    """Also where git ignores it, so that a reading of the folder does not name it."""
    place = Place(tmp_path)
    assert not place.land(Change({}, {"built": File(b"1")}))
    assert not place.land(Change({}, {"built": File(b"2")}))
    assert (tmp_path / "built").read_bytes() == b"2"


def test_each_file_is_told_with_how_much_changed() -> None:
    before = {"a\x1b[2Jb": File(b"1\n2\n"), "bin": File(b"\0"), "gone": File(b"--- x\n"), "x": File(b"")}
    done = Change(
        before,
        {"a\x1b[2Jb": File(b"1\n++ 3\n4\n"), "bin": File(b"\0\0"), "x": File(b"", True), "new": File(b"")},
        ("gone",),
    )
    assert list(stat(done)) == [
        ("ab", "+2 -1"),
        ("bin", "binary"),
        ("gone", "+0 -1   removed"),
        ("new", "+0 -0   new"),
        ("x", "mode"),
    ]


def test_a_first_request_is_sent_as_it_is_typed() -> None:
    assert asking("do it", ()) == "do it"
    earlier = Turn("one", None, "x" * 9000, Change({}, {}))  # type: ignore[arg-type]
    assert len(asking("two", [earlier])) < 4500
