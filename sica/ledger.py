"""Outcomes as rows, append-only. Nothing outside this file knows about SQLite.

Three promises: an outcome that was recorded is on the disk (WAL, synchronous FULL) and can be neither changed nor
counted twice; the summaries that a leaderboard needs are kept in the same transaction as the trial they count;
and what git does not know yet is known, so that the whole ledger can be made again from git.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from sica.errors import SicaError, StoreError, UsageError
from sica.model import (
    Agent,
    Archive,
    Call,
    Glimpse,
    Improvement,
    Outcome,
    Promotion,
    Request,
    Ruling,
    Run,
    Setting,
    Split,
    Summary,
    Task,
    Trial,
    Tried,
    Usage,
    Verdict,
)
from sica.ports import Price
from sica.scoring import Attempted as Attempted
from sica.scoring import by_task
from sica.stats import Estimate, estimate

SCHEMA = 7
"""PRAGMA user_version; also the number of the last migration in sica/migrations.py."""

APPLICATION = 0x73696361
"""PRAGMA application_id: `sica`."""

_USAGE = "usd, prompt_tokens, cached_tokens, completion_tokens, calls, seconds, cache_write_tokens"
_MARKS = ",".join("?" * len(_USAGE.split(", ")))
_N = len(_USAGE.split(", "))
_TRIAL = """
  a.hash, w.hash, k.name, k.digest, t.attempt, c.hash, t.score, t.fault, t.ending, t.grading,
  t.usd, t.prompt_tokens, t.cached_tokens, t.completion_tokens, t.calls, t.seconds, t.cache_write_tokens,
  coalesce(e.trace, ''), coalesce(e.session, ''), coalesce(r.name, ''), t.started, coalesce(e.why, ''),
  c.model, c.image, e.detail"""
_TRIAL_JOINS = """
  trials t JOIN agents a ON a.id = t.agent JOIN trees w ON w.id = t.tree JOIN tasks k ON k.id = t.task
  JOIN conditions c ON c.id = t.conditions LEFT JOIN runs r ON r.id = t.run LEFT JOIN evidence e ON e.trial = t.id"""

ACCOUNTS: Mapping[str, str] = {
    "run": "coalesce(r.name, '')",
    "role": "c.role",
    "agent": "a.number",
    "task": "c.task",
    "model": "c.model",
    "day": "date(c.at, 'unixepoch')",
    "state": "c.state",
    "session": "c.session",
    "call": "c.session || '/' || c.number",
}
"""What spending can be told apart by."""

Row = tuple[Any, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unnoted:
    """What git has not been told yet. Pass it to Repo.annotate, then to `noted`."""

    scores: Mapping[str, str]
    """By commit, one line for people."""
    evaluations: Mapping[str, tuple[str, ...]]
    """By commit, JSON lines from which the outcomes can be restored."""
    upto: Mapping[str, int] = field(default_factory=dict)
    reviews: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By commit, a JSON line for each ruling."""

    def __bool__(self) -> bool:
        return bool(self.evaluations or self.reviews)


@dataclass(frozen=True, slots=True)
class Books:
    """Prices and sittings of runs, row by row, for a ledger that takes them over."""

    prices: Sequence[Row] = ()
    """Run, model, since, price."""
    sittings: Sequence[Row] = ()
    """Run, began, ended."""

    def write(self, run: sqlite3.Connection) -> None:
        for name, *rest in self.prices:
            run.execute("INSERT INTO prices VALUES (?,?,?,?)", (_run_id(run, name), *rest))
        for name, *rest in self.sittings:
            run.execute(
                "INSERT INTO sittings (run, began, ended) VALUES (?,?,?)", (_run_id(run, name), *rest)
            )


IMPORTED = "import:"
"""How the run of a trial begins that was measured in another archive."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of taking another archive's trials."""

    fresh: int
    known: int
    """Trials that were here already."""
    elsewhere: int
    """Trials of code that is not here."""
    trees: int
    """Of ours, that have new trials."""


