"""Real SQLite files, real processes; git is real where the ledger is rebuilt from it."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import World, skilled
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database, Migrations

from sica import ledger as ledger_file
from sica import migrations
from sica.errors import StoreError, UsageError
from sica.ledger import SqliteLedger, rebuild, score_line
from sica.migrations import outcomes
from sica.model import (
    Agent,
    Archive,
    Call,
    File,
    Glimpse,
    Improvement,
    Message,
    Outcome,
    Promotion,
    Request,
    Ruling,
    Setting,
    Summary,
    Task,
    Trial,
    Usage,
    Verdict,
)
from sica.ports import Price
from sica.repo import REVIEWS, GitRepo
from sica.stats import estimate

SEED = Agent(0, "a" * 40, "1" * 40, (), "the seed", operator="seed", created=1.0)
CHILD = Agent(
    1, "b" * 40, "2" * 40, (SEED.commit,), "greet twice", "Why: once is rude.", run="r1", created=2.0
)
TWIN = Agent(2, "c" * 40, "1" * 40, (CHILD.commit,), "back", operator="revert", created=3.0)
TASKS = (Task("core/add", "d1", "Add."), Task("core/sub", "d2", "Subtract.", split="heldout"))
UNDER = {"d1": "c1", "d2": "c1"}
USED = Usage(0.25, 100, 40, 20, 3, 1.5, 30)
SETTING = Setting("m1", "i")
SHOWN = Glimpse(5.0, "ada", "report", "core", (SEED.commit, CHILD.commit), 2)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with SqliteLedger.open(tmp_path / "sica.db") as opened:
        opened.reconcile([SEED, CHILD, TWIN])
        opened.see_tasks(TASKS)
        yield opened


def trial(
    agent: Agent = SEED, task: int = 0, attempt: int = 0, score: float | None = 1.0, **rest: object
) -> Trial:
    base = Trial(
        agent=agent.commit,
        tree=agent.tree,
        task=TASKS[task].id,
        digest=TASKS[task].digest,
        attempt=attempt,
        conditions="c1",
        setting=SETTING,
        score=score,
        fault=None if score is not None else "infra",
        ending="done" if score is not None else "no box",
        grading="split",
        usage=USED,
    )
    return replace(base, **rest)  # type: ignore[arg-type]


# ── recording ─────────────────────────────────────────────────────────────────────────────────────


def test_a_flag_is_known_to_every_run_whatever_its_tasks(ledger: SqliteLedger) -> None:
    flagged = trial(CHILD, task=1, ending="integrity")
    grown = ledger.archive(TASKS, UNDER, 1).plus(flagged)
    ledger.record(flagged)
    elsewhere = ledger.archive(TASKS[:1], {}, 1)
    assert elsewhere.trials == {}
    assert elsewhere.flagged == grown.flagged == {CHILD.tree}


def test_an_archive_grown_in_memory_equals_the_one_read_back(ledger: SqliteLedger) -> None:
    told: list[Outcome] = [
        trial(why="2 of 2 checks passed", trace="sha256:00", session="s1", run="r1", started=5.0),
        trial(CHILD, score=None, started=6.0),
        Improvement(CHILD.commit, None, "empty", USED, "t", "s2", "r1", 7.0, "changed nothing"),
        Improvement(
            CHILD.commit, replace(TWIN, number=3, commit="d" * 40), "child", USED, "t", "s3", "r1", 8.0
        ),
        Verdict(CHILD.commit, True, "the smoke tasks pass", None, USED, "t", "s4", "r1", 9.0),
        Verdict(TWIN.commit, False, "does not start", None, USED, started=10.0),
        Verdict(SEED.commit, False, "no box", "infra", USED, started=11.0),
        Promotion(CHILD.commit, "better on fresh attempts", "r1", 12.0),
    ]
    grown = ledger.archive(TASKS, UNDER, 2)
    for outcome in told:
        assert ledger.record(outcome)
        grown = grown.plus(outcome)
    read = ledger.archive(TASKS, UNDER, 2)
    assert read == replace(grown, improvements=read.improvements)
    assert [replace(i, child=None) for i in read.improvements] == [
        replace(i, child=None) for i in grown.improvements
    ]
    assert {a.name: a.standing for a in read.agents.values()} == {
        "agent/0": "unchecked",
        "agent/1": "ready",
        "agent/2": "rejected",
        "agent/3": "unchecked",
    }


def test_the_same_outcome_counts_once(ledger: SqliteLedger) -> None:
    broken = trial(attempt=1, score=None, started=3.0)
    child = Agent(3, "d" * 40, "3" * 40, (SEED.commit,), "x")
    for outcome in (
        trial(),
        broken,
        Verdict(SEED.commit, True, "ok", started=1.0),
        Promotion(SEED.commit, "x", at=1.0),
        Improvement(SEED.commit, None, "empty", USED, started=1.0),
        Improvement(SEED.commit, child, "child", USED, started=1.0),
    ):
        assert ledger.record(outcome)
        assert not ledger.record(outcome)
    assert not ledger.record(trial(score=0.0, started=99.0)), "a scored trial is settled"
    assert ledger.record(replace(broken, started=4.0)), "a second fault is another outcome"
    assert ledger.record(trial(attempt=1)), "a score may follow faults"
    assert ledger.archive(TASKS, UNDER, 2).settled == 9, "these and the fixture's own improvement"


def test_commits_with_equal_trees_share_their_results(ledger: SqliteLedger) -> None:
    ledger.record(trial(SEED, score=0.5))
    assert not ledger.record(trial(TWIN, score=1.0))
    archive = ledger.archive(TASKS, UNDER, 1)
    assert [t.score for t in archive.scored(TWIN.commit)] == [0.5]
    assert {s.agent: s.mean for s in ledger.summaries()} == {SEED.commit: 0.5, TWIN.commit: 0.5}
    assert ledger.trials_of(TWIN.commit) == ledger.trials_of(SEED.commit)


def test_other_conditions_are_another_trial_and_stay_out_of_the_archive(ledger: SqliteLedger) -> None:
    assert ledger.record(trial(score=0.0))
    assert ledger.record(trial(score=1.0, conditions="c2", setting=Setting("m2", "i")))
    assert [t.score for t in ledger.archive(TASKS, {"d1": "c2"}, 1).trials[SEED.tree]] == [1.0]
    assert ledger.settings("core") == (Setting("m2", "i"), SETTING)
    assert {s.mean for s in ledger.summaries("core", setting=SETTING)} == {0.0}
    assert {s.mean for s in ledger.summaries("core", setting=Setting("m2", "i"))} == {1.0}
    assert [t.score for t in ledger.trials_of(SEED.commit, "core", SETTING)] == [0.0]
    assert list(ledger.scores("core", [SEED.commit], SETTING)[SEED.commit].values()) == [0.0]
    assert {s.mean for s in ledger.summaries("core")} == {0.5}


def test_details_and_evidence_come_back(ledger: SqliteLedger) -> None:
    full = trial(
        detail={"checks": {"empty": 1.0}, "findings": ["x"]}, why="because", trace="sha256:1", session="s"
    )
    ledger.record(full)
    assert ledger.trials_of(SEED.commit) == (full,)


def test_an_outcome_of_an_unknown_agent_is_refused_whole(ledger: SqliteLedger) -> None:
    stranger = Agent(9, "9" * 40, "9" * 40, ("8" * 40,), "x")
    for outcome in (trial(stranger), Improvement(SEED.commit, stranger, "child", USED)):
        with pytest.raises(StoreError, match="knows no agent"):
            ledger.record(outcome)
    assert [a.number for a in ledger.agents()] == [0, 1, 2]
    assert ledger.archive(TASKS, UNDER, 1).settled == 1, "the fixture's own improvement"


def test_reconciling_adds_what_git_has_and_only_that(ledger: SqliteLedger) -> None:
    late = Agent(3, "d" * 40, "3" * 40, (SEED.commit, CHILD.commit), "merge", operator="merge")
    assert ledger.reconcile([SEED, CHILD, TWIN, late]) == (late,)
    assert ledger.reconcile([late]) == ()
    assert ledger.agents()[3] == late


def test_a_child_whose_outcome_was_never_written_gets_it_from_its_commit(ledger: SqliteLedger) -> None:
    child = Agent(3, "d" * 40, "3" * 40, (CHILD.commit,), "x", run="r1", cost_usd=0.5, trace="t", created=4.0)
    assert ledger.reconcile([child]) == (child,)
    assert ledger.reconcile([child]) == ()
    (made,) = [i for i in ledger.improvements() if i.child == child]
    assert (made.parent, made.ending, made.run, made.usage.usd, made.trace) == (
        CHILD.commit,
        "child",
        "r1",
        0.5,
        "t",
    )
    assert ledger.archive(TASKS, UNDER, 1).improve(CHILD.commit).nth == 1
    assert [i.child for i in ledger.improvements() if i.parent == SEED.commit] == [CHILD]
    assert not [i for i in ledger.improvements() if i.child and i.child.operator != "self-edit"]


def test_a_kill_between_the_commit_and_its_row_makes_nothing_twice(world: World) -> None:
    seed = world.seed(skilled(SKILL=1))
    world.evolve(children=0)
    words = Message("made and not told of", operator="self-edit", run=world.run, model="offline")
    child = world.repo.add(skilled(SKILL=2), [seed], words)  # and here the power went
    assert world.ledger.reconcile(world.repo.agents()) == (child,)
    world.evolve(children=1)
    assert [a.number for a in world.ledger.agents()] == [0, 1]
    (made,) = world.ledger.improvements()
    assert made.child is not None
    assert made.child.commit == child.commit
    assert len(world.ledger.trials_of(child.commit)) == 6, "three tasks, and three fresh attempts"


def test_a_number_that_means_another_commit_in_git_is_named(ledger: SqliteLedger) -> None:
    with pytest.raises(StoreError, match="agent/1 is dddddddddddd in git and bbbbbbbbbbbb") as refused:
        ledger.reconcile([replace(CHILD, commit="d" * 40)])
    assert "rebuild" in refused.value.hint


@pytest.mark.parametrize("table", ["trials", "improvements", "verdicts", "promotions", "evidence"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET rowid = rowid", "DELETE FROM {}"])
def test_outcomes_can_be_neither_changed_nor_removed(ledger: SqliteLedger, table: str, verb: str) -> None:
    ledger.record(trial(why="x"))
    ledger.record(Improvement(SEED.commit, None, "empty", USED))
    ledger.record(Verdict(SEED.commit, True, "ok"))
    ledger.record(Promotion(SEED.commit, "x"))
    stranger = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        stranger.execute(verb.format(table))
    stranger.close()


# ── summaries ─────────────────────────────────────────────────────────────────────────────────────

OUTCOMES = st.lists(
    st.builds(
        trial,
        agent=st.sampled_from([SEED, CHILD, TWIN]),
        task=st.integers(0, 1),
        attempt=st.integers(0, 2),
        score=st.none() | st.sampled_from([0.0, 0.25, 1.0]),
        conditions=st.sampled_from(["c1", "c2"]),
        started=st.integers(0, 2).map(float),
        usage=st.builds(Usage, usd=st.sampled_from([0.0, 0.5]), calls=st.integers(0, 3)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "sica.db"
    with SqliteLedger.open(path) as ledger:
        ledger.reconcile([SEED, CHILD, TWIN])
    return path


@settings(max_examples=25, deadline=None)
@given(outcomes=OUTCOMES, edited=st.booleans())
def test_summaries_equal_a_recount_of_the_trials(empty: Path, outcomes: list[Trial], edited: bool) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        SqliteLedger.open(Path(shutil.copy(empty, folder))) as ledger,
    ):
        for i, outcome in enumerate(outcomes):
            if i == 3:
                ledger.see_tasks([replace(TASKS[0], digest="d9"), TASKS[1]] if edited else TASKS)
            ledger.record(outcome)
        unshown = {"d1"} if edited and len(outcomes) > 3 else set()
        unshown |= {t.digest for t in ledger.tasks("core") if t.split == "heldout"}
        for agent in (SEED, CHILD, TWIN):
            kept = [t for t in ledger.trials_of(agent.commit) if t.digest not in unshown]
            scores = [t.score for t in kept if t.score is not None]
            want = Summary(
                agent.commit,
                "core",
                len(scores),
                sum(scores),
                sum(x * x for x in scores),
                len(kept) - len(scores),
                sum((t.usage for t in kept), Usage()),
            )
            found = [s for s in ledger.summaries("core") if s.agent == agent.commit]
            assert found == ([want] if kept else [])
        assert ledger.check() == []


def test_an_edited_task_retires_its_old_digest_and_can_come_back(ledger: SqliteLedger) -> None:
    ledger.record(trial(score=1.0))
    edited = replace(TASKS[0], digest="d9")
    ledger.see_tasks([edited])
    assert ledger.summaries() == ()
    ledger.record(trial(digest="d9", score=0.0))
    assert ledger.summaries()[0].mean == 0.0
    ledger.see_tasks(TASKS)
    assert ledger.summaries()[0].mean == 1.0
    assert ledger.check() == []


def test_summaries_can_be_of_one_split_and_are_best_first(ledger: SqliteLedger) -> None:
    ledger.record(trial(SEED, 0, score=0.0))
    ledger.record(trial(SEED, 1, score=1.0))
    ledger.record(trial(CHILD, 0, score=1.0))
    assert [(s.agent, s.mean) for s in ledger.summaries("core")] == [
        (CHILD.commit, 1.0),
        (SEED.commit, 0.0),
        (TWIN.commit, 0.0),
    ]
    assert [s.mean for s in ledger.summaries("core", split="heldout")] == [1.0, 1.0]
    assert ledger.summaries("other") == ()


def test_held_out_scores_are_shown_to_those_who_name_them(ledger: SqliteLedger) -> None:
    ledger.record(trial(SEED, 0, score=0.0))
    ledger.record(trial(SEED, 1, score=1.0))
    assert [t.score for t in ledger.trials_of(SEED.commit, "core")] == [0.0]
    assert [t.score for t in ledger.trials_of(SEED.commit, "core", split="heldout")] == [1.0]
    assert list(ledger.scores("core", [SEED.commit])[SEED.commit].values()) == [0.0]
    assert list(ledger.scores("core", [SEED.commit], split="heldout")[SEED.commit].values()) == [1.0]
    assert {t.id: t.split for t in ledger.tasks("core")} == {t.id: t.split for t in TASKS}


def test_the_views_are_readable_by_people(ledger: SqliteLedger) -> None:
    ledger.record(trial(CHILD, score=0.5, run="r1", why="one of two"))
    ledger.call(Call("s", 0, "r1", "solve", "m", USED, "settled", 1.0))
    stranger = sqlite3.connect(ledger.path)
    assert stranger.execute("SELECT name, benchmark, score, usd FROM leaderboard").fetchall() == [
        ("agent/1", "core", 0.5, 0.25)
    ]
    assert stranger.execute("SELECT agent, task, run, why FROM trial_view").fetchall() == [
        (CHILD.commit, "core/add", "r1", "one of two")
    ]
    assert stranger.execute("SELECT name, parent_name FROM lineage WHERE name = 'agent/1'").fetchall() == [
        ("agent/1", "agent/0")
    ]
    assert stranger.execute("SELECT run, role, usd FROM spend").fetchall() == [("r1", "solve", 0.25)]
    stranger.close()


def test_a_summary_that_lies_is_found(ledger: SqliteLedger) -> None:
    ledger.record(trial())
    assert ledger.check() == []
    stranger = sqlite3.connect(ledger.path)
    stranger.execute("UPDATE totals SET n = n + 1")
    stranger.commit()
    stranger.close()
    assert any("summaries differ" in line for line in ledger.check())


# ── runs and calls ────────────────────────────────────────────────────────────────────────────────


def test_runs_are_numbered_and_keep_their_configuration(ledger: SqliteLedger) -> None:
    first = ledger.start_run({"policy": "greedy", "path": Path("x")})
    assert (first.id, first.config) == ("r2", {"path": "x", "policy": "greedy"}), "r1 is in an agent's commit"
    assert ledger.start_run({}).id == "r3"
    ledger.end_run("r2", "budget")
    _, done, going = ledger.runs()
    assert (done.reason, going.ended) == ("budget", None)
    assert done.ended is not None and done.ended >= done.started
    with pytest.raises(StoreError, match="no run called 'r9'"):
        ledger.end_run("r9", "x")


def test_a_reservation_counts_until_it_is_settled_and_a_settled_call_stays(ledger: SqliteLedger) -> None:
    run = ledger.start_run({}).id
    reserved = Call("s1", 0, run, "solve", "m", Usage(usd=1.0, calls=1), "reserved", 1.0)
    ledger.call(reserved)
    ledger.call(replace(reserved, session="s2"))
    assert ledger.spent(run).usd == 2.0
    settled = replace(reserved, usage=Usage(usd=0.25, prompt_tokens=10, calls=1), state="settled")
    ledger.call(settled)
    ledger.call(reserved)
    assert ledger.spent(run) == Usage(usd=1.25, prompt_tokens=10, calls=2)
    assert ledger.calls("s1") == (settled,)
    assert ledger.spent("r9") == Usage()


def test_a_call_counts_for_the_utc_day_that_reserved_it(ledger: SqliteLedger) -> None:
    run, day = ledger.start_run({}).id, 86_400.0
    for number, at in enumerate((9.5 * day, 10.0 * day, 10.999 * day, 11.0 * day)):
        ledger.call(Call("s1", number, run, "main", "m", Usage(usd=1.0 + number, calls=1), "reserved", at))
    ledger.call(Call("s2", 0, "", "main", "m", Usage(usd=8.0, calls=1), "settled", 10.5 * day))
    days = ledger.spent_by_day(10 * day)
    assert {number: used.usd for number, used in days.items()} == {10: 2.0 + 3.0 + 8.0, 11: 4.0}


def test_a_call_knows_its_agent_its_task_and_its_cache_writes(ledger: SqliteLedger) -> None:
    used = Usage(0.5, 100, 40, 20, 1, cache_write_tokens=30)
    call = Call("s1", 0, "r1", "main", "m", used, "settled", 1.0, CHILD.commit, "core/add")
    stranger = replace(call, session="s2", agent="f" * 40, task="")
    ledger.call(call)
    ledger.call(stranger)
    assert ledger.calls("s1") == (call,)
    assert ledger.calls("s2") == (replace(stranger, agent=""),)
    assert ledger.spent("r1").cache_write_tokens == 60


def test_a_run_keeps_the_prices_that_it_was_paid_at(ledger: SqliteLedger) -> None:
    run, other = ledger.start_run({}).id, ledger.start_run({}).id
    old = Price(1e-6, 2e-6, 1e-7, 2e-6, 0.01, 200_000, Price(2e-6, 4e-6, call=0.01))
    for price in (old, old, replace(old, prompt=3e-6)):
        ledger.priced(run, "m", price)
    ledger.priced(other, "m", old)
    assert ledger.prices(run) == {"m": replace(old, prompt=3e-6)}
    assert ledger.prices(other) == {"m": old}
    assert len(ledger.books().prices) == 3


def test_hours_of_a_run_are_those_of_its_sittings_and_a_killed_one_lasted_to_its_last_sign(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sica.db"
    with SqliteLedger.open(path) as ledger:
        run, other = ledger.start_run({}).id, ledger.start_run({}).id
        ledger.reconcile([SEED])
        ledger.see_tasks(TASKS)
        ledger.call(Call("s1", 0, run, "main", "m", USED, "reserved", 130.0))
        ledger.record(trial(run=run, started=140.0, usage=replace(USED, seconds=25.0)))
        ledger.call(Call("s2", 0, run, "main", "m", USED, "settled", 999.0))
        ledger.call(Call("s3", 0, other, "main", "m", USED, "settled", 190.0))
        assert ledger.worked(run) == 0
    raw = sqlite3.connect(path)
    rows = [(1, 100.0, None), (2, 150.0, 151.0), (1, 200.0, 260.0), (1, 990.0, None)]
    raw.executemany("INSERT INTO sittings (run, began, ended) VALUES (?,?,?)", rows)
    raw.commit()
    raw.close()
    with SqliteLedger.open(path) as ledger:
        # killed at 130 or later, but the next sitting of anybody began at 150; ended; killed at 999
        assert ledger.worked(run) == (130 - 100) + (260 - 200) + (999 - 990)
        assert ledger.worked(other) == 1


def test_a_sitting_is_ended_with_its_run(ledger: SqliteLedger) -> None:
    run = ledger.start_run({}).id
    for _ in range(2):
        ledger.begin_sitting(run)
        ledger.end_run(run, "budget")
    began_and_ended = [row[1:] for row in ledger.books().sittings]
    assert len(began_and_ended) == 2
    assert all(ended >= began for began, ended in began_and_ended)
    assert 0 <= ledger.worked(run) < 60


def test_threads_share_one_ledger(ledger: SqliteLedger) -> None:
    start = threading.Barrier(4)

    def work(who: int) -> None:
        start.wait()
        for i in range(50):
            ledger.call(Call(f"s{who}", i, "r1", "solve", "m", Usage(usd=1.0), "settled", 1.0))
            ledger.record(trial(attempt=i, conditions=f"w{who}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert ledger.spent("r1").usd == 200.0
    assert sum(s.n for s in ledger.summaries() if s.agent == SEED.commit) == 200


# ── several processes, and killed ones ────────────────────────────────────────────────────────────


def _record_some(path: Path, who: int) -> None:
    with SqliteLedger.open(path) as ledger:
        ledger.reconcile([SEED])
        for i in range(40):
            ledger.record(trial(attempt=i, conditions=f"w{who}"))


def test_processes_that_create_and_write_one_ledger_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sica.db"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_record_some, args=(path, who)) for who in range(4)]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
    assert [w.exitcode for w in writers] == [0] * 4
    with SqliteLedger.open(path) as ledger:
        assert len(ledger.trials_of(SEED.commit)) == 160
        assert ledger.check() == []


RECORD_FOREVER = """
import itertools, sys
from pathlib import Path
from sica.ledger import SqliteLedger
from sica.model import Agent, Trial, Usage
ledger = SqliteLedger.open(Path(sys.argv[1]))
ledger.reconcile([Agent(0, "a" * 40, "1" * 40, (), "seed")])
for i in itertools.count():
    ledger.record(Trial("a" * 40, "1" * 40, "core/x", "d1", i, sys.argv[2], 1.0, None, "done", "split", Usage()))
    print(i, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "sica.db"
    acknowledged: set[tuple[str, int]] = set()
    for kill in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", RECORD_FOREVER, str(path), f"k{kill}"], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        for _ in range(kill * 7 % 20 + 1):
            acknowledged.add((f"k{kill}", int(writer.stdout.readline())))
        writer.send_signal(signal.SIGKILL)
        acknowledged.update((f"k{kill}", int(line)) for line in writer.stdout if line.endswith("\n"))
        writer.wait()
        writer.stdout.close()
    with SqliteLedger.open(path) as ledger:
        assert acknowledged <= {(t.conditions, t.attempt) for t in ledger.trials_of(SEED.commit)}
        assert ledger.check() == []


def test_reading_works_while_a_writer_writes_and_sees_what_was_recorded(ledger: SqliteLedger) -> None:
    before = sorted(p.name for p in ledger.path.parent.iterdir())
    with SqliteLedger.open(ledger.path, readonly=True) as reader, ledger._transaction() as writing:
        writing.execute("INSERT INTO trees (hash) VALUES ('x')")
        assert len(reader.agents()) == 3
    with SqliteLedger.open(ledger.path, readonly=True) as reader:
        ledger.record(trial())
        assert [s.n for s in reader.summaries()] == [1, 1]
        with pytest.raises(StoreError, match="reading only"):
            reader.record(trial(attempt=1))
        assert sorted(p.name for p in ledger.path.parent.iterdir()) == before


def test_reading_a_ledger_at_rest_makes_no_file_and_notices_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "sica.db"
    with SqliteLedger.open(path) as writer:
        writer.reconcile([SEED])
    assert [p.name for p in tmp_path.iterdir()] == ["sica.db"]
    with SqliteLedger.open(path, readonly=True) as reader:
        assert [a.number for a in reader.agents()] == [0]
        assert reader.archive(TASKS, UNDER, 1).settled == 0
        assert [p.name for p in tmp_path.iterdir()] == ["sica.db"]
        with SqliteLedger.open(path) as writer:
            writer.reconcile([replace(CHILD, operator="human")])
            assert [a.number for a in reader.agents()] == [0, 1]
            writer.record(trial())
            assert reader.archive(TASKS, UNDER, 1).settled == 1
        assert len(reader.agents()) == 2


# ── damage ────────────────────────────────────────────────────────────────────────────────────────


def test_a_newer_schema_is_refused_naming_both(ledger: SqliteLedger) -> None:
    stranger = sqlite3.connect(ledger.path)
    stranger.execute("PRAGMA user_version = 99")
    stranger.close()
    for readonly in (False, True):
        with pytest.raises(StoreError, match=rf"schema 99, this sica knows up to {ledger_file.SCHEMA}"):
            SqliteLedger.open(ledger.path, readonly=readonly)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("damage", ["text", "pages"])
def test_a_damaged_file_says_how_to_make_it_again(tmp_path: Path, damage: str, readonly: bool) -> None:
    path = tmp_path / "sica.db"
    with SqliteLedger.open(path) as ledger:
        ledger.reconcile([SEED])
    data = path.read_bytes()
    path.write_bytes(
        b"not a database " * 500 if damage == "text" else data[:4096] + b"\xff" * (len(data) - 4096)
    )

    def use() -> None:
        with SqliteLedger.open(path, readonly=readonly) as ledger:
            ledger.agents()

    with pytest.raises(StoreError) as refused:
        use()
    assert "sica db rebuild" in refused.value.hint


def test_a_missing_ledger_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ledger at"):
        SqliteLedger.open(tmp_path / "sica.db", readonly=True)
    with pytest.raises(StoreError, match="cannot use"):
        SqliteLedger.open(tmp_path / "none" / "sica.db")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user who may read and not write: root may write anywhere, so it steps down."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_ledger_that_cannot_be_written_can_be_read(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SqliteLedger.open(folder / "sica.db") as ledger:
            ledger.reconcile([SEED])
        (folder / "sica.db").chmod(0o444)
        folder.chmod(0o555)
        with without_rights():
            with SqliteLedger.open(folder / "sica.db", readonly=True) as reader:
                assert reader.agents() == (SEED,)
            with pytest.raises(StoreError) as refused, SqliteLedger.open(folder / "sica.db") as ledger:
                ledger.record(trial())
            assert "writ" in refused.value.hint
        folder.chmod(0o755)


def test_a_full_disk_is_an_error_with_a_cure_and_keeps_what_was_recorded(ledger: SqliteLedger) -> None:
    ledger.record(trial())
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full") as refused:
        ledger.record(trial(attempt=1, detail={"log": "x" * 100_000}))
    assert "make room" in refused.value.hint
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    assert ledger.record(trial(attempt=1, detail={"log": "x" * 100_000}))
    assert ledger.check() == []


# ── git and back ──────────────────────────────────────────────────────────────────────────────────


def test_what_git_was_told_is_not_told_again(ledger: SqliteLedger) -> None:
    ledger.record(trial(score=0.5))
    told = ledger.notes()
    assert list(told.scores) == [SEED.commit]
    assert ledger.notes() == told
    ledger.noted(told)
    assert not ledger.notes()
    ledger.record(trial(CHILD, 1))
    assert list(ledger.notes().evaluations) == [CHILD.commit]


def test_the_score_line_is_for_people() -> None:
    known = estimate([[1.0]] * 126 + [[0.0]] * 99)
    assert known
    assert score_line(known, "core", 13.92, "m1") == "56.0% ±6.4  core  n=225  $13.92  m1"


@pytest.fixture
def told(tmp_path: Path) -> tuple[Path, GitRepo, Archive]:
    """A ledger with everything in it, and git told about it."""
    repo = GitRepo.create(tmp_path / "agents.git", tmp_path / "run")
    path = tmp_path / "sica.db"
    with SqliteLedger.open(path) as ledger:
        run = ledger.start_run({"policy": "greedy"}).id
        seed = repo.add({"a": File(b"1")}, [], Message("seed", operator="seed"))
        ledger.reconcile([seed])
        ledger.see_tasks(TASKS)
        child = repo.add({"a": File(b"2")}, [seed], Message("better", "Why: x", run=run, cost_usd=0.5))
        twin = repo.add({"a": File(b"1")}, [child], Message("back", operator="revert"))
        outcomes: list[Outcome] = [
            Improvement(seed.commit, child, "child", USED, "sha256:1", "s1", run, 1.5, "two  spaces, ünï\n"),
            Improvement(seed.commit, None, "empty", USED, "", "s2", run, 2.0, "nothing"),
            Improvement(child.commit, twin, "child", Usage(), started=2.5),
            Verdict(seed.commit, True, "passes", None, USED, "", "s3", run, 3.0),
            Verdict(child.commit, False, "no box", "infra", started=3.5),
            Verdict(child.commit, True, "passes", started=3.75),
            Verdict(twin.commit, False, "does not start", started=4.0),
            trial(seed, score=0.1 + 0.2, run=run, session="s4", started=5.0, why="1 of 3", trace="sha256:2"),
            trial(seed, 1, score=None, run=run, started=5.0),
            trial(child, 1, score=1.0, run=run, started=6.0, session="s5"),
            trial(child, 0, score=0.0, run=run, started=6.5, session="s6"),
            Promotion(child.commit, "better on fresh attempts", run, 7.0),
        ]
        for outcome in outcomes:
            assert ledger.record(outcome)
        repo.promote(child)
        unnoted = ledger.notes()
        repo.annotate(unnoted.scores, unnoted.evaluations)
        repo.annotate(unnoted.scores, unnoted.evaluations)
        ledger.noted(unnoted)
        return path, repo, ledger.archive(TASKS, UNDER, 1)


def again(path: Path, repo: GitRepo) -> tuple[Path | None, SqliteLedger]:
    aside = rebuild(path, repo.agents(), repo.notes(), repo.champion(), repo.notes(REVIEWS))
    return aside, SqliteLedger.open(path)


def test_the_ledger_is_rebuilt_from_git_alone(told: tuple[Path, GitRepo, Archive]) -> None:
    path, repo, archive = told
    with SqliteLedger.open(path) as old:
        summaries = old.summaries()
    path.unlink()
    aside, ledger = again(path, repo)
    with ledger:
        assert aside is None
        assert ledger.archive(TASKS, UNDER, 1) == archive
        assert ledger.summaries() == summaries
        assert not ledger.notes(), "git knows all of it"
        assert ledger.spent("r1").usd == pytest.approx(USED.usd * 7), "the cap of a resumed run still holds"
        assert ledger.start_run({}).id == "r2"
        assert ledger.check() == []


@pytest.mark.parametrize("damage", [False, True])
def test_a_rebuild_keeps_the_old_file_and_takes_over_its_calls(
    told: tuple[Path, GitRepo, Archive], damage: bool
) -> None:
    path, repo, archive = told
    with SqliteLedger.open(path) as old:
        old.call(Call("s4", 0, "r1", "solve", "m", Usage(usd=9.0), "settled", 1.0))
        old.glimpsed(SHOWN)
    if damage:
        path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 4096)
    before = path.read_bytes()
    aside, ledger = again(path, repo)
    with ledger:
        assert aside is not None
        assert (aside / "sica.db").read_bytes() == before
        assert ledger.archive(TASKS, UNDER, 1) == archive
        assert ledger.spent("r1").usd == pytest.approx(USED.usd * 7 if damage else 9.0)
        assert ledger.runs()[0].config == ({} if damage else {"policy": "greedy"})
        assert ledger.glimpses() == (() if damage else (SHOWN,))


