"""The only place that builds the parts of a run from a RunConfig: store, sandbox, gateway, broker, benchmark."""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sica import __version__, policies, report
from sica import places as where
from sica.attempt import Workplace
from sica.cli.invocation import Invocation
from sica.cli.names import meant
from sica.config import RunConfig
from sica.control import Controls
from sica.errors import SicaError, StoreError, UsageError, no_such
from sica.ledger import SqliteLedger
from sica.model import (
    CONTRACT,
    HARNESS,
    Agent,
    Archive,
    Budget,
    Event,
    Files,
    Grade,
    Promotion,
    Run,
    Task,
    conditions,
)
from sica.places import Places
from sica.ports import Gateway, Policy, Sandbox
from sica.repo import GitRepo
from sica.runlock import run_lock

if TYPE_CHECKING:
    from sica.benchmarks.folder import FolderBenchmark
    from sica.broker import HttpBroker
    from sica.environments import Environments
    from sica.traces import Traces

SAID = 5
"""Tasks that cannot be run here and are named one by one."""

_NOT_THE_EXPERIMENT = frozenset(
    (
        *("max_cost", "max_tokens", "max_calls", "max_hours", "day", "until", "patience", "prices"),
        *("confirm_above", "workers", "children", "approve", "made_with"),
    )
)
"""What says how far a run goes, or with which sica it was begun, and not what it measures: it may change when the run
is continued."""


# ── the store ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Store:
    places: Places
    repo: GitRepo
    ledger: SqliteLedger

    def sync(self) -> int:
        """Tell git what the database knows and git does not; how many agents that touched."""
        news = self.ledger.notes()
        if news:
            self.repo.annotate(news.scores, news.evaluations, news.reviews)
            self.ledger.noted(news)
        return len(news.evaluations)


@contextmanager
def opened(call: Invocation) -> Iterator[Store]:
    """The project's store for writing; agents that git has and the database has not get their rows."""
    places = call.places()
    runtime = where.make_runtime(places)
    repo = GitRepo.open(places.repo, runtime)
    with SqliteLedger.open(places.db) as ledger:
        found = tuple(repo.agents())
        ledger.reconcile(found)
        _require_branches(ledger.agents(), {a.commit for a in found})
        _follow_main(ledger, repo.champion())
        yield Store(places, repo, ledger)


def _require_branches(known: Sequence[Agent], in_git: Set[str]) -> None:
    """An agent without a branch would be lost to git, and its number given away."""
    lost = [a for a in known if a.commit not in in_git]
    if lost:
        raise StoreError(
            f"{', '.join(a.name for a in lost[:5])} has lost its branch",
            "\n".join(f"sica git branch {a.name} {a.commit}" for a in lost[:5]),
        )


def _follow_main(ledger: SqliteLedger, champion: str) -> None:
    """Whoever moves main by hand, or is killed between main and its row, has chosen the champion."""
    known = {a.commit: a for a in ledger.agents()}
    told = ledger.promotions()
    now = told[-1].agent if told else next(iter(known), "")
    if champion == now or not champion:
        return
    if champion not in known:
        raise StoreError(
            f"main points at {champion[:12]}, which is no agent",
            f"sica git update-ref refs/heads/main refs/heads/{known[now].name}",
        )
    ledger.record(Promotion(champion, "main points at it", at=time.time()))


def open_traces(places: Places) -> Traces:
    from sica.traces import Traces

    return Traces(places.traces)


def starts_as(repo: GitRepo, agent: Agent) -> str:
    """The command of the agent's manifest, for people."""
    from sica.contract import manifest

    try:
        return report.clean(shlex.join(manifest(repo.files(agent.tree)).run.argv))
    except UsageError as error:
        return f"nothing, as {report.clean(str(error))}"


# ── single parts ──────────────────────────────────────────────────────────────────────────────────


def open_policy(call: Invocation, words: str) -> Policy:
    """A policy with its options; `package.module` is also looked for in the folder that one is in."""
    if "." in words.partition(":")[0]:
        sys.path.append(str(call.folder))
    return policies.open_policy(words)


