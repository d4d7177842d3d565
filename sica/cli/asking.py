"""Asking a run for something, or saying something of an agent: one way for the viewer and the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sica.control import verdict
from sica.errors import UsageError
from sica.ledger import SqliteLedger
from sica.model import Agent, Request
from sica.places import Places
from sica.repo import GitRepo
from sica.runlock import is_held

OF_A_RUN = ("pause", "resume", "stop", "cancel")
OF_AN_AGENT = ("approve", "reject", "comment")
KINDS = (*OF_A_RUN, "hint", *OF_AN_AGENT)
LONGEST = 10_000
"""Characters of what a person says."""


class Conflict(UsageError):
    """It cannot be done as things are now."""


def ask(places: Places, request: Request, agent: Agent | None = None, champion: str = "") -> Request:
    """Keep the request for the run that is going, or do it here when it needs no run; comes back with its state.

    `agent`: the one that is meant; `champion`: the best as far as the asker knows. Raises Conflict.
    """
    live = is_held(places.lock)
    _require_possible(places, request, live, champion)
    request = replace(request, at=request.at or time.time(), agent=agent.commit if agent else "")
    with SqliteLedger.open(places.db) as ledger:
        if request.kind in OF_AN_AGENT and agent is not None:
            _note(places, request)
        request = ledger.ask(request)
        if request.kind == "comment":
            return _done(ledger, request, f"noted in refs/notes/sica/review of {request.agent[:10]}")
        if live or agent is None or request.kind == "hint":
            return request  # the run answers; a hint waits for the next improvement
        undoes = request.kind == "approve" and agent.standing == "rejected"
        if request.kind == "reject" or undoes:
            ledger.record(verdict(request))
        for asked in ledger.requests():
            if asked.kind == "waiting" and asked.state == "pending" and asked.agent == request.agent:
                ledger.answer(asked.id, "done", "approved" if request.kind == "approve" else "rejected")
        return _done(
            ledger,
            request,
            "it is rejected" if request.kind == "reject" else "the next sica evolve may promote it",
        )


def _require_possible(places: Places, request: Request, live: bool, champion: str) -> None:
    if request.kind in OF_A_RUN and not live:
        raise Conflict(f"no run is going, so there is nothing to {request.kind}", "sica evolve starts one")
    if request.session and not (places.traces / "open" / f"{request.session}.jsonl").exists():
        raise Conflict(f"no box {request.session} is at work", "sica tell list shows those that are")
    if request.kind == "reject" and champion == request.agent != "":
        raise Conflict("it is the best: it cannot be rejected", "promote another first")
    if request.kind in ("hint", "comment") and not request.text.strip():
        raise UsageError(
            f"a {request.kind} without words says nothing",
            f'sica {"tell hint" if request.kind == "hint" else "review 7 --comment"} "..."',
        )
    if len(request.text) > LONGEST:
        raise UsageError(f"{len(request.text):,} characters are too many", f"at most {LONGEST:,}")


def _note(places: Places, request: Request) -> None:
    line: Mapping[str, Any] = {
        "v": 1,
        "kind": request.kind,
        "at": round(request.at, 3),
        "by": request.by,
        "text": request.text,
    }
    GitRepo.open(places.repo, places.runtime).review(request.agent, json.dumps(line, ensure_ascii=False))


def _done(ledger: SqliteLedger, request: Request, words: str) -> Request:
    ledger.answer(request.id, "done", words)
    return replace(request, state="done", answer=words, answered=time.time())


def answered(places: Places, request: Request, seconds: float = 5.0) -> Request:
    """The request with its answer, waiting a while for one that a run has to give."""
    deadline = time.monotonic() + seconds
    with SqliteLedger.open(places.db, readonly=True) as ledger:
        while True:
            found = next(r for r in ledger.requests(request.id - 1) if r.id == request.id)
            if found.state != "pending" or time.monotonic() > deadline:
                return found
            time.sleep(0.1)
