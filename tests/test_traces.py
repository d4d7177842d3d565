"""Evidence survives: odd bytes, kills, damage, many writers."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sica import chat
from sica.errors import StoreError, UsageError
from sica.traces import Traces


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "traces")


def test_a_closed_trace_is_named_by_its_bytes_and_reads_back(traces: Traces) -> None:
    trace = traces.open("s1")
    trace.event("start", session="s1")
    trace.event("stdout", text="hello")
    name = trace.close()
    assert [event["type"] for event in traces.read(name)] == ["start", "stdout"]
    assert [event["seq"] for event in traces.read(name)] == [0, 1]
    assert traces.find(name).name.endswith(".jsonl.gz")
    assert (
        list(traces.read(name[:20])) == list(traces.read(name)) == list(traces.read(name.partition(":")[2]))
    )
    assert trace.close() == name


def test_an_open_trace_can_be_read_while_it_grows(traces: Traces) -> None:
    trace = traces.open("s1")
    trace.event("start")
    assert [event["type"] for event in traces.read("s1")] == ["start"]
    with traces.find("s1").open("ab") as file:
        file.write(b'{"ts": 1, "half a li')
    assert [event["type"] for event in traces.read("s1")] == ["start"]


@pytest.mark.parametrize(
    "odd", ["\ud800", "a\x00b", b"\xff\x00", float("nan"), {1: {2, 3}}, object(), "\u2028", 10**300]
)
def test_no_data_can_stop_the_evidence(traces: Traces, odd: object) -> None:
    trace = traces.open("s1")
    trace.event("stdout", text=odd)
    assert [event["type"] for event in traces.read(trace.close())] == ["stdout"]


def test_a_structure_that_holds_itself_is_written_too(traces: Traces) -> None:
    loop: list[object] = []
    loop.append(loop)
    trace = traces.open("s1")
    trace.event("grade", detail=loop)
    assert len(list(traces.read(trace.close()))) == 1


def test_data_cannot_forge_the_kind_or_the_order(traces: Traces) -> None:
    trace = traces.open("s1")
    trace.event("stdout", type="grade", seq=99)
    (event,) = traces.read("s1")
    assert (event["type"], event["seq"]) == ("stdout", 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.dictionaries(st.text(), JSON, max_size=4))
def test_a_message_is_written_once_under_the_hash_that_replay_computes(
    tmp_path_factory: pytest.TempPathFactory, body: dict[str, object]
) -> None:
    trace = Traces(tmp_path_factory.mktemp("t")).open("s1")
    names = {trace.message(body), trace.message(dict(reversed(body.items())))}
    trace.event("request", messages=sorted(names))
    events = list(trace.store.read(trace.close()))
    assert names == {chat.fingerprint(body)}
    assert [event["type"] for event in events] == ["message", "request"]
    assert events[0]["body"] == body


def test_threads_never_tear_each_others_lines(traces: Traces) -> None:
    trace = traces.open("s1")

    def write(who: int) -> None:
        for n in range(200):
            trace.event("stdout", who=who, n=n, text="x" * 300)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = list(traces.read(trace.close()))
    assert [event["seq"] for event in events] == list(range(800))


KILLED = """
import os, signal, sys
from pathlib import Path
from sica.traces import Traces
trace = Traces(Path(sys.argv[1])).open("s1")
trace.event("start", session="s1")
trace.event("stdout", text="before the end")
os.write(trace._fd, b'{"ts": 3, "seq": 2, "type": "std')
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_loses_nothing_that_it_wrote(traces: Traces, tmp_path: Path) -> None:
    root = tmp_path / "traces"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root)], cwd=Path(__file__).parents[1], check=False
    )
    assert done.returncode == -signal.SIGKILL
    (name,) = traces.sweep()
    events = list(traces.read(name))
    assert [event["type"] for event in events] == ["start", "stdout", "swept"]
    assert [event["seq"] for event in events] == [0, 1, 2]
    assert events[2]["torn"] == '{"ts": 3, "seq": 2, "type": "std'
    assert traces.sweep() == []
    traces.open("s1").close()