def open_benchmark(call: Invocation, name: str, names: Sequence[str] = ()) -> FolderBenchmark:
    """A shipped benchmark, a folder or a data set: as seen from here, else from the project as sica.toml means it."""
    from sica import benchmarks

    project = where.find(call.folder, call.environ)
    asked = benchmarks.named(name)
    if asked.form or asked.place.partition("/")[0] not in benchmarks.shipped():
        for base in (call.folder, *([project.project] if project else [])):
            if (base / asked.place).exists():
                name = str(replace(asked, place=str(base / asked.place)))
                break
    return benchmarks.open_benchmark(name, names, runtime=where.make_runtime(project) if project else None)


def open_gateway(config: RunConfig, traces: Traces) -> Gateway:
    """The door to every configured model, checked now rather than in the middle of a run."""
    from sica import gateways

    models = config.every_model()
    gateway = gateways.open_gateways(models, api_base=config.api_base or None, traces=traces)
    for setting, model in config.models_by_setting().items():
        try:
            gateway.check(model)
        except SicaError as error:
            if setting == "model":
                raise
            raise type(error)(f"{setting}: {error}", error.hint) from error
    if "litellm" in gateway.name and config.api_base:
        require_answer(config.api_base)
    return gateway


def require_answer(api_base: str) -> None:
    """Raise UsageError unless something listens at the address; nothing is sent. A proxy is left to answer for it."""
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    try:
        parts = urlsplit(api_base)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        port = 0
    if not port or not parts.hostname:
        raise UsageError(
            f"api_base {api_base!r} is not an address", "such as http://127.0.0.1:8080/v1"
        ) from None
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return
    try:
        socket.create_connection((parts.hostname, port), timeout=10.0).close()
    except OSError as error:
        raise UsageError(
            f"nothing answers at {api_base}: {error.strerror or error}",
            "is the server running? see --api-base",
        ) from error


class CappedBenchmark:
    """A benchmark whose tasks are under the run's own caps too: the gate's trials are trials as well."""

    def __init__(self, benchmark: FolderBenchmark, config: RunConfig) -> None:
        self.name, self.benchmark, self.config = benchmark.name, benchmark, config

    def tasks(self) -> Sequence[Task]:
        return tuple(capped(task, self.config) for task in self.benchmark.tasks())

    def prepare(self, task: Task, sandbox: Sandbox, cancel: threading.Event | None = None) -> Task:
        return self.benchmark.prepare(task, sandbox, cancel)

    def workspace(self, task: Task) -> Files:
        return self.benchmark.workspace(task)

    def grade(
        self, task: Task, left: Files, sandbox: Sandbox, cancel: threading.Event | None = None
    ) -> Grade:
        return self.benchmark.grade(task, left, sandbox, cancel)


def open_smoke(call: Invocation, config: RunConfig) -> CappedBenchmark:
    """The gate's benchmark; one without a task would let every agent pass."""
    smoke = open_benchmark(call, config.smoke)
    if not smoke.tasks():
        raise UsageError(
            f"the gate's benchmark {config.smoke} has no task that can be run here", "sica tasks"
        )
    return CappedBenchmark(smoke, config)


@contextmanager
def sandbox_for(name: str, places: Places) -> Iterator[Sandbox]:
    from sica import sandboxes

    sandbox = sandboxes.open_sandbox(name, store=places.runtime.name, runtime=where.make_runtime(places))
    try:
        yield sandbox
    finally:
        sandbox.close()


def environments(call: Invocation, places: Places | None = None) -> Environments:
    """What agents asked to be installed, of all projects of this user; one's own resolutions hold in it."""
    from sica.environments import Environments, usual_root

    return Environments(usual_root(call.environ), call.say, places.resolutions if places else None)


