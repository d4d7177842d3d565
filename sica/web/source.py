"""What answers are read from: the ledger read-only, git and the traces; kept until something changes."""

from __future__ import annotations

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sica import chronicle
from sica.cli.reading import Reading, names_of
from sica.errors import StoreError, UsageError, no_such
from sica.ledger import SqliteLedger
from sica.model import Agent, Request, Setting
from sica.places import Places
from sica.repo import GitRepo
from sica.report import clean, clean_block
from sica.runlock import began, is_held
from sica.traces import Traces
from sica.web.scores import Scores
from sica.web.tracefile import Shelf

T = TypeVar("T")
KEPT = 64
"""Answers kept in memory; the one that was asked for longest ago goes first."""


class Missing(UsageError):
    """What was asked for by its address is not there."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Whose scores an answer shows, and which others there are."""

    benchmark: str
    setting: Setting
    benchmarks: tuple[str, ...]
    settings: tuple[Setting, ...]


@dataclass
class Source:
    """One archive, as the viewer reads it. Any thread may use it; a change elsewhere is seen by the next answer."""

    places: Places
    bench: str
    """The configured benchmark: shown when none is asked for."""
    db: Path | None = None
    """Another ledger than the project's own."""
    readonly: bool = False
    token: str = ""
    user: str = ""
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends: streams end with it."""
    _kept: OrderedDict[Hashable, tuple[str, Any]] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _moment: str = ""
    """The version that the answer being made is of."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.ledger.close()
        self.shelf.close()

    @cached_property
    def ledger(self) -> SqliteLedger:
        return SqliteLedger.open(self.db or self.places.db, readonly=True)

    @cached_property
    def traces(self) -> Traces:
        return Traces((self.db.parent if self.db else self.places.store) / "traces")

    @cached_property
    def repo(self) -> GitRepo:
        path = (self.db.parent if self.db else self.places.store) / "agents.git"
        if not path.is_dir():
            raise StoreError(
                f"there is no {path.name} beside the database", "copy it too: code and notes are in it"
            )
        return GitRepo.open(path, self.places.runtime)

    @property
    def live(self) -> bool:
        """Whether a run is going on this archive."""
        return self.db is None and is_held(self.places.lock)

    def version(self) -> str:
        return chronicle.version(self.ledger)

    @contextmanager
    def moment(self) -> Iterator[None]:
        """One answer at a time, all of it from one state of the archive: what is read in between is known already."""
        with self._lock:
            outer = self._moment
            self._moment = outer or self.version()
            try:
                yield
            finally:
                self._moment = outer

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """What `make` found, until the archive changes; of several that ask at once, one does the work."""
        with self.moment():
            version = self._moment
            kept = self._kept.get(what)
            if kept is None or kept[0] != version:
                kept = self._kept[what] = (version, make())
            self._kept.move_to_end(what)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        found: T = kept[1]
        return found

    @cached_property
    def _scores(self) -> Scores:
        return Scores(self.ledger)

    def scores(self) -> Scores:
        """Every score, as of now."""
        self.once(("scores",), self._scores.refresh)
        return self._scores

    def reading(self, under: str = "") -> Reading:
        return self.once(("reading", under), lambda: Reading(self.places, self.ledger, under))

    def shown(self, bench: str, under: str) -> Shown:
        """Whose scores are meant, as `sica log` understands the two words."""
        scores = self.scores()
        known = scores.benchmarks()
        asked = bench or self.bench
        name = next((n for n in names_of(asked) if n in known), None)
        if bench and name is None:
            raise UsageError(
                f"nothing is measured on {clean(bench)!r}", f"measured is: {', '.join(known) or 'nothing'}"
            )
        name = name or next(iter(known), asked)
        settings = scores.settings(name)
        setting = next((s for s in settings if under.casefold() in str(s).casefold()), None)
        if setting is None and settings:
            raise no_such("setting", clean(under), [str(s) for s in settings])
        return Shown(name, setting or Setting(), tuple(known), tuple(settings))

    def agent(self, number: int) -> Agent:
        found = next((a for a in self.reading().agents if a.number == number), None)
        if found is None:
            last = max((a.number for a in self.reading().agents), default=None)
            there = "there is none yet" if last is None else f"there are agent/0 to agent/{last}"
            raise Missing(f"no agent called agent/{number}; {there}")
        return found

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(self.traces, lambda session: chronicle.closed_trace(self.ledger, session))

    # ── people ────────────────────────────────────────────────────────────────────────────────────

    def requests(self) -> tuple[Request, ...]:
        """Everything that people asked, oldest first."""
        return self.once(("requests",), self.ledger.requests)

    def run_began(self) -> float:
        """When the run that is going was started; 0 when none is."""
        return began(self.places.lock) if self.live else 0.0

    def waiting(self) -> Mapping[int, str]:
        """Would-be champions that wait for a person, with why."""
        numbers = self.numbers()
        asked = (r for r in self.requests() if r.kind == "waiting" and r.state == "pending")
        return {numbers[r.agent]: clean(r.text) for r in asked if r.agent in numbers}

    def numbers(self) -> Mapping[str, int]:
        """Of agents, by commit."""
        return self.once(("numbers",), lambda: {a.commit: a.number for a in self.reading().agents})

    def comments(self) -> Mapping[str, int]:
        return Counter(r.agent for r in self.requests() if r.kind == "comment")

    def reviewed(self, agent: Agent) -> dict[str, Any]:
        """What people and overseers said of an agent, and what can be said now."""
        decided = [r for r in self.requests() if r.agent == agent.commit and r.kind in ("approve", "reject")]
        last = decided[-1].kind if decided and decided[-1].state != "refused" else ""
        approval = (
            "waiting"
            if agent.number in self.waiting()
            else {"approve": "approved", "reject": "rejected"}.get(last, "")
        )
        best = self.reading().champion == agent.commit
        may = not self.readonly
        return {
            "reviews": self._reviews(agent),
            "approval": approval,
            "can_reject": may and not best and agent.standing != "rejected",
            "can_approve": may
            and (approval == "waiting" or (approval == "rejected" and agent.standing == "rejected")),
        }

    def _reviews(self, agent: Agent) -> list[dict[str, Any]]:
        try:
            lines = self.repo.reviews(agent.commit)
        except StoreError:
            return []  # a ledger without its repository: the notes are not here
        return reviews(lines)


