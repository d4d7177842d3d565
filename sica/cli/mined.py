"""`sica bench locate` and `sica bench edits`: tasks from a repository that people have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli.invocation import Invocation

if TYPE_CHECKING:
    from sica.mining.candidates import Candidate, Yield
    from sica.mining.source import Source

REPO = typer.Argument(..., help="A git repository on this machine.", exists=False)
TO = typer.Option(..., "--to", help="A new folder for the tasks.")
REV = typer.Option("HEAD", "--rev", help="Its revision.")
SEED = typer.Option(0, "--seed", help="Another seed draws other tasks.")
MOST = typer.Option(40, "--max", min=1, help="Tasks at most; the levels are taken in turn.")
ONLY = typer.Option([], "--only", help="Only paths that match this glob, such as 'src/*'; may be repeated.")
JSON = typer.Option(False, "--json", help="One object.")

LOCATE_EXAMPLES = ("sica bench locate . --to tasks/where", "sica bench check tasks/where")
EDITS_EXAMPLES = ("sica bench edits ../click --rev 8.1.7 --to tasks/click-edits",)


def locate(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    as_json: bool = JSON,
) -> None:
    """Make tasks from a Python repository: where is the thing defined that this line uses?

    The same repository, revision and seed give the same tasks, byte for byte. Nothing of the repository is run.
    """
    from sica.mining.locate import candidates

    how = {"kind": "locate", "seed": seed, "max": most}
    _make(ctx.obj, repo, rev, only, to, how, as_json, lambda source, told: candidates(source, seed, told))


def edits(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    look: int = typer.Option(2000, "--look", min=1, help="Commits to look at, newest first."),
    as_json: bool = JSON,
) -> None:
    """Make tasks from a repository's history: make the edits that one commit made to one file.

    The same repository, revision and seed give the same tasks, byte for byte. Nothing of the repository is run.
    """
    from sica.mining.edits import candidates

    how = {"kind": "edit", "seed": seed, "max": most, "look": look}
    _make(ctx.obj, repo, rev, only, to, how, as_json, lambda source, told: candidates(source, told, look))


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
    from sica.errors import UsageError
    from sica.mining.candidates import Yield, draw
    from sica.mining.folder import vacant, write
    from sica.mining.source import open_source

    vacant(to)
    source = open_source(repo, rev, only)
    told = Yield()
    found = []
    for candidate in generate(source, told):
        found.append(candidate)
        call.passing(f"{source.name}: {told.looked} looked at, {report.plural(len(found), 'candidate')}")
    chosen = draw(found, how["max"], lambda item: source.dice(how["seed"], f"draw:{item}").random())
    if not chosen:
        call.passing("")
        raise UsageError(f"{repo} at {rev}: no task can be made of it{_why(told)}")
    write(chosen, source, to, how, told, lambda n, name: call.passing(f"{n + 1} of {len(chosen)}: {name}"))
    call.passing("")
    if as_json:
        call.json(
            "sica.mined/1",
            folder=str(to),
            repository=source.name,
            commit=source.commit,
            looked_at=told.looked,
            candidates=len(found),
            left_out=dict(sorted(told.reasons.items())),
            tasks=[{"name": c.name, "level": c.level, **c.facts} for c in chosen],
        )
        return
    levels = ", ".join(
        f"{sum(c.level == n for c in chosen)} of level {n}" for n in sorted({c.level for c in chosen})
    )
    print(f"{to}: {report.plural(len(chosen), 'task')} ({levels})")
    print(
        f"from {source.name} {source.commit[:10]}: {told.looked} looked at, {len(found)} candidates{_why(told)}"
    )
    call.say(f"Next:  sica bench check {to}")


def _why(told: Yield) -> str:
    reasons = [f"{n} {code}" for code, n in told.reasons.most_common() if n]
    return f"; left out: {', '.join(reasons)}" if reasons else ""
