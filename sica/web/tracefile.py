"""Pages of one trace, never the whole file: lines are found once, and read again only for the page that is shown."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import threading
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sica.errors import StoreError
from sica.report import clean, clean_block
from sica.traces import Traces
from sica.web.blocks import LONGEST, SHORT, Assembler, Block, Span, parts, shown

PAGE = 200
OPEN_FILES = 16
"""Traces kept at hand; the one that was asked for longest ago goes first."""
RAW = 200_000
"""Characters of a block's events that are shown as they are."""
_MEMORY = 8 << 20
"""Bytes of an unpacked trace kept in memory; more goes into a file that nobody sees."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page of what."""

    page: int = 0
    at: float | None = None
    kinds: frozenset[str] = frozenset()
    words: str = ""
    span: int | None = None


class TraceFile:
    """One trace: its lines by offset, and the blocks they make. A trace that grows is read on."""

    def __init__(self, name: str, file: BinaryIO, *, growing: bool) -> None:
        self.name, self.growing = name, growing
        self.made = Assembler()
        self.size = 0
        self._file = file
        self._offsets: list[int] = []
        self._lock = threading.RLock()
        self.refresh()

    @classmethod
    def of(cls, traces: Traces, name: str) -> TraceFile:
        """Raises UsageError for one that is not there, StoreError for one whose bytes are not what its name says."""
        path = traces.find(name)
        if path.suffix == ".jsonl":
            return cls(path.stem, path.open("rb"), growing=True)
        return cls(
            "sha256:" + path.parent.name + path.name.removesuffix(".jsonl.gz"), _unpacked(path), growing=False
        )

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        self._file.close()  # nobody can say who of those that asked is the last to read from it

    def refresh(self) -> None:
        """Read the whole lines that came since the last time."""
        with self._lock:
            self._file.seek(self.size)
            for line in self._file:
                if not line.endswith(b"\n"):
                    break
                self._offsets.append(self.size)
                self.size += len(line)
                self.made.feed(_event(line), len(self._offsets) - 1)

    @property
    def alive(self) -> bool:
        """Whether it is still in its place: a closed trace has another name."""
        return self.growing and os.fstat(self._file.fileno()).st_nlink > 0

    def event(self, line: int) -> dict[str, Any]:
        return _event(self.line(line))

    def line(self, number: int) -> bytes:
        with self._lock:
            end = self._offsets[number + 1] if number + 1 < len(self._offsets) else self.size
            self._file.seek(self._offsets[number])
            return self._file.read(end - self._offsets[number])

    def lines(self) -> Iterator[tuple[bytes, int]]:
        """Each line and the offset behind it."""
        for number in range(len(self._offsets)):
            line = self.line(number)
            yield line, self._offsets[number] + len(line)

    def raw(self) -> Iterator[bytes]:
        """The untouched bytes, in pieces."""
        at = 0
        while at < self.size:
            with self._lock:
                self._file.seek(at)
                piece = self._file.read(min(1 << 20, self.size - at))
            at += len(piece)
            yield piece

    # ── answers ───────────────────────────────────────────────────────────────────────────────────

    def page(self, wanted: Wanted) -> dict[str, Any]:
        with self._lock:
            kept = self._kept(wanted)
            number = wanted.page if wanted.at is None else self._page_of(wanted.at, kept)
            pages = max(1, -(-len(kept) // PAGE))
            number = min(number, pages - 1)
            first = number * PAGE
            made = self.made
            return {
                "name": self.name,
                "open": self.alive,
                "session": made.about.get("session", ""),
                "about": {key: made.about.get(key) for key in _ABOUT},
                "page": number,
                "pages": pages,
                "total": len(kept),
                "all": len(made.blocks),
                "first": first,
                "kinds": dict(made.kinds),
                "totals": {**made.totals, "bytes": self.size},
                "spans": [span_facts(s, made.began, live=self.alive) for s in made.spans],
                "blocks": [self.block(made.blocks[at]) for at in kept[first : first + PAGE]],
            }

    def block(self, block: Block, most: int = SHORT) -> dict[str, Any]:
        return shown(block, [self.event(line) for line in block.lines], self.made.began, most=most)

    def whole(self, e: float) -> dict[str, Any] | None:
        """One block uncut, with its events as they are; None when there is none of that name."""
        with self._lock:
            block = next((b for b in self.made.blocks if b.e == e), None)
            if block is None:
                return None
            lines = b"".join(self.line(line) for line in block.lines).decode(errors="replace")
            return {"block": self.block(block, LONGEST // 2), "raw": lines[:RAW]}

    def _kept(self, wanted: Wanted) -> list[int]:
        spans = self._family(wanted.span) if wanted.span is not None else None
        found = [
            at
            for at, block in enumerate(self.made.blocks)
            if (not wanted.kinds or block.kind in wanted.kinds) and (spans is None or block.span in spans)
        ]
        return (
            [at for at in found if self._says(self.made.blocks[at], wanted.words)] if wanted.words else found
        )

    def _family(self, span: int) -> set[int]:
        family = {span}
        for one in self.made.spans:  # a parent always comes first
            if one.parent in family:
                family.add(one.span)
        return family

    def _says(self, block: Block, words: str) -> bool:
        wanted = words.casefold()
        facts = " ".join(str(block.facts.get(key, "")) for key in ("tool", "role", "model", "why"))
        texts = (text for _, text in parts(block, [self.event(line) for line in block.lines]))
        return wanted in facts.casefold() or any(wanted in text.casefold() for text in texts)

    def _page_of(self, e: float, kept: Sequence[int]) -> int:
        """Blocks stand in the order of their events, but for a message that was said before its call."""
        order = [self.made.blocks[at].e for at in kept]
        if e in order:
            return order.index(e) // PAGE
        return max(0, bisect_right(sorted(order), e) - 1) // PAGE


_ABOUT = ("for", "agent", "task", "attempt", "nth", "role", "model")


def span_facts(span: Span, began: float, *, live: bool) -> dict[str, Any]:
    return {
        "span": span.span,
        "parent": span.parent,
        "label": clean(span.label)[:80],
        "depth": span.depth,
        "first": span.first,
        "last": span.final,
        "blocks": span.blocks,
        "turns": span.turns,
        "tokens": span.tokens,
        "usd": span.usd,
        "at": round(max(0.0, span.at - began), 3),
        "seconds": round(max(0.0, span.until - span.at), 3),
        "open": live and bool(span.pending or span.span == 0),
    }


class Shelf:
    """The traces that were asked for last, open. Any thread may use it."""

    def __init__(self, traces: Traces, closed_as: Callable[[str], str]) -> None:
        """`closed_as`: the name of the closed trace of a session, or ""."""
        self._traces, self._closed_as = traces, closed_as
        self._files: OrderedDict[str, TraceFile] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> TraceFile:
        """By name, or by session, open or closed meanwhile; up to date."""
        with self._lock:
            file = self._files.get(name)
            if file is not None and file.growing and not file.alive and (closed := self._closed_as(name)):
                del self._files[name]
                name, file = closed, self._files.get(closed)
            if file is None:
                file = self._files[name] = self._open(name)
            self._files.move_to_end(name)
            while len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)
        if file.growing:
            file.refresh()
        return file

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _open(self, name: str) -> TraceFile:
        if not name.startswith("sha256:") and not (self._traces.root / "open" / f"{name}.jsonl").exists():
            name = self._closed_as(name) or name
        return TraceFile.of(self._traces, name)


def _event(line: bytes) -> dict[str, Any]:
    """A line that is no event is shown as what it is: one bad line must not hide the others."""
    with suppress(ValueError, RecursionError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {"type": "unreadable", "text": clean_block(line[:SHORT].decode(errors="replace").rstrip())}


def _unpacked(path: Path) -> BinaryIO:
    file = tempfile.SpooledTemporaryFile(max_size=_MEMORY)  # noqa: SIM115 - it is the caller's
    digest = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as packed:
            while piece := packed.read(1 << 20):
                digest.update(piece)
                file.write(piece)
    except (OSError, EOFError, zlib.error) as error:
        file.close()
        raise StoreError(
            f"trace {path.name} is damaged: {error}", "restore the file from a backup"
        ) from error
    if digest.hexdigest() != path.parent.name + path.name.removesuffix(".jsonl.gz"):
        file.close()
        raise StoreError(
            f"trace {path.name} is damaged: its bytes have another hash than its name",
            "restore the file from a backup",
        )
    return file  # type: ignore[return-value]  # a SpooledTemporaryFile is one in all but its declaration