def reviews(lines: Sequence[str]) -> list[dict[str, Any]]:
    """All that was said of an agent, oldest first: rulings reach git at the end of their run."""
    return sorted(map(review, lines), key=lambda said: said["at"] or 0.0)


def review(line: str) -> dict[str, Any]:
    """One line of refs/notes/sica/review; what others wrote there in their own way is a comment."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return {"kind": "comment", "at": None, "by": "", "text": clean_block(line)}
    text = found.get("text") or found.get("why") or ""
    rest = {k: v for k, v in found.items() if k not in ("v", "kind", "at", "by", "text", "why")}
    told = clean_block(str(text)) or clean(json.dumps(rest, ensure_ascii=False))
    at = found.get("at")
    kind = found.get("kind") or "comment"
    said = {
        "kind": clean(str(kind)),
        "at": at if isinstance(at, int | float) else None,
        "by": clean(str(found.get("by") or "")),
        "text": told,
    }
    return {**said, **_ruled(found)} if kind == "ruling" else said


def _ruled(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a ruling was on. Of a held-out task neither its name nor what was seen of it is shown."""
    names = ("action", "span", "of", "task", "session", "trace")
    facts: dict[str, Any] = {name: clean(str(found.get(name) or "")) for name in names}
    attempt = found.get("attempt")
    facts["attempt"] = attempt if isinstance(attempt, int) else 0
    if found.get("split") == "heldout":
        facts |= {"task": "", "session": "", "trace": "", "text": "held out: not shown"}
    return facts
