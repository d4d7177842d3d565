"""`sica run`."""

from __future__ import annotations

import difflib
import secrets
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion, folders
from sica.cli.invocation import Invocation
from sica.errors import UsageError
from sica.model import Agent, Budget, File, Files, Limits

if TYPE_CHECKING:
    from sica.attempt import Attempt
    from sica.cli.parts import Shop
    from sica.config import RunConfig

WORKDIR = "/app"
LEFT_BEHIND = frozenset(("__pycache__", ".git"))
NO_WORKDIR = "--workdir takes the folder to work on a copy of; without it the agent starts in an empty one"


EXAMPLES = (
    "sica run -p 'Fix the failing test' --workdir .           show what it would change",
    "sica run -p 'Fix the failing test' --workdir . --apply   and write it back",
)


def command(
    ctx: typer.Context,
    prompt: str = typer.Option(
        ..., "-p", "--prompt", help="What the agent is asked to do; - reads it from stdin."
    ),
    agent: str = typer.Option("best", "--agent", help="Which agent.", autocompletion=completion.agents),
    workdir: Path = typer.Option(
        None, "--workdir", help="Folder whose copy the agent works on; default: an empty one."
    ),
    apply: bool = typer.Option(False, "--apply", help="Write the changes back into the folder."),
    seconds: float = typer.Option(600.0, "--seconds", min=1, help="Wall time of the agent, in seconds."),
    model: str = typer.Option(None, "--model", help="The model that the agent talks to."),
    sandbox: str = typer.Option(
        None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
    ),
    max_cost: float = typer.Option(None, "--max-cost", help="Dollars; nothing is spent above it."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask about money."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """Let one agent work on one prompt, in a box, on a copy of a folder; show what it changed.

    The folder itself is not touched unless --apply is given: the result lies in a folder of its own.
    """
    from sica.cli import estimating, names, parts

    call: Invocation = ctx.obj
    if apply and workdir is None:
        raise UsageError("--apply needs --workdir", "sica run -p '...' --workdir DIR --apply")
    words = sys.stdin.read() if prompt == "-" else prompt
    if not words.strip():
        raise UsageError("the prompt is empty", "sica run -p 'what to do'")
    base = (call.folder / workdir).resolve() if workdir else None
    before = dict(folders.read(base, cure=NO_WORKDIR).files) if base else {}
    config = call.settings(model=model, sandbox=sandbox, max_cost=max_cost).config
    with parts.working(call, config, kind="run", cancel=threading.Event()) as shop:
        known = tuple(shop.store.ledger.agents())
        found = names.resolve(agent, known, shop.store.repo.champion(), shop.store.repo.rev_parse)
        estimating.ask_unknown(call, config, shop.gateway, "one prompt", yes)
        call.say(f"{found.name} at work, at most {report.duration(seconds)}")
        made = _work(shop, config, found, words, before, seconds)
        shop.store.ledger.end_run(shop.run.id, "done")
        shop.raise_fatal()
        results = shop.store.places.store / "results" / f"{shop.run.id}-{secrets.token_hex(3)}"
    if made.fault == "cancelled":
        raise typer.Exit(130)
    after = {
        name: f for name, f in made.left(WORKDIR).items() if LEFT_BEHIND.isdisjoint(PurePosixPath(name).parts)
    }
    gone = sorted(before.keys() - after.keys()) if made.ended else []
    changed = {name: f for name, f in after.items() if before.get(name) != f}
    place = base if apply and base else results
    if changed or (apply and gone):
        write_back(place, changed, gone if apply else [])
    text = "\n".join(differences(before, after if made.ended else before))
    if as_json:
        call.json(
            "sica.run/1",
            agent=found.number,
            ending=made.how,
            why=report.clean(made.why),
            cost_usd=made.usage.usd,
            tokens=made.usage.tokens,
            seconds=made.usage.seconds,
            trace=made.trace,
            changed=sorted(changed),
            removed=gone,
            folder=place,
            applied=apply,
            diff=text,
        )
    else:
        _tell(call, made, text, place if changed or gone else None, apply)
    raise typer.Exit(0 if made.how == "done" else 1)


def _work(shop: Shop, config: RunConfig, agent: Agent, words: str, before: Files, seconds: float) -> Attempt:
    from sica.attempt import Assignment, seeded, work
    from sica.cli.signals import stopping, tell

    given = Assignment(
        role="main",
        instruction=words,
        workspace={f"{WORKDIR}/{name}": f for name, f in before.items()},
        workdir=WORKDIR,
        limits=replace(Limits(), seconds=seconds, disk_mb=256),
        budget=Budget(config.trial.max_cost, config.trial.max_tokens, config.trial.max_calls or 100),
        seed=seeded(config.seed, words),
        about={"for": "run"},
    )
    with stopping(shop.cancel, tell, shop.sandbox.sweep):
        return work(shop.place, agent, given)


def _tell(call: Invocation, made: Attempt, text: str, place: Path | None, applied: bool) -> None:
    look = call.look()
    said = report.clean_block(made.ended.stdout.decode(errors="replace")) if made.ended else ""
    for line in said.strip().splitlines()[-20:]:
        call.say("  " + line)
    for line in text.splitlines():
        style = {"+": "added", "-": "removed", "@": "hunk"}.get(line[:1], "")
        print(look.paint(style, line) if style else line)
    cost = f"{made.usage.calls} calls, {report.money(made.usage.usd)}, {report.duration(made.usage.seconds)}"
    call.say(
        f"{report.clean(made.how)}: {report.clean(made.why)}   {cost}" if made.why else f"{made.how}   {cost}"
    )
    if place is None:
        call.say("nothing was changed")
    else:
        call.say(f"{'written into' if applied else 'the changed files are in'} {place}")


def differences(before: Files, after: Files) -> Iterator[str]:
    """A unified diff for people, cleaned; what is not text is named only."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        shown = report.clean(name)
        pair = [_lines(old), _lines(new)]
        if None in pair:
            yield f"Binary file {shown} {'removed' if new is None else 'changed' if old else 'added'}"
            continue
        heads = (f"a/{shown}" if old else "/dev/null", f"b/{shown}" if new else "/dev/null")
        yield from (
            report.clean_block(line)
            for line in difflib.unified_diff(pair[0] or [], pair[1] or [], *heads, lineterm="")
        )
        if old and new and old.executable != new.executable:
            yield f"mode of {shown}: {'executable' if new.executable else 'not executable'}"


def _lines(file: File | None) -> list[str] | None:
    if file is None:
        return []
    if b"\0" in file.data:
        return None
    try:
        return file.data.decode().splitlines()
    except UnicodeDecodeError:
        return None


def write_back(place: Path, files: Files, gone: list[str]) -> None:
    """Write files below a folder, through no link: what an agent left may not reach anything else."""
    place.mkdir(parents=True, exist_ok=True)
    root = place.resolve()
    for name in [*files, *gone]:
        target = root / name
        if not target.parent.resolve().is_relative_to(root) or ".." in PurePosixPath(name).parts:
            raise UsageError(
                f"{report.clean(name)} leaves {root}: it is behind a link", "nothing of it was written"
            )
    for name, file in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.write_bytes(file.data)
        target.chmod(0o755 if file.executable else 0o644)
    for name in gone:
        (root / name).unlink(missing_ok=True)
