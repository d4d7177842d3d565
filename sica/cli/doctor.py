"""`sica doctor`."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from sica import places as where
from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.errors import SicaError

if TYPE_CHECKING:
    from sica.config import RunConfig

NEEDED_GIT = (2, 30)
LITTLE_DISK = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    state: str
    """ok | warning | failed."""
    words: str
    cure: str = ""


EXAMPLES = (
    "sica doctor",
    "sica doctor --model anthropic/claude-sonnet-4-5",
)


def command(
    ctx: typer.Context,
    model: str = typer.Option(None, "--model", help="The model to check."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="The sandbox to check.", autocompletion=completion.sandboxes
    ),
    bench: str = typer.Option(
        None, "--bench", help="The benchmark to check.", autocompletion=completion.benchmarks
    ),
    fix: bool = typer.Option(False, "--fix", help="Do what can be done: give agents in git their rows."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Check that everything a run needs is there. Nothing is spent. Exit 1 when something failed."""
    call: Invocation = ctx.obj
    places = call.places()
    config = call.settings(model=model, sandbox=sandbox, bench=bench).config
    findings: list[Finding] = []
    look = call.look()
    for what, check in _checks(call, places, config, fix):
        for finding in _guarded(what, check):
            findings.append(finding)
            if not as_json:
                print(_line(finding, look))
    failed = sum(f.state == "failed" for f in findings)
    warnings = sum(f.state == "warning" for f in findings)
    if as_json:
        call.json("sica.doctor/1", ok=not failed, findings=[asdict(f) for f in findings])
    elif failed or warnings:
        print(f"{failed} failed, {report.plural(warnings, 'warning')}")
    else:
        print("everything is there")
    if failed:
        raise typer.Exit(1)


Check = Callable[[], Iterator[Finding]]


def _checks(
    call: Invocation, places: where.Places, config: RunConfig, fix: bool
) -> Iterator[tuple[str, Check]]:
    yield "git", lambda: _git(places)
    yield "sandbox", lambda: _sandbox(places, config)
    yield "model", lambda: _model(places, config)
    yield "benchmark", lambda: _benchmark(call, config)
    yield "disk", lambda: _disk(places)
    yield "packages", lambda: _packages(call, fix)
    yield "database", lambda: _database(places, fix)
    yield "settings", lambda: _settings(call)


def _guarded(what: str, check: Check) -> Iterator[Finding]:
    """A check that cannot go on is a finding; the others go on."""
    try:
        yield from check()
    except SicaError as error:
        yield Finding(what, "failed", report.clean(str(error)), report.clean(error.hint))


def _line(finding: Finding, look: report.Look) -> str:
    style = {"ok": "good", "warning": "warn", "failed": "bad"}[finding.state]
    words = f"{finding.words}   {finding.cure}".rstrip()
    first, *rest = textwrap.wrap(words, max(20, look.width - 21), break_on_hyphens=False) or [""]
    head = f"{finding.what:<11} {look.paint(style, f'{finding.state:<8}')} {first}"
    return "\n".join([head, *(" " * 21 + line for line in rest)])


def _git(places: where.Places) -> Iterator[Finding]:
    try:
        told = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        yield Finding("git", "failed", "there is no git program", "install git")
        return
    version = told.removeprefix("git version ").split()[0]
    known = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if known < NEEDED_GIT:
        yield Finding(
            "git", "warning", f"{version} is old", f"{NEEDED_GIT[0]}.{NEEDED_GIT[1]} or newer is tested"
        )
    from sica.repo import GitRepo

    repo = GitRepo.open(places.repo, where.make_runtime(places))
    wrong = repo.fsck()
    agents = sum(1 for _ in repo.agents())
    if wrong:
        yield Finding("git", "failed", f"the store is damaged: {report.clean(wrong[0])}", "sica git fsck")
    else:
        yield Finding(
            "git", "ok", f"{version}, store healthy, {report.plural(agents, 'agent')}, {_size(repo.size)}"
        )


def _sandbox(places: where.Places, config: RunConfig) -> Iterator[Finding]:
    from sica.cli.parts import sandbox_for

    with sandbox_for(config.sandbox, places) as sandbox:
        facts = dict(sandbox.probe())
        yield Finding("sandbox", "ok", f"{sandbox.name}: a box starts")
        words = ", ".join(f"{report.clean(name)} {report.clean(fact)}" for name, fact in facts.items())
        yield Finding("isolation", "ok", f"checked from inside: {words}")


