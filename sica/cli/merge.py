"""`sica merge`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion, options
from sica.cli.invocation import Invocation
from sica.errors import SicaError, UsageError
from sica.model import Agent, Archive, Improvement, Merge, Step

if TYPE_CHECKING:
    from sica.cli.estimating import Outlook
    from sica.cli.parts import Shop
    from sica.loop import Plan
    from sica.model import Task
    from sica.ports import Benchmark, Policy

EXAMPLES = (
    "sica merge 5 3                both changes in one child, measured afresh",
    "sica merge best 3 --estimate  does it conflict, and what would it cost?",
    "sica merge 5 3 --no-eval      make and check the child, measure it later",
)


def command(
    ctx: typer.Context,
    first: str = typer.Argument(
        ..., metavar="AGENT", help="It comes first and resolves conflicts.", autocompletion=completion.agents
    ),
    second: str = typer.Argument(
        ..., metavar="OTHER", help="Whose changes are brought in.", autocompletion=completion.agents
    ),
    bench: str = typer.Option(
        None, "--bench", help="What the child is measured on.", autocompletion=completion.benchmarks
    ),
    task: list[str] = options.TASK,
    evaluate: bool = typer.Option(True, "--eval/--no-eval", help="Measure the child afterwards."),
    model: str = typer.Option(None, "--model", help="The model that agents talk to."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    workers: int = typer.Option(None, "--workers", help="Boxes at work at once."),
    max_cost: float = typer.Option(None, "--max-cost", help="Dollars; nothing is spent above it."),
    estimate: bool = typer.Option(
        False, "--estimate", help="Only say what conflicts and what it would cost."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask about money."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Merge two agents: a child with both changes since their common ancestor, checked and measured as any other.

    git puts the changes together; what conflicts the first agent resolves, in a box, as it would write a change.
    Gains do not add up: that is why the child is measured afresh. Running it again goes on where it stopped.
    """
    from sica.cli import estimating, names, parts, running

    call: Invocation = ctx.obj
    settings = call.settings(bench=bench, model=model, sandbox=sandbox, workers=workers, max_cost=max_cost)
    config = settings.config
    benchmark = parts.open_benchmark(call, config.bench)
    every = benchmark.tasks()
    tasks = [parts.capped(t, config) for t in parts.chosen(benchmark, names.globs(task), "", config.bench)]
    with parts.opened(call) as store:
        agents = store.ledger.agents()
        ours, theirs = (
            names.resolve(name, agents, store.repo.champion(), store.repo.rev_parse)
            for name in (first, second)
        )
        _require_apart(ours, theirs, agents)
        conflicts = store.repo.merge(ours, theirs).conflicts
    pair = f"{ours.commit} {theirs.commit}"
    with parts.working(call, config, kind="merge", task=pair, cancel=threading.Event()) as shop:
        tasks = parts.runnable(call, benchmark, tasks, shop.sandbox)
        shop.store.ledger.see_tasks(every)
        archive = shop.archive(tasks if evaluate else (), config.attempts)
        spent_on = replace(
            archive, agents={}, champion="", improvements=archive.improvements if conflicts else ()
        )
        found = estimating.outlook(
            spent_on,
            config,
            estimating.price_of(config, shop.gateway),
            shop.store.ledger,
            children=1,
            confirm=0,
            gate=parts.open_smoke(call, config).tasks(),
            cap=shop.broker.left().usd,
        )
        if not (quiet or as_json):
            call.say(_outlook(ours, theirs, conflicts))
        if estimate:
            shop.store.ledger.end_run(shop.run.id, "estimate")
            _estimated(call, ours, theirs, conflicts, found, as_json)
            return
        estimating.ask(call, config, found, yes)
        family = {
            a.commit: a for a in archive.agents.values() if a in (ours, theirs) or _child(a, ours, theirs)
        }
        plan = _plan(call, shop, benchmark, tasks, _once(Merge(ours.commit, theirs.commit)))
        stopped, _ = running.drive(
            call,
            shop,
            plan,
            replace(archive, agents=family, champion=""),
            as_json=False,
            quiet=quiet or as_json,
        )
        spent = shop.spent()
    _tell(call, ours, theirs, conflicts, stopped.archive, spent, as_json)
    raise typer.Exit(running.EXIT[stopped.reason])


def _require_apart(ours: Agent, theirs: Agent, agents: Sequence[Agent]) -> None:
    for agent in (ours, theirs):
        if agent.standing != "ready":
            word = "was rejected" if agent.standing == "rejected" else "has not been through the gate"
            raise UsageError(f"{agent.name} {word}, so it cannot be merged", f"sica show {agent.number}")
    if ours.tree == theirs.tree:
        raise UsageError(f"{ours.name} and {theirs.name} are the same code", "sica log --all")
    archive = Archive({a.commit: a for a in agents}, (), {})
    for old, new in ((ours, theirs), (theirs, ours)):
        if old.tree in archive.line(new.commit):
            raise UsageError(
                f"{new.name} descends from {old.name} and has its changes already",
                f"sica log --of {new.number}",
            )


