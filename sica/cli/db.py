"""`sica db`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sica import places as where
from sica import report
from sica.cli.invocation import Invocation, examples
from sica.errors import UsageError

if TYPE_CHECKING:
    from sica.repo import GitRepo

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="The database of outcomes."
)


@app.command(epilog=examples("sica db rebuild"))
def rebuild(ctx: typer.Context) -> None:
    """Make the database again from git: branches give agents, notes give outcomes. The old one is kept aside."""
    from sica import ledger
    from sica.errors import StoreError
    from sica.repo import REVIEWS, GitRepo
    from sica.runlock import run_lock

    call: Invocation = ctx.obj
    places = call.places()
    repo = GitRepo.open(places.repo, where.make_runtime(places))
    with run_lock(places.lock):
        try:
            _tell_git(places, repo)
        except StoreError as error:
            call.warn(f"{error}; what git was not told yet is only in the old file")
        aside = ledger.rebuild(places.db, repo.agents(), repo.notes(), repo.champion(), repo.notes(REVIEWS))
    with ledger.SqliteLedger.open(places.db) as fresh:
        agents = len(fresh.agents())
        trials = sum(s.n + s.faults for s in (*fresh.summaries(), *fresh.summaries(split="heldout")))
    kept = f"; the old one is in {aside}" if aside else ""
    print(f"made again from git: {report.plural(agents, 'agent')}, {report.plural(trials, 'trial')}{kept}")


def _tell_git(places: where.Places, repo: GitRepo) -> None:
    """Nothing that the old database alone knows may be lost by replacing it."""
    from sica.ledger import SqliteLedger

    if not places.db.exists():
        return
    with SqliteLedger.open(places.db) as old:
        old.reconcile(repo.agents())
        news = old.notes()
        if news:
            repo.annotate(news.scores, news.evaluations, news.reviews)
            old.noted(news)


@app.command(epilog=examples("sica db check && echo healthy"))
def check(ctx: typer.Context, as_json: bool = typer.Option(False, "--json", help="One object.")) -> None:
    """Check the database and git against each other; exit 1 when something is wrong."""
    from sica.ledger import SqliteLedger
    from sica.repo import GitRepo

    call: Invocation = ctx.obj
    places = call.places()
    repo = GitRepo.open(places.repo, where.make_runtime(places))
    with SqliteLedger.open(places.db, readonly=True) as ledger:
        wrong = [*ledger.check(), *repo.fsck()]
        rows, commits = {a.commit: a.name for a in ledger.agents()}, {a.commit: a.name for a in repo.agents()}
    wrong += [f"{name} is in git without a row" for commit, name in commits.items() if commit not in rows]
    wrong += [f"{name} has a row and is not in git" for commit, name in rows.items() if commit not in commits]
    if as_json:
        call.json("sica.db.check/1", ok=not wrong, wrong=wrong, n_agents=len(rows))
    elif wrong:
        for line in wrong:
            print(report.clean(line))
        call.say("sica db rebuild   makes the database again from git and keeps this one aside")
    else:
        print(f"healthy: {report.plural(len(rows), 'agent')}, database and git agree")
    if wrong:
        raise typer.Exit(1)


@app.command(
    "import", epilog=examples("sica db import ../other-project --dry-run", "sica db import backup/sica.db")
)
def take(
    ctx: typer.Context,
    source: Path = typer.Argument(..., metavar="OTHER", help="A project, its .sica folder, or a sica.db."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be taken."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Take over what another archive measured of code that is here, too, so that it is not measured again.

    A trial counts only under equal conditions: the same files, task, attempt, model, image, limits and harness.
    Nothing that is known here changes. Whoever made the other archive is trusted with its scores.
    """
    from sica.ledger import SqliteLedger
    from sica.runlock import run_lock

    call: Invocation = ctx.obj
    places = call.places()
    other = _database(call.folder / source)
    if other.resolve() == places.db.resolve():
        raise UsageError(f"{source} is this project's own archive", "sica db import ANOTHER")
    origin = report.clean(
        (other.parent.parent if other.parent.name == ".sica" else other.parent).resolve().name
    )
    with (
        run_lock(places.lock),
        SqliteLedger.open(other, readonly=True) as theirs,
        SqliteLedger.open(places.db, readonly=dry_run) as ours,
    ):
        taken = ours.take(theirs, origin, dry_run)
    if as_json:
        call.json("sica.db.import/1", origin=origin, dry_run=dry_run, **asdict(taken))
        return
    verb = "would be taken" if dry_run else "taken"
    print(
        f"{report.plural(taken.fresh, 'trial')} {verb} from {origin}, for {report.plural(taken.trees, 'agent')};"
        f" {taken.known} known here, {taken.elsewhere} of code that is not here"
    )


def _database(source: Path) -> Path:
    for place in (source / ".sica" / "sica.db", source / "sica.db", source):
        if place.is_file():
            return place
    raise UsageError(f"there is no archive at {source}", "a project's folder, its .sica, or a sica.db")


@app.command(epilog=examples('sqlite3 -readonly "$(sica db path)" .schema'))
def path(ctx: typer.Context) -> None:
    """Print where the database is, as for sqlite3 "$(sica db path)"."""
    call: Invocation = ctx.obj
    print(call.places().db)
