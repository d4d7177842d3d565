"""`sica tasks`."""

from __future__ import annotations

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation

EXAMPLES = (
    "sica tasks",
    "sica tasks --bench ./tasks --plain",
)


def command(
    ctx: typer.Context,
    bench: str = typer.Option(
        None, "--bench", help="A name or a folder of tasks.", autocompletion=completion.benchmarks
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
    plain: bool = typer.Option(False, "--plain", help="One task a line, tab-separated."),
) -> None:
    """List a benchmark's tasks: split, level, how they are graded, and why some cannot be run here."""
    from sica.cli.parts import open_benchmark

    call: Invocation = ctx.obj
    config = call.settings().config
    found = open_benchmark(call, bench or config.bench)
    left_out = found.unsupported_in("bubblewrap" if config.sandbox == "bubblewrap" else "docker")
    tasks = [found.task(name) for name in found.folders if name not in left_out]
    if as_json:
        records = [
            {
                "task": t.id,
                "split": t.split,
                "level": t.level,
                "kind": t.kind,
                "grading": t.grading,
                "seconds": t.limits.seconds,
                "calls": t.budget.calls,
                "weight": t.weight,
                "digest": t.digest,
            }
            for t in tasks
        ]
        call.json("sica.tasks/1", benchmark=found.name, tasks=records, unsupported=left_out)
        return
    lines = [
        [
            report.clean(t.name),
            t.split,
            str(t.level),
            report.clean(t.kind),
            t.grading,
            report.duration(t.limits.seconds),
            "" if t.budget.calls is None else f"{t.budget.calls}",
        ]
        for t in tasks
    ]
    if plain:
        call.page("\t".join(line) for line in lines)
        return
    look = call.look()
    header = ("task", "split", "level", "kind", "grading", "time", "calls")
    text = list(report.table(lines, "<<><<>>", look, header=header, flexible=0))
    text += [
        f"{report.clean(n)}: cannot be run here: {report.clean('; '.join(why))}"
        for n, why in left_out.items()
    ]
    splits = {split: sum(t.split == split for t in tasks) for split in ("train", "dev", "heldout")}
    counted = ", ".join(f"{n} {split}" for split, n in splits.items() if n)
    call.page(
        [*text, "", f"{found.name}: {report.plural(len(tasks), 'task')}{f' ({counted})' if counted else ''}"]
    )
