"""`sica bench`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli import completion, mined
from sica.cli.invocation import Invocation, examples

if TYPE_CHECKING:
    from sica.benchcheck import CheckResult
    from sica.model import Files

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Benchmarks: list them, check their tasks, make some of a seed or of a repository.",
)


@app.callback()
def root() -> None:
    """Benchmarks: list them, check their tasks, make some of a seed or of a repository."""


@app.command("list", epilog=examples("sica bench list --json"))
def show_all(ctx: typer.Context, as_json: bool = typer.Option(False, "--json", help="One object.")) -> None:
    """List the benchmarks that come with sica."""
    from sica import suites
    from sica.benchmarks import shipped
    from sica.cli.parts import open_benchmark

    call: Invocation = ctx.obj
    found = {
        name: suites.size(name) if name in suites.NAMES else len(open_benchmark(call, name).paths())
        for name in shipped()
    }
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
        ...,
        help="A name, such as core or core/fix-ledger, or a folder of tasks.",
        autocompletion=completion.benchmarks,
    ),
    task: str = typer.Option("", "--task", help="Only tasks that match this glob."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Prove the tasks: the reference solution scores 1, doing nothing and cheating score 0. Exit 1 if not.

    It needs no project and no model, and runs every task in boxes.
    """
    from sica import benchcheck, places
    from sica.cli.parts import open_benchmark, sandbox_for

    call: Invocation = ctx.obj
    found = open_benchmark(call, name, [task] if task else [])
    names = found.selected()
    here = places.find(call.folder, call.environ) or places.at(call.folder, call.environ)
    results: list[CheckResult] = []
    done = 0
    with sandbox_for(sandbox or call.settings().config.sandbox, here) as confine:
        try:
            for each in names:
                call.passing(f"{found.name}: {done + 1} of {len(names)}: {each}")
                for result in benchcheck.check(found, confine, [each]):
                    results.append(result)
                    if not as_json and result.verdict != "ok":
                        call.passing("")
                        print(_line(result), flush=True)
                done += 1
        except KeyboardInterrupt:
            call.say(f"sica: interrupted after {done} of {report.plural(len(names), 'task')}")
            raise typer.Exit(130) from None
        finally:
            call.passing("")
    ok = benchcheck.exit_code(results) == 0
    if as_json:
        call.json("sica.bench.check/1", benchmark=found.name, ok=ok, results=[asdict(r) for r in results])
    else:
        print(_sum(found.name, len(names), results))
    raise typer.Exit(0 if ok else 1)


@app.command(
    epilog=examples(
        "sica bench make edit --seed 7 --to tasks/edit",
        "sica bench make fix --seed 7 --count 40 --to tasks/fix",
    )
)
def make(
    ctx: typer.Context,
    suite: str = typer.Argument(
        ..., help="edit, locate, fix, spec, refactor, shell, history, perf, self, integrity; or quick, suites.",
        autocompletion=completion.suites,
    ),
    seed: int = typer.Option(..., "--seed", help="Another seed gives other tasks."),
    to: Path = typer.Option(..., "--to", help="A new folder for the tasks."),
    count: int = typer.Option(
        None, "--count", help="Tasks to make, the four levels in turn.", show_default="as shipped"
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:  # fmt: skip
    """Make a built-in suite anew from a seed: the same seed gives the same tasks, byte for byte.

    Nothing is run and no model is asked. What comes with sica is one such seed (`sica bench list`).
    """
    from sica import suites
    from sica.benchmarks.suites import vacant, write

    call: Invocation = ctx.obj
    out = call.folder / to
    tasks: dict[str, Files] = {}
    for name, files in suites.make(suite, seed, count):
        tasks[name] = files
        call.passing(f"{suite}: {report.plural(len(tasks), 'task')}")
    vacant(out)
    call.passing("")
    told: dict[str, Any] = {
        "suite": suite,
        "seed": seed,
        "generator": suites.VERSION,
        "digest": suites.digest(tasks),
        "tasks": list(tasks),
    }
    write(tasks, out, {"schema": "sica.made/1", **told})
    if as_json:
        call.json("sica.made/1", folder=str(to), **told)
        return
    print(f"{to}: {report.plural(len(tasks), 'task')} of {suite}, seed {seed}, {told['digest'][:12]}")
    call.say(f"Next:  sica bench check {to}")


app.command("locate", epilog=examples(*mined.LOCATE_EXAMPLES))(mined.locate)
app.command("edits", epilog=examples(*mined.EDITS_EXAMPLES))(mined.edits)


def _line(result: CheckResult) -> str:
    return f"{report.clean(result.task)}  {result.rule}: {result.verdict}  {report.clean(result.why)}"


def _sum(benchmark: str, tasks: int, results: Sequence[CheckResult]) -> str:
    """Advice and what is left out are no checks that failed."""
    counted = [result for result in results if result.verdict not in ("advice", "unsupported")]
    proved = sum(result.verdict == "ok" for result in counted)
    left_out = len({result.task for result in results if result.verdict == "unsupported"})
    parts = [report.plural(tasks, "task"), f"{proved} of {report.plural(len(counted), 'check')} ok"]
    return f"{benchmark}: {', '.join([*parts, *([f'{left_out} left out'] if left_out else [])])}"
