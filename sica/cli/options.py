"""Options that several commands share, so that each means the same wherever it is typed."""

from __future__ import annotations

import typer

from sica.cli import completion

BENCH = typer.Option(
    "",
    "--bench",
    help="Whose scores; default: the configured benchmark.",
    autocompletion=completion.benchmarks,
)
TASK = typer.Option(None, "--task", help="Only tasks that match this glob; again for more.")
UNDER_HELP = "Whose scores: part of a model's or sandbox's name; default: the latest."
UNDER = typer.Option("", "--under", help=UNDER_HELP, autocompletion=completion.settings)
