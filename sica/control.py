"""What people ask of a run while it goes: pause, resume, stop, cancel a box, a hint, yes or no to a champion.

Whoever asks (the viewer, `sica tell`, a key on the terminal) adds a row to the ledger. The run looks for new rows at
every turn of its loop, also while all workers are busy, and answers each with a row of its own: so a request is never
lost, is done once, and everybody can see what became of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from sica.model import (
    Archive,
    Check,
    Evaluate,
    Improve,
    Improvement,
    Merge,
    Outcome,
    Promotion,
    Request,
    Step,
    Trial,
    Verdict,
)

if TYPE_CHECKING:
    from sica.attempt import Workplace

EVERY = 0.5
"""Seconds between two looks for requests while boxes are at work."""

STALE = "no run was going"
_TOLD = ("comment", "waiting")
"""Nothing is to be done about these."""
_DECISIONS = ("approve", "reject")
"""Whoever asks for these beside a run has done them already; a run that begins just then still has to hear of them."""


class Inbox(Protocol):
    """Where requests and their answers are kept; the ledger."""

    def requests(self, after: int = 0) -> Sequence[Request]:
        """Those with a greater id, oldest first, with what became of them."""

    def ask(self, request: Request) -> Request:
        """Keep a request; it comes back with its id. Durable when it returns."""

    def answer(self, request: int, state: str, text: str) -> None:
        """What became of it; the first answer stands."""

    def record(self, outcome: Outcome) -> bool: ...


class Notices(Protocol):
    def notice(self, session: str, text: str) -> bool:
        """Put a message before the model of a box that is running; False when there is none of that name."""


class Cancel(threading.Event):
    """One step's own cancellation; it is set as well when the whole run's is."""

    def __init__(self, of_all: threading.Event) -> None:
        super().__init__()
        self._of_all = of_all

    def is_set(self) -> bool:
        return super().is_set() or self._of_all.is_set()


@dataclass(slots=True)
class _AtWork:
    cancel: Cancel
    sessions: set[str]
    by: str = ""
    """Who cancelled it."""


class Controls:
    """Requests of people, as the loop meets them. `pause`, `resume` and `stop` may be called from any thread."""

    def __init__(
        self,
        inbox: Inbox | None = None,
        notices: Notices | None = None,
        *,
        approve: bool = False,
        by: str = "",
    ) -> None:
        """Without an inbox nobody asks. `approve`: no agent becomes champion before a person says yes."""
        self._inbox, self._notices, self._by = inbox, notices, by
        self._approve = approve
        self._at_work: dict[Step | None, _AtWork] = {}
        self._hints: list[Request] = []
        self._approved: set[str] = set()
        self._rejected: dict[str, Request] = {}
        self._asked: dict[str, Request] = {}
        """Would-be champions that wait, by commit."""
        self._seen = 0
        self._late: list[Request] = []
        """Decisions that an earlier run was asked for and did not live to answer."""
        self._lock = threading.RLock()
        self._moved = threading.Event()
        self.paused = False
        self.stopping = False
        if inbox is not None:
            self._begin(inbox)

    def _begin(self, inbox: Inbox) -> None:
        """What was asked of an earlier run is stale; hints and approvals are not."""
        for request in inbox.requests():
            self._seen = request.id
            match request.kind:
                case "approve" | "reject":
                    self._remember(request)
                    self._late += [request] if request.state == "pending" else []
                case "waiting" if request.state == "pending":
                    self._asked[request.agent] = request
                case "hint" if request.state == "pending" and not request.session:
                    self._hints.append(request)
                case _ if request.state == "pending":
                    inbox.answer(request.id, "refused", STALE)

    # ── asked in this process ─────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Nothing new is started; what runs goes on."""
        self._ask("pause")

    def resume(self) -> None:
        self._ask("resume")

    def stop(self) -> None:
        """Nothing new is started, and the run ends after what runs."""
        self._ask("stop")

    def _ask(self, kind: str) -> None:
        """Takes effect at once; the next look answers it, as one of anybody else."""
        request = Request(kind, at=time.time(), by=self._by)
        if self._inbox is not None:
            self._inbox.ask(request)
        with self._lock:
            self._do(request, None)
        self._moved.set()

    # ── what the loop calls ───────────────────────────────────────────────────────────────────────

    def look(self, archive: Archive) -> Iterator[Outcome]:
        """Do what was asked since the last look; outcomes that follow from it are recorded and come back."""
        if self._inbox is None:
            return
        with self._lock:
            late, self._late = self._late, []
            for request in (*late, *self._inbox.requests(self._seen)):
                self._seen = max(self._seen, request.id)
                if request.kind in _TOLD or (request.state != "pending" and request.kind not in _DECISIONS):
                    continue
                done, text, outcome = self._do(request, archive)
                if done is not None:
                    self._inbox.answer(request.id, "done" if done else "refused", text)
                if outcome is not None:
                    self._inbox.record(outcome)
                    archive = archive.plus(outcome)
                    yield outcome

    def rest(self) -> None:
        """While a paused run has nothing under way: until something was asked here, or it is time for another look."""
        self._moved.wait(EVERY)
        self._moved.clear()

    def at(self, step: Step | None, place: Workplace) -> Workplace:
        """Where this one step is done: it can be cancelled alone, its boxes are known, it hears hints.

        None: work that is no step of a loop.
        """
        with self._lock:
            mine = self._at_work[step] = _AtWork(Cancel(place.cancel), set())
            hints = tuple(self._hints_for(step)) if isinstance(step, Improve) else ()
        return replace(place, cancel=mine.cancel, opened=mine.sessions.add, hints=hints)

    def settled(self, step: Step, outcome: Outcome) -> tuple[Outcome, bool]:
        """The outcome, as cancelled when a person cancelled its step, and whether it was so."""
        with self._lock:
            mine = self._at_work.pop(step, None)
        if isinstance(outcome, Verdict) and outcome.passed and outcome.agent in self._rejected:
            no = verdict(self._rejected[outcome.agent])  # said while the gate was still at it
            return replace(outcome, passed=False, reason=no.reason), False
        if mine is None or not mine.by or outcome.fault is None:
            return outcome, False
        why = f"cancelled by {mine.by}"
        match outcome:
            case Trial():
                return replace(outcome, fault="cancelled", ending="cancelled", why=why), True
            case Improvement():
                return replace(outcome, ending="cancelled", why=why), True
            case Verdict():
                return replace(outcome, fault="cancelled", reason=why), True
        return outcome, False

    def allows(self, promotion: Promotion, archive: Archive) -> Literal["yes", "ask", "wait"]:
        """Whether the agent may become champion now; "ask" once, when a person has just been asked."""
        agent = promotion.agent
        with self._lock:
            if not self._approve or agent in self._approved:
                self._answer_waiting(
                    agent, "approved" if self._approve else "no approval is asked for any more"
                )
                return "yes"
            if agent in self._asked:
                return "wait"
            text = f"{archive.agents[agent].name} would be the new best: {promotion.why}"
            request = Request("waiting", at=time.time(), by="sica", agent=agent, text=text)
            self._asked[agent] = self._inbox.ask(request) if self._inbox else request
            return "ask"

    @property
    def waiting(self) -> Sequence[Request]:
        """Would-be champions that a person has not decided on."""
        return tuple(self._asked.values())

    # ── within ────────────────────────────────────────────────────────────────────────────────────

    def _do(self, request: Request, archive: Archive | None) -> tuple[bool | None, str, Outcome | None]:
        """Whether it could be done (None: later), words, and what follows from it."""
        match request.kind:
            case "pause" | "resume":
                self.paused = request.kind == "pause"
                return True, "nothing new is started" if self.paused else "going on", None
            case "stop":
                self.stopping = True
                return True, "the run ends after what runs", None
            case "cancel":
                return *self._cancel(request), None
            case "hint" if request.session:
                heard = bool(self._notices and self._notices.notice(request.session, request.text))
                return (
                    heard,
                    "put before the model with its next request" if heard else "the box has ended",
                    None,
                )
            case "hint":
                self._hints.append(request)
                return None, "", None
            case "approve" | "reject":
                return self._decide(request, archive)
        return False, f"nobody knows how to {request.kind}", None

    def _cancel(self, request: Request) -> tuple[bool, str]:
        for step, mine in self._at_work.items():
            if request.session in mine.sessions:
                mine.by = request.by or "a person"
                mine.cancel.set()
                return True, f"the {_WORDS[type(step)]} ends now"
        return False, "the box has ended"

    def _decide(self, request: Request, archive: Archive | None) -> tuple[bool, str, Outcome | None]:
        agent = archive.agents.get(request.agent) if archive is not None else None
        rejected = agent is not None and agent.standing == "rejected"
        if request.kind == "approve":
            self._remember(request)
            self._answer_waiting(request.agent, "approved")
            return True, "it may become the best", verdict(request) if rejected else None
        if archive is not None and archive.champion == request.agent:
            return False, "it is the best: another has to be promoted first", None
        self._remember(request)
        self._answer_waiting(request.agent, "rejected")
        return True, "it is rejected", None if rejected or agent is None else verdict(request)

    def _remember(self, request: Request) -> None:
        if request.kind == "approve":
            self._approved.add(request.agent)
            self._rejected.pop(request.agent, None)
        else:
            self._approved.discard(request.agent)
            self._rejected[request.agent] = request

    def _answer_waiting(self, agent: str, text: str) -> None:
        asked = self._asked.pop(agent, None)
        if asked is not None and self._inbox is not None:
            self._inbox.answer(asked.id, "done", text)

    def _hints_for(self, step: Improve) -> Iterator[str]:
        meant = [h for h in self._hints if h.agent in ("", step.parent)]
        for hint in meant:
            self._hints.remove(hint)
            if self._inbox is not None:
                self._inbox.answer(
                    hint.id, "done", f"in the brief of improvement {step.nth} of {step.parent[:10]}"
                )
            yield hint.text


_WORDS = {Improve: "improvement", Merge: "merge", Check: "gate", Evaluate: "trial", type(None): "work"}


def verdict(request: Request) -> Verdict:
    """A person's word about an agent, as an outcome; the same request is always the same outcome."""
    yes = request.kind == "approve"
    why = f": {request.text}" if request.text else ""
    return Verdict(
        request.agent,
        yes,
        f"{'approved' if yes else 'rejected'} by {request.by or 'a person'}{why}",
        started=request.at,
    )
