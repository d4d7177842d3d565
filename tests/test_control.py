"""What people ask of a run reaches it within about a second, is done once and is answered; asked by another process's
connection to the same ledger, as the viewer and the command line do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import World, skilled

from sica.control import Controls, verdict
from sica.ledger import SqliteLedger
from sica.loop import evolve
from sica.model import (
    Event,
    File,
    Files,
    Finished,
    Improvement,
    Promoted,
    Request,
    Started,
    Stopped,
    Trial,
    Waiting,
)

PROMPT = 5.0
"""Seconds in which a request must have had its effect, on a busy machine; the loop looks every half second."""


def slow(seconds: float, level: int = 3) -> Files:
    """An agent that takes its time over tasks of this level, and quotes what people asked in its CHANGE.md."""
    files = dict(skilled())
    code = files["main.py"].data.decode()
    wait = f"    import time\n    time.sleep({seconds} if 'level {level}' in told else 0)\n"
    code = code.replace("    level = int", f"{wait}    level = int")
    code = code.replace(
        "Why: harder tasks failed.", "Why: {told.partition('asks of this change:')[2].strip()}"
    )
    files["main.py"] = File(code.encode())
    return files


class Run:
    """A run in a thread of its own, and a second connection to its ledger."""

    def __init__(self, world: World, outside: SqliteLedger, **changes: object) -> None:
        self.world, self.outside = world, outside
        self.events: list[Event] = []
        self._moved = threading.Condition()
        world.run = world.run or world.ledger.start_run({"test": True}).id
        controls = Controls(world.ledger, world.broker, approve=bool(changes.pop("approve", False)), by="ann")
        self.controls = controls
        self.plan = world.plan(controls=controls, **changes)
        self._thread = threading.Thread(target=self._go)
        self._thread.start()

    def _go(self) -> None:
        for event in evolve(self.plan, self.world.place, self.world.ledger, self.world.archive(self.plan)):
            with self._moved:
                self.events.append(event)
                self._moved.notify_all()

    def until(self, seen: Callable[[list[Event]], object], seconds: float = 60.0) -> None:
        with self._moved:
            assert self._moved.wait_for(lambda: seen(self.events), seconds), self.events

    def ask(self, kind: str, **facts: str) -> Request:
        return self.outside.ask(Request(kind, at=time.time(), by="bob", **facts))  # type: ignore[arg-type]

    def answered(self, request: Request) -> Request:
        deadline = time.monotonic() + PROMPT
        while (found := self.outside.requests(request.id - 1)[0]).state == "pending":
            assert time.monotonic() < deadline, "nobody answered"
            time.sleep(0.05)
        return found

    def end(self) -> Stopped:
        self._thread.join(120)
        last = self.events[-1]
        assert isinstance(last, Stopped)
        return last

    def outcomes(self, kind: type) -> list[object]:
        return [e.outcome for e in self.events if isinstance(e, Finished) and isinstance(e.outcome, kind)]


@pytest.fixture
def outside(world: World) -> Iterator[SqliteLedger]:
    with SqliteLedger.open(world.ledger.path) as ledger:
        yield ledger


def at_work(run: Run) -> str:
    """The session of the box whose trace is open."""
    deadline = time.monotonic() + PROMPT
    while not (found := list((run.world.traces.root / "open").glob("*.jsonl"))):
        assert time.monotonic() < deadline, "no box is at work"
        time.sleep(0.02)
    return found[0].stem


def started(number: int) -> Callable[[list[Event]], bool]:
    return lambda events: sum(isinstance(e, Started) for e in events) >= number


def test_a_paused_run_starts_nothing_until_it_is_resumed(world: World, outside: SqliteLedger) -> None:
    world.seed(skilled())
    run = Run(world, outside, children=1, workers=1)
    run.until(started(1))
    assert run.answered(run.ask("pause")).answer == "nothing new is started"
    run.until(lambda events: all(isinstance(e, Started) for e in events) is False)
    before = len(run.events)
    time.sleep(1.5)
    assert len(run.events) <= before + 1, "only what was running may end"
    assert run.answered(run.ask("resume")).state == "done"
    assert run.end().reason == "done"


def test_stop_lets_what_runs_end_and_the_next_run_goes_on(world: World, outside: SqliteLedger) -> None:
    world.seed(slow(2.0))
    run = Run(world, outside, children=1, workers=3)
    run.until(started(3))
    assert run.answered(run.ask("stop")).state == "done"
    assert run.end().reason == "stopped"
    trials = run.outcomes(Trial)
    assert len(trials) == sum(isinstance(e, Started) for e in run.events) - 1  # the gate's is no trial
    assert all(isinstance(t, Trial) and t.score is not None for t in trials)
    assert Run(world, outside, children=1).end().reason == "done"


def test_a_cancelled_trial_has_no_score_and_is_not_tried_again(world: World, outside: SqliteLedger) -> None:
    world.seed(slow(300.0))
    run = Run(world, outside, children=0, workers=2)
    run.until(
        lambda events: len([e for e in events if isinstance(e, Finished)]) == 3
    )  # gate, two quick trials
    assert run.answered(run.ask("cancel", session=at_work(run))).answer == "the trial ends now"
    last = run.end()
    (cancelled,) = [t for t in run.outcomes(Trial) if isinstance(t, Trial) and t.score is None]
    assert (cancelled.fault, cancelled.why) == ("cancelled", "cancelled by bob")
    assert last.reason == "done"
    assert len(run.outcomes(Trial)) == 3
    assert not (world.root / "rt" / "s").exists() or not list((world.root / "rt" / "s").iterdir())


def test_a_box_that_has_ended_cannot_be_cancelled(world: World, outside: SqliteLedger) -> None:
    world.seed(slow(3.0))
    run = Run(world, outside, children=0)
    run.until(started(2))
    answer = run.answered(run.ask("cancel", session="0123456789abcdef"))
    assert (answer.state, answer.answer) == ("refused", "the box has ended")
    run.end()


def test_a_hint_stands_in_the_next_brief_and_is_used_once(world: World, outside: SqliteLedger) -> None:
    world.seed(slow(0))
    outside.ask(Request("hint", at=1.0, by="bob", text="look at the clock first"))
    last = Run(world, outside, children=2, workers=1).end()
    bodies = [a.body for a in last.archive.agents.values() if a.parents]
    assert sum("look at the clock first" in body for body in bodies) == 1
    (hint,) = outside.requests()
    assert (hint.state, hint.answer[:31]) == ("done", "in the brief of improvement 0 o")


def test_a_hint_reaches_the_model_of_a_running_box(world: World, outside: SqliteLedger) -> None:
    controls = Controls(world.ledger, world.broker)
    archive = world.archive(world.plan())
    from sica.model import Budget

    trace = world.traces.open("0123456789abcdef")
    with world.broker.session(
        id="0123456789abcdef",
        role="main",
        model="offline",
        budget=Budget(calls=1),
        seed=1,
        trace=trace,
        run="",
    ) as session:
        asked = outside.ask(Request("hint", session="0123456789abcdef", text="use the index"))
        assert list(controls.look(archive)) == []
        assert session.take_notices("") == ["use the index"]
    assert outside.requests(asked.id - 1)[0].state == "done"
    late = outside.ask(Request("hint", session="0123456789abcdef", text="too late"))
    list(controls.look(archive))
    assert outside.requests(late.id - 1)[0].answer == "the box has ended"
    trace.close()


def test_a_would_be_champion_waits_for_a_person(world: World, outside: SqliteLedger) -> None:
    seed = world.seed(skilled())
    run = Run(world, outside, children=1, approve=True)
    last = run.end()
    waiting = [e for e in run.events if isinstance(e, Waiting)]
    assert len(waiting) == 1
    assert not [e for e in run.events if isinstance(e, Promoted)]
    assert last.archive.champion == seed.commit == world.repo.champion()
    (asked,) = run.controls.waiting
    assert (asked.kind, asked.agent) == ("waiting", waiting[0].promotion.agent)

    again = Run(world, outside, children=1, approve=True)
    assert [type(e) for e in (again.end(), *again.events)] == [Stopped, Stopped], (
        "it is asked once, not every run"
    )

    outside.ask(Request("approve", at=2.0, by="bob", agent=asked.agent))
    final = Run(world, outside, children=1, approve=True)
    assert final.end().archive.champion == asked.agent == world.repo.champion()
    assert {r.kind: r.state for r in outside.requests()}["waiting"] == "done"


def test_yes_while_it_waits_promotes_in_the_same_run(world: World, outside: SqliteLedger) -> None:
    world.seed(slow(1.0, level=1))
    run = Run(world, outside, children=2, approve=True, workers=1)
    run.until(lambda events: any(isinstance(e, Waiting) for e in events))
    (waiting,) = [e.promotion.agent for e in run.events if isinstance(e, Waiting)]
    run.answered(run.ask("approve", agent=waiting))
    run.end()
    assert waiting in [e.promotion.agent for e in run.events if isinstance(e, Promoted)]


def test_a_rejected_child_is_never_champion(world: World, outside: SqliteLedger) -> None:
    seed = world.seed(skilled())
    Run(world, outside, children=1, approve=True).end()
    (waiting,) = [r for r in outside.requests() if r.kind == "waiting"]
    no = outside.ask(Request("reject", at=3.0, by="bob", agent=waiting.agent, text="it reads my diary"))
    outside.record(verdict(no))
    last = Run(world, outside, children=1).end()
    assert last.archive.champion == seed.commit
    assert last.archive.agents[waiting.agent].reason == "rejected by bob: it reads my diary"
    yes = outside.ask(Request("approve", at=4.0, by="bob", agent=waiting.agent))
    outside.record(verdict(yes))
    assert Run(world, outside, children=1).end().archive.champion == waiting.agent


def test_a_no_that_a_killed_run_did_not_answer_is_done_by_the_next(
    world: World, outside: SqliteLedger
) -> None:
    world.seed(skilled())
    made = Run(world, outside, children=1, approve=True).end().archive
    child = next(a for a in made.agents.values() if a.parents)
    no = outside.ask(Request("reject", at=3.0, by="bob", agent=child.commit))
    last = Run(world, outside, children=1).end()
    assert last.archive.agents[child.commit].standing == "rejected"
    assert outside.requests(no.id - 1)[0].state == "done"


def test_a_no_during_the_run_is_an_outcome_of_it(world: World, outside: SqliteLedger) -> None:
    seed = world.seed(slow(2.0))
    run = Run(world, outside, children=1, workers=1)
    run.until(
        lambda events: any(isinstance(e, Finished) and isinstance(e.outcome, Improvement) for e in events)
    )
    (made,) = run.outcomes(Improvement)
    assert isinstance(made, Improvement)
    assert made.child is not None
    run.answered(run.ask("reject", agent=made.child.commit))
    last = run.end()
    assert last.archive.agents[made.child.commit].standing == "rejected"
    assert last.archive.champion == seed.commit
    assert [v.reason for v in world.ledger.verdicts()][-1].startswith("rejected by bob")


def test_the_best_cannot_be_rejected(world: World, outside: SqliteLedger) -> None:
    seed = world.seed(slow(3.0))
    run = Run(world, outside, children=0)
    run.until(started(1))
    answer = run.answered(run.ask("reject", agent=seed.commit))
    assert (answer.state, answer.answer[:14]) == ("refused", "it is the best")
    assert run.end().archive.agents[seed.commit].standing == "ready"


def test_what_was_asked_of_an_earlier_run_does_not_stop_the_next(world: World, outside: SqliteLedger) -> None:
    world.seed(skilled())
    for kind in ("pause", "stop"):
        outside.ask(Request(kind, at=1.0))
    assert Run(world, outside, children=0).end().reason == "done"
    assert {(r.state, r.answer) for r in outside.requests()} == {("refused", "no run was going")}


def test_keys_of_the_terminal_take_effect_at_once_and_are_on_record(
    world: World, outside: SqliteLedger
) -> None:
    world.seed(slow(2.0))
    run = Run(world, outside, children=0, workers=3)
    run.until(started(2))
    run.controls.pause()
    assert run.controls.paused
    run.controls.resume()
    run.controls.stop()
    assert run.end().reason in ("stopped", "done")
    assert [r.kind for r in outside.requests()] == ["pause", "resume", "stop"]


def test_requests_and_answers_are_never_changed(world: World, outside: SqliteLedger, tmp_path: Path) -> None:
    del tmp_path
    asked = outside.ask(Request("comment", at=1.0, by="bob", text="fine"))
    outside.answer(asked.id, "done", "noted")
    outside.answer(asked.id, "refused", "no")
    assert outside.requests() == (
        replace(asked, state="done", answer="noted", answered=outside.requests()[0].answered),
    )
    from sica.errors import StoreError

    with pytest.raises(StoreError, match="append-only"), outside._transaction() as rows:
        rows.execute("UPDATE requests SET text = 'else'")