class SqliteLedger:
    """The ledger in one SQLite file; implements ports.Ledger. Any thread may use it."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, readonly: bool) -> None:
        """Use `SqliteLedger.open`."""
        self.path = path
        self.readonly = readonly
        self._connection = connection
        self._lock = threading.RLock()
        self._stamp: object = None

    # ── opening ───────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def open(cls, path: Path, readonly: bool = False) -> SqliteLedger:
        """Open the ledger, making or migrating it when that is due.

        Reading only creates no file, waits for no writer, and works on a disk that cannot be written.
        """
        with _plainly(path):
            if readonly:
                if not path.exists():
                    raise UsageError(f"there is no ledger at {path}", "sica init")
                resting = _stamp(path)
                ledger = cls(path, _connect_readonly(path, resting is not None), readonly=True)
                ledger._stamp = resting
                try:
                    _check_version(path, ledger._connection, may_migrate=False)
                except BaseException:
                    ledger.close()
                    raise
                return ledger
            with _locked_folder(path.parent):
                connection = _connect(path)
                try:
                    if _check_version(path, connection, may_migrate=True):
                        _bring_up_to_date(path, connection)
                    connection.execute("PRAGMA synchronous = FULL")
                except BaseException:
                    connection.close()
                    raise
            return cls(path, connection, readonly=False)

    def close(self) -> None:
        with self._lock, _plainly(self.path):
            self._connection.close()

    def __enter__(self) -> SqliteLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── recording ─────────────────────────────────────────────────────────────────────────────────

    def record(self, outcome: Outcome) -> bool:
        """Durable when it returns. False when this very outcome was known: nothing is counted twice."""
        with self._transaction() as run:
            return _insert(run, outcome)

    def reconcile(self, agents: Iterable[Agent]) -> Sequence[Agent]:
        """Add rows for agents that git has and the ledger has not; returns those added.

        A self-edit or a merge whose outcome was never written (a kill between the commit and the row) gets it from
        what its commit says, so that nothing is made twice and what it cost is known. Not beside a run that is
        going: it may be about to write that very row.
        """
        known: dict[str, int] = dict(self._rows("SELECT hash, number FROM agents"))
        told = {c for (c,) in self._rows("SELECT a.hash FROM improvements i JOIN agents a ON a.id = i.child")}
        every = list(agents)
        fresh = [a for a in every if a.commit not in known]
        made = ("self-edit", "merge")
        untold = [a for a in every if a.operator in made and a.parents and a.commit not in told]
        for agent in every:
            if known.get(agent.commit, agent.number) != agent.number:
                raise _moved(agent, {number: commit for commit, number in known.items()}[agent.number])
        if not fresh and not untold:
            return ()
        with self._transaction() as run:
            added = tuple(a for a in fresh if _insert_agent(run, a))
            for agent in untold:
                _insert_improvement(run, _from_commit(agent))
        return added

    def see_tasks(self, tasks: Iterable[Task]) -> None:
        """Remember what tasks are called and how they are split; an edited task retires its older digest.

        Summaries count the digests in use only. They are made again for a benchmark whose tasks changed.
        """
        wanted = [
            (t.digest, t.id, t.benchmark, t.split, t.level, t.kind, t.weight, t.grading, 1) for t in tasks
        ]
        columns = "digest, name, benchmark, split, level, kind, weight, grading, current"
        have = {row[0]: row for row in self._rows(f"SELECT {columns} FROM tasks")}
        ours, digests = {row[1] for row in wanted}, {row[0] for row in wanted}
        retired = [r[0] for r in have.values() if r[1] in ours and r[0] not in digests and r[8]]
        changed = [row for row in wanted if have.get(row[0]) != row]
        if not changed and not retired:
            return
        with self._transaction() as run:
            moved = {have[d][2] for d in retired} | {r[2] for r in changed}
            moved |= {have[r[0]][2] for r in changed if r[0] in have}
            run.executemany("UPDATE tasks SET current = 0 WHERE digest = ?", [(d,) for d in retired])
            run.executemany(
                f"INSERT INTO tasks ({columns}) VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (digest) DO UPDATE SET"
                " name = excluded.name, benchmark = excluded.benchmark, split = excluded.split,"
                " level = excluded.level, kind = excluded.kind, weight = excluded.weight,"
                " grading = excluded.grading, current = 1",
                changed,
            )
            for benchmark in moved:
                run.execute("DELETE FROM totals WHERE benchmark = ?", (benchmark,))
                run.execute(
                    f"INSERT INTO totals {_RECOUNT} WHERE k.benchmark = ? {_RECOUNT_BY}", (benchmark,)
                )

    def start_run(self, config: Mapping[str, Any]) -> Run:
        started, text = time.time(), json.dumps(dict(config), sort_keys=True, default=str)
        with self._transaction() as run:
            numbers = [
                int(name[1:]) for (name,) in run.execute("SELECT name FROM runs") if _is_run_number(name)
            ]
            name = f"r{max(numbers, default=0) + 1}"
            run.execute("INSERT INTO runs (name, started, config) VALUES (?, ?, ?)", (name, started, text))
        return Run(name, started, json.loads(text))

    def end_run(self, run: str, reason: str) -> None:
        with self._transaction() as change:
            now = time.time()
            done = change.execute("UPDATE runs SET ended = ?, reason = ? WHERE name = ?", (now, reason, run))
            if done.rowcount != 1:
                raise StoreError(f"no run called {run!r} to end in {self.path}")
            change.execute(
                "UPDATE sittings SET ended = ? WHERE id = (SELECT max(id) FROM sittings WHERE run ="
                " (SELECT id FROM runs WHERE name = ?)) AND ended IS NULL",
                (now, run),
            )

    def begin_sitting(self, run: str) -> None:
        """Somebody works on the run from now on, until `end_run` or until the process is killed."""
        with self._transaction() as change:
            change.execute(
                "INSERT INTO sittings (run, began) VALUES (?, ?)", (_run_id(change, run), time.time())
            )

    def priced(self, run: str, model: str, price: Price) -> None:
        """From now on the run's calls of this model cost this."""
        if self.prices(run).get(model) == price:
            return
        with self._transaction() as change:
            change.execute(
                "INSERT INTO prices (run, model, since, price) VALUES (?,?,?,?)",
                (_run_id(change, run), model, time.time(), json.dumps(asdict(price))),
            )

    def call(self, call: Call) -> None:
        """Insert or settle one model call, by (session, number). What is settled stays as it is.

        A reservation is synced before the call is made. A settlement lost by a power cut leaves the reservation,
        which counts more, never less: so it is not waited for.
        """
        with self._transaction(durable=call.state == "reserved") as run:
            _upsert_call(run, call)

    def ask(self, request: Request) -> Request:
        """Keep a person's request; it comes back with its id."""
        with self._transaction() as run:
            if request.agent:
                _agent_id(run, request.agent)
            return replace(request, id=_insert_request(run, request))

    def answer(self, request: int, state: str, text: str) -> None:
        """What became of a request; the first answer stands."""
        with self._transaction() as run:
            run.execute(
                "INSERT INTO answers (request, at, state, text) VALUES (?,?,?,?) ON CONFLICT (request) DO NOTHING",
                (request, time.time(), state, text),
            )

    def glimpsed(self, glimpse: Glimpse) -> None:
        """Remember that somebody was shown held-out scores."""
        with self._transaction() as run:
            _insert_glimpse(run, glimpse)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def requests(self, after: int = 0) -> tuple[Request, ...]:
        """What people asked for, oldest first, and what became of it."""
        rows = self._rows(
            "SELECT q.kind, q.at, q.by, coalesce(a.hash, ''), q.session, q.text, q.id, coalesce(w.state, 'pending'),"
            " coalesce(w.text, ''), w.at FROM requests q LEFT JOIN agents a ON a.id = q.agent"
            " LEFT JOIN answers w ON w.request = q.id WHERE q.id > ? ORDER BY q.id",
            (after,),
        )
        return tuple(Request(*row) for row in rows)

    def archive(self, tasks: Sequence[Task], conditions: Mapping[str, str], attempts: int) -> Archive:
        """What a run over these tasks sees; conditions are by task digest."""

        def read() -> Archive:
            agents = {a.commit: a for a in self.agents()}
            trials: dict[str, list[Trial]] = {}
            for trial in self._trials_under(conditions):
                trials.setdefault(trial.tree, []).append(trial)
            champion, crowned = self._champion()
            return Archive(
                agents=agents,
                tasks=tuple(tasks),
                trials={tree: tuple(of) for tree, of in trials.items()},
                improvements=tuple(self._improvements(agents)),
                champion=champion or next(iter(agents), ""),
                crowned=crowned,
                attempts=attempts,
                flagged=frozenset(self._flagged()),
                settled=self._settled(),
            )

        with _no_collector():
            return self._at_one_moment(read)

    def _flagged(self) -> Iterator[str]:
        sql = (
            "SELECT DISTINCT w.hash FROM trials t JOIN trees w ON w.id = t.tree WHERE t.ending = 'integrity'"
        )
        yield from (tree for (tree,) in self._rows(sql))

    def agents(self) -> tuple[Agent, ...]:
        """Every agent, by number, with the gate's last word."""
        parents: dict[int, list[str]] = {}
        sql = "SELECT p.child, a.hash FROM parents p JOIN agents a ON a.id = p.parent ORDER BY p.child, p.position"
        for child, commit in self._rows(sql):
            parents.setdefault(child, []).append(commit)
        rows = self._rows(
            "SELECT a.id, a.number, a.hash, w.hash, a.subject, a.body, a.operator, coalesce(r.name, ''), a.model,"
            " a.cost_usd, a.trace, a.created, a.standing, a.reason FROM agents a JOIN trees w ON w.id = a.tree"
            " LEFT JOIN runs r ON r.id = a.run ORDER BY a.number"
        )
        return tuple(
            Agent(number, commit, tree, tuple(parents.get(id_, ())), *rest)
            for id_, number, commit, tree, *rest in rows
        )

    def critique(self, session: str) -> str:
        """What was written of the trial with this session, or ""."""
        rows = self._rows("SELECT text FROM critiques WHERE session = ?", (session,))
        return str(rows[0][0]) if rows else ""

    def criticise(self, session: str, text: str, model: str, trace: str) -> None:
        """Keep a critique; the first of a trial stays."""
        with self._transaction() as run:
            run.execute(
                "INSERT OR IGNORE INTO critiques VALUES (?, ?, ?, ?, ?)",
                (session, text, model, trace, time.time()),
            )

    def trials_of(
        self,
        agent: str,
        benchmark: str | None = None,
        setting: Setting | None = None,
        split: Split | None = None,
    ) -> tuple[Trial, ...]:
        """Every trial of the agent's tree, whoever of its twins ran it, with the details; in order of arrival.

        With a benchmark, those that `summaries` counts: of its digests in use and, without a split, not held out.
        """
        model, image = (setting.model, setting.image) if setting else (None, None)
        # the two unique indexes cover scored and faulted rows apart, so they are asked apart
        rows = self._rows(
            f"SELECT {_TRIAL} FROM {_TRIAL_JOINS}"
            " WHERE t.id IN (SELECT id FROM trials WHERE tree = (SELECT tree FROM agents WHERE hash = ?1)"
            " AND score IS NOT NULL UNION ALL SELECT id FROM trials"
            " WHERE tree = (SELECT tree FROM agents WHERE hash = ?1) AND score IS NULL)"
            " AND (?2 IS NULL OR k.benchmark = ?2 AND k.current"
            " AND iif(?5 IS NULL, k.split <> 'heldout', k.split = ?5))"
            " AND (?3 IS NULL OR c.model = ?3 AND c.image = ?4) ORDER BY t.id",
            (agent, benchmark, model, image, split),
        )
        return tuple(_trial(row) for row in rows)

    def settings(self, benchmark: str) -> tuple[Setting, ...]:
        """Those that the benchmark's digests in use were measured under, the latest first."""
        rows = self._rows(
            "SELECT c.model, c.image FROM totals s JOIN conditions c ON c.id = s.conditions"
            " WHERE s.benchmark = ? GROUP BY c.model, c.image ORDER BY max(s.latest) DESC",
            (benchmark,),
        )
        return tuple(Setting(*row) for row in rows)

    def scores(
        self,
        benchmark: str,
        agents: Iterable[str],
        setting: Setting | None = None,
        split: Split | None = None,
    ) -> Mapping[str, Mapping[Attempted, float]]:
        """Single scores by agent, of the benchmark's digests in use: what paired comparisons need, and no more.

        Without a split, those that are not held out.
        """
        model, image = (setting.model, setting.image) if setting else (None, None)
        found: dict[str, dict[Attempted, float]] = {}
        rows = self._rows(
            "SELECT a.hash, k.name, k.digest, c.hash, t.attempt, t.score FROM json_each(?1) j"
            " JOIN agents a ON a.hash = j.value JOIN trials t ON t.tree = a.tree AND t.score IS NOT NULL"
            " JOIN tasks k ON k.id = t.task AND k.benchmark = ?2 AND k.current"
            " AND iif(?5 IS NULL, k.split <> 'heldout', k.split = ?5)"
            " JOIN conditions c ON c.id = t.conditions AND (?3 IS NULL OR c.model = ?3 AND c.image = ?4)",
            (json.dumps(list(agents)), benchmark, model, image, split),
        )
        for agent, task, digest, conditions, attempt, score in rows:
            found.setdefault(agent, {})[task, digest, conditions, attempt] = score
        return found

    def cells(self, benchmark: str, setting: Setting | None = None) -> list[tuple[str, str, float | None]]:
        """Tree, task and mean score of all that was tried and is not held out; None where there are only faults."""
        model, image = (setting.model, setting.image) if setting else (None, None)
        return self._rows(
            "SELECT w.hash, k.name, avg(t.score) FROM trials t JOIN tasks k ON k.id = t.task AND k.benchmark = ?1"
            " AND k.current AND k.split <> 'heldout' JOIN trees w ON w.id = t.tree"
            " JOIN conditions c ON c.id = t.conditions AND (?2 IS NULL OR c.model = ?2 AND c.image = ?3)"
            " GROUP BY t.tree, t.task",
            (benchmark, model, image),
        )

    def tried(self, benchmark: str, setting: Setting | None = None) -> list[Tried]:
        """Every trial at a task that is not held out, of digests that are not in use any more as well."""
        model, image = (setting.model, setting.image) if setting else (None, None)
        rows = self._rows(
            "SELECT k.name, k.digest, w.hash, t.score, t.ending = 'integrity' FROM trials t"
            " JOIN tasks k ON k.id = t.task AND k.benchmark = ?1 AND k.split <> 'heldout'"
            " JOIN trees w ON w.id = t.tree"
            " JOIN conditions c ON c.id = t.conditions AND (?2 IS NULL OR c.model = ?2 AND c.image = ?3)"
            " ORDER BY t.id",
            (benchmark, model, image),
        )
        return [
            Tried(name, digest, tree, score, bool(flagged)) for name, digest, tree, score, flagged in rows
        ]

    def ended(self, benchmark: str) -> list[tuple[str, str, str, int, int]]:
        """How trials ended that were not plainly done: split, fault or nothing, ending, how many, of how many trees."""
        return self._rows(
            "SELECT k.split, coalesce(t.fault, ''), t.ending, count(*), count(DISTINCT t.tree) FROM trials t"
            " JOIN tasks k ON k.id = t.task AND k.benchmark = ? AND k.current WHERE t.ending <> 'done'"
            " GROUP BY k.split, t.fault, t.ending ORDER BY count(*) DESC, t.ending",
            (benchmark,),
        )

    def flagged(self, benchmark: str) -> list[tuple[int, str, int, str]]:
        """Trials in which something was found that an honest agent would not have left: agent, task, attempt, why."""
        return self._rows(
            "SELECT a.number, k.name, t.attempt, coalesce(e.why, '') FROM trials t JOIN agents a ON a.id = t.agent"
            " JOIN tasks k ON k.id = t.task AND k.benchmark = ? LEFT JOIN evidence e ON e.trial = t.id"
            " WHERE t.ending = 'integrity' ORDER BY a.number, k.name, t.attempt",
            (benchmark,),
        )

    def used(self, run: str) -> list[tuple[str, str, str, str, int]]:
        """What a run's own trials were of: task and digest, and under which model and image; with how many."""
        return self._rows(
            "SELECT k.name, k.digest, c.model, c.image, count(*) FROM trials t JOIN tasks k ON k.id = t.task"
            " JOIN conditions c ON c.id = t.conditions WHERE t.run = (SELECT id FROM runs WHERE name = ?)"
            " AND k.benchmark <> '' GROUP BY t.task, t.conditions ORDER BY k.name",
            (run,),
        )

    def tasks(self, benchmark: str) -> tuple[Task, ...]:
        """Those of the benchmark that are in use, by name; what they ask is not kept here."""
        rows = self._rows(
            "SELECT name, digest, split, coalesce(level, 1), coalesce(kind, ''), coalesce(weight, 1),"
            " coalesce(grading, '') FROM tasks WHERE benchmark = ? AND current ORDER BY name",
            (benchmark,),
        )
        return tuple(
            Task(name, digest, "", split=split, level=level, kind=kind, weight=weight, grading=grading)
            for name, digest, split, level, kind, weight, grading in rows
        )

    def wanted(self, benchmark: str) -> tuple[str, ...]:
        """Names of the benchmark's tasks in use that are run unasked: all but the held-out ones."""
        rows = self._rows(
            "SELECT name FROM tasks WHERE benchmark = ? AND current AND split <> 'heldout' ORDER BY name",
            (benchmark,),
        )
        return tuple(name for (name,) in rows)

    def seen_in(self, run: str) -> frozenset[str]:
        """The agents that a run made or has tried."""
        rows = self._rows(
            "SELECT hash FROM agents WHERE run = (SELECT id FROM runs WHERE name = ?1) UNION SELECT a.hash"
            " FROM trials t JOIN agents a ON a.id = t.agent WHERE t.run = (SELECT id FROM runs WHERE name = ?1)",
            (run,),
        )
        return frozenset(commit for (commit,) in rows)

    def improvements(self) -> tuple[Improvement, ...]:
        return self._at_one_moment(lambda: tuple(self._improvements({a.commit: a for a in self.agents()})))

    def verdicts(self) -> tuple[Verdict, ...]:
        rows = self._rows(
            f"SELECT a.hash, v.passed, v.reason, v.fault, {_USAGE.replace(', ', ', v.').replace('usd', 'v.usd')},"
            " v.trace, v.session, coalesce(r.name, ''), v.started FROM verdicts v JOIN agents a ON a.id = v.agent"
            " LEFT JOIN runs r ON r.id = v.run ORDER BY v.id"
        )
        return tuple(
            Verdict(row[0], bool(row[1]), row[2], row[3], Usage(*row[4 : 4 + _N]), *row[4 + _N :])
            for row in rows
        )

    def promotions(self) -> tuple[Promotion, ...]:
        rows = self._rows(
            "SELECT a.hash, p.why, coalesce(r.name, ''), p.at FROM promotions p JOIN agents a ON a.id = p.agent"
            " LEFT JOIN runs r ON r.id = p.run ORDER BY p.id"
        )
        return tuple(Promotion(*row) for row in rows)

    def runs(self) -> tuple[Run, ...]:
        rows = self._rows("SELECT name, started, config, ended, reason FROM runs ORDER BY id")
        return tuple(Run(name, at, json.loads(config), ended, why) for name, at, config, ended, why in rows)

    def glimpses(self) -> tuple[Glimpse, ...]:
        """Every time that held-out scores were shown."""
        rows = self._rows("SELECT at, who, command, benchmark, agents, trials FROM glimpses ORDER BY id")
        return tuple(
            Glimpse(at, who, command, benchmark, tuple(json.loads(agents)), trials)
            for at, who, command, benchmark, agents, trials in rows
        )

    def calls(self, session: str | None = None) -> tuple[Call, ...]:
        """Of one box's session, or all there are."""
        rows = self._rows(
            f"SELECT c.session, c.number, coalesce(r.name, ''), c.role, c.model, c.{_USAGE.replace(', ', ', c.')},"
            " c.state, c.at, coalesce(a.hash, ''), c.task FROM calls c LEFT JOIN runs r ON r.id = c.run"
            " LEFT JOIN agents a ON a.id = c.agent WHERE ?1 IS NULL OR c.session = ?1 ORDER BY c.session, c.number",
            (session,),
        )
        return tuple(Call(*(*row[:5], Usage(*row[5 : 5 + _N]), *row[5 + _N :])) for row in rows)

    def paid(self) -> tuple[tuple[float, str, str, float, int], ...]:
        """Time, run, role, dollars and number of model calls, in order of time; those of one second are one line."""
        rows = self._rows(
            "SELECT min(c.at), coalesce(r.name, ''), coalesce(c.role, ''), sum(c.usd), count(*) FROM calls c"
            " LEFT JOIN runs r ON r.id = c.run GROUP BY c.run, c.role, cast(c.at AS INTEGER) ORDER BY min(c.at)"
        )
        return tuple(rows)

    def spent(self, run: str) -> Usage:
        """Everything the run's sessions used, reservations of a crashed call included."""
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _USAGE.split(", "))
        (row,) = self._rows(
            f"SELECT {sums} FROM calls WHERE run = (SELECT id FROM runs WHERE name = ?)", (run,)
        )
        return Usage(*row)

    def accounts(
        self, by: Sequence[str], run: str | None = None
    ) -> Sequence[tuple[tuple[Any, ...], int, Usage]]:
        """What calls used, grouped by any of ACCOUNTS, the dearest first; with the number of rows of each group.

        Every call is in exactly one group, refused and failed ones and reservations of killed processes included.
        """
        keys = ", ".join(ACCOUNTS[name] for name in by)
        sums = ", ".join(f"sum(c.{name})" for name in _USAGE.split(", "))
        rows = self._rows(
            f"SELECT {keys}, count(*), {sums} FROM calls c LEFT JOIN runs r ON r.id = c.run"
            " LEFT JOIN agents a ON a.id = c.agent WHERE ?1 IS NULL OR r.name = ?1"
            f" GROUP BY {keys} ORDER BY sum(c.usd) DESC, {keys}",
            (run,),
        )
        n = len(by)
        return tuple((row[:n], row[n], Usage(*row[n + 1 :])) for row in rows)

    def prices(self, run: str) -> Mapping[str, Price]:
        """By model, as of the run's last call of it."""
        rows = self._rows(
            "SELECT model, price FROM prices WHERE run = (SELECT id FROM runs WHERE name = ?) ORDER BY since",
            (run,),
        )
        return {model: _price(json.loads(price)) for model, price in rows}

    def books(self) -> Books:
        named = "FROM {} x JOIN runs r ON r.id = x.run ORDER BY x.rowid"
        return Books(
            self._rows("SELECT r.name, x.model, x.since, x.price " + named.format("prices")),
            self._rows("SELECT r.name, x.began, x.ended " + named.format("sittings")),
        )

    def taken(self, model: str) -> Sequence[tuple[str, str, Usage]]:
        """Tree, digest and usage of every scored trial under a model, whatever its benchmark and limits."""
        rows = self._rows(
            f"SELECT w.hash, k.digest, t.{_USAGE.replace(', ', ', t.')} FROM conditions c JOIN trials t"
            " ON t.conditions = c.id AND t.score IS NOT NULL JOIN trees w ON w.id = t.tree"
            " JOIN tasks k ON k.id = t.task WHERE c.model = ? ORDER BY t.id",
            (model,),
        )
        return tuple((tree, digest, Usage(*used)) for tree, digest, *used in rows)

    def worked(self, run: str) -> float:
        """Seconds that were worked on the run, all sittings together; a killed one lasted to its last sign of life."""
        rows = self._rows(
            "SELECT s.began, s.ended, (SELECT min(n.began) FROM sittings n WHERE n.id > s.id) FROM sittings s"
            " WHERE s.run = (SELECT id FROM runs WHERE name = ?)",
            (run,),
        )
        lasted = [(ended or self._last_sign(run, began, after)) - began for began, ended, after in rows]
        return float(sum(lasted))

    def _last_sign(self, run: str, began: float, before: float | None) -> float:
        """The latest moment between the two that a row of the run tells of."""
        signs = " UNION ALL ".join(
            f"SELECT max({when}) FROM {table} WHERE run = (SELECT id FROM runs WHERE name = ?1)"
            f" AND {when} BETWEEN ?2 AND ?3"
            for table, when in (
                ("calls", "at"),
                ("trials", "started + seconds"),
                ("improvements", "started + seconds"),
                ("verdicts", "started + seconds"),
            )
        )
        times = [at for (at,) in self._rows(signs, (run, began, before or time.time())) if at is not None]
        return float(max([began, *times]))

    def spent_by_day(self, since: float) -> Mapping[int, Usage]:
        """What every run of this store used on each UTC day from that time on, by the number of the day."""
        sums = ", ".join(f"sum({name})" for name in _USAGE.split(", "))
        rows = self._rows(
            f"SELECT CAST(at / 86400 AS INTEGER) AS day, {sums} FROM calls WHERE at >= ? GROUP BY day",
            (since,),
        )
        return {day: Usage(*used) for day, *used in rows}

    def summaries(
        self,
        benchmark: str | None = None,
        *,
        split: Split | None = None,
        setting: Setting | None = None,
    ) -> Sequence[Summary]:
        """The leaderboard, best first: a line for each agent and benchmark it has trials of.

        Only digests in use count (`see_tasks`), and without a split only those that are not held out. Without a
        setting, trials under any are counted together: right for what was spent, wrong for scores that are to be
        compared (`settings` tells which there are).
        """
        where = ["s.split <> 'heldout'" if split is None else "s.split = ?"]
        values: list[str] = []
        if split is not None:
            values.append(split)
        if benchmark is not None:
            where.append("s.benchmark = ?")
            values.append(benchmark)
        if setting is not None:
            where.append("s.conditions IN (SELECT id FROM conditions WHERE model = ? AND image = ?)")
            values += (setting.model, setting.image)
        sums = ", ".join(
            f"sum(s.{name})" for name in ("n", "total", "squares", "faults", *_USAGE.split(", "))
        )
        rows = self._rows(
            f"SELECT a.hash, s.benchmark, {sums} FROM totals s JOIN agents a ON a.tree = s.tree"
            f" WHERE {' AND '.join(where)} GROUP BY a.id, s.benchmark"
            " ORDER BY s.benchmark, sum(s.total) / sum(s.n) DESC, a.number",
            tuple(values),
        )
        return tuple(Summary(*(*row[:6], Usage(*row[6:]))) for row in rows)

    # ── git and back ──────────────────────────────────────────────────────────────────────────────

    def notes(self) -> Unnoted:
        """Everything recorded that git has not been told, and the score lines of the agents it touches."""

        def read() -> Unnoted:
            told: dict[str, int] = dict(self._rows("SELECT kind, upto FROM noted"))
            lines: dict[str, list[str]] = {}
            upto: dict[str, int] = {}
            scored: set[str] = set()
            for kind, sql in _NOTES.items():
                for id_, commit, *facts in self._rows(sql, (told.get(kind, 0),)):
                    upto[kind] = id_
                    line = {"v": 1, "kind": kind, "n": id_, **dict(zip(_NOTED[kind], facts, strict=True))}
                    lines.setdefault(commit, []).append(json.dumps(line, separators=(",", ":")))
                    if kind == "trial":
                        scored.add(commit)
            evaluations = {commit: tuple(of) for commit, of in lines.items()}
            reviews: dict[str, tuple[str, ...]] = {}
            for id_, commit, *facts in self._rows(_RULINGS, (told.get("ruling", 0),)):
                upto["ruling"] = id_
                line = {"v": 1, "kind": "ruling", **dict(zip(_RULED, facts, strict=True))}
                text = json.dumps({k: v for k, v in line.items() if v not in ("", None)}, ensure_ascii=False)
                reviews[commit] = (*reviews.get(commit, ()), text)
            return Unnoted(self._score_lines(scored), evaluations, upto, reviews)

        return self._at_one_moment(read)

    def noted(self, what: Unnoted) -> None:
        """Remember that git has been told."""
        if what.upto:
            with self._transaction() as run:
                run.executemany(
                    "INSERT INTO noted (kind, upto) VALUES (?, ?) ON CONFLICT (kind) DO UPDATE"
                    " SET upto = max(upto, excluded.upto)",
                    list(what.upto.items()),
                )

    def restore(
        self,
        agents: Iterable[Agent],
        lines: Mapping[str, Iterable[str]],
        champion: str = "",
        runs: Iterable[Run] = (),
        calls: Sequence[Call] = (),
        books: Books = Books(),  # noqa: B008 - frozen
        glimpses: Iterable[Glimpse] = (),
        requests: Sequence[Request] = (),
        reviews: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Fill an empty ledger from git: agents from branches, outcomes from notes, the champion from main.

        `reviews` give rulings, and what people said that is not among the `requests`.
        Without the calls themselves, what a run had spent is restored as one settled call per outcome, so that its
        cap still holds.
        """
        by_commit = {a.commit: a for a in agents}
        told = sorted(_told(lines, by_commit), key=lambda line: (_KINDS.index(line["kind"]), line["n"]))
        with self._transaction() as run:
            for one in runs:
                _insert_run(run, one)
            for line in told:
                if line["kind"] == "trial" and line.get("split"):
                    _insert_task(run, line["task"], line["digest"], line["split"])
            for agent in by_commit.values():
                _insert_agent(run, agent)
            for call in calls:
                _upsert_call(run, call)
            books.write(run)
            for glimpse in glimpses:
                _insert_glimpse(run, glimpse)
            _restore_said(run, reviews or {}, by_commit, requests)
            last = ""
            for line in told:
                outcome = _outcome(line, by_commit)
                if _insert(run, outcome) and not calls and not isinstance(outcome, Promotion):
                    _restore_call(run, outcome, line)
                last = outcome.agent if isinstance(outcome, Promotion) else last
            first = next(iter(by_commit), "")
            if champion and champion in by_commit and champion != (last or first):
                _insert(run, Promotion(champion, "restored from main", at=by_commit[champion].created))
            tables = ("improvements", "verdicts", "trials", "promotions", "rulings")
            for kind, table in zip((*_KINDS, "ruling"), tables, strict=True):
                (upto,) = run.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()
                run.execute("INSERT INTO noted (kind, upto) VALUES (?, ?)", (kind, upto))

    def take(self, other: SqliteLedger, origin: str, dry: bool = False) -> Taken:
        """Record the scored trials that another archive has of code that is here, too.

        A trial is its tree, task digest, attempt and conditions: one that is known stays as it is, and one under
        other conditions is never mixed with ours. Its run becomes `import:ORIGIN:RUN`; its trace is not here.
        """
        ours = {tree: commit for commit, tree in reversed([(a.commit, a.tree) for a in self.agents()])}
        known = {
            tuple(row)
            for row in self._rows(
                "SELECT w.hash, k.digest, t.attempt, c.hash FROM trials t JOIN trees w ON w.id = t.tree"
                " JOIN tasks k ON k.id = t.task JOIN conditions c ON c.id = t.conditions WHERE t.score IS NOT NULL"
            )
        }
        theirs = {a.tree: a.commit for a in other.agents()}
        found = [t for commit in theirs.values() for t in other.trials_of(commit) if t.score is not None]
        shared = [t for t in found if t.tree in ours]
        fresh = [t for t in shared if (t.tree, t.digest, t.attempt, t.conditions) not in known]
        if fresh and not dry:
            with self._transaction() as run:
                for t in fresh:
                    name = f"{IMPORTED}{origin}:{t.run}"
                    _insert_trial(run, replace(t, agent=ours[t.tree], run=name, trace="", session=""))
        return Taken(
            len(fresh), len(shared) - len(fresh), len(found) - len(shared), len({t.tree for t in fresh})
        )

    def imported(self, benchmark: str | None = None) -> int:
        """Trials that were measured in another archive."""
        rows = self._rows(
            "SELECT count(*) FROM trials t JOIN runs r ON r.id = t.run JOIN tasks k ON k.id = t.task"
            " WHERE r.name LIKE ?1 || '%' AND (?2 IS NULL OR k.benchmark = ?2 AND k.current)",
            (IMPORTED, benchmark),
        )
        return int(rows[0][0])

    def check(self) -> list[str]:
        """What is wrong with the ledger, a line each; empty when it is healthy."""
        found = [f"integrity: {line}" for (line,) in self._rows("PRAGMA integrity_check") if line != "ok"]
        found += [f"foreign key: {row}" for row in self._rows("PRAGMA foreign_key_check")]
        key = "tree, benchmark, split, conditions, n, faults"
        recount = f"SELECT {key} FROM ({_RECOUNT} {_RECOUNT_BY})"
        off = self._rows(f"SELECT {key} FROM totals EXCEPT {recount}")
        off += self._rows(f"{recount} EXCEPT SELECT {key} FROM totals")
        if off:
            found.append(f"{len(off)} summaries differ from the trials they count: sica db rebuild")
        return found

    # ── within ────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        if self.readonly:
            raise StoreError(f"{self.path} was opened for reading only")
        with self._lock, _plainly(self.path):
            run = self._connection
            if not durable:
                run.execute("PRAGMA synchronous = NORMAL")
            try:
                run.execute("BEGIN IMMEDIATE")
                try:
                    yield run
                    run.execute("COMMIT")
                except BaseException:
                    if run.in_transaction:
                        run.execute("ROLLBACK")
                    raise
            finally:
                if not durable:
                    run.execute("PRAGMA synchronous = FULL")

    def _at_one_moment(self, read: Callable[[], T]) -> T:
        """Several reads that see the same state, whatever a writer does meanwhile."""
        with self._lock, _plainly(self.path):
            resting = self._stamp
            if resting is not None:
                try:
                    answer = read()
                except LookupError:
                    if self._stamp == resting:
                        raise
                else:
                    if self._stamp == resting:
                        return answer
            self._connection.execute("BEGIN")
            try:
                return read()
            finally:
                self._connection.execute("COMMIT")

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._lock, _plainly(self.path):
            if self._stamp is None:
                return self._connection.execute(sql, values).fetchall()
            return self._rows_of_a_file_at_rest(sql, values)

    def _rows_of_a_file_at_rest(self, sql: str, values: Sequence[Any]) -> list[Row]:
        """Read without locks, then make sure that no writer came meanwhile; if one did, read again with locks."""
        rows: list[Row] | None
        try:
            rows = self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError:
            if _stamp(self.path) == self._stamp:
                raise
            rows = None
        if rows is not None and _stamp(self.path) == self._stamp:
            return rows
        self._connection.close()
        self._stamp = _stamp(self.path)
        self._connection = _connect_readonly(self.path, self._stamp is not None)
        return self._rows(sql, values)

    def _trials_under(self, conditions: Mapping[str, str]) -> Iterator[Trial]:
        """Names are put in here, not by joins: they are shared by thousands of rows, and this halves the time."""
        tasks = {
            id_: (name, digest) for id_, name, digest in self._rows("SELECT id, name, digest FROM tasks")
        }
        agents, trees = (self._names(f"SELECT id, hash FROM {table}") for table in ("agents", "trees"))
        under = {
            id_: (hash_, Setting(model, image))
            for id_, hash_, model, image in self._rows("SELECT id, hash, model, image FROM conditions")
        }
        runs = self._names("SELECT id, name FROM runs")
        digests, hashes = {d: id_ for id_, (_, d) in tasks.items()}, {h: id_ for id_, (h, _) in under.items()}
        asked = [(digests[d], hashes[c]) for d, c in conditions.items() if d in digests and c in hashes]
        rows = self._rows(
            f"""SELECT t.agent, t.tree, t.task, t.attempt, t.conditions, t.score, t.fault, t.ending, t.grading, t.run,
                t.started, e.trace, e.session, e.why, t.{_USAGE.replace(", ", ", t.")}
                FROM trials t LEFT JOIN evidence e ON e.trial = t.id WHERE (t.task, t.conditions) IN
                (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)) ORDER BY t.id""",
            (json.dumps(asked),),
        )
        for (
            agent,
            tree,
            task,
            attempt,
            cond,
            score,
            fault,
            ending,
            grading,
            run,
            at,
            trace,
            session,
            why,
            *used,
        ) in rows:
            yield Trial(
                agents[agent],
                trees[tree],
                *tasks[task],
                attempt,
                under[cond][0],
                score,
                fault,
                ending,
                grading,
                Usage(*used),
                trace or "",
                session or "",
                runs[run] if run else "",
                at,
                why or "",
                setting=under[cond][1],
            )

    def _names(self, sql: str) -> dict[int, str]:
        return dict(self._rows(sql))

    def _improvements(self, agents: Mapping[str, Agent]) -> Iterator[Improvement]:
        rows = self._rows(
            f"SELECT p.hash, c.hash, i.ending, i.{_USAGE.replace(', ', ', i.')}, i.trace, i.session,"
            " coalesce(r.name, ''), i.started, i.why, coalesce(o.hash, '')"
            " FROM improvements i JOIN agents p ON p.id = i.parent LEFT JOIN agents o ON o.id = i.other"
            " LEFT JOIN agents c ON c.id = i.child LEFT JOIN runs r ON r.id = i.run ORDER BY i.id"
        )
        for parent, child, ending, *rest in rows:
            made = agents[child] if child else None
            yield Improvement(parent, made, ending, Usage(*rest[:_N]), *rest[_N:])

    def _champion(self) -> tuple[str, float]:
        """The last one promoted and when; nobody before any promotion."""
        rows = self._rows(
            "SELECT a.hash, p.at FROM promotions p JOIN agents a ON a.id = p.agent ORDER BY p.id DESC LIMIT 1"
        )
        return rows[0] if rows else ("", 0.0)

    def _settled(self) -> int:
        """Ids are dense, because nothing is ever deleted."""
        tables = ("trials", "improvements", "verdicts", "promotions")
        each = " + ".join(f"(SELECT coalesce(max(id), 0) FROM {table})" for table in tables)
        return int(self._rows(f"SELECT {each}")[0][0])

    def _score_lines(self, commits: set[str]) -> dict[str, str]:
        """Under each benchmark's latest setting: a note is one line for people, and the eval notes hold the rest."""
        if not commits:
            return {}
        lines: dict[str, list[str]] = {}
        for (benchmark,) in self._rows("SELECT DISTINCT benchmark FROM totals ORDER BY benchmark"):
            setting = self.settings(benchmark)[0]
            scores = self.scores(benchmark, sorted(commits), setting)
            for summary in self.summaries(benchmark, setting=setting):
                known = estimate(by_task(scores.get(summary.agent, {})).values())
                if known and summary.agent in commits:
                    line = score_line(known, benchmark, summary.usage.usd, setting.model)
                    lines.setdefault(summary.agent, []).append(line)
        return {commit: "; ".join(of) for commit, of in lines.items()}


