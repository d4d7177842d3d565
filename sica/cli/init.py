"""`sica init`."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

import sica
from sica import places as where
from sica import report
from sica.cli import completion, folders, sources
from sica.cli.invocation import Invocation
from sica.errors import SicaError, StoreError, UsageError
from sica.model import Agent, Files, Message
from sica.runlock import run_lock

SETTINGS = """\
# Settings of sica for this project; commit this file. `sica config list --show-origin` explains every key.
# A flag beats an environment variable (SICA_MODEL), which beats this file, which beats ~/.config/sica/config.toml.

{agent}bench = {bench}{pad}# sica tasks lists what is in it; a folder of tasks works too
model = "offline"   # needs no key and no network; or such as "anthropic/claude-sonnet-4-5" with ANTHROPIC_API_KEY set
policy = "greedy"   # which agent to improve next
# max_cost = 20.0   # dollars for one run, never passed; so are max_tokens, max_calls and max_hours
# until = 0.9       # stop when the champion has this score on fresh attempts
# patience = 5      # stop after so many improvements in a row without a promotion
# workers = 4       # boxes at work at once

[trial]             # caps of one trial, on top of what its task allows
# max_cost = 0.50
# max_calls = 40
# seconds = 300

[improve]           # caps of one improvement
# max_cost = 2.00
# max_calls = 100
# seconds = 600

[day]               # caps of all runs of one UTC day together
# max_cost = 50.0

# [prices."provider/model"]   # dollars for a million tokens, where LiteLLM's price list is wrong or has none
# prompt = 3.0
# completion = 15.0
# cached = 0.3
# cache_write = 3.75
"""


EXAMPLES = (
    "sica init                                    the agent that comes with sica",
    "sica init --agent ./my_agent --bench ./tasks  your own agent and tasks",
    "sica init --agent https://example.org/agent.git@v2   a git repository, at a branch, tag or commit",
    "sica init --agent mini-swe-agent             an agent from the package index; so is aider",
)


def command(
    ctx: typer.Context,
    agent: str | None = typer.Option(
        None,
        "--agent",
        help="Folder with agent.toml, git address[@ref], or a preset: mini-swe-agent, aider. "
        "Default: the agent that comes with sica.",
    ),
    wheel: Path = typer.Option(
        None, "--wheel", help="Of a preset: its package from this file instead of the package index."
    ),
    bench: str = typer.Option(
        "",
        "--bench",
        help="Benchmark to write into sica.toml: a name or a folder of tasks.",
        autocompletion=completion.benchmarks,
    ),
) -> None:
    """Make .sica/ here and seed agent/0 from a folder. Running it again completes what is missing.

    Your own git repository is read, never changed.
    """
    call: Invocation = ctx.obj
    if agent is not None and not agent.strip():
        raise UsageError("an empty --agent", "name a folder, a git address or a preset, or leave --agent out")
    places = where.at(call.folder, call.environ)
    source = sources.find(call, agent or "", wheel, shipped("seed_agent"))
    taken = source.taken
    files = {name: f for name, f in taken.files.items() if not _ours(source.folder, places, name)}
    runs_as = check_agent(files, call.setting("sandbox", "auto"))
    bench_words = _benchmark(call, bench)
    _require_store_whole(places)
    runtime = where.make_runtime(places)
    with run_lock(places.lock):
        seed, fresh = _seeded(places, runtime, source, taken, files, given=bool(agent))
    wrote = _settings(places, bench)
    _report(call, source, taken, files, runs_as, bench_words, seed, fresh, wrote)
    _say_price(call)
    print("Nothing has been spent.")
    print("Next:  sica doctor              checks sandbox, model and benchmark")
    print("       sica evolve              measures agent/0 and improves it")


def _say_price(call: Invocation) -> None:
    """What the next commands will cost, as far as that can be known without spending anything."""
    from sica.cli import estimating, parts

    try:
        config = call.settings().config
        measuring, whole = estimating.first_look(call, config, parts.open_benchmark(call, config.bench))
    except SicaError as error:
        call.warn(f"no estimate: {error}")
        return
    print(f"Measuring agent/0: {estimating.in_short(measuring)}.")
    if not whole.free:
        print(f"sica evolve:       {estimating.cost(whole)}.")
    print("")


def _seeded(
    places: where.Places,
    runtime: Path,
    source: sources.Source,
    taken: folders.Folder,
    files: Files,
    *,
    given: bool,
) -> tuple[Agent, bool]:
    """The store's first agent and whether it was made just now. Hold the run lock: two would make two of it."""
    from sica.ledger import SqliteLedger, rebuild
    from sica.repo import REVIEWS, GitRepo

    where.write_whole(places.store / ".gitignore", "*\n")
    repo = GitRepo.create(places.repo, runtime)
    if not places.db.exists() and next(iter(repo.agents()), None):
        rebuild(places.db, repo.agents(), repo.notes(), repo.champion(), repo.notes(REVIEWS))
    with SqliteLedger.open(places.db) as ledger:
        ledger.reconcile(repo.agents())
        seed = next(iter(ledger.agents()), None)
        if seed is None:
            words = Message(subject=f"seed: {taken.origin}", operator="seed", body=_body(source, taken))
            seed = repo.add(files, [], words)
            ledger.reconcile([seed])
            return seed, True
    if given and dict(repo.files(seed.tree)) != files and not source.is_of(seed.subject):
        raise UsageError(
            f"{places.store} already has agent/0, from other files than {source.name}",
            "start another project folder for another seed",
        )
    return seed, False


