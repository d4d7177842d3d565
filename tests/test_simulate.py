"""The simulator, and by it the real loop: no generation, no barrier, no difference after a stop."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean

import pytest
from commands import sica
from conftest import World as RealWorld
from conftest import skilled

from sica.champion import Terms
from sica.contract import INSTRUCTION
from sica.errors import UsageError
from sica.model import (
    Archive,
    BoxSpec,
    Ended,
    Evaluate,
    Event,
    Finished,
    Improve,
    Improvement,
    Job,
    Promoted,
    Promotion,
    Started,
    Step,
    Stopped,
    Trial,
)
from sica.policies import open_policy, policy_names
from sica.simulate import (
    Genome,
    Mean,
    Point,
    Result,
    SimulatedSandbox,
    Simulation,
    Spending,
    Truth,
    World,
    compare,
    simulate,
    standings,
)

SMALL = World(tasks=8, barren=0)
QUICK = Spending(evaluations=80, points=4)


def events(simulation: Simulation, evaluations: int, archive: Archive | None = None) -> list[Event]:
    """Run until so many evaluations are scored; the run is stopped as Ctrl-C stops it."""
    seen = []
    for event in simulation.events(archive):
        seen.append(event)
        if simulation.recorder.evaluations >= evaluations:
            simulation.cancel.set()
    return seen


# ── the loop ──────────────────────────────────────────────────────────────────────────────────────


class Held(SimulatedSandbox):
    """One box does not end before it is told to; all others go on."""

    def __init__(self, simulation: Simulation, wanted: str, nth_agent: int) -> None:
        super().__init__(simulation.truth, simulation.repo)
        self.wanted, self.nth_agent = wanted, nth_agent
        self.held, self.released = threading.Event(), threading.Event()

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        tree = spec.mounts["/agent"].name
        number = next(a.number for a in self.repo.agents() if a.tree == tree)
        if number == self.nth_agent and job.files[INSTRUCTION].data.decode() == self.wanted:
            self.held.set()
            assert self.released.wait(30), "everybody waited for one box: the loop has a barrier"
        return super().run(spec, job, cancel, stop)


@pytest.mark.parametrize("name", policy_names())
def test_one_slow_box_holds_up_nobody(name: str) -> None:
    """While one trial of the first child hangs, the others make whole agents and measure them."""
    world = World(tasks=6, broken=0, barren=0, empty=0, faults=0)
    simulation = Simulation(world, 1, policy=open_policy(name), workers=3, boxes=True)
    simulation.sandbox = held = Held(simulation, "t0", nth_agent=1)
    meanwhile: list[Step] = []
    for event in simulation.events():
        if held.held.is_set() and isinstance(event, Finished):
            meanwhile.append(event.step)
            made = sum(isinstance(s, Improve) for s in meanwhile)
            measured = sum(isinstance(s, Evaluate) for s in meanwhile)
            if made >= 2 and measured >= 12:
                held.released.set()
                simulation.cancel.set()
    assert held.released.is_set(), "the run ended early"


@pytest.mark.parametrize("name", policy_names())
def test_workers_are_busy_from_the_moment_that_the_seed_is_measured(name: str) -> None:
    policy, empty = open_policy(name), 0

    def counted(archive: Archive, rng: Random) -> Sequence[Step]:
        nonlocal empty
        steps = list(policy(archive, rng))
        empty += not steps and archive.measured(next(iter(archive.agents)))
        return steps

    seen = events(Simulation(SMALL, 3, policy=counted, workers=4), 80)
    waiting = [
        len(one.archive.in_flight)
        for one, other in pairwise(seen)
        if isinstance(one, Started) and isinstance(other, Finished)
    ]
    assert empty == 0, "a policy left a worker without work"
    assert len(waiting) > 20
    assert set(waiting[10:]) == {4}, "the loop waited with a worker free"


def test_making_and_measuring_interleave() -> None:
    seen = events(Simulation(SMALL, 1, policy=open_policy("hgm"), workers=3), 60)
    kinds = [type(e.step) for e in seen if isinstance(e, Finished) and not isinstance(e.outcome, Promoted)]
    changes = sum(one != other for one, other in pairwise(k for k in kinds if k in (Improve, Evaluate)))
    assert changes > 15


def test_a_policy_that_has_nothing_to_ask_is_asked_again_after_one_outcome() -> None:
    """Of two trials in flight the second ends only after the policy has seen the first one's outcome."""
    world = World(tasks=2, faults=0, broken=0)
    slow = threading.Event()

    def pairs(archive: Archive, rng: Random) -> Sequence[Step]:
        del rng
        seed = next(iter(archive.agents))
        if len(archive.scored(seed)) == 1 and archive.in_flight:
            slow.set()
        return [] if archive.in_flight and archive.scored(seed) else archive.missing(seed)

    class Second(SimulatedSandbox):
        def run(
            self,
            spec: BoxSpec,
            job: Job,
            cancel: threading.Event | None = None,
            stop: threading.Event | None = None,
        ) -> Ended:
            if job.files[INSTRUCTION].data == b"t1":
                assert slow.wait(30), "the policy was not asked after the first outcome"
            return super().run(spec, job, cancel, stop)

    simulation = Simulation(world, 0, policy=pairs, workers=2, boxes=True)
    simulation.sandbox = Second(simulation.truth, simulation.repo)
    last = list(simulation.events())[-1]
    assert isinstance(last, Stopped)
    assert last.reason == "done"
    assert len(last.archive.scored(next(iter(last.archive.agents)))) == 2


