"""Driving the loop for evolve and eval: progress, Ctrl-C, the end of the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sica import loop, report
from sica.cli import progress
from sica.cli.invocation import Invocation
from sica.cli.parts import Shop
from sica.cli.signals import stopping
from sica.errors import StoreError
from sica.model import (
    Archive,
    Event,
    Finished,
    Improvement,
    Merge,
    Promoted,
    Promotion,
    Started,
    Stopped,
    Trial,
    Verdict,
)

EXIT = {"done": 0, "budget": 3, "time": 3, "interrupted": 130}


def drive(
    call: Invocation, shop: Shop, plan: loop.Plan, archive: Archive, *, as_json: bool, quiet: bool = False
) -> tuple[Stopped, progress.State]:
    """Run the plan to its end; every event is shown, and printed when `as_json`. The run's end is recorded."""
    state = progress.State(shop.run.id, shop.config.max_cost, plan.children, shop.spent, archive)
    live = call.live(sys.stderr) and not (as_json or quiet)
    say = _nothing if quiet or as_json else call.say
    last: Stopped | None = None

    def leave() -> None:
        try:
            shop.sandbox.sweep()
        finally:
            shown.abandoned()

    with (
        progress.shown(
            state, live=live, look=call.look(sys.stderr), width=lambda: call.width(sys.stderr), say=say
        ) as shown,
        stopping(shop.cancel, shown.interrupted, leave),
    ):
        try:
            for event in loop.evolve(plan, shop.place, shop.store.ledger, archive):
                shown.event(event)
                if as_json:
                    print(json.dumps(record(event, shop)), flush=True)
                if isinstance(event, Stopped):
                    last = event
        except BaseException:
            with suppress(StoreError):  # a run without an end is continued as a failed one is
                shop.store.ledger.end_run(shop.run.id, "failed")
            shop.raise_fatal()
            raise
    if last is None:
        raise AssertionError("the loop ended without saying why")
    shop.store.ledger.end_run(shop.run.id, last.reason)
    shop.raise_fatal()
    return last, state


def _nothing(text: str) -> None:
    del text


def record(event: Event, shop: Shop) -> Mapping[str, Any]:
    """One line of `evolve --json`."""
    facts: dict[str, Any] = {"schema": "sica.evolve/1", "run": shop.run.id, "at": event.at}
    agents = event.archive.agents

    def number(commit: str) -> int | None:
        return agents[commit].number if commit in agents else None

    match event:
        case Started() | Finished():
            step = event.step
            facts |= {
                "event": "started" if isinstance(event, Started) else "finished",
                "phase": progress.PHASES[type(step)],
                "agent": number(getattr(step, "parent", "") or getattr(step, "agent", "")),
            }
            if isinstance(step, Merge):
                facts["with"] = number(step.other)
            if isinstance(event, Finished):
                facts |= dict(_outcome(event.outcome))
        case Promoted():
            facts |= {"event": "promoted", "agent": number(event.promotion.agent), "why": event.promotion.why}
        case Stopped():
            best = number(event.archive.champion)
            facts |= {"event": "stopped", "reason": event.reason, "best": best, "spent_usd": shop.spent()}
    return facts


def _outcome(outcome: Trial | Improvement | Verdict | Promotion) -> Iterator[tuple[str, Any]]:
    match outcome:
        case Trial():
            yield from {
                "task": outcome.task,
                "attempt": outcome.attempt,
                "score": outcome.score,
                "fault": outcome.fault,
                "ending": outcome.ending,
                "trace": outcome.trace,
            }.items()
        case Improvement():
            yield "child", outcome.child.number if outcome.child else None
            yield "ending", outcome.ending
            yield "subject", report.clean(outcome.child.subject) if outcome.child else ""
        case Verdict():
            yield "passed", outcome.passed
            yield "reason", report.clean(outcome.reason)
    if not isinstance(outcome, Promotion):
        yield "cost_usd", outcome.usage.usd
        yield "tokens", outcome.usage.tokens
