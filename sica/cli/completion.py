"""What the shell completes: names, fast, and nothing where there is nothing to read. It has no place for an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import typer

from sica import report
from sica.cli.invocation import Invocation
from sica.cli.reading import Reading
from sica.errors import SicaError

Choices = list[tuple[str, str]]


def agents(ctx: typer.Context, incomplete: str) -> Choices:
    """Agents by number and by name, with score and summary."""
    try:
        reading = Reading.of(_call(ctx))
        rows = reading.lineage(reading.benchmark(""))
    except SicaError:
        return []
    return [
        (name, f"{report.percent(row.score)}  {row.subject}")
        for row in rows
        for name in (str(row.agent), row.name)
        if name.startswith(incomplete)
    ]


def tried(ctx: typer.Context, incomplete: str) -> list[str]:
    """The tasks that the agent named before has tried."""
    try:
        reading = Reading.of(_call(ctx))
        trials = reading.trials(reading.find(str(ctx.params.get("agent") or "best")))
    except SicaError:
        return []
    names = {report.clean(t.task.rpartition("/")[2]) for t in trials}
    return sorted(name for name in names if name.startswith(incomplete))


def rules(incomplete: str) -> list[str]:
    from sica.benchcheck import RULES

    return [name for name in RULES if name.startswith(incomplete)]


def suites(incomplete: str) -> list[str]:
    from sica.suites import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def benchmarks(incomplete: str) -> list[str]:
    """The shipped ones, folders of tasks here, and the forms that importers read."""
    from sica.benchmarks import importers, shipped

    folders = {f"{path.parent.parent}" for path in Path().glob("*/*/task.toml")}
    forms = (f"{name}:" for name in importers())
    return sorted(name for name in (*shipped(), *folders, *forms) if name.startswith(incomplete))


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """The models and sandboxes under which the shown benchmark was measured."""
    try:
        reading = Reading.of(_call(ctx))
        known = reading.ledger.settings(reading.benchmark(str(ctx.params.get("bench") or "")))
    except SicaError:
        return []
    return [str(setting) for setting in known if str(setting).startswith(incomplete)]


def policies() -> list[str]:
    from sica.policies import policy_names

    return policy_names()


def sandboxes() -> list[str]:
    from sica.sandboxes import NAMES

    return list(NAMES)


def one_of(*names: str) -> Callable[[], list[str]]:
    return lambda: list(names)


def _call(ctx: typer.Context) -> Invocation:
    """Where it will be run: -C before the command counts."""
    root = ctx.find_root().params.get("project")
    return Invocation(Path(str(root or ".")), dict(os.environ))
