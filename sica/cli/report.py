"""`sica report`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli.invocation import Invocation, write_whole
from sica.cli.options import BENCH, UNDER
from sica.cli.reading import Reading, glimpse
from sica.errors import UsageError
from sica.ledger import SqliteLedger
from sica.model import Agent, Trial
from sica.report import Row

if TYPE_CHECKING:
    from sica.account import Facts

EXAMPLES = (
    "sica report                        report.html, report.md and pictures in sica-report/",
    "sica report -o paper --no-heldout  without a look at held-out scores",
    "sica report -o - > report.md       only the Markdown",
)


def command(
    ctx: typer.Context,
    output: str = typer.Option(
        "sica-report", "--output", "-o", metavar="FOLDER", help="Where to write; - prints the Markdown."
    ),
    heldout: bool = typer.Option(
        True, "--heldout/--no-heldout", help="Show held-out scores; that look is recorded."
    ),
    bench: str = BENCH,
    under: str = UNDER,
    as_json: bool = typer.Option(False, "--json", help="One object instead of pages."),
) -> None:
    """Write what evolution came to, with everything that speaks against it: report.html, report.md, pictures.

    Seed, champion and IID control on the search's tasks and on held-out ones; how many children were tried, rejected
    and lost to faults; how much luck there is in the best of many; what is not separable from noise; integrity
    findings; money by role; every setting that it takes to repeat the runs.

    Nothing is measured here: sica eval 0 best --split heldout measures held-out tasks. Each time held-out scores are
    shown is recorded, and the report says how often that was.
    """
    from sica.account import document, flat, title
    from sica.pages import html, markdown

    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    name = reading.benchmark(bench, call.setting("bench", "core"))
    facts = _facts(call, reading, name, heldout)
    if as_json:
        call.json("sica.report/1", **flat(facts))
        return
    blocks = document(facts)
    if output == "-":
        call.page(markdown(blocks, {}).splitlines())
        return
    folder = _folder(call, output)
    pictures = _pictures(reading, name)
    for picture, data in pictures.items():
        write_whole(folder / f"{picture}.svg", data)
    words = markdown(blocks, {picture: f"{picture}.svg" for picture in pictures})
    write_whole(folder / "report.md", words.encode())
    page = html(title(facts), blocks, pictures)
    write_whole(folder / "report.html", page.encode())
    call.say(
        f"wrote {folder / 'report.html'} ({report.count(len(page))} bytes), report.md and {len(pictures)} pictures"
    )


def _folder(call: Invocation, output: str) -> Path:
    folder = call.folder / output
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{output} is a file", "-o takes a folder")
    if not folder.parent.is_dir():
        raise UsageError(f"{folder.parent} is not a folder", "-o takes a folder in a folder that is there")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{output} cannot be made: {error.strerror}", "-o takes a folder") from error
    return folder


def _pictures(reading: Reading, name: str) -> dict[str, bytes]:
    from sica.plots import PICTURES, draw

    album = reading.album(name)
    return {picture: draw(picture, album) for picture in PICTURES}


def _facts(call: Invocation, reading: Reading, name: str, heldout: bool) -> Facts:
    from sica.account import Facts, is_control

    if not reading.agents:
        raise UsageError("there is no agent to report on", "sica init")
    ledger, agents = reading.ledger, {a.commit: a for a in reading.agents}
    runs = ledger.runs()
    controls = {run.id for run in runs if is_control(run)}
    searched = any(run.config.get("kind") == "evolve" and run.id not in controls for run in runs)
    rows = tuple(reading.compared(reading.lineage(name), name))
    promotions = [p for p in ledger.promotions() if p.run not in controls or not searched]
    seed = reading.agents[0].commit
    champion = promotions[-1].agent if promotions else seed
    control = _best_of(rows, [a for a in reading.agents if a.run in controls and seed in a.parents])
    people = list(dict.fromkeys([seed, champion, *control]))
    shown = {c: reading.trials(agents[c], name, "heldout") for c in people} if heldout else {}
    _remember(call, reading, name, shown)
    return Facts(
        at=time.time(),
        benchmark=name,
        setting=reading.setting(name),
        tasks=ledger.tasks(name),
        rows=rows,
        agents=agents,
        runs=runs,
        used={run.id: ledger.used(run.id) for run in runs},
        prices={run.id: ledger.prices(run.id) for run in runs},
        paid=ledger.paid(),
        improvements=ledger.improvements(),
        promotions=promotions,
        champion=champion,
        control=next(iter(control), ""),
        trials={c: reading.trials(agents[c], name) for c in {*people, *(p.agent for p in promotions)}},
        heldout={commit: of for commit, of in shown.items() if of},
        ended=ledger.ended(name),
        flagged=ledger.flagged(name),
        glimpses=ledger.glimpses(),
        looked=heldout,
    )


def _best_of(rows: Sequence[Row], agents: Sequence[Agent]) -> list[str]:
    """The commit of the agent with the best score on what is not held out; none without a score."""
    scores = {row.commit: row.score for row in rows}
    known = [(score, -a.number, a.commit) for a in agents if (score := scores[a.commit]) is not None]
    return [max(known)[2]] if known else []


def _remember(call: Invocation, reading: Reading, name: str, shown: Mapping[str, Sequence[Trial]]) -> None:
    """Before anything is shown, and durable: a report whose look cannot be recorded is not made."""
    seen = [a for a in reading.agents if shown.get(a.commit)]
    if seen:
        with SqliteLedger.open(reading.places.db) as writing:
            writing.glimpsed(glimpse(call, "report", name, seen, sum(map(len, shown.values()))))
