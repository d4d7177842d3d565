"""Archive -> rows, lineage lanes and tables. Pure: the terminal and the viewer draw from the same records."""

from __future__ import annotations

import heapq
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sica.model import Agent, Summary

Interval = tuple[float, float]
Paint = Callable[[str, str], str]
"""(style, text) -> text, coloured or not. Styles: best, good, bad, dim, name, bold, warn."""


def plain(style: str, text: str) -> str:
    """The paint of a pipe."""
    del style
    return text


# ── hostile text ──────────────────────────────────────────────────────────────────────────────────

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, device strings
    r"|\x1b[@-Z\\-_]?"
)
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"
_UNSEEN = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_BIDI}]")


def clean(text: str) -> str:
    """One line that a terminal shows and does not obey: no control, escape or bidirectional characters."""
    return " ".join(_safe(text, keep="").split())


def clean_block(text: str) -> str:
    """Like `clean`, for text whose line ends and tabs are worth keeping."""
    return _safe(text.replace("\r\n", "\n"), keep="\n\t")


def _safe(text: str, keep: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(lambda unseen: _seen(unseen[0], keep), _ESCAPES.sub("", text))


def _seen(char: str, keep: str) -> str:
    if char in keep:
        return char
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return " " if char in "\n\r\t\u2028\u2029" else ""


# ── widths ────────────────────────────────────────────────────────────────────────────────────────


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def _cell(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int, mark: str = "…") -> str:
    """The text, or as much of it as fits with a mark that something is missing."""
    if cells(text) <= width:
        return text
    if width < cells(mark):
        return ""
    room, taken = width - cells(mark), 0
    for at, char in enumerate(text):
        taken += _cell(char)
        if taken > room:
            return text[:at].rstrip() + mark
    return text


def pad(text: str, width: int, side: Literal["<", ">"] = "<") -> str:
    space = " " * max(0, width - cells(text))
    return text + space if side == "<" else space + text


# ── numbers for people ────────────────────────────────────────────────────────────────────────────


def percent(score: float | None) -> str:
    return "…" if score is None else f"{100 * score:.1f}%"


def with_margin(score: float | None, interval: Interval | None) -> str:
    """56.0% ±6.5: ± is half the 95% interval."""
    if score is None or interval is None:
        return percent(score)
    return f"{percent(score)} ±{50 * (interval[1] - interval[0]):.1f}"


def with_interval(score: float | None, interval: Interval | None) -> str:
    if score is None or interval is None:
        return percent(score)
    return f"{percent(score)}  [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def signed(change: float | None) -> str:
    """Points of a percentage with a sign; nothing where nothing is known."""
    return "" if change is None else f"{100 * change:+.1f}"


def money(usd: float) -> str:
    if usd == 0:
        return "$0"
    if 0 < usd < 0.005:
        return "<$0.01"
    return f"${usd:,.2f}" if usd < 1000 else f"${usd:,.0f}"


def dollars(usd: float) -> str:
    """Money where a cent is much: $0.0025, $0.98, $12.40."""
    if usd <= 0 or usd >= 0.1:
        return money(usd)
    digits = f"{float(f'{usd:.2g}'):.12f}".rstrip("0")
    return f"${digits:0<4}"


def count(number: float) -> str:
    """38.0M, 12.4k, 950."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """48s, 6m12s, 2h05m, 3d04h."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def plural(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    if noun == "child":
        return f"{number:,} children"
    if noun.endswith(("ry", "ty")):
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}{'es' if noun.endswith('x') else 's'}"


# ── lineage lanes ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Turn:
    """One sideways edge, drawn on a line of its own so that no picture can be read in two ways."""

    start: int
    end: int
    closes: bool
    """The lane at `start` is free below this line."""
    opens: bool
    """The lane at `end` begins on this line; else the edge joins a lane that comes from above."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent stands and what happens between it and the next one."""

    key: str
    column: int
    tip: bool
    """No lane arrives from above: nothing shown descends from it."""
    root: bool
    """Its lane ends here: no ancestor of it is shown."""
    turns: tuple[Turn, ...]


def lanes(order: Sequence[str], parents: Mapping[str, Sequence[str]]) -> tuple[Place, ...]:
    """Lay out a lineage, newest first: children must stand before their parents.

    A lane is the wait for one agent, so all children of an agent share it, no two lanes cross without
    a line for it, and a lane never moves while it is open. Linear in agents and edges but for a heap of
    free columns. Parents that are not in `order` are not drawn.
    """
    position = {key: at for at, key in enumerate(order)}
    layout = _Lanes()
    for at, key in enumerate(order):
        shown = tuple(dict.fromkeys(p for p in parents.get(key, ()) if p in position))
        if any(position[p] <= at for p in shown):
            raise ValueError(f"{key} stands after its parent: lanes are drawn newest first")
        layout.place(key, shown)
    return tuple(layout.places)


