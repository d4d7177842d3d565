"""`sica evolve`."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion, options
from sica.cli.invocation import Invocation
from sica.errors import SicaError, UsageError
from sica.model import Archive

if TYPE_CHECKING:
    from sica.repo import GitRepo


EXAMPLES = (
    "sica evolve                        go on as sica.toml says",
    "sica evolve -n 10 --max-cost 50    ten improvements for at most $50",
    "sica evolve -n 10 --estimate       what that will cost and take; --probe 3 measures a little first",
    "sica evolve --until 90% --patience 5   stop when it is good enough, or gets no better",
    "sica evolve -n 0 --task 'fix-*'    only measure, on some tasks",
)


def command(
    ctx: typer.Context,
    children: int = typer.Option(None, "-n", "--children", help="Improvements to make; 0 only measures."),
    policy: str = typer.Option(
        None,
        "--policy",
        help="Which agent to improve next: NAME or NAME:OPTION=VALUE.",
        autocompletion=completion.policies,
    ),
    bench: str = typer.Option(
        None, "--bench", help="Benchmark: a name or a folder of tasks.", autocompletion=completion.benchmarks
    ),
    task: list[str] = options.TASK,
    smoke: str = typer.Option(
        None,
        "--smoke",
        help="The gate's benchmark: a name or a folder of tasks.",
        autocompletion=completion.benchmarks,
    ),
    model: str = typer.Option(None, "--model", help="The model that agents talk to."),
    api_base: str = typer.Option(None, "--api-base", help="Address of an OpenAI-compatible server."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    workers: int = typer.Option(None, "--workers", help="Boxes at work at once."),
    attempts: int = typer.Option(None, "--attempts", help="Trials of each agent at each task."),
    seed: int = typer.Option(None, "--seed", help="Seeds every choice of the policy."),
    race: bool = typer.Option(
        None, "--race/--no-race", help="Stop measuring a child that falls behind its parent."
    ),
    confirm: int = typer.Option(None, "--confirm", help="Fresh attempts that decide on a champion."),
    promote: str = typer.Option(
        None, "--promote", help="separable or mean.", autocompletion=completion.one_of("separable", "mean")
    ),
    veto: float = typer.Option(
        None, "--veto", help="How much worse a champion may be in any kind of task: 0.1 is 10 points."
    ),
    approve: bool = typer.Option(
        None,
        "--approve/--no-approve",
        help="A person says yes before an agent becomes champion: sica review.",
    ),
    max_cost: float = typer.Option(
        None, "--max-cost", help="Dollars for the whole run, all continuations; nothing is spent above it."
    ),
    max_tokens: int = typer.Option(None, "--max-tokens", help="Tokens for the run."),
    max_calls: int = typer.Option(None, "--max-calls", help="Model calls for the run."),
    export: list[str] = typer.Option(
        [],
        "--export",
        metavar="NAME=WHERE",
        help="Tell otel=URL or mlflow=URI what happens, while it happens.",
    ),
    max_hours: float = typer.Option(
        None, "--max-hours", help="Hours of work on the run, after which nothing new is started."
    ),
    day_max_cost: float = typer.Option(
        None, "--day-max-cost", help="Dollars for all runs of one UTC day together."
    ),
    trial_max_cost: float = typer.Option(None, "--trial-max-cost", help="Dollars for one trial."),
    improve_max_cost: float = typer.Option(None, "--improve-max-cost", help="Dollars for one improvement."),
    until: str = typer.Option(
        None,
        "--until",
        metavar="SCORE",
        help="Stop when the champion has this on fresh attempts: 0.9 or 90%.",
    ),
    patience: int = typer.Option(
        None, "--patience", help="Stop after so many improvements in a row without a promotion."
    ),
    set_: list[str] = typer.Option(
        None, "--set", metavar="KEY=VALUE", help="Any other setting: sica config list names them."
    ),
    estimate: bool = typer.Option(
        False, "--estimate", help="Print what it will cost and take, as a range; start nothing."
    ),
    probe: int = typer.Option(
        0, "--probe", metavar="N", min=0, help="With --estimate: measure the best agent on N tasks first."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask about money."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress."),
    as_json: bool = typer.Option(False, "--json", help="Every event as one JSON line on stdout."),
) -> None:
    """Improve the agents: measure, choose one, let it rewrite itself, measure the child, promote the best.

    Running it again continues a run that was stopped; nothing that is finished is done or paid for twice.
    What is not given here is a setting: sica config list shows them with their values.
    """
    from sica import loop, making
    from sica.champion import Terms
    from sica.cli import ending, estimating, names, parts, progress, running
    from sica.config import assigned
    from sica.stopping import Goal

    call: Invocation = ctx.obj
    flags = {
        "children": children,
        "policy": policy,
        "bench": bench,
        "smoke": smoke,
        "model": model,
        "api_base": api_base,
        "sandbox": sandbox,
        "workers": workers,
        "attempts": attempts,
        "seed": seed,
        "race": race,
        "confirm": confirm,
        "promote": promote,
        "veto": veto,
        "approve": approve,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
        "max_calls": max_calls,
        "max_hours": max_hours,
        "day.max_cost": day_max_cost,
        "trial.max_cost": trial_max_cost,
        "improve.max_cost": improve_max_cost,
        "until": names.share(until, "--until") if until is not None else None,
        "patience": patience,
    }
    config = call.settings(**flags | assigned(set_ or ())).config
    chosen_policy = parts.open_policy(call, config.policy)
    benchmark = parts.open_benchmark(call, config.bench)
    smoke_tasks = parts.open_smoke(call, config)
    every, globs = benchmark.tasks(), names.globs(task)
    tasks = [parts.capped(t, config) for t in parts.chosen(benchmark, globs, "", config.bench)]
    if probe and not estimate:
        raise UsageError("--probe is for an estimate", f"sica evolve --estimate --probe {probe}")
    if estimate and not probe:
        found = estimating.look(call, config, benchmark, tasks, globs, children=config.children)
        return estimating.tell(call, found, as_json)
    with parts.working(call, config, kind="evolve", task=globs, cancel=threading.Event()) as shop:
        tasks = parts.runnable(call, benchmark, tasks, shop.sandbox)
        shop.store.ledger.see_tasks(every)
        archive = shop.archive(tasks, config.attempts)
        if not archive.agents:
            raise UsageError("there is no agent to start from", "sica init   seeds agent/0")
        plan = loop.Plan(
            policy=chosen_policy,
            benchmark=benchmark,
            tasks=tasks,
            smoke=smoke_tasks,
            known=making.known(shop.store.repo, shop.traces.read, shop.store.ledger.critique),
            workers=config.workers,
            children=config.children,
            proof=Terms(config.confirm, config.promote, config.veto),
            seed=config.seed,
            race=config.race,
            improve_limits=config.improve.limits(),
            improve_budget=config.improve.budget(),
            until=shop.deadline(),
            goal=Goal(config.until, config.patience),
            controls=shop.controls,
        )
        if probe:
            why = estimating.probe(call, shop, plan, archive, probe, yes, quiet or as_json)
            known = shop.archive(tasks, config.attempts)
            estimating.tell(call, estimating.of(shop, smoke_tasks, known, config.children), as_json)
            raise typer.Exit(running.EXIT[why])
        estimating.ask(call, config, estimating.of(shop, smoke_tasks, archive, config.children), yes)
        stopped, state = running.drive(
            call, shop, plan, archive, as_json=as_json, quiet=quiet, exporters=export
        )
        books = running.books(shop, stopped.archive)
    if stopped.reason == "done" and not stopped.archive.ready():
        raise _nobody(stopped.archive, shop.store.repo)
    if not quiet:
        best = stopped.archive.agents.get(stopped.archive.champion)
        number = best.number if best else 0
        inspect = ("sica log", f"sica show {number}", f"sica diff 0 {number}" if number else "sica tasks")
        for line in progress.summary(
            state,
            ending.why(stopped.reason, stopped.archive, books),
            ending.going_on(stopped.reason, sys.argv[1:], books),
            inspect,
        ):
            call.say(line)
        for asked in shop.controls.waiting:
            name = stopped.archive.agents[asked.agent].name
            call.say(f"{name} waits for an approval:  sica review {name.removeprefix('agent/')} --approve")
    raise typer.Exit(running.EXIT[stopped.reason])


def _nobody(archive: Archive, repo: GitRepo) -> SicaError:
    """What to say when the gate let no agent through: there was nothing to measure and nothing to improve."""
    from sica.cli.parts import starts_as

    rejected = [a for a in archive.agents.values() if a.standing == "rejected"]
    if not rejected:
        return SicaError("the gate could not judge any agent, so there is none to start from", "sica doctor")
    last = rejected[-1]
    more = f", and {len(rejected) - 1} more" if len(rejected) > 1 else ""
    return SicaError(
        f"there is no agent to start from: {last.name} was rejected{more}: {report.clean(last.reason)}",
        f"{last.name} is started as: {starts_as(repo, last)}\n"
        "mend the agent and start it in a fresh folder: sica init --agent FOLDER",
    )
