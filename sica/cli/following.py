"""One agent at work, followed: what it says and does as lines that stay, and below them what goes on right now."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sica import blocks, report
from sica.blocks import Block, Story
from sica.cli.picture import Piece, one_line
from sica.cli.progress import typed_on
from sica.cli.signals import tell
from sica.cli.terminal import Size, Terminal, in_front
from sica.model import Budget
from sica.ports import Trace

RESULT, WORDS = 3, 12
"""Lines that are shown of a tool's result, and of what a model says."""
ROWS = 4
"""Things under way that are drawn."""


class Following:
    """The lines of one box's dialogue, from its trace as it is written. Safe from any thread."""

    def __init__(self, look: report.Look, say: Callable[[str], None]) -> None:
        self.story = Story()
        self.session = ""
        self.answer = ""
        """The last that the agent itself said: its words, or what it handed to its last tool."""
        self.read = ""
        """The last of the agent's own words that were shown whole."""
        self.unheard: list[str] = []
        """What was typed and has not reached the agent."""
        self._look, self._say = look, say
        self._events: list[Mapping[str, Any]] = []
        self._hashes: set[str] = set()
        self._waiting: list[int] = []
        self._known = 0
        self._last: int | None = None
        self._lock, self._turn = threading.RLock(), threading.RLock()

    def opening(self, open_trace: Callable[[str], Trace]) -> Callable[[str], Trace]:
        """What is put around what opens traces; only the box that was announced is followed."""

        def opened(session: str) -> Trace:
            trace = open_trace(session)
            return _Followed(trace, self) if session == self.session else trace

        return opened

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        with self._turn:  # lines come in the order of events; what draws waits only for the lock within
            with self._lock:
                lines = list(self._take({**data, "type": kind, "ts": time.time()}))
            for line in lines:
                self._say(line)

    def once(self, name: str, body: Mapping[str, Any]) -> None:
        """A message of the dialogue; requests repeat nearly all of them."""
        if name not in self._hashes:
            self._hashes.add(name)
            self.take("message", {"hash": name, "body": body})

    def typed(self, text: str) -> None:
        with self._lock:
            self.unheard.append(text)

    def under_way(self) -> list[Block]:
        with self._lock:
            return [block for at in self._waiting if (block := self.story.blocks[at]).open]

    # ── lines ─────────────────────────────────────────────────────────────────────────────────────

    def _take(self, event: Mapping[str, Any]) -> Iterator[str]:
        self._events.append(event)
        self.story.take(len(self._events) - 1, event)
        if event["type"] == "notice" and event.get("text") in self.unheard:
            self.unheard.remove(str(event["text"]))
        if event["type"] == "response":
            self._answered(event)
        self._waiting += range(self._known, len(self.story.blocks))
        self._known = len(self.story.blocks)
        ready, self._waiting = self._waiting, []
        for at in ready:
            if self.story.blocks[at].open:
                self._waiting.append(at)
            else:
                yield from self._lines(self.story.blocks[at])

    def _answered(self, event: Mapping[str, Any]) -> None:
        """Sub-agents answer whom they work for."""
        newest = next((b for b in reversed(self.story.blocks) if len(self._events) - 1 in b.events), None)
        if newest is None or newest.parent is not None:
            return
        for message in blocks.answers(event.get("body")):
            handed = [value for call in blocks.tool_calls(message) for value in blocks.handed(call)]
            said = blocks.words(message).strip() or "\n".join(handed)
            self.answer = report.clean_block(said).strip() or self.answer

    def _lines(self, block: Block) -> Iterator[str]:
        events = [self._events[n] for n in block.events]
        indent = "  " * block.depth
        look, width = self._look, max(20, self._look.width - 1 - len(indent))
        shown = list(self._shown(block, events))
        if not shown:
            return
        if block.parent != self._last:
            self._last = block.parent
            if block.parent is not None:
                above = self.story.blocks[block.parent]
                yield "  " * above.depth + look.paint("bold", report.cut(f"+ {above.head}", width))
        for style, text in shown:
            line = report.cut(text, width, look.glyphs.more)
            yield indent + (look.paint(style, line) if style else line)

    def _shown(self, block: Block, events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
        """Style and text of a block's lines, cleaned."""
        match block.kind:
            case "tool":
                took = f"   {report.duration(block.seconds)}" if block.seconds >= 1 else ""
                yield "name", f"{self._look.glyphs.now} {block.head}{took}"
                told = [e["body"] for e in events if e.get("type") == "message" and "body" in e]
                for line in self._folded("\n".join(blocks.content(body) for body in told), RESULT):
                    yield "dim", "    " + line
            case "call":
                text = report.clean_block(blocks.body(block, events)).strip()
                lines = list(self._folded(text, WORDS))
                self.read = text if block.parent is None and len(lines) <= WORDS else self.read
                yield from (("", line) for line in lines)
            case "message" if not self._is_brief(block):
                for line in self._folded(block.head, 1):
                    yield "dim", line
            case "notice" | "trouble":
                yield "warn", block.head

    def _is_brief(self, block: Block) -> bool:
        """What the agent begins with: its own prompt, and the request that somebody has just typed."""
        first = block.parent is None and not self.story.total.calls
        return first or block.head.startswith("system:")

    def _folded(self, text: str, most: int) -> Iterator[str]:
        lines = [line.expandtabs(4) for line in report.clean_block(text).splitlines() if line.strip()]
        yield from lines[:most]
        if len(lines) > most:
            yield f"{self._look.glyphs.more} {report.plural(len(lines) - most, 'more line')}"


class _Followed:
    """A ports.Trace that tells who follows what it writes, once it is written."""

    def __init__(self, trace: Trace, following: Following) -> None:
        self._trace, self._following = trace, following

    def event(self, kind: str, /, **data: Any) -> None:
        self._trace.event(kind, **data)
        self._following.take(kind, data)

    def message(self, body: Mapping[str, Any]) -> str:
        name = self._trace.message(body)
        self._following.once(name, body)
        return name

    def close(self) -> str:
        return self._trace.close()


# ── what is drawn ─────────────────────────────────────────────────────────────────────────────────


class View:
    """What goes on right now, what is used of what, and the line that is being typed."""

    def __init__(
        self,
        following: Following,
        look: report.Look,
        budget: Budget,
        send: Callable[[str], None] | None,
    ) -> None:
        """`budget`: of this box, its seconds among it. `send`: what becomes of a typed line; None: nobody types."""
        self._following, self._look, self._budget, self._send = following, look, budget, send
        self._began = time.time()
        self.text = self.note = ""

    def lines(self, size: Size) -> Sequence[str]:
        width, height = max(1, size[0] - 1), max(1, size[1] - 1)
        foot = [one_line(self._status(), width, self._look)]
        if self._send is not None or self.note:
            foot.append(one_line(self._input(width), width, self._look))
        rows = [one_line(pieces, width, self._look) for pieces in self._rows()]
        return [*rows, *foot][-height:]

    def _rows(self) -> Iterator[Sequence[Piece]]:
        now, going = time.time() - self._began, self._following.under_way()
        for block in going[:ROWS]:
            head = "the model" if block.kind == "call" else block.head
            yield [
                Piece("  " * min(block.depth, 8)),
                Piece(f"{self._look.glyphs.now} ", "name"),
                Piece(f"{report.duration(now - block.at)}  ", "dim"),
                Piece(head, "name"),
            ]
        if len(going) > ROWS:
            yield [Piece(f"  {len(going) - ROWS} more", "dim")]

    def _status(self) -> Sequence[Piece]:
        used, cap = self._following.story.total, self._budget
        passed = time.time() - self._began
        of = f" of {report.duration(cap.seconds)}" if cap.seconds else ""
        dollars = f" of {report.money(cap.usd)}" if cap.usd is not None else ""
        calls = "" if cap.calls is None else f"   {max(0, cap.calls - used.calls)} calls left"
        tokens = "" if cap.tokens is None else f"   {max(0, cap.tokens - used.tokens):,} tokens left"
        return [
            Piece(f"turn {used.calls}", "bold"),
            Piece(f"   {used.tokens:,} tokens", "", 2),
            Piece(f"   {report.money(used.usd)}{dollars}", "", 1),
            Piece(f"   {report.duration(passed)}{of}"),
            Piece(calls, "dim", 3),
            Piece(tokens, "dim", 4),
        ]

    def _input(self, width: int) -> Sequence[Piece]:
        if self.note:
            return [Piece(self.note, "warn")]
        if not self.text:
            return [
                Piece("> ", "name"),
                Piece("type to the agent; Ctrl-C asks it to finish", "dim"),
            ]
        text = report.clean(self.text.replace(" ", "\u00a0")).replace("\u00a0", " ")
        while report.cells(text) > max(1, width - 3):
            text = text[1:]
        return [Piece("> ", "name"), Piece(text + "_")]

    def key(self, key: str) -> None:
        match key:
            case "\r" | "\n":
                text, self.text = self.text.strip(), ""
                if text and self._send is not None:
                    self._send(text)
            case "\x7f" | "\b":
                self.text = self.text[:-1]
            case "\x15":
                self.text = ""
            case "\x17":
                self.text = self.text.rstrip().rpartition(" ")[0]
            case _ if key.isprintable():
                self.text += key

    def interrupted(self, words: str) -> None:
        self.note = words.strip()


class Shown:
    """How somebody follows: a picture, or nothing but the lines."""

    def __init__(self, view: View | None, terminal: Terminal | None) -> None:
        self.view, self._terminal = view, terminal

    def interrupted(self, words: str) -> None:
        if self.view is None:
            tell(words)
        else:
            self.view.interrupted(words)

    def abandoned(self) -> None:
        """The process ends at once, so nobody else gives the terminal back."""
        if self._terminal is not None:
            self._terminal.leave()


@contextmanager
def shown(
    following: Following, *, live: bool, look: report.Look, budget: Budget, send: Callable[[str], None]
) -> Iterator[Shown]:
    """While inside, the picture stands below the lines, if there is somebody who looks."""
    if not (live and in_front(sys.stderr.fileno())):
        yield Shown(None, None)
        return
    keys = sys.stdin.fileno() if typed_on() else None
    view = View(following, look, budget, send if keys is not None else None)
    terminal = Terminal(view, 2, keys, sys.stderr.encoding)
    with terminal.drawing():
        yield Shown(view, terminal)
