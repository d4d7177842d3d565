"""`sica trace`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.blocks import answers, content
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.reading import Reading
from sica.errors import UsageError, no_such
from sica.model import Agent, Trial

if TYPE_CHECKING:
    from sica.cli.browser import Choice
    from sica.traces import Traces

Event = Mapping[str, Any]
SHORT = 4000
"""Characters of one message that are shown unasked."""
_OFTEN = 0.2
"""Seconds between two looks at a trace that grows."""


EXAMPLES = (
    "sica trace                       choose an agent and a trial",
    "sica trace 7 fix-ledger          its last attempt; fix-ledger#0 is its first",
    "sica trace 7 --plain             how it was made, as text",
    "sica trace --follow              what the newest box is doing right now",
    "sica trace 7 fix-ledger --json | jq -r .type",
)


def command(
    ctx: typer.Context,
    agent: str = typer.Argument(
        "", help="Which agent; or a trace by its name, sha256:…", autocompletion=completion.agents
    ),
    task: str = typer.Argument(
        "",
        help="Which task, or TASK#ATTEMPT; without one: its trials, and how it was made.",
        autocompletion=completion.tried,
    ),
    attempt: int = typer.Option(-1, "--attempt", help="Which attempt; default: the last one."),
    follow: bool = typer.Option(False, "--follow", help="A box that is at work, as it goes on."),
    full: bool = typer.Option(False, "--full", help="As text, long messages whole."),
    plain: bool = typer.Option(False, "--plain", help="Text without colour and pager, also on a terminal."),
    as_json: bool = typer.Option(False, "--json", help="The events as JSON lines."),
) -> None:
    """Show what an agent did on a task: messages, tool calls, costs and how it ended.

    On a terminal everything can be walked through, searched and filtered by key: ? shows how. In a pipe it is text.
    """
    from sica.cli.parts import open_traces

    call: Invocation = ctx.obj
    reading = Reading.of(call)
    traces = open_traces(reading.places)
    if agent.startswith("sha256:"):
        _print(call, traces.read(agent), "one box", agent, full, as_json, plain=plain)
        return
    found = reading.find(agent) if agent else None
    task, attempt = _numbered(task, attempt)
    browsed = not (plain or as_json or full) and call.live(sys.stdout) and sys.stdin.isatty()
    if follow:
        if browsed:
            import sica.cli.browser  # noqa: F401 - takes a while, in which the box could end
        session, about = _at_work(reading, traces, found, task, attempt)
        if browsed:
            _follow_on_screen(reading, traces, session, about)
        else:
            _print(call, _tail(traces, session), _running_title(about), session, full, as_json)
        return
    if browsed:
        _browse(reading, traces, found, task, attempt)
        return
    if found is None:
        raise UsageError("which agent?", "sica trace AGENT [TASK]; sica log lists them")
    if task:
        trial = _pick(reading.trials(found), task, attempt, found.name)
        name, title = trial.trace, _title(found.name, trial)
    else:
        name, title = found.trace, _made(found)
    if not name:
        raise _untraced(found, task)
    _print(call, traces.read(name), title, name, full, as_json, plain=plain)


def _print(
    call: Invocation,
    events: Iterable[Event],
    title: str,
    name: str,
    full: bool,
    as_json: bool,
    *,
    plain: bool = True,
) -> None:
    """Line by line as events come when it is plain; else whole, through the pager."""
    if as_json:
        for event in events:
            print(json.dumps(event), flush=True)
        return
    look = report.Look(call.width()) if plain else call.look()
    head = (look.paint("bold", title), look.paint("dim", name), "")
    lines = chain(head, readable(events, look, SHORT if not full else 1 << 30))
    if not plain:
        call.page(lines)
        return
    for line in lines:
        print(line, flush=True)


# ── which one ─────────────────────────────────────────────────────────────────────────────────────


def _numbered(task: str, attempt: int) -> tuple[str, int]:
    """TASK#2 is attempt 2 at TASK."""
    name, mark, number = task.rpartition("#")
    if mark and number.isascii() and number.isdigit():
        return name, int(number)
    return task, attempt


def _made(agent: Agent) -> str:
    return f"{agent.name}  how it was made: {report.clean(agent.subject)}"


def _untraced(agent: Agent, task: str) -> UsageError:
    if task or agent.parents:
        what = f"{agent.name} at {report.clean(task)}" if task else f"how {agent.name} was made"
        return UsageError(f"no trace was kept of {what}", f"sica show {agent.number} --tasks")
    words = f"{agent.name} is a seed: sica did not make it, so there is no trace of its making"
    return UsageError(words, f"sica trace {agent.number} TASK; sica show {agent.number} --tasks lists them")


