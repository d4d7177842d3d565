"""`sica bench`."""

from __future__ import annotations

import typer

from sica import report
from sica.cli.invocation import Invocation

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Benchmarks: list them, check their tasks."
)


@app.callback()
def root() -> None:
    """Benchmarks: list them, check their tasks."""


@app.command("list")
def show_all(ctx: typer.Context, as_json: bool = typer.Option(False, "--json", help="One object.")) -> None:
    """List the benchmarks that come with sica."""
    from sica.benchmarks import shipped
    from sica.cli.parts import open_benchmark

    call: Invocation = ctx.obj
    found = {name: len(open_benchmark(call, name).folders) for name in shipped()}
    if as_json:
        call.json("sica.benchmarks/1", benchmarks=[{"name": n, "tasks": count} for n, count in found.items()])
        return
    for name, count in found.items():
        print(f"{name:<16} {report.plural(count, 'task')}")


@app.command()
def check(
    ctx: typer.Context,
    name: str = typer.Argument(..., help="A name or a folder of tasks."),
    task: str = typer.Option("", "--task", help="Only tasks that match this glob."),
    sandbox: str = typer.Option(None, "--sandbox", help="auto, bubblewrap or docker."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Prove the tasks: the reference solution scores 1, doing nothing and cheating score 0. Exit 1 if not."""
    from sica.benchcheck import check as prove
    from sica.cli.parts import open_benchmark, open_sandbox

    call: Invocation = ctx.obj
    places = call.places()
    found = open_benchmark(call, name, [task] if task else [])
    confine = open_sandbox(sandbox or call.settings().config.sandbox, places)
    findings = list(prove(found, confine))
    if as_json:
        call.json("sica.bench.check/1", benchmark=found.name, findings=[str(f) for f in findings])
    for finding in findings if not as_json else ():
        print(report.clean(str(finding)))
