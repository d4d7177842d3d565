"""What people ask through the page, and the list of everything that happened."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from sica import chronicle, report
from sica.chronicle import Mark
from sica.cli import asking
from sica.errors import UsageError
from sica.model import Request
from sica.web import stream
from sica.web.source import Source

Json = dict[str, Any]
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
MOST = 200
"""Requests shown."""


def ask(source: Source, content_type: str, body: bytes) -> Json:
    """Keep what the page asks for; its answer comes from the run."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UsageError("a request is JSON", "Content-Type: application/json")
    request, number = _read(body)
    agent = source.agent(number) if number is not None else None
    if agent is None and request.kind in asking.OF_AN_AGENT:
        raise UsageError(f"{request.kind} needs an agent", '{"agent": 7}')
    if request.kind == "cancel" and not request.session:
        raise UsageError("cancel needs a session", "/api/running lists them")
    request = replace(request, by=source.user, agent=agent.commit if agent else "")
    return facts(source, asking.ask(source.places, request, agent, source.reading().champion))


def _read(body: bytes) -> tuple[Request, int | None]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise UsageError("the request is no JSON object", '{"kind": "pause"}')
    kind, text, session, agent = (told.get(name) for name in ("kind", "text", "session", "agent"))
    if kind not in asking.KINDS:
        raise UsageError(f"nobody can be asked to {report.clean(str(kind))[:40]!r}", ", ".join(asking.KINDS))
    if not isinstance(text or "", str) or not isinstance(session or "", str):
        raise UsageError("text and session are strings", '{"kind": "hint", "text": "..."}')
    if session and not _SESSION.fullmatch(session):
        raise UsageError("that is no session", "/api/running lists them")
    if agent is not None and (not isinstance(agent, int) or isinstance(agent, bool) or agent < 0):
        raise UsageError("agent is a number", '{"agent": 7}')
    return Request(kind, session=session or "", text=text or ""), agent


def requests(source: Source) -> Json:
    found = reversed(source.ledger.requests()[-MOST:])
    return {"requests": [facts(source, request) for request in found]}


def facts(source: Source, request: Request) -> Json:
    """A request as JSON; an agent is its number there."""
    told = {name: getattr(request, name) for name in Request.__slots__}
    return told | {"agent": source.numbers().get(request.agent), "text": report.clean_block(request.text)}


# ── everything that happened ──────────────────────────────────────────────────────────────────────


def log(source: Source, before: str, kinds: frozenset[str], limit: int) -> Json:
    """Newest first; what is asked for next goes on below what was shown."""
    known = chronicle.KINDS
    if unknown := kinds - set(known):
        raise UsageError(
            f"there are no events {report.clean(', '.join(sorted(unknown)))!r}", ", ".join(known)
        )
    mark = Mark.read(before) if before else chronicle.now(source.ledger)
    if mark is None:
        raise UsageError("before is no cursor", "take the one of the page before")
    letters = [known[kind] for kind in known if not kinds or kind in kinds]
    found = chronicle.before(source.ledger, mark, letters, limit)
    for letter, row, _ in found:
        mark = replace(mark, **{letter: min(getattr(mark, letter), row - 1)})
    more = len(found) == limit
    return {"events": [stream.worded(event) for _, _, event in found], "before": str(mark) if more else None}


def cursor(source: Source, after: str) -> stream.Cursor:
    """Where a stream begins: behind what the reader has seen, at the beginning, or now."""
    if after == "start":
        return stream.beginning(source)
    return stream.Cursor.read(after) if after else stream.now(source)