def chosen(benchmark: FolderBenchmark, globs: str, split: str, called: str) -> tuple[Task, ...]:
    """The tasks that are meant, each glob at least one. Held-out ones only when they are asked for by name."""
    there = [t for t in benchmark.tasks() if t.split in _splits(split)]
    for glob in globs.split(",") if globs else ():
        if any(meant(glob, t.id) for t in there):
            continue
        for name, why in benchmark.unsupported.items():
            if meant(glob, name):
                raise UsageError(f"{benchmark.name}/{name} cannot be run: {'; '.join(why)}", "sica tasks")
        raise no_such("task", glob, [t.name for t in there])
    if not there:
        raise UsageError(f"{called} has no task to run in split {split!r}", f"sica tasks --bench {called}")
    return tuple(t for t in there if meant(globs, t.id))


def runnable(
    call: Invocation, benchmark: FolderBenchmark, tasks: Sequence[Task], sandbox: Sandbox
) -> list[Task]:
    """The tasks that this sandbox can give; says which are left out and why. They are never scored."""
    left_out = benchmark.unsupported_in(sandbox.name)
    for name, why in list(left_out.items())[:SAID]:
        call.say(f"left out {benchmark.name}/{report.clean(name)}: {report.clean('; '.join(why))}")
    if len(left_out) > SAID:
        call.say(f"left out {len(left_out) - SAID} more: sica tasks --bench {benchmark.name}")
    kept = [task for task in tasks if task.name not in left_out]
    if not kept:
        raise UsageError(
            f"{benchmark.name} has no task that can be run in {sandbox.name}", "sica doctor; sica tasks"
        )
    return kept


def _splits(split: str) -> tuple[str, ...]:
    known = {"": ("train", "dev"), "all": ("train", "dev", "heldout")} | {
        s: (s,) for s in ("train", "dev", "heldout")
    }
    if split not in known:
        raise no_such("split", split, [k for k in known if k])
    return known[split]


def capped(task: Task, config: RunConfig) -> Task:
    """The task under the run's own caps: the smaller one counts."""
    mine, own = config.trial, task.budget
    budget = Budget(
        _least(own.usd, mine.max_cost), _least(own.tokens, mine.max_tokens), _least(own.calls, mine.max_calls)
    )
    seconds = min(task.limits.seconds, mine.seconds or task.limits.seconds)
    return replace(task, budget=budget, limits=replace(task.limits, seconds=seconds))


def _least(*values: Any) -> Any:
    return min((v for v in values if v is not None), default=None)


# ── a run ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Shop:
    """Everything that work needs, open and swept, with the run lock held."""

    store: Store
    config: RunConfig
    sandbox: Sandbox
    gateway: Gateway
    broker: HttpBroker
    traces: Traces
    run: Run
    cancel: threading.Event
    controls: Controls
    environments: Environments
    worked: float
    """Seconds that earlier sittings worked on the run."""

    @property
    def place(self) -> Workplace:
        return Workplace(
            repo=self.store.repo,
            sandbox=self.sandbox,
            broker=self.broker,
            open_trace=self.traces.open,
            model=self.config.model,
            run=self.run.id,
            cancel=self.cancel,
            roles=self.config.roles(),
            watch=self.config.watch(),
            environments=self.environments,
            frozen=self.config.improve.dependencies == "frozen",
            keep=self.traces.attach,
        )

    def criticised(self, events: Iterator[Event]) -> Iterator[Event]:
        """The same events; with a model for it, trials are criticised beside them."""
        model = self.config.critique.model
        if not model:
            return events
        from sica.critique import Critic

        place, ledger, budget = self.place, self.store.ledger, self.config.critique.budget()
        return Critic(model, budget, place, ledger, self.traces.read).listening(events)

    def spent(self) -> float:
        return self.broker.spent().usd

    def conditions(self, tasks: Sequence[Task]) -> Mapping[str, str]:
        setting = self.place.setting
        return {t.digest: conditions(t, setting) for t in tasks}

    def archive(self, tasks: Sequence[Task], attempts: int) -> Archive:
        known = self.store.ledger.archive(tasks, self.conditions(tasks), attempts)
        return replace(known, run=self.run.id, weights=self.config.utility.weights())

    def deadline(self) -> float:
        """Unix time at which the hours of the run are over, those of earlier sittings counted."""
        hours = self.config.max_hours
        return float("inf") if hours is None else time.time() + hours * 3600 - self.worked

    def raise_fatal(self) -> None:
        """What the broker met and could not tell anybody but us."""
        if self.broker.fatal is not None:
            raise self.broker.fatal


