"""What happened inside boxes, as files: written as it happens, then compressed and named by content."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import re
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sica.errors import StoreError, UsageError, no_such

LIMIT = 256 * 1024 * 1024
"""Bytes of one trace; past it an event keeps its kind and its size, so that no box can fill the disk."""

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_NAME = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_BLOCK = 1 << 20


class Traces:
    """The traces of one store; `root` is `.sica/traces`."""

    def __init__(self, root: Path, *, limit: int = LIMIT) -> None:
        self.root = root
        self._open = root / "open"
        self._limit = limit

    def open(self, session: str) -> OpenTrace:
        if not _SESSION.fullmatch(session):
            raise UsageError(
                f"a session cannot be called {session!r}: letters, digits, '.', '_' and '-' only"
            )
        self._open.mkdir(parents=True, exist_ok=True)
        try:
            return OpenTrace(self, self._open / f"{session}.jsonl", self._limit)
        except FileExistsError:
            raise StoreError(
                f"there is an open trace of session {session} already",
                "`sica doctor --fix` closes what was left",
            ) from None

    def read(self, name: str) -> Iterator[dict[str, Any]]:
        """Events of a closed trace (sha256:…, or a prefix that is unique) or of an open session, in order.

        Raises StoreError when the bytes are not those that the name promises.
        """
        path = self.find(name)
        if path.parent == self._open:
            yield from _events(_complete_lines(path), name)
            return
        digest = hashlib.sha256()
        try:
            with gzip.open(path, "rb") as file:
                yield from _events(_hashed(file, digest), name)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(name, str(error)) from error
        if digest.hexdigest() != _digest_of(path):
            raise _damaged(name, "its bytes have another hash than its name")

    def lines(self, name: str) -> Lines:
        """A trace's lines for reading here and there; of an open session also those that are still to come."""
        path = self.find(name)
        if path.parent == self._open:
            return Lines(name, path.open("rb"))
        return Lines(name, gzip.open(path, "rb"), _digest_of(path))

    def at_work(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Sessions whose trace is open, with its first event, in the order in which they were opened.

        A killed sica leaves traces open until the next run: ask whether one is going.
        """
        began = []
        for path in self._open.glob("*.jsonl"):
            try:
                event = next(_events(_complete_lines(path), path.stem), None)
            except FileNotFoundError:
                continue  # closed meanwhile
            if event is not None:
                began.append((float(event.get("ts", 0.0)), path.stem, event))
        yield from ((session, event) for _, session, event in sorted(began, key=lambda b: b[:2]))

    def is_open(self, session: str) -> bool:
        """Whether the session's trace may still grow."""
        return (self._open / f"{session}.jsonl").exists()

    def find(self, name: str) -> Path:
        """The file of a trace, by session while open, by content or unique prefix once closed."""
        if _SESSION.fullmatch(name) and (path := self._open / f"{name}.jsonl").exists():
            return path
        match = _NAME.fullmatch(name)
        found = self._matching(match[1]) if match else []
        if len(found) > 1:
            raise UsageError(f"{name!r} could be any of {len(found)} traces", "type more of its name")
        if not found:
            raise no_such("trace", name, [])
        return found[0]

    def _matching(self, digest: str) -> list[Path]:
        if len(digest) == 64:
            path = self._path(digest)
            return [path] if path.exists() else []
        folder, rest = digest[:2], digest[2:]
        return sorted(self.root.glob(f"{folder:?<2}/{rest}*.jsonl.gz"))

    def _path(self, digest: str) -> Path:
        return self.root / digest[:2] / f"{digest[2:]}.jsonl.gz"

    def sweep(self) -> Sequence[str]:
        """Close the traces that a killed sica left open; names of those closed.

        A trace of a sica that lives is left alone: its writer holds a lock that dies with the process.
        """
        return [name for path in sorted(self._open.glob("*.jsonl")) if (name := self._adopt(path))]

    def _adopt(self, path: Path) -> str:
        try:
            trace = OpenTrace(self, path, self._limit, adopt=True)
        except BlockingIOError:
            return ""
        return trace.close()

    def keep(self, path: Path) -> str:
        """Compress a finished file into the store under the hash of its bytes; durable when it returns."""
        with path.open("rb") as source:
            handle, temporary = tempfile.mkstemp(dir=self.root, prefix=".closing-")
            try:
                with os.fdopen(handle, "wb") as target:
                    digest = _compress(source, target)
                place = self._path(digest)
                place.parent.mkdir(exist_ok=True)
                Path(temporary).replace(place)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        _sync(place.parent)
        _sync(self.root)
        return f"sha256:{digest}"

    def attach(self, data: bytes) -> str:
        """Keep a file beside the traces as it is, under the hash of its bytes; its path below `root`."""
        digest = hashlib.sha256(data).hexdigest()
        place = self.root / digest[:2] / f"{digest[2:]}.native.gz"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.root, prefix=".closing-")
            with os.fdopen(handle, "wb") as target:
                _compress(io.BytesIO(data), target)
            Path(temporary).replace(place)
        return place.relative_to(self.root).as_posix()


