"""`sica eval --replay`: recorded trials run again, the model's answers taken from their own traces."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sica import report
from sica.errors import UsageError
from sica.model import Agent, Task, Trial

if TYPE_CHECKING:
    from sica.broker import HttpBroker
    from sica.cli.invocation import Invocation
    from sica.cli.parts import Store
    from sica.config import RunConfig
    from sica.ports import Benchmark, Environments, Sandbox
    from sica.traces import Traces

PREFIX = "replay/"


@dataclass(frozen=True)
class Again:
    """One trial as it was recorded and as it came out now."""

    agent: Agent
    before: Trial
    after: Trial

    @property
    def same(self) -> bool:
        return self.before.score == self.after.score

    def words(self) -> str:
        name, attempt = report.clean(self.before.task), self.before.attempt
        if self.after.score is None:
            return f"{self.agent.name}  {name}  attempt {attempt}  failed: {report.clean(self.after.why)}"
        how = "the same" if self.same else "ANOTHER SCORE"
        return f"{self.agent.name}  {name}  attempt {attempt}  {self.before.score:g} -> {self.after.score:g}  {how}"

    def record(self) -> Mapping[str, object]:
        return {
            "agent": self.agent.number,
            "task": self.before.task,
            "attempt": self.before.attempt,
            "trace": self.before.trace,
            "recorded": self.before.score,
            "score": self.after.score,
            "same": self.same,
            "why": report.clean(self.after.why),
        }


def replay(
    call: Invocation,
    config: RunConfig,
    names: Sequence[str],
    benchmark: Benchmark,
    tasks: Sequence[Task],
    as_json: bool,
) -> int:
    """Run what was recorded once more and compare; nothing is recorded and nothing is paid. 1 when a score differs."""
    from sica.cli import parts
    from sica.cli.names import resolve
    from sica.runlock import run_lock

    places, found = call.places(), []
    only = config.model.removeprefix(PREFIX) if config.model.startswith(PREFIX) else ""
    with (
        run_lock(places.lock),
        parts.opened(call) as store,
        parts.sandbox_for(config.sandbox, places) as sandbox,
    ):
        known, champion = store.ledger.agents(), store.repo.champion()
        agents = [resolve(name, known, champion, store.repo.rev_parse) for name in names]
        recorded = [(agent, t) for agent in agents for t in _recorded(store, agent, benchmark, tasks, only)]
        if not recorded:
            raise UsageError("no scored trial with a trace is recorded of these", "sica show AGENT --tasks")
        for again in _runs(store, sandbox, parts.environments(call), benchmark, tasks, recorded):
            found.append(again)
            if not as_json:
                print(again.words(), flush=True)
    if as_json:
        call.json("sica.replay/1", benchmark=benchmark.name, trials=[again.record() for again in found])
    return 0 if all(again.same for again in found) else 1


def _recorded(
    store: Store, agent: Agent, benchmark: Benchmark, tasks: Sequence[Task], only: str
) -> Iterator[Trial]:
    wanted = {t.digest for t in tasks}
    bare = only.removeprefix("sha256:")
    for trial in store.ledger.trials_of(agent.commit, benchmark.name):
        meant = trial.trace.removeprefix("sha256:").startswith(bare)
        if meant and trial.trace and trial.digest in wanted and trial.score is not None:
            yield trial


def _runs(
    store: Store,
    sandbox: Sandbox,
    environments: Environments,
    benchmark: Benchmark,
    tasks: Sequence[Task],
    recorded: Sequence[tuple[Agent, Trial]],
) -> Iterator[Again]:
    from sica.cli.parts import open_traces
    from sica.cli.signals import stopping, tell
    from sica.traces import Traces

    traces, cancel = open_traces(store.places), threading.Event()
    with tempfile.TemporaryDirectory() as scratch, stopping(cancel, tell, sandbox.sweep):
        for agent, trial in recorded:
            after = _once(
                *(store, sandbox, environments, benchmark, tasks),
                *(agent, trial, traces, Traces(Path(scratch)), cancel),
            )
            if cancel.is_set():
                raise KeyboardInterrupt
            yield Again(agent, trial, after)


def _once(
    store: Store,
    sandbox: Sandbox,
    environments: Environments,
    benchmark: Benchmark,
    tasks: Sequence[Task],
    agent: Agent,
    trial: Trial,
    traces: Traces,
    scratch: Traces,
    cancel: threading.Event,
) -> Trial:
    from sica.attempt import Workplace
    from sica.attempt import trial as run_trial
    from sica.broker import HttpBroker
    from sica.gateways.replay import ReplayGateway

    gateway = ReplayGateway(traces, trial.trace)
    session = next((e for e in traces.read(trial.trace) if e["type"] == "session"), {})
    with HttpBroker(gateway, runtime=store.places.runtime, record=_forget) as broker:
        place = Workplace(
            repo=store.repo,
            sandbox=sandbox,
            broker=broker,
            open_trace=scratch.open,
            model=str(session.get("model", "replay")),
            run="",
            cancel=cancel,
            environments=environments,
        )
        task = next(t for t in tasks if t.digest == trial.digest)
        after = run_trial(place, agent, task, trial.attempt, benchmark)
        _raise(broker)
    return after


def _forget(call: object) -> None:
    """A replay's calls cost nothing and are no outcome: the ledger keeps the recorded ones only."""
    del call


def _raise(broker: HttpBroker) -> None:
    if broker.fatal is not None:
        raise broker.fatal