def score_line(known: Estimate, benchmark: str, usd: float, model: str) -> str:
    """56.0% ±6.5  core  n=48  $13.92  gpt-5-mini: ± is half of the 95 % interval."""
    half = 50 * (known.high - known.low)
    return f"{known.mean:.1%} ±{half:.1f}  {benchmark}  n={known.n}  ${usd:.2f}  {model}".rstrip()


def rebuild(
    path: Path,
    agents: Iterable[Agent],
    lines: Mapping[str, Iterable[str]],
    champion: str = "",
    reviews: Mapping[str, Iterable[str]] | None = None,
) -> Path | None:
    """Make the ledger again from git alone, then put it in the place of the old one.

    `lines` are the notes of evaluations by commit, `reviews` those of what was said and ruled. What git does not
    hold is taken over when the old file can still be read: what the runs were configured with, how long they took,
    at which prices, every single model call, when held-out scores were shown, and what people asked for.
    Returns the folder that keeps the old one, None when there was none. Hold the run lock. A kill at any moment
    leaves the old or the new ledger, and running it again is safe.
    """
    fresh = path.with_name(f"{path.name}.new")
    with _plainly(path):
        for left in _files_of(fresh):
            left.unlink(missing_ok=True)
        remembered = _remembered(path)
        with SqliteLedger.open(fresh) as ledger:
            ledger.restore(agents, lines, champion, *remembered, reviews)
        aside = _put_aside(path) if path.exists() else None
        for left in _files_of(path)[1:]:
            left.unlink(missing_ok=True)  # a write-ahead log of the old file would be played into the new one
        fresh.replace(path)
        _sync_folder(path.parent)
    return aside


