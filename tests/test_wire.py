"""The strict reader: whatever a box sends, the answer is one that a runner could send, or a WireError."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sica import wire
from sica.errors import SandboxError
from sica.model import BoxSpec, Ended, File, Job, Limits

SPEC = BoxSpec(writable=("/app",), limits=Limits(output_bytes=1000, disk_mb=1))
JOB = Job(("true",), collect=("/app",))
ENDED = {"event": "ended", "exit_code": 0, "limit": None, "seconds": 0.5, "stdout": 0, "stderr": 0}
END = {"event": "end", "refused": []}
WRONG_CODES: tuple[Any, ...] = (-1, 256, True, "0", 1.0, [])
WRONG_LIMITS: tuple[Any, ...] = ("disk", "cancelled", 1, {})


def frame(record: Any, data: bytes = b"") -> bytes:
    body = json.dumps(record).encode()
    return struct.pack(">I", len(body)) + body + data


def answer(*frames: bytes) -> Ended | None:
    return wire.read_answer(io.BytesIO(b"".join(frames)), SPEC, JOB)


def a_file(path: Any, data: bytes = b"x", **more: Any) -> bytes:
    return frame({"path": path, "size": len(data), "executable": False, **more}, data)


def test_an_answer_is_read_whole() -> None:
    said = {**ENDED, "exit_code": 3, "stdout": 3, "stderr": 2}
    got = answer(frame(said, b"outer"[:3] + b"er"), a_file("/app/a", b"1", executable=True), frame(END))
    assert got == Ended(3, None, b"out", b"er", {"/app/a": File(b"1", True)}, (), 0.5)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "app/a",
            "/app/../etc/passwd",
            "/app/./a",
            "/app//a",
            "/app/",
            "/etc/passwd",
            "/apple",
            "",
            "/",
            "/app/a\0b",
        ),
        *(
            "/app/a\nb",
            "/app/\x1b[2J",
            "/app/" + "n" * 256,
            "/app" + "/d" * 60,
            "/app/" + "ü" * 130,
            "/app/\udcff",
        ),
        *("/app/\u202egnp.exe", "/app/\u2028"),
    ],
)
def test_names_that_could_do_harm_are_refused_and_said(path: str) -> None:
    got = answer(frame(ENDED), a_file(path), a_file("/app/good"), frame(END))
    assert got is not None
    assert list(got.files) == ["/app/good"]
    assert len(got.refused) == 1 and got.refused[0].isprintable()


def test_a_second_file_of_one_name_does_not_replace_the_first() -> None:
    got = answer(frame(ENDED), a_file("/app/a", b"1"), a_file("/app/a", b"2"), frame(END))
    assert got is not None
    assert got.files == {"/app/a": File(b"1")}
    assert got.refused == ("/app/a: came twice",)


@pytest.mark.parametrize(
    "record",
    [
        *({**ENDED, "exit_code": code} for code in WRONG_CODES),
        *({**ENDED, "limit": limit} for limit in WRONG_LIMITS),
        *({**ENDED, "seconds": seconds} for seconds in (None, "1", float("nan"), -1.0, float("inf"))),
        *({**ENDED, "stdout": size} for size in (-1, 1 << 40, "1", None, True, 1.0)),
        *([], "ended", None, 1, {"event": "ready"}, {}),
    ],
)
def test_a_malformed_result_is_no_result(record: Any) -> None:
    with pytest.raises(wire.WireError):
        answer(frame(record), frame(END))


@pytest.mark.parametrize("size", [-1, 1 << 40, (1 << 20) + 1, "1", None, True])
def test_a_file_of_an_impossible_size_is_not_waited_for(size: Any) -> None:
    with pytest.raises(wire.WireError, match="announced"):
        answer(frame(ENDED), frame({"path": "/app/big", "size": size}))


def test_all_files_together_have_a_cap_and_a_count() -> None:
    half = bytes(600_000)
    with pytest.raises(wire.WireError, match="announced"):
        answer(frame(ENDED), a_file("/app/a", half), a_file("/app/b", half), frame(END))
    many = b"".join(a_file(f"/app/{n}", b"") for n in range(10_001))
    with pytest.raises(wire.WireError, match="more than 10000 files"):
        answer(frame(ENDED), many, frame(END))


def test_an_answer_cut_in_its_files_is_a_fault_not_an_empty_result() -> None:
    whole = frame(ENDED) + a_file("/app/a", b"12345")
    for cut in range(len(frame(ENDED)), len(whole) + 1):
        with pytest.raises(wire.WireError, match="middle of its files"):
            answer(whole[:cut])
    assert answer(whole[:10]) is None


def test_what_the_runner_could_not_do_is_a_sandbox_error() -> None:
    with pytest.raises(SandboxError, match="could not start the job: no directory"):
        answer(frame({"event": "error", "why": "no directory \x1b[2J"}))


def test_depth_of_json_is_no_way_to_crash() -> None:
    body = b"[" * 200_000
    with pytest.raises(wire.WireError):
        answer(struct.pack(">I", len(body)) + body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
some_files = st.lists(
    st.tuples(
        st.text(max_size=20).map(lambda name: "/app/" + name) | st.text(max_size=20), st.binary(max_size=20)
    ),
    max_size=6,
)


@given(st.binary(max_size=400))
def test_any_bytes_at_all(data: bytes) -> None:
    with suppress(SandboxError):
        wire.read_answer(io.BytesIO(data), SPEC, JOB)


@given(st.lists(st.tuples(json_values, st.binary(max_size=10)), max_size=4))
def test_any_records_after_a_good_result(records: list[tuple[Any, bytes]]) -> None:
    try:
        got = answer(frame(ENDED), *(frame(record, data) for record, data in records), frame(END))
    except SandboxError:
        return
    assert got is not None
    assert all(path.startswith("/app/") for path in got.files)


@given(some_files)
def test_only_plain_names_below_what_was_asked_for_are_kept(files: list[tuple[str, bytes]]) -> None:
    try:
        got = answer(frame(ENDED), *(a_file(path, data) for path, data in files), frame(END))
    except wire.WireError as error:
        raise AssertionError("names alone are never a fault") from error
    assert got is not None
    assert len(got.files) + len(got.refused) == len(files)
    for path, file in got.files.items():
        assert path.startswith("/app/") and path.isprintable()
        assert not {"", ".", ".."} & set(path.split("/")[1:])
        assert file.data == next(data for name, data in files if name == path)
    assert all(line.isprintable() for line in got.refused)


@given(
    st.dictionaries(st.sampled_from(["/app/a", "/app/b/c", "/app/ü"]), st.binary(max_size=50)), st.binary()
)
def test_a_job_carries_its_bytes(files: dict[str, bytes], stdin: bytes) -> None:
    sent = wire.encode(
        SPEC, Job(("x",), files={path: File(data) for path, data in files.items()}, stdin=stdin)
    )
    (size,) = struct.unpack(">I", sent[:4])
    header = json.loads(sent[4 : 4 + size])
    assert [path for path, _, _ in header["files"]] == list(files)
    assert sent[4 + size :] == b"".join(files.values()) + stdin


@pytest.mark.parametrize(
    "path", ["/etc/x", "app/x", "/app", "/app/", "/app/../x", "/application/x", "/app/a\0", "/app//x"]
)
def test_a_job_puts_files_into_writable_directories_only(path: str) -> None:
    with pytest.raises(SandboxError, match="outside the box's writable directories"):
        wire.encode(SPEC, Job(("x",), files={path: File(b"")}))


# ── the conversation ──────────────────────────────────────────────────────────────────────────────


class Silent:
    """A box that says nothing until it is cut."""

    def __init__(self) -> None:
        self.cuts = 0

    def wait(self, seconds: float) -> bool:
        return threading.Event().wait(min(seconds, 0.01))

    def read(self, size: int, /) -> bytes:
        raise AssertionError("nothing to read")

    def write(self, data: bytes) -> None:
        raise AssertionError("the runner is not ready")

    def cut(self) -> None:
        self.cuts += 1


def test_a_silent_box_is_cut_once_when_the_user_cancels() -> None:
    line, cancel = Silent(), threading.Event()
    cancel.set()
    told = wire.converse(line, SPEC, JOB, b"", cancel)
    assert (told.answer, told.cut, line.cuts) == (None, "cancelled", 1)


def test_a_watched_line_ends_at_its_deadline() -> None:
    line = Silent()
    begun = time.monotonic()
    watched = wire.Watched(line, 0.05, None)
    assert watched.read(1) == b"" == watched.read(1)
    assert (watched.why, line.cuts) == ("seconds", 1)
    assert time.monotonic() - begun < 5


class Told(Silent):
    """A runner that is ready at once; it answers the word to stop, or does not."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.heard: list[bytes] = []
        self.says, self.answer = io.BytesIO(frame({"event": "ready"})), answer

    def wait(self, seconds: float) -> bool:
        return bool(self.says.getbuffer()[self.says.tell() :]) or super().wait(seconds)

    def read(self, size: int, /) -> bytes:
        return self.says.read(size)

    def write(self, data: bytes) -> None:
        self.heard.append(data)
        if data == wire.STOP:
            self.says = io.BytesIO(self.answer)