class Lines:
    """The lines of one trace by number. What was read stands in a file without a name, not in memory."""

    def __init__(self, name: str, source: Any, digest: str = "") -> None:
        """`digest`: of a closed trace, which is complete; an open one grows."""
        self._name, self._source, self._digest = name, source, digest
        self._kept = tempfile.TemporaryFile() if digest else source  # noqa: SIM115 - closed by close
        self._ends = [0]
        self._seen = hashlib.sha256()
        self._lock = threading.Lock()  # one position in the file, and one thread reads while another shows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        start, end = self._ends[number], self._ends[number + 1]
        with self._lock:
            self._kept.seek(start)
            return bytes(self._kept.read(end - start))

    def event(self, number: int) -> dict[str, Any]:
        return next(_events(iter([self[number]]), self._name))

    def more(self) -> Iterator[dict[str, Any]]:
        """The events of lines not seen yet, each after its line can be asked for; none for now when it is open.

        Raises StoreError when a closed trace's bytes are not those that its name promises.
        """
        try:
            while line := self._next():
                yield next(_events(iter([line]), self._name))
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(self._name, str(error)) from error
        if self._digest and self._seen.hexdigest() != self._digest:
            raise _damaged(self._name, "its bytes have another hash than its name")

    def _next(self) -> bytes:
        with self._lock:
            if not self._digest:
                self._source.seek(self._ends[-1])
            line: bytes = self._source.readline()
            if not self._digest and not line.endswith(b"\n"):
                return b""  # still being written
            if self._digest:
                self._seen.update(line)
                self._kept.seek(self._ends[-1])
                self._kept.write(line)
            if line:
                self._ends.append(self._ends[-1] + len(line))
            return line

    def close(self) -> None:
        with self._lock:
            self._source.close()
            self._kept.close()


class OpenTrace:
    """One trace that is being written: a ports.Trace. Safe to use from several threads."""

    def __init__(self, traces: Traces, path: Path, limit: int, *, adopt: bool = False) -> None:
        self.store, self._path, self._limit = traces, path, limit
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._seq = 0
        self._size = 0
        self._name = ""
        flags = os.O_RDWR | os.O_APPEND | (0 if adopt else os.O_CREAT | os.O_EXCL)
        self._fd = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._fd)
            raise
        if adopt:
            self._take_over()

    def _take_over(self) -> None:
        """A killed writer may have stopped in the middle of a line: keep what it wrote as text."""
        written = self._path.read_bytes()
        whole, _, torn = written.rpartition(b"\n")
        self._seq = whole.count(b"\n") + 1 if whole else 0
        self._size = len(written) - len(torn)
        os.ftruncate(self._fd, self._size)
        self.event("swept", torn=torn.decode(errors="backslashreplace"))

    def event(self, kind: str, /, **data: Any) -> None:
        """One line in one write, whatever bytes the data holds; a full disk is a StoreError."""
        with self._lock:
            self._write(kind, data)

    def message(self, body: Mapping[str, Any]) -> str:
        """The message's hash; its body is written once, before the first event that names it."""
        name = hashlib.sha256(_json(body, sort_keys=True).encode()).hexdigest()
        with self._lock:
            if name not in self._known:
                self._known.add(name)
                self._write("message", {"hash": name, "body": body})
        return name

    def _write(self, kind: str, data: Mapping[str, Any]) -> None:
        if self._name:
            raise StoreError(f"trace {self._name} is closed: nothing can be added")
        own = {"ts": round(time.time(), 6), "seq": self._seq, "type": kind}
        line = (_json({**own, **data, **own}) + "\n").encode()
        if self._size + len(line) > self._limit:
            line = (_json({**own, "omitted": len(line), **_names(data)}) + "\n").encode()
        try:
            _write_all(self._fd, line)
        except OSError as error:
            raise StoreError(f"cannot write the trace {self._path}: {error.strerror}") from error
        self._seq += 1
        self._size += len(line)

    def close(self) -> str:
        """Compress, name by content, and return the name: sha256:<hex>. Once closed it only says the name."""
        with self._lock:
            if self._name:
                return self._name
            try:
                os.fsync(self._fd)
                self._name = self.store.keep(self._path)
                self._path.unlink()
            except OSError as error:
                raise StoreError(f"cannot close the trace {self._path}: {error.strerror}") from error
            os.close(self._fd)  # last: while the file exists its lock says that somebody cares for it
            return self._name


def _json(value: Any, *, sort_keys: bool = False) -> str:
    """JSON of anything: escapes keep lone surrogates and NULs, and what is no JSON becomes text."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_cleaned(value), separators=(",", ":"), sort_keys=sort_keys)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="backslashreplace")
    if isinstance(value, Mapping):
        return dict(value)
    return repr(value)


def _cleaned(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else repr(value)
    if depth > 100:
        return "(nested too deeply)"
    if isinstance(value, Mapping):
        return {str(key): _cleaned(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item, depth + 1) for item in value]
    return _plain(value)


def _names(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: data[key] for key in ("call", "hash") if key in data}


def _write_all(fd: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:  # a write can be cut short by a full disk or a signal; the usual line goes in one
        rest = rest[os.write(fd, rest) :]


def _compress(source: Any, target: Any) -> str:
    digest = hashlib.sha256()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=target, mtime=0) as packed:
        while block := source.read(_BLOCK):
            digest.update(block)
            packed.write(block)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _complete_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file that is still growing; the one being written is not there yet."""
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


def _hashed(file: Any, digest: Any) -> Iterator[bytes]:
    for line in file:
        digest.update(line)
        yield line


def _events(lines: Iterator[bytes], name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _damaged(name, f"line {number} is not JSON") from error
        if not isinstance(event, dict):
            raise _damaged(name, f"line {number} is not an event")
        yield event


def _digest_of(path: Path) -> str:
    return path.parent.name + path.name.removesuffix(".jsonl.gz")


def _damaged(name: str, why: str) -> StoreError:
    return StoreError(
        f"trace {name} is damaged: {why}", "its scores are kept; restore the file from a backup"
    )
