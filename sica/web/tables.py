"""Tables for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from sica.report import clean
from sica.web import lineage
from sica.web.source import Source

_AGENT = (
    "agent",
    "commit",
    "status",
    "best",
    "score",
    "low",
    "high",
    "n",
    "faults",
    "change",
    "separable",
    "cost_usd",
)
_TRIAL = (
    "task",
    "attempt",
    "score",
    "fault",
    "ending",
    "grading",
    "usd",
    "tokens",
    "calls",
    "seconds",
    "run",
    "trace",
)


def agents(source: Source) -> Iterator[str]:
    with source.moment():
        rows = lineage.rows_of(source, source.shown("", ""))
    yield _line([*_AGENT, "parents", "subject"])
    for row in rows:
        yield _line([*(getattr(row, name) for name in _AGENT), " ".join(map(str, row.parents)), row.subject])


def trials(source: Source) -> Iterator[str]:
    with source.moment():
        shown, known = source.shown("", ""), source.reading().agents
    yield _line(["agent", *_TRIAL])
    for agent in known:
        for trial in source.ledger.trials_of(agent.commit, shown.benchmark, shown.setting):
            facts = lineage.trial_facts(trial)
            yield _line([agent.number, *(facts[name] for name in _TRIAL)])


def _line(cells: Iterable[object]) -> str:
    """A cell that a spreadsheet would take for a formula is given a quote before it."""
    text = [clean("" if cell is None else str(cell)) for cell in cells]
    safe = [
        f"'{cell}" if cell[:1] in tuple("=+@") or (cell[:1] == "-" and not _number(cell)) else cell
        for cell in text
    ]
    out = io.StringIO()
    csv.writer(out).writerow(safe)
    return out.getvalue()


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