_Remembered = tuple[Sequence[Run], Sequence[Call], Books, Sequence[Glimpse], Sequence[Request]]


def _remembered(path: Path) -> _Remembered:
    """What only the old file knows; nothing when it is not there or damaged, which is why it is rebuilt."""
    nothing: _Remembered = ((), (), Books(), (), ())
    try:
        with SqliteLedger.open(path, readonly=True) as old:
            if old.check():
                return nothing
            return old.runs(), old.calls(), old.books(), old.glimpses(), old.requests()
    except SicaError:
        return nothing


def _trial(row: Row) -> Trial:
    *told, model, image, detail = row
    details = json.loads(detail) if detail else {}
    return Trial(*(*told[:10], Usage(*told[10 : 10 + _N]), *told[10 + _N :], details, Setting(model, image)))


def _price(told: Mapping[str, Any]) -> Price:
    dearer = told.get("dearer")
    return Price(**{**told, "dearer": _price(dearer) if dearer else None})


def _usage_row(usage: Usage) -> Row:
    return (
        usage.usd,
        usage.prompt_tokens,
        usage.cached_tokens,
        usage.completion_tokens,
        usage.calls,
        usage.seconds,
        usage.cache_write_tokens,
    )


def _insert(run: sqlite3.Connection, outcome: Outcome) -> bool:
    """With what was ruled on it, unless it was known."""
    match outcome:
        case Trial():
            agent, fresh = outcome.agent, _insert_trial(run, outcome)
        case Improvement():
            agent, fresh = outcome.parent, _insert_improvement(run, outcome)
        case Verdict():
            agent, fresh = outcome.agent, _insert_verdict(run, outcome)
        case Promotion():
            done = run.execute(
                "INSERT INTO promotions (agent, why, run, at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
                (_agent_id(run, outcome.agent), outcome.why, _run_id(run, outcome.run), outcome.at),
            )
            return done.rowcount == 1
    for ruling in outcome.rulings if fresh else ():
        _insert_ruling(run, ruling, agent)
    return fresh


