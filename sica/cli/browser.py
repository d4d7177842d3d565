"""`sica trace` on a terminal: agents, their trials, and what happened in one, block by block."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from sica import blocks, report
from sica.blocks import Block, Story
from sica.cli.rows import Piece, Rows, columns, wrapped
from sica.errors import SicaError
from sica.traces import Lines

LINES = 200
"""Lines of one block that are shown at first; so many times ten with every enter on what is left out."""
_OFTEN = 0.2
"""Seconds between two looks at a trace that is read or that grows."""

MARKS = {
    "message": ("»", "dim"),
    "call": ("●", "name"),
    "tool": ("$", "good"),
    "notice": ("⚑", "warn"),
    "trouble": ("!", "bad"),
    "output": ("·", "dim"),
    "box": ("□", "dim"),
    "agent": ("◆", "bold"),
    "other": ("·", ""),
}

HELP = """\
↑ ↓ j k          one row up or down             Enter    open or close
PgUp PgDn space  a page                         l →      open
Ctrl-U Ctrl-D    half a page                    h ←      close, or go to what it belongs to
g G              first, last                    e        open everything, or close everything
/                search in everything           r        raw events of the block
n N              next, previous find            f F      only the next, the previous kind of block
t T              next, previous trial           q Esc    back, and out
"""


@dataclass(frozen=True)
class Choice:
    """A line to choose, and where it leads: to a trace, or to more lines."""

    cells: tuple[str, ...]
    title: str = ""
    """Of its trace."""
    lines: Callable[[], Lines] | None = None
    """Opens its trace; None when none was kept."""
    more: Callable[[], Sequence[Choice]] | None = None
    live: Callable[[], bool] | None = None
    """Whether it is still being written."""
    style: str = ""
    key: str = ""
    """Tells it from others."""


class Line(Static):
    """Text that shows as it is, whoever wrote it."""

    def __init__(self, text: str = "", classes: str = "") -> None:
        super().__init__(Content(report.clean_block(text)), classes=classes)

    def show(self, text: str) -> None:
        self.update(Content(report.clean_block(text)))


class Asking(Screen[None]):
    """What both screens share: a title, rows, a line to search in, and a foot."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search"),
        Binding("n", "find(1)", "next", show=False),
        Binding("N", "find(-1)", "previous", show=False),
        Binding("question_mark", "help", "help"),
        Binding("q,escape", "back", "back"),
    ]
    KEYS = ""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.headline = title
        self.rows = Rows(self.draw)
        self.wanted = ""

    def compose(self) -> ComposeResult:
        yield Line(self.headline, classes="head")
        yield self.rows
        yield Line(HELP, classes="help hidden")
        yield Input(classes="hidden", placeholder="search", select_on_focus=True)
        yield Line(self.KEYS, classes="foot")

    def on_mount(self) -> None:
        self.rows.focus()

    def draw(self, row: int, width: int) -> Sequence[Piece]:
        raise NotImplementedError

    async def find_from(self, step: int) -> bool:
        raise NotImplementedError

    def foot(self, text: str) -> None:
        self.query_one(".foot", Line).show(text)

    def action_help(self) -> None:
        self.query_one(".help").toggle_class("hidden")

    def action_back(self) -> None:
        if self.query_one(Input).has_focus:
            self._end_of_search()
        elif not self.query_one(".help").has_class("hidden"):
            self.action_help()
        elif len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        else:
            self.app.exit()

    def action_search(self) -> None:
        field = self.query_one(Input)
        field.remove_class("hidden")
        field.focus()

    @on(Input.Submitted)
    def _asked(self, event: Input.Submitted) -> None:
        self.wanted = event.value
        self.rows.query_text = event.value
        self._end_of_search()
        self.action_find(1)

    def _end_of_search(self) -> None:
        self.query_one(Input).add_class("hidden")
        self.rows.focus()
        self.rows.refresh()

    def action_find(self, step: int) -> None:
        if self.wanted:
            self._find(step)

    @work(exclusive=True, group="find")
    async def _find(self, step: int) -> None:
        if not await self.find_from(step):
            self.foot(f"not found: {report.clean(self.wanted)}")