def test_sweeping_leaves_the_trace_of_a_living_writer_alone(traces: Traces) -> None:
    trace = traces.open("s1")
    assert traces.sweep() == []
    trace.event("start")
    assert [event["type"] for event in traces.read(trace.close())] == ["start"]


def test_one_changed_byte_is_damage(traces: Traces) -> None:
    trace = traces.open("s1")
    trace.event("grade", score=0)
    name = trace.close()
    path = traces.find(name)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b'"score":0', b'"score":1')))
    with pytest.raises(StoreError, match="damaged"):
        list(traces.read(name))


@pytest.mark.parametrize("damage", [b"", b"not gzip", "cut", "tail"])
def test_a_damaged_file_is_a_clear_error(traces: Traces, damage: bytes | str) -> None:
    trace = traces.open("s1")
    for n in range(100):
        trace.event("stdout", n=n)
    name = trace.close()
    path = traces.find(name)
    whole = path.read_bytes()
    new = {"cut": whole[: len(whole) // 2], "tail": whole[:-9] + b"\0" * 9}.get(str(damage), damage)
    path.write_bytes(new if isinstance(new, bytes) else new.encode())
    with pytest.raises(StoreError, match=f"trace {name[:12]}.* is damaged"):
        list(traces.read(name))


def test_a_name_that_nobody_has_says_so(traces: Traces) -> None:
    for name in ("sha256:" + "0" * 64, "0", "../../etc/passwd", "", "sha256:*"):
        with pytest.raises(UsageError, match="no trace"):
            list(traces.read(name))


def test_a_prefix_of_two_traces_is_refused(traces: Traces) -> None:
    for n in range(17):  # of 17 names two begin alike
        trace = traces.open(f"s{n}")
        trace.event("stdout", n=n)
        trace.close()
    firsts = [path.parent.name[0] for path in traces.root.glob("??/*.gz")]
    twice = next(c for c in firsts if firsts.count(c) > 1)
    with pytest.raises(UsageError, match="could be any of"):
        traces.find(twice)


@pytest.mark.parametrize("session", ["../x", "a/b", "", ".", "a\0b", "x" * 200])
def test_a_session_cannot_be_named_like_a_path(traces: Traces, session: str) -> None:
    with pytest.raises(UsageError):
        traces.open(session)


def test_a_second_writer_of_one_session_is_refused(traces: Traces) -> None:
    traces.open("s1")
    with pytest.raises(StoreError, match="open trace"):
        traces.open("s1")


def test_nothing_is_added_to_a_closed_trace(traces: Traces) -> None:
    trace = traces.open("s1")
    trace.event("start")
    trace.close()
    with pytest.raises(StoreError, match="closed"):
        trace.event("late")


def test_a_box_cannot_fill_the_disk_through_its_trace(tmp_path: Path) -> None:
    traces = Traces(tmp_path, limit=10_000)
    trace = traces.open("s1")
    for n in range(50):
        trace.message({"role": "user", "content": str(n) * 5_000})
    assert traces.find("s1").stat().st_size < 20_000
    events = list(traces.read(trace.close()))
    assert len(events) == 50
    assert events[-1]["omitted"] > 5_000
    assert events[-1]["hash"]


def test_an_event_is_on_its_way_to_the_disk_in_one_write(traces: Traces, tmp_path: Path) -> None:
    """Each event is visible to another process at once: nothing waits in a buffer of ours."""
    trace = traces.open("s1")
    for n in range(3):
        trace.event("stdout", n=n)
        seen = os.pread(os.open(traces.find("s1"), os.O_RDONLY), 1 << 16, 0)
        assert json.loads(seen.splitlines()[-1])["n"] == n
