"""`sica run`."""

from __future__ import annotations

import secrets
import sys
import threading
from pathlib import Path

import typer

from sica import report
from sica.cli import completion, folders
from sica.cli.invocation import Invocation
from sica.errors import UsageError

NO_WORKDIR = "--workdir takes the folder to work on a copy of; without it the agent starts in an empty one"

EXAMPLES = (
    "sica run --workdir .                                     ask, watch, ask again; changes are written into it",
    "sica run -p 'Fix the failing test' --workdir .           show what it would change",
    "sica run -p 'Fix the failing test' --workdir . --apply   and write it back",
)


def command(
    ctx: typer.Context,
    prompt: str = typer.Option(
        None,
        "-p",
        "--prompt",
        help="What the agent is asked to do; - reads it from stdin. Without it: a dialogue.",
    ),
    agent: str = typer.Option("best", "--agent", help="Which agent.", autocompletion=completion.agents),
    workdir: Path = typer.Option(
        None, "--workdir", help="Folder whose copy the agent works on; default: an empty one."
    ),
    apply: bool = typer.Option(
        False, "--apply", help="Write the changes back into the folder; a dialogue always does."
    ),
    seconds: float = typer.Option(600.0, "--seconds", min=1, help="Wall time for one request, in seconds."),
    model: str = typer.Option(None, "--model", help="The model that the agent talks to."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    max_cost: float = typer.Option(None, "--max-cost", help="Dollars; nothing is spent above it."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask about money."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="No progress."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Let one agent work in a box on a copy of a folder; show what it does and what it changed.

    With -p it is one request, and the folder itself is not touched unless --apply is given: the result lies in a
    folder of its own. Without -p, on a terminal, it is a dialogue: each request goes on where the last one ended, and
    what it changed is written into the folder at once, but never over what somebody else changed meanwhile.

    While the agent works on a terminal, a line that you type is put before it with its next model request. Ctrl-C
    asks it to finish, and keeps its files; twice leaves at once, without them.
    """
    from sica.cli import conversation, estimating, names, parts

    call: Invocation = ctx.obj
    if apply and workdir is None:
        raise UsageError("--apply needs --workdir", "sica run -p '...' --workdir DIR --apply")
    words = _asked(prompt, as_json)
    base = (call.folder / workdir).resolve() if workdir else None
    before = dict(folders.read(base, cure=NO_WORKDIR).files) if base else {}
    config = call.settings(model=model, sandbox=sandbox, max_cost=max_cost).config
    with parts.working(call, config, kind="run", cancel=threading.Event()) as shop:
        known = tuple(shop.store.ledger.agents())
        found = names.resolve(agent, known, shop.store.repo.champion(), shop.store.repo.rev_parse)
        what = "one prompt" if words else "each request"
        estimating.ask_unknown(call, config, shop.gateway, what, yes)
        results = shop.store.places.store / "results" / f"{shop.run.id}-{secrets.token_hex(3)}"
        desk = conversation.Desk(call, shop, found, seconds, quiet=quiet or as_json)
        if words:
            if not (quiet or as_json):
                call.say(f"{found.name} at work, at most {report.duration(seconds)}")
            turn = conversation.one(desk, words, before)
        else:
            conversation.talk(desk, base or results)
        shop.store.ledger.end_run(shop.run.id, "done")
        shop.raise_fatal()
    if words:
        conversation.deliver(desk, turn, base if apply else None, results, as_json)


def _asked(prompt: str | None, as_json: bool) -> str:
    """The one request, or "" for a dialogue."""
    if prompt is None:
        if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                "there is no request", "sica run -p 'what to do'; on a terminal without -p it asks for one"
            )
        return ""
    words = sys.stdin.read() if prompt == "-" else prompt
    if not words.strip():
        raise UsageError("the prompt is empty", "sica run -p 'what to do'")
    return words