@contextmanager
def working(
    call: Invocation, config: RunConfig, *, kind: str, cancel: threading.Event, task: str = ""
) -> Iterator[Shop]:
    """Open the parts under the run lock, with what a killed run left cleared away; at the end, tell git.

    A run of the same kind that did not come to its end under the same settings is continued.
    """
    from sica.broker import HttpBroker

    places = call.places()
    with run_lock(places.lock), opened(call) as store, ExitStack() as held:
        traces = open_traces(places)
        sandbox = held.enter_context(sandbox_for(config.sandbox, places))
        _sweep(call, places, sandbox, traces)
        gateway = open_gateway(config, traces)
        _require_price(config, gateway)
        run = _run(store.ledger, config, kind, task)
        worked, today = store.ledger.worked(run.id), time.time() // 86_400 * 86_400
        store.ledger.begin_sitting(run.id)
        own = {name: price for name in config.prices if (price := config.price(name))}
        with HttpBroker(
            gateway,
            runtime=places.runtime,
            record=store.ledger.call,
            spent=store.ledger.spent(run.id),
            cap=replace(config.budget(), seconds=None),
            spent_by_day=store.ledger.spent_by_day(today),
            cap_of_day=config.day.budget(),
            prices=own,
            priced=lambda model, price: store.ledger.priced(run.id, model, price),
            roles=config.roles(),
        ) as broker:
            try:
                controls = Controls(store.ledger, broker, approve=config.approve, by=call.user())
                yield Shop(
                    *(store, config, sandbox, gateway, broker, traces, run, cancel, controls),
                    *(environments(call, places), worked),
                )
            except BaseException:
                with suppress(StoreError):  # the error on its way says more, and the next run tells git
                    store.sync()
                raise
            store.sync()


def _sweep(call: Invocation, places: Places, sandbox: Sandbox, traces: Traces) -> None:
    boxes, left = sandbox.sweep(), traces.sweep()
    for session in (places.runtime / "s").glob("*"):
        shutil.rmtree(session)
    if boxes or left:
        call.say(
            f"cleared what a killed run left: {report.plural(boxes, 'box')}, {report.plural(len(left), 'open trace')}"
        )


def _require_price(config: RunConfig, gateway: Gateway) -> None:
    for model in config.every_model():
        price = config.price(model) or gateway.price(model)
        if price is None and config.capped_in_dollars:
            raise UsageError(
                f"the price of {model} is unknown, so a cap in dollars (max_cost) cannot be kept",
                f"sica config set prices.{model}.prompt DOLLARS_PER_MILLION, and .completion",
            )


def _run(ledger: SqliteLedger, config: RunConfig, kind: str, task: str) -> Run:
    described = {"kind": kind, "task": task, "made_with": _versions(), **config.model_dump(mode="json")}
    return continued(ledger, config, kind, task) or ledger.start_run(described)


def continued(ledger: SqliteLedger, config: RunConfig, kind: str, task: str) -> Run | None:
    """The run that the command goes on with: the last of its kind, if it is not done and was set up the same."""
    described = {"kind": kind, "task": task, **config.model_dump(mode="json")}
    last = next((r for r in reversed(ledger.runs()) if r.config.get("kind") == kind), None)
    return (
        last
        if last and last.reason != "done" and _experiment(last.config) == _experiment(described)
        else None
    )


def _versions() -> dict[str, str | int]:
    """What a run was begun with, so that a report can say what it takes to repeat it."""
    return {
        "command": shlex.join(["sica", *sys.argv[1:]]),
        "sica": __version__,
        "contract": CONTRACT,
        "harness": HARNESS,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _experiment(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _NOT_THE_EXPERIMENT}
