"""One agent by hand: a request, or a dialogue of them in one folder, with somebody who may speak while it works."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from sica import control, report
from sica.attempt import Assignment, Attempt, seeded, work
from sica.cli import folders
from sica.cli.changes import Change, Place, change, stat
from sica.cli.following import Following, shown
from sica.cli.invocation import Invocation
from sica.cli.parts import Shop
from sica.cli.signals import CANCELLED, stopping
from sica.errors import SicaError
from sica.model import Agent, Budget, Files, Limits, Request, Usage

WORKDIR = "/app"
ANSWER_CHARS = 4000
"""Of an answer, for the request after it."""
CALLS = 100
"""Model calls of one request where nothing else is set."""

FINISH = "[The person who asked you has seen enough. Leave the files in a good state and end now.]"
ASKED = "the agent is asked to finish, and its files are kept; Ctrl-C again leaves at once, without them"

HELP = (
    ("/diff", "what the last request changed, line by line"),
    ("/undo", "put back what was there before it"),
    ("/cost", "what each request used"),
    ("/quit", "leave; so does Ctrl-D"),
    ("\\", "at the end of a line: the request goes on with the next line"),
)


@dataclass(frozen=True)
class Desk:
    """Where the agent is asked."""

    call: Invocation
    shop: Shop
    agent: Agent
    seconds: float
    quiet: bool = False

    @property
    def budget(self) -> Budget:
        trial = self.shop.config.trial
        return Budget(trial.max_cost, trial.max_tokens, trial.max_calls or CALLS)


@dataclass(frozen=True)
class Turn:
    """A request and what came of it."""

    words: str
    made: Attempt
    answer: str
    change: Change
    read: bool = False
    """Whether the answer was shown whole while the agent worked."""
    unheard: tuple[str, ...] = ()
    """Lines that were typed too late for the agent."""
    interrupted: bool = False


# ── one request ───────────────────────────────────────────────────────────────────────────────────


def one(desk: Desk, words: str, before: Files, earlier: Sequence[Turn] = ()) -> Turn:
    """The agent's work on one request, shown as it goes on. Somebody who looks asks it to finish with Ctrl-C."""
    call, shop = desk.call, desk.shop
    cancel, asked = threading.Event(), threading.Event()
    instruction = asking(words, earlier)
    given = Assignment(
        role="main",
        instruction=instruction,
        workspace={f"{WORKDIR}/{name}": f for name, f in before.items()},
        workdir=WORKDIR,
        limits=replace(Limits(), seconds=desk.seconds, disk_mb=256),
        budget=desk.budget,
        seed=seeded(shop.config.seed, instruction),
        about={"for": "run"},
    )
    look = call.look(sys.stderr)
    following = Following(look, _nothing if desk.quiet else call.say)
    place = shop.controls.at(None, replace(shop.place, cancel=cancel))
    known = place.opened

    def opened(session: str) -> None:
        following.session = session
        known(session)

    def send(text: str) -> None:
        following.typed(text)
        hint = Request("hint", time.time(), call.user(), session=following.session, text=text)
        shop.store.ledger.ask(hint)
        call.say(look.paint("name", "you: ") + report.clean(text))

    place = replace(place, opened=opened, open_trace=following.opening(place.open_trace))
    live = call.live(sys.stderr) and not desk.quiet
    bounds = _least(replace(given.budget, seconds=desk.seconds), shop.broker.left())
    with (
        hearing(shop, lambda: asked.is_set() and shop.broker.notice(following.session, FINISH)),
        shown(following, live=live, look=look, budget=bounds, send=send) as seen,
        stopping(
            *((asked if live else cancel), seen.interrupted, lambda: _leave(shop, seen.abandoned)),
            ASKED if live else CANCELLED,
        ),
    ):
        made = work(place, desk.agent, given)
    shop.raise_fatal()
    printed = report.clean_block(made.ended.stdout.decode(errors="replace")).strip() if made.ended else ""
    left = change(before, made.left(WORKDIR), made.ended, WORKDIR)
    answer = following.answer or printed
    read = not desk.quiet and following.read == answer
    return Turn(words, made, answer, left, read, tuple(following.unheard), asked.is_set())


