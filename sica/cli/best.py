"""`sica best`."""

from __future__ import annotations

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.options import BENCH, UNDER
from sica.cli.reading import Reading
from sica.errors import UsageError, no_such
from sica.report import Row
from sica.stats import overstatement

KEYS = ("champion", "score", "low", "cheap")


EXAMPLES = (
    "sica best --by low",
    'sica git archive "agent/$(sica best --json | jq .agent)" | tar x -C agent',
)


def command(
    ctx: typer.Context,
    by: str = typer.Option(
        "champion",
        "--by",
        help="champion, score, low (end of the interval) or cheap.",
        autocompletion=completion.one_of("champion", "score", "low", "cheap"),
    ),
    bench: str = BENCH,
    under: str = UNDER,
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Name the best agent.

    The champion was confirmed on fresh attempts; the highest score alone is a winner's curse.
    """
    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    if by not in KEYS:
        raise no_such("measure", by, list(KEYS))
    name = reading.benchmark(bench, call.setting("bench", "core"))
    rows = reading.rows(name) if by == "low" else reading.lineage(name)
    races = reading.races(name)
    measured = [r for r in rows if r.score is not None and r.status != "rejected" and r.commit not in races]
    if by == "champion":
        found = next((r for r in rows if r.best), None)
    elif by == "cheap":
        found = min(
            measured, key=lambda r: (r.cost_usd / max(1e-9, r.n * (r.score or 0)), r.agent), default=None
        )
    else:
        found = max(
            measured, key=lambda r: ((r.low if by == "low" else r.score) or 0, -r.agent), default=None
        )
    if found is None:
        raise UsageError("nothing is measured yet", "sica evolve")
    (found,) = reading.compared([found], name)
    if as_json:
        call.json("sica.best/1", **reading.measured_on(name), **report.fields(found))
    else:
        score = report.with_interval(found.score, found.interval)
        print(f"{found.name}  {score}  n={found.n}  {found.subject}")
        if by in ("score", "low"):
            _warn_of_the_curse(call, found, len(measured))


def _warn_of_the_curse(call: Invocation, found: Row, tried: int) -> None:
    """The best of many is best by luck too."""
    mean = found.score or 0.0
    flattered = 100 * overstatement(tried, mean * (1 - mean), found.n)
    if flattered >= 0.05:
        call.say(
            f"the best of {tried} measured agents: were all equally good, it would be up to {flattered:.1f}"
            f" points too high; sica eval {found.agent} --fresh measures it again"
        )