class Choosing(Asking):
    """Lines to choose from."""

    KEYS = "Enter open   j k g G move   / search   ? help   q back"

    def __init__(self, title: str, choices: Sequence[Choice]) -> None:
        super().__init__(title)
        self.choices = choices
        cells = [c.cells[:-1] for c in choices]
        self.widths = [min(40, max(map(report.cells, column))) for column in zip(*cells, strict=True)]

    def on_mount(self) -> None:
        super().on_mount()
        self.rows.grown(len(self.choices))

    def draw(self, row: int, width: int) -> Sequence[Piece]:
        choice = self.choices[row]
        return [(choice.style, " " + columns(choice.cells, self.widths, width - 1))]

    async def find_from(self, step: int) -> bool:
        order = range(self.rows.cursor + step, len(self.choices) if step > 0 else -1, step)
        wanted = self.wanted.casefold()
        found = next((n for n in order if wanted in " ".join(self.choices[n].cells).casefold()), None)
        if found is not None:
            self.rows.go(found)
        return found is not None

    @on(Rows.Chosen)
    def _chosen(self) -> None:
        if not self.choices:
            return
        choice = self.choices[self.rows.cursor]
        if choice.more is not None:
            self.app.push_screen(Choosing(choice.title, choice.more()))
        elif choice.lines is None:
            self.foot("no trace was kept of this one")
        else:
            self.app.push_screen(Reading(self.choices, self.rows.cursor))


@dataclass(slots=True)
class Shown:
    """A block whose text is open."""

    lines: list[str]
    left_out: str


