"""`sica export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from sica import report
from sica.cli.invocation import Invocation, examples
from sica.errors import UsageError, no_such

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="What happened, for other people's tools.",
)

RUN = typer.Option("", "--run", help="Only of this run, such as r3.")
JSON = typer.Option(False, "--json", help="One object.")


@app.callback()
def root() -> None:
    """What happened, for other people's tools."""


@app.command(epilog=examples("sica export otel", "sica export otel http://collector:4318 --run r3"))
def otel(
    ctx: typer.Context,
    where: str = typer.Argument("http://127.0.0.1:4318", help="An OTLP/HTTP receiver."),
    run: str = RUN,
    as_json: bool = JSON,
) -> None:
    """Send OpenTelemetry spans: a trace for each trial and improvement, a span for each model call and tool.

    Names are those of the GenAI conventions; what was said is not sent. Needs the packages of sica[otel].
    Sending again sends the same spans, by the same ids. evolve --export otel=WHERE sends them while it runs.
    """
    _tell(ctx.obj, "otel", where, run, as_json)


@app.command(
    epilog=examples("sica export mlflow", "sica export mlflow http://127.0.0.1:5000 --artifacts report")
)
def mlflow(
    ctx: typer.Context,
    where: str = typer.Argument("mlflow.db", help="A server's address, or a file for its SQLite store."),
    run: str = RUN,
    artifacts: Path = typer.Option(
        None, "--artifacts", exists=True, file_okay=False, help="Files to put beside the last run."
    ),
    as_json: bool = JSON,
) -> None:
    """Log runs to MLflow: settings as parameters, scores and costs by agent as steps.

    Needs the packages of sica[mlflow]. Logging again adds only what is new. evolve --export mlflow=WHERE logs while
    it runs.
    """
    _tell(ctx.obj, "mlflow", where, run, as_json, artifacts)


def _tell(
    call: Invocation, name: str, where: str, run: str, as_json: bool, artifacts: Path | None = None
) -> None:
    from sica.cli.exporting import history, source
    from sica.cli.reading import Reading
    from sica.exporters import open_exporter

    reading = Reading.of(call)
    known = [r.id for r in reading.ledger.runs()]
    if run and run not in known:
        raise no_such("run", report.clean(run), known)
    exporter: Any = open_exporter(f"{name}={where}", source(reading))
    told = 0
    for told, event in enumerate(history(reading, run), 1):
        exporter.take(event)
        call.passing(f"{report.plural(told, 'outcome')} told to {where}")
    call.passing("")
    if artifacts is not None:
        exporter.artifacts(artifacts)
    exporter.close()
    if not told:
        raise UsageError("there is nothing to export yet", "sica evolve")
    if as_json:
        call.json("sica.export/1", to=name, where=where, run=run, outcomes=told)
    else:
        print(f"{report.plural(told, 'outcome')} told to {where}")
