"""Everything that happens, in order and each once, as server-sent events that survive a restart of the server.

A cursor says how far a reader has come in terms of what is on the disk: row numbers of the append-only tables, and
offsets into the traces of boxes. So a server that was started again, or another one, goes on exactly there:

    r1.i4.v5.t120.p1.q0.w0~4f0c…:1803,9ab1…:77@SINCE/AT

An outcome comes after the last event of its box: a box whose row is behind the cursor is done with. A box that opened
and closed unseen is read from its closed trace.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import anyio
from starlette.concurrency import run_in_threadpool

from sica import chronicle, report
from sica.chronicle import Mark
from sica.errors import SicaError, UsageError
from sica.web.blocks import Assembler, one_line
from sica.web.said import harmless
from sica.web.source import Source
from sica.web.tracefile import TraceFile

EVERY = 0.1
"""Seconds between two looks at sizes and times of files; nothing else is done while they stay as they are."""
KEEP_ALIVE = 10.0
MOST = 1_000
"""Events of one look; what is left comes with the next, so that a long past does not fill the memory."""
REMEMBERED = 64
"""Boxes without an outcome that a cursor still names."""
KINDS = (*chronicle.KINDS, "trace")
OUTCOMES = ("trial", "improvement", "verdict")
"""What a box comes to."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cursor:
    mark: Mark
    offsets: Mapping[str, int] = field(default_factory=dict)
    """Bytes read of the trace of each box that has no outcome behind the mark."""
    since: float = 0.0
    """When the reader began: traces closed before are not read to it."""
    at: float = 0.0
    """Up to when boxes that left no outcome were looked for."""

    def __str__(self) -> str:
        boxes = ",".join(f"{session}:{offset}" for session, offset in self.offsets.items())
        return f"{self.mark}~{boxes}@{self.since:.3f}/{self.at:.3f}"

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises UsageError for what no cursor is."""
        try:
            rest, _, times = text.partition("@")
            rows, _, boxes = rest.partition("~")
            since, _, at = times.partition("/")
            pairs = (pair.split(":") for pair in boxes.split(",") if pair)
            offsets = {session: int(offset) for session, offset in pairs}
            mark, read = Mark.read(rows), cls(Mark(), offsets, float(since), float(at))
        except ValueError:
            mark = None
        if mark is None:
            raise UsageError(f"{report.clean(text)[:80]!r} is no cursor", "take the one of /api/archive")
        return replace(read, mark=mark)


def now(source: Source) -> Cursor:
    """The end of everything; what open boxes have said so far is behind it."""
    at = time.time()
    offsets = {path.stem: _whole(path) for path in _open_traces(source)}
    return Cursor(chronicle.now(source.ledger), offsets, at, at)


def beginning(source: Source) -> Cursor:
    """Before every row; of traces only the open ones and those to come."""
    del source
    return Cursor(Mark(), {}, time.time(), time.time())


def _open_traces(source: Source) -> list[Path]:
    return sorted((source.traces.root / "open").glob("*.jsonl"))


def _whole(path: Path) -> int:
    """Bytes of the whole lines of a trace that is being written."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - 65_536)
                file.seek(start)
                if (newline := file.read(end - start).rfind(b"\n")) >= 0:
                    return start + newline + 1
                end = start
    except FileNotFoundError:
        pass  # it was closed this very moment: then it is read from the beginning, under its other name
    return 0


# ── following ─────────────────────────────────────────────────────────────────────────────────────


class _Tail:
    """One box's trace, read as it grows; the file is kept open, so that its end can be read when it is closed."""

    def __init__(self, session: str, file: BinaryIO, offset: int) -> None:
        self.session, self._file, self.offset = session, file, offset
        self.made = Assembler()
        self._learn()

    def _learn(self) -> None:
        """Who it is about stands in its first lines."""
        self._file.seek(0)
        for number in range(2):
            line = self._file.readline()
            if line.endswith(b"\n"):
                self.made.feed(_parsed(line), number)

    def read(self) -> Iterator[Event]:
        self._file.seek(self.offset)
        while (line := self._file.readline()).endswith(b"\n"):
            if not self.made.about.get("session"):
                self._learn()
                self._file.seek(self.offset + len(line))
            self.offset += len(line)
            yield _told(self.session, self.made.about, _parsed(line))

    @property
    def over(self) -> bool:
        """Nobody writes to it any more, and all of it was read."""
        facts = os.fstat(self._file.fileno())
        return facts.st_nlink == 0 and self.offset >= facts.st_size

    def close(self) -> None:
        self._file.close()