def _insert_ruling(run: sqlite3.Connection, ruling: Ruling, agent: str) -> None:
    run.execute(
        "INSERT INTO rulings (agent, session, at, action, by, span, text) VALUES (?,?,?,?,?,?,?)",
        (
            _agent_id(run, agent),
            ruling.session,
            ruling.at,
            ruling.action,
            ruling.by,
            ruling.span,
            ruling.text,
        ),
    )


def _insert_request(run: sqlite3.Connection, request: Request) -> int:
    """With its answer, if it has one; its new id."""
    done = run.execute(
        "INSERT INTO requests (kind, at, by, agent, session, text)"
        " VALUES (?,?,?, (SELECT id FROM agents WHERE hash = ?),?,?)",
        (request.kind, request.at, request.by, request.agent, request.session, request.text),
    )
    made = int(done.lastrowid or 0)
    if request.state != "pending":
        run.execute(
            "INSERT INTO answers (request, at, state, text) VALUES (?,?,?,?)",
            (made, request.answered or request.at, request.state, request.answer),
        )
    return made


def _insert_trial(run: sqlite3.Connection, trial: Trial) -> bool:
    done = run.execute(
        "INSERT INTO trials (agent, tree, task, attempt, conditions, run, score, fault, ending, grading, started,"
        f" {_USAGE}) VALUES (?,?,?,?,?,?,?,?,?,?,?, {_MARKS}) ON CONFLICT DO NOTHING",
        (
            _agent_id(run, trial.agent),
            _tree_id(run, trial.tree),
            _insert_task(run, trial.task, trial.digest),
            trial.attempt,
            _conditions_id(run, trial.conditions, trial.setting),
            _run_id(run, trial.run),
            trial.score,
            trial.fault,
            trial.ending,
            trial.grading,
            trial.started,
            *_usage_row(trial.usage),
        ),
    )
    if done.rowcount != 1:
        return False
    detail = json.dumps(dict(trial.detail), default=str) if trial.detail else None
    if trial.trace or trial.session or trial.why or detail:
        run.execute(
            "INSERT INTO evidence (trial, trace, session, why, detail) VALUES (?,?,?,?,?)",
            (done.lastrowid, trial.trace, trial.session, trial.why, detail),
        )
    return True