class _Lanes:
    """The running state of `lanes`: who is awaited where, and which columns are free."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.awaited: dict[str, int] = {}
        self.free: list[int] = []
        self.ended: int | None = None
        """Column of a root on the last line: a tip right below it would look like its parent."""
        self.width = 0

    def place(self, key: str, parents: Sequence[str]) -> None:
        tip = key not in self.awaited
        column = self._take() if tip else self.awaited.pop(key)
        if self.ended is not None:
            heapq.heappush(self.free, self.ended)
        self.ended = None if parents else column
        turns = [turn for parent in parents[1:] for turn in self._branch(column, parent)]
        if parents and (lane := self.awaited.setdefault(parents[0], column)) != column:
            turns.append(Turn(column, lane, closes=True, opens=False))
            heapq.heappush(self.free, column)
        self.places.append(Place(key, column, tip, not parents, tuple(turns)))

    def _branch(self, column: int, parent: str) -> Iterator[Turn]:
        lane = self._take()
        yield Turn(column, lane, closes=False, opens=True)
        if (joined := self.awaited.get(parent)) is None:
            self.awaited[parent] = lane
        else:
            yield Turn(lane, joined, closes=True, opens=False)
            heapq.heappush(self.free, lane)

    def _take(self) -> int:
        if self.free:
            return heapq.heappop(self.free)
        self.width += 1
        return self.width - 1


UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What lanes and marks are drawn with."""

    lines: Mapping[int, str]
    """By the directions that a cell connects."""
    best: str
    evaluated: str
    rejected: str
    running: str
    hidden: str
    more: str
    now: str

    def mark(self, row: Row) -> str:
        if row.best:
            return self.best
        if row.doing:
            return self.running
        if row.status == "rejected":
            return self.rejected
        return self.evaluated if row.status in ("evaluated", "stopped") else self.running


