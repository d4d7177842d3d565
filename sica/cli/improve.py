"""`sica improve`."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.errors import UsageError

if TYPE_CHECKING:
    from sica.attempt import Workplace
    from sica.cli.parts import Shop
    from sica.model import Agent, Archive, Improvement, Verdict
    from sica.ports import Benchmark

EXAMPLES = (
    "sica improve best",
    'sica improve 3 --hint "let the agent edit a file by a unified diff"',
    "cat request.md | sica improve best --hint -",
)


def command(
    ctx: typer.Context,
    agent: str = typer.Argument(
        "best", help="Which agent writes its child.", autocompletion=completion.agents
    ),
    hint: list[str] = typer.Option(
        [], "--hint", help="What you would like changed; may be repeated; - reads it from stdin."
    ),
    bench: str = typer.Option(
        None, "--bench", help="Whose results it is shown.", autocompletion=completion.benchmarks
    ),
    model: str = typer.Option(None, "--model", help="The model that the agent talks to."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    max_cost: float = typer.Option(None, "--max-cost", help="Dollars; nothing is spent above it."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask about money."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Let one agent write one child, with your request in its brief; the gate checks the child.

    Nothing is measured and nobody is promoted: sica eval and sica evolve do that. Exit 1 when there is no child that
    works; an agent that the gate turns down keeps its branch and the reason.
    """
    from sica.cli import estimating, names, parts

    call: Invocation = ctx.obj
    hints = [sys.stdin.read() if words == "-" else words for words in hint]
    if any(not words.strip() for words in hints):
        raise UsageError("an empty --hint", "say what you would like changed, or leave --hint out")
    config = call.settings(bench=bench, model=model, sandbox=sandbox, max_cost=max_cost).config
    benchmark, smoke = parts.open_benchmark(call, config.bench), parts.open_smoke(call, config)
    tasks = [parts.capped(task, config) for task in parts.chosen(benchmark, "", "", config.bench)]
    with parts.working(call, config, kind="improve", cancel=threading.Event()) as shop:
        shop.store.ledger.see_tasks(benchmark.tasks())
        archive = shop.archive(tasks, config.attempts)
        parent = names.resolve(
            agent, tuple(archive.agents.values()), archive.champion, shop.store.repo.rev_parse
        )
        if parent.standing == "rejected":
            raise UsageError(
                f"{parent.name} was rejected: {report.clean(parent.reason)}",
                "choose one that works: sica log",
            )
        estimating.ask_unknown(call, config, shop.gateway, "one improvement", yes)
        call.say(f"{parent.name} at work on its own code, at most {report.duration(config.improve.seconds)}")
        made, verdict = _made(shop, archive, parent, smoke, hints)
        shop.store.ledger.end_run(shop.run.id, "done")
        shop.raise_fatal()
    if made.fault == "cancelled":
        raise typer.Exit(130)
    _tell(call, parent, made, verdict, as_json)
    raise typer.Exit(0 if verdict is not None and verdict.passed else 1)


def _made(
    shop: Shop, archive: Archive, parent: Agent, smoke: Benchmark, hints: list[str]
) -> tuple[Improvement, Verdict | None]:
    """Both are on record when they come back; a fault is none of the agent's."""
    from sica import gate, making
    from sica.cli.signals import stopping, tell

    config, ledger = shop.config, shop.store.ledger
    known = making.known(shop.store.repo, shop.traces.read, ledger.critique)
    terms = making.Terms(config.improve.limits(), config.improve.budget(), config.seed, known)
    place: Workplace = replace(shop.place, hints=tuple(hints))
    with stopping(shop.cancel, tell, shop.sandbox.sweep):
        made = making.improve(archive.improve(parent.commit), terms, place, archive)
        if made.fault == "cancelled":
            return made, None
        ledger.record(made)
        if made.child is None:
            return made, None
        verdict = gate.check(made.child, smoke, place)
        if verdict.fault is None:
            ledger.record(verdict)
    return made, verdict


def _tell(call: Invocation, parent: Agent, made: Improvement, verdict: Verdict | None, as_json: bool) -> None:
    child = made.child
    usage = made.usage + verdict.usage if verdict else made.usage
    if as_json:
        call.json(
            "sica.improve/1",
            parent=parent.number,
            child=child.number if child else None,
            subject=report.clean(child.subject) if child else "",
            ending=made.ending,
            why=report.clean(made.why),
            passed=verdict.passed if verdict and verdict.fault is None else None,
            reason=report.clean(verdict.reason) if verdict else "",
            cost_usd=usage.usd,
            tokens=usage.tokens,
            trace=made.trace,
        )
        return
    if child is None:
        print(f"no child: {made.ending}: {report.clean(made.why)}")
        return
    print(f"{child.name}  {report.clean(child.subject)}   {report.money(usage.usd)}")
    if verdict is None or verdict.fault:
        reason = report.clean(verdict.reason) if verdict else "interrupted"
        call.say(f"the gate could not judge it: {reason}; the next run asks again")
    elif not verdict.passed:
        print(f"rejected: {report.clean(verdict.reason)}")
    call.say(f"Next:  sica diff {parent.number} {child.number} · sica eval {child.number} · sica evolve")