RULINGS = (
    Ruling("notice", "guard: repeats", "main/coder-1", "two  spaces,\nünï", 1.5, "s9"),
    Ruling("cancel", "overseer", "", "It does not listen.", 2.5, "s9"),
)


def test_what_was_ruled_on_a_box_is_said_of_the_agent_at_work_and_comes_back(
    told: tuple[Path, GitRepo, Archive],
) -> None:
    path, repo, archive = told
    seed, child, _ = archive.agents.values()
    mine = (replace(RULINGS[0], session="s8"),)
    made = Improvement(seed.commit, None, "stopped", Usage(), "sha256:7", "s8", rulings=mine)
    with SqliteLedger.open(path) as old:
        once = trial(child, 1, attempt=5, score=0.0, session="s9", trace="sha256:9", rulings=RULINGS)
        assert [old.record(o) for o in (once, once, made)] == [True, False, True]
        news = old.notes()
        repo.annotate(news.scores, news.evaluations, news.reviews)
    said = {c: [json.loads(line) for line in lines] for c, lines in repo.notes(REVIEWS).items()}
    assert said[child.commit][0] == {
        "v": 1, "kind": "ruling", "at": 1.5, "by": "guard: repeats", "action": "notice", "span": "main/coder-1",
        "text": "two  spaces,\nünï", "of": "trial", "task": "core/sub", "split": "heldout", "attempt": 5,
        "session": "s9", "trace": "sha256:9",
    }  # fmt: skip
    assert [s["of"] for s in said[child.commit]] == ["trial", "trial"]
    assert [(s["of"], s["trace"]) for s in said[seed.commit]] == [("improvement", "sha256:7")]
    path.unlink()
    _, ledger = again(path, repo)
    with ledger:
        assert not ledger.notes(), "git knows all of it"
        rows = ledger._rows(
            "SELECT action, by, span, text, at, session FROM rulings JOIN agents a ON a.id = agent WHERE a.hash = ?",
            (child.commit,),
        )
        assert tuple(Ruling(*row) for row in rows) == RULINGS