class Follower:
    """One reader's place. `look` goes on from it; not for several threads at once."""

    def __init__(self, source: Source, cursor: Cursor) -> None:
        self._source = source
        self.mark, self.since, self.at = cursor.mark, cursor.since, cursor.at
        self.offsets = dict(cursor.offsets)
        self._tails: dict[str, _Tail] = {}

    def cursor(self) -> str:
        return str(Cursor(self.mark, self.offsets, self.since, self.at))

    def close(self) -> None:
        for tail in self._tails.values():
            tail.close()

    def look(self, most: int = MOST) -> Iterator[tuple[str, Event]]:
        """What happened since the last look, each event with the cursor behind it; about `most` of them."""
        asked, given = time.time(), 0
        self._find_tails()
        for event in self._said():
            yield self.cursor(), event
            given += 1
            if given >= most:
                return
        whole = True
        for letter, row, event in list(chronicle.after(self._source.ledger, self.mark, most)):
            for before in self._rest_of(event):
                yield self.cursor(), before
            if event["kind"] in OUTCOMES:  # what people ask of a box does not end it
                self.offsets.pop(event.get("session") or "", None)
            self.mark = replace(self.mark, **{letter: row})
            yield self.cursor(), worded(event)
            given += 1
            whole = given < most
        if whole:
            for event in self._unaccounted():
                yield self.cursor(), event
            self.at = asked

    def _find_tails(self) -> None:
        for path in _open_traces(self._source):
            if path.stem not in self._tails:
                try:
                    file = path.open("rb")
                except FileNotFoundError:
                    continue  # closed this very moment: it is read under its other name
                self._tails[path.stem] = _Tail(path.stem, file, self.offsets.get(path.stem, 0))

    def _said(self) -> Iterator[Event]:
        for session, tail in list(self._tails.items()):
            yield from self._read(session, tail)
            if tail.over:
                tail.close()
                del self._tails[session]

    def _read(self, session: str, tail: _Tail) -> Iterator[Event]:
        for event in tail.read():
            self.offsets[session] = tail.offset
            yield event
        while len(self.offsets) > REMEMBERED and (
            old := next((s for s in self.offsets if s not in self._tails), "")
        ):
            del self.offsets[old]

    def _rest_of(self, outcome: Event) -> Iterator[Event]:
        """What an outcome's box said that was not read yet."""
        session, trace = outcome.get("session") or "", outcome.get("trace") or ""
        if outcome["kind"] not in OUTCOMES or not session:
            return
        if (tail := self._tails.pop(session, None)) is not None:
            yield from self._read(session, tail)
            tail.close()
        elif trace and self._closed_since(trace):
            yield from self._closed(session, trace)

    def _closed_since(self, trace: str) -> bool:
        try:
            return self._source.traces.find(trace).stat().st_mtime >= self.since - 0.01
        except (SicaError, OSError):
            return False  # it was taken away: its outcome stands all the same

    def _closed(self, session: str, trace: str) -> Iterator[Event]:
        try:
            file = TraceFile.of(self._source.traces, trace)
        except SicaError:
            return  # damaged: its page says so
        for event in _events_of(file, session, self.offsets.get(session, 0)):
            self.offsets[session] = event.pop("offset")
            yield event
        file.close()

    def _unaccounted(self) -> Iterator[Event]:
        """Boxes that ended without an outcome (a cancelled run, a killed sica) while nobody looked."""
        gone = [s for s in self.offsets if s not in self._tails]
        if not gone and time.time() - self.at < 2:
            return
        for path in _closed_after(self._source.traces.root, self.at - 0.01):
            file = TraceFile.of(self._source.traces, path.parent.name + path.name.removesuffix(".jsonl.gz"))
            session = str(file.made.about.get("session", ""))
            if session and not chronicle.closed_trace(self._source.ledger, session, self.mark):
                for event in _events_of(file, session, self.offsets.get(session, 0)):
                    self.offsets[session] = event.pop("offset")
                    yield event
            file.close()


def _events_of(file: TraceFile, session: str, offset: int) -> Iterator[Event]:
    for line, end in file.lines():
        if end > offset:
            yield {**_told(session, file.made.about, _parsed(line)), "offset": end}


def _told(session: str, about: Mapping[str, Any], event: Mapping[str, Any]) -> Event:
    return {
        "kind": "trace",
        "at": event.get("ts"),
        **{name: about.get(name) for name in ("agent", "run", "for", "task", "attempt")},
        "session": session,
        "e": event.get("seq"),
        "type": report.clean(str(event.get("type", ""))),
        "text": one_line(event, report.clean),
    }