def _require_store_whole(places: where.Places) -> None:
    """Agents are in git alone: a database whose repository is gone is no start of anything."""
    from sica.ledger import SqliteLedger

    if places.repo.exists() or not places.db.exists():
        return
    with SqliteLedger.open(places.db, readonly=True) as ledger:
        known = len(ledger.agents())
    if known:
        raise StoreError(
            f"{places.repo} is gone, and {places.db} knows {report.plural(known, 'agent')} of it",
            f"bring agents.git back from a clone or a backup; or move {places.store} aside to start anew",
        )


def shipped(name: str) -> Path:
    """A folder that comes with sica: beside the package in a checkout, inside it when installed."""
    package = Path(sica.__file__).resolve().parent
    for place in (package.parent / name, package / name):
        if place.is_dir():
            return place
    raise UsageError(f"this installation has no {name}", "sica init --agent FOLDER")


def _ours(source: Path | None, places: where.Places, name: str) -> bool:
    return source == places.project and name in ("sica.toml", ".sica")


def check_agent(files: Files, sandbox: str) -> str:
    """The command that starts the agent. Raises UsageError for a manifest or program that cannot work."""
    from sica.contract import HOME, manifest

    argv = manifest(files).run.argv
    program = argv[0]
    inside = program.removeprefix(HOME + "/").removeprefix("./")
    if "/" in program:
        if program.startswith(HOME + "/") and inside not in files:
            raise UsageError(f"agent.toml: run.argv starts {program}, and the agent has no file {inside}")
        if program.startswith(HOME + "/") and not files[inside].executable:
            raise UsageError(
                f"agent.toml: run.argv starts {program}, which is not executable", f"chmod +x {inside}"
            )
    elif sandbox != "docker" and shutil.which(program, path="/usr/local/bin:/usr/bin:/bin") is None:
        raise UsageError(
            f"agent.toml: run.argv starts {program!r}, and there is no such program in a box",
            f"a file of the agent's own is {HOME}/{program}; Python is python3; "
            "for a program of the docker image: SICA_SANDBOX=docker sica init",
        )
    for word in argv[1:]:
        _require_own(word, files)
    return " ".join(argv)


def _require_own(word: str, files: Files) -> None:
    """Below /agent there is the agent's tree and nothing else, so what is not in it will never be there."""
    from sica.contract import HOME

    inside = word.removeprefix(HOME + "/").rstrip("/")
    if not word.startswith(HOME + "/") or not inside or "{" in word:
        return
    if inside not in files and not any(name.startswith(inside + "/") for name in files):
        raise UsageError(
            f"agent.toml: run.argv names {word}, and the agent has no file {inside}",
            "correct run.argv, or add the file; what .gitignore leaves out is not taken",
        )


def _benchmark(call: Invocation, bench: str) -> str:
    """The number of tasks, when the benchmark named can be opened."""
    from sica.cli.parts import open_benchmark

    if not bench:
        return ""
    found = open_benchmark(call, bench)
    return report.plural(len(found.tasks()), "task")


def _settings(places: where.Places, bench: str) -> bool:
    if places.settings.exists():
        if bench:
            from sica.config import written

            text = places.settings.read_text("utf-8")
            changed = written(text, "bench", bench)
            if changed != text:
                where.write_whole(places.settings, changed)
        return False
    import json

    name = json.dumps(bench or "core", ensure_ascii=False)
    text = SETTINGS.format(agent="", bench=name, pad=" " * max(1, 12 - len(name)))
    where.write_whole(places.settings, text)
    return True


def _body(source: sources.Source, taken: folders.Folder) -> str:
    dirty = " with uncommitted changes" if taken.dirty else ""
    name = source.folder.name if source.folder else source.name
    return f"Snapshot of {name}: {report.plural(len(taken.files), 'file')} from {taken.origin}{dirty}."


def _report(
    call: Invocation,
    source: sources.Source,
    taken: folders.Folder,
    files: Files,
    runs_as: str,
    bench: str,
    seed: Agent,
    fresh: bool,
    wrote: bool,
) -> None:
    print("Found")
    counted = report.plural(len(files), "file")
    print(f"  agent        {report.clean(source.name)}   {counted}, runs as: {report.clean(runs_as)}")
    print(f"  from         {report.clean(taken.origin)}{', with uncommitted changes' if taken.dirty else ''}")
    if bench:
        print(f"  benchmark    {bench}")
    print(f"  model        {call.setting('model', 'offline')}")
    print("")
    print("Wrote" if fresh or wrote else "Nothing was missing")
    if wrote:
        print("  sica.toml    settings; commit this file")
    print(
        f"  .sica/       store, ignores itself; {seed.name} is {seed.commit[:10]}{'' if fresh else ', as before'}"
    )
    if taken.skipped:
        names = ", ".join(report.clean(name) for name in taken.skipped[:3])
        more = " and more" if len(taken.skipped) > 3 else ""
        call.warn(f"left out, as only regular files of a moderate size are taken: {names}{more}")
    print("")
