"""`sica plot`."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation, write_whole
from sica.cli.options import BENCH, UNDER
from sica.cli.reading import Reading
from sica.errors import UsageError, no_such

NAMES = ("staircase", "cost", "matrix", "lineage")
KINDS = ("svg", "png", "pdf")

EXAMPLES = (
    "sica plot staircase -o staircase.pdf",
    "sica plot matrix -o matrix.png --size 7x4 --dpi 200",
)


def command(
    ctx: typer.Context,
    what: str = typer.Argument(
        ..., help="staircase, cost, matrix or lineage.", autocompletion=completion.one_of(*NAMES)
    ),
    output: Path = typer.Option(
        None, "--output", "-o", metavar="FILE", help="NAME.svg, NAME.png or NAME.pdf; default: WHAT.svg here."
    ),
    size: str = typer.Option("", "--size", metavar="WxH", help="Inches; default: what suits a paper."),
    dpi: int = typer.Option(300, "--dpi", min=30, max=1200, help="Dots an inch, of a PNG."),
    bench: str = BENCH,
    under: str = UNDER,
) -> None:
    """Draw the archive for a paper: the same bytes for the same archive, readable in one column and in grey.

    staircase: every agent's score with its interval, the best so far, the champion. cost: what was spent, by what
    for. matrix: agents by tasks, the easiest left. lineage: who descends from whom, filled by score.
    """
    call: Invocation = ctx.obj
    if what not in NAMES:
        raise no_such("plot", report.clean(what), list(NAMES))
    path = output or Path(f"{what}.svg")
    kind = path.suffix.removeprefix(".").lower()
    if kind not in KINDS:
        raise UsageError(f"{path} is no kind of picture that can be drawn", f"-o {what}.svg, .png or .pdf")
    inches = _inches(size)
    reading = Reading.of(call, under)
    album = reading.album(reading.benchmark(bench, call.setting("bench", "core")))
    from sica.plots import draw

    data = draw(what, album, kind, inches, dpi)
    where = path if path.is_absolute() else call.folder / path
    if not where.parent.is_dir():
        raise UsageError(f"{where.parent} is not a folder", "-o takes a file in a folder that is there")
    write_whole(where, data)
    call.say(f"wrote {path}: {report.count(len(data))} bytes")


def _inches(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)[x×](\d+(?:\.\d+)?)", text.strip())
    if not found or not all(0.5 <= float(side) <= 40 for side in found.groups()):
        raise UsageError(
            f"--size {report.clean(text)!r} is no size", "--size 3.4x2.4: inches, each from 0.5 to 40"
        )
    return float(found[1]), float(found[2])
