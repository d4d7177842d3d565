"""Pictures of an archive for papers and for `sica report`: SVG, PNG or PDF bytes, the same for the same records. Pure.

Colours are told apart by lightness too, so that a colour-blind reader and a grey printer lose nothing. Text is drawn as
outlines (SVG) or embedded (PDF). matplotlib is imported here only, and only when something is drawn.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from sica.report import Row, best_path, clean

KINDS = ("svg", "png", "pdf")

Size = tuple[float, float]
"""Inches. A column of a paper is about 3.4 wide, a page 7."""

INK = "#1a1a1a"
"""Of text, axes and marks; `sica report` puts the page's own text colour in its place."""

QUIET, BEST, BAD = "#7f8c9b", "#0b4f8a", "#c8501e"
LIGHT, DARK = "#f3e3b6", "#0b3c6f"
"""The ends of the scale of scores: 0 and 1."""

ROLES = ("#0b3c6f", "#8ab8da", "#c8501e", "#f0cf7a", "#6b6b6b", "#d5dbe1")
"""Neighbours differ in lightness."""

GAP = 900.0
"""Seconds without a model call after which nobody was at work."""

MOST_WHISKERS = 400
"""Agents whose intervals are all drawn; of more, those of the bests."""

MOST_NAMES = 64
"""Tasks whose names fit below a matrix."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What one role's model calls took at one time."""

    at: float
    role: str
    usd: float
    calls: int


@dataclass(frozen=True, slots=True)
class Album:
    """What the pictures are drawn from."""

    rows: tuple[Row, ...]
    """Every agent with its interval, newest first."""
    cells: Mapping[int, Mapping[str, float | None]]
    """By agent and task the mean score; None where there are only faults, nothing where it was not tried."""
    paid: tuple[Paid, ...]
    """In order of time."""
    about: str = ""
    """Benchmark and setting, in small letters below."""


def draw(name: str, album: Album, kind: str = "svg", size: Size | None = None, dpi: int = 300) -> bytes:
    """One picture as the bytes of a file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    painter, natural = PICTURES[name]
    with mpl.rc_context(_style()):
        figure = Figure(figsize=size or natural(album), layout="constrained")
        painter(figure, album)
        if album.about:
            figure.supxlabel(_drawable(album.about), fontsize=5.5, color=QUIET)
        out = io.BytesIO()
        figure.savefig(out, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    return out.getvalue()


_UNDATED: Mapping[str, Mapping[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def _style() -> dict[str, Any]:
    """Small clean axes; nothing that a user's own matplotlibrc could change."""
    import matplotlib as mpl

    return {
        **{
            key: value
            for key, value in mpl.rcParamsDefault.items()
            if not key.startswith(("backend", "date"))
        },
        "font.size": 7,
        "axes.labelsize": 7,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.fontsize": 6,
        "legend.frameon": False,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "sica",
        "text.color": INK,
        "text.parse_math": False,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.labelsize": 6.5,
        "ytick.labelsize": 6.5,
    }


