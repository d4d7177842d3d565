"""Trials as one table, a row each: CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sica.errors import UsageError
from sica.exports import Exported, moment, sound

Cell = str | int | float | None


def rows(every: Sequence[Exported]) -> list[dict[str, Cell]]:
    return [_row(exported) for exported in every]


def _row(exported: Exported) -> dict[str, Cell]:
    agent, trial, usage = exported.agent, exported.trial, exported.trial.usage
    return {
        "agent": agent.number,
        "commit": agent.commit,
        "tree": agent.tree,
        "benchmark": exported.benchmark,
        "task": exported.task,
        "digest": trial.digest,
        "attempt": trial.attempt,
        "score": trial.score,
        "fault": trial.fault or "",
        "ending": trial.ending,
        "grading": trial.grading,
        "model": trial.setting.model,
        "image": trial.setting.image,
        "conditions": trial.conditions,
        "usd": usage.usd,
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "calls": usage.calls,
        "seconds": usage.seconds,
        "run": trial.run,
        "started": moment(trial.started),
        "session": trial.session,
        "trace": trial.trace,
        "why": sound(trial.why),
    }


def write_csv(every: Sequence[Exported], path: Path) -> None:
    found = rows(every)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def write_parquet(every: Sequence[Exported], path: Path) -> None:
    """Types hold however the column is filled: a score column of nothing but faults is still of numbers."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError("writing Parquet needs pyarrow", "pip install 'sica[parquet]'") from None
    numbers = {"score", "usd", "seconds"}
    whole = {"agent", "attempt", "prompt_tokens", "cached_tokens", "completion_tokens", "calls"}
    found = rows(every)
    kinds = {
        name: pyarrow.float64() if name in numbers else pyarrow.int64() if name in whole else pyarrow.string()
        for name in found[0]
    }
    table = pyarrow.Table.from_pylist(found, schema=pyarrow.schema(list(kinds.items())))
    pyarrow.parquet.write_table(table, path)
