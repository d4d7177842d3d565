"""`sica diff`."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.options import BENCH, UNDER
from sica.cli.reading import Reading
from sica.errors import UsageError
from sica.model import Agent, Trial
from sica.scoring import Difference, difference, measured, p_value, verdict
from sica.stats import Comparison

EXAMPLES = (
    "sica diff 0 best",
    "sica diff 7 --code    what its parent did not have",
)


def command(
    ctx: typer.Context,
    old: str = typer.Argument(
        ..., help="An agent; alone, it is compared with its parent.", autocompletion=completion.agents
    ),
    new: str = typer.Argument("", help="The agent to compare it with.", autocompletion=completion.agents),
    stat: bool = typer.Option(False, "--stat", help="Files and counts instead of the code."),
    tasks: bool = typer.Option(False, "--tasks", help="Only the tasks that changed, all of them."),
    code: bool = typer.Option(False, "--code", help="Only the code, as git says it."),
    bench: str = BENCH,
    under: str = UNDER,
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Show what changed between two agents: score, tasks gained and lost, code."""
    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    before, after = _pair(reading, old, new)
    name = reading.benchmark(bench, call.setting("bench", "core"))
    sides = reading.trials(before, name), reading.trials(after, name)
    known = difference(*sides, reading.kinds(name))
    found = known.found
    if as_json:
        call.json(
            "sica.diff/1",
            **reading.measured_on(name),
            old=before.number,
            new=after.number,
            **known.record(),
            diff=reading.repo.diff(before.commit, after.commit),
        )
        return
    look = call.look()
    lines: list[str] = []
    if not code:
        lines += [*_scores(sides, known), "", *_flips(found, look, whole=tasks)]
    if not tasks:
        options = ("--stat",) if stat else ("--stat", "--patch")
        text = reading.repo.diff(before.commit, after.commit, *(() if code else options))
        lines += [*([] if code else [""]), *_coloured(report.clean_block(text), look)]
    call.page(lines)


def _pair(reading: Reading, old: str, new: str) -> tuple[Agent, Agent]:
    first = reading.find(old)
    if new:
        return first, reading.find(new)
    parent = reading.parent(first)
    if parent is None:
        raise UsageError(f"{first.name} has no parent to compare it with", f"sica diff {first.number} OTHER")
    return parent, first


def _scores(sides: tuple[Sequence[Trial], Sequence[Trial]], known: Difference) -> Iterator[str]:
    scores = " → ".join(report.percent(measured(side)[0]) for side in sides)
    found = known.found
    same = found.tasks - len(found.gained) - len(found.lost)
    if found.tasks:
        yield (
            f"score   {scores}   {report.signed(found.difference)}   {len(found.gained)} gained, "
            f"{len(found.lost)} lost, {same} same   {p_value(found.p)} ({found.test})"
        )
        span = f": 95% interval of the difference {known.span}" if known.span else ""
        yield f"        {verdict(found)}{span}"
        if known.advice:
            yield known.advice
    else:
        yield f"score   {scores}   no task in common"
    cost = " → ".join(report.money(sum(t.usage.usd for t in side)) for side in sides)
    tokens = " → ".join(report.count(sum(t.usage.tokens for t in side)) for side in sides)
    calls = " → ".join(
        f"{statistics.median(t.usage.calls for t in side):g}" if side else "…" for side in sides
    )
    yield f"cost    {cost}   tokens {tokens}   median calls {calls}"


def _flips(found: Comparison, look: report.Look, *, whole: bool) -> Iterator[str]:
    for word, style, tasks in (("gained", "good", found.gained), ("lost", "bad", found.lost)):
        names = [report.clean(task.rpartition("/")[2]) for task in tasks]
        label = look.paint(style, f"{word} ({len(names)})")
        if whole:
            yield label
            yield from (f"  {name}" for name in names)
        else:
            shown = report.cut("  ".join(names), look.width - len(word) - 8, look.glyphs.more)
            yield f"{label}  {shown}".rstrip()


def _coloured(text: str, look: report.Look) -> Iterator[str]:
    for line in text.splitlines():
        style = {"+": "added", "-": "removed", "@": "hunk"}.get(line[:1], "")
        if line.startswith(("diff --git", "--- ", "+++ ", "index ")):
            style = "bold"
        yield look.paint(style, line) if style else line
