"""Lanes, widths, hostile text and the rows of the log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sica import report
from sica.model import Agent, Summary, Usage
from sica.report import ASCII, DOWN, LEFT, RIGHT, UNICODE, UP, Look
from sica.stats import wilson

Lineage = dict[str, tuple[str, ...]]


@st.composite
def lineages(draw: st.DrawFn) -> Lineage:
    """Agents 0..n-1, each with none to three earlier parents."""
    size = draw(st.integers(1, 25))
    return {
        str(n): tuple(str(p) for p in draw(st.lists(st.integers(0, n - 1), max_size=3, unique=True)))
        if n
        else ()
        for n in range(size)
    }


def newest_first(parents: Lineage) -> list[str]:
    return sorted(parents, key=int, reverse=True)


def picture(parents: Lineage, glyphs: report.Glyphs = UNICODE) -> list[report.Drawn]:
    return list(report.draw(report.lanes(newest_first(parents), parents), lambda _: "@", glyphs))


def parents_read_off(lines: Sequence[report.Drawn]) -> Mapping[str, set[str]]:
    """Follow every line of the picture downwards with the eye's rules: never up, straight over a crossing."""
    directions = {glyph: bits for bits, glyph in UNICODE.lines.items()}
    grid = [line.text for line in lines]
    agents = {(row, len(line.before)): line.key for row, line in enumerate(lines) if line.key is not None}

    def at(row: int, column: int) -> int:
        if (row, column) in agents:
            return UP | DOWN
        text = grid[row] if row < len(grid) else ""
        return directions[text[column]] if column < len(text) else 0

    def below(row: int, column: int) -> set[str]:
        found: set[str] = set()
        ways = [(row + 1, column, UP)]
        seen = set()
        while ways:
            way = ways.pop()
            if way in seen:
                continue
            seen.add(way)
            row, column, came_from = way
            if (row, column) in agents:
                found.add(agents[row, column])
                continue
            here = at(row, column)
            if not here & came_from:
                continue
            straight = {UP: DOWN, LEFT: RIGHT, RIGHT: LEFT}[came_from]
            onward = here & ~came_from & ~UP
            if here == UP | DOWN | LEFT | RIGHT:
                onward = straight
            ways += [(row + 1, column, UP)] if onward & DOWN else []
            ways += [(row, column - 1, RIGHT)] if onward & LEFT else []
            ways += [(row, column + 1, LEFT)] if onward & RIGHT else []
        return found

    return {key: below(row, column) for (row, column), key in agents.items()}


@given(lineages())
@settings(max_examples=300, deadline=None)
def test_the_lineage_can_be_read_off_the_picture(parents: Lineage) -> None:
    assert parents_read_off(picture(parents)) == {key: set(ps) for key, ps in parents.items()}


@given(lineages())
@settings(deadline=None)
def test_the_ascii_picture_is_the_unicode_one_with_other_glyphs(parents: Lineage) -> None:
    other = {UNICODE.lines[bits]: ASCII.lines[bits] for bits in UNICODE.lines} | {"@": "@"}
    drawn, plain = picture(parents), picture(parents, ASCII)
    assert ["".join(other[c] for c in line.text) for line in drawn] == [line.text for line in plain]
    assert all(line.text.isascii() for line in plain)


@given(lineages())
@settings(deadline=None)
def test_no_lane_is_used_by_two_waits_at_once(parents: Lineage) -> None:
    busy: set[int] = set()
    for place in report.lanes(newest_first(parents), parents):
        assert place.tip == (place.column not in busy)
        busy.add(place.column)
        for turn in place.turns:
            assert turn.start in busy
            assert turn.opens == (turn.end not in busy)
            busy.add(turn.end)
            if turn.closes:
                busy.remove(turn.start)
        if place.root:
            busy.remove(place.column)
    assert not busy


def test_branches_merges_and_joins_look_like_this() -> None:
    parents: Lineage = {"0": (), "1": ("0",), "2": ("0",), "3": ("1", "2"), "4": ("2", "1"), "5": ("4",)}
    assert [line.text for line in picture(parents)] == [
        "@",
        "@",
        "├─╮",
        "│ │ @",
        "│ │ ├─╮",
        "├─┼─┼─╯",
        "│ ├─╯",
        "@ │",
        "│ @",
        "├─╯",
        "@",
    ]
    assert [line.text for line in picture(parents, ASCII)][4:7] == ["| | |-.", "|-+-+-'", "| |-'"]