@pytest.mark.parametrize("damage", [False, True])
def test_what_people_said_of_agents_comes_back(told: tuple[Path, GitRepo, Archive], damage: bool) -> None:
    path, repo, archive = told
    seed, child, _ = archive.agents.values()
    with SqliteLedger.open(path) as old:
        yes = old.ask(Request("approve", 8.12345, "ada", child.commit, text="tidy"))
        repo.review(
            child.commit, json.dumps({"v": 1, "kind": "approve", "at": 8.123, "by": "ada", "text": "tidy"})
        )
        old.answer(yes.id, "done", "it may become the best")
        old.ask(Request("hint", 9.0, "bob", text="shorter"))
    for line in ("not ours", '{"v":1,"kind":"comment","at":"noon","text":"?"}', '{"v":1,"kind":"approve"}'):
        repo.review(seed.commit, line)
    if damage:
        path.write_bytes(b"no database")
    _, ledger = again(path, repo)
    with ledger:
        found = [(r.kind, r.by, r.agent, r.text, r.state, r.answer) for r in ledger.requests()]
        approved = ("approve", "ada", child.commit, "tidy", "done")
        assert found == (
            [(*approved, "restored from git")]
            if damage
            else [
                (*approved, "it may become the best"),
                ("hint", "bob", "", "shorter", "pending", ""),
            ]
        )


