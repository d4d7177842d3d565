"""What happened, in the order in which it was recorded, and its sums: reads of the ledger for whoever watches.

Nothing here writes. A `Mark` names how far somebody has read; it is made of row numbers, which are dense and never
reused, so it means the same after any restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from sica.ledger import SqliteLedger
from sica.model import Setting

_TABLES = {
    "r": "runs",
    "i": "improvements",
    "v": "verdicts",
    "t": "trials",
    "p": "promotions",
    "q": "requests",
    "w": "answers",
}
_USAGE = "usd, prompt_tokens, cached_tokens, completion_tokens, calls, seconds"


@dataclass(frozen=True, slots=True)
class Mark:
    """The last row seen of each table."""

    r: int = 0
    i: int = 0
    v: int = 0
    t: int = 0
    p: int = 0
    q: int = 0
    w: int = 0

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """Of `str(mark)`; None when it is none."""
        found = dict.fromkeys(_TABLES, 0)
        for part in text.split("."):
            if part[:1] not in found or not (part[1:].isascii() and part[1:].isdigit()) or len(part) > 16:
                return None
            found[part[0]] = int(part[1:])
        return cls(**found)

    def __str__(self) -> str:
        return ".".join(f"{field.name}{getattr(self, field.name)}" for field in fields(self))

    def beyond(self, other: Mark) -> bool:
        """Whether this mark has seen a row that the other has not."""
        return any(a > b for a, b in zip(astuple(self), astuple(other), strict=True))


def now(ledger: SqliteLedger) -> Mark:
    """The end of everything that is recorded."""
    ids = ", ".join(f"(SELECT coalesce(max(id), 0) FROM {table})" for table in _TABLES.values())
    (row,) = ledger._rows(f"SELECT {ids}")
    return Mark(**dict(zip(_TABLES, row, strict=True)))


def version(ledger: SqliteLedger) -> str:
    """Changes whenever something changes that a lineage, a matrix or an agent's page is made of."""
    facts = (
        "(SELECT coalesce(max(id), 0) FROM agents)",
        "(SELECT count(*) FROM runs WHERE ended IS NOT NULL)",
        "(SELECT count(*) || ':' || coalesce(sum(current), 0) FROM tasks)",
    )
    (row,) = ledger._rows(f"SELECT {', '.join(facts)}")
    return f"{now(ledger)}.{'.'.join(map(str, row))}"


def trials(ledger: SqliteLedger, after: int) -> list[tuple[Any, ...]]:
    """Trials with a greater row number, bare: id, tree, task, conditions, attempt, score, usage."""
    return ledger._rows(
        f"SELECT id, tree, task, conditions, attempt, score, {_USAGE} FROM trials WHERE id > ? ORDER BY id",
        (after,),
    )


def names(ledger: SqliteLedger) -> tuple[dict[int, str], dict[int, Setting]]:
    """Of trees and of conditions, by the numbers that stand in `trials`."""
    trees: dict[int, str] = dict(ledger._rows("SELECT id, hash FROM trees"))
    under = {id_: Setting(*rest) for id_, *rest in ledger._rows("SELECT id, model, image FROM conditions")}
    return trees, under


def tasks_in_use(ledger: SqliteLedger) -> dict[int, tuple[str, str]]:
    """Benchmark and name by the number in `trials`; without the held-out ones, which are looked at on request only."""
    rows = ledger._rows("SELECT id, benchmark, name FROM tasks WHERE current AND split <> 'heldout'")
    return {id_: (benchmark, name) for id_, benchmark, name in rows}


def tasks(ledger: SqliteLedger, benchmark: str) -> Sequence[Mapping[str, Any]]:
    """The benchmark's tasks in use, by name."""
    columns = ("name", "split", "level", "kind", "grading")
    rows = ledger._rows(
        f"SELECT {', '.join(columns)} FROM tasks WHERE benchmark = ? AND current AND split <> 'heldout'"
        " ORDER BY name",
        (benchmark,),
    )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def costs(ledger: SqliteLedger, agent: str) -> Sequence[Mapping[str, Any]]:
    """What was paid for an agent's making, gate and measuring, by role and model, from the calls themselves."""
    columns = (
        "role",
        "model",
        "calls",
        "prompt_tokens",
        "cached_tokens",
        "completion_tokens",
        "usd",
        "seconds",
    )
    rows = ledger._rows(
        "WITH me(id, tree) AS (SELECT id, tree FROM agents WHERE hash = ?),"
        " mine(session) AS (SELECT e.session FROM me JOIN trials t ON t.tree = me.tree AND t.score IS NOT NULL"
        "  JOIN evidence e ON e.trial = t.id"
        " UNION SELECT e.session FROM me JOIN trials t ON t.tree = me.tree AND t.score IS NULL"
        "  JOIN evidence e ON e.trial = t.id"
        " UNION SELECT i.session FROM me JOIN improvements i ON i.child = me.id"
        " UNION SELECT v.session FROM me JOIN verdicts v ON v.agent = me.id)"
        " SELECT c.role, c.model, sum(c.calls), sum(c.prompt_tokens), sum(c.cached_tokens),"
        " sum(c.completion_tokens), sum(c.usd), sum(c.seconds) FROM mine m JOIN calls c ON c.session = m.session"
        " WHERE m.session <> '' GROUP BY c.role, c.model ORDER BY sum(c.usd) DESC, c.role",
        (agent,),
    )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def pace(ledger: SqliteLedger, run: str, since: float) -> tuple[float, float]:
    """Dollars of the run's calls since then, and the time of the first of them (0 when there is none)."""
    (row,) = ledger._rows(
        "SELECT coalesce(sum(usd), 0), coalesce(min(at), 0) FROM calls"
        " WHERE run = (SELECT id FROM runs WHERE name = ?) AND at >= ?",
        (run, since),
    )
    return float(row[0]), float(row[1])


