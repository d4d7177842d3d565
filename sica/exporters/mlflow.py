"""MLflow: a run for each of ours, its settings as parameters, and a step for every agent by its number."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would report every use to its makers

# it has to be set before that is loaded
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from sica import report
from sica.errors import SicaError, UsageError
from sica.exporters import Source
from sica.model import Agent, Archive, Event, Finished, Promoted, Stopped, Trial
from sica.stats import wilson

for _loud in ("mlflow", "alembic"):
    logging.getLogger(_loud).setLevel(logging.ERROR)  # their notices would stand in the picture of a run

EXPERIMENT = "sica"
LONGEST = 500
"""Characters of a parameter's value: what every store takes."""


class Exporter:
    """`where`: MLflow's tracking URI, a server or sqlite:///FILE; a FILE.db alone is the latter."""

    def __init__(self, where: str, source: Source) -> None:
        self._source = source
        self._uri = _uri(where)
        try:
            self._client = MlflowClient(tracking_uri=self._uri, registry_uri=_registry(self._uri))
            self._experiment = self._opened()
        except MlflowException as error:
            raise UsageError(
                f"MLflow cannot use {where}: {report.clean(str(error))}",
                "sqlite:///mlflow.db, or a server's address",
            ) from error
        self._runs: dict[str, str] = {}
        """MLflow's run by ours."""
        self._told: dict[str, set[tuple[str, int, float]]] = {}
        """Metrics that MLflow has, by its run."""
        self._dirty: dict[tuple[str, str], None] = {}
        """Agents with outcomes that no metric tells yet, by run."""
        self._archive: Archive | None = None

    def take(self, event: Event) -> None:
        self._archive = event.archive
        match event:
            case Finished(outcome=Trial() as trial) if trial.run:
                self._dirty[trial.run, trial.agent] = None
                if event.archive.tasks and event.archive.measured(trial.agent):
                    self._plainly(self._tell)
            case Promoted(promotion=won) if won.run:
                self._dirty[won.run, won.agent] = None
                self._plainly(lambda: self._best(won.run, event.archive.agents[won.agent]))
            case Stopped():
                self._plainly(self._tell)

    def close(self) -> None:
        self._plainly(self._tell)
        self._plainly(self._end)

    def artifacts(self, folder: Path) -> None:
        """Files, such as a report's, beside the last run."""
        if self._runs:
            self._plainly(lambda: self._client.log_artifacts(list(self._runs.values())[-1], str(folder)))

    def _plainly(self, tell: Any) -> None:
        try:
            tell()
        except (MlflowException, OSError) as error:
            raise SicaError(
                f"MLflow at {self._uri} took nothing: {report.clean(str(error))[:200]}"
            ) from error

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────

    def _opened(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        beside = _file(self._uri)
        place = (beside.parent / "mlartifacts").as_uri() if beside else None
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=place))

    def _run(self, run: str) -> str:
        """The run that this one was told in before, so that a continued run is one run there, too."""
        if run not in self._runs:
            mine = f"tags.`sica.run` = '{run}' and tags.`sica.store` = '{self._source.store}'"
            found = self._client.search_runs([self._experiment], mine, max_results=1)
            self._runs[run] = found[0].info.run_id if found else self._begun(run)
        return self._runs[run]

    def _begun(self, run: str) -> str:
        tags = {"sica.run": run, "sica.store": self._source.store, "mlflow.source.name": "sica"}
        made = self._client.create_run(self._experiment, tags=tags, run_name=run).info.run_id
        settings = dict(_flat(self._source.settings.get(run, {})))
        params = [Param(key, value[:LONGEST]) for key, value in settings.items()]
        for start in range(0, len(params), 100):
            self._client.log_batch(made, params=params[start : start + 100])
        return str(made)

    def _end(self) -> None:
        for made in self._runs.values():
            self._client.set_terminated(made, "FINISHED")

    # ── agents ────────────────────────────────────────────────────────────────────────────────────

    def _tell(self) -> None:
        """One step for every agent of which something new is known; what is known there is not told again."""
        assert self._archive is not None or not self._dirty
        for run, commit in list(self._dirty):
            assert self._archive is not None
            agent = self._archive.agents[commit]
            made = self._run(run)
            now = int(time.time() * 1000)
            known = self._known(made)
            found = _metrics(agent, self._archive, run)
            fresh = [(k, v) for k, v in found.items() if (k, agent.number, v) not in known]
            if fresh:
                self._client.log_batch(made, metrics=[Metric(k, v, now, agent.number) for k, v in fresh])
                known.update((k, agent.number, v) for k, v in fresh)
            del self._dirty[run, commit]

    def _known(self, made: str) -> set[tuple[str, int, float]]:
        if made not in self._told:
            there = self._client.get_run(made).data.metrics
            history = (m for key in there for m in self._client.get_metric_history(made, key))
            self._told[made] = {(m.key, m.step, m.value) for m in history}
        return self._told[made]

    def _best(self, run: str, agent: Agent) -> None:
        tags = [
            RunTag("sica.best", agent.name),
            RunTag("mlflow.note.content", report.clean(agent.subject)[:LONGEST]),
        ]
        self._client.log_batch(self._run(run), tags=tags)


def _metrics(agent: Agent, archive: Archive, run: str) -> Mapping[str, float]:
    trials = [t for t in archive.trials.get(agent.tree, ()) if t.run == run]
    scores = [t.score for t in trials if t.score is not None]
    found = {
        "trials": float(len(scores)),
        "faults": float(len(trials) - len(scores)),
        "cost_usd": agent.cost_usd + sum(t.usage.usd for t in trials),
        "tokens": float(sum(t.usage.tokens for t in trials)),
        "calls": float(sum(t.usage.calls for t in trials)),
        "seconds": sum(t.usage.seconds for t in trials),
    }
    if scores:
        mean = sum(scores) / len(scores)
        low, high = wilson(mean, len(scores))
        found |= {"score": mean, "score_low": low, "score_high": high}
    return found


def _flat(settings: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{under}{key}.")
        elif value is not None and value != "":
            yield f"{under}{key}", report.clean(str(value))


def _uri(where: str) -> str:
    if "://" in where:
        return where
    path = Path(where)
    if path.suffix not in (".db", ".sqlite"):
        raise UsageError(f"mlflow={where} is neither a server nor a database", "such as mlflow=mlflow.db")
    return f"sqlite:///{path.resolve()}"


def _file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None


def _registry(uri: str) -> str | None:
    """The models' registry, which is not used, must be somewhere that the small package knows."""
    beside = _file(uri)
    return (beside.parent / "mlartifacts").as_uri() if beside else None
