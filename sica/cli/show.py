"""`sica show`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.options import BENCH, UNDER
from sica.cli.reading import Reading
from sica.model import Agent, Trial, Usage
from sica.scoring import difference, estimated, measured, pass_k, pass_words

EXAMPLES = ("sica show 7 --tasks",)


def command(
    ctx: typer.Context,
    agent: str = typer.Argument(
        "best", help="7, agent/7, best, 7^, a hash or a tag.", autocompletion=completion.agents
    ),
    bench: str = BENCH,
    under: str = UNDER,
    tasks: bool = typer.Option(False, "--tasks", help="List every trial."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Show all that is known of one agent: score, parents, cost, what changed and why."""
    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    found = reading.find(agent)
    name = reading.benchmark(bench, call.setting("bench", "core"))
    trials = reading.trials(found, name)
    if as_json:
        from sica.web.source import reviews

        (row,) = reading.compared([r for r in reading.lineage(name) if r.agent == found.number], name)
        body = report.clean_block(found.body)
        usage = sum((t.usage for t in trials), Usage())
        k, once, always = pass_k(trials) or (None, None, None)
        call.json(
            "sica.show/1",
            **reading.measured_on(name),
            **report.fields(row),
            body=body,
            tokens=usage.tokens,
            attempts=k,
            pass_at_k=once,
            pass_hat_k=always,
            trials=[_record(t) for t in trials],
            reviews=reviews(reading.repo.reviews(found.commit)),
        )
        return
    look = call.look()
    call.page([*_facts(reading, found, name, trials, look), *(_trials(trials, look) if tasks else ())])


def _record(trial: Trial) -> dict[str, object]:
    return {
        "task": trial.task,
        "attempt": trial.attempt,
        "score": trial.score,
        "fault": trial.fault,
        "ending": trial.ending,
        "grading": trial.grading,
        "cost_usd": trial.usage.usd,
        "tokens": trial.usage.tokens,
        "calls": trial.usage.calls,
        "seconds": trial.usage.seconds,
        "trace": trial.trace,
        "why": report.clean(trial.why),
    }


def _facts(
    reading: Reading, agent: Agent, bench: str, trials: Sequence[Trial], look: report.Look
) -> Iterator[str]:
    known = estimated(trials)
    scored = [t for t in trials if t.score is not None]
    solved = sum((t.score or 0) >= 1 for t in scored)
    best = (
        look.paint("best", "   best")
        if agent.commit == reading.champion and agent.standing != "rejected"
        else ""
    )
    count = f"  n={len(scored)} {bench}, {solved} solved" if scored else "  not measured yet"
    yield f"{look.paint('name', agent.name):<10} {report.with_interval(*measured(trials))}{count}{best}"
    if known:
        repeated = f"   {said}" if (said := pass_words(trials)) else ""
        yield f"interval   95%, {known.method} over {report.plural(known.tasks, 'task')}{repeated}"
    when = report.ago(time.time() - agent.created) if agent.created else ""
    run = f"  {agent.run}" if agent.run else ""
    yield f"commit     {agent.commit[:10]}  tree {agent.tree[:10]}  {when}{run}"
    yield from _relatives(reading, agent, bench, trials)
    made_with = f" with {report.clean(agent.model)}" if agent.model else ""
    yield f"operator   {report.clean(agent.operator)}{made_with}"
    if agent.standing == "rejected":
        from sica.cli.parts import starts_as

        yield f"standing   {look.paint('bad', 'rejected')}: {report.clean(agent.reason)}"
        yield f"starts as  {starts_as(reading.repo, agent)}"
    elif agent.standing == "unchecked":
        yield "standing   not through the gate yet"
    elif race := reading.races(bench).get(agent.commit):
        rival = next(a.name for a in reading.agents if a.commit == race.against)
        yield f"standing   {race.words} against {rival}; measured no further, cannot become champion"
    usage = sum((t.usage for t in trials), Usage())
    each = f"   per solved trial {report.money(usage.usd / solved)}" if solved else ""
    yield f"cost       making {report.money(agent.cost_usd)}   measuring {report.money(usage.usd)}{each}"
    if usage.calls:
        yield f"usage      {report.count(usage.tokens)} tokens, {usage.calls:,} calls, {report.duration(usage.seconds)}"
    yield from _reused(reading, agent, trials)
    if agent.parents:
        stat = reading.repo.diff(agent.parents[0], agent.commit, "--shortstat").strip()
        yield f"change     {stat or 'none'}"
    yield ""
    yield "  " + report.clean(agent.subject)
    if body := report.clean_block(agent.body).strip():
        yield ""
        yield from ("  " + line for line in body.splitlines())
    yield ""
    yield from _of_kinds(trials, reading.kinds(bench))
    yield from _endings(trials)
    yield from _said(reading, agent)
    more = [f"sica diff {agent.number}"] if agent.parents else []
    worst = min(scored, key=lambda t: (t.score or 0, t.task), default=None)
    if worst:
        more.append(f"sica trace {agent.number} {worst.task.rpartition('/')[2]}")
    more.append(f"sica git show {agent.name}")
    yield look.paint("dim", "More:  " + " · ".join(more))


