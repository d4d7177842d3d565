"""`sica eval`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.errors import SicaError, UsageError
from sica.model import Agent, Archive, Step, Task, Trial

if TYPE_CHECKING:
    from sica.cli.parts import Shop
    from sica.loop import Plan
    from sica.ports import Benchmark
    from sica.repo import GitRepo

NOT_MET, SKIP, INTERRUPTED = 5, 125, 130


EXAMPLES = (
    "sica eval best                      what is known costs nothing",
    "sica eval 7 --reps 3 --fresh        three new attempts at each task",
    "sica eval 7 --fail-under 50%        for scripts: exit 5 when it is worse",
)


def command(
    ctx: typer.Context,
    agents: list[str] = typer.Argument(..., help="Agents to measure.", autocompletion=completion.agents),
    bench: str = typer.Option(
        None, "--bench", help="Benchmark: a name or a folder of tasks.", autocompletion=completion.benchmarks
    ),
    smoke: str = typer.Option(
        None,
        "--smoke",
        help="The gate's benchmark: a name or a folder of tasks.",
        autocompletion=completion.benchmarks,
    ),
    task: str = typer.Option("", "--task", help="Only tasks that match this glob."),
    split: str = typer.Option(
        "",
        "--split",
        help="train, dev, heldout or all; default: all but heldout.",
        autocompletion=completion.one_of("train", "dev", "heldout", "all"),
    ),
    reps: int = typer.Option(None, "--reps", min=1, help="Attempts at each task."),
    fresh: bool = typer.Option(False, "--fresh", help="New attempts, whatever is known already."),
    replay: bool = typer.Option(
        False,
        "--replay",
        help="Run the recorded trials again, answered from their own traces: exit 1 unless the scores are the same.",
    ),
    fail_under: str = typer.Option(
        "", "--fail-under", metavar="X", help="Exit 5 below this score: 0.5 or 50%."
    ),
    bisect: bool = typer.Option(
        False, "--bisect", help="For git bisect run: exit 0 good, 1 bad, 125 cannot judge."
    ),
    model: str = typer.Option(None, "--model", help="The model that agents talk to."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    workers: int = typer.Option(None, "--workers", help="Boxes at work at once."),
    max_cost: float = typer.Option(None, "--max-cost", help="Dollars; nothing is spent above it."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask about money."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Measure agents on a benchmark. What is known already is not run again, unless --fresh.

    --replay proves what is known: it costs nothing, records nothing and needs no key. --model replay/TRACE does
    so for the one trial of that trace; sica trace names it.

    What is not given here is a setting: sica config list shows them with their values.
    """
    call: Invocation = ctx.obj
    replay = replay or (model or "").startswith("replay/")
    if replay and (fresh or bisect or fail_under or reps):
        raise UsageError(
            "a replay takes the recorded trials as they are",
            "leave out --reps, --fresh, --bisect and --fail-under",
        )
    flags = {
        "bench": bench,
        "smoke": smoke,
        "model": model,
        "sandbox": sandbox,
        "workers": workers,
        "max_cost": max_cost,
        "attempts": reps,
    }
    asked = Asked(agents, task, split, fresh, yes, quiet or as_json)
    if replay:
        raise typer.Exit(_replay(call, flags, asked, as_json))
    try:
        floor = _share(fail_under) if fail_under else 0.5 if bisect else None
        code = _measure(call, flags, asked, floor, as_json)
    except SicaError as error:
        if not bisect:
            raise
        call.say(f"sica: cannot judge: {error}")
        raise typer.Exit(SKIP) from error
    raise typer.Exit(_for_bisect(code) if bisect else code)


@dataclass(frozen=True)
class Asked:
    agents: Sequence[str]
    task: str
    split: str
    fresh: bool
    yes: bool
    quiet: bool


def _for_bisect(code: int) -> int:
    return {0: 0, NOT_MET: 1, INTERRUPTED: INTERRUPTED}.get(code, SKIP)


