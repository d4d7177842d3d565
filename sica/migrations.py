"""How the ledger's schema came to be: numbered steps, applied once, in order, and recorded in the file.

Imported only when one is due, so that reading a ledger loads nothing but sqlite3. A step that was released is never
edited: add the next one and raise `ledger.SCHEMA`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database, Migrations

steps: Any = Migrations("sica")
"""sqlite-utils carries no types that the checker follows."""

_OUTCOMES = ("trials", "improvements", "verdicts", "promotions", "evidence")
_USAGE = {
    "usd": float,
    "prompt_tokens": int,
    "cached_tokens": int,
    "completion_tokens": int,
    "calls": int,
    "seconds": float,
}


def migrate(connection: sqlite3.Connection) -> None:
    steps.apply(Database(connection, execute_plugins=False))


def outcomes(db: Database) -> None:
    _names(db)
    _outcomes(db)
    _calls(db)
    _append_only(db)
    _summaries(db)
    _views(db)


steps(name="0001_outcomes")(outcomes)


def _names(db: Database) -> None:
    """Long names stand once; rows of outcomes hold integers."""
    db.create_table("trees", {"id": int, "hash": str}, pk="id", not_null={"hash"})
    db.create_table(
        "conditions",
        {"id": int, "hash": str, "model": str, "image": str},
        pk="id",
        not_null={"hash", "model", "image"},
        defaults={"model": "", "image": ""},
    )
    for table in ("trees", "conditions"):
        db[table].create_index(["hash"], unique=True)
    db.create_table(
        "runs",
        {"id": int, "name": str, "started": float, "config": str, "ended": float, "reason": str},
        pk="id",
        not_null={"name", "started", "config"},
        defaults={"config": "{}", "reason": ""},
    )
    db["runs"].create_index(["name"], unique=True)
    db.create_table(
        "tasks",
        {
            "id": int,
            "digest": str,
            "name": str,
            "benchmark": str,
            "split": str,
            "level": int,
            "kind": str,
            "weight": float,
            "grading": str,
            "current": int,
        },
        pk="id",
        not_null={"digest", "name", "benchmark", "split", "current"},
        defaults={"split": "train", "current": 1},
    )
    db["tasks"].create_index(["digest"], unique=True)
    db["tasks"].create_index(["benchmark"])
    db["tasks"].create_index(["name"])
    db.create_table(
        "agents",
        {
            "id": int,
            "number": int,
            "hash": str,
            "tree": int,
            "subject": str,
            "body": str,
            "operator": str,
            "run": int,
            "model": str,
            "cost_usd": float,
            "trace": str,
            "created": float,
            "standing": str,
            "reason": str,
        },
        pk="id",
        not_null={"number", "hash", "tree", "standing", "reason"},
        defaults={"standing": "unchecked", "reason": ""},
        foreign_keys=[("tree", "trees", "id"), ("run", "runs", "id")],
    )
    db["agents"].create_index(["hash"], unique=True)
    db["agents"].create_index(["number"], unique=True)
    db["agents"].create_index(["tree"])
    db.create_table(
        "parents",
        {"child": int, "position": int, "parent": int},
        pk=("child", "position"),
        foreign_keys=[("child", "agents", "id"), ("parent", "agents", "id")],
    )
    db["parents"].create_index(["parent"])


def _outcomes(db: Database) -> None:
    db.create_table(
        "trials",
        {
            "id": int,
            "agent": int,
            "tree": int,
            "task": int,
            "attempt": int,
            "conditions": int,
            "run": int,
            "score": float,
            "fault": str,
            "ending": str,
            "grading": str,
            "started": float,
            **_USAGE,
        },
        pk="id",
        not_null={"agent", "tree", "task", "attempt", "conditions", "ending", "grading", "started", *_USAGE},
        foreign_keys=[
            ("agent", "agents", "id"),
            ("tree", "trees", "id"),
            ("task", "tasks", "id"),
            ("conditions", "conditions", "id"),
            ("run", "runs", "id"),
        ],
    )
    db.execute(
        "CREATE UNIQUE INDEX one_score ON trials (tree, task, attempt, conditions) WHERE score IS NOT NULL"
    )
    db.execute(
        "CREATE UNIQUE INDEX one_fault ON trials (tree, task, attempt, conditions, started) WHERE score IS NULL"
    )
    db.create_table(
        "evidence",
        {"trial": int, "trace": str, "session": str, "why": str, "detail": str},
        pk="trial",
        foreign_keys=[("trial", "trials", "id")],
    )
    told = {"run": int, "trace": str, "session": str, "started": float, **_USAGE}
    db.create_table(
        "improvements",
        {"id": int, "parent": int, "child": int, "ending": str, "why": str, **told},
        pk="id",
        not_null={"parent", "ending", "started"},
        foreign_keys=[("parent", "agents", "id"), ("child", "agents", "id"), ("run", "runs", "id")],
    )
    db.execute("CREATE UNIQUE INDEX one_child ON improvements (child) WHERE child IS NOT NULL")
    db.execute(
        "CREATE UNIQUE INDEX one_attempt ON improvements (parent, started, session, ending) WHERE child IS NULL"
    )
    db.create_table(
        "verdicts",
        {"id": int, "agent": int, "passed": int, "reason": str, "fault": str, **told},
        pk="id",
        not_null={"agent", "passed", "reason", "started"},
        foreign_keys=[("agent", "agents", "id"), ("run", "runs", "id")],
    )
    db["verdicts"].create_index(["agent", "started", "passed", "reason"], unique=True)
    db.create_table(
        "promotions",
        {"id": int, "agent": int, "why": str, "run": int, "at": float},
        pk="id",
        not_null={"agent", "why", "at"},
        foreign_keys=[("agent", "agents", "id"), ("run", "runs", "id")],
    )
    db["promotions"].create_index(["agent", "at"], unique=True)
    db.create_table("noted", {"kind": str, "upto": int}, pk="kind", not_null={"upto"})
    db.execute(
        "CREATE TRIGGER standing AFTER INSERT ON verdicts WHEN new.fault IS NULL BEGIN UPDATE agents SET"
        " standing = iif(new.passed, 'ready', 'rejected'), reason = new.reason WHERE id = new.agent; END"
    )


def _calls(db: Database) -> None:
    db.create_table(
        "calls",
        {
            "session": str,
            "number": int,
            "run": int,
            "role": str,
            "model": str,
            "state": str,
            "at": float,
            **_USAGE,
        },
        pk=("session", "number"),
        not_null={"session", "number", "state", "at", *_USAGE},
        foreign_keys=[("run", "runs", "id")],
    )
    db["calls"].create_index(["run"])


def _append_only(db: Database) -> None:
    _never_changed(db, _OUTCOMES)


def _never_changed(db: Database, tables: Sequence[str], why: str = "outcomes are append-only") -> None:
    for table in tables:
        for verb in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
                f" BEGIN SELECT raise(ABORT, '{why}'); END"
            )


def _summaries(db: Database) -> None:
    """One row for a tree under one set of conditions, kept in the transaction of the trial that it counts."""
    sums = ("n", "total", "squares", "faults", *_USAGE)
    db.execute(
        "CREATE TABLE totals (tree INTEGER NOT NULL REFERENCES trees (id), benchmark TEXT NOT NULL,"
        " split TEXT NOT NULL, conditions INTEGER NOT NULL REFERENCES conditions (id), n INTEGER NOT NULL,"
        " total REAL NOT NULL, squares REAL NOT NULL, faults INTEGER NOT NULL, usd REAL NOT NULL,"
        " prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,"
        " calls INTEGER NOT NULL, seconds REAL NOT NULL, latest INTEGER NOT NULL,"
        " PRIMARY KEY (benchmark, tree, split, conditions)) WITHOUT ROWID"
    )
    grown = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    usage = ", ".join(f"new.{name}" for name in _USAGE)
    db.execute(
        f"CREATE TRIGGER count_trial AFTER INSERT ON trials BEGIN INSERT INTO totals"
        f" SELECT new.tree, k.benchmark, k.split, new.conditions, new.score IS NOT NULL, coalesce(new.score, 0),"
        f" coalesce(new.score * new.score, 0), new.score IS NULL, {usage}, new.id"
        f" FROM tasks k WHERE k.id = new.task AND k.current = 1"
        f" ON CONFLICT (benchmark, tree, split, conditions) DO UPDATE SET {grown}, latest = new.id; END"
    )


def _leaderboard(db: Database) -> None:
    db.create_view(
        "leaderboard",
        "SELECT a.hash AS agent, 'agent/' || a.number AS name, s.benchmark, s.split, c.model, c.image,"
        " round(sum(s.total) / nullif(sum(s.n), 0), 4) AS score, sum(s.n) AS trials, sum(s.faults) AS faults,"
        " round(sum(s.usd), 4) AS usd, sum(s.prompt_tokens + s.completion_tokens) AS tokens, a.standing, a.subject"
        " FROM totals s JOIN agents a ON a.tree = s.tree JOIN conditions c ON c.id = s.conditions"
        " GROUP BY a.id, s.benchmark, s.split, c.model, c.image"
        " ORDER BY s.benchmark, score DESC",
    )


def _views(db: Database) -> None:
    """For people and for datasette: names instead of numbers, keyed by commit hash."""
    _leaderboard(db)
    db.create_view(
        "trial_view",
        "SELECT t.id, a.hash AS agent, 'agent/' || a.number AS name, k.name AS task, k.digest, k.split, t.attempt,"
        " t.score, t.fault, t.ending, t.grading, c.model, c.image, c.hash AS conditions, r.name AS run, t.usd,"
        " t.prompt_tokens + t.completion_tokens AS tokens, t.calls, t.seconds,"
        " datetime(t.started, 'unixepoch') AS started, e.why, e.trace, e.session"
        " FROM trials t JOIN agents a ON a.id = t.agent JOIN tasks k ON k.id = t.task"
        " JOIN conditions c ON c.id = t.conditions LEFT JOIN runs r ON r.id = t.run"
        " LEFT JOIN evidence e ON e.trial = t.id",
    )
    db.create_view(
        "lineage",
        "SELECT c.hash AS agent, 'agent/' || c.number AS name, p.hash AS parent, 'agent/' || p.number AS parent_name,"
        " l.position, c.operator, c.standing, c.reason, c.subject, r.name AS run,"
        " datetime(c.created, 'unixepoch') AS created FROM agents c LEFT JOIN parents l ON l.child = c.id"
        " LEFT JOIN agents p ON p.id = l.parent LEFT JOIN runs r ON r.id = c.run",
    )
    db.create_view(
        "spend",
        "SELECT r.name AS run, c.role, c.model, c.state, count(*) AS calls, round(sum(c.usd), 6) AS usd,"
        " sum(c.prompt_tokens) AS prompt_tokens, sum(c.completion_tokens) AS completion_tokens"
        " FROM calls c LEFT JOIN runs r ON r.id = c.run GROUP BY c.run, c.role, c.model, c.state",
    )


# ── what calls cost, to whom, at which price ────────────────────────────────────────────────

_SPENT = (*_USAGE, "cache_write_tokens")


def money(db: Database) -> None:
    """Cache writes are counted, calls know their agent and task, runs keep their prices and their sittings."""
    for table in ("trials", "improvements", "verdicts", "calls"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0")
    _attribute(db)
    db.create_table(
        "prices",
        {"run": int, "model": str, "since": float, "price": str},
        pk=("run", "model", "since"),
        not_null={"run", "model", "since", "price"},
        foreign_keys=[("run", "runs", "id")],
    )
    db.create_table(
        "sittings",
        {"id": int, "run": int, "began": float, "ended": float},
        pk="id",
        not_null={"run", "began"},
        foreign_keys=[("run", "runs", "id")],
    )
    db["sittings"].create_index(["run"])
    _summaries_again(db)
    db.create_view(
        "spend",
        "SELECT r.name AS run, c.role, 'agent/' || a.number AS agent, c.task, c.model, date(c.at, 'unixepoch') AS day,"
        " c.state, count(*) AS calls, round(sum(c.usd), 6) AS usd, sum(c.prompt_tokens) AS prompt_tokens,"
        " sum(c.cached_tokens) AS cached_tokens, sum(c.cache_write_tokens) AS cache_write_tokens,"
        " sum(c.completion_tokens) AS completion_tokens FROM calls c LEFT JOIN runs r ON r.id = c.run"
        " LEFT JOIN agents a ON a.id = c.agent GROUP BY c.run, c.role, c.agent, c.task, c.model, day, c.state",
        replace=True,
    )


steps(name="0002_money")(money)


def _attribute(db: Database) -> None:
    """Calls of before belong to whatever outcome names their session."""
    db.execute("ALTER TABLE calls ADD COLUMN agent INTEGER REFERENCES agents (id)")
    db.execute("ALTER TABLE calls ADD COLUMN task TEXT NOT NULL DEFAULT ''")
    db.execute(
        "UPDATE calls SET agent = x.agent, task = x.task FROM (SELECT e.session, t.agent, k.name AS task"
        " FROM evidence e JOIN trials t ON t.id = e.trial JOIN tasks k ON k.id = t.task UNION ALL"
        " SELECT session, parent, '' FROM improvements UNION ALL SELECT session, agent, '' FROM verdicts) x"
        " WHERE x.session = calls.session AND x.session <> ''"
    )
    db["calls"].create_index(["at"])


def _summaries_again(db: Database) -> None:
    """The table of `_summaries` with one sum more; counted anew from the trials."""
    db.execute("DROP TRIGGER count_trial")
    db.execute("DROP VIEW leaderboard")
    db.execute("DROP TABLE totals")
    db.execute(
        "CREATE TABLE totals (tree INTEGER NOT NULL REFERENCES trees (id), benchmark TEXT NOT NULL,"
        " split TEXT NOT NULL, conditions INTEGER NOT NULL REFERENCES conditions (id), n INTEGER NOT NULL,"
        " total REAL NOT NULL, squares REAL NOT NULL, faults INTEGER NOT NULL, usd REAL NOT NULL,"
        " prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,"
        " calls INTEGER NOT NULL, seconds REAL NOT NULL, cache_write_tokens INTEGER NOT NULL,"
        " latest INTEGER NOT NULL, PRIMARY KEY (benchmark, tree, split, conditions)) WITHOUT ROWID"
    )
    sums = ", ".join(f"sum(t.{name})" for name in _SPENT)
    db.execute(
        "INSERT INTO totals SELECT t.tree, k.benchmark, k.split, t.conditions, count(t.score),"
        " coalesce(sum(t.score), 0.0), coalesce(sum(t.score * t.score), 0.0), sum(t.score IS NULL),"
        f" {sums}, max(t.id) FROM trials t JOIN tasks k ON k.id = t.task AND k.current = 1"
        " GROUP BY t.tree, k.benchmark, k.split, t.conditions"
    )
    grown = ", ".join(
        f"{name} = {name} + excluded.{name}" for name in ("n", "total", "squares", "faults", *_SPENT)
    )
    usage = ", ".join(f"new.{name}" for name in _SPENT)
    db.execute(
        f"CREATE TRIGGER count_trial AFTER INSERT ON trials BEGIN INSERT INTO totals"
        f" SELECT new.tree, k.benchmark, k.split, new.conditions, new.score IS NOT NULL, coalesce(new.score, 0),"
        f" coalesce(new.score * new.score, 0), new.score IS NULL, {usage}, new.id"
        f" FROM tasks k WHERE k.id = new.task AND k.current = 1"
        f" ON CONFLICT (benchmark, tree, split, conditions) DO UPDATE SET {grown}, latest = new.id; END"
    )
    _leaderboard(db)


# ── what people ask of a run ─────────────────────────────────────────────────────────────────────────


def people(db: Database) -> None:
    """What people ask of a run, and what became of it."""
    db.create_table(
        "requests",
        {"id": int, "kind": str, "at": float, "by": str, "agent": int, "session": str, "text": str},
        pk="id",
        not_null={"kind", "at", "by", "session", "text"},
        foreign_keys=[("agent", "agents", "id")],
    )
    db.create_table(
        "answers",
        {"id": int, "request": int, "at": float, "state": str, "text": str},
        pk="id",
        not_null={"request", "at", "state", "text"},
        foreign_keys=[("request", "requests", "id")],
    )
    db["answers"].create_index(["request"], unique=True)
    _never_changed(db, ("requests", "answers"))


steps(name="0003_people")(people)


# ── why trials went as they did ───────────────────────────────────────────────────────────────────


def critiques(db: Database) -> None:
    """Words about a trial, by the session that it had; they come after it and no score hangs on them."""
    db.create_table(
        "critiques",
        {"session": str, "text": str, "model": str, "trace": str, "at": float},
        pk="session",
        not_null={"session", "text", "model", "at"},
    )


steps(name="0004_critiques")(critiques)


# ── who was shown held-out scores ────────────────────────────────────────────────────────────────────


def glimpses(db: Database) -> None:
    """Who was shown held-out scores, and when. Git is not told: a rebuild takes them over from the old file."""
    db.create_table(
        "glimpses",
        {
            "id": int,
            "at": float,
            "who": str,
            "command": str,
            "benchmark": str,
            "agents": str,
            "trials": int,
        },
        pk="id",
        not_null={"at", "who", "command", "benchmark", "agents", "trials"},
    )
    _never_changed(db, ("glimpses",), "what was seen cannot be unseen")


steps(name="0005_glimpses")(glimpses)


# ── merges ────────────────────────────────────────────────────────────────────────────────────────


def merges(db: Database) -> None:
    """The second parent of an attempt to merge two agents."""
    db.execute("ALTER TABLE improvements ADD COLUMN other INTEGER REFERENCES agents (id)")


steps(name="0006_merges")(merges)


# ── rulings ───────────────────────────────────────────────────────────────────────────────────────


def rulings(db: Database) -> None:
    """What guards and the overseer did about boxes at work. Of before, what stands in the details of trials."""
    db.create_table(
        "rulings",
        {
            "id": int,
            "agent": int,
            "session": str,
            "at": float,
            "action": str,
            "by": str,
            "span": str,
            "text": str,
        },
        pk="id",
        not_null={"agent", "session", "at", "action", "by", "span", "text"},
        foreign_keys=[("agent", "agents", "id")],
    )
    said = ", ".join(
        f"coalesce(json_extract(j.value, '$.{name}'), '')" for name in ("action", "by", "span", "text")
    )
    db.execute(
        "INSERT INTO rulings (agent, session, at, action, by, span, text)"
        f" SELECT t.agent, e.session, t.started, {said} FROM evidence e JOIN trials t ON t.id = e.trial,"
        " json_each(e.detail, '$.rulings') j ORDER BY t.id, j.key"
    )
    _never_changed(db, ("rulings",))


steps(name="0007_rulings")(rulings)
