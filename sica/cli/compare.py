"""`sica compare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.options import BENCH, UNDER
from sica.cli.reading import Reading
from sica.errors import UsageError
from sica.model import Agent, Trial
from sica.scoring import (
    Difference,
    Kind,
    by_kind,
    difference,
    estimated,
    means_of_kinds,
    measured,
    p_value,
    pass_k,
    pass_words,
    verdict,
)

EXAMPLES = (
    "sica compare 0 7 best",
    "sica compare 0 best --exit-code && echo better",
)


def command(
    ctx: typer.Context,
    agents: list[str] = typer.Argument(
        ..., help="Two or more agents; the first is the yardstick.", autocompletion=completion.agents
    ),
    bench: str = BENCH,
    under: str = UNDER,
    exit_code: bool = typer.Option(
        False, "--exit-code", help="Exit 5 unless the last is better than the first by more than noise."
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Compare agents on the tasks that all of them have: scores, differences with intervals, kinds of tasks.

    A difference is separable when its test says p < 0.05: exact McNemar for one attempt a task scored 0 or 1, else
    random signs of the tasks' differences. Its interval is a paired bootstrap of tasks. docs/statistics.md
    """
    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    if len(agents) < 2:
        raise UsageError("compare needs at least two agents", "sica compare 0 best")
    chosen = [reading.find(name) for name in agents]
    name = reading.benchmark(bench, call.setting("bench", "core"))
    kinds = reading.kinds(name)
    known = [reading.trials(agent, name) for agent in chosen]
    sides = _on_common_tasks(known)
    against = [difference(sides[0], side, kinds) for side in sides]
    better = against[-1].found.separable and against[-1].found.difference > 0
    if as_json:
        call.json(
            "sica.compare/1",
            **reading.measured_on(name),
            n_tasks=against[0].found.tasks,
            agents=[_record(a, s, c) for a, s, c in zip(chosen, sides, against, strict=True)],
            kinds=[_kind_record(kind) for kind in by_kind(sides, kinds)],
            better=better,
        )
    elif not against[0].found.tasks:
        call.page(_nothing_in_common(chosen, known, name))
    else:
        look = call.look()
        call.page(
            [
                *_table(chosen, sides, against, name, look),
                *_kinds(chosen, sides, kinds, look),
                *_attempts(chosen, sides),
                *_pairs(chosen, sides, kinds),
            ]
        )
    if exit_code and not better:
        raise typer.Exit(5)


def _on_common_tasks(sides: Sequence[Sequence[Trial]]) -> list[list[Trial]]:
    common = set.intersection(*map(_scored_tasks, sides))
    return [[t for t in side if t.task in common] for side in sides]


def _scored_tasks(trials: Sequence[Trial]) -> set[str]:
    return {t.task for t in trials if t.score is not None}


def _nothing_in_common(chosen: Sequence[Agent], known: Sequence[Sequence[Trial]], name: str) -> Iterator[str]:
    """How many tasks each has instead, and what would give them some."""
    yield f"no task of {name} that all of them have, under one setting:"
    for agent, count in zip(chosen, (len(_scored_tasks(side)) for side in known), strict=True):
        cure = "" if count else f"   sica eval {agent.number} --bench {name}"
        yield f"{agent.name:<10} {report.plural(count, 'task')} measured{cure}"


def _record(agent: Agent, trials: Sequence[Trial], against: Difference) -> dict[str, object]:
    known = estimated(trials)
    k, once, always = pass_k(trials) or (None, None, None)
    return {
        "agent": agent.number,
        "commit": agent.commit,
        "score": known.mean if known else None,
        "low": known.low if known else None,
        "high": known.high if known else None,
        "method": known.method if known else "",
        "n": known.n if known else 0,
        **against.record(),
        "attempts": k,
        "pass_at_k": once,
        "pass_hat_k": always,
        "cost_usd": sum(t.usage.usd for t in trials),
        "tokens": sum(t.usage.tokens for t in trials),
        "subject": report.clean(agent.subject),
    }


