"""`sica log`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.options import BENCH, UNDER
from sica.cli.reading import Reading
from sica.errors import UsageError, no_such
from sica.report import Row

SORTS: dict[str, Callable[[Row], object]] = {
    "number": lambda r: -r.agent,
    "score": lambda r: (-(r.score if r.score is not None else -1.0), r.agent),
    "change": lambda r: (-(r.change if r.change is not None else -9.0), r.agent),
    "cost": lambda r: (-r.cost_usd, r.agent),
}


EXAMPLES = (
    "sica log --best-path",
    "sica log --all --sort score",
    "sica log --format '{agent} {score} {subject}'",
)


def command(
    ctx: typer.Context,
    everything: bool = typer.Option(False, "--all", "-a", help="Every agent."),
    best_path: bool = typer.Option(False, "--best-path", help="Only the way from the seed to the best."),
    of: str = typer.Option(
        "", "--of", metavar="AGENT", help="Its ancestors and descendants.", autocompletion=completion.agents
    ),
    failed: bool = typer.Option(False, "--failed", help="Only rejected agents."),
    last: int = typer.Option(0, "-n", "--last", min=0, help="Only the newest so many."),
    sort: str = typer.Option(
        "number",
        "--sort",
        help="number, score, change or cost; without lanes.",
        autocompletion=completion.one_of("number", "score", "change", "cost"),
    ),
    bench: str = BENCH,
    under: str = UNDER,
    as_json: bool = typer.Option(False, "--json", help="One object with a list of agents."),
    plain: bool = typer.Option(False, "--plain", help="One agent a line, tab-separated, no lanes."),
    template: str = typer.Option("", "--format", help="A line an agent: '{agent} {score} {subject}'."),
) -> None:
    """Show the lineage with scores.

    Unasked: the way from the seed to the best, the frontier and the ten newest; --all shows every agent.

    An agent's status is evaluated, ready (passed the gate, no score yet), unchecked or rejected. The change is
    against the first parent, on the attempts that both have, as in show and diff; a dim one is not more than noise.
    """
    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    if sort not in SORTS:
        raise no_such("order", sort, list(SORTS))
    name = reading.benchmark(bench, call.setting("bench", "core"))
    everyone = reading.lineage(name)
    whole = as_json or plain or bool(template)
    shown = _chosen(reading, everyone, everything or whole, best_path, of, failed, last)
    visible = reading.at_work(reading.compared((r for r in everyone if r.agent in shown), name), name)
    rows = sorted(visible, key=SORTS[sort])  # type: ignore[arg-type]
    if as_json:
        best = next((r.agent for r in everyone if r.best), None)
        call.json(
            "sica.log/1", **reading.measured_on(name), best=best, agents=[report.fields(r) for r in rows]
        )
    elif template:
        call.page(_formatted(template, rows))
    elif plain:
        call.page("\t".join(_plain(row)) for row in rows)
    elif not everyone:
        call.say("no agent yet; sica init seeds agent/0")
    elif sort != "number":
        call.page([*_flat(rows, call.look()), *_footer(reading, name, rows), *_cursed(sort, rows)])
    else:
        hint = "--all" if not (best_path or of or failed or last) else "not asked for"
        call.page([*report.log(everyone, visible, call.look(), hint), *_footer(reading, name, rows)])


def _chosen(
    reading: Reading,
    everyone: Sequence[Row],
    everything: bool,
    best_path: bool,
    of: str,
    failed: bool,
    last: int,
) -> set[int]:
    chosen = {row.agent for row in everyone}
    asked = best_path or of or failed or last
    if best_path:
        chosen &= report.best_path(everyone)
    if of:
        chosen &= report.descent(everyone, reading.find(of).number)
    if failed:
        chosen &= {row.agent for row in everyone if row.status == "rejected"}
    if last:
        chosen &= {row.agent for row in [r for r in everyone if r.agent in chosen][:last]}
    return chosen if asked or everything else report.interesting(everyone)


def _formatted(template: str, rows: Sequence[Row]) -> list[str]:
    try:
        return [report.fill(template, row) for row in rows]
    except (KeyError, IndexError) as error:
        raise no_such("field", str(error).strip("'"), list(Row.__slots__)) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--format {template!r}: {error}", "{agent} {score} {subject}; {{ is a brace"
        ) from None


def _plain(row: Row) -> list[str]:
    score = "" if row.score is None else f"{row.score:.4f}"
    low, high = (
        (f"{row.low:.4f}", f"{row.high:.4f}") if row.low is not None and row.high is not None else ("", "")
    )
    change = "" if row.change is None else f"{row.change:+.4f}"
    parents = ",".join(str(p) for p in row.parents)
    best = "best" if row.best else ""
    facts = [str(row.agent), row.commit, parents, row.status, best, score, low, high, str(row.n), change]
    return [*facts, f"{row.cost_usd:.6f}", row.subject, row.reason]


def _flat(rows: Sequence[Row], look: report.Look) -> list[str]:
    lines = [
        [
            look.glyphs.mark(row),
            row.name,
            report.with_margin(row.score, row.interval),
            report.signed(row.change),
            report.money(row.cost_usd),
            row.reason or row.subject,
        ]
        for row in rows
    ]
    return list(report.table(lines, "<<<>><", look))


def _footer(reading: Reading, name: str, rows: Sequence[Row]) -> Iterator[str]:
    sizes = sorted({row.n for row in rows if row.n})
    if not sizes:
        yield "nothing is measured yet: sica eval 0   or   sica evolve"
        return
    n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    methods = " or ".join(sorted({row.method for row in rows if row.method}, reverse=True))
    yield f"± half the 95% interval ({methods}); change against the first parent"
    yield from _unclear(rows)
    elsewhere = reading.ledger.imported(name)
    taken = f"; {report.plural(elsewhere, 'trial')} measured in another archive" if elsewhere else ""
    yield f"{name}, n={n}, {reading.footer(name)}".removesuffix(", ") + taken


def _cursed(sort: str, rows: Sequence[Row]) -> Iterator[str]:
    measured = sum(row.score is not None for row in rows)
    if sort in ("score", "change") and measured > 1:
        yield f"the first of {measured} is first by luck too (winner's curse): sica best --by score says how much"


def _unclear(rows: Sequence[Row], most: int = 12) -> Iterator[str]:
    """Which changes may be noise: in words too, as dim letters are not seen in a pipe."""
    unclear = [row for row in rows if row.change and not row.separable]
    changed = sum(bool(row.change) for row in rows)
    if not unclear:
        return
    if len(unclear) == changed > 1:
        yield f"not separable from noise: all {changed} changes"
    elif len(unclear) <= most:
        yield "not separable from noise: the change of " + ", ".join(row.name for row in unclear)
    else:
        yield f"not separable from noise: {len(unclear)} of {changed} changes"