def _drawable(text: str) -> str:
    """The text in what the font has; the rest as boxes rather than as a warning."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(c if ord(c) in known else "\u25a1" for c in clean(text))


# ── the staircase ─────────────────────────────────────────────────────────────────────────────────


def staircase(figure: Any, album: Album) -> None:
    """A dot an agent with its interval, the best so far as a line, new bests named."""
    axes = figure.add_subplot()
    rows = [row for row in reversed(album.rows) if row.score is not None and row.status != "rejected"]
    rejected = [row.agent for row in album.rows if row.status == "rejected"]
    if not rows:
        _nothing(axes, "nothing is measured yet")
        return
    risers = _risers(rows)
    many = len(rows) > MOST_WHISKERS
    _whiskers(axes, [*risers, *(row for row in rows if row.best)] if many else rows)
    plain = [row for row in rows if not row.best]
    axes.plot(
        [r.agent for r in plain],
        [_percent(r) for r in plain],
        "o",
        ms=1.2 if many else _dot(len(rows)),
        mew=0,
        alpha=0.35 if many else 1.0,
        color=QUIET,
        rasterized=many,
        zorder=1 if many else 3,
    )
    xs = [*(r.agent for r in risers), max(r.agent for r in album.rows)]
    axes.step(xs, [*map(_percent, risers), _percent(risers[-1])], where="post", color=BEST, lw=1.2, zorder=2)
    top = [r for r in rows if r.best]
    axes.plot(
        [r.agent for r in top], [_percent(r) for r in top], "D", ms=5, color=BEST, mec="white", zorder=5
    )
    if rejected:
        axes.plot(rejected, [0] * len(rejected), "x", ms=3, color=BAD, clip_on=False, zorder=4)
    axes.set(ylabel="score, % (95% interval)", xlabel="agent, in the order they were made")
    axes.set_ylim(0, 104)
    _whole_numbers(axes.xaxis)
    axes.margins(x=0.04)
    marks = [("best so far", {"color": BEST, "lw": 1.2})]
    marks += [("champion", {"color": BEST, "marker": "D", "ls": "", "ms": 4, "mec": "white"})] if top else []
    marks += [("rejected", {"color": BAD, "marker": "x", "ls": "", "ms": 3})] if rejected else []
    _legend(axes, marks)
    _label(figure, axes, [(r.agent, 100 * (r.high or r.score or 0.0), str(r.agent)) for r in risers], away=2)


def _risers(rows: Sequence[Row]) -> list[Row]:
    """Those that were better than everyone before them."""
    found: list[Row] = []
    for row in rows:
        if not found or (row.score or 0) > (found[-1].score or 0):
            found.append(row)
    return found


def _whiskers(axes: Any, rows: Sequence[Row]) -> None:
    known = [row for row in rows if row.low is not None and row.high is not None]
    axes.vlines(
        [row.agent for row in known],
        [100 * (row.low or 0) for row in known],
        [100 * (row.high or 0) for row in known],
        colors=[BEST if row.best else QUIET for row in known],
        lw=0.7 if len(rows) <= 60 else 0.4,
        alpha=0.9 if len(rows) <= 60 else 0.5,
        zorder=1,
    )


# ── cost ──────────────────────────────────────────────────────────────────────────────────────────


def cost(figure: Any, album: Album) -> None:
    """What has been spent so far, by what for; of a free model, how often it was asked."""
    axes = figure.add_subplot()
    if not album.paid:
        _nothing(axes, "no model was called")
        return
    free = not any(paid.usd for paid in album.paid)
    hours = _hours_at_work([paid.at for paid in album.paid])
    roles = sorted({paid.role for paid in album.paid})
    curves = _running_sums(album.paid, hours, roles, lambda p: p.calls if free else p.usd)
    short = hours[-1] < 1
    xs = [60 * x if short else x for x, _ in curves]
    stacks = [[sums[role] for _, sums in curves] for role in roles]
    axes.stackplot(xs, *stacks, labels=list(map(_drawable, roles)), colors=ROLES, step="post", lw=0)
    axes.set(
        xlabel=f"{'minutes' if short else 'hours'} at work",
        ylabel="model calls (free)" if free else "spent, dollars",
    )
    axes.set_xlim(0, max(xs) or 1)
    axes.set_ylim(0)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left")


def _hours_at_work(times: Sequence[float]) -> list[float]:
    """Since the first, without the time between runs."""
    hours, total = [0.0], 0.0
    for before, after in pairwise(times):
        total += after - before if after - before <= GAP else 0.0
        hours.append(total / 3600)
    return hours


def _running_sums(
    paid: Sequence[Paid], hours: Sequence[float], roles: Sequence[str], worth: Callable[[Paid], float]
) -> list[tuple[float, dict[str, float]]]:
    """At most some hundred points, however many calls there were."""
    sums = dict.fromkeys(roles, 0.0)
    every = max(1, len(paid) // 300)
    points = [(0.0, dict(sums))]
    for at, (one, hour) in enumerate(zip(paid, hours, strict=True), 1):
        sums[one.role] += worth(one)
        if at % every == 0 or at == len(paid):
            points.append((hour, dict(sums)))
    return points


# ── the matrix ────────────────────────────────────────────────────────────────────────────────────


def matrix(figure: Any, album: Album) -> None:
    """Agents by tasks, easy tasks left: darker is better, a cross is a fault, blank was not tried."""
    axes = figure.add_subplot()
    agents = [row for row in reversed(album.rows) if album.cells.get(row.agent)]
    tasks = _by_difficulty(album.cells)
    if not agents:
        _nothing(axes, "nothing is measured yet")
        return
    colours, nan = _scale(), float("nan")
    values = [[_value(album.cells[row.agent].get(task), nan) for task in tasks] for row in agents]
    axes.imshow(values, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    faults = [
        (x, y)
        for y, row in enumerate(agents)
        for x, task in enumerate(tasks)
        if task in album.cells[row.agent] and album.cells[row.agent][task] is None
    ]
    axes.plot([x for x, _ in faults], [y for _, y in faults], "x", ms=3, color=BAD)
    _name_tasks(axes, tasks)
    step = max(1, -(-len(agents) // 40))
    shown = range(0, len(agents), step)
    axes.set_yticks(list(shown), [agents[y].name.removeprefix("agent/") for y in shown])
    axes.set_ylabel("agent")
    axes.tick_params(length=1.5)
    _score_bar(figure, axes, colours)


def _name_tasks(axes: Any, tasks: Sequence[str]) -> None:
    if len(tasks) > MOST_NAMES:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(tasks)} tasks, the easiest left")
        return
    names = [_drawable(_short(task.rpartition("/")[2])) for task in tasks]
    axes.set_xticks(range(len(tasks)), names, rotation=90, fontsize=5.5)


def _short(name: str, most: int = 26) -> str:
    """Both ends of a long name: many begin alike."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[1 - most // 2 :]}"