def asking(words: str, earlier: Sequence[Turn]) -> str:
    """The request, with what an agent that remembers nothing has to know of those before it."""
    if not earlier:
        return words
    last = earlier[-1]
    asked = "\n".join(f"- {' '.join(turn.words.split())[:300]}" for turn in earlier)
    return (
        f"{words.rstrip()}\n\n---\n\nThis goes on from earlier requests; the files are as they were left. "
        f"Asked before, oldest first:\n{asked}\n\nYour last answer:\n{last.answer[-ANSWER_CHARS:] or '(none)'}\n"
    )


@contextmanager
def hearing(shop: Shop, finish: Callable[[], bool]) -> Iterator[None]:
    """Meanwhile lines that are typed and `sica tell` from elsewhere reach the agent: no loop looks for them here.

    `finish` is asked until it says that it has told the agent to.
    """
    over, failed = threading.Event(), list[SicaError]()

    def listen() -> None:
        archive, finishing = shop.archive((), 1), False
        try:
            while not over.wait(control.EVERY):
                finishing = finishing or finish()
                for outcome in shop.controls.look(archive):
                    archive = archive.plus(outcome)
        except SicaError as error:
            failed.append(error)

    thread = threading.Thread(target=listen, name="hearing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def _leave(shop: Shop, abandon: Callable[[], None]) -> None:
    try:
        shop.sandbox.sweep()
    finally:
        abandon()


def _least(own: Budget, run: Budget) -> Budget:
    """What the status line counts down: whichever comes first."""

    def of(a: float | None, b: float | None) -> float | None:
        return min((v for v in (a, b) if v is not None), default=None)

    tokens, calls = of(own.tokens, run.tokens), of(own.calls, run.calls)
    return Budget(
        of(own.usd, run.usd),
        None if tokens is None else int(tokens),
        None if calls is None else int(calls),
        own.seconds,
    )


def _nothing(text: str) -> None:
    del text


# ── one request and no more ───────────────────────────────────────────────────────────────────────


def deliver(desk: Desk, turn: Turn, base: Path | None, results: Path, as_json: bool) -> None:
    """Put its files where they belong, say what it did, and leave with the code that says how it ended."""
    call, done, made = desk.call, turn.change, turn.made
    kept = done if base is None else Place(base).land(done)
    if kept.changed:
        Place(results).land(Change({}, kept.changed))
    text = done.diff()
    if as_json:
        call.json(
            "sica.run/1",
            agent=desk.agent.number,
            ending=made.how,
            why=report.clean(made.why),
            answer=turn.answer,
            cost_usd=made.usage.usd,
            tokens=made.usage.tokens,
            seconds=made.usage.seconds,
            trace=made.trace,
            changed=sorted(done.changed),
            removed=done.gone,
            kept=kept.names if base else [],
            folder=base or results,
            applied=base is not None,
            diff=text,
        )
    else:
        look = call.look()
        for line in () if turn.read else turn.answer.splitlines()[-20:]:
            call.say("  " + line)
        for line in text.splitlines():
            style = {"+": "added", "-": "removed", "@": "hunk"}.get(line[:1], "")
            print(look.paint(style, line) if style else line)
        _late(call, turn)
        call.say(_summary(turn))
        _where(call, done, kept, base, results)
    if turn.interrupted or made.fault == "cancelled":
        raise typer.Exit(130)
    raise typer.Exit(0 if made.how == "done" else 1)


def _where(call: Invocation, done: Change, kept: Change, base: Path | None, results: Path) -> None:
    if not done:
        call.say("nothing was changed")
    elif base is None:
        call.say(f"the changed files are in {results}")
    else:
        _apart(call, kept, results)
        call.say(f"written into {base}")


def _apart(call: Invocation, kept: Change, place: Path) -> None:
    if kept:
        call.warn(f"changed by somebody else meanwhile, so left alone: {_first(kept)}")
    if kept.changed:
        call.say(f"the agent's own versions are in {place}")


def _first(change: Change) -> str:
    """The first of its names, for people."""
    return ", ".join(map(report.clean, change.names[:5]))


def _late(call: Invocation, turn: Turn) -> None:
    for text in turn.unheard:
        call.say(f"the agent ended before it could hear: {report.clean(text)}")


def _summary(turn: Turn) -> str:
    made, used = turn.made, turn.made.usage
    why = f": {report.clean(made.why)}" if made.why else ""
    facts = f"{_paid(used)}, {report.duration(used.seconds)}"
    return f"{report.clean(made.how)}{why}   {facts}   sica trace {made.trace[:19]}"


# ── a dialogue ────────────────────────────────────────────────────────────────────────────────────


def talk(desk: Desk, folder: Path) -> None:
    """Requests until somebody has enough. What each one changes is written into the folder."""
    call, turns, place, draft = desk.call, list[Turn](), Place(folder), ""
    call.say(f"{desk.agent.name} in {folder}, at most {report.duration(desk.seconds)} a request; /help")
    while not desk.shop.controls.stopping and (words := _typed(call, draft)) is not None:
        draft = ""
        if words.startswith("/"):
            if words == "/quit":
                break
            _command(desk, words, turns, place)
        elif words:
            before = folders.read(folder).files if folder.exists() else {}
            turn = one(desk, words, before, turns)
            turns.append(turn)
            draft = " ".join(turn.unheard)
            _settle(desk, turn, place)
    call.say(f"{report.plural(len(turns), 'request')}, {_used(turns)}   {folder}")


def _settle(desk: Desk, turn: Turn, place: Place) -> None:
    """Write its files, and say what there is to see."""
    call = desk.call
    kept = place.land(turn.change)
    apart = desk.shop.store.places.store / "results" / f"{desk.shop.run.id}-{turn.made.session[:6]}"
    if kept.changed:
        Place(apart).land(Change({}, kept.changed))
    if turn.answer and not (turn.read and sys.stdout.isatty()):
        print("\n" + turn.answer[-ANSWER_CHARS:] + "\n", flush=True)
    for name, size in stat(turn.change):
        print(f"  {name}   {size}", flush=True)
    if not turn.change:
        call.say("nothing was changed")
    _apart(call, kept, apart)
    _late(call, turn)
    call.say(_summary(turn))


def _command(desk: Desk, words: str, turns: list[Turn], place: Place) -> None:
    call = desk.call
    match words:
        case "/help":
            for name, meaning in HELP:
                call.say(f"  {name:<6} {meaning}")
        case "/cost":
            for turn in turns:
                call.say(f"  {report.cut(report.clean(turn.words), 40):<40} {_used([turn])}")
            left = desk.shop.broker.left().usd
            call.say(f"  together {_used(turns)}" + ("" if left is None else f"; {report.money(left)} left"))
        case "/diff" | "/undo" if not (turns and turns[-1].change):
            call.say("nothing was changed")
        case "/diff":
            call.page(turns[-1].change.diff().splitlines())
        case "/undo":
            stuck = place.undo(turns[-1].change)
            turns[-1] = replace(turns[-1], change=Change(turns[-1].change.before, {}))
            but = f", but for what somebody changed since: {_first(stuck)}" if stuck else ""
            call.say(f"put back{but}")
        case _:
            call.say(f"there is no {report.clean(words)}; there are {', '.join(n for n, _ in HELP[:4])}")


def _used(turns: Sequence[Turn]) -> str:
    used = sum((turn.made.usage for turn in turns), Usage())
    return f"{_paid(used)}, {report.duration(used.seconds)}"


def _paid(used: Usage) -> str:
    return f"{report.plural(used.calls, 'call')}, {used.tokens:,} tokens, {report.money(used.usd)}"


def _typed(call: Invocation, draft: str) -> str | None:
    """What somebody types next; None when they leave. Ctrl-C takes a line back, and on an empty one leaves."""
    warned = False
    while True:
        try:
            parts = [_line("> ", draft)]
            while parts[-1].endswith("\\"):
                parts[-1] = parts[-1][:-1]
                parts.append(_line(". ", ""))
            return "\n".join(parts).strip()
        except EOFError:
            call.say()
            return None
        except KeyboardInterrupt:
            call.say()
            if warned:
                return None
            warned, draft = True, ""
            call.say("Ctrl-C again, Ctrl-D or /quit leaves")


def _line(prompt: str, draft: str) -> str:
    """One line, edited as in a shell where the terminal allows; a paste of several lines is one."""
    if not sys.stdout.isatty():
        print(prompt, end="", file=sys.stderr, flush=True)
        if line := sys.stdin.readline():
            return line.rstrip("\n")
        raise EOFError
    import readline

    readline.set_startup_hook(lambda: readline.insert_text(draft))
    try:
        return input(prompt)
    finally:
        readline.set_startup_hook(None)