def _said(reading: Reading, agent: Agent) -> Iterator[str]:
    """The last of what people said of it, and how often guards and overseer stepped in."""
    from sica.web.source import reviews

    every = reviews(reading.repo.reviews(agent.commit))
    said = [line for line in every if line["kind"] != "ruling"]
    for line in said[-3:]:
        who = f" by {line['by']}" if line["by"] else ""
        yield f"{line['kind']:<10} {report.clean(line['text'])}{who}"
    ruled = Counter((line["by"], line["action"]) for line in every if line["kind"] == "ruling")
    if ruled:
        words = ", ".join(f"{n} {action} by {by}" for (by, action), n in ruled.most_common())
        yield f"overseen   {words}   sica review {agent.number}"
    if every:
        yield ""


def _reused(reading: Reading, agent: Agent, trials: Sequence[Trial]) -> Iterator[str]:
    """Trials that were never made for this agent: of another one with the same code, or of another archive."""
    from sica.ledger import IMPORTED

    names = {a.commit: a.name for a in reading.agents}
    origins = Counter(
        f"in {report.clean(t.run.removeprefix(IMPORTED).rpartition(':')[0])}"
        if t.run.startswith(IMPORTED)
        else f"as {names.get(t.agent, t.agent[:10])}"
        for t in trials
        if t.run.startswith(IMPORTED) or t.agent != agent.commit
    )
    if origins:
        where = ", ".join(f"{n} measured {words}" for words, n in origins.items())
        yield f"reused     {origins.total()} of {len(trials)} trials: {where}"


def _relatives(reading: Reading, agent: Agent, bench: str, trials: Sequence[Trial]) -> Iterator[str]:
    by_commit = {a.commit: a for a in reading.agents}
    known = [by_commit[p] for p in agent.parents if p in by_commit]
    kinds = reading.kinds(bench)
    for parent in known:
        words = difference(reading.trials(parent, bench), trials, kinds).words if trials else ""
        yield f"parent     {parent.name}  {words}".rstrip()
    seed = min(reading.agents, key=lambda a: a.number)
    if trials and agent is not seed and seed not in known:
        yield f"since {seed.number:<4} {difference(reading.trials(seed, bench), trials, kinds).words}"


def _of_kinds(trials: Sequence[Trial], kinds: Mapping[str, str]) -> Iterator[str]:
    """by kind  edit 75.0% of 12   fix 50.0% of 8"""
    of: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.score is not None and kinds:
            of.setdefault(kinds.get(trial.task, ""), []).append(trial)
    parts = [f"{report.clean(k)} {report.percent(measured(of[k])[0])} of {len(of[k])}" for k in sorted(of)]
    if parts:
        yield "by kind    " + "   ".join(parts)


def _endings(trials: Sequence[Trial]) -> Iterator[str]:
    faults = Counter(t.fault for t in trials if t.fault)
    endings = Counter(t.ending for t in trials if t.score is not None and t.ending != "done")
    if endings:
        yield "endings    " + "   ".join(f"{n} {report.clean(e)}" for e, n in endings.most_common())
    if faults:
        yield "faults     " + "   ".join(f"{n} {f}" for f, n in faults.items()) + "   (not counted as wrong)"


def _trials(trials: Sequence[Trial], look: report.Look) -> Iterator[str]:
    lines = [
        [
            t.task.rpartition("/")[2],
            str(t.attempt),
            "fault" if t.score is None else f"{t.score:.2f}",
            report.clean(t.ending),
            report.money(t.usage.usd),
            report.duration(t.usage.seconds),
            report.clean(t.why),
        ]
        for t in sorted(trials, key=lambda t: (t.task, t.attempt))
    ]
    header = ("task", "attempt", "score", "ending", "cost", "time", "why")
    yield ""
    yield from report.table(lines, "<>><>><", look, header=header)
