"""`sica bench refresh`: whether a folder's tasks still hold, and more tasks beside them."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli import mined
from sica.cli.invocation import Invocation

if TYPE_CHECKING:
    from sica.benchmarks.folder import FolderBenchmark
    from sica.mining.verdicts import Verdicts
    from sica.ports import Sandbox
    from sica.quarantine import Entry

EXAMPLES = (
    "sica bench refresh tasks/bugs",
    "sica bench refresh tasks/changes --from ../click --rev main",
    "sica bench refresh tasks/bugs --from ../click --seed 8 --max 10",
)
Said = tuple[str, str, str, str]
"""Rule, verdict, code and why of one result."""


def refresh(
    ctx: typer.Context,
    folder: Path = typer.Argument(..., help="A folder of tasks.", exists=False),
    repo: Path = typer.Option(
        None, "--from", help="Make more tasks of this repository, as manifest.json says the others were made."
    ),
    rev: str = typer.Option("HEAD", "--rev", help="With --from: its revision."),
    seed: int = typer.Option(None, "--seed", help="With --from: another seed.", show_default="as before"),
    most: int = typer.Option(
        None, "--max", min=1, help="With --from: new tasks at most.", show_default="as before"
    ),
    requirements: Path = mined.REQUIREMENTS,
    env: Path = mined.ENV,
    issues: Path = typer.Option(None, "--issues", help="With --from, of `mine`: as there."),
    sandbox: str = mined.SANDBOX,
    jobs: int = typer.Option(2, "--jobs", min=1, help="Tasks checked at a time."),
    exit_code: bool = typer.Option(False, "--exit-code", help="Exit 5 when a task is in quarantine."),
    as_json: bool = mined.JSON,
) -> None:
    """Look at a folder's tasks again: what does not hold any more goes into quarantine. Or make more of them.

    Without --from every rule of `sica bench check` is asked in the boxes of today, whose Python or image may be another
    one. A task that fails one is named in quarantine.json with the reason, and left out of every run until it holds.
    With --from new tasks are put beside the old ones, which stay as they are to the byte: `mine` and `edits` look at
    what was committed since, `inject` and `locate` at the newer revision.
    """
    call: Invocation = ctx.obj
    if repo is None:
        _look_again(call, folder, sandbox, jobs, exit_code, as_json)
    else:
        how, only, there = _as_before(folder, repo, rev, seed, most)
        boxes = how["kind"] in ("inject", "mine")
        needs = mined.Needs(requirements, env, sandbox, issues) if boxes else None
        mined.make(call, repo, rev, only, folder, how, as_json, needs, there)


# ── more tasks ────────────────────────────────────────────────────────────────────────────────────


def _as_before(
    folder: Path, repo: Path, rev: str, seed: int | None, most: int | None
) -> tuple[dict[str, Any], list[str], Mapping[str, Any]]:
    """How the newest of the tasks were made, with what is different now; the paths; and the manifest."""
    from sica.errors import UsageError
    from sica.mining.folder import manifest
    from sica.mining.source import open_source

    there = manifest(folder)
    last = {**there, **(there.get("rounds") or ({},))[-1]}
    source = open_source(repo, rev, last["only"])
    if source.name != there["repository"]:
        raise UsageError(
            f"{repo}: is {source.name}, and the tasks are of {there['repository']}",
            "name a clone of that one",
        )
    if source.commit == last["commit"] and seed in (None, last["seed"]):
        raise UsageError(
            f"{folder}: is of {source.commit[:10]} and seed {last['seed']} already",
            "--rev NEWER or --seed OTHER makes others; without --from they are looked at again",
        )
    kept = ("kind", "seed", "max", "look", "tries", "statement", "heldout", "tests", "bugs", "pulls")
    how = {key: last[key] for key in kept if key in last}
    if most is not None and "tries" in how:
        how["tries"] = 4 * most
    how |= {key: value for key, value in (("seed", seed), ("max", most)) if value is not None}
    since = source.since(last["commit"])
    if how["kind"] in ("mine", "edit") and seed is None and since:
        how["look"] = min(since, how["look"])
    return how, last["only"], there


# ── the same tasks again ──────────────────────────────────────────────────────────────────────────


def _look_again(
    call: Invocation, folder: Path, sandbox: str | None, jobs: int, exit_code: bool, as_json: bool
) -> None:
    from sica import benchcheck, places, quarantine, wheels
    from sica.cli.parts import open_benchmark, sandbox_for
    from sica.errors import UsageError
    from sica.mining.verdicts import Verdicts

    if not folder.is_dir() or (folder / "task.toml").is_file():
        what = "one task" if folder.is_dir() else "no folder"
        raise UsageError(f"{folder}: is {what}", "name the folder that holds your tasks")
    place = folder.resolve()  # a name alone could be one that comes with sica
    found = open_benchmark(call, str(place))
    here = places.find(call.folder, call.environ) or places.at(call.folder, call.environ)
    before = quarantine.read(place)
    with sandbox_for(sandbox or call.settings().config.sandbox, here) as box:
        about = {"sandbox": box.name, "image": box.image(), "python": str(wheels.python_of(box))}
        known = Verdicts(place.parent / f".{place.name}.refresh", {**about, "rules": list(benchcheck.RULES)})
        if len(known):
            call.say(f"{known.path}: goes on with {report.plural(len(known), 'task')}")
        digests = {name: _digest(found.paths()[name]) for name in found.selected()}
        said = _asked(call, found, box, jobs, known, digests)
    faults, absent = (_with(said, verdict) for verdict in ("fault", "unsupported"))
    now = {
        name: entry for name, s in said.items() if name not in faults if (entry := _entry(digests[name], s))
    }
    now |= {n: before[n] for n in faults | absent if n in before and before[n].digest == digests[n]}
    outcome = quarantine.outcome(
        (name, digests[name], *result[:3]) for name, results in said.items() for result in results
    )
    quarantine.write(place, now, {**about, "outcome": outcome, "looked_at": len(said)})
    if not faults:
        known.forget()
    _tell(call, folder, about, before, now, said, sorted(faults), sorted(absent), as_json)
    if faults:
        raise typer.Exit(1)
    if exit_code and now:
        raise typer.Exit(5)


def _asked(
    call: Invocation,
    found: FolderBenchmark,
    box: Sandbox,
    jobs: int,
    known: Verdicts,
    digests: Mapping[str, str],
) -> dict[str, list[Said]]:
    """What every rule said of each task; a stopped run goes on behind the last one that was through."""
    from sica.benchcheck import RULES
    from sica.cli.checking import Checking

    told: dict[str, list[Said]] = defaultdict(list)
    for name, digest in digests.items():
        for rule, verdict, code, why in known.get(f"{name}:{digest}") or ():
            told[name].append((rule, verdict, code, why))
    course = Checking(found, box, [name for name in digests if name not in told], RULES, jobs)
    noted = 0

    def note() -> int:
        for name in course.through[noted:]:
            if not any(verdict == "fault" for _, verdict, _, _ in told[name]):
                known.put(f"{name}:{digests[name]}", told[name])
        return len(course.through)

    try:
        for result in course.results():
            told[result.task].append((result.rule, result.verdict, result.code, result.why))
            noted = note()
            call.passing(
                f"{found.name}: {course.done} of {len(course.names)} done: {result.task}  {result.rule}"
            )
        noted = note()
    except KeyboardInterrupt:
        call.say(
            f"sica: interrupted after {course.done} of {report.plural(len(course.names), 'task')}; the same"
        )
        call.say("      command goes on there")
        raise typer.Exit(130) from None
    finally:
        call.passing("")
    return {name: told[name] for name in digests}


def _with(said: Mapping[str, Sequence[Said]], verdict: str) -> set[str]:
    return {name for name, results in said.items() if any(each[1] == verdict for each in results)}


def _digest(folder: Path) -> str:
    """Of a folder that cannot be read there is none; the rule `form` says why."""
    from sica import harbor
    from sica.errors import UsageError

    try:
        return harbor.digest(folder)
    except UsageError:
        return ""


def _entry(digest: str, results: Sequence[Said]) -> Entry | None:
    """The first rule that failed says why; None when all hold."""
    from sica.quarantine import Entry

    failed = next((each for each in results if each[1] == "failed"), None)
    return Entry(digest, failed[0], failed[2], failed[3]) if failed else None


def _tell(
    call: Invocation,
    folder: Path,
    about: Mapping[str, str],
    before: Mapping[str, Entry],
    now: Mapping[str, Entry],
    said: Mapping[str, Sequence[Said]],
    faults: Sequence[str],
    absent: Sequence[str],
    as_json: bool,
) -> None:
    back = sorted(name for name in before if name not in now and name in said)
    if as_json:
        quarantined = [{"task": n, "digest": e.digest, "rule": e.rule, "code": e.code, "why": e.why}
                       for n, e in sorted(now.items())]  # fmt: skip
        call.json(
            "sica.refresh/1", folder=str(folder), **about, n_tasks=len(said), quarantined=quarantined, back=back,
            faults=faults, unsupported=absent,
        )  # fmt: skip
        return
    for name, entry in sorted(now.items()):
        new = "" if name in before else "  new"
        print(f"{report.clean(name)}  {report.clean(entry.words)}{new}")
    for name in back:
        print(f"{report.clean(name)}  holds again")
    for name in faults:
        why = next(why for _, verdict, _, why in said[name] if verdict == "fault")
        print(f"{report.clean(name)}  could not be looked at: {report.clean(why)}")
    holds = len(said) - len({*now, *faults, *absent})
    where = f"in {about['sandbox']}{f', which cannot run {len(absent)}' if absent else ''}"
    print(f"{folder}: {report.plural(len(said), 'task')}, {holds} hold, {len(now)} in quarantine, {where}")
    if now:
        call.say(f"Left out of every run; look closer:  sica bench check {shlex.quote(str(folder))}")
