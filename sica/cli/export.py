"""`sica export`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation, examples
from sica.cli.reading import UNDER, Reading
from sica.errors import UsageError, no_such

if TYPE_CHECKING:
    from sica.exports import Exported

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Trials in the formats of others: Harbor, Inspect, CSV, Parquet, SWE-bench.",
)

AGENTS = typer.Argument(
    None, metavar="[AGENT]...", help="Whose trials; default: everybody's.", autocompletion=completion.agents
)
BENCH = typer.Option("", "--bench", help="Only of this benchmark.", autocompletion=completion.benchmarks)
RUN = typer.Option("", "--run", help="Only of this run, such as r3.")
TASK = typer.Option("", "--task", help="Only tasks that match this glob.")
FORCE = typer.Option(False, "--force", help="Put it in the place of what is there.")
JSON = typer.Option(False, "--json", help="One object.")
TO_FOLDER = typer.Argument(..., metavar="DIR", help="The directory to make.")
TO_FILE = typer.Argument(..., metavar="FILE", help="The file to make.")
UNDER_ = typer.Option("", "--under", help=UNDER)


@app.callback()
def root() -> None:
    """Trials in the formats of others: Harbor, Inspect, CSV, Parquet, SWE-bench."""


@app.command(epilog=examples("sica export harbor jobs/mine best", "harbor view jobs"))
def harbor(
    ctx: typer.Context,
    to: Path = TO_FOLDER,
    agents: list[str] = AGENTS,
    bench: str = BENCH,
    run: str = RUN,
    task: str = TASK,
    under: str = UNDER_,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> None:
    """Write a Harbor job directory: a folder for each trial, with an ATIF v1.7 trajectory and the result."""
    from sica.exports import harbor_job

    _folder(ctx.obj, to, _Selection(agents, bench, run, task, under), harbor_job.write, force, as_json)


@app.command(epilog=examples("sica export inspect logs best", "inspect view --log-dir logs"))
def inspect(
    ctx: typer.Context,
    to: Path = TO_FOLDER,
    agents: list[str] = AGENTS,
    bench: str = BENCH,
    run: str = RUN,
    task: str = TASK,
    under: str = UNDER_,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> None:
    """Write a directory of Inspect logs, one for each agent on each benchmark."""
    from sica.exports import inspect_log

    _folder(ctx.obj, to, _Selection(agents, bench, run, task, under), inspect_log.write, force, as_json)


@app.command("csv", epilog=examples("sica export csv trials.csv --bench core"))
def to_csv(
    ctx: typer.Context,
    to: Path = TO_FILE,
    agents: list[str] = AGENTS,
    bench: str = BENCH,
    run: str = RUN,
    task: str = TASK,
    under: str = UNDER_,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> None:
    """Write one row a trial as CSV."""
    from sica.exports import tables

    _file(ctx.obj, to, _Selection(agents, bench, run, task, under), tables.write_csv, force, as_json)


@app.command(epilog=examples("sica export parquet trials.parquet"))
def parquet(
    ctx: typer.Context,
    to: Path = TO_FILE,
    agents: list[str] = AGENTS,
    bench: str = BENCH,
    run: str = RUN,
    task: str = TASK,
    under: str = UNDER_,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> None:
    """Write one row a trial as Parquet (needs sica[parquet])."""
    from sica.exports import tables

    _file(ctx.obj, to, _Selection(agents, bench, run, task, under), tables.write_parquet, force, as_json)


@app.command(epilog=examples("sica export swebench preds.jsonl best --bench verified"))
def swebench(
    ctx: typer.Context,
    to: Path = TO_FILE,
    agents: list[str] = AGENTS,
    bench: str = BENCH,
    run: str = RUN,
    task: str = TASK,
    under: str = UNDER_,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> None:
    """Write the patches that agents made at SWE-bench tasks, for the benchmark's own harness."""
    from sica.exports import predictions

    _file(ctx.obj, to, _Selection(agents, bench, run, task, under), predictions.write, force, as_json)


class _Selection:
    """Which trials are meant."""

    def __init__(self, agents: Sequence[str] | None, bench: str, run: str, task: str, under: str) -> None:
        self.agents, self.bench, self.run, self.task, self.under = agents or (), bench, run, task, under

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
        name = task.rpartition("/")[2]
        return run == (self.run or run) and (
            not self.task or fnmatchcase(name, self.task) or fnmatchcase(task, self.task)
        )


def _folder(
    call: Invocation,
    to: Path,
    which: _Selection,
    write: Callable[[Sequence[Exported], Path, Callable[[int], None]], None],
    force: bool,
    as_json: bool,
) -> None:
    """All of it or nothing: it is made beside its place, under the name that it will have."""
    every, place = which.of(call), _vacant(call.folder / to, force)
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
    _tell(call, to, every, len(every), as_json)


def _file(
    call: Invocation,
    to: Path,
    which: _Selection,
    write: Callable[[Sequence[Exported], Path], int | None],
    force: bool,
    as_json: bool,
) -> None:
    every, place = which.of(call), _vacant(call.folder / to, force)
    if place.is_dir():
        raise UsageError(f"{to}: is a directory", "name a file")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as beside:
        made = Path(beside) / place.name
        written = write(every, made)
        made.replace(place)
    _tell(call, to, every, len(every) if written is None else written, as_json)


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