def test_rulings_of_before_they_had_a_table_are_told_too(tmp_path: Path) -> None:
    path = tmp_path / "sica.db"
    with SqliteLedger.open(path) as ledger:
        ledger.reconcile([SEED])
        ledger.see_tasks(TASKS)
        ruled = {"action": "cancel", "by": "overseer", "span": "", "text": "enough"}
        ledger.record(trial(started=3.0, session="s1", detail={"rulings": [ruled]}))
        ledger.record(trial(attempt=1, session="s2", detail={"rulings": []}))
        ledger.record(trial(attempt=2))
    old = sqlite3.connect(path)
    old.execute("DROP TABLE rulings")
    old.execute("DELETE FROM _sqlite_migrations WHERE name = '0007_rulings'")
    old.execute("PRAGMA user_version = 6")
    old.commit()
    old.close()
    with SqliteLedger.open(path) as ledger:
        ((line,),) = ledger.notes().reviews.values()
        told = json.loads(line)
        assert (told["by"], told["action"], told["task"], told["at"]) == (
            "overseer",
            "cancel",
            "core/add",
            3.0,
        )


def test_a_log_of_a_killed_writer_is_not_played_into_the_rebuilt_file(
    told: tuple[Path, GitRepo, Archive],
) -> None:
    path, repo, archive = told
    open_at_kill = (
        "import os, sys; from pathlib import Path; from sica.ledger import SqliteLedger;"
        "ledger = SqliteLedger.open(Path(sys.argv[1])); ledger.start_run({'x': 1}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", open_at_kill, str(path)], check=False)
    assert Path(f"{path}-wal").stat().st_size
    _, ledger = again(path, repo)
    with ledger:
        assert ledger.archive(TASKS, UNDER, 1) == archive
        assert ledger.check() == []