def _share(text: str) -> float:
    """0.5, 50% and 50 are the same floor."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"--fail-under {text!r} is not a score", "0.5 or 50%") from None
    share = value / 100 if text.endswith("%") or value > 1 else value
    if not 0 <= share <= 1:
        raise UsageError(f"--fail-under {text!r} is not between 0 and 1", "0.5 or 50%")
    return share


def _measure(
    call: Invocation, flags: Mapping[str, object], asked: Asked, floor: float | None, as_json: bool
) -> int:
    from sica.cli import names, parts, running

    config = call.settings(**flags).config
    benchmark = parts.open_benchmark(call, config.bench)
    every = benchmark.tasks()
    tasks = [parts.capped(t, config) for t in parts.chosen(benchmark, asked.task, asked.split, config.bench)]
    with parts.working(call, config, kind="eval", cancel=threading.Event()) as shop:
        tasks = parts.runnable(call, benchmark, tasks, shop.sandbox)
        ledger = shop.store.ledger
        ledger.see_tasks(every)
        known = tuple(ledger.agents())
        champion = shop.store.repo.champion()
        chosen = [names.resolve(name, known, champion, shop.store.repo.rev_parse) for name in asked.agents]
        archive = shop.archive(tasks, config.attempts)
        attempts = _attempts(archive, chosen, config.attempts, asked.fresh)
        only = replace(archive, agents={a.commit: archive.agents[a.commit] for a in chosen}, champion="")
        missing = sum(len(only.missing(a.commit, attempts)) for a in chosen)
        if not asked.quiet:
            call.say(
                _plan_in_words(chosen, tasks, benchmark.name, attempts, missing, _foreign(only, attempts))
            )
        dollars, why = parts.estimate(archive, 0)
        if missing:
            parts.ask_about_money(call, config, shop.gateway, dollars, why, asked.yes)
        plan = _plan(call, shop, benchmark, tasks, attempts)
        stopped, _ = running.drive(call, shop, plan, only, as_json=False, quiet=asked.quiet)
        results = [_result(shop, a, tasks, attempts) for a in chosen]
        spent = shop.spent()
    _tell(call, chosen, results, benchmark.name, as_json, spent, len(tasks) * len(attempts))
    if stopped.reason != "done":
        return running.EXIT[stopped.reason]
    return _verdict(call, chosen, results, stopped.archive, shop.store.repo, floor)


def _replay(call: Invocation, flags: Mapping[str, object], asked: Asked, as_json: bool) -> int:
    from sica.cli import parts
    from sica.cli.replay import replay

    config = call.settings(**flags).config
    benchmark = parts.open_benchmark(call, config.bench)
    every = parts.chosen(benchmark, asked.task, asked.split or "all", config.bench)
    return replay(call, config, asked.agents, benchmark, [parts.capped(t, config) for t in every], as_json)


def _attempts(archive: Archive, chosen: Sequence[Agent], reps: int, fresh: bool) -> range:
    if not fresh:
        return range(reps)
    used = [t.attempt for a in chosen for t in archive.trials.get(a.tree, ())]
    first = max(used, default=-1) + 1
    return range(first, first + reps)


def _plan(call: Invocation, shop: Shop, benchmark: Benchmark, tasks: Sequence[Task], attempts: range) -> Plan:
    from sica import loop
    from sica.cli import parts

    def policy(archive: Archive, rng: Random) -> Sequence[Step]:
        del rng
        return [step for a in archive.ready() for step in archive.missing(a.commit, attempts)]

    return loop.Plan(
        policy=policy,
        benchmark=benchmark,
        tasks=tasks,
        smoke=parts.open_smoke(call, shop.config),
        read_trace=shop.traces.read,
        workers=shop.config.workers,
        children=0,
    )


def _foreign(archive: Archive, attempts: range) -> int:
    """Known trials that were made for another agent or in another archive."""
    from sica.ledger import IMPORTED

    return sum(
        t.agent != agent.commit or t.run.startswith(IMPORTED)
        for agent in archive.agents.values()
        for t in archive.scored(agent.commit)
        if t.attempt in attempts
    )


def _plan_in_words(
    chosen: Sequence[Agent], tasks: Sequence[Task], bench: str, attempts: range, missing: int, foreign: int
) -> str:
    names = ", ".join(a.name for a in chosen)
    wanted = len(chosen) * len(tasks) * len(attempts)
    times = f" × {len(attempts)}" if len(attempts) > 1 else ""
    reused = (
        f", {foreign} reused of another agent with the same code or of another archive" if foreign else ""
    )
    done = f"Known: {wanted - missing} of {wanted}{reused}."
    return f"{names} on {bench}: {report.plural(len(tasks), 'task')}{times}. {done}"


def _result(shop: Shop, agent: Agent, tasks: Sequence[Task], attempts: range) -> list[Trial]:
    under = shop.conditions(tasks)
    return [
        t
        for t in shop.store.ledger.trials_of(agent.commit)
        if under.get(t.digest) == t.conditions and t.attempt in attempts
    ]


def _tell(
    call: Invocation,
    chosen: Sequence[Agent],
    results: Sequence[Sequence[Trial]],
    bench: str,
    as_json: bool,
    spent: float,
    wanted: int,
) -> None:
    from sica.cli.reading import measured

    records = []
    for agent, trials in zip(chosen, results, strict=True):
        score, interval = measured(trials)
        n = sum(t.score is not None for t in trials)
        records.append(
            {
                "agent": agent.number,
                "commit": agent.commit,
                "score": score,
                "low": interval[0] if interval else None,
                "high": interval[1] if interval else None,
                "n": n,
                "wanted": wanted,
                "cost_usd": sum(t.usage.usd for t in trials),
                "trials": [
                    {"task": t.task, "attempt": t.attempt, "score": t.score, "ending": t.ending}
                    for t in trials
                ],
            }
        )
        if not as_json:
            missing = f"   {wanted - n} without a score" if n < wanted else ""
            print(f"{agent.name}  {report.with_interval(score, interval)}  n={n}{missing}")
    if as_json:
        call.json("sica.eval/1", benchmark=bench, spent_usd=spent, agents=records)


def _verdict(
    call: Invocation,
    chosen: Sequence[Agent],
    results: Sequence[Sequence[Trial]],
    archive: Archive,
    repo: GitRepo,
    floor: float | None,
) -> int:
    from sica.cli.parts import starts_as

    code = 0
    for agent, trials in zip(chosen, results, strict=True):
        scores = [t.score for t in trials if t.score is not None]
        now = archive.agents[agent.commit]
        if now.standing == "rejected":
            call.say(f"{agent.name} was rejected: {report.clean(now.reason)}")
            call.say(f"      it is started as: {starts_as(repo, agent)}")
        if not scores:
            code = NOT_MET if floor is not None and now.standing == "rejected" else code or 1
        elif floor is not None and sum(scores) / len(scores) < floor:
            call.say(f"{agent.name} is below {report.percent(floor)}")
            code = NOT_MET
    return code