def _insert_improvement(run: sqlite3.Connection, made: Improvement) -> bool:
    child = None
    if made.child is not None:
        _insert_agent(run, made.child)
        child = _agent_id(run, made.child.commit)
    done = run.execute(
        f"INSERT INTO improvements (parent, other, child, ending, run, trace, session, started, why, {_USAGE})"
        f" VALUES (?,?,?,?,?,?,?,?,?, {_MARKS}) ON CONFLICT DO NOTHING",
        (
            _agent_id(run, made.parent),
            _agent_id(run, made.other) if made.other else None,
            child,
            made.ending,
            _run_id(run, made.run),
            made.trace,
            made.session,
            made.started,
            made.why,
            *_usage_row(made.usage),
        ),
    )
    return done.rowcount == 1


def _from_commit(agent: Agent) -> Improvement:
    return Improvement(
        agent.parents[0],
        agent,
        "child",
        Usage(usd=agent.cost_usd),
        agent.trace,
        run=agent.run,
        started=agent.created,
        why="taken from its commit: the row was not written",
        other=agent.parents[1] if agent.operator == "merge" else "",
    )


def _insert_verdict(run: sqlite3.Connection, verdict: Verdict) -> bool:
    done = run.execute(
        f"INSERT INTO verdicts (agent, passed, reason, fault, run, trace, session, started, {_USAGE})"
        f" VALUES (?,?,?,?,?,?,?,?, {_MARKS}) ON CONFLICT DO NOTHING",
        (
            _agent_id(run, verdict.agent),
            verdict.passed,
            verdict.reason,
            verdict.fault,
            _run_id(run, verdict.run),
            verdict.trace,
            verdict.session,
            verdict.started,
            *_usage_row(verdict.usage),
        ),
    )
    return done.rowcount == 1


_AS_TOLD = ", ".join(f"{name} = excluded.{name}" for name in _USAGE.split(", "))


