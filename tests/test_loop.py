"""The loop end to end on agents that need no model: real git, SQLite, boxes and broker."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import World, skilled, write_task

from sica import gate
from sica.benchmarks import open_benchmark
from sica.errors import SicaError
from sica.loop import evolve
from sica.model import (
    Archive,
    BoxSpec,
    Ended,
    Evaluate,
    File,
    Finished,
    Improve,
    Improvement,
    Job,
    Limits,
    Promoted,
    Stopped,
    Trial,
    Verdict,
)
from sica.stopping import Goal


def keys(archive: Archive) -> Counter[tuple[str, str, int]]:
    return Counter((t.tree, t.digest, t.attempt) for ts in archive.trials.values() for t in ts)


def outcomes(events: list[object], kind: type) -> list[object]:
    return [e.outcome for e in events if isinstance(e, Finished) and isinstance(e.outcome, kind)]


def test_a_run_measures_improves_and_promotes(world: World) -> None:
    seed = world.seed(skilled())
    events = world.evolve(children=2)
    last = events[-1]
    assert isinstance(last, Stopped)
    assert last.reason == "done"
    assert len(last.archive.agents) == 3
    assert [e for e in events if isinstance(e, Promoted)]
    best = last.archive.agents[last.archive.champion]
    assert best.commit != seed.commit
    assert best.subject == "raise the skill by 1"
    assert best.body == "Why: harder tasks failed."
    assert world.repo.champion() == best.commit
    assert "SKILL = 2" in world.repo.diff(seed.commit, best.commit)


def test_the_same_command_again_measures_nothing_twice(world: World) -> None:
    world.seed(skilled())
    world.evolve(children=1)
    again = world.evolve(children=1)
    assert [type(e) for e in again] == [Stopped]
    assert set(keys(again[-1].archive).values()) == {1}


def test_more_children_go_on_where_it_stopped(world: World) -> None:
    world.seed(skilled())
    world.evolve(children=1)
    again = world.evolve(children=2)
    assert len(outcomes(list(again), Improvement)) == 1
    assert max(a.number for a in again[-1].archive.agents.values()) == 2


def test_patience_ends_a_run_that_gets_no_better_and_more_patience_goes_on(world: World) -> None:
    world.seed(skilled(STEP=0))
    events = world.evolve(children=9, workers=1, goal=Goal(patience=2))
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "patience"
    assert len(outcomes(list(events), Improvement)) == 2
    assert len(outcomes(list(world.evolve(children=9, workers=1, goal=Goal(patience=3))), Improvement)) == 1


def test_a_score_that_the_champion_has_on_fresh_attempts_ends_the_run(world: World) -> None:
    world.seed(skilled(SKILL=2))
    events = world.evolve(children=9, workers=1, goal=Goal(score=1.0))
    last = events[-1]
    assert isinstance(last, Stopped)
    assert last.reason == "score"
    assert last.archive.agents[last.archive.champion].number == 1
    assert len(outcomes(list(events), Improvement)) == 1
    (only,) = world.evolve(children=9, goal=Goal(score=1.0))
    assert isinstance(only, Stopped), "nothing is started when it is reached already"


def test_an_improvement_that_changes_nothing_leaves_no_child(world: World) -> None:
    world.seed(skilled(STEP=0))
    events = world.evolve(children=1)
    (made,) = outcomes(list(events), Improvement)
    assert isinstance(made, Improvement)
    assert (made.child, made.ending) == (None, "empty")
    assert len(events[-1].archive.agents) == 1


def test_a_child_that_does_not_start_is_kept_and_rejected_and_never_measured(world: World) -> None:
    broken = File(skilled()["main.py"].data.replace(b'f"SKILL = {int(m[1]) + STEP}"', b'"SKILL = ("'))
    world.seed({**skilled(), "main.py": broken})
    events = world.evolve(children=1)
    verdicts = outcomes(list(events), Verdict)
    assert [v.passed for v in verdicts if isinstance(v, Verdict)] == [True, False]
    child = max(events[-1].archive.agents.values(), key=lambda a: a.number)
    assert child.standing == "rejected"
    assert "smoke task starts" in child.reason
    assert not events[-1].archive.scored(child.commit)


@pytest.mark.parametrize(("solvable", "passes"), [(5, True), (3, True), (2, False), (0, False)])
def test_of_many_smoke_tasks_the_best_of_five_decides(world: World, solvable: int, passes: bool) -> None:
    for n in range(5):
        write_task(world.root / "many", f"task{n}", 1 if n < solvable else 2)
    verdict = gate.check(world.seed(skilled()), open_benchmark(str(world.root / "many")), world.place)
    assert verdict.passed is passes
    failed = re.findall(r"task\d", verdict.reason.partition(":")[0])
    assert len(failed) == (0 if passes else 3)
    assert all(int(name[-1]) >= solvable for name in failed)


def test_an_agent_whose_own_tests_fail_is_rejected(world: World) -> None:
    check = b'[check]\nargv = ["python3", "-c", "import sys; sys.exit(\'3 failed\')"]\n'
    toml = skilled()["agent.toml"]
    world.seed({**skilled(), "agent.toml": replace(toml, data=toml.data + check)})
    events = world.evolve(children=1)
    (verdict,) = outcomes(list(events), Verdict)
    assert isinstance(verdict, Verdict)
    assert verdict.reason == "its own tests fail (exit code 1): 3 failed"


class Full:
    """A sandbox on a machine that is full at first: the first of an agent's own tests that it runs fails."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox, self.failed = sandbox, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        ended: Ended = self.sandbox.run(spec, job, cancel, stop)
        if job.argv[-1] == "pass" and not self.failed:
            self.failed += 1
            return replace(ended, exit_code=1, stderr=b"TimeoutError\n")
        return ended


