"""`sica simulate`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli.invocation import Invocation
from sica.errors import UsageError

if TYPE_CHECKING:
    from sica.simulate import Mean, Spending, Standing


EXAMPLES = (
    "sica simulate --policy iid,dgm,hgm --seeds 20",
    "sica simulate --policy all --budget 800 --seeds 200",
    "sica simulate --race-table",
    "sica simulate --throne-table",
    "sica simulate --policy hgm,greedy --workers 8 --no-race",
    "sica simulate --policy iid,mine.newest:back=2 --world tasks=30:broken=0.5",
)


def command(
    ctx: typer.Context,
    policy: str = typer.Option(
        "iid,sica,greedy,dgm,hgm", "--policy", help="Policies by comma, or all; the first is the yardstick."
    ),
    seeds: int = typer.Option(10, "--seeds", min=2, help="Worlds in which each policy runs once."),
    budget: int = typer.Option(800, "--budget", min=1, help="Evaluations that each run may make."),
    max_cost: float = typer.Option(
        None, "--max-cost", help="Simulated dollars that each run may spend, instead of evaluations."
    ),
    world: str = typer.Option(
        "", "--world", help="What is true: OPTION=VALUE:OPTION=VALUE, as tasks=30:broken=0.5."
    ),
    workers: int = typer.Option(
        1, "--workers", min=1, help="Boxes at work at once, each for a random simulated time."
    ),
    race: bool = typer.Option(True, "--race/--no-race", help="Stop children that fall behind their parent."),
    race_table: bool = typer.Option(
        False, "--race-table", help="What racing saves and costs instead, for children of four kinds."
    ),
    throne_table: bool = typer.Option(
        False,
        "--throne-table",
        help="How often who is better by so much is crowned instead, and what it takes.",
    ),
    jobs: int = typer.Option(None, "--jobs", min=1, help="Processes at once."),
    as_json: bool = typer.Option(False, "--json", help="One object, with the curves and every run."),
) -> None:
    """Compare policies in synthetic worlds where the true skill of every agent is known. Nothing is spent or kept.

    The loop is the real one; agents, boxes and tasks are simulated. docs/policies.md says what a world is.
    """
    from sica import simulate
    from sica.cli import parts
    from sica.policies import parsed

    call: Invocation = ctx.obj
    if race_table:
        _race_table(call, as_json)
        return
    jobs = jobs or len(os.sched_getaffinity(0))
    if throne_table:
        _throne_table(call, jobs, as_json)
        return
    names = _names(policy)
    if len(set(names)) < len(names) or not names:
        raise UsageError(f"--policy {policy!r} does not name different policies", "--policy iid,dgm,hgm")
    for name in names:
        parts.open_policy(call, name)
    options = parsed("property of a world", simulate.world_options(), [w for w in world.split(":") if w])
    truth = simulate.World(**options)
    if max_cost is not None and not max_cost > 0:
        raise UsageError(f"--max-cost {max_cost} is no amount to spend")
    spending = simulate.Spending(budget, max_cost, workers=workers, race=race)
    most = min(jobs, seeds * len(names))
    results = []
    for result in simulate.compare(names, truth, seeds, spending, most):
        results.append(result)
        if call.live(sys.stderr):
            call.say(f"{len(results)} of {seeds * len(names)}: seed {result.seed}, {result.policy}")
    found = simulate.standings(results)
    if as_json:
        call.json(
            "sica.simulate/1",
            world=asdict(truth),
            seeds=seeds,
            budget={"evaluations": None if max_cost else budget, "usd": max_cost},
            workers=workers,
            race=race,
            policies=[asdict(s) for s in found],
            runs=[asdict(r) for r in results],
        )
    else:
        call.page([*_table(found, seeds, spending, call.look()), "", *_curves(found, call.look())])


def _names(policy: str) -> list[str]:
    """`all` is every policy of the folder, the control first."""
    from sica.policies import policy_names

    words = [word.strip() for word in policy.split(",") if word.strip()]
    every = sorted(policy_names(), key=lambda name: name != "iid")
    return [name for word in words for name in (every if word == "all" else [word])]


def _table(found: Sequence[Standing], seeds: int, spending: Spending, look: report.Look) -> Iterator[str]:
    lines = [
        [
            s.policy,
            _margin(s.chosen, look),
            report.percent(s.found.value),
            "" if s is found[0] else _difference(s.against, look),
            f"{s.evaluations:.0f}",
            f"{s.improvements:.0f}",
            f"{s.agents:.0f}",
            report.money(s.usd),
            report.percent(s.evaluating),
            f"{s.hours:.0f}h",
        ]
        for s in found
    ]
    spent = f"{spending.evaluations} evaluations" if spending.usd is None else report.money(spending.usd)
    yield f"True scores after {spent}, means of {report.plural(seeds, 'world')} with 95% intervals"
    header = (
        "",
        "chosen",
        "best",
        f"vs {found[0].policy}",
        "trials",
        "made",
        "alive",
        "cost",
        "on trials",
        "time",
    )
    yield from report.table(lines, "<<><>>>>>>", look, header=header, flexible=0)


def _curves(found: Sequence[Standing], look: report.Look) -> Iterator[str]:
    """The chosen agent's true score, in percent, when so much of the budget was spent."""
    points = len(found[0].curve)
    header = ("chosen, on the way", *(f"{100 * (n + 1) / points:.0f}%" for n in range(points)))
    lines = [[s.policy, *(f"{100 * p.chosen:.1f}" for p in s.curve)] for s in found]
    yield from report.table(lines, "<" + ">" * points, look, header=header)


