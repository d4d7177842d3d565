"""`sica compare`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.reading import UNDER, Reading, by_task, in_words, measured, p_value, versus
from sica.errors import UsageError
from sica.model import Agent, Trial

EXAMPLES = (
    "sica compare 0 7 best",
    "sica compare 0 best --exit-code && echo better",
)


def command(
    ctx: typer.Context,
    agents: list[str] = typer.Argument(
        ..., help="Two or more agents; the first is the yardstick.", autocompletion=completion.agents
    ),
    bench: str = typer.Option(
        "",
        "--bench",
        help="Whose scores; default: the configured benchmark.",
        autocompletion=completion.benchmarks,
    ),
    under: str = typer.Option("", "--under", help=UNDER, autocompletion=completion.settings),
    exit_code: bool = typer.Option(
        False, "--exit-code", help="Exit 5 unless the last is better than the first by more than noise."
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Compare agents on the tasks that all of them have."""
    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    if len(agents) < 2:
        raise UsageError("compare needs at least two agents", "sica compare 0 best")
    chosen = [reading.find(name) for name in agents]
    name = reading.benchmark(bench, call.setting("bench", "core"))
    sides = _on_common_tasks([reading.trials(agent, name) for agent in chosen])
    against = [versus(sides[0], side) for side in sides]
    better = against[-1].separable and against[-1].difference > 0
    if as_json:
        call.json(
            "sica.compare/1",
            **reading.measured_on(name),
            n_tasks=against[0].tasks,
            agents=[_record(a, s, c) for a, s, c in zip(chosen, sides, against, strict=True)],
            better=better,
        )
    else:
        look = call.look()
        call.page([*_table(chosen, sides, name, look), *_pairs(chosen, sides)])
    if exit_code and not better:
        raise typer.Exit(5)


def _on_common_tasks(sides: Sequence[Sequence[Trial]]) -> list[list[Trial]]:
    common = set.intersection(*(set(by_task(side)) for side in sides))
    return [[t for t in side if t.task in common] for side in sides]


def _record(agent: Agent, trials: Sequence[Trial], against: object) -> dict[str, object]:
    from sica.stats import Comparison

    assert isinstance(against, Comparison)
    score, interval = measured(trials)
    return {
        "agent": agent.number,
        "commit": agent.commit,
        "score": score,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "n": sum(t.score is not None for t in trials),
        "difference": against.difference if against.tasks else None,
        "gained": against.gained,
        "lost": against.lost,
        "p": against.p,
        "cost_usd": sum(t.usage.usd for t in trials),
        "tokens": sum(t.usage.tokens for t in trials),
        "subject": report.clean(agent.subject),
    }


def _table(
    chosen: Sequence[Agent], sides: Sequence[Sequence[Trial]], name: str, look: report.Look
) -> Iterator[str]:
    lines = []
    for agent, trials in zip(chosen, sides, strict=True):
        score, interval = measured(trials)
        against = versus(sides[0], trials)
        usd = sum(t.usage.usd for t in trials)
        solved = sum((t.score or 0) >= 1 for t in trials)
        lines.append(
            [
                agent.name,
                report.clean(agent.subject),
                report.with_interval(score, interval),
                "" if agent is chosen[0] else f"{report.signed(against.difference)}  {p_value(against.p)}",
                report.money(usd),
                report.money(usd / solved) if solved else "",
                report.count(sum(t.usage.tokens for t in trials)),
            ]
        )
    tasks = len(by_task(sides[0]))
    header = (
        "",
        "subject",
        "score",
        f"vs {chosen[0].name}",
        "cost",
        "$/solved",
        "tokens",
    )
    yield from report.table(lines, "<<<<>>>", look, header=header, flexible=1)
    yield look.paint("dim", f"{name}, {report.plural(tasks, 'task')} that all of them have")


def _pairs(chosen: Sequence[Agent], sides: Sequence[Sequence[Trial]]) -> Iterator[str]:
    """What the table cannot say: the others against each other, and how many tasks would tell them apart."""
    for (one, old), (other, new) in combinations(list(zip(chosen, sides, strict=True))[1:], 2):
        found = versus(old, new)
        if found.tasks:
            yield f"{one.number} vs {other.number}: {in_words(found)}"
    found = versus(sides[0], sides[-1])
    needed = _needed(found.tasks, len(found.gained), len(found.lost))
    if needed and not found.separable:
        points = abs(100 * (len(found.gained) - len(found.lost)) / found.tasks)
        yield f"To separate {points:.1f} points (80% power) about {needed} paired tasks are needed in all."


def _needed(tasks: int, gained: int, lost: int) -> int | None:
    """Paired tasks for 80 % power at 5 %, from the flips seen (Connor 1987)."""
    if not tasks or gained == lost:
        return None
    flips, edge = (gained + lost) / tasks, abs(gained - lost) / tasks
    return math.ceil((1.96 * math.sqrt(flips) + 0.8416 * math.sqrt(max(0.0, flips - edge**2))) ** 2 / edge**2)