def _pick(trials: Sequence[Trial], task: str, attempt: int, agent: str) -> Trial:
    named = [t for t in trials if _is(t.task, task)]
    if not named:
        known = sorted({t.task.rpartition("/")[2] for t in trials})
        raise no_such(f"task tried by {agent}", report.clean(task), known)
    if attempt < 0:
        return named[-1]
    tried = [t for t in named if t.attempt == attempt]
    if not tried:
        there = ", ".join(str(n) for n in sorted({t.attempt for t in named}))
        raise UsageError(f"{agent} has no attempt {attempt} at {report.clean(task)}; there are: {there}")
    return tried[-1]


def _is(name: str, wanted: str) -> bool:
    return wanted in (name, name.rpartition("/")[2]) or fnmatchcase(name, wanted)


def _title(agent: str, trial: Trial) -> str:
    score = "no score" if trial.score is None else f"score {trial.score:.2f}"
    return (
        f"{agent}  {report.clean(trial.task)}  attempt {trial.attempt}  {score}  {report.clean(trial.ending)}"
    )


def readable(events: Iterable[Event], look: report.Look, short: int = SHORT) -> Iterator[str]:
    """The events of one trace for people; hostile bytes in them show and do not steer."""
    began: float | None = None
    answer = ""
    for event in events:
        at = event.get("ts")
        if isinstance(at, int | float):
            began = at if began is None else began
            clock = report.duration(at - began)
        else:
            clock = ""
        head, body = _event(event)
        if event.get("type") == "message" and body and body == answer:
            continue  # the next request repeats the answer as its history
        answer = body if event.get("type") == "response" else answer
        if head:
            yield look.paint("name", f"── {report.clean(head)}") + look.paint("dim", f"  {clock}")
        text = report.clean_block(body).strip("\n")
        if len(text) > short:
            left_out = len(text) - short
            text = (
                text[: short // 2]
                + f"\n[... {left_out} characters; --full shows them ...]\n"
                + text[-short // 2 :]
            )
        yield from ("   " + line for line in text.splitlines())


def _event(event: Event) -> tuple[str, str]:
    kind = str(event.get("type", "?"))
    match kind:
        case "message":
            message = event.get("body")
            return (
                (str(message.get("role", "message")), content(message))
                if isinstance(message, Mapping)
                else (kind, "")
            )
        case "request":
            return f"call {event.get('call')}  {event.get('model', '')}", ""
        case "response":
            usage = event.get("usage")
            tokens = _tokens(usage) if isinstance(usage, Mapping) else ""
            return f"answer {event.get('call')}  {tokens}", _answer(event.get("body"))
        case "refused" | "failed":
            return f"{kind} {event.get('call', '')}", str(event.get("reason", ""))
        case "trajectory":
            kept = f".sica/traces/{event.get('name', '')}"
            cut = ", cut" if event.get("cut") else ""
            words = f"{event.get('format', '')}, {event.get('bytes', '?')} bytes{cut}"
            return "the agent's own trajectory", f"{words}\nzcat '{kept}'"
        case "stdout" | "stderr":
            text = str(event.get("text", ""))
            return (kind, text) if text.strip() else ("", "")
    rest = {k: v for k, v in event.items() if k not in ("ts", "seq", "type") and v not in (None, "", [], {})}
    return kind, "  ".join(f"{k}={_short(v)}" for k, v in rest.items())


def _tokens(usage: Mapping[str, Any]) -> str:
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    return f"{prompt} → {completion} tokens"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        value = {key: inner for key, inner in value.items() if inner is not None}
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return report.cut(text, 200)


def _answer(completion: Any) -> str:
    messages = [content(m) for m in answers(completion)]
    if not messages and not isinstance(completion, Mapping):
        return "" if completion is None else _short(completion)
    return "\n".join(messages)


# ── a box that is at work ─────────────────────────────────────────────────────────────────────────


def _at_work(
    reading: Reading, traces: Traces, agent: Agent | None, task: str, attempt: int
) -> tuple[str, Event]:
    """The session that was opened last among those that are meant, and what it is for."""
    from sica.runlock import is_held

    going = list(traces.at_work()) if is_held(reading.places.lock) else []
    meant = [
        (session, about)
        for session, about in going
        if (agent is None or about.get("commit") == agent.commit)
        and (not task or _is(str(about.get("task", "")), task))
        and (attempt < 0 or about.get("attempt") == attempt)
    ]
    if meant:
        return meant[-1]
    if not going:
        raise UsageError("no box is at work", "sica evolve starts some; sica trace shows what was done")
    there = "; ".join(sorted(_running_title(about) for _, about in going))
    raise UsageError(f"no such box is at work; there are: {there}")


def _running_title(about: Event) -> str:
    who, what = (str(about.get(key) or "") for key in ("agent", "task" if about.get("task") else "for"))
    attempt = f"attempt {about['attempt']}" if "attempt" in about else ""
    return "  ".join(word for word in map(report.clean, (who, what, attempt)) if word)


def _tail(traces: Traces, session: str) -> Iterator[Event]:
    """Events as they are written, until the trace is closed."""
    with traces.lines(session) as lines:
        over = False
        while not over:
            over = not traces.is_open(session)  # asked before the last lines are read
            yield from lines.more()
            if not over:
                time.sleep(_OFTEN)


# ── on a terminal ─────────────────────────────────────────────────────────────────────────────────


def _browse(reading: Reading, traces: Traces, agent: Agent | None, task: str, attempt: int) -> None:
    from sica.cli.browser import browse

    if agent is None:
        browse("agents", _agents(reading, traces))
        return
    choices = _trials(reading, traces, agent)
    at = None
    if task:
        trial = _pick(reading.trials(agent), task, attempt, agent.name)
        if not trial.trace:
            raise _untraced(agent, task)
        at = next(n for n, c in enumerate(choices) if c.key == trial.trace)
    elif not choices:
        raise UsageError(f"{agent.name} has tried nothing yet", f"sica eval {agent.number}")
    browse(f"{agent.name}  {report.clean(agent.subject)}", choices, at=at)


def _follow_on_screen(reading: Reading, traces: Traces, session: str, about: Event) -> None:
    from sica.cli.browser import browse

    choices = _running(reading, traces, None)
    at = next((n for n, c in enumerate(choices) if c.key == session), None)
    if at is None:
        raise UsageError(f"the box of {_running_title(about)} has just ended", "sica trace")
    browse("at work", choices, at=at, end=True)


def _agents(reading: Reading, traces: Traces) -> list[Choice]:
    from sica.cli.browser import Choice

    agents = {agent.number: agent for agent in reading.agents}
    found = []
    for row in reading.rows(reading.benchmark("")):
        score = "rejected" if row.status == "rejected" else report.percent(row.score)
        cells = (row.name, score, report.plural(row.n, "trial"), report.money(row.cost_usd), row.subject)
        more = partial(_trials, reading, traces, agents[row.agent])
        style = "bold" if row.best else "dim" if row.status == "rejected" else ""
        found.append(Choice(cells, f"{row.name}  {row.subject}", more=more, style=style))
    return found


def _trials(reading: Reading, traces: Traces, agent: Agent) -> list[Choice]:
    """What is at work, how it was made, and its trials by task."""
    from sica.cli.browser import Choice

    found = _running(reading, traces, agent)
    if agent.trace:
        cells = ("how it was made", "", "", agent.operator, report.money(agent.cost_usd), "")
        found.append(Choice(cells, _made(agent), partial(traces.lines, agent.trace)))
    for trial in sorted(reading.trials(agent), key=lambda t: (t.task, t.attempt)):
        score = "no score" if trial.score is None else f"{trial.score:.2f}"
        cells = (
            report.clean(trial.task),
            f"#{trial.attempt}",
            score,
            report.clean(trial.ending),
            f"{report.count(trial.usage.tokens)} tokens",
            "  ".join((report.plural(trial.usage.calls, "call"), report.money(trial.usage.usd))),
        )
        style = "warn" if trial.score is None else "good" if trial.score >= 1 else ""
        lines = partial(traces.lines, trial.trace) if trial.trace else None
        found.append(Choice(cells, _title(agent.name, trial), lines, style=style, key=trial.trace))
    return found


def _running(reading: Reading, traces: Traces, agent: Agent | None) -> list[Choice]:
    from sica.cli.browser import Choice
    from sica.runlock import is_held

    found = []
    for session, about in traces.at_work() if is_held(reading.places.lock) else ():
        if agent is not None and about.get("commit") != agent.commit:
            continue
        what = report.clean(str(about.get("task") or about.get("for") or ""))
        who = report.clean(str(about.get("agent", "")))
        cells = (what, f"#{about['attempt']}" if "attempt" in about else "", "at work", who, "", "")
        live = partial(traces.is_open, session)
        opens = partial(traces.lines, session)
        found.append(Choice(cells, _running_title(about), opens, live=live, style="name", key=session))
    return found