def facts(archive: Archive) -> object:
    trials = {(t.tree, t.digest, t.attempt, t.score) for of in archive.trials.values() for t in of}
    return list(archive.agents), trials, [(i.parent, i.ending) for i in archive.improvements], archive.settled


@pytest.mark.parametrize("name", policy_names())
@pytest.mark.parametrize("stop", [1, 13, 37])
def test_a_stopped_run_goes_on_to_where_it_would_have_come(name: str, stop: int) -> None:
    whole = events(Simulation(SMALL, 5, policy=open_policy(name)), 60)[-1].archive
    simulation = Simulation(SMALL, 5, policy=open_policy(name))
    first = events(simulation, stop)[-1].archive
    simulation.cancel.clear()
    assert facts(events(simulation, 60, replace(first, in_flight=frozenset()))[-1].archive) == facts(whole)


@pytest.mark.parametrize("name", policy_names())
def test_nothing_is_measured_twice_by_many_workers(name: str) -> None:
    archive = events(Simulation(SMALL, 2, policy=open_policy(name), workers=4), 100)[-1].archive
    scored = [
        (t.tree, t.digest, t.attempt) for of in archive.trials.values() for t in of if t.score is not None
    ]
    assert len(scored) == len(set(scored)) >= 100


def test_hgm_in_real_boxes_ends_with_its_choice_proved_and_promoted(world: RealWorld) -> None:
    seed = world.seed(skilled())
    last = world.evolve(children=2, proof=Terms(0, "mean"), policy=open_policy("hgm:evaluations=6"))[-1]
    assert isinstance(last, Stopped)
    assert last.reason == "done"
    champion = last.archive.agents[last.archive.champion]
    assert champion.commit != seed.commit
    assert last.archive.measured(champion.commit)
    assert last.archive.measured(seed.commit)


def told(event: Event) -> object:
    """What an event says, without what is random or about the clock."""
    if not isinstance(event, Started | Finished):
        return type(event), event.archive.champion
    facts: tuple[object, ...] = ()
    if isinstance(event, Finished):
        outcome = event.outcome
        assert not isinstance(outcome, Promotion)
        facts = (outcome.fault, getattr(outcome, "score", None), round(outcome.usage.usd, 9))
    return type(event), event.step, facts, len(event.archive.agents), event.archive.champion


@pytest.mark.parametrize("name", policy_names())
def test_the_world_asked_itself_answers_as_boxes_on_threads_do(name: str) -> None:
    """Step for step: through the gate, the brief and the attempt into a box, and by a crew without any of it."""
    world = World(tasks=14, faults=0.2)
    one, other = (
        [told(e) for e in events(Simulation(world, 7, policy=open_policy(name), boxes=boxes), 120)]
        for boxes in (False, True)
    )
    assert one == other


def test_time_is_simulated_and_workers_share_it() -> None:
    """Eight workers are done in about an eighth of the time, and nobody waits for a generation to end."""
    took = {}
    for workers in (1, 8):
        simulation = Simulation(World(), 3, policy=open_policy("hgm"), workers=workers)
        events(simulation, 300)
        took[workers] = simulation.virtual.minutes
    assert 6 < took[1] / took[8] < 10


