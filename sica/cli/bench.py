"""`sica bench`."""

from __future__ import annotations

from dataclasses import asdict
from fnmatch import fnmatchcase

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation, examples
from sica.errors import no_such

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Benchmarks: list them, check their tasks.",
)


@app.callback()
def root() -> None:
    """Benchmarks: list them, check their tasks."""


@app.command("list", epilog=examples("sica bench list --json"))
def show_all(ctx: typer.Context, as_json: bool = typer.Option(False, "--json", help="One object.")) -> None:
    """List the benchmarks that come with sica."""
    from sica.benchmarks import shipped
    from sica.cli.parts import open_benchmark

    call: Invocation = ctx.obj
    found = {name: len(open_benchmark(call, name).folders) for name in shipped()}
    if as_json:
        call.json(
            "sica.benchmarks/1", benchmarks=[{"name": n, "n_tasks": count} for n, count in found.items()]
        )
        return
    for name, count in found.items():
        print(f"{name:<16} {report.plural(count, 'task')}")


@app.command(epilog=examples("sica bench check ./tasks", "sica bench check core --task 'fix-*'"))
def check(
    ctx: typer.Context,
    name: str = typer.Argument(
        ..., help="A name or a folder of tasks.", autocompletion=completion.benchmarks
    ),
    task: str = typer.Option("", "--task", help="Only tasks that match this glob."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Prove the tasks: the reference solution scores 1, doing nothing and cheating score 0. Exit 1 if not."""
    from sica import benchcheck
    from sica.cli.parts import open_benchmark, sandbox_for

    call: Invocation = ctx.obj
    found = open_benchmark(call, name, [task] if task else [])
    names = [n for n in sorted(found.paths()) if fnmatchcase(n, task or "*")]
    if not names:
        raise no_such("task", report.clean(task), sorted(found.paths()))
    results = []
    with sandbox_for(sandbox or call.settings().config.sandbox, call.places()) as confine:
        for result in benchcheck.check(found, confine, names):
            results.append(result)
            if not as_json and result.verdict != "ok":
                print(
                    f"{report.clean(result.task)}  {result.rule}: {result.verdict}  {report.clean(result.why)}"
                )
    code = benchcheck.exit_code(results)
    if as_json:
        call.json(
            "sica.bench.check/1", benchmark=found.name, ok=code == 0, results=[asdict(r) for r in results]
        )
    else:
        proved = sum(r.verdict == "ok" for r in results)
        print(
            f"{found.name}: {report.plural(len(names), 'task')}, {proved} of {report.plural(len(results), 'check')} ok"
        )
    raise typer.Exit(1 if code else 0)