def test_ten_thousand_agents_take_time_in_proportion() -> None:
    """Ten times the agents may not take a hundred times as long; a star is the worst shape there is."""

    def seconds(size: int) -> float:
        parents: Lineage = {str(n): (str(n // 3),) if n else () for n in range(size)}
        parents |= {str(n): ("0", str(n - 1)) for n in range(7, size, 10)}
        order = newest_first(parents)
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            lines = sum(1 for _ in report.draw(report.lanes(order, parents), lambda _: "@", UNICODE, 12))
            best = min(best, time.process_time() - start)
        assert lines >= size
        return best

    assert seconds(10_000) < 40 * seconds(1_000)


def test_parents_before_children_are_refused() -> None:
    with pytest.raises(ValueError, match="newest first"):
        report.lanes(["0", "1"], {"1": ("0",)})


def test_hidden_agents_leave_their_descendants_connected() -> None:
    parents = {"0": (), "1": ("0",), "2": ("1",), "3": ("2",), "4": ("2", "1")}
    thinned = report.condense(["4", "3", "2", "1", "0"], parents, {"0", "3", "4"})
    assert thinned == {"4": ("0",), "3": ("0",), "0": ()}


@given(st.text())
def test_cleaned_text_cannot_steer_a_terminal(text: str) -> None:
    for kept, cleaned in (("", report.clean(text)), ("\n\t", report.clean_block(text))):
        assert all(c in kept or c.isprintable() or c == " " or not _steers(c) for c in cleaned)
        cleaned.encode()
    assert report.clean(report.clean(text)) == report.clean(text)


def _steers(char: str) -> bool:
    return ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char in "\u202e\u2066\u2028\u200f"


@pytest.mark.parametrize(
    ("hostile", "seen"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("abc\rdef", "abc def"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\x9b31mb", "a31mb"),
        ("broken\ud800", "broken\ufffd"),
    ],
)
def test_known_terminal_tricks_are_removed(hostile: str, seen: str) -> None:
    assert report.clean(hostile) == seen


@given(st.text(), st.integers(1, 40))
def test_cut_text_never_takes_more_room_than_there_is(text: str, width: int) -> None:
    assert report.cells(report.cut(text, width)) <= width


def test_wide_characters_take_two_cells() -> None:
    assert report.cells("日本語") == 6
    assert report.cut("日本語テスト", 7) == "日本語…"
    assert report.pad("日本", 6) == "日本  "


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "$0"), (0.001, "<$0.01"), (13.919, "$13.92"), (1234.5, "$1,234"), (999.99, "$999.99")],
)
def test_money(value: float, text: str) -> None:
    assert report.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0s"), (59.6, "1m00s"), (372, "6m12s"), (7500, "2h05m"), (273_600, "3d04h"), (-1, "0s")],
)
def test_durations(value: float, text: str) -> None:
    assert report.duration(value) == text


def test_scores_read_as_in_the_papers() -> None:
    assert report.with_margin(126 / 225, (0.495, 0.623)) == "56.0% ±6.4"
    assert report.with_interval(126 / 225, (0.495, 0.623)) == "56.0%  [49.5, 62.3]"
    assert report.signed(-0.0131) == "-1.3"


# ── the log ───────────────────────────────────────────────────────────────────────────────────────


def agent(number: int, *parents: int, subject: str = "", **facts: object) -> Agent:
    return Agent(
        number=number,
        commit=f"{number:040x}",
        tree=f"{number:040x}",
        parents=tuple(f"{p:040x}" for p in parents),
        subject=subject or f"change {number}",
        **{"standing": "ready", **facts},  # type: ignore[arg-type]
    )


def summary(number: int, score: float, n: int = 100, usd: float = 1.5) -> Summary:
    return Summary(f"{number:040x}", "core", n, score * n, score * n, 0, Usage(usd=usd))


def interval(found: Summary) -> report.Interval | None:
    return None if found.mean is None else wilson(found.mean, found.n)