# ── the world ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", [0.1, 0.4, 0.8])
def test_the_seed_is_as_good_as_the_world_says(start: float) -> None:
    truth = Truth(World(start=start), 3)
    assert truth.score(truth.adam) == pytest.approx(start, abs=1e-6)


def test_trials_are_right_as_often_as_the_true_score_says() -> None:
    simulation = Simulation(World(tasks=40, faults=0), 1, policy=open_policy("iid"))
    simulation.start = replace(simulation.start, attempts=20)
    archive = events(simulation, 800)[-1].archive
    seed = next(iter(archive.agents))
    assert fmean(t.score or 0 for t in archive.scored(seed)) == pytest.approx(0.4, abs=0.03)


def test_what_children_are_like() -> None:
    world = World(empty=0, slope=0, drift=-0.1, step=0.4, inherit=0.2, broken=0.3, barren=0.1)
    truth = Truth(world, 0)
    parent = Genome(1.0, talent=0.5)
    made = [truth.child(parent, Random(n)) for n in range(4000)]
    assert fmean(c.skill for c in made) == pytest.approx(1.4, abs=0.03)
    assert fmean(c.talent for c in made) == pytest.approx(0.5, abs=0.02)
    assert fmean(c.broken for c in made) == pytest.approx(0.3, abs=0.03)
    assert fmean(c.barren for c in made) == pytest.approx(0.1, abs=0.02)
    assert all(truth.child(Genome(1.0, barren=True), Random(n)).broken for n in range(50))
    assert truth.score(Genome(9.0, broken=True)) == 0


def test_the_gate_rejects_what_is_broken_and_it_is_never_measured() -> None:
    simulation = Simulation(World(tasks=8, broken=0.5), 4, policy=open_policy("hgm"))
    archive = events(simulation, 80)[-1].archive
    rejected = [a for a in archive.agents.values() if a.standing == "rejected"]
    assert rejected
    for agent in archive.agents.values():
        broken = Genome.of(simulation.repo.files(agent.tree)["genome.json"]).broken
        assert broken == (agent.standing == "rejected") or agent.standing == "unchecked"
    assert not any(archive.trials.get(a.tree) for a in rejected)


def test_a_failing_box_is_a_fault_and_the_trial_is_made_again() -> None:
    seen = events(Simulation(World(tasks=20, faults=0.2), 0, policy=open_policy("greedy")), 60)
    trials = [e.outcome for e in seen if isinstance(e, Finished) and isinstance(e.outcome, Trial)]
    assert {t.fault for t in trials if t.score is None} == {"infra"}
    assert {t.digest for t in trials if t.score is None} & {t.digest for t in trials if t.score is not None}


def test_an_empty_improvement_leaves_no_child() -> None:
    seen = events(Simulation(World(tasks=4, empty=1, broken=0), 0, policy=open_policy("iid")), 999)
    made = [e.outcome for e in seen if isinstance(e, Finished) and isinstance(e.outcome, Improvement)]
    assert {m.ending for m in made} <= {"empty", "infra"}
    assert len(seen[-1].archive.agents) == 1


def test_policies_meet_the_same_luck() -> None:
    """The seed's first child and every trial of it are the same, whoever asks and whenever."""
    found = []
    for name in ("iid", "sica", "hgm"):
        archive = events(Simulation(SMALL, 4, policy=open_policy(name)), 160)[-1].archive
        found.append(
            {
                (t.tree, t.digest, t.attempt): t.score
                for of in archive.trials.values()
                for t in of
                if t.score is not None
            }
        )
    for one, other in pairwise(found):
        both = one.keys() & other.keys()
        assert len(both) >= 16
        assert all(one[key] == other[key] for key in both)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tasks": 0},
        {"start": 1.0},
        {"broken": 1.2},
        {"broken": 0.8, "empty": 0.3},
        {"faults": 1.0},
        {"step": -1.0},
    ],
)
def test_a_world_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        World(**wrong)  # type: ignore[arg-type]


# ── many runs ─────────────────────────────────────────────────────────────────────────────────────


