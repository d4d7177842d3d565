"""`sica review`."""

from __future__ import annotations

import time

import typer

from sica import report
from sica.cli import asking, completion
from sica.cli.invocation import Invocation
from sica.cli.reading import Reading
from sica.cli.tell import say
from sica.errors import UsageError
from sica.model import Request
from sica.web.source import reviews

EXAMPLES = (
    "sica review                          who waits for an approval",
    "sica review 7                        what was said of agent/7",
    "sica review 7 --approve              a would-be champion of evolve --approve may be promoted",
    'sica review 7 --reject "it hard-codes paths"      never champion, never a parent',
    'sica review 7 --comment "look at tools.py"',
)


def command(
    ctx: typer.Context,
    agent: str = typer.Argument("", help="Which agent.", autocompletion=completion.agents),
    approve: bool = typer.Option(False, "--approve", help="It may become the best; takes a rejection back."),
    reject: str = typer.Option(None, "--reject", metavar="WHY", help="Turn it down."),
    comment: str = typer.Option(
        None, "--comment", metavar="TEXT", help="Leave a note in refs/notes/sica/review."
    ),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Say yes or no to an agent, or leave a comment; without either, show what people said and overseers did."""
    call: Invocation = ctx.obj
    reading = Reading.of(call)
    if not agent:
        _waiting(call, reading, as_json)
        return
    found = reading.find(agent)
    wanted = [("approve", "")] * approve + [
        (k, t) for k, t in (("reject", reject), ("comment", comment)) if t is not None
    ]
    if len({kind for kind, _ in wanted} & {"approve", "reject"}) > 1:
        raise UsageError("--approve and --reject at once", "say one of them")
    for kind, text in wanted:
        kept = asking.ask(
            call.places(),
            Request(kind, by=call.user(), agent=found.commit, text=text),
            found,
            reading.champion,
        )
        say(call, asking.answered(call.places(), kept), as_json)
    if not wanted:
        _said(call, reviews(reading.repo.reviews(found.commit)), as_json, found.name)


def _waiting(call: Invocation, reading: Reading, as_json: bool) -> None:
    names = {a.commit: a.name for a in reading.agents}
    waiting = [r for r in reading.ledger.requests() if r.kind == "waiting" and r.state == "pending"]
    if as_json:
        told = [{"agent": names[r.agent], "why": report.clean(r.text), "at": r.at} for r in waiting]
        call.json("sica.review/1", agent=None, reviews=[], waiting=told)
        return
    for request in waiting:
        print(
            f"{report.clean(request.text)}   sica review {names[request.agent].removeprefix('agent/')} --approve"
        )
    if not waiting:
        call.say("nobody waits for an approval")


def _on(line: dict[str, object]) -> str:
    """What a ruling was on: the task, or the improvement or the gate; and the sub-agent."""
    if line["kind"] != "ruling":
        return ""
    whose = f" ({line['span']})" if line["span"] not in ("", "main") else ""
    return f"{line['task'] or line['of']}{whose}: "


def _said(call: Invocation, lines: list[dict[str, object]], as_json: bool, name: str) -> None:
    if as_json:
        call.json("sica.review/1", agent=name, reviews=lines, waiting=[])
        return
    for line in lines:
        at = line["at"]
        when = report.ago(time.time() - at) if isinstance(at, int | float) else ""
        kind = line.get("action") or line["kind"]
        print(f"{kind:<8} {line['by']}  {when}  {_on(line)}{report.clean(str(line['text']))}")
    if not lines:
        call.say(f"nothing was said of {name}")