def test_the_champion_of_main_is_restored_even_without_its_note(tmp_path: Path) -> None:
    repo = GitRepo.create(tmp_path / "agents.git")
    seed = repo.add({"a": File(b"1")}, [], Message("seed"))
    repo.promote(repo.add({"a": File(b"2")}, [seed], Message("better")))
    _, ledger = again(tmp_path / "sica.db", repo)
    with ledger:
        assert ledger.archive(TASKS, UNDER, 1).champion == repo.champion() != seed.commit


def test_a_note_that_lacks_a_fact_is_named_and_the_old_ledger_stays(
    told: tuple[Path, GitRepo, Archive],
) -> None:
    path, repo, archive = told
    with pytest.raises(StoreError, match="lacks 'passed'"):
        rebuild(
            path, repo.agents(), {repo.champion(): ['{"v":1,"kind":"verdict","n":1,' + _usage_json() + "}"]}
        )
    with SqliteLedger.open(path) as ledger:
        assert ledger.archive(TASKS, UNDER, 1) == archive


def _usage_json() -> str:
    names = ("usd", "prompt_tokens", "cached_tokens", "completion_tokens", "calls", "seconds", "started")
    return ",".join(f'"{name}":0' for name in names) + ',"trace":"","session":"","run":""'


# ── what opening costs ────────────────────────────────────────────────────────────────────────────


