"""Driving the loop for evolve and eval: progress, Ctrl-C, the end of the run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from sica import forecast, loop, report
from sica.cli import ending, progress
from sica.cli.ending import DAY, Books
from sica.cli.exporting import telling
from sica.cli.invocation import Invocation
from sica.cli.parts import Shop
from sica.cli.signals import stopping
from sica.errors import SicaError, StoreError
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
    Usage,
    Verdict,
    Waiting,
)

EXIT = {"done": 0, "score": 0, "patience": 0, "budget": 3, "time": 3, "stopped": 3, "interrupted": 130}


def books(shop: Shop, archive: Archive) -> Books:
    """What is used now that the run has stopped, and what the rest of the plan would cost."""
    config, now = shop.config, time.time()
    used = shop.store.ledger.spent_by_day(now // DAY * DAY)
    rest = forecast.rest(archive, config.children, config.confirm).usd
    today = sum(used.values(), Usage())
    return Books(config, shop.broker.spent(), today, now, rest.likely if rest else None)


def drive(
    call: Invocation,
    shop: Shop,
    plan: loop.Plan,
    archive: Archive,
    *,
    as_json: bool,
    quiet: bool = False,
    attempts: range | None = None,
    exporters: Sequence[str] = (),
) -> tuple[Stopped, progress.State]:
    """Run the plan to its end; every event is shown, and printed when `as_json`. The run's end is recorded.

    `attempts`: those wanted at each task, when they are not the archive's own. `exporters`: NAME=WHERE of each.
    """
    state = progress.State(
        run=shop.run.id,
        cap=shop.config.max_cost,
        children=plan.children,
        spent=shop.spent,
        archive=archive,
        workers=plan.workers,
        confirm=plan.proof.fresh,
        before=shop.spent(),
        attempts=attempts,
        controls=shop.controls,
    )
    place = replace(shop.place, open_trace=state.watch.opening(shop.place.open_trace))
    live = call.live(sys.stderr) and not (as_json or quiet)
    if live:
        state.change = partial(_change, shop)
    say = _nothing if quiet or as_json else call.say
    last: Stopped | None = None

    def leave() -> None:
        try:
            shop.sandbox.sweep()
        finally:
            shown.abandoned()

    with (
        telling(call, shop, exporters) as told,
        progress.shown(state, live=live, look=call.look(sys.stderr), say=say) as shown,
        stopping(shop.cancel, shown.interrupted, leave),
    ):
        try:
            for event in shop.criticised(loop.evolve(plan, place, shop.store.ledger, archive)):
                shown.event(event)
                for exporter in told:
                    exporter.take(event)
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


def _change(shop: Shop, old: str, new: str) -> str:
    """The size of a change, which no run ends for."""
    try:
        return shop.store.repo.diff(old, new, "--shortstat")
    except SicaError:
        return ""


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
        case Waiting():
            facts |= {"event": "waiting", "agent": number(event.promotion.agent), "why": event.promotion.why}
        case Stopped():
            best = number(event.archive.champion)
            facts |= {"event": "stopped", "reason": event.reason, "best": best, "spent_usd": shop.spent()}
            used = books(shop, event.archive)
            facts["why"] = ending.why(event.reason, event.archive, used)
            done = event.reason == "done"
            facts["continue"] = "" if done else ending.resume(event.reason, sys.argv[1:], used)
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