def _margin(mean: Mean, look: report.Look) -> str:
    text = report.with_margin(mean.value, (mean.low, mean.high))
    return text if look.glyphs is report.UNICODE else text.replace("±", "+-")


def _difference(mean: Mean, look: report.Look) -> str:
    return report.signed(mean.value) + _margin(mean, look).partition("%")[2]


def _race_table(call: Invocation, as_json: bool) -> None:
    """One line for each rule, as it is done."""
    from sica import racing

    found = []
    for figures in racing.figures():
        found.append(figures)
        if call.live(sys.stderr):
            call.say(f"{len(found)} of {len(racing.RULES)}: {figures.rule.name}")
    if as_json:
        kinds = {kind: {"share": share, "points": 100 * by} for kind, (share, by) in racing.KINDS.items()}
        rules = [{**asdict(f.rule), "mean": f.mean, "trials": f.trials, "taken": f.taken} for f in found]
        call.json("sica.race-table/1", kinds=kinds, rules=rules)
        return
    lines = [
        [
            f.rule.name,
            f"{f.rule.tasks}x{f.rule.attempts}",
            f"{f.mean:.0f}",
            " ".join(f"{n:.0f}" for n in f.trials.values()),
            f"{100 * f.taken['equal']:.1f}%",
            f"{100 * f.taken['better']:.1f}%",
            f.rule.published,
        ]
        for f in found
    ]
    kinds_in_words = ", ".join(
        f"{100 * s:.0f}% {kind} ({100 * by:+.0f})" for kind, (s, by) in racing.KINDS.items()
    )
    header = ("rule", "tasks", "trials", "/".join(racing.KINDS), "equal taken", "better taken", "elsewhere")
    look = call.look()
    call.page(
        [
            f"Trials of one child against a parent that is measured; of the children {kinds_in_words}",
            *report.table(lines, "<>><>><", look, header=header),
        ]
    )


def _throne_table(call: Invocation, jobs: int, as_json: bool) -> None:
    """One line for each way to be proved, as it is done."""
    from sica import crowning

    found = []
    for crowned in crowning.figures(jobs=jobs):
        found.append(crowned)
        if call.live(sys.stderr):
            call.say(f"{len(found)} of {len(crowning.PROOFS)}")
    if as_json:
        call.json(
            "sica.throne-table/1",
            worlds=crowning.WORLDS,
            children=crowning.CHILDREN,
            proofs=[asdict(crowned) for crowned in found],
        )
        return
    lines = [
        [
            f"{crowned.proof.rule}{'' if crowned.proof.futile else ', all trials'}",
            f"{crowned.proof.tasks}x{crowned.proof.fresh}",
            *(f"{100 * share:.0f}%" for share in crowned.shares.values()),
            " ".join(f"{trials:.0f}" for trials in crowned.trials.values()),
        ]
        for crowned in found
    ]
    header = ("rule", "tasks", *(f"{points:+d}" for points in crowning.POINTS), "fresh trials of a run")
    look = call.look()
    call.page(
        [
            f"Share of {crowning.WORLDS} runs that crown one of {crowning.CHILDREN} children, "
            "each so many points better than the seed",
            *report.table(lines, "<>" + ">" * len(crowning.POINTS) + "<", look, header=header),
        ]
    )
