"""`sica trace`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.reading import Reading
from sica.errors import UsageError, no_such
from sica.model import Agent, Trial

Event = Mapping[str, Any]
SHORT = 4000
"""Characters of one message that are shown unasked."""


EXAMPLES = (
    "sica trace 7 fix-ledger",
    "sica trace 7           how it was made",
    "sica trace 7 fix-ledger --json | jq -r .type",
)


def command(
    ctx: typer.Context,
    agent: str = typer.Argument(..., help="Which agent.", autocompletion=completion.agents),
    task: str = typer.Argument(
        "", help="Which task; without one: how the agent was made.", autocompletion=completion.tried
    ),
    attempt: int = typer.Option(-1, "--attempt", help="Which attempt; default: the last one."),
    full: bool = typer.Option(False, "--full", help="Long messages whole."),
    plain: bool = typer.Option(False, "--plain", help="No colour and no pager."),
    as_json: bool = typer.Option(False, "--json", help="The events as JSON lines."),
) -> None:
    """Show what an agent did on a task: messages, tool calls, costs and how it ended."""
    from sica.cli.parts import open_traces

    call: Invocation = ctx.obj
    reading = Reading.of(call)
    found = reading.find(agent)
    if task:
        trial = _pick(reading.trials(found), task, attempt, found.name)
        name, title = trial.trace, _title(found.name, trial)
    else:
        name, title = found.trace, f"{found.name}  how it was made: {report.clean(found.subject)}"
    if not name:
        raise _untraced(found, task)
    events = open_traces(reading.places).read(name)
    if as_json:
        for event in events:
            print(json.dumps(event))
        return
    look = report.Look(call.width()) if plain else call.look()
    lines = [
        look.paint("bold", title),
        look.paint("dim", name),
        "",
        *readable(events, look, SHORT if not full else 1 << 30),
    ]
    if plain:
        print("\n".join(lines))
    else:
        call.page(lines)


def _untraced(agent: Agent, task: str) -> UsageError:
    if task or agent.parents:
        what = f"{agent.name} at {report.clean(task)}" if task else f"how {agent.name} was made"
        return UsageError(f"no trace was kept of {what}", f"sica show {agent.number} --tasks")
    words = f"{agent.name} is a seed: sica did not make it, so there is no trace of its making"
    return UsageError(words, f"sica trace {agent.number} TASK; sica show {agent.number} --tasks lists them")


def _pick(trials: Sequence[Trial], task: str, attempt: int, agent: str) -> Trial:
    named = [t for t in trials if task in (t.task, t.task.rpartition("/")[2]) or fnmatchcase(t.task, task)]
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
                (str(message.get("role", "message")), _content(message))
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


def _content(message: Mapping[str, Any]) -> str:
    """An OpenAI message's text and tool calls."""
    content = message.get("content")
    parts = [content] if isinstance(content, str) else []
    if isinstance(content, Sequence) and not isinstance(content, str):
        parts = [str(p.get("text", "")) if isinstance(p, Mapping) else str(p) for p in content]
    calls = message.get("tool_calls")
    for tool in calls if isinstance(calls, Sequence) else ():
        function = tool.get("function", {}) if isinstance(tool, Mapping) else {}
        if isinstance(function, Mapping):
            parts.append(f"> {function.get('name')} {function.get('arguments')}")
    return "\n".join(parts)


def _answer(body: Any) -> str:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    if not isinstance(choices, Sequence):
        return "" if body is None else _short(body)
    messages = (c.get("message") for c in choices if isinstance(c, Mapping))
    return "\n".join(_content(m) for m in messages if isinstance(m, Mapping))