def _table(
    chosen: Sequence[Agent],
    sides: Sequence[Sequence[Trial]],
    against: Sequence[Difference],
    name: str,
    look: report.Look,
) -> Iterator[str]:
    """One table, or on a narrow terminal one of scores and one of costs, without the subjects."""
    scores = [_scored(*row, first=chosen[0]) for row in zip(chosen, sides, against, strict=True)]
    costs = [_costs(side) for side in sides]
    header = ("", "subject", "score", f"vs {chosen[0].name}", "", "")
    if look.width >= WIDE:
        both = [[*score, *cost] for score, cost in zip(scores, costs, strict=True)]
        yield from report.table(both, "<<<<<<>>>", look, header=(*header, *COSTS), flexible=1)
    else:
        told = [[name, *rest] for name, _, *rest in scores]
        yield from report.table(told, "<<<<<", look, header=("", *header[2:]))
        yield ""
        named = [[agent.name, *cost] for agent, cost in zip(chosen, costs, strict=True)]
        yield from report.table(named, "<>>>", look, header=("", *COSTS))
        yield ""
    tests = " or ".join(dict.fromkeys(c.found.test for c in against[1:]))
    methods = " or ".join(dict.fromkeys(e.method for s in sides if (e := estimated(s))))
    tasks = against[0].found.tasks
    yield look.paint(
        "dim", f"{name}, {report.plural(tasks, 'task')} that all of them have, under one setting"
    )
    yield look.paint("dim", f"95% intervals: {methods}, paired for differences; test: {tests}")


WIDE = 110
COSTS = ("cost", "$/solved", "tokens")


def _scored(agent: Agent, trials: Sequence[Trial], against: Difference, first: Agent) -> list[str]:
    moved = f"{report.signed(against.found.difference)} {against.span}".strip()
    told = [moved, p_value(against.found.p), verdict(against.found)]
    score = report.with_interval(*measured(trials))
    return [agent.name, report.clean(agent.subject), score, *(["", "", ""] if agent is first else told)]


def _costs(trials: Sequence[Trial]) -> list[str]:
    usd = sum(t.usage.usd for t in trials)
    wins = sum((t.score or 0) >= 1 for t in trials)
    each = report.money(usd / wins) if wins else ""
    return [report.money(usd), each, report.count(sum(t.usage.tokens for t in trials))]


def _kind_record(kind: Kind) -> dict[str, object]:
    found = kind.found
    return {
        "kind": kind.name,
        "n_tasks": found.tasks,
        "scores": kind.scores,
        "difference": found.difference,
        "p": found.p,
        "p_holm": kind.p,
    }


def _kinds(
    chosen: Sequence[Agent], sides: Sequence[Sequence[Trial]], kinds: Mapping[str, str], look: report.Look
) -> Iterator[str]:
    """A line a kind; p is of the last against the first, adjusted for how many kinds were looked at."""
    known = by_kind(sides, kinds)
    if not known:
        return
    lines = [
        [
            report.clean(kind.name) or "(none)",
            str(kind.found.tasks),
            *map(report.percent, kind.scores),
            report.signed(kind.found.difference),
            kind.words,
        ]
        for kind in known
    ]
    means = means_of_kinds(sides, kinds)
    gap = None if means[0] is None or means[-1] is None else means[-1] - means[0]
    lines.append(["mean of kinds", "", *map(report.percent, means), report.signed(gap), ""])
    last = f"{chosen[-1].number} vs {chosen[0].number}"
    header = ("kind", "tasks", *(a.name for a in chosen), last, "p (Holm)")
    yield ""
    yield from report.table(lines, "<>" + ">" * (len(chosen) + 1) + "<", look, header=header, flexible=0)


def _attempts(chosen: Sequence[Agent], sides: Sequence[Sequence[Trial]]) -> Iterator[str]:
    """How much luck there is in an agent: the chance that one of k attempts solves a task, and that all do."""
    words = [(a.name, pass_words(side)) for a, side in zip(chosen, sides, strict=True)]
    if any(said for _, said in words):
        yield ""
        yield from (f"{name:<10} {said}" for name, said in words if said)


def _pairs(
    chosen: Sequence[Agent], sides: Sequence[Sequence[Trial]], kinds: Mapping[str, str]
) -> Iterator[str]:
    """What the table cannot say: the others against each other, and how many tasks would tell them apart."""
    for (one, old), (other, new) in combinations(list(zip(chosen, sides, strict=True))[1:], 2):
        found = difference(old, new, kinds)
        if found.found.tasks:
            yield f"{one.number} vs {other.number}: {found.words}"
    if advice := difference(sides[0], sides[-1], kinds).advice:
        yield advice