def test_a_simulation_repeats_and_keeps_to_its_budget() -> None:
    one, again, other = (simulate("hgm", SMALL, seed, QUICK) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert [p.evaluations for p in one.curve] == [20, 40, 60, 80]
    assert all(p.chosen <= p.found for p in one.curve)


def test_a_budget_of_dollars() -> None:
    result = simulate("dgm", SMALL, 0, Spending(usd=20.0, points=4))
    assert 20 <= result.end.usd < 24
    assert 0 < result.evaluating < 1


def test_a_policy_that_is_stuck_stops_and_keeps_what_it_had() -> None:
    """SICA always takes the newest that will do; one that cannot change code any more ends its run."""
    stuck = simulate(
        "sica",
        World(tasks=4, barren=1, broken=0, empty=0, faults=0),
        0,
        Spending(400, points=4, improvements=30),
    )
    assert stuck.improvements == 30
    assert stuck.end.evaluations < 400
    assert len(stuck.curve) == 4


def test_the_default_policy_leaves_an_agent_whose_children_never_work() -> None:
    world = World(tasks=4, barren=0.5, broken=0, empty=0)
    alive = {
        name: simulate(name, world, 0, Spending(200, improvements=60)).agents
        for name in ("greedy", "greedy:patience=99")
    }
    assert alive["greedy"] > 2 * alive["greedy:patience=99"]


def test_search_beats_the_control_where_there_is_something_to_find() -> None:
    world = World(tasks=20, inherit=0.3)
    found = {s.policy: s for s in standings(compare(["iid", "hgm"], world, 6, Spending(240, points=2)))}
    assert found["hgm"].chosen.value > found["iid"].chosen.value + 0.05
    assert found["hgm"].against.low > 0


def test_processes_change_no_result() -> None:
    asked = (["iid", "dgm"], SMALL, 2, QUICK)
    assert list(compare(*asked, jobs=2)) == list(compare(*asked))


def test_standings_pair_the_worlds() -> None:
    def result(policy: str, seed: int, chosen: float) -> Result:
        return Result(policy, seed, (Point(10, 1.0, chosen, chosen),), 1, 2, 0.5)

    one = [result("a", seed, 0.1 * seed) for seed in range(6)]
    other = [result("b", seed, 0.1 * seed + 0.05) for seed in range(6)]
    first, second = standings([*one, *other])
    assert (first.policy, first.against, first.p) == ("a", Mean(0, 0, 0), 1)
    assert second.against.value == pytest.approx(0.05)
    assert second.against.low == pytest.approx(0.05)  # the worlds differ far more than the policies do
    assert second.chosen.low < first.chosen.value < second.chosen.high
    assert second.p == pytest.approx(2 / 64)


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def test_the_command_compares_policies_one_of_them_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "newest.py").write_text(
        "def policy(archive, rng, *, back: int = 1):\n"
        "    missing = [s for a in archive.ready() for s in archive.missing(a.commit)]\n"
        "    ready = archive.ready()\n"
        "    return missing or [archive.improve(ready[-min(back, len(ready))].commit)]\n"
    )
    options = (
        "--policy",
        "iid,mine.newest:back=2",
        "--seeds",
        "2",
        "--budget",
        "40",
        "--world",
        "tasks=8",
        "--jobs",
        "2",
    )
    ran = sica(tmp_path, "simulate", *options)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("True scores after 40 evaluations, means of 2 worlds with 95% intervals\n")
    assert [line.split()[0] for line in ran.out.splitlines()[2:4]] == ["iid", "mine.newest:back=2"]
    told = sica(tmp_path, "simulate", *options, "--json").json
    assert told["schema"] == "sica.simulate/1"
    assert told["world"]["tasks"] == 8
    assert [p["policy"] for p in told["policies"]] == ["iid", "mine.newest:back=2"]
    assert len(told["runs"]) == 4
    assert not (tmp_path / ".sica").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--policy", "gready"), "no policy called 'gready'"),
        (("--policy", "iid,iid"), "does not name different policies"),
        (("--world", "brokn=1"), "no property of a world called 'brokn'"),
        (("--world", "broken=2"), "shares of one"),
        (("--max-cost", "0"), "no amount to spend"),
    ],
)
def test_what_cannot_be_simulated_is_exit_2(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    ran = sica(tmp_path, "simulate", *options)
    assert ran.code == 2
    assert said in ran.err