class Reading(Asking):
    """One trace."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l,right", "open", "open", show=False),
        Binding("h,left", "close", "close", show=False),
        Binding("e", "everything", "everything"),
        Binding("f", "filter(1)", "filter"),
        Binding("F", "filter(-1)", "filter", show=False),
        Binding("r", "raw", "raw"),
        Binding("t", "trial(1)", "next trial"),
        Binding("T", "trial(-1)", "previous trial", show=False),
    ]
    KEYS = "Enter open   / search   n N   f filter   e everything   r raw   t next trial   ? help   q back"

    def __init__(self, choices: Sequence[Choice], at: int, *, at_the_end: bool = False) -> None:
        super().__init__(choices[at].title)
        self.choices, self.at = choices, at
        self.follows = at_the_end
        self.story = Story()
        self.laid: list[tuple[int, int]] = []
        """Of every row: the block, and the line of its text, -1 for its head."""
        self.shown: dict[int, Shown] = {}
        self.opened: set[int] = set()
        """Sub-agents that are open."""
        self.rawly: set[int] = set()
        self.kind = ""
        self.state = "reading"
        self.wide = 80

    def on_mount(self) -> None:
        super().on_mount()
        open_lines = self.choices[self.at].lines
        assert open_lines is not None
        try:
            self.lines = open_lines()
        except SicaError as error:
            self.state = report.clean(str(error))
            self._tell()
            return
        self._load(self.lines)

    def on_unmount(self) -> None:
        if hasattr(self, "lines"):
            self.lines.close()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    @work(thread=True, exclusive=True, group="load")
    def _load(self, lines: Lines) -> None:
        """In a thread of its own, so that a trace of any size is there at once and keys answer."""
        told = time.monotonic()
        state = ""
        try:
            for number, event in enumerate(lines.more()):
                self.story.take(number, event)
                if time.monotonic() - told > _OFTEN:
                    self.app.call_from_thread(self._grown)
                    told = time.monotonic()
        except SicaError as error:
            state = report.clean(str(error))
        except ValueError:
            return  # the screen was left and its file closed
        self.app.call_from_thread(self._read, state)

    def _read(self, state: str) -> None:
        live = self.choices[self.at].live
        self.state = state or ("live" if live and live() else "")
        self._grown()
        if self.state == "live":
            self._timer = self.set_interval(_OFTEN, self._poll)

    def _poll(self) -> None:
        """A bit of what was written meanwhile; the rest at the next look."""
        live = self.choices[self.at].live
        ended = "" if live is not None and live() else "ended"  # asked before the last lines are read
        before, until = len(self.lines), time.monotonic() + 0.05
        try:
            for event in self.lines.more():
                self.story.take(len(self.lines) - 1, event)
                if time.monotonic() > until:
                    ended = ""
                    break
        except SicaError as error:
            ended = report.clean(str(error))
        if ended:
            self.state = ended
            self._timer.stop()
        if ended or len(self.lines) > before:
            self._grown()

    def _grown(self) -> None:
        end = self.follows or (bool(self.laid) and self.rows.at_the_end and self.state == "live")
        self._lay_out(end=end)

    # ── rows ──────────────────────────────────────────────────────────────────────────────────────

    def _lay_out(self, *, block: int | None = None, line: int = -1, end: bool = False) -> None:
        """The rows anew; the cursor stays at its block, or goes to this one."""
        here = self._here()
        self.laid = [row for root in list(self.story.roots) for row in self._rows_of(root)]
        if block is None and here is not None:
            block, line = here
        cursor = self._row(block, line) if block is not None else None
        self.rows.grown(len(self.laid), len(self.laid) - 1 if end else cursor)
        self._tell()

    def _rows_of(self, number: int) -> Iterator[tuple[int, int]]:
        block = self.story.blocks[number]
        if block.kind == "agent":
            if not self.kind or self.kind == "agent":
                yield number, -1
            if number in self.opened or self.kind:
                for child in list(block.children):
                    yield from self._rows_of(child)
        elif not self.kind or block.kind == self.kind:
            yield number, -1
            if (shown := self.shown.get(number)) is not None:
                yield from ((number, n) for n in range(len(shown.lines) + bool(shown.left_out)))

    def _here(self) -> tuple[int, int] | None:
        return self.laid[self.rows.cursor] if self.rows.cursor < len(self.laid) else None

    def _row(self, block: int, line: int) -> int | None:
        """Of the line of the block, else of its head, else nothing."""
        if not self.laid:
            return None
        try:
            return self.laid.index((block, line))
        except ValueError:
            return next((n for n, (b, _) in enumerate(self.laid) if b >= block), len(self.laid) - 1)

    def draw(self, row: int, width: int) -> Sequence[Piece]:
        number, line = self.laid[row]
        block = self.story.blocks[number]
        indent = " " * (1 + 2 * min(block.depth, 10))
        if line < 0:
            return self._head(number, block, indent, width)
        shown = self.shown[number]
        if line >= len(shown.lines):
            return [("name", f"{indent}    {shown.left_out}")]
        return [("", f"{indent}    "), ("dim" if block.kind == "output" else "", shown.lines[line])]

    def _head(self, number: int, block: Block, indent: str, width: int) -> Sequence[Piece]:
        is_open = number in self.opened or number in self.shown
        sign, style = MARKS[block.kind]
        facts = _facts(block, width)
        room = max(10, width - len(indent) - 5 - len(facts))
        head = f"{block.head}  (waiting)" if block.open and self.state == "live" else block.head
        if block.kind == "agent":
            head = f"{block.head}  {report.plural(block.calls, 'call')}"
        text = report.pad(report.cut(report.clean(head), room), room)
        words = "" if block.kind in ("call", "tool", "message") else style
        opener = "▾ " if is_open else "▸ "
        return [("dim", indent + opener), (style, f"{sign} "), (words, text), ("dim", facts)]

    def _text(self, number: int, most: int) -> Shown:
        block = self.story.blocks[number]
        events = [self.lines.event(n) for n in block.events]
        if number in self.rawly:
            text = "\n".join(json.dumps(e, indent=2, ensure_ascii=False) for e in events)
        else:
            text = blocks.body(block, events)
        width = max(20, self.rows.size.width - 7 - 2 * min(block.depth, 10))
        part = report.clean_block(text[: most * width])
        lines: list[str] = []
        taken = 0
        for line in wrapped(part, width):
            if len(lines) == most:
                break
            lines.append(line)
            taken += len(line) + 1
        rest = len(text) - taken
        cut = len(lines) == most or len(text) > most * width
        left_out = (
            f"… {rest:,} more characters: Enter shows more, r all of it raw" if cut and rest > 0 else ""
        )
        return Shown(lines or ["(nothing)"], left_out)

    # ── keys ──────────────────────────────────────────────────────────────────────────────────────

    @on(Rows.Moved)
    def _moved(self) -> None:
        self.follows = False
        self._tell()

    @on(Rows.Chosen)
    def _chosen(self) -> None:
        if (here := self._here()) is None:
            return
        number, line = here
        shown = self.shown.get(number)
        if shown is not None and line >= len(shown.lines):
            self.shown[number] = self._text(number, 10 * len(shown.lines))
            self._lay_out(block=number, line=line)
        elif number in self.opened or number in self.shown:
            self.action_close()
        else:
            self.action_open()

    def action_open(self) -> None:
        if (here := self._here()) is not None:
            number = here[0]
            self._open(number)
            self._lay_out()
            shown = self.shown.get(number)
            self.rows.show_below(len(shown.lines) if shown else len(self.story.blocks[number].children))

    def _open(self, number: int) -> None:
        if self.story.blocks[number].kind == "agent":
            self.opened.add(number)
        elif number not in self.shown:
            self.shown[number] = self._text(number, LINES)

    def action_close(self) -> None:
        """Close the block; what is closed already leads to what it belongs to."""
        if (here := self._here()) is None:
            return
        number = here[0]
        if number in self.opened or number in self.shown:
            self.opened.discard(number)
            self.shown.pop(number, None)
            self.rawly.discard(number)
        else:
            parent = self.story.blocks[number].parent
            number = number if parent is None else parent
        self._lay_out(block=number)

    def action_everything(self) -> None:
        """Open all that there is, from the top, while keys go on to answer; once more closes it."""
        if self.shown or self.opened:
            self.workers.cancel_group(self, "everything")
            self.shown.clear()
            self.opened.clear()
            self.rawly.clear()
            self._lay_out()
        else:
            self._open_everything()

    @work(exclusive=True, group="everything")
    async def _open_everything(self) -> None:
        told = time.monotonic()
        for number in range(len(self.story.blocks)):
            self._open(number)
            if time.monotonic() - told > 0.05:
                self._lay_out()
                await asyncio.sleep(0.02)
                told = time.monotonic()
        self._lay_out()

    def action_raw(self) -> None:
        """The block's own events, as JSON, and back."""
        if (here := self._here()) is not None and self.story.blocks[here[0]].kind != "agent":
            self.rawly.symmetric_difference_update({here[0]})
            self.shown[here[0]] = self._text(here[0], LINES)
            self._lay_out(block=here[0])

    def action_filter(self, step: int) -> None:
        """Only blocks of one kind: of those that this trace has."""
        there = {block.kind for block in list(self.story.blocks)}
        kinds = ["", *(kind for kind in blocks.KINDS if kind in there)]
        self.kind = kinds[(kinds.index(self.kind) + step) % len(kinds)]
        self._lay_out()

    def action_trial(self, step: int) -> None:
        at = self.at + step
        while 0 <= at < len(self.choices) and self.choices[at].lines is None:
            at += step
        if 0 <= at < len(self.choices):
            self.app.switch_screen(Reading(self.choices, at))
        else:
            self.foot("this is the last one" if step > 0 else "this is the first one")

    async def find_from(self, step: int) -> bool:
        """Look through everything, also what is closed, block by block; keys go on to answer."""
        wanted, here = self.wanted.casefold(), self._here()
        raw = json.dumps(self.wanted)[1:-1].lower().encode()
        order = list(self._in_order(self.story.roots))
        at = order.index(here[0]) if here and here[0] in order else 0
        for looked, number in enumerate(order[at + 1 :] if step > 0 else reversed(order[:at])):
            if self._says(number, raw, wanted):
                self._reveal(number)
                return True
            if looked % 200 == 199:
                await asyncio.sleep(0)
        return False

    def _in_order(self, numbers: Sequence[int]) -> Iterator[int]:
        for number in numbers:
            yield number
            yield from self._in_order(self.story.blocks[number].children)

    def _says(self, number: int, raw: bytes, wanted: str) -> bool:
        block = self.story.blocks[number]
        if wanted in block.head.casefold():
            return True
        if not any(raw in self.lines[n].lower() for n in block.events):
            return False  # most lines are never parsed again
        return wanted in blocks.body(block, [self.lines.event(n) for n in block.events]).casefold()

    def _reveal(self, number: int) -> None:
        above = self.story.blocks[number].parent
        while above is not None:
            self.opened.add(above)
            above = self.story.blocks[above].parent
        if self.kind and self.story.blocks[number].kind != self.kind:
            self.kind = ""
        self._open(number)
        wanted = self.wanted.casefold()
        shown = self.shown.get(number)
        line = next(
            (n for n, text in enumerate(shown.lines if shown else ()) if wanted in text.casefold()), -1
        )
        self._lay_out(block=number, line=line)

    def on_resize(self) -> None:
        width = self.size.width
        if width != self.wide and self.shown:
            for number, shown in list(self.shown.items()):
                self.shown[number] = self._text(number, max(LINES, len(shown.lines)))
            self._lay_out()
        self.wide = width

    def _tell(self) -> None:
        total = self.story.total
        sums = [
            report.plural(total.calls, "call"),
            f"{report.count(total.tokens)} tokens" if total.tokens else "",
            report.money(total.usd) if total.usd else "",
            report.duration(total.seconds),
            self.state,
        ]
        self.query_one(".head", Line).show(f"{self.headline}   {'  '.join(s for s in sums if s)}")
        only = f"only {self.kind}: {blocks.KINDS[self.kind]}   " if self.kind else ""
        looked = f"/{report.clean(self.wanted)}   " if self.wanted else ""
        here = self._here()
        at = f"{here[0] + 1}/{len(self.story.blocks)}   " if here else ""
        self.foot(f"{at}{looked}{only}{self.KEYS}")


