"""`sica bench`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli import completion, health, mined, options, refreshing, sealed
from sica.cli.invocation import Invocation, examples

if TYPE_CHECKING:
    from sica.benchcheck import CheckResult, Rule
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


@app.command(
    epilog=examples(
        "sica bench check ./tasks",
        "sica bench check core --task 'fix-*'",
        "sica bench check suites --sandbox docker --rule oracle --rule nothing --jobs 4",
    )
)
def check(
    ctx: typer.Context,
    name: str = typer.Argument(
        ...,
        help="A name, such as core or core/fix-ledger, or a folder of tasks.",
        autocompletion=completion.benchmarks,
    ),
    task: list[str] = options.TASK,
    rule: list[str] = typer.Option(
        [], "--rule", help="Only this rule; may be repeated. All without it.", autocompletion=completion.rules
    ),
    jobs: int = typer.Option(2, "--jobs", min=1, help="Tasks checked at a time."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Prove the tasks: the reference solution scores 1, doing nothing and cheating score 0, and more.

    It needs no project and no model, and runs every task in boxes. Rules, and the exit code when that one alone
    fails: form 1, oracle 11, nothing 12, vandal and cheats 13, stable 14, partial 15, coverage 16; 1 when several
    fail or the harness does. docs/tasks.md says what each of them asks.
    """
    from sica import benchcheck, places
    from sica.cli.checking import Checking
    from sica.cli.parts import open_benchmark, sandbox_for

    call: Invocation = ctx.obj
    found = open_benchmark(call, name, task or [])
    names = found.selected()
    wanted = [_rule(each) for each in rule] or benchcheck.RULES
    here = places.find(call.folder, call.environ) or places.at(call.folder, call.environ)
    results: list[CheckResult] = []
    with sandbox_for(sandbox or call.settings().config.sandbox, here) as confine:
        course = Checking(found, confine, names, wanted, jobs)
        try:
            for result in course.results():
                results.append(result)
                if not as_json and result.verdict != "ok":
                    call.passing("")
                    print(_line(result), flush=True)
                call.passing(
                    f"{found.name}: {course.done} of {len(names)} done: {result.task}  {result.rule}"
                )
        except KeyboardInterrupt:
            call.say(f"sica: interrupted after {course.done} of {report.plural(len(names), 'task')}")
            raise typer.Exit(130) from None
        finally:
            call.passing("")
    results.sort(key=lambda result: names.index(result.task))  # as they are listed, not as they ended
    code = benchcheck.exit_code(results)
    if as_json:
        call.json(
            "sica.bench.check/1", benchmark=found.name, ok=code == 0, results=[asdict(r) for r in results]
        )
    else:
        print(_sum(found.name, len(names), results))
    raise typer.Exit(code)


def _rule(word: str) -> Rule:
    from sica.benchcheck import RULES
    from sica.errors import no_such

    for known in RULES:
        if word == known:
            return known
    raise no_such("rule", word, [*RULES])


@app.command(
    epilog=examples(
        "sica bench make edit --seed 7 --to tasks/edit",
        "sica bench make fix --seed 7 --count 40 --heldout 0.3 --to tasks/fix",
        "sica bench make spec --sealed --agent best --to tasks/unseen",
    )
)
def make(
    ctx: typer.Context,
    suite: str = typer.Argument(
        ..., help="edit, locate, fix, spec, refactor, shell, history, perf, self, integrity, smoke; or quick, suites.",
        autocompletion=completion.suites,
    ),
    seed: int = typer.Option(None, "--seed", help="Another seed gives other tasks."),
    to: Path = typer.Option(..., "--to", help="A new folder for the tasks."),
    count: int = typer.Option(
        None, "--count", help="Tasks to make, the four levels in turn.", show_default="as shipped"
    ),
    held: float = typer.Option(
        0.0, "--heldout", min=0, max=1, help="Share of the tasks that is held out; each task's own hash decides."
    ),
    sealed_: bool = typer.Option(
        False, "--sealed", help="All held out, of a seed that follows from a seal and the agent's tree."
    ),
    agent: str = typer.Option(
        "best", "--agent", help="With --sealed: the agent to be measured.", autocompletion=completion.agents
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:  # fmt: skip
    """Make a built-in suite anew from a seed: the same seed gives the same tasks, byte for byte.

    Nothing is run and no model is asked. What comes with sica is one such seed (`sica bench list`).
    """
    from sica import heldout, suites
    from sica.benchmarks.suites import write
    from sica.mining.folder import vacant

    call: Invocation = ctx.obj
    out = call.folder / to
    _one_seed(seed, sealed_, held)
    by = sealed.opened(call, suite, agent) if sealed_ else None
    seed = by.seed if by else seed

    def split(name: str) -> str:
        return "heldout" if by else heldout.drawn(f"{suite}:{seed}:{name}", held) if held else ""

    tasks: dict[str, Files] = {}
    for name, files in suites.make(suite, seed, count, split):
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
        **({"heldout": held} if held else {}),
        **({**by.told, "count": count} if by else {}),
    }
    write(tasks, out, {"schema": "sica.made/1", **told})
    if as_json:
        call.json("sica.made/1", folder=str(to), **told)
        return
    print(f"{to}: {report.plural(len(tasks), 'task')} of {suite}, seed {seed}, {told['digest'][:12]}")
    call.say(f"Next:  sica bench check {shlex.quote(str(to))}")


def _one_seed(seed: int | None, sealed_: bool, held: float) -> None:
    from sica.errors import UsageError

    if sealed_ and (seed is not None or held):
        raise UsageError(
            "--sealed: takes its seed from the seal, and holds all tasks out", "leave --seed and --heldout"
        )
    if not sealed_ and seed is None:
        raise UsageError("--seed is missing", "sica bench make edit --seed 7 --to tasks/edit, or --sealed")


app.command("seal", epilog=examples(*sealed.SEAL_EXAMPLES))(sealed.seal)
app.command("unseal", epilog=examples(*sealed.UNSEAL_EXAMPLES))(sealed.unseal)
app.command("locate", epilog=examples(*mined.LOCATE_EXAMPLES))(mined.locate)
app.command("mine", epilog=examples(*mined.MINE_EXAMPLES))(mined.mine)
app.command("inject", epilog=examples(*mined.INJECT_EXAMPLES))(mined.inject)
app.command("edits", epilog=examples(*mined.EDITS_EXAMPLES))(mined.edits)
app.command("health", epilog=examples(*health.EXAMPLES))(health.health)
app.command("refresh", epilog=examples(*refreshing.EXAMPLES))(refreshing.refresh)


def _line(result: CheckResult) -> str:
    code = f" [{result.code}]" if result.code else ""
    return f"{report.clean(result.task)}  {result.rule}: {result.verdict}  {report.clean(result.why)}{code}"


def _sum(benchmark: str, tasks: int, results: Sequence[CheckResult]) -> str:
    """Advice and what is left out are no checks that failed."""
    counted = [result for result in results if result.verdict not in ("advice", "unsupported")]
    proved = sum(result.verdict == "ok" for result in counted)
    left_out = len({result.task for result in results if result.verdict == "unsupported"})
    parts = [report.plural(tasks, "task"), f"{proved} of {report.plural(len(counted), 'check')} ok"]
    if left_out:
        parts.append(f"{left_out} left out")
    if of := sum(result.lines[1] for result in results if result.lines):
        ran = sum(result.lines[0] for result in results if result.lines)
        parts.append(f"{ran / of:.1%} of {of} lines run")
    return f"{benchmark}: {', '.join(parts)}"
