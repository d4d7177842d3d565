"""What passes between sica and the first process of a box: the job in, a strict reading of the answer out.

Everything in an answer may have been made by an agent: sizes, names and counts are checked before a byte is kept, files
stay in memory, and whatever is not exactly as agreed is a WireError. Nothing here writes to a disk.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from sica.errors import SandboxError
from sica.model import BoxSpec, Ended, File, Job

GRACE = 2.0
"""Seconds between TERM and KILL at a box's deadline."""

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


# ── the job ───────────────────────────────────────────────────────────────────────────────────────


def encode(
    spec: BoxSpec, job: Job, *, rlimits: Mapping[str, int] | None = None, caps: Caps = Caps()
) -> bytes:
    """The frame that the runner reads. A job that asks for what its box has not is a mistake of ours."""
    for path in job.files:
        if not _inside(path, spec.writable):
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
        "relay": spec.socket is not None,
        "collect": list(job.collect),
        "caps": {"total": caps.total, "count": caps.count, "depth": caps.depth},
        "stdin": len(job.stdin),
        "files": [[path, len(file.data), file.executable] for path, file in job.files.items()],
    }
    frame = json.dumps(header).encode()
    return b"".join(
        [struct.pack(">I", len(frame)), frame, *(file.data for file in job.files.values()), job.stdin]
    )


def _inside(path: str, directories: Sequence[str]) -> bool:
    parts = path.split("/")
    plain = path.startswith("/") and not {"", ".", ".."} & set(parts[1:]) and "\0" not in path
    return plain and any(path.startswith(directory.rstrip("/") + "/") for directory in directories)


# ── the answer ────────────────────────────────────────────────────────────────────────────────────


def read_ready(stream: BinaryIO) -> bool:
    """Whether the runner stands confined; False when the stream ended instead. Raises what the runner reports."""
    record = _record(stream)
    if record is None:
        return False
    if record.get("event") != "ready":
        raise WireError(f"a box said {record.get('event')!r} instead of ready")
    return True


def read_answer(stream: BinaryIO, spec: BoxSpec, job: Job, caps: Caps = Caps()) -> Ended | None:
    """The end of the job as the runner saw it; None when the stream ended first."""
    ended = _record(stream)
    if ended is None:
        return None
    exit_code, limit, seconds = ended.get("exit_code"), ended.get("limit"), ended.get("seconds")
    if ended.get("event") != "ended" or limit not in (None, "seconds") or not isinstance(seconds, float):
        raise WireError("a box's result record is malformed")
    if not (exit_code is None or (type(exit_code) is int and 0 <= exit_code < 256)):
        raise WireError("a box's exit code is malformed")
    most = spec.limits.output_bytes + 100
    outputs = [_payload(stream, ended.get(name), most) for name in ("stdout", "stderr")]
    if None in outputs:
        return None
    files, refused = _read_files(stream, job.collect, caps)
    return Ended(exit_code, limit, outputs[0] or b"", outputs[1] or b"", files, tuple(refused), seconds)


def _read_files(stream: BinaryIO, collect: Sequence[str], caps: Caps) -> tuple[dict[str, File], list[str]]:
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
    shown = text if text.isprintable() else text.encode("utf-8", "backslashreplace").decode().__repr__()[1:-1]
    return shown if len(shown) <= most else shown[:most] + "..."


def _record(stream: BinaryIO) -> dict[str, Any] | None:
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


def _payload(stream: BinaryIO, size: Any, most: int) -> bytes | None:
    if type(size) is not int or not 0 <= size <= most:
        raise WireError(f"a box announced {printable(str(size))} bytes where at most {most} may come")
    return _exactly(stream, size)


def _exactly(stream: BinaryIO, size: int) -> bytes | None:
    """So many bytes, or None when the stream ends before; never allocates more than has come."""
    chunks = []
    while size:
        chunk = stream.read(min(size, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