_BOTH = UP | DOWN
_SIDES = LEFT | RIGHT
UNICODE = Glyphs(
    {
        0: " ",
        _BOTH: "│",
        _SIDES: "─",
        _BOTH | _SIDES: "┼",
        _BOTH | RIGHT: "├",
        _BOTH | LEFT: "┤",
        UP | LEFT: "╯",
        UP | RIGHT: "╰",
        DOWN | LEFT: "╮",
        DOWN | RIGHT: "╭",
    },
    best="◆",
    evaluated="○",
    rejected="×",
    running="◌",
    hidden="~",
    more="…",
    now="▸",
)
ASCII = Glyphs(
    {
        0: " ",
        _BOTH: "|",
        _SIDES: "-",
        _BOTH | _SIDES: "+",
        _BOTH | RIGHT: "|",
        _BOTH | LEFT: "|",
        UP | LEFT: "'",
        UP | RIGHT: "`",
        DOWN | LEFT: ".",
        DOWN | RIGHT: ",",
    },
    best="*",
    evaluated="o",
    rejected="x",
    running=".",
    hidden="~",
    more="...",
    now=">",
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line of the picture: an agent's own (`key`), or one that only turns lanes."""

    key: str | None
    before: str
    mark: str
    after: str

    @property
    def text(self) -> str:
        return self.before + self.mark + self.after


def draw(
    places: Iterable[Place],
    mark: Callable[[str], str],
    glyphs: Glyphs = UNICODE,
    most: int = 1_000_000,
) -> Iterator[Drawn]:
    """The picture, line by line; columns from `most` on are left out and said to be left out."""
    open_lanes: list[bool] = []
    for place in places:
        while len(open_lanes) <= max([place.column, *(t.end for t in place.turns)]):
            open_lanes.append(False)
        open_lanes[place.column] = True
        yield _agent_line(place, open_lanes[:most], mark(place.key), glyphs, most)
        for turn in place.turns:
            yield Drawn(None, _turn_line(turn, open_lanes[:most], glyphs), "", "")
            open_lanes[turn.start] = not turn.closes
            open_lanes[turn.end] = True
        open_lanes[place.column] = open_lanes[place.column] and not place.root
        while open_lanes and not open_lanes[-1]:
            open_lanes.pop()


def _agent_line(place: Place, lanes_open: Sequence[bool], mark: str, glyphs: Glyphs, most: int) -> Drawn:
    line = [glyphs.lines[_BOTH] if is_open else " " for is_open in lanes_open]
    if place.column >= most:
        return Drawn(place.key, " ".join(line) + glyphs.more, mark, "")
    before, after = line[: place.column], line[place.column + 1 :]
    return Drawn(place.key, "".join(c + " " for c in before), mark, "".join(" " + c for c in after).rstrip())


def _turn_line(turn: Turn, lanes_open: Sequence[bool], glyphs: Glyphs) -> str:
    low, high = sorted((turn.start, turn.end))
    rightwards = turn.end > turn.start
    line: list[str] = []
    for column in range(len(lanes_open)):
        sides = (LEFT if low < column <= high else 0) | (RIGHT if low <= column < high else 0)
        ends = _BOTH if lanes_open[column] else 0
        if column == turn.start:
            ends = UP if turn.closes else _BOTH
            sides = RIGHT if rightwards else LEFT
        elif column == turn.end:
            ends = DOWN if turn.opens else _BOTH
            sides = LEFT if rightwards else RIGHT
        line.append(glyphs.lines[ends | sides])
        line.append(glyphs.lines[_SIDES] if low <= column < high else " ")
    return "".join(line).rstrip()


def condense(
    order: Sequence[str], parents: Mapping[str, Sequence[str]], shown: set[str]
) -> dict[str, tuple[str, ...]]:
    """The shown agents' nearest shown ancestors: the lineage with the hidden agents taken out."""
    nearest: dict[str, tuple[str, ...]] = {}
    for key in reversed(order):
        through = (((p,) if p in shown else nearest.get(p, ())) for p in parents.get(key, ()))
        nearest[key] = tuple(dict.fromkeys(p for group in through for p in group))
    return {key: nearest[key] for key in order if key in shown}


# ── the rows of `sica log` ────────────────────────────────────────────────────────────────────────


STATUSES: Mapping[str, str] = {
    "evaluated": "has a score",
    "stopped": "fell behind its parent and was measured no further; `reason` says when",
    "ready": "passed the gate, has no score yet",
    "unchecked": "has not been through the gate yet",
    "rejected": "the gate turned it down; `reason` says why",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one agent, as one record for every surface."""

    agent: int
    commit: str
    tree: str
    parents: tuple[int, ...]
    status: str
    """One of STATUSES."""
    best: bool
    score: float | None
    low: float | None
    high: float | None
    n: int
    faults: int
    change: float | None
    """Against the first parent, on the attempts that both have; None where there are none, or nobody compared."""
    separable: bool | None
    """Whether that change is more than noise."""
    cost_usd: float
    """Of making the agent and of measuring it."""
    subject: str
    reason: str
    operator: str
    run: str
    model: str
    created: float
    doing: str = ""
    """What a run is at with this agent right now: checking, or evaluating 3/14."""
    method: str = ""
    """Of the interval: Wilson or cluster bootstrap."""

    @property
    def name(self) -> str:
        return f"agent/{self.agent}"

    @property
    def interval(self) -> Interval | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


def rows(
    agents: Iterable[Agent],
    summaries: Iterable[Summary],
    champion: str,
    interval: Callable[[Summary], Interval | None],
) -> tuple[Row, ...]:
    """One row an agent, newest first. Agents with the same tree share what was measured."""
    everyone = sorted(agents, key=lambda a: -a.number)
    by_commit = {a.commit: a for a in everyone}
    measured = {s.agent: s for s in summaries}
    by_tree = {by_commit[c].tree: s for c, s in measured.items() if c in by_commit}
    found = {a.commit: measured.get(a.commit) or by_tree.get(a.tree) for a in everyone}
    payers = {a.tree: a.number for a in everyone}  # the first agent of a tree is the last one here
    spans = {c: interval(s) if s and s.n else None for c, s in found.items()}
    result = []
    for agent in everyone:
        known = [by_commit[p] for p in agent.parents if p in by_commit]
        summary, span = found[agent.commit], spans[agent.commit]
        score = summary.mean if summary else None
        paid = summary if summary and payers[agent.tree] == agent.number else None
        result.append(
            Row(
                agent=agent.number,
                commit=agent.commit,
                tree=agent.tree,
                parents=tuple(p.number for p in known),
                status=_status(agent, score),
                best=agent.commit == champion and agent.standing != "rejected",
                score=score,
                low=span[0] if span else None,
                high=span[1] if span else None,
                n=summary.n if summary else 0,
                faults=summary.faults if summary else 0,
                change=None,
                separable=None,
                cost_usd=agent.cost_usd + (paid.usage.usd if paid else 0.0),
                subject=clean(agent.subject),
                reason=clean(agent.reason),
                operator=agent.operator,
                run=agent.run,
                model=clean(agent.model),
                created=agent.created,
            )
        )
    return tuple(result)


def _status(agent: Agent, score: float | None) -> str:
    if agent.standing == "rejected":
        return "rejected"
    return "evaluated" if score is not None else agent.standing


def best_path(everyone: Sequence[Row]) -> set[int]:
    """The champion and its ancestors by first parent, down to the seed."""
    by_number = {row.agent: row for row in everyone}
    path: set[int] = set()
    here = next((row for row in everyone if row.best), None)
    while here is not None and here.agent not in path:
        path.add(here.agent)
        here = by_number.get(here.parents[0]) if here.parents else None
    return path


def frontier(everyone: Sequence[Row], most: int = 5) -> set[int]:
    """The best agents that nothing has grown from yet and that are no worse than their parents."""
    with_children = {p for row in everyone for p in row.parents}
    scores = {row.agent: row.score for row in everyone}
    leaves = [
        row
        for row in everyone
        if row.agent not in with_children and row.score is not None and row.score >= _before(row, scores)
    ]
    return {row.agent for row in sorted(leaves, key=lambda r: (-(r.score or 0.0), r.agent))[:most]}


def _before(row: Row, scores: Mapping[int, float | None]) -> float:
    return (scores.get(row.parents[0]) if row.parents else None) or 0.0


def interesting(everyone: Sequence[Row], last: int = 10) -> set[int]:
    """What `sica log` shows unasked; a lone hidden agent is shown too, as saying so takes a line."""
    shown = best_path(everyone) | frontier(everyone) | {row.agent for row in everyone[:last]}
    if everyone:
        shown.add(everyone[-1].agent)
    inner = list(zip(everyone, everyone[1:], everyone[2:], strict=False))
    return shown | {b.agent for a, b, c in inner if a.agent in shown and c.agent in shown}


def descent(everyone: Sequence[Row], number: int) -> set[int]:
    """The agent, its ancestors and its descendants."""
    family = {number}
    for row in everyone:
        if row.agent in family:
            family.update(row.parents)
    for row in reversed(everyone):
        if not family.isdisjoint(p for p in row.parents if p >= number):
            family.add(row.agent)
    return family


@dataclass(frozen=True, slots=True)
class Look:
    """How text is drawn: how wide, with what, in colour or not."""

    width: int = 80
    glyphs: Glyphs = UNICODE
    paint: Paint = plain


def log(everyone: Sequence[Row], visible: Sequence[Row], look: Look, hint: str = "--all") -> Iterator[str]:
    """The lines of `sica log`: lanes at the left, one agent a line, what is hidden said in its place."""
    order = [str(row.agent) for row in everyone]
    parents = {str(row.agent): [str(p) for p in row.parents] for row in everyone}
    shown = {row.agent for row in visible}
    thinned = condense(order, parents, {str(n) for n in shown})
    by_key = {str(row.agent): row for row in visible}
    gaps = _gaps(everyone, shown)
    marks = {key: look.glyphs.mark(row) for key, row in by_key.items()}
    places = lanes([str(row.agent) for row in visible], thinned)
    arrivals = {place.key: look.glyphs.lines[0 if place.tip else _BOTH] for place in places}
    picture = list(draw(places, marks.__getitem__, look.glyphs, max(1, min(12, look.width // 8))))
    graph_width = max((cells(line.text) for line in picture), default=0)
    facts = _Facts(visible, look)
    for line in picture:
        if line.key is None:
            yield look.paint("dim", line.before)
            continue
        row = by_key[line.key]
        if hidden := gaps.get(row.agent):
            above = (line.before + arrivals[line.key] + line.after).rstrip()
            yield _gap(hidden, pad(above, graph_width) + "  ", look, hint)
        after = pad(line.after, graph_width - cells(line.before + line.mark))
        yield (
            look.paint("dim", line.before)
            + _painted_mark(row, line.mark, look)
            + look.paint("dim", after)
            + ("  " + facts.line(row, look.width - graph_width - 2))
        )
    if hidden := gaps.get(None):
        yield _gap(hidden, "", look, hint)


def _painted_mark(row: Row, mark: str, look: Look) -> str:
    style = "best" if row.best else {"rejected": "bad", "evaluated": "name"}.get(row.status, "dim")
    return look.paint(style, mark)


def _gaps(everyone: Sequence[Row], shown: set[int]) -> dict[int | None, int]:
    """How many agents are hidden right above a shown one; None: below the last."""
    gaps: dict[int | None, int] = {}
    hidden = 0
    for row in everyone:
        if row.agent not in shown:
            hidden += 1
        elif hidden:
            gaps[row.agent], hidden = hidden, 0
    return gaps | ({None: hidden} if hidden else {})


def _gap(hidden: int, graph: str, look: Look, hint: str) -> str:
    return look.paint("dim", f"{graph}{look.glyphs.hidden}  {plural(hidden, 'agent')} ({hint})")


class _Facts:
    """The text columns of the log, as wide as the shown rows need."""

    def __init__(self, visible: Sequence[Row], look: Look) -> None:
        self.look = look
        self.name = max((len(row.name) for row in visible), default=0)
        self.score = max((cells(self._score(row)) for row in visible), default=0)
        self.change = max((len(signed(row.change)) for row in visible), default=0)
        self.cost = max((len(money(row.cost_usd)) for row in visible), default=0)

    def line(self, row: Row, width: int) -> str:
        paint = self.look.paint
        head = [
            paint("best" if row.best else "name", pad(row.name, self.name)),
            paint("bad" if row.status == "rejected" else "bold", pad(self._score(row), self.score)),
        ]
        room = width - self.name - self.score - self.cost - 6
        if self.change:
            style = "dim" if not row.separable else "good" if (row.change or 0) > 0 else "bad"
            head.append(paint(style, pad(signed(row.change), self.change, ">")))
            room -= self.change + 2
        head.append(paint("dim", pad(money(row.cost_usd), self.cost, ">")))
        return "  ".join([*head, self._words(row, max(room, 8))]).rstrip()

    def _words(self, row: Row, room: int) -> str:
        tag = "  [best]" if row.best else ""
        words = row.reason if row.status == "rejected" and row.reason else row.subject
        if row.status == "stopped":
            tag = f"  [{row.reason}]"
        if row.doing:
            words = f"{self.look.glyphs.now} {row.doing}"
        style = "bad" if row.status == "rejected" else ""
        shown = cut(words, room - len(tag), self.look.glyphs.more)
        return (self.look.paint(style, shown) if style else shown) + self.look.paint("best", tag)

    def _score(self, row: Row) -> str:
        if row.status == "rejected":
            return "rejected"
        text = with_margin(row.score, row.interval)
        if self.look.glyphs is ASCII:
            text = text.replace("±", "+-").replace("…", "...")
        return text


# ── tables ────────────────────────────────────────────────────────────────────────────────────────


def table(
    lines: Sequence[Sequence[str]],
    aligns: str,
    look: Look,
    *,
    header: Sequence[str] = (),
    flexible: int = -1,
) -> Iterator[str]:
    """Rows as aligned columns within the width; the flexible column gives way. `aligns`: < or > a column."""
    everything = [list(header), *map(list, lines)] if header else [list(line) for line in lines]
    if not everything:
        return
    widths = [max(cells(line[at]) for line in everything) for at in range(len(aligns))]
    flexible %= len(aligns)
    over = sum(widths) + 2 * (len(widths) - 1) - look.width
    if over > 0:
        widths[flexible] = max(8, widths[flexible] - over)
    more = look.glyphs.more
    for at, line in enumerate(everything):
        parts = [
            pad(cut(text, widths[i], more), widths[i], ">" if aligns[i] == ">" else "<")
            for i, text in enumerate(line)
        ]
        text = "  ".join(parts).rstrip()
        yield look.paint("dim", text) if header and at == 0 else text


def bar(share: float, width: int, glyphs: Glyphs = UNICODE) -> str:
    full, empty = ("█", "░") if glyphs is UNICODE else ("#", ".")
    filled = round(max(0.0, min(1.0, share)) * width)
    return full * filled + empty * (width - filled)


def fill(template: str, row: Row) -> str:
    """`--format`: {agent} {commit} {tree} {parents} {score} ... of one row; unknown names are an error."""
    values = fields(row)
    parents = " ".join(str(p) for p in row.parents)
    return template.replace("\\t", "\t").replace("\\n", "\n").format_map(values | {"parents": parents})


def fields(row: Row) -> dict[str, object]:
    """The row as JSON has it."""
    return {name: getattr(row, name) for name in Row.__slots__} | {"parents": list(row.parents)}
