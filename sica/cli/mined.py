"""`sica bench locate`, `edits` and `inject`: tasks from a repository that people have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation

if TYPE_CHECKING:
    from sica.environments import Python
    from sica.mining.candidates import Candidate, Yield
    from sica.mining.running import Bench
    from sica.mining.source import Source
    from sica.ports import Sandbox

REPO = typer.Argument(..., help="A git repository on this machine.", exists=False)
TO = typer.Option(..., "--to", help="A new folder for the tasks.")
REV = typer.Option("HEAD", "--rev", help="Its revision.")
SEED = typer.Option(0, "--seed", help="Another seed draws other tasks.")
MOST = typer.Option(40, "--max", min=1, help="Tasks at most; the levels are taken in turn.")
ONLY = typer.Option([], "--only", help="Only paths that match this glob, such as 'src/*'; may be repeated.")
HELDOUT = typer.Option(
    0.0, "--heldout", min=0, max=1, help="Share of the tasks that is held out; each task's own hash decides."
)
JSON = typer.Option(False, "--json", help="One object.")

LOCATE_EXAMPLES = ("sica bench locate . --to tasks/where", "sica bench check tasks/where")
TESTS = typer.Option(
    [], "--tests", help="Only test modules that match this glob, or not those of '!GLOB'; may be repeated."
)
REQUIREMENTS = typer.Option(
    None, "--requirements", help="A file of what the tests need, instead of the repository's own settings."
)
ENV = typer.Option(
    None, "--env", help="A ready folder of packages (pip install --target DIR), instead of that."
)
SANDBOX = typer.Option(
    None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
)

INJECT_EXAMPLES = (
    "sica bench inject ../click --to tasks/click-bugs --max 20",
    "sica bench inject . --to tasks/bugs --only 'src/*' --only 'tests/*' --statement symptom",
)
EDITS_EXAMPLES = ("sica bench edits ../click --rev 8.1.7 --to tasks/click-edits",)


def locate(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    heldout: float = HELDOUT,
    as_json: bool = JSON,
) -> None:
    """Make tasks from a Python repository: where is the thing defined that this line uses?

    The same repository, revision and seed give the same tasks, byte for byte. Nothing of the repository is run.
    """
    from sica.mining.locate import candidates

    how = {"kind": "locate", "seed": seed, "max": most, "heldout": heldout}
    _make(ctx.obj, repo, rev, only, to, how, as_json, lambda source, told: candidates(source, seed, told))


def edits(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    heldout: float = HELDOUT,
    look: int = typer.Option(2000, "--look", min=1, help="Commits to look at, newest first."),
    as_json: bool = JSON,
) -> None:
    """Make tasks from a repository's history: make the edits that one commit made to one file.

    The same repository, revision and seed give the same tasks, byte for byte. Nothing of the repository is run.
    """
    from sica.mining.edits import candidates

    how = {"kind": "edit", "seed": seed, "max": most, "look": look, "heldout": heldout}
    _make(ctx.obj, repo, rev, only, to, how, as_json, lambda source, told: candidates(source, told, look))


def inject(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    heldout: float = HELDOUT,
    tries: int = typer.Option(
        None, "--tries", min=1, help="Bugs to try at most.", show_default="four for each task"
    ),
    statement: str = typer.Option(
        "both",
        "--statement",
        help="tests: the failing tests are named. symptom: they are hidden. both: in turn.",
    ),
    tests: list[str] = TESTS,
    requirements: Path = REQUIREMENTS,
    env: Path = ENV,
    sandbox: str = SANDBOX,
    as_json: bool = JSON,
) -> None:
    """Make tasks from a Python repository: mend one small bug that was put into code that its tests cover.

    Its tests run in boxes without a network, many times. A run that is stopped goes on where it was when the same
    command is given again; what it knows lies beside the folder until that is written.
    """
    from sica.errors import no_such
    from sica.mining.candidates import Yield
    from sica.mining.folder import VERSION, vacant
    from sica.mining.inject import STATEMENTS, candidates, test_modules
    from sica.mining.packages import packages
    from sica.mining.source import open_source
    from sica.mining.verdicts import Verdicts

    call: Invocation = ctx.obj
    if statement not in (*STATEMENTS, "both"):
        raise no_such("statement", statement, [*STATEMENTS, "both"])
    tries = tries or 4 * most
    vacant(to)
    source = open_source(repo, rev, only)
    modules = test_modules(source.files, tests)
    with _bench(call, sandbox) as (box, python, runtime):
        needs = packages(source, source.files, python, requirements, env)
        bench = _benched(box, needs.pins, python, runtime)
        about = {
            "generator": VERSION, "kind": "inject", "repository": source.name, "commit": source.commit, "seed": seed,
            "only": only, "tests": tests, "pins": needs.pins, "python": str(python),
        }  # fmt: skip
        known = Verdicts(to.parent / f".{to.name}.work", about)
        if len(known):
            call.say(f"{known.path}: goes on with {report.plural(len(known), 'verdict')}")
        told = Yield()
        wanted = STATEMENTS if statement == "both" else tuple(s for s in STATEMENTS if s == statement)
        chosen = list(
            candidates(source, seed, most, tries, bench, needs, modules, wanted, known, told, call.passing)
        )
    chosen.sort(key=lambda c: (c.level, c.name))
    how = {"kind": "inject", "seed": seed, "max": most, "tries": tries, "statement": statement, "heldout": heldout,
           "tests": tests, "environment": needs.pins.split()}  # fmt: skip
    _put(call, source, to, how, told, chosen, len(chosen), as_json)
    known.forget()


@contextmanager
def _bench(call: Invocation, sandbox: str | None) -> Iterator[tuple[Sandbox, Python, Path]]:
    """Boxes, the Python in them, and where what they see may lie."""
    from sica import environments, places
    from sica.cli.parts import sandbox_for

    here = places.find(call.folder, call.environ) or places.at(call.folder, call.environ)
    with sandbox_for(sandbox or call.settings().config.sandbox, here) as box:
        yield box, environments.python_of(box), here.runtime / "judge"


def _benched(box: Sandbox, pins: str, python: Python, runtime: Path) -> Bench:
    from sica import environments
    from sica.mining.running import Bench

    return Bench(box, environments.directory(pins, python, runtime))


def _make(
    call: Invocation,
    repo: Path,
    rev: str,
    only: list[str],
    to: Path,
    how: dict[str, Any],
    as_json: bool,
    generate: Callable[[Source, Yield], Iterable[Candidate]],
) -> None:
    from sica.mining.candidates import Yield, draw
    from sica.mining.folder import vacant
    from sica.mining.source import open_source

    vacant(to)
    source = open_source(repo, rev, only)
    told = Yield()
    found = []
    for candidate in generate(source, told):
        found.append(candidate)
        call.passing(f"{source.name}: {told.looked} looked at, {report.plural(len(found), 'candidate')}")
    chosen = draw(found, how["max"], lambda item: source.dice(how["seed"], f"draw:{item}").random())
    _put(call, source, to, how, told, chosen, len(found), as_json)


def _put(
    call: Invocation,
    source: Source,
    to: Path,
    how: dict[str, Any],
    told: Yield,
    chosen: Sequence[Candidate],
    n_found: int,
    as_json: bool,
) -> None:
    """Write the folder and say what is in it. Raises UsageError when it would hold nothing."""
    from sica.errors import UsageError
    from sica.mining.folder import write

    if not chosen:
        call.passing("")
        raise UsageError(f"{source.name} {source.commit[:10]}: no task can be made of it{_why(told)}")
    write(chosen, source, to, how, told, lambda n, name: call.passing(f"{n + 1} of {len(chosen)}: {name}"))
    call.passing("")
    if as_json:
        call.json(
            "sica.mined/1",
            folder=str(to),
            repository=source.name,
            commit=source.commit,
            looked_at=told.looked,
            candidates=n_found,
            left_out=dict(sorted(told.reasons.items())),
            tasks=[{"name": c.name, "level": c.level, **c.facts} for c in chosen],
        )
        return
    levels = ", ".join(
        f"{sum(c.level == n for c in chosen)} of level {n}" for n in sorted({c.level for c in chosen})
    )
    print(f"{to}: {report.plural(len(chosen), 'task')} ({levels})")
    print(
        f"from {source.name} {source.commit[:10]}: {told.looked} looked at, {n_found} candidates{_why(told)}"
    )
    call.say(f"Next:  sica bench check {to}")


def _why(told: Yield) -> str:
    reasons = [f"{n} {code}" for code, n in told.reasons.most_common() if n]
    return f"; left out: {', '.join(reasons)}" if reasons else ""