def _model(places: where.Places, config: RunConfig) -> Iterator[Finding]:
    from sica.cli.parts import open_gateway, open_traces

    gateway = open_gateway(config, open_traces(places))
    price = config.price(config.model) or gateway.price(config.model)
    if price is None:
        cure = f"sica config set prices.{config.model}.prompt DOLLARS_PER_MILLION, and .completion"
        yield Finding("model", "warning", f"{config.model}: its price is unknown", cure)
    elif price.prompt or price.completion:
        each = f"${price.prompt * 1e6:g} in, ${price.completion * 1e6:g} out per million tokens"
        yield Finding("model", "ok", f"{config.model}: {each}")
    else:
        yield Finding("model", "ok", f"{config.model}: free")


def _benchmark(call: Invocation, config: RunConfig) -> Iterator[Finding]:
    from sica.cli.parts import open_benchmark, open_smoke

    found = open_benchmark(call, config.bench)
    tasks, left_out = found.tasks(), found.unsupported
    splits = ", ".join(
        f"{n} {split}" for split in ("train", "dev", "heldout") if (n := sum(t.split == split for t in tasks))
    )
    words = f"{found.name}: {report.plural(len(tasks), 'task')} ({splits})"
    if not tasks:
        yield Finding("benchmark", "failed", f"{found.name} has no task that can be run here", "sica tasks")
    elif left_out:
        yield Finding("benchmark", "warning", f"{words}, {len(left_out)} cannot be run here", "sica tasks")
    else:
        yield Finding("benchmark", "ok", words)
    open_smoke(call, config)


def _disk(places: where.Places) -> Iterator[Finding]:
    free = shutil.disk_usage(places.store).free
    traces = sum(f.stat().st_size for f in places.traces.rglob("*") if f.is_file())
    words = f"traces {_size(traces)}, {_size(free)} free"
    state, cure = ("warning", "make room before a long run") if free < LITTLE_DISK else ("ok", "")
    yield Finding("disk", state, words, cure)
    runtime = where.make_runtime(places)
    yield Finding("runtime", "ok", f"{runtime}, {_size(shutil.disk_usage(runtime).free)} free")


def _packages(call: Invocation, fix: bool) -> Iterator[Finding]:
    """What agents of all projects asked to be installed."""
    from sica.cli.parts import environments
    from sica.environments import UNUSED_DAYS

    there = environments(call)
    old = time.time() - UNUSED_DAYS * 86_400
    if fix and (freed := there.sweep(old)):
        yield Finding("packages", "ok", f"removed {_size(freed)} that no agent used for {UNUSED_DAYS} days")
    kept = tuple(there.kept())
    if not kept:
        yield Finding("packages", "ok", "no agent asked for any")
        return
    unused = any(one.used < old for one in kept)
    words = f"{report.plural(len(kept), 'environment')} of agents, {_size(sum(one.size for one in kept))}"
    cure = f"sica doctor --fix removes what was not used for {UNUSED_DAYS} days" if unused else ""
    yield Finding("packages", "warning" if unused else "ok", f"{words}, in {there.root}", cure)


def _database(places: where.Places, fix: bool) -> Iterator[Finding]:
    from sica.ledger import SqliteLedger
    from sica.repo import GitRepo
    from sica.runlock import run_lock

    repo = GitRepo.open(places.repo, places.runtime)
    with (
        run_lock(places.lock) if fix else nullcontext(),
        closing(SqliteLedger.open(places.db, readonly=not fix)) as ledger,
    ):
        for line in ledger.check():
            yield Finding("database", "failed", report.clean(line), "sica db rebuild")
        if fix:
            added = ledger.reconcile(repo.agents())
            if added:
                yield Finding("database", "ok", f"gave {report.plural(len(added), 'agent')} of git a row")
        rows = {a.commit for a in ledger.agents()}
    missing = [a.name for a in repo.agents() if a.commit not in rows]
    if missing:
        cure = "sica doctor --fix"
        yield Finding(
            "database", "warning", f"{report.plural(len(missing), 'agent')} in git without a row", cure
        )
    else:
        yield Finding("database", "ok", f"{report.plural(len(rows), 'agent')}, agrees with git")


def _settings(call: Invocation) -> Iterator[Finding]:
    from sica.config import unknown_variables

    unknown = unknown_variables(call.environ)
    for name in unknown:
        yield Finding("settings", "warning", f"{name} sets nothing", "sica config list names every setting")
    if not unknown:
        yield Finding("settings", "ok", "readable")


def _size(count: int) -> str:
    return f"{report.count(count)}B" if count < 1e9 else f"{count / 1e9:.1f} GB"