def test_own_tests_that_fail_once_are_run_again_before_a_sound_agent_is_rejected_for_good(
    world: World,
) -> None:
    toml = skilled()["agent.toml"]
    check = b'[check]\nargv = ["python3", "-c", "pass"]\n'
    world.seed({**skilled(), "agent.toml": replace(toml, data=toml.data + check)})
    world.sandbox = full = Full(world.sandbox)
    (verdict,) = outcomes(list(world.evolve(children=0)), Verdict)
    assert full.failed == 1
    assert isinstance(verdict, Verdict)
    assert (verdict.passed, verdict.reason) == (True, "")


def test_a_cut_short_improvement_is_not_measured(world: World) -> None:
    hang = b"import time; time.sleep(60); pathlib.Path('x')"
    slow = skilled()["main.py"].data.replace(b'pathlib.Path("CHANGE.md")', hang)
    world.seed({**skilled(), "main.py": File(slow)})
    events = world.evolve(children=1, improve_limits=Limits(seconds=1))
    (made,) = outcomes(list(events), Improvement)
    assert isinstance(made, Improvement)
    assert (made.child, made.ending) == (None, "seconds")


def test_cancelling_keeps_what_is_finished_and_counts_nothing_half_done(world: World) -> None:
    world.seed(skilled())
    plan = world.plan()
    world.run = world.ledger.start_run({}).id
    seen = []
    for event in evolve(plan, world.place, world.ledger, world.archive(plan)):
        seen.append(event)
        if isinstance(event, Finished) and isinstance(event.outcome, Trial):
            world.cancel.set()
    assert isinstance(seen[-1], Stopped)
    assert seen[-1].reason == "interrupted"
    stored = world.archive(plan)
    assert keys(stored) == keys(seen[-1].archive)
    assert all(t.score is not None for ts in stored.trials.values() for t in ts)


def test_a_broken_sandbox_stops_the_run_and_is_nobodys_zero(world: World) -> None:
    seed = world.seed(skilled())
    world.evolve(children=0)
    trees = world.root / "rt" / "trees"
    shutil.move(trees, trees.with_name("gone"))
    trees.write_text("no folder")  # agents' code can no longer be bound into a box
    plan = world.plan(children=0)
    with pytest.raises(SicaError):
        list(evolve(plan, world.place, world.ledger, replace(world.archive(plan), attempts=2)))
    after = world.archive(plan)
    assert {t.attempt for t in after.trials[seed.tree] if t.score is not None} == {0}


def test_a_box_killed_from_outside_is_a_fault_and_the_trial_is_made_again(world: World) -> None:
    word = f"marked-{uuid.uuid4().hex}"
    argv = f'argv = ["python3", "/agent/main.py", "{word}"]'
    slow = skilled()["main.py"].data.replace(
        b"    if level <= SKILL:", b"    import time; time.sleep(1)\n    if level <= SKILL:"
    )
    toml = skilled()["agent.toml"].data.replace(b'argv = ["python3", "/agent/main.py"]', argv.encode())
    seed = world.seed({"agent.toml": File(toml), "main.py": File(slow)})
    world.evolve(children=0, tasks=())  # past the gate
    killer = threading.Thread(target=kill_the_box_of, args=(word,))
    killer.start()
    events = world.evolve(children=0, workers=1)
    killer.join()
    trials = outcomes(list(events), Trial)
    assert [t.fault for t in trials if isinstance(t, Trial)] == ["infra", None, None, None]
    scores = {t.task: t.score for t in events[-1].archive.scored(seed.commit)}
    assert scores == {"toy/level1": 1.0, "toy/level2": 0.0, "toy/level3": 0.0}


def kill_the_box_of(word: str) -> None:
    """End the first process of the box in which a program with this word in its arguments runs."""
    while True:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if word.encode() in (path / "cmdline").read_bytes():
                    status = (path / "status").read_text()
                    os.kill(int(re.search(r"PPid:\s+(\d+)", status)[1]), signal.SIGKILL)  # type: ignore[index]
                    return
            except (FileNotFoundError, ProcessLookupError):
                continue


def test_plain_git_reads_the_lineage(world: World) -> None:
    world.seed(skilled())
    world.evolve(children=2)
    store = ["git", "-C", str(world.root / "store with space ü" / "agents.git")]

    def git(*argv: str) -> str:
        return subprocess.run([*store, *argv], check=True, capture_output=True, text=True).stdout

    assert "+SKILL = 2" in git("diff", "agent/0", "agent/1")
    assert git("log", "--graph", "--oneline", "--branches").count("raise the skill") >= 2
    assert "agent-0@sica.invalid" in git("blame", "-e", "main", "--", "main.py")
    assert git("fsck", "--strict") == ""


def test_children_of_two_workers_meet_different_dice(world: World) -> None:
    world.seed(skilled())
    events = world.evolve(children=2, workers=2)
    steps = [e.step for e in events if isinstance(e, Finished) and isinstance(e.step, Improve)]
    assert len(set(steps)) == 2
    trials = [e.step for e in events if isinstance(e, Finished) and isinstance(e.step, Evaluate)]
    assert len(set(trials)) == len(trials)