def archive() -> tuple[report.Row, ...]:
    agents = [
        agent(0, subject="seed"),
        agent(1, 0),
        agent(2, 0, standing="rejected", reason="does not start: ImportError in tools.py"),
        agent(3, 1, subject="日本語の長い件名" * 9),
        agent(4, 3, 1, subject="crossover"),
    ]
    summaries = [summary(0, 0.40), summary(1, 0.45), summary(3, 0.75), summary(4, 0.70)]
    changes = {1: 0.05, 3: 0.3, 4: -0.05}
    found = report.rows(agents, summaries, f"{3:040x}", interval)
    return tuple(replace(row, change=changes.get(row.agent)) for row in found)


def test_what_a_run_is_at_stands_in_the_log() -> None:
    rows = [replace(row, doing="evaluating 3/14") if row.agent == 4 else row for row in archive()]
    first = next(report.log(rows, rows, Look(80)))
    assert first == "◌    agent/4  70.0% ±8.8   -5.0  $1.50  ▸ evaluating 3/14"


def test_a_log_in_eighty_columns() -> None:
    everyone = archive()
    lines = list(report.log(everyone, everyone, Look(80)))
    assert lines == [
        "○    agent/4  70.0% ±8.8   -5.0  $1.50  crossover",
        "├─╮",
        "◆ │  agent/3  75.0% ±8.4  +30.0  $1.50  日本語の長い件名日本語の長い件…  [best]",
        "╰─┤",
        "× │  agent/2  rejected              $0  does not start: ImportError in tools.py",
        "│ ○  agent/1  45.0% ±9.6   +5.0  $1.50  change 1",
        "├─╯",
        "○    agent/0  40.0% ±9.4         $1.50  seed",
    ]
    assert max(report.cells(line) for line in lines) <= 80


@given(lineages(), st.integers(40, 200), st.sampled_from([ASCII, UNICODE]))
@settings(deadline=None, max_examples=50)
def test_no_line_of_the_log_is_wider_than_the_terminal(
    parents: Lineage, width: int, glyphs: report.Glyphs
) -> None:
    agents = [agent(int(k), *map(int, ps), subject="a rather long subject " * 5) for k, ps in parents.items()]
    everyone = report.rows(agents, [summary(0, 0.5)], agents[0].commit, interval)
    shown = report.interesting(everyone, 3)
    visible = [r for r in everyone if r.agent in shown]
    for line in report.log(everyone, visible, Look(max(width, 70), glyphs)):
        assert report.cells(line) <= max(width, 70)
        assert glyphs is UNICODE or line.isascii()


def test_what_is_hidden_is_counted_in_its_place() -> None:
    agents = [agent(0), *(agent(n, n - 1) for n in range(1, 40))]
    everyone = report.rows(agents, [summary(0, 0.4)], agents[0].commit, interval)
    shown = report.interesting(everyone, 3)
    lines = list(report.log(everyone, [r for r in everyone if r.agent in shown], Look(60)))
    assert lines == [
        "◌  agent/39  …              $0  change 39",
        "◌  agent/38  …              $0  change 38",
        "◌  agent/37  …              $0  change 37",
        "│  ~  36 agents (--all)",
        "◆  agent/0   40.0% ±9.4  $1.50  change 0  [best]",
    ]


def test_the_first_view_shows_the_way_to_the_best_the_frontier_and_the_last() -> None:
    agents = [agent(0), *(agent(n, 0 if n % 2 else n - 1) for n in range(1, 40))]
    scores = [summary(0, 0.4), summary(3, 0.5), summary(4, 0.6), summary(8, 0.55)]
    everyone = report.rows(agents, scores, f"{4:040x}", interval)
    shown = report.interesting(everyone, 5)
    assert {0, 3, 4} <= shown  # the way to the best
    assert 8 in shown  # nothing has grown from it, and it is no worse than its parent
    assert {35, 36, 37, 38, 39} <= shown


def test_agents_with_the_same_tree_share_their_score() -> None:
    twin = Agent(1, "b" * 40, f"{0:040x}", (f"{0:040x}",), "no change", standing="ready")
    rows = report.rows([agent(0), twin], [summary(0, 0.4, usd=2.0)], "", interval)
    assert (rows[0].score, rows[0].cost_usd) == (0.4, 0.0)
    assert (rows[1].score, rows[1].cost_usd) == (0.4, 2.0)


def test_tables_keep_to_the_width() -> None:
    lines = list(report.table([["a", "x" * 100, "1"], ["bb", "y", "22"]], "<<>", Look(30), flexible=1))
    assert [report.cells(line) for line in lines] == [30, 30]
    assert lines[0].endswith("…   1")
