"""`sica web`."""

from __future__ import annotations

import secrets
from pathlib import Path

import typer

from sica import places
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.errors import UsageError
from sica.places import Places

EXAMPLES = (
    "sica web                          the archive of this project, live",
    "sica web --db copy.db --read-only     a copy from another machine",
    "sica web --export run.html        one file to share; opens from disk, no network",
    "ssh -L 7433:127.0.0.1:7433 box    from your own machine: see docs/web.md",
)


def command(
    ctx: typer.Context,
    port: int = typer.Option(
        7433, "--port", min=0, max=65535, help="Of this machine only; the next free one when taken."
    ),
    bench: str = typer.Option(
        "", "--bench", help="Whose scores are shown first.", autocompletion=completion.benchmarks
    ),
    db: Path = typer.Option(None, "--db", help="Another ledger; code and traces are looked for beside it."),
    read_only: bool = typer.Option(False, "--read-only", help="No pause, hint, approval or comment."),
    any_user: bool = typer.Option(False, "--any-user", help="Also answer other users of this machine."),
    opened: bool = typer.Option(False, "--open/--no-open", help="Open the page in a browser."),
) -> None:
    """Serve the viewer on this machine: lineage, progress, matrix, traces, live while a run goes on.

    It reads the archive and never blocks a run. Only this machine and this user can open it.
    """
    from sica.web import app, serve
    from sica.web.source import Source

    call: Invocation = ctx.obj
    source = Source(
        places=_places(call, db),
        bench=bench or call.setting("bench", "core"),
        db=db.resolve() if db else None,
        readonly=read_only or db is not None,
        token=secrets.token_urlsafe(24),
        user=call.user(),
    )
    with source.ledger:
        listener = serve.listening(port)
        taken = listener.getsockname()[1]
        if port and taken != port:
            call.say(f"port {port} is taken by another program")
        print(f"http://127.0.0.1:{taken}/", flush=True)
        call.say("Ctrl-C ends it; a run goes on without it")
        if opened:
            import webbrowser

            webbrowser.open(f"http://127.0.0.1:{taken}/")
        serve.server(app.application(source, any_user=any_user)).run(sockets=[listener])


def _places(call: Invocation, db: Path | None) -> Places:
    if db is None:
        return call.places()
    if not db.is_file():
        raise UsageError(
            f"there is no ledger at {db}", "--db takes the file sica.db of a store, or a copy of it"
        )
    folder = db.resolve().parent
    return places.at(folder.parent if folder.name == ".sica" else folder, call.environ)