def _upsert_call(run: sqlite3.Connection, call: Call) -> None:
    run.execute(
        f"INSERT INTO calls (session, number, run, role, model, state, at, agent, task, {_USAGE})"
        f" VALUES (?,?,?,?,?,?,?, (SELECT id FROM agents WHERE hash = ?),?, {_MARKS})"
        " ON CONFLICT (session, number) DO UPDATE SET run = excluded.run, role = excluded.role,"
        " model = excluded.model, state = excluded.state, at = excluded.at, agent = excluded.agent,"
        f" task = excluded.task, {_AS_TOLD} WHERE calls.state = 'reserved'",
        (
            call.session,
            call.number,
            _run_id(run, call.run),
            call.role,
            call.model,
            call.state,
            call.at,
            call.agent,
            call.task,
            *_usage_row(call.usage),
        ),
    )


def _insert_glimpse(run: sqlite3.Connection, glimpse: Glimpse) -> None:
    run.execute(
        "INSERT INTO glimpses (at, who, command, benchmark, agents, trials) VALUES (?,?,?,?,?,?)",
        (
            glimpse.at,
            glimpse.who,
            glimpse.command,
            glimpse.benchmark,
            json.dumps(glimpse.agents),
            glimpse.trials,
        ),
    )


def _insert_run(run: sqlite3.Connection, one: Run) -> None:
    run.execute(
        "INSERT INTO runs (name, started, config, ended, reason) VALUES (?,?,?,?,?)",
        (one.id, one.started, json.dumps(dict(one.config)), one.ended, one.reason),
    )


def _insert_agent(run: sqlite3.Connection, agent: Agent) -> bool:
    """The standing comes from verdicts only."""
    other = run.execute(
        "SELECT hash FROM agents WHERE number = ? AND hash <> ?", (agent.number, agent.commit)
    ).fetchone()
    if other is not None:
        raise _moved(agent, other[0])
    done = run.execute(
        "INSERT INTO agents (number, hash, tree, subject, body, operator, run, model, cost_usd, trace, created)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (hash) DO NOTHING",
        (
            agent.number,
            agent.commit,
            _tree_id(run, agent.tree),
            agent.subject,
            agent.body,
            agent.operator,
            _run_id(run, agent.run),
            agent.model,
            agent.cost_usd,
            agent.trace,
            agent.created,
        ),
    )
    if done.rowcount != 1:
        return False
    run.executemany(
        "INSERT INTO parents (child, position, parent) VALUES (?,?,?)",
        [(done.lastrowid, n, _agent_id(run, p)) for n, p in enumerate(agent.parents)],
    )
    return True


def _moved(agent: Agent, was: str) -> StoreError:
    return StoreError(
        f"{agent.name} is {agent.commit[:12]} in git and {was[:12]} in the ledger",
        f"a branch moved by hand goes back: sica git update-ref refs/heads/{agent.name} {was}\n"
        "else: sica db rebuild makes the ledger again from git",
    )


def _insert_task(run: sqlite3.Connection, name: str, digest: str, split: str = "train") -> int:
    """A task that `see_tasks` never told of (then its level is unknown) does not displace one that it did."""
    found = run.execute("SELECT id FROM tasks WHERE digest = ?", (digest,)).fetchone()
    if found is None:
        found = run.execute(
            "INSERT INTO tasks (digest, name, benchmark, split, current) VALUES (?1, ?2, ?3, ?4, NOT EXISTS"
            " (SELECT 1 FROM tasks WHERE name = ?2 AND current AND level IS NOT NULL)) RETURNING id",
            (digest, name, name.rpartition("/")[0], split),
        ).fetchone()
    return int(found[0])


def _agent_id(run: sqlite3.Connection, commit: str) -> int:
    found = run.execute("SELECT id FROM agents WHERE hash = ?", (commit,)).fetchone()
    if found is None:
        raise StoreError(f"the ledger knows no agent {commit}", "sica doctor --fix adds those that git has")
    return int(found[0])


def _run_id(run: sqlite3.Connection, name: str) -> int | None:
    """A run that git knows and this ledger does not (a rebuilt or a shared store) gets a row of its own."""
    if not name:
        return None
    found = run.execute("SELECT id FROM runs WHERE name = ?", (name,)).fetchone()
    if found is None:
        found = run.execute(
            "INSERT INTO runs (name, started, config, reason) VALUES (?, 0, '{}', '') RETURNING id", (name,)
        ).fetchone()
    return int(found[0])


def _tree_id(run: sqlite3.Connection, tree: str) -> int:
    found = run.execute("SELECT id FROM trees WHERE hash = ?", (tree,)).fetchone()
    if found is None:
        found = run.execute("INSERT INTO trees (hash) VALUES (?) RETURNING id", (tree,)).fetchone()
    return int(found[0])


def _conditions_id(run: sqlite3.Connection, name: str, setting: Setting) -> int:
    found = run.execute("SELECT id FROM conditions WHERE hash = ?", (name,)).fetchone()
    if found is None:
        found = run.execute(
            "INSERT INTO conditions (hash, model, image) VALUES (?, ?, ?) RETURNING id",
            (name, setting.model, setting.image),
        ).fetchone()
    return int(found[0])


def _is_run_number(name: str) -> bool:
    return name.startswith("r") and name[1:].isascii() and name[1:].isdecimal()


_RECOUNT = f"""
SELECT t.tree, k.benchmark, k.split, t.conditions, count(t.score) AS n, coalesce(sum(t.score), 0.0),
  coalesce(sum(t.score * t.score), 0.0), sum(t.score IS NULL) AS faults,
  sum(t.{_USAGE.replace(", ", "), sum(t.")}), max(t.id)
FROM trials t JOIN tasks k ON k.id = t.task AND k.current = 1"""
_RECOUNT_BY = "GROUP BY t.tree, k.benchmark, k.split, t.conditions"


# ── lines in git ──────────────────────────────────────────────────────────────────────────────────

_KINDS = ("improvement", "verdict", "trial", "promotion")
"""In the order in which they are restored."""

_COMMON = ("run", "trace", "session", "started", *_USAGE.split(", "))
_NOTED = {
    "improvement": ("parent", "other", "child", "ending", "why", *_COMMON),
    "verdict": ("passed", "reason", "fault", *_COMMON),
    "trial": (
        "task",
        "digest",
        "split",
        "attempt",
        "conditions",
        "model",
        "image",
        "score",
        "fault",
        "ending",
        "grading",
        "why",
        *_COMMON,
    ),
    "promotion": ("why", "run", "at"),
}
_TRIAL_FACTS = tuple(n for n in _NOTED["trial"] if n not in ("split", "model", "image", *_USAGE.split(", ")))
_COMMON_SQL = f"coalesce(r.name, ''), x.trace, x.session, x.started, x.{_USAGE.replace(', ', ', x.')}"
_NOTES = {
    "improvement": f"""SELECT x.id, coalesce(c.hash, p.hash), p.hash, coalesce(o.hash, ''), c.hash, x.ending, x.why,
        {_COMMON_SQL} FROM improvements x JOIN agents p ON p.id = x.parent
        LEFT JOIN agents o ON o.id = x.other LEFT JOIN agents c ON c.id = x.child
        LEFT JOIN runs r ON r.id = x.run WHERE x.id > ? ORDER BY x.id""",
    "verdict": f"""SELECT x.id, a.hash, x.passed, x.reason, x.fault, {_COMMON_SQL}
        FROM verdicts x JOIN agents a ON a.id = x.agent LEFT JOIN runs r ON r.id = x.run
        WHERE x.id > ? ORDER BY x.id""",
    "trial": f"""SELECT x.id, a.hash, k.name, k.digest, k.split, x.attempt, c.hash, c.model, c.image,
        x.score, x.fault, x.ending, x.grading, coalesce(e.why, ''), coalesce(r.name, ''),
        coalesce(e.trace, ''), coalesce(e.session, ''), x.started, x.{_USAGE.replace(", ", ", x.")}
        FROM trials x JOIN agents a ON a.id = x.agent JOIN tasks k ON k.id = x.task
        JOIN conditions c ON c.id = x.conditions LEFT JOIN runs r ON r.id = x.run
        LEFT JOIN evidence e ON e.trial = x.id WHERE x.id > ? ORDER BY x.id""",
    "promotion": """SELECT x.id, a.hash, x.why, coalesce(r.name, ''), x.at FROM promotions x
        JOIN agents a ON a.id = x.agent LEFT JOIN runs r ON r.id = x.run WHERE x.id > ? ORDER BY x.id""",
}


_RULED = ("at", "by", "action", "span", "text", "of", "task", "split", "attempt", "session", "trace")
_RULINGS = """SELECT x.id, a.hash, x.at, x.by, x.action, x.span, x.text,
        CASE WHEN e.trial IS NOT NULL THEN 'trial' WHEN i.id IS NOT NULL THEN 'improvement' ELSE 'gate' END,
        k.name, k.split, t.attempt, x.session, coalesce(e.trace, i.trace, v.trace)
        FROM rulings x JOIN agents a ON a.id = x.agent LEFT JOIN evidence e ON e.session = x.session
        LEFT JOIN trials t ON t.id = e.trial LEFT JOIN tasks k ON k.id = t.task
        LEFT JOIN improvements i ON i.session = x.session LEFT JOIN verdicts v ON v.session = x.session
        WHERE x.id > ? ORDER BY x.id"""


