"""Events for the exporters: of a run that goes on, and out of the archive afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sica.cli.invocation import Invocation
from sica.cli.reading import Reading
from sica.model import (
    Archive,
    Check,
    Evaluate,
    Event,
    Finished,
    Improve,
    Improvement,
    Outcome,
    Promoted,
    Promotion,
    Step,
    Trial,
    Verdict,
)

if TYPE_CHECKING:
    from sica.cli.parts import Shop
    from sica.exporters import Beside, Source


@contextmanager
def telling(call: Invocation, shop: Shop, wanted: Sequence[str]) -> Iterator[Sequence[Beside]]:
    """The exporters that are asked for, beside a run. Raises UsageError before anything is done or spent."""
    from sica.exporters import Beside, Source, open_exporter

    source = Source(shop.traces.read, {shop.run.id: shop.run.config}, shop.store.places.runtime.name)
    opened = [(words.partition("=")[0], open_exporter(words, source)) for words in wanted]
    beside = [Beside(name, exporter, call.say) for name, exporter in opened]
    try:
        yield beside
    finally:
        for exporter in beside:
            exporter.close()


def source(reading: Reading) -> Source:
    from sica.cli.parts import open_traces
    from sica.exporters import Source

    settings = {run.id: run.config for run in reading.ledger.runs()}
    return Source(open_traces(reading.places).read, settings, reading.places.runtime.name)


def history(reading: Reading, run: str) -> Iterator[Event]:
    """What happened, as the loop told it; only of one run, or of all."""
    archive = Archive({a.commit: a for a in reading.agents}, (), {}, champion="")
    for outcome in sorted(_outcomes(reading), key=_at):
        if run and outcome.run != run:
            continue
        archive = replace(archive.plus(outcome), agents=archive.agents)
        if isinstance(outcome, Promotion):
            yield Promoted(outcome, archive, outcome.at)
        else:
            yield Finished(_step(outcome), outcome, archive, _at(outcome))


def _outcomes(reading: Reading) -> Iterator[Outcome]:
    yield from reading.ledger.improvements()
    yield from reading.ledger.verdicts()
    yield from reading.ledger.promotions()
    for commit in {agent.tree: agent.commit for agent in reading.agents}.values():
        yield from reading.ledger.trials_of(commit)


def _at(outcome: Outcome) -> float:
    return outcome.at if isinstance(outcome, Promotion) else outcome.started + outcome.usage.seconds


def _step(outcome: Trial | Improvement | Verdict) -> Step:
    match outcome:
        case Trial():
            return Evaluate(outcome.agent, outcome.digest, outcome.attempt)
        case Improvement():
            return Improve(outcome.parent, 0)
        case Verdict():
            return Check(outcome.agent)
