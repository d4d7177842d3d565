"""`sica web`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import places, report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.errors import UsageError, no_such
from sica.places import Places

if TYPE_CHECKING:
    from sica.web.source import Source

TRACES, SECRETS = ("none", "best", "all"), ("refuse", "redact", "keep")

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
    export: Path = typer.Option(
        None, "--export", metavar="FILE", help="Write the page with its data into one file instead."
    ),
    traces: str = typer.Option(
        "none",
        "--traces",
        help="What goes into the file: none, best (the best agent's) or all.",
        autocompletion=completion.one_of("none", "best", "all"),
    ),
    found: str = typer.Option(
        "refuse",
        "--secrets",
        help="When the export meets keys or your home folder: refuse, redact or keep.",
        autocompletion=completion.one_of("refuse", "redact", "keep"),
    ),
) -> None:
    """Serve the viewer on this machine: lineage, progress, matrix, traces, live while a run goes on.

    It reads the archive and never blocks a run. Only this machine and this user can open it.
    """
    from sica.web.source import Source

    call: Invocation = ctx.obj
    for name, value, known in (("--traces", traces, TRACES), ("--secrets", found, SECRETS)):
        if value not in known:
            raise no_such(f"value of {name}", value, list(known))
    source = Source(
        places=_places(call, db),
        bench=bench or call.setting("bench", "core"),
        db=db.resolve() if db else None,
        readonly=read_only or db is not None,
        token=secrets.token_urlsafe(24),
        user=call.user(),
    )
    with source:
        if export is not None:
            _export(call, source, export, traces, found)
        else:
            _serve(call, source, port, any_user, opened)


def _export(call: Invocation, source: Source, path: Path, traces: Any, secrets: Any) -> None:
    from sica.web import export

    path = call.folder / path
    call.passing("gathering what the page asks for")
    try:
        made = export.export(source, call.environ, traces=traces, secrets=secrets)
    finally:
        call.passing("")
    export.write(path, made.html)
    print(path)
    for part, size in sorted(made.sizes.items(), key=lambda item: -item[1]):
        call.say(f"  {part:<12} {size / 1e6:8.2f} MB")
    call.say(f"  {'in all':<12} {len(made.html.encode()) / 1e6:8.2f} MB")
    if made.redacted:
        call.say(f"taken out: {report.plural(made.redacted, 'secret')}")


def _serve(call: Invocation, source: Source, port: int, any_user: bool, opened: bool) -> None:
    from sica.web import app, serve

    with serve.listening(port) as listener:
        taken = listener.getsockname()[1]
        if port and taken != port:
            call.say(f"port {port} is taken by another program")
        address = f"http://127.0.0.1:{taken}/"
        print(address, flush=True)
        call.say("Ctrl-C ends it; a run goes on without it")
        if opened:
            import webbrowser

            webbrowser.open(address)
        serve.server(app.application(source, any_user=any_user), source).run(sockets=[listener])


def _places(call: Invocation, db: Path | None) -> Places:
    if db is None:
        return call.places()
    if not db.is_file():
        raise UsageError(
            f"there is no ledger at {db}", "--db takes the file sica.db of a store, or a copy of it"
        )
    folder = db.resolve().parent
    return places.at(folder.parent if folder.name == ".sica" else folder, call.environ)
