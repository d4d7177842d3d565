"""Rows of text of which only the seen ones are drawn, however many there are, with the keys of vim and less."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from sica import report

Piece = tuple[str, str]
"""A style of STYLES, and text that shows as it is: nothing here reads markup."""

STYLES = {
    "": Style(),
    "dim": Style(dim=True),
    "name": Style(color="cyan"),
    "bold": Style(bold=True),
    "good": Style(color="green"),
    "bad": Style(color="red"),
    "warn": Style(color="yellow", bold=True),
    "found": Style(reverse=True),
}
_CURSOR = Style(bgcolor="grey27")


class Rows(ScrollView, can_focus=True):
    """`draw(row, width)` gives a row's pieces; call `grown` when there are others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup,ctrl+b,b", "page(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f,space", "page(1)", "page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False),
        Binding("home,g", "go(0)", "first", show=False),
        Binding("end,G", "go(-1)", "last", show=False),
        Binding("enter", "choose", "open", show=False),
    ]

    class Chosen(Message):
        """Enter, or a second click, on the row of the cursor."""

    class Moved(Message):
        """The cursor is somewhere else."""

    def __init__(self, draw: Callable[[int, int], Sequence[Piece]]) -> None:
        super().__init__()
        self._draw = draw
        self.count = 0
        self.cursor = 0
        self.query_text = ""
        """Shown in reverse wherever it stands."""

    def grown(self, count: int, cursor: int | None = None) -> None:
        self.count = count
        self.virtual_size = Size(self.size.width, count)
        self.cursor = max(0, min(self.cursor if cursor is None else cursor, count - 1))
        if cursor is not None:
            self._show()
        self.refresh()

    @property
    def at_the_end(self) -> bool:
        return self.cursor >= self.count - 1

    def render_line(self, y: int) -> Strip:
        row, width = y + self.scroll_offset.y, self.size.width
        if row >= self.count:
            return Strip.blank(width, self.rich_style)
        pieces = self._marked(self._draw(row, width))
        line = Strip([Segment(text, STYLES[style]) for style, text in pieces])
        line = line.adjust_cell_length(width)
        return line.apply_style(self.rich_style + _CURSOR if row == self.cursor else self.rich_style)

    def _marked(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """The same with the text that is looked for in reverse, where it stands in one piece."""
        wanted = self.query_text.casefold()
        for style, text in pieces:
            rest = text
            low = rest.casefold()
            while wanted and len(low) == len(rest) and (at := low.find(wanted)) >= 0:
                yield style, rest[:at]
                yield "found", rest[at : at + len(wanted)]
                rest, low = rest[at + len(wanted) :], low[at + len(wanted) :]
            yield style, rest

    def action_move(self, by: int) -> None:
        self.go(self.cursor + by)

    def action_page(self, pages: float) -> None:
        self.go(self.cursor + round(pages * max(1, self.size.height - 1)))

    def action_go(self, row: int) -> None:
        self.go(row if row >= 0 else self.count - 1)

    def action_choose(self) -> None:
        self.post_message(self.Chosen())

    def go(self, row: int) -> None:
        self.cursor = max(0, min(row, self.count - 1))
        self._show()
        self.refresh()
        self.post_message(self.Moved())

    def show_below(self, rows: int) -> None:
        """Scroll until so many rows below the cursor are seen too, as far as they fit."""
        self._show(min(rows + 1, self.size.height))

    def _show(self, rows: int = 1) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, rows), animate=False, immediate=True)

    def on_click(self, event: events.Click) -> None:
        row = event.y + self.scroll_offset.y
        again = row == self.cursor
        self.go(row)
        if again:
            self.action_choose()

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, self.count)
        self._show()


def columns(cells: Sequence[str], widths: Sequence[int], width: int) -> str:
    """Cells side by side; the last one gets what is left."""
    *before, last = cells
    line = "".join(report.pad(report.cut(c, w), w) + "  " for c, w in zip(before, widths, strict=False))
    return report.cut(line + last, width)


def wrapped(text: str, width: int) -> Iterator[str]:
    """Lines no wider than this, of a text that was cleaned."""
    for line in text.expandtabs(4).splitlines():
        rest = line
        while report.cells(rest) > width:
            fits = _fitting(rest, width)
            yield rest[:fits]
            rest = rest[fits:]
        yield rest


def _fitting(text: str, width: int) -> int:
    """How many characters fit, at least one."""
    if text[:width].isascii():
        return max(1, width)
    taken = 0
    for at, char in enumerate(text[:width]):
        taken += report.cells(char)
        if taken > width:
            return max(1, at)
    return max(1, min(width, len(text)))