def trials_since(ledger: SqliteLedger, run: str, since: float) -> int:
    (row,) = ledger._rows(
        "SELECT count(*) FROM trials WHERE run = (SELECT id FROM runs WHERE name = ?) AND started >= ?",
        (run, since),
    )
    return int(row[0])


def closed_trace(ledger: SqliteLedger, session: str, upto: Mark | None = None) -> str:
    """The trace of a box whose outcome is recorded (and seen by the mark), or ""."""
    most = upto or Mark(*[2**60] * len(fields(Mark)))
    rows = ledger._rows(
        "SELECT e.trace FROM evidence e WHERE e.session = ?1 AND e.trial <= ?2"
        " UNION ALL SELECT trace FROM improvements WHERE session = ?1 AND id <= ?3"
        " UNION ALL SELECT trace FROM verdicts WHERE session = ?1 AND id <= ?4 LIMIT 1",
        (session, most.t, most.i, most.v),
    )
    return str(rows[0][0] or "") if rows else ""


# ── the archive's events ──────────────────────────────────────────────────────────────────────────

_JOINS = " LEFT JOIN runs r ON r.id = x.run"
_COLUMNS = {
    "r": (
        "run",
        ("run",),
        "SELECT x.id, x.started, NULL, x.name, x.name FROM runs x",
    ),
    "i": (
        "improvement",
        ("parent", "child", "ending", "usd", "trace", "session", "why", "subject"),
        "SELECT x.id, x.started + x.seconds, p.number, coalesce(r.name, ''), p.number, c.number, x.ending, x.usd,"
        " coalesce(x.trace, ''), coalesce(x.session, ''), x.why, coalesce(c.subject, '') FROM improvements x"
        f" JOIN agents p ON p.id = x.parent LEFT JOIN agents c ON c.id = x.child{_JOINS}",
    ),
    "v": (
        "verdict",
        ("passed", "reason", "fault", "trace", "session"),
        "SELECT x.id, x.started + x.seconds, a.number, coalesce(r.name, ''), x.passed, x.reason, x.fault,"
        f" coalesce(x.trace, ''), coalesce(x.session, '') FROM verdicts x JOIN agents a ON a.id = x.agent{_JOINS}",
    ),
    "t": (
        "trial",
        ("task", "attempt", "score", "fault", "ending", "usd", "trace", "session", "why"),
        "SELECT x.id, x.started + x.seconds, a.number, coalesce(r.name, ''), k.name, x.attempt,"
        " iif(k.split = 'heldout', NULL, x.score), x.fault, x.ending, x.usd, coalesce(e.trace, ''),"
        " coalesce(e.session, ''), iif(k.split = 'heldout', 'held out: not shown', coalesce(e.why, '')) FROM trials x"
        " JOIN agents a ON a.id = x.agent JOIN tasks k ON k.id = x.task"
        f" LEFT JOIN evidence e ON e.trial = x.id{_JOINS}",
    ),
    "q": (
        "request",
        ("id", "request", "by", "text", "session"),
        "SELECT x.id, x.at, a.number, '', x.id, x.kind, x.by, x.text, x.session FROM requests x"
        " LEFT JOIN agents a ON a.id = x.agent",
    ),
    "w": (
        "answer",
        ("id", "request", "state", "text", "session"),
        "SELECT x.id, x.at, a.number, '', x.request, q.kind, x.state, x.text, q.session FROM answers x"
        " JOIN requests q ON q.id = x.request LEFT JOIN agents a ON a.id = q.agent",
    ),
    "p": (
        "promotion",
        ("why",),
        "SELECT x.id, x.at, a.number, coalesce(r.name, ''), x.why FROM promotions x JOIN agents a ON a.id = x.agent"
        f"{_JOINS}",
    ),
}
"""By letter of a mark: the kind of event, its own fields, and where they are found."""

KINDS: Mapping[str, str] = {kind: letter for letter, (kind, _, _) in _COLUMNS.items()}


def after(ledger: SqliteLedger, mark: Mark, most: int = 500) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Rows that the mark has not seen, table by table in the order of _COLUMNS: letter, row, event."""
    for letter, (kind, names, sql) in _COLUMNS.items():
        rows = ledger._rows(f"{sql} WHERE x.id > ? ORDER BY x.id LIMIT ?", (getattr(mark, letter), most))
        yield from ((letter, row[0], _event(kind, names, row)) for row in rows)


def before(
    ledger: SqliteLedger, mark: Mark, letters: Sequence[str], most: int
) -> list[tuple[str, int, dict[str, Any]]]:
    """The newest rows at or below the mark, newest first, of all these tables together."""
    found = []
    for letter in letters:
        kind, names, sql = _COLUMNS[letter]
        rows = ledger._rows(
            f"{sql} WHERE x.id <= ? ORDER BY x.id DESC LIMIT ?", (getattr(mark, letter), most)
        )
        found += [(letter, row[0], _event(kind, names, row)) for row in rows]
    return sorted(found, key=lambda f: -f[2]["at"])[:most]


def _event(kind: str, names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    _, at, agent, run, *rest = row
    facts = dict(zip(names, rest, strict=True))
    if "passed" in facts:
        facts["passed"] = bool(facts["passed"])
    return {"kind": kind, "at": at, "agent": agent, "run": run, **facts}
