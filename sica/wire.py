"""What passes between sica and the first process of a box: the job in, a strict reading of the answer out.

Everything in an answer may have been made by an agent: sizes, names and counts are checked before a byte is
kept, files stay in memory, and whatever is not exactly as agreed is a WireError. Nothing here writes to a
disk.
"""

from __future__ import annotations

import json
import math
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from sica.errors import SandboxError
from sica.model import BoxSpec, Ended, File, Job

GRACE = 2.0
"""Seconds between TERM and KILL at a box's deadline."""

SLACK = 60.0
"""Seconds that a box may take beside its job's: being made, killing, bringing files out."""

SLICE = 0.1
"""Seconds between two looks at the cancel event."""

FRAME = 1 << 20
OPEN_FILES = 1024
FILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Caps:
    """How much may come out of a box."""

    total: int = 256 << 20
    count: int = 10_000
    depth: int = 40
    path: int = 1024
    name: int = 255


class WireError(SandboxError):
    """A box's answer is not what its runner would have sent."""


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Line(Stream, Protocol):
    """The two directions between sica and a runner."""

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read, the end included."""

    def write(self, data: bytes) -> None:
        """Raises OSError when the box is gone."""

    def cut(self) -> None:
        """End the box now; what was not read by then is lost."""


# ── the job ───────────────────────────────────────────────────────────────────────────────────────


def encode(
    spec: BoxSpec, job: Job, *, rlimits: Mapping[str, int] | None = None, again: bool = False
) -> bytes:
    """The frame that the runner reads. A job that asks for what its box has not is a mistake of ours.

    `again`: the box is to be emptied afterwards, for another job.
    """
    caps = caps_of(spec)
    allowed = spec.writable if spec.profile == "strict" else ("/",)
    for path in job.files:
        if not _inside(path, allowed):
            raise SandboxError(
                f"the job puts {path!r} outside the box's writable directories {spec.writable}"
            )
    header = {
        "argv": list(job.argv),
        "cwd": job.cwd,
        "env": dict(job.env),
        "seconds": spec.limits.seconds,
        "grace": GRACE,
        "output": spec.limits.output_bytes,
        "rlimits": {"NOFILE": OPEN_FILES, "CORE": 0, "FSIZE": FILE_BYTES, **(rlimits or {})},
        "memory": (rlimits or {}).get("AS", 0),  # of each by the kernel, then; of all together by the runner
        "relay": spec.socket is not None,
        "collect": list(job.collect),
        "caps": {"total": caps.total, "count": caps.count, "depth": caps.depth},
        "renew": list(spec.writable) if again else [],
        "stdin": len(job.stdin),
        "files": [[path, len(file.data), file.executable] for path, file in job.files.items()],
    }
    frame = json.dumps(header).encode()
    return b"".join(
        [struct.pack(">I", len(frame)), frame, *(file.data for file in job.files.values()), job.stdin]
    )


def caps_of(spec: BoxSpec) -> Caps:
    """A file with holes may claim more than the box's disks can hold; no more than they hold comes out."""
    if spec.profile == "compat":
        return Caps()
    return Caps(total=min(Caps().total, len(spec.writable) * spec.limits.disk_mb << 20))


def _inside(path: str, directories: Sequence[str]) -> bool:
    parts = path.split("/")
    plain = path.startswith("/") and not {"", ".", ".."} & set(parts[1:]) and "\0" not in path
    return plain and any(path.startswith(directory.rstrip("/") + "/") for directory in directories)


# ── the conversation ──────────────────────────────────────────────────────────────────────────────

Cut = Literal["seconds", "cancelled", "stopped"]
STOP = b"."
"""All that may follow a job: its program is to end now, as at its time limit."""