def _facts(block: Block, width: int) -> str:
    """Tokens, cost, time, and when, in columns; in a narrow terminal fewer of them."""
    parts = [
        (f"{report.count(block.tokens)} tok" if block.tokens else "", 10, 60),
        (report.money(block.usd) if block.usd else "", 7, 90),
        (report.duration(block.seconds) if block.seconds >= 0.5 else "", 7, 90),
        (f"+{report.duration(block.at)}", 8, 50),
    ]
    return "".join(report.pad(text, column, ">") for text, column, least in parts if width >= least)


class Browser(App[None]):
    """Nothing that agents wrote is read as markup: all of it is drawn as text."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "suspend", show=False),
    ]
    CSS = """
    Screen { background: $background; }
    .head { height: 1; width: 1fr; background: $panel; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    .foot { height: 1; width: 1fr; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    .help { height: auto; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: clip; }
    .hidden { display: none; }
    Rows { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    Input { height: 1; border: none; padding: 0; }
    Input:focus { border: none; }
    """

    def __init__(
        self, title: str, choices: Sequence[Choice], *, at: int | None = None, end: bool = False
    ) -> None:
        """`at`: the choice whose trace is shown at once; `end`: from its end."""
        super().__init__()
        self._first = partial(Choosing, title, choices)
        self._trace = partial(Reading, choices, at, at_the_end=end) if at is not None else None

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit)  # a killed browser gives the terminal back, too
        self.push_screen(self._first())
        if self._trace is not None:
            self.push_screen(self._trace())


def browse(title: str, choices: Sequence[Choice], *, at: int | None = None, end: bool = False) -> None:
    """Raises SystemExit with its code when it ends by a fault, which it has told."""
    app = Browser(title, choices, at=at, end=end)
    app.run()
    if app.return_code:
        raise SystemExit(app.return_code)
