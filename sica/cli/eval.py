"""`sica eval`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion, options
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
    "sica eval 7 --reps 3 --estimate     what that would cost and take",
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
    task: list[str] = options.TASK,
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
    max_tokens: int = typer.Option(None, "--max-tokens", help="Tokens."),
    max_calls: int = typer.Option(None, "--max-calls", help="Model calls."),
    max_hours: float = typer.Option(None, "--max-hours", help="Hours after which nothing new is started."),
    day_max_cost: float = typer.Option(
        None, "--day-max-cost", help="Dollars for all runs of one UTC day together."
    ),
    trial_max_cost: float = typer.Option(None, "--trial-max-cost", help="Dollars for one trial."),
    set_: list[str] = typer.Option(
        None, "--set", metavar="KEY=VALUE", help="Any other setting: sica config list names them."
    ),
    estimate: bool = typer.Option(
        False, "--estimate", help="Print what it will cost and take; measure nothing."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask about money."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Measure agents on a benchmark. What is known already is not run again, unless --fresh.

    --replay proves what is known: it costs nothing, records nothing and needs no key. --model replay/TRACE does
    so for the one trial of that trace; sica trace names it.

    What is not given here is a setting: sica config list shows them with their values.
    """
    from sica.cli import names
    from sica.config import assigned

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
        "max_tokens": max_tokens,
        "max_calls": max_calls,
        "max_hours": max_hours,
        "day.max_cost": day_max_cost,
        "trial.max_cost": trial_max_cost,
        "attempts": reps,
    } | assigned(set_ or ())
    asked = Asked(agents, names.globs(task), split, fresh, yes, quiet or as_json)
    if replay:
        raise typer.Exit(_replay(call, flags, asked, as_json))
    if estimate:
        _estimate(call, flags, asked, as_json)
        return
    try:
        floor = names.share(fail_under, "--fail-under") if fail_under else 0.5 if bisect else None
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


def _measure(
    call: Invocation, flags: Mapping[str, object], asked: Asked, floor: float | None, as_json: bool
) -> int:
    from sica.cli import ending, estimating, names, parts, running
    from sica.cli.reading import glimpse

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
        if missing:
            found = estimating.of(shop, parts.open_smoke(call, config), only, 0, attempts)
            estimating.ask(call, config, found, asked.yes)
        if held := sum(t.split == "heldout" for t in tasks):
            wanted = len(chosen) * held * len(attempts)
            ledger.glimpsed(glimpse(call, "eval", benchmark.name, chosen, wanted))
        plan = _plan(call, shop, benchmark, tasks, attempts)
        stopped, _ = running.drive(
            call, shop, plan, only, as_json=False, quiet=asked.quiet, attempts=attempts
        )
        results = [_result(shop, a, tasks, attempts) for a in chosen]
        spent, books = shop.spent(), running.books(shop, stopped.archive)
    _tell(call, chosen, results, benchmark.name, as_json, spent, len(tasks) * len(attempts))
    if stopped.reason != "done":
        call.say(ending.why(stopped.reason, stopped.archive, books))
        for line in ending.going_on(stopped.reason, sys.argv[1:], books):
            call.say(f"Continue:  {line}")
        return running.EXIT[stopped.reason]
    return _verdict(call, chosen, results, stopped.archive, shop.store.repo, floor)


def _estimate(call: Invocation, flags: Mapping[str, object], asked: Asked, as_json: bool) -> None:
    from sica.cli import estimating, parts
    from sica.cli.reading import Reading

    config = call.settings(**flags).config
    benchmark = parts.open_benchmark(call, config.bench)
    tasks = [parts.capped(t, config) for t in parts.chosen(benchmark, asked.task, asked.split, config.bench)]
    reading = Reading.of(call)
    chosen = [reading.find(name) for name in asked.agents]
    found = estimating.look(
        call,
        config,
        benchmark,
        tasks,
        "",
        children=0,
        only=[agent.commit for agent in chosen],
        attempts=lambda archive: _attempts(archive, chosen, config.attempts, asked.fresh),
    )
    estimating.tell(call, found, as_json)


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
    from sica import loop, making
    from sica.cli import parts

    def policy(archive: Archive, rng: Random) -> Sequence[Step]:
        del rng
        return [step for a in archive.ready() for step in archive.missing(a.commit, attempts)]

    return loop.Plan(
        policy=policy,
        benchmark=benchmark,
        tasks=tasks,
        smoke=parts.open_smoke(call, shop.config),
        known=making.known(shop.store.repo, shop.traces.read, shop.store.ledger.critique),
        workers=shop.config.workers,
        children=0,
        controls=shop.controls,
        until=shop.deadline(),
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
    from sica.scoring import estimated, pass_k

    records = []
    for agent, trials in zip(chosen, results, strict=True):
        known = estimated(trials)
        k, once, always = pass_k(trials) or (None, None, None)
        n = known.n if known else 0
        records.append(
            {
                "agent": agent.number,
                "commit": agent.commit,
                "score": known.mean if known else None,
                "low": known.low if known else None,
                "high": known.high if known else None,
                "method": known.method if known else "",
                "n": n,
                "wanted": wanted,
                "attempts": k,
                "pass_at_k": once,
                "pass_hat_k": always,
                "cost_usd": sum(t.usage.usd for t in trials),
                **_pass_rates(trials),
                "trials": [
                    {"task": t.task, "attempt": t.attempt, "score": t.score, "ending": t.ending}
                    for t in trials
                ],
            }
        )
        if not as_json:
            missing = f"   {wanted - n} without a score" if n < wanted else ""
            rates = "".join(f"   {name} {report.percent(rate)}" for name, rate in _pass_rates(trials).items())
            print(f"{agent.name}  {_in_words(trials)}{rates}{missing}")
    if as_json:
        call.json("sica.eval/1", benchmark=bench, spent_usd=spent, agents=records)
    else:
        for line in _against_the_first(chosen, results):
            print(line)


def _in_words(trials: Sequence[Trial]) -> str:
    """54.6%  [47.1, 61.9]  n=240  cluster bootstrap over 80 tasks   34 always solved, 17 sometimes, 29 never"""
    from sica.scoring import estimated, pass_words, solved

    known = estimated(trials)
    if known is None:
        return f"{report.percent(None)}  n=0"
    span = report.with_interval(known.mean, (known.low, known.high))
    words = f"{span}  n={known.n}  {known.method} over {report.plural(known.tasks, 'task')}"
    if not (repeated := pass_words(trials)):
        return words
    tried = list(solved(trials).values())
    always, never = sum(map(all, tried)), sum(not any(wins) for wins in tried)
    sometimes = len(tried) - always - never
    return f"{words}   {always} always solved, {sometimes} sometimes, {never} never   {repeated}"


def _against_the_first(chosen: Sequence[Agent], results: Sequence[Sequence[Trial]]) -> Iterator[str]:
    from sica.scoring import difference

    for agent, trials in list(zip(chosen, results, strict=True))[1:]:
        found = difference(results[0], trials, {})
        if found.found.tasks:
            yield f"{agent.number} vs {chosen[0].number}: {found.words}"
            if found.advice:
                yield found.advice


def _pass_rates(trials: Sequence[Trial]) -> dict[str, float]:
    """Of tasks with two tries: the share solved at the first one, and at the first or the second."""
    tries = [t.detail["tries"] for t in trials if t.score is not None and "tries" in t.detail]
    if not tries:
        return {}
    return {
        "pass_rate_1": sum(scores[0] == 1.0 for scores in tries) / len(tries),
        "pass_rate_2": sum(scores[-1] == 1.0 for scores in tries) / len(tries),
    }


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