class Watched:
    """A line that is cut at the deadline or when the user cancels; reading it then comes to its end."""

    def __init__(self, line: Line, seconds: float, cancel: threading.Event | None) -> None:
        self._line = line
        self._until = time.monotonic() + seconds
        self._cancel = cancel
        self.stop: threading.Event | None = None
        """Makes the runner end its program; a runner that does not answer then is cut. Only after the job."""
        self.asked = False
        self.why: Cut | None = None

    def read(self, size: int, /) -> bytes:
        while not self.why:
            ready = self._line.wait(SLICE)
            if self._cancel is not None and self._cancel.is_set():
                self._cut("cancelled")
            elif time.monotonic() > self._until:
                self._cut("stopped" if self.asked else "seconds")
            elif ready:
                return self._line.read(size)
            elif self.stop is not None and not self.asked and self.stop.is_set():
                self._ask()
        return b""

    def _ask(self) -> None:
        self.asked = True
        self._until = min(self._until, time.monotonic() + GRACE + SLACK)
        with suppress(OSError):  # it ended by itself, and says so to whoever reads on
            self._line.write(STOP)

    def _cut(self, why: Cut) -> None:
        self.why = why
        self._line.cut()


@dataclass(frozen=True, slots=True)
class Told:
    """What one box told of itself, and why it was not let finish."""

    answer: Ended | None
    cut: Cut | None
    seconds: float
    ready: bool = False
    """The runner has emptied the box and waits for another job."""
    stopped: bool = False
    """The runner was told to end its program."""

    @property
    def finished(self) -> bool:
        """The runner said everything: it is alone in its box, and about to leave."""
        return self.answer is not None and self.cut is None


def converse(
    line: Line,
    spec: BoxSpec,
    job: Job,
    frame: bytes,
    cancel: threading.Event | None,
    stop: threading.Event | None = None,
    *,
    ready: bool = False,
    again: bool = False,
) -> Told:
    """Wait for the runner, unless it is known to be ready; give it the job, and read its answer.

    `again`: as the frame was encoded.
    """
    watched = Watched(line, spec.limits.seconds + GRACE + SLACK, cancel)
    started = time.monotonic()
    answer = None
    if ready or read_ready(watched):
        started = time.monotonic()
        try:
            line.write(frame)
        except OSError:
            return Told(None, watched.why, 0.0)  # it died; the host's own facts say of what
        watched.stop = stop
        answer = read_answer(watched, spec, job)
    seconds = time.monotonic() - started
    emptied = again and answer is not None and read_ready(watched)
    return Told(answer, watched.why, seconds, emptied, watched.asked)


def judge(told: Told, memory: bool) -> Ended | None:
    """The runner's word, corrected by what the host saw; None when nothing explains the box's end."""
    if told.answer is not None and told.cut is None:  # finished, in words that mypy follows
        limit = told.answer.limit or ("memory" if memory else None)
        if told.stopped and limit == "seconds":  # the runner knows of one way to end a program only
            limit = "stopped"
        return replace(told.answer, limit=limit)
    limit = "memory" if memory and told.cut is None else told.cut
    return Ended(None, limit, b"", b"", {}, (), told.seconds, collected=False) if limit else None


# ── the answer ────────────────────────────────────────────────────────────────────────────────────


def read_ready(stream: Stream) -> bool:
    """Whether the runner stands confined; False when the stream ended. Raises what the runner reports."""
    record = _record(stream)
    if record is None:
        return False
    if record.get("event") != "ready":
        raise WireError(f"a box said {record.get('event')!r} instead of ready")
    return True