def _child(agent: Agent, ours: Agent, theirs: Agent) -> bool:
    return set(agent.parents) == {ours.commit, theirs.commit}


def _once(step: Merge) -> Policy:
    """The merge, unless there is a child of it or this run tried it; then whatever is missing of the child."""

    def policy(archive: Archive, rng: Random) -> Sequence[Step]:
        del rng
        pair = {step.parent, step.other}
        children = [a for a in archive.agents.values() if set(a.parents) == pair]
        tried = any({i.parent, i.other} == pair and i.run == archive.run for i in archive.improvements)
        if children or tried or step in archive.in_flight:
            return [s for a in children if a.standing == "ready" for s in archive.missing(a.commit)]
        return [step]

    return policy


def _plan(call: Invocation, shop: Shop, benchmark: Benchmark, tasks: Sequence[Task], policy: Policy) -> Plan:
    from sica import loop, making
    from sica.cli import parts

    config = shop.config
    return loop.Plan(
        policy=policy,
        benchmark=benchmark,
        tasks=tasks,
        smoke=parts.open_smoke(call, config),
        known=making.known(shop.store.repo, shop.traces.read, shop.store.ledger.critique),
        controls=shop.controls,
        workers=config.workers,
        children=1,
        seed=config.seed,
        improve_limits=config.improve.limits(),
        improve_budget=config.improve.budget(),
    )


def _outlook(ours: Agent, theirs: Agent, conflicts: Sequence[str]) -> str:
    names = f"{ours.name} and {theirs.name}"
    if not conflicts:
        return f"{names}: git puts them together without a conflict"
    shown = ", ".join(report.clean(c) for c in conflicts[:3])
    more = f" and {len(conflicts) - 3} more" if len(conflicts) > 3 else ""
    return f"{names}: {ours.name} is to resolve {report.plural(len(conflicts), 'conflict')}: {shown}{more}"


def _estimated(
    call: Invocation,
    ours: Agent,
    theirs: Agent,
    conflicts: Sequence[str],
    found: Outlook,
    as_json: bool,
) -> None:
    from sica.cli import estimating

    if as_json:
        call.json(
            "sica.merge/1",
            parents=[ours.number, theirs.number],
            conflicts=[report.clean(c) for c in conflicts],
            estimate=estimating.record(found),
        )
    else:
        for line in ("estimate", *estimating.lines(found)):
            call.say(line)


def _tell(
    call: Invocation,
    ours: Agent,
    theirs: Agent,
    conflicts: Sequence[str],
    archive: Archive,
    spent: float,
    as_json: bool,
) -> None:
    from sica.scoring import in_words, measured, versus

    child = next((a for a in archive.agents.values() if _child(a, ours, theirs)), None)
    tried = [i for i in archive.improvements if {i.parent, i.other} == {ours.commit, theirs.commit}]
    ending, why = (tried[-1].ending, report.clean(tried[-1].why)) if tried else ("", "")
    trials = archive.scored(child.commit) if child else ()
    score, interval = measured(trials)
    if as_json:
        call.json(
            "sica.merge/1",
            parents=[ours.number, theirs.number],
            conflicts=[report.clean(c) for c in conflicts],
            child=child.number if child else None,
            commit=child.commit if child else None,
            status=child.standing if child else None,
            ending=ending,
            why=why,
            score=score,
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            n=len(trials),
            spent_usd=spent,
        )
    if child is None:
        _no_child(tried, ours, theirs, as_json)
        return
    if as_json:
        return
    print(
        f"{child.name}  {report.with_interval(score, interval)}  n={len(trials)}  {report.clean(child.subject)}"
    )
    if child.standing == "rejected":
        call.say(f"{child.name} was rejected: {report.clean(child.reason)}")
    for parent in (ours, theirs) if trials else ():
        print(f"against {parent.name}  {in_words(versus(archive.scored(parent.commit), trials))}")


def _no_child(tried: Sequence[Improvement], ours: Agent, theirs: Agent, as_json: bool) -> None:
    if not tried:
        return  # stopped before anything came of it
    if as_json:
        raise typer.Exit(1)
    raise SicaError(
        f"{ours.name} and {theirs.name} made no child: {report.clean(tried[-1].why) or tried[-1].ending}",
        f"sica diff {ours.number} {theirs.number}",
    )
