"""`sica export`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli import completion, names, options
from sica.cli.invocation import Invocation, examples
from sica.cli.reading import Reading
from sica.errors import UsageError, no_such

if TYPE_CHECKING:
    from sica.exports import Exported

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


def _writes(form: str) -> Callable[..., None]:
    """The command of a format; all of them choose their trials alike."""

    def command(
        ctx: typer.Context,
        to: Path = typer.Argument(..., metavar="TO", help="The directory or file to make."),
        agents: list[str] = typer.Argument(
            None,
            metavar="[AGENT]...",
            help="Whose trials; default: everybody's.",
            autocompletion=completion.agents,
        ),
        bench: str = typer.Option(
            "", "--bench", help="Only of this benchmark.", autocompletion=completion.benchmarks
        ),
        run: str = RUN,
        task: list[str] = options.TASK,
        under: str = typer.Option("", "--under", help=options.UNDER_HELP),
        force: bool = typer.Option(False, "--force", help="Put it in the place of what is there."),
        as_json: bool = JSON,
    ) -> None:
        call: Invocation = ctx.obj
        place = _vacant(call.folder / to, force)
        every = _Selection(agents, bench, run, names.globs(task), under).of(call)
        _tell(call, to, every, _written(call, form, place, every), as_json)

    return command


FORMS = {
    "harbor": (
        "Write a Harbor job with ATIF v1.7 trajectories.",
        ("sica export harbor jobs/mine best", "harbor view jobs"),
    ),
    "inspect": (
        "Write Inspect logs, one an agent and benchmark.",
        ("sica export inspect logs best", "inspect view --log-dir logs"),
    ),
    "csv": ("Write one row a trial as CSV.", ("sica export csv trials.csv --bench core",)),
    "parquet": (
        "Write one row a trial as Parquet (sica[parquet]).",
        ("sica export parquet trials.parquet --run r3",),
    ),
    "swebench": (
        "Write predictions for the harness of SWE-bench.",
        ("sica export swebench preds.jsonl best --bench verified",),
    ),
}
for _form, (_help, _examples) in FORMS.items():
    app.command(_form, help=_help, epilog=examples(*_examples))(_writes(_form))


def _written(call: Invocation, form: str, place: Path, every: Sequence[Exported]) -> int:
    from sica.exports import harbor_job, inspect_log, predictions, tables

    match form:
        case "harbor":
            return _folder(call, place, every, harbor_job.write)
        case "inspect":
            return _folder(call, place, every, inspect_log.write)
        case "csv":
            return _file(place, every, tables.write_csv)
        case "parquet":
            return _file(place, every, tables.write_parquet)
        case _:
            return _file(place, every, predictions.write)


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
    _send(ctx.obj, "otel", where, run, as_json)


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
    _send(ctx.obj, "mlflow", where, run, as_json, artifacts)


class _Selection:
    """Which trials are meant."""

    def __init__(self, agents: Sequence[str] | None, bench: str, run: str, globs: str, under: str) -> None:
        self.agents, self.bench, self.run, self.globs, self.under = agents or (), bench, run, globs, under

    def of(self, call: Invocation) -> list[Exported]:
        """In order of agent and arrival; a trial of commits with one tree stands once. Raises UsageError for none."""
        from sica.cli.parts import open_traces
        from sica.exports import Exported

        reading = Reading.of(call, self.under)
        if self.run and self.run not in (known := [run.id for run in reading.ledger.runs()]):
            raise no_such("run", report.clean(self.run), known)
        benchmark = reading.benchmark(self.bench) if self.bench else None
        traces = open_traces(reading.places)
        found: dict[tuple[str, str, str, int, float], Exported] = {}
        for agent in [reading.find(name) for name in self.agents] or reading.agents:
            for trial in reading.trials(agent, benchmark):
                if not self._meant(trial.run, trial.task):
                    continue
                key = trial.tree, trial.digest, trial.conditions, trial.attempt, trial.started
                events = partial(traces.read, trial.trace) if trial.trace else tuple
                found.setdefault(key, Exported(agent, trial, events))
        if not found:
            raise UsageError("no trial is meant by this", "sica log shows what was measured")
        return list(found.values())

    def _meant(self, run: str, task: str) -> bool:
        return run == (self.run or run) and names.meant(self.globs, task)


def _folder(
    call: Invocation,
    place: Path,
    every: Sequence[Exported],
    write: Callable[[Sequence[Exported], Path, Callable[[int], None]], None],
) -> int:
    """All of it or nothing: it is made beside its place, under the name that it will have."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as beside:
        made = Path(beside) / place.name
        made.mkdir()
        try:
            write(every, made, lambda n: call.passing(f"{place.name}: {n} of {len(every)}"))
        finally:
            call.passing("")
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        made.rename(place)
    return len(every)


def _file(
    place: Path, every: Sequence[Exported], write: Callable[[Sequence[Exported], Path], int | None]
) -> int:
    if place.is_dir():
        raise UsageError(f"{place}: is a directory", "name a file")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as beside:
        made = Path(beside) / place.name
        written = write(every, made)
        made.replace(place)
    return len(every) if written is None else written


def _vacant(place: Path, force: bool) -> Path:
    if place.exists() and not force and not (place.is_dir() and not any(place.iterdir())):
        raise UsageError(f"{place}: there is something already", "name another place, or --force")
    return place


def _tell(call: Invocation, to: Path, every: Sequence[Exported], written: int, as_json: bool) -> None:
    agents = sorted({e.agent.number for e in every})
    benchmarks = sorted({e.benchmark for e in every})
    if as_json:
        call.json("sica.export/1", path=str(to), n=written, agents=agents, benchmarks=benchmarks)
        return
    who = report.plural(len(agents), "agent")
    print(
        f"{report.clean(str(to))}: {report.plural(written, 'trial')} of {who} on {report.clean(', '.join(benchmarks))}"
    )


def _send(
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