def read_answer(stream: Stream, spec: BoxSpec, job: Job) -> Ended | None:
    """The end of the job as the runner saw it; None when the stream ended first."""
    ended = _record(stream)
    if ended is None:
        return None
    exit_code, limit, seconds = ended.get("exit_code"), ended.get("limit"), ended.get("seconds")
    if ended.get("event") != "ended" or limit not in (None, "seconds", "memory"):
        raise WireError("a box's result record is malformed")
    if not (isinstance(seconds, float) and 0 <= seconds < math.inf):
        raise WireError("a box's seconds are malformed")
    if not (exit_code is None or (type(exit_code) is int and 0 <= exit_code < 256)):
        raise WireError("a box's exit code is malformed")
    most = spec.limits.output_bytes + 100
    outputs = [_payload(stream, ended.get(name), most) for name in ("stdout", "stderr")]
    if None in outputs:
        return None
    files, refused = _read_files(stream, job.collect, caps_of(spec))
    return Ended(exit_code, limit, outputs[0] or b"", outputs[1] or b"", files, tuple(refused), seconds)


def _read_files(stream: Stream, collect: Sequence[str], caps: Caps) -> tuple[dict[str, File], list[str]]:
    files: dict[str, File] = {}
    refused: list[str] = []
    total = count = 0
    while (record := _record(stream)) is not None:
        if record.get("event") == "end":
            return files, refused + _refusals(record.get("refused"))
        path, size = record.get("path"), record.get("size")
        if not isinstance(path, str):
            raise WireError("a box sent a file without a name")
        data = _payload(stream, size, caps.total - total)
        if data is None:
            break
        total, count = total + len(data), count + 1
        if count > caps.count:
            raise WireError(f"a box sent more than {caps.count} files")
        why = _objection(path, collect, files, caps)
        if why:
            refused.append(f"{printable(path)}: {why}")
        else:
            files[path] = File(data, record.get("executable") is True)
    raise WireError("a box's answer ended in the middle of its files")


def _objection(path: str, collect: Sequence[str], have: Mapping[str, File], caps: Caps) -> str:
    """Why a file of this name is not kept; "" when it is."""
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    parts = path.split("/")
    if not path.startswith("/") or {"", ".", ".."} & set(parts[1:]):
        return "not a plain absolute path"
    if len(raw) > caps.path or any(len(part.encode()) > caps.name for part in parts):
        return "the name is too long"
    if len(parts) > caps.depth + 10:
        return "too deep"
    if not path.isprintable():
        return "the name has characters that do not print"
    if not any(path == root.rstrip("/") or path.startswith(root.rstrip("/") + "/") for root in collect):
        return "not below what was asked for"
    if path in have:
        return "came twice"
    return ""


def _refusals(entries: Any) -> list[str]:
    if not isinstance(entries, list):
        raise WireError("a box's list of refusals is malformed")
    lines = []
    for entry in entries[:1000]:
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(text, str) for text in entry)):
            raise WireError("a box's list of refusals is malformed")
        lines.append(f"{printable(entry[0])}: {printable(entry[1])}")
    return lines


def printable(text: str, most: int = 200) -> str:
    """Text of an agent's making as it may stand in a line of ours."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= most else shown[:most] + "..."


def _record(stream: Stream) -> dict[str, Any] | None:
    """One frame; None at the end of the stream."""
    prefix = _exactly(stream, 4)
    if prefix is None:
        return None
    (size,) = struct.unpack(">I", prefix)
    if size > FRAME:
        raise WireError(f"a box announced a record of {size} bytes")
    frame = _exactly(stream, size)
    if frame is None:
        return None
    try:
        record = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise WireError("a box sent a record that is not JSON") from error
    if not isinstance(record, dict):
        raise WireError("a box sent a record that is not an object")
    if record.get("event") == "error":
        raise SandboxError(f"the box could not start the job: {printable(str(record.get('why')))}")
    return record


def _payload(stream: Stream, size: Any, most: int) -> bytes | None:
    if type(size) is not int or not 0 <= size <= most:
        raise WireError(f"a box announced {printable(str(size))} bytes where at most {most} may come")
    return _exactly(stream, size)


def _exactly(stream: Stream, size: int) -> bytes | None:
    """So many bytes, or None when the stream ends before; never allocates more than has come."""
    chunks = []
    while size:
        chunk = stream.read(min(size, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