def test_reading_a_ledger_loads_no_heavy_package(ledger: SqliteLedger) -> None:
    program = (
        "import sys; from pathlib import Path; from sica.ledger import SqliteLedger\n"
        "with SqliteLedger.open(Path(sys.argv[1])) as w, SqliteLedger.open(Path(sys.argv[1]), readonly=True) as r:\n"
        "    assert len(r.agents()) == len(w.agents()) == 3\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(ledger.path)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "sqlite3" in out
    assert not {"pydantic", "sqlite_utils", "git", "dulwich", "rich", "docker", "litellm", "aiohttp"} & set(
        out
    )


def test_a_ledger_of_the_first_schema_is_brought_up_to_date_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "sica.db"
    raw = sqlite3.connect(path)
    migrations.steps.apply(Database(raw, execute_plugins=False), stop_before="0002_money")
    fill = (Path(__file__).parent / "data" / "ledger-1.sql").read_text()
    raw.executescript(fill + f"PRAGMA application_id = {ledger_file.APPLICATION}; PRAGMA user_version = 1;")
    raw.close()
    with SqliteLedger.open(path) as ledger:
        assert ledger.check() == []
        (summary,) = ledger.summaries("core")
        assert (summary.n, summary.total, summary.usage.usd) == (2, 1.5, 0.75)
        assert summary.usage == Usage(0.75, 300, 80, 40, 5, 4.5)
        told = {call.session: (call.agent, call.task) for call in ledger.calls()}
        assert told == {
            "s-trial": (SEED.commit, "core/add"),
            "s-improve": (SEED.commit, ""),
            "s-gate": (CHILD.commit, ""),
            "s-lost": ("", ""),
        }
        assert ledger.spent("r1").usd == pytest.approx(1.75)
        assert ledger.record(trial(task=1, usage=replace(USED, cache_write_tokens=7)))
        assert ledger.summaries("core")[0].usage.cache_write_tokens == 7
        assert ledger.check() == []


def test_what_was_shown_of_held_out_scores_is_remembered_for_good(ledger: SqliteLedger) -> None:
    assert ledger.glimpses() == ()
    ledger.glimpsed(SHOWN)
    ledger.glimpsed(replace(SHOWN, at=6.0))
    assert ledger.glimpses() == (SHOWN, replace(SHOWN, at=6.0))
    stranger = sqlite3.connect(ledger.path)
    for verb in ("DELETE FROM glimpses", "UPDATE glimpses SET who = 'nobody'"):
        with pytest.raises(sqlite3.IntegrityError, match="cannot be unseen"):
            stranger.execute(verb)
    stranger.close()


def test_a_ledger_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "sica.db"
    old = sqlite3.connect(path)
    first = Migrations("sica")
    first(name="0001_outcomes")(outcomes)
    first.apply(Database(old))
    old.execute(f"PRAGMA application_id = {ledger_file.APPLICATION}")
    old.execute("PRAGMA user_version = 1")
    old.execute("INSERT INTO trees (hash) VALUES ('kept')")
    old.commit()
    old.close()
    with pytest.raises(StoreError, match="has schema 1"):
        SqliteLedger.open(path, readonly=True)
    with SqliteLedger.open(path) as ledger:
        ledger.glimpsed(SHOWN)
        assert ledger.glimpses() == (SHOWN,)
        assert ledger.check() == []
    new = sqlite3.connect(path)
    assert new.execute("SELECT hash FROM trees").fetchall() == [("kept",)]
    new.close()


def test_migrations_are_recorded(ledger: SqliteLedger) -> None:
    stranger = sqlite3.connect(ledger.path)
    names = [name for (name,) in stranger.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]
    assert names[-1].startswith(f"{ledger_file.SCHEMA:04}_")
    assert stranger.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    stranger.close()