def _value(score: float | None, otherwise: float) -> float:
    return otherwise if score is None else score


def _by_difficulty(cells: Mapping[int, Mapping[str, float | None]]) -> list[str]:
    scores: dict[str, list[float]] = defaultdict(list)
    for of in cells.values():
        for task, score in of.items():
            scores[task] += [] if score is None else [score]
    return sorted(scores, key=lambda task: (-fmean(scores[task] or [0.0]), task))


# ── the lineage ───────────────────────────────────────────────────────────────────────────────────


def lineage(figure: Any, album: Album) -> None:
    """Agents by generation, filled by score; the way to the champion thick, second parents dashed."""
    axes = figure.add_subplot()
    axes.set_axis_off()
    if not album.rows:
        _nothing(axes, "there is no agent yet")
        return
    rows = {row.agent: row for row in album.rows}
    places, path = _tree(album.rows), best_path(album.rows)
    for row in album.rows:
        for nth, parent in enumerate(row.parents):
            if parent in places:
                _edge(
                    axes, places[parent], places[row.agent], {row.agent, parent} <= path and nth == 0, nth > 0
                )
    colours = _scale()
    size = max(2.0, min(6.5, 55 / len(rows) ** 0.6))
    for number, (x, y) in places.items():
        row = rows[number]
        dead = row.status == "rejected"
        axes.plot(
            [x],
            [y],
            "x" if dead else "D" if row.best else "o",
            ms=size * (0.7 if dead else 1.2 if row.best else 1),
            mfc="none" if row.score is None else colours(row.score),
            mec=BAD if dead else BEST if number in path else QUIET,
            mew=1.2 if number in path else 0.7,
            zorder=3,
        )
    axes.margins(0.08, 0.25 if len(rows) <= 6 else 0.08)
    if any(row.score is not None for row in album.rows):
        _score_bar(figure, axes, colours)
    named = sorted(places, key=lambda n: (n in path, n)) if len(rows) <= 45 else sorted(path)
    _label(figure, axes, [(*places[n], str(n)) for n in named], away=0.85 * size + 1)