def test_the_word_to_stop_is_said_once_after_the_job_and_its_answer_is_read() -> None:
    late = {**ENDED, "exit_code": None, "limit": "seconds"}
    line, stop = Told(frame(late) + a_file("/app/a") + frame(END)), threading.Event()
    stop.set()
    told = wire.converse(line, SPEC, JOB, b"the job", None, stop)
    assert line.heard == [b"the job", wire.STOP]
    ended = wire.judge(told, memory=False)
    assert ended is not None and (ended.limit, list(ended.files), line.cuts) == ("stopped", ["/app/a"], 0)


def test_a_program_that_ended_by_itself_was_not_stopped() -> None:
    line, stop = Told(frame(ENDED) + frame(END)), threading.Event()
    stop.set()
    ended = wire.judge(wire.converse(line, SPEC, JOB, b"the job", None, stop), memory=False)
    assert ended is not None and (ended.exit_code, ended.limit) == (0, None)


def test_a_runner_that_does_not_answer_the_word_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SLACK", 0.0)
    monkeypatch.setattr(wire, "GRACE", 0.05)
    line, stop = Told(b""), threading.Event()
    stop.set()
    told = wire.converse(line, replace(SPEC, limits=Limits(seconds=3600)), JOB, b"the job", None, stop)
    ended = wire.judge(told, memory=False)
    assert ended is not None and (ended.limit, ended.collected, line.cuts) == ("stopped", False, 1)


def test_what_the_host_saw_corrects_what_the_runner_said() -> None:
    fine = Ended(0, None, b"", b"", {}, (), 1.0)
    late = Ended(None, "seconds", b"", b"", {}, (), 1.0)
    assert wire.judge(wire.Told(fine, None, 1), memory=False) == fine
    killed = wire.judge(wire.Told(fine, None, 1), memory=True)
    assert killed is not None and (killed.exit_code, killed.limit) == (0, "memory")
    slow = wire.judge(wire.Told(late, None, 1), memory=True)
    assert slow is not None and slow.limit == "seconds"
    gone = wire.judge(wire.Told(None, None, 2), memory=True)
    assert gone is not None and (gone.exit_code, gone.limit, gone.seconds) == (None, "memory", 2)
    cut = wire.judge(wire.Told(None, "cancelled", 2), memory=True)
    assert cut is not None and cut.limit == "cancelled"
    assert wire.judge(wire.Told(None, None, 2), memory=False) is None