def _said(
    reviews: Mapping[str, Iterable[str]], agents: Mapping[str, Agent], kinds: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines of refs/notes/sica/review of these kinds, oldest first; what others wrote there is not ours to judge."""
    found = []
    for commit in (c for c in reviews if c in agents):
        for text in reviews[commit]:
            with suppress(ValueError):
                line = json.loads(text)
                known = isinstance(line, dict) and line.get("v") == 1 and line.get("kind") in kinds
                if known and isinstance(line.get("at"), int | float):
                    found.append((commit, line))
    return iter(sorted(found, key=lambda pair: pair[1]["at"]))


def _ruled(reviews: Mapping[str, Iterable[str]], agents: Mapping[str, Agent]) -> Iterator[tuple[Ruling, str]]:
    for commit, line in _said(reviews, agents, ("ruling",)):
        by, span, text, session = (str(line.get(name, "")) for name in ("by", "span", "text", "session"))
        match line.get("action"):
            case "notice" | "cancel" as action:
                yield Ruling(action, by, span, text, line["at"], session), commit


def _unasked(
    reviews: Mapping[str, Iterable[str]], agents: Mapping[str, Agent], asked: Sequence[Request]
) -> Iterator[Request]:
    """What people said of agents that is in git alone. Nobody knows any more what a run answered."""
    known = {(r.kind, round(r.at, 3), r.agent) for r in asked}
    for commit, line in _said(reviews, agents, ("comment", "approve", "reject")):
        if (line["kind"], line["at"], commit) not in known:
            by, text = (str(line.get(name, "")) for name in ("by", "text"))
            yield Request(
                line["kind"],
                line["at"],
                by,
                commit,
                text=text,
                state="done",
                answer="restored from git",
                answered=line["at"],
            )


def _told(lines: Mapping[str, Iterable[str]], agents: Mapping[str, Agent]) -> Iterator[dict[str, Any]]:
    """The lines that this version of sica understands; text that people added to a note is not ours to judge."""
    for commit, of in lines.items():
        for text in of:
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict) and line.get("v") == 1 and line.get("kind") in _KINDS:
                    if commit not in agents:
                        raise StoreError(
                            f"git has notes of {commit} but no branch of that agent", "sica git fsck"
                        )
                    yield {**line, "commit": commit}


def _outcome(line: Mapping[str, Any], agents: Mapping[str, Agent]) -> Outcome:
    commit = line["commit"]
    try:
        if line["kind"] == "promotion":
            return Promotion(commit, line["why"], line["run"], line["at"])
        old = {"cache_write_tokens": 0}  # of notes that were written before it was counted
        usage = Usage(**{name: {**old, **line}[name] for name in _USAGE.split(", ")})
        tail = (usage, line["trace"], line["session"], line["run"], line["started"])
        if line["kind"] == "verdict":
            return Verdict(commit, bool(line["passed"]), line["reason"], line["fault"], *tail)
        if line["kind"] == "improvement":
            child = agents[line["child"]] if line["child"] else None
            other = line.get("other") or ""  # notes of before there were merges have none
            return Improvement(line["parent"], child, line["ending"], *tail, line["why"], other)
        return Trial(
            agent=commit,
            tree=agents[commit].tree,
            **{name: line[name] for name in _TRIAL_FACTS},
            usage=usage,
            setting=Setting(line["model"], line["image"]),
        )
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"a note of {commit} lacks {error}: {dict(line)}", "sica git notes --ref sica/eval"
        ) from error


def _restore_said(
    run: sqlite3.Connection,
    reviews: Mapping[str, Iterable[str]],
    agents: Mapping[str, Agent],
    requests: Sequence[Request],
) -> None:
    for request in (*requests, *_unasked(reviews, agents, requests)):
        _insert_request(run, request)
    for ruling, commit in _ruled(reviews, agents):
        _insert_ruling(run, ruling, commit)


def _restore_call(
    run: sqlite3.Connection, outcome: Trial | Improvement | Verdict, line: Mapping[str, Any]
) -> None:
    if outcome.run and (outcome.usage.calls or outcome.usage.usd):
        session = outcome.session or f"restored/{line['kind']}/{line['n']}"
        run.execute(
            f"INSERT INTO calls (session, number, run, role, model, state, at, agent, task, {_USAGE})"
            " VALUES (?,0,?,'restored','','settled',?, (SELECT id FROM agents WHERE hash = ?),?,"
            f" {_MARKS}) ON CONFLICT DO NOTHING",
            (
                session,
                _run_id(run, outcome.run),
                outcome.started,
                outcome.parent if isinstance(outcome, Improvement) else outcome.agent,
                outcome.task if isinstance(outcome, Trial) else "",
                *_usage_row(outcome.usage),
            ),
        )


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _connect_readonly(path: Path, resting: bool) -> sqlite3.Connection:
    """A file at rest is read as it is, which makes no file beside it; else SQLite's own locks decide."""
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if resting else ''}"
    return sqlite3.connect(address, uri=True, timeout=30.0, isolation_level=None, check_same_thread=False)


def _stamp(path: Path) -> object:
    """Changes when a writer touches a file at rest. None when there is a log: then locks are used."""
    if _wal(path).exists():
        return None
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _files_of(path: Path) -> list[Path]:
    return [path, _wal(path), path.with_name(f"{path.name}-shm")]


def _check_version(path: Path, connection: sqlite3.Connection, *, may_migrate: bool) -> bool:
    """Whether a migration is due."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version > SCHEMA:
        raise StoreError(
            f"{path} has schema {version}, this sica knows up to {SCHEMA}", "use the newer sica that wrote it"
        )
    if tables and application != APPLICATION and version:
        raise StoreError(f"{path} is a database of another program", "sica db rebuild makes one from git")
    if version < SCHEMA and not may_migrate:
        raise StoreError(
            f"{path} has schema {version}, this sica needs {SCHEMA}", "sica doctor --fix migrates it"
        )
    return bool(version < SCHEMA)


def _bring_up_to_date(path: Path, connection: sqlite3.Connection) -> None:
    """WAL is a property of the file, and switching to it cannot wait for others: so the folder is locked here."""
    from sica.migrations import migrate

    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"{path} cannot keep a write-ahead log here (journal mode {mode})", "use a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    migrate(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")


@contextmanager
def _no_collector() -> Iterator[None]:
    """Thousands of new records that all stay make Python's cycle collector look at them again and again: no cycle
    is among them, and without it the archive is read in half the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _put_aside(path: Path) -> Path:
    """Keep the old files together; the main one stays in its place too until the new one replaces it."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.old-{stamp}")
    count = 1
    while aside.exists():
        aside, count = path.with_name(f"{path.name}.old-{stamp}-{count}"), count + 1
    aside.mkdir()
    for file in _files_of(path):
        if file.exists():
            os.link(file, aside / file.name)
    _sync_folder(aside)
    return aside


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into one StoreError with a cure."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}", _cure(error)) from error
    except OSError as error:
        raise StoreError(
            f"cannot use {path}: {error.strerror or error}", "is the disk full or read-only?"
        ) from error


def _cure(error: sqlite3.Error) -> str:
    """By SQLite's own result code, never by its words."""
    cures: Mapping[int, str] = {
        sqlite3.SQLITE_BUSY: "another program has held it for 30 seconds: is a run stopped (Ctrl-Z)?",
        sqlite3.SQLITE_LOCKED: "another program has held it for 30 seconds: is a run stopped (Ctrl-Z)?",
        sqlite3.SQLITE_FULL: "the disk is full: make room and run the command again, nothing is lost",
        sqlite3.SQLITE_IOERR: "the disk is full or failing; after that: sica db rebuild",
        sqlite3.SQLITE_READONLY: "the file or its folder cannot be written",
        sqlite3.SQLITE_CANTOPEN: "does the folder exist, and may you write there?",
        sqlite3.SQLITE_CORRUPT: "sica db rebuild makes it again from git and keeps this one aside",
        sqlite3.SQLITE_NOTADB: "sica db rebuild makes it again from git and keeps this one aside",
        sqlite3.SQLITE_CONSTRAINT: "this is a fault of sica: please report it",
    }
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return cures.get(code, "sica db check; sica db rebuild makes it again from git")