def _edge(axes: Any, start: Size, end: Size, strong: bool, second: bool) -> None:
    axes.plot(
        [start[0], end[0]],
        [start[1], end[1]],
        color=BEST if strong else QUIET,
        lw=1.6 if strong else 0.6,
        ls=(0, (3, 2)) if second else "-",
        zorder=2 if strong else 1,
    )


def _tree(rows: Sequence[Row]) -> dict[int, Size]:
    """Generation and height of every agent: leaves evenly, parents amid their children, by first parents."""
    children: dict[int | None, list[int]] = defaultdict(list)
    known = {row.agent for row in rows}
    for row in reversed(rows):
        first = row.parents[0] if row.parents and row.parents[0] in known else None
        children[first].append(row.agent)
    depth, order = {}, []
    stack = [(agent, 0) for agent in reversed(children[None])]
    while stack:
        agent, generation = stack.pop()
        depth[agent] = generation
        order.append(agent)
        stack += [(child, generation + 1) for child in reversed(children[agent])]
    height: dict[int, float] = {}
    leaves = iter(range(len(order)))
    for agent in order:
        if not children[agent]:
            height[agent] = -float(next(leaves))
    for agent in reversed(order):
        if children[agent]:
            height[agent] = fmean(height[child] for child in children[agent])
    return {agent: (float(depth[agent]), height[agent]) for agent in order}


# ── what they share ───────────────────────────────────────────────────────────────────────────────


def _nothing(axes: Any, words: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color=QUIET, transform=axes.transAxes)


def _label(figure: Any, axes: Any, points: Sequence[tuple[float, float, str]], away: float) -> None:
    """Names above points, the last first; one that would lie on another is left out."""
    figure.draw_without_rendering()
    taken: list[Any] = []
    for x, y, name in reversed(points):
        text = axes.annotate(
            name, (x, y), xytext=(0, away), textcoords="offset points", ha="center", fontsize=5.5, color=BEST
        )
        box = text.get_window_extent().padded(1)
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


def _score_bar(figure: Any, axes: Any, colours: Any) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    height = figure.get_size_inches()[1]
    scale = ScalarMappable(Normalize(0, 100), colours)
    bar = figure.colorbar(scale, ax=axes, shrink=min(0.9, 1.3 / height), aspect=14, pad=0.02)
    bar.set_label("score, %", fontsize=6)
    bar.ax.tick_params(labelsize=5.5, length=1.5)
    bar.outline.set_linewidth(0.4)


def _scale() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scores", [LIGHT, "#7aa6b8", DARK])


def _percent(row: Row) -> float:
    return 100 * (row.score or 0.0)


def _dot(rows: int) -> float:
    return 3.2 if rows <= 60 else 2.0


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _legend(axes: Any, marks: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=name, **look) for name, look in marks]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(handles))


def _column(_: Album) -> Size:
    return 3.4, 2.4


def _of_matrix(album: Album) -> Size:
    agents = sum(bool(of) for of in album.cells.values())
    return 7.0, min(9.0, 1.9 + 0.13 * max(agents, 2))


def _of_lineage(album: Album) -> Size:
    leaves = len({y for _, y in _tree(album.rows).values()}) if album.rows else 1
    return 3.4, min(8.5, 1.6 + 0.09 * leaves)


PICTURES: Mapping[str, tuple[Callable[[Any, Album], None], Callable[[Album], Size]]] = {
    "staircase": (staircase, _column),
    "cost": (cost, _column),
    "matrix": (matrix, _of_matrix),
    "lineage": (lineage, _of_lineage),
}
"""By name: what draws it, and how large it is unless a size is given."""
