"""`sica tell`: say something to a run that is going."""

from __future__ import annotations

from dataclasses import asdict, replace

import typer

from sica import report
from sica.cli import asking, completion
from sica.cli.invocation import Invocation, examples
from sica.cli.reading import Reading
from sica.model import Request

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples(
        "sica tell pause                         nothing new is started until sica tell resume",
        "sica tell stop                          the run ends after what runs",
        'sica tell hint "try a unified diff"     into the brief of the next improvement',
        "sica tell cancel 4f0c2a9e11d0b3aa       one box; its trial counts as cancelled, never as a zero",
    ),
    help="Say something to a run that is going, from another terminal.",
)
JSON = typer.Option(False, "--json", help="One object.")


@app.command("pause")
def pause(ctx: typer.Context, as_json: bool = JSON) -> None:
    """Start nothing new; what runs goes on to its end."""
    _tell(ctx.obj, Request("pause"), as_json)


@app.command("resume")
def resume(ctx: typer.Context, as_json: bool = JSON) -> None:
    """Go on after a pause."""
    _tell(ctx.obj, Request("resume"), as_json)


@app.command("stop")
def stop(ctx: typer.Context, as_json: bool = JSON) -> None:
    """End the run after what runs; `sica evolve` goes on from there."""
    _tell(ctx.obj, Request("stop"), as_json)


@app.command("cancel")
def cancel(
    ctx: typer.Context,
    box: str = typer.Argument(..., help="A session; sica tell list."),
    as_json: bool = JSON,
) -> None:
    """End one box now; its trial counts as cancelled, never as a zero."""
    _tell(ctx.obj, Request("cancel", session=box), as_json)


@app.command("hint")
def hint(
    ctx: typer.Context,
    text: str = typer.Argument(..., help="What you would like to be tried."),
    agent: str = typer.Option(
        "", "--agent", help="Only when this agent improves.", autocompletion=completion.agents
    ),
    box: str = typer.Option("", "--box", help="To this running box instead: a session."),
    as_json: bool = JSON,
) -> None:
    """Give the next improvement, or one running box, a hint in your own words."""
    _tell(ctx.obj, Request("hint", session=box, text=text), as_json, agent)


@app.command("list")
def boxes(ctx: typer.Context, as_json: bool = JSON) -> None:
    """What runs now, and what was asked."""
    from sica.web import live
    from sica.web.source import Source

    call: Invocation = ctx.obj
    reading = Reading.of(call)
    found = live.running(Source(reading.places, call.setting("bench", "core")))["boxes"]
    asked = reading.ledger.requests()
    if as_json:
        call.json("sica.tell/1", boxes=found, requests=[asdict(r) for r in asked])
        return
    lines = [
        [
            box["session"],
            f"agent/{box['agent']}",
            report.clean(f"{box['for']} {box['task'] or ''}"),
            report.clean(box["doing"]),
        ]
        for box in found
    ]
    call.page(report.table(lines, "<<<<", call.look(), header=("box", "agent", "for", "doing")))
    told = [
        [str(r.id), r.kind, report.clean(r.by), r.state, report.clean(r.answer or r.text)]
        for r in asked[-10:]
    ]
    call.page(
        report.table(told, "><<<<", call.look(), header=("id", "asked", "by", "state", "what came of it"))
    )
    if not found and not asked:
        call.say("nothing runs, and nothing was asked")


def _tell(call: Invocation, request: Request, as_json: bool, agent: str = "") -> None:
    places = call.places()
    meant = Reading.of(call).find(agent) if agent else None
    kept = asking.ask(places, replace(request, by=call.user()), meant)
    if request.kind != "hint" or request.session:
        kept = asking.answered(places, kept)
    say(call, kept, as_json)


def say(call: Invocation, request: Request, as_json: bool) -> None:
    """What became of it; exit 1 when it could not be done."""
    if as_json:
        call.json("sica.request/1", request=asdict(request))
    elif request.state == "pending" and request.kind == "hint":
        print("kept for the next improvement")
    else:
        waits = "kept; the run has not answered yet: is it stopped (Ctrl-Z)?"
        print(report.clean(request.answer) or waits)
    if request.state == "refused":
        raise typer.Exit(1)