def _closed_after(root: Path, at: float) -> Iterator[Path]:
    """Traces that were closed since then; a folder's own time says whether to look into it."""
    for folder in root.glob("[0-9a-f][0-9a-f]"):
        if folder.stat().st_mtime >= at:
            yield from (p for p in folder.glob("*.jsonl.gz") if p.stat().st_mtime >= at)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    return (
        event
        if isinstance(event, dict)
        else {"type": "unreadable", "text": line[:600].decode(errors="replace")}
    )


def worded(event: Event) -> Event:
    """The event with one line for people."""
    return {**event, "text": report.clean(_words(event))[:300]}


def _words(event: Event) -> str:
    agent = f"agent/{event['agent']}" if event["agent"] is not None else ""
    match event["kind"]:
        case "run":
            return f"{event['run']} began"
        case "trial":
            came = "no score" if event["score"] is None else f"{event['score']:.2f}"
            return f"{agent} {event['task']} {came} {event['why'] or event['ending']}"
        case "improvement" if event["child"] is not None:
            return f"agent/{event['child']} made by {agent}: {event['subject']}"
        case "improvement":
            return f"{agent} made no child: {event['why'] or event['ending']}"
        case "verdict" if event["fault"]:
            return f"{agent} could not be checked: {event['reason']}"
        case "verdict":
            return f"{agent} passed the gate" if event["passed"] else f"{agent} rejected: {event['reason']}"
        case "promotion":
            return f"{agent} is the new best: {event['why']}"
        case "request":
            return f"{event['by'] or 'somebody'} asks: {event['request']} {agent} {event['session']} {event['text']}"
        case "answer":
            return f"{event['request']} {agent}: {event['text'] or event['state']}"
    return ""


# ── server-sent events ────────────────────────────────────────────────────────────────────────────


async def events(
    source: Source, cursor: Cursor, kinds: frozenset[str], status: Callable[[], Mapping[str, Any]]
) -> AsyncIterator[bytes]:
    """Messages for an EventSource, until the reader goes or the server ends."""
    if cursor.mark.beyond(chronicle.now(source.ledger)):
        cursor = await run_in_threadpool(now, source)
        yield _message("reset", {"kind": "reset"}, str(cursor))
    follower = Follower(source, cursor)
    yield b": sica\n\n"
    seen: object = None
    last = shown = time.monotonic() - 1
    told: object = None
    known: Any = None
    try:
        while not source.closing.is_set():
            pulse = _pulse(source)
            if pulse != seen:
                seen = pulse
                while batch := await run_in_threadpool(_batch, follower, kinds):
                    chunk, more = batch
                    if chunk:
                        yield chunk
                        last = time.monotonic()
                    if not more:
                        break
            if time.monotonic() - shown >= 1 and told != seen:
                fresh = await run_in_threadpool(status)
                shown, told = time.monotonic(), seen
                if (
                    core := {k: v for k, v in fresh.items() if k not in ("now", "cursor", "eta_seconds")}
                ) != known:
                    known = core
                    yield _message("status", fresh)
                    last = time.monotonic()
            if time.monotonic() - last >= KEEP_ALIVE:
                yield b": \n\n"
                last = time.monotonic()
            await anyio.sleep(EVERY)
    finally:
        follower.close()


def _batch(follower: Follower, kinds: frozenset[str]) -> tuple[bytes, bool]:
    """One look's messages, and whether there is more."""
    seen, parts = 0, []
    for cursor, event in follower.look():
        seen += 1
        if not kinds or event["kind"] in kinds:
            parts.append(_message(event["kind"], event, cursor))
    return b"".join(parts), seen >= MOST


def _pulse(source: Source) -> object:
    """Changes when anything was recorded or said: names, sizes and times of a few files."""
    db = source.db or source.places.db
    facts: list[object] = [
        int(time.monotonic())
    ]  # a file's time has ticks: so look once a second in any case
    for path in (db, db.with_name(f"{db.name}-wal")):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        facts.append((found.st_ino, found.st_size, found.st_mtime_ns))
    try:
        with os.scandir(source.traces.root / "open") as folder:
            facts += sorted((entry.name, entry.stat().st_size) for entry in folder)
    except FileNotFoundError:
        pass  # no box was ever open here, or one was closed this very moment
    return tuple(facts)


def _message(kind: str, event: Mapping[str, Any], cursor: str = "") -> bytes:
    data = json.dumps(harmless(event), ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\n{f'id: {cursor}{chr(10)}' if cursor else ''}data: {data}\n\n".encode()
