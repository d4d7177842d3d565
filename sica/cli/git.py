"""`sica git`."""

from __future__ import annotations

import typer

from sica.cli.invocation import Invocation

CONTEXT = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}


def command(ctx: typer.Context) -> None:
    """Run git on the store, from anywhere in the project: sica git log --graph --oneline --branches."""
    from sica.repo import GitRepo

    call: Invocation = ctx.obj
    places = call.places()
    raise typer.Exit(GitRepo.open(places.repo, places.runtime).passthrough(ctx.args))
