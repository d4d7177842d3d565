"""What a run is doing, as lines for any width and height. Pure but for the clock that it is given."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sica import report
from sica.cli.progress import Phase, State, Worker
from sica.cli.signals import tell
from sica.cli.terminal import Size, Terminal
from sica.errors import SicaError
from sica.forecast import Forecast
from sica.model import Event

FEW = 3
"""Workers that are shown unasked when there are more than four."""

HELP = (
    ("p", "pause: what is running goes on, nothing new is started; p again goes on"),
    ("s", "stop after what is running; the same command continues later"),
    ("w", "all workers, or only a few"),
    ("?", "this help"),
    ("Ctrl-C", "stop now: running work is cancelled, finished work is kept"),
    ("Ctrl-C twice", "leave at once"),
    ("Ctrl-Z", "suspend; fg goes on"),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a line; in a narrow terminal the parts of the highest rank go first."""

    text: str
    style: str = ""
    rank: int = 0
    pad: int = 0
    side: Literal["<", ">"] = "<"


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see."""

    every_worker: bool = False
    help: bool = False
    note: str = ""


def picture(state: State, asked: Asked, size: Size, look: report.Look, now: float) -> list[str]:
    """The lines, at most as many and as wide as fit beside the cursor; never empty."""
    width, height = max(1, size[0] - 1), max(1, size[1] - 1)
    workers = state.seats(now)
    few = FEW if not asked.every_worker and len(workers) > FEW + 1 else len(workers)
    foot = [_foot(state, asked)]
    head = list(_head(state, now, width, look.glyphs))
    if asked.help:
        keys = [[Piece(report.pad(key, 14), "name"), Piece(words)] for key, words in HELP]
        chosen = _fitted([head, keys, foot], height)
    else:
        phases = [_phase(p, look.glyphs) for p in state.phases(now)]
        boxes = _workers(workers, few, look.glyphs)
        news = [[Piece("  "), *_news(line)] for line in state.recent]
        chosen = _fitted([head, phases, boxes, news, foot], height)
    return [one_line(pieces, width, look) for pieces in chosen]


Pieces = Sequence[Piece]


def _fitted(blocks: Sequence[Sequence[Pieces]], height: int) -> list[Pieces]:
    """The blocks with an empty line between them, as far as there is room: the first lines and the last one stay.

    In a short terminal the lower blocks give way first, down to a line each, then the empty lines, then the rest.
    """
    kept = [list(block) for block in blocks if block]
    over = sum(map(len, kept)) + len(kept) - 1 - height
    for block in reversed(kept[1:-1]):
        gone = max(0, min(over, len(block) - 1))
        del block[len(block) - gone :]
        over -= gone
    if over <= 0:
        gap: list[Pieces] = [[]]
        return [line for at, block in enumerate(kept) for line in (gap if at else []) + block]
    lines = [line for block in kept[:-1] for line in block]
    return [*lines[: height - 1], *kept[-1]] if height > 1 else lines[:1]


def one_line(pieces: Pieces, width: int, look: report.Look) -> str:
    more = look.glyphs.more
    kept = [p for p in pieces if p.text or p.pad]
    while sum(map(_wide, kept)) > width and (least := max((p.rank for p in kept), default=0)) > 0:
        kept.remove(next(p for p in reversed(kept) if p.rank == least))
    parts, room = [], width
    for piece in kept:
        shown = report.cut(report.pad(piece.text, piece.pad, piece.side), room, more)
        room -= report.cells(shown)
        parts.append(look.paint(piece.style, shown) if piece.style else shown)
    return "".join(parts)


def _wide(piece: Piece) -> int:
    return max(piece.pad, report.cells(piece.text))


def _head(state: State, now: float, width: int, glyphs: report.Glyphs) -> Iterator[Pieces]:
    goal = (
        f"{state.made} of {report.plural(state.children, 'improvement')}" if state.children else "measuring"
    )
    seen = state.outlook(now)
    yield [
        Piece(state.run, "bold"),
        Piece(f"   {goal}"),
        Piece(f"   {report.duration(now - state.began)}", "dim"),
        Piece(f"   eta {report.duration(seen.eta)}" if seen.eta and state.attempts is None else "", "", 1),
        Piece(f"   {state.mode}" if state.mode else "", "warn"),
    ]
    yield from _spent(state, seen, width, glyphs)
    if best := state.best():
        yield [
            Piece("best     "),
            Piece(best.name, "best"),
            Piece(f"  {report.percent(best.score)}", "bold"),
            Piece(f"  [{100 * best.low:.1f}, {100 * best.high:.1f}]", "", 1),
            Piece(f"   {report.signed(best.change)} since {best.seed}" if best.seed else "", "dim", 2),
        ]


def _spent(state: State, seen: Forecast, width: int, glyphs: report.Glyphs) -> Iterator[Pieces]:
    if not state.cap and not seen.spent:
        return
    of = f" of {report.money(state.cap)}" if state.cap else ""
    bar = report.bar(seen.spent / state.cap, min(30, max(8, width - 70)), glyphs) if state.cap else ""
    end = (
        f"   about {report.money(seen.at_end.likely)} at the end"
        if seen.at_end and seen.at_end.likely
        else ""
    )
    yield [
        Piece("spent    "),
        Piece(report.money(seen.spent) + of, "bold"),
        Piece(f"   {bar}" if bar else "", "", 3),
        Piece(f"   {report.money(seen.per_hour)}/h" if seen.per_hour else "", "", 2),
        Piece("   the cap comes first" if seen.stops_at_cap else end, "warn" if seen.stops_at_cap else "", 1),
    ]


def _phase(phase: Phase, glyphs: report.Glyphs) -> Pieces:
    good, bad = ("✓", "✗") if glyphs is report.UNICODE else ("ok", "not")
    count = phase.count
    counts = f"{count.done}/{count.wanted}" if count else ""
    solved = f"   {count.solved} {good}  {count.done - count.solved} {bad}" if count else ""
    return [
        Piece(f"{glyphs.now if phase.running else ' '} ", "name"),
        Piece(report.pad(phase.name, 10), "" if phase.running else "dim"),
        Piece(report.pad(phase.subject, 11), "name"),
        Piece(counts),
        Piece(f"   {report.duration(phase.seconds)}" if not count and phase.seconds >= 1 else ""),
        Piece(solved, "", 1),
        Piece(f"  {count.faults} !" if count and count.faults else "", "warn", 1),
        Piece(f"   {report.percent(count.mean)}" if count and count.done else "", "bold", 1),
        Piece(f"   {report.money(phase.usd)}" if phase.usd else "", "", 2),
        Piece(f"   eta {report.duration(count.eta)}" if count and count.eta else "", "", 2),
        Piece(f"   {phase.rest}" if phase.rest else "", "dim", 3),
    ]


def _workers(workers: Sequence[Worker], few: int, glyphs: report.Glyphs) -> list[Pieces]:
    shown = workers[:few]
    what = min(40, max((report.cells(w.what) for w in shown), default=0))
    doing = 20  # fixed, as it changes from moment to moment
    lines: list[Pieces] = [_worker(worker, what, doing, glyphs) for worker in shown]
    if len(workers) > few:
        lines.append([Piece(f"  {len(workers) - few} more"), Piece("   w shows them", "dim", 1)])
    return lines


def _worker(worker: Worker, what: int, doing: int, glyphs: report.Glyphs) -> Pieces:
    turn = f"turn {worker.turn:>2}" if worker.turn else ""
    return [
        Piece(f"{worker.slot:>3}  ", "dim"),
        Piece(report.cut(worker.what, what, glyphs.more), "", 0, what),
        Piece("  ", "", 3),
        Piece(turn, "", 3, 8),
        Piece("  "),
        Piece(report.cut(worker.doing, doing, glyphs.more), "name", 1, doing),
        Piece(report.duration(worker.seconds), "", 2, 8, ">"),
        Piece(f"   {report.money(worker.usd)}" if worker.usd else "", "", 4),
    ]


def _news(line: str) -> Pieces:
    name, gap, rest = line.partition("  ")
    return [Piece(name, "name"), Piece(gap + rest)]


def _foot(state: State, asked: Asked) -> Pieces:
    if asked.note:
        return [Piece(asked.note, "warn")]
    if not state.keys:
        return [Piece("Ctrl-C stop now, work is kept", "dim")]
    steer = state.controls is not None
    pause = "p go on" if state.mode.startswith("paused") else "p pause"
    return [
        Piece(f"{pause}   " if steer else "", "dim", 2),
        Piece("s stop after what is running   " if steer else "", "dim", 3),
        Piece("w workers   ", "dim", 4),
        Piece("Ctrl-C stop now, work is kept", "dim", 1),
        Piece("   "),
        Piece("? help", "dim"),
    ]


class Picture:
    """A Progress for somebody who looks, and what the terminal draws and asks about keys."""

    def __init__(self, state: State, look: report.Look, encoding: str, keys: int | None) -> None:
        self.state, self.look = state, look
        self.asked = Asked()
        self.terminal = Terminal(self, 2, keys, encoding)

    def event(self, event: Event) -> None:
        self.state.take(event)

    def interrupted(self, words: str) -> None:
        self.asked = replace(self.asked, note=words.strip())

    def abandoned(self) -> None:
        """The process ends at once, so nobody else gives the terminal back."""
        self.terminal.leave()
        tell("left at once; finished work is kept")

    def lines(self, size: Size) -> Sequence[str]:
        return picture(self.state, self.asked, size, self.look, time.time())

    def key(self, key: str) -> None:
        match key:
            case "w":
                self.asked = replace(self.asked, every_worker=not self.asked.every_worker)
            case "?":
                self.asked = replace(self.asked, help=not self.asked.help)
            case "p" | "s":
                try:
                    self.state.steer(key)
                except SicaError as error:
                    self.asked = replace(self.asked, note=report.clean(str(error)))
