"""Estimates and forecasts: the ranges hold in synthetic worlds, and every part of them follows from the record."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

import pytest
from archives import agent, archive, task, trial

from sica.forecast import (
    Estimate,
    Range,
    Sample,
    Work,
    ahead,
    estimate,
    forecast,
    improving,
    pace,
    samples,
    worst,
)
from sica.model import Budget, Evaluate, Improve, Improvement, Usage
from sica.ports import Price

TASKS = [task(f"t{n}") for n in range(12)]


def work(**changes: object) -> Work:
    return replace(Work(owed={}, tasks=TASKS, attempts=1, children=0), **changes)  # type: ignore[arg-type]


def found(left: Estimate) -> Range:
    assert left.usd is not None
    return left.usd


# ── the range ─────────────────────────────────────────────────────────────────────────────────────


class World:
    """Tasks differ, agents differ, trials are noisy: lognormal, all of it."""

    def __init__(self, seed: int, noise: float = 0.4, drift: float = 0.3) -> None:
        self.dice, self.noise, self.drift = Random(seed), noise, drift
        self.means = {t.digest: 0.02 * exp(self.dice.gauss(0, 0.8)) for t in TASKS}
        self.shift = exp(self.dice.gauss(0, drift))

    def cost(self, digest: str, factor: float) -> float:
        return self.means[digest] * factor * exp(self.dice.gauss(0, self.noise) - self.noise**2 / 2)

    def record(self, agents: int, only: int = len(TASKS)) -> list[Sample]:
        found = []
        for n in range(agents):
            factor = exp(self.dice.gauss(0, self.drift))
            found += [Sample(f"a{n}", t.digest, self.cost(t.digest, factor), 1.0) for t in TASKS[:only]]
        return found

    def child(self) -> float:
        factor = self.shift * exp(self.dice.gauss(0, 0.1))
        return sum(self.cost(t.digest, factor) for t in TASKS)


@pytest.mark.parametrize("agents", [1, 2, 6])
@pytest.mark.parametrize("children", [1, 8])
def test_nine_ranges_in_ten_hold_what_the_run_then_costs(agents: int, children: int) -> None:
    inside = 0
    for seed in range(200):
        world = World(seed)
        known = world.record(agents)
        # an improvement as cheap as a trial, well known: the ranges are the trials' own
        improved = [Sample("a0", "", 0.02, 1.0)] * 20
        left = found(estimate(work(children=children), known, improved))
        cost = sum(world.child() + 0.02 + world.cost(TASKS[0].digest, 1.0) for _ in range(children))
        inside += left.low <= cost <= left.high
    assert 168 <= inside <= 199, f"{inside} of 200"


def test_a_probe_of_three_tasks_gives_a_wider_range_that_still_holds() -> None:
    inside, wider = 0, 0
    for seed in range(200):
        world = World(seed, drift=0.0)
        owed = {("a0", t.digest): 1.0 for t in TASKS[3:]}
        probed, whole = world.record(1, only=3), world.record(1)
        after_probe = found(estimate(work(owed=owed), probed))
        after_all = found(estimate(work(owed=owed), whole))
        cost = sum(world.cost(t.digest, 1.0) for t in TASKS[3:])
        inside += after_probe.low <= cost <= after_probe.high
        wider += after_probe.high / after_probe.low > after_all.high / after_all.low
    assert inside >= 150, f"{inside} of 200"
    assert wider >= 190


def test_more_of_the_record_makes_the_range_narrower() -> None:
    spread = dict.fromkeys((1, 4, 30), 0.0)
    for seed in range(40):
        everything = World(seed).record(30)
        for agents in spread:
            known = [s for s in everything if int(s.agent[1:]) < agents]
            left = found(estimate(work(children=4), known, [Sample("a0", "", 0.05, 1.0)] * 10))
            spread[agents] += left.high / left.low
    assert spread[1] > spread[4] > spread[30]


def test_an_agent_that_costs_twice_as_much_is_expected_to_go_on_so() -> None:
    known = [Sample("cheap", t.digest, 0.01, 1.0) for t in TASKS]
    known += [Sample("dear", t.digest, 0.02, 1.0) for t in TASKS[:6]]
    rest = [t.digest for t in TASKS[6:]]
    cheap, dear = (
        found(estimate(work(owed={(who, d): 1.0 for d in rest}), known)).likely for who in ("cheap", "dear")
    )
    assert dear == pytest.approx(2 * cheap, rel=0.02)


def test_children_confirmation_and_improvements_each_add_their_part() -> None:
    known = [Sample("a", t.digest, 0.01, 1.0) for t in TASKS]
    base = found(estimate(work(children=2), known)).likely
    assert base == pytest.approx(2 * (12 * 0.01 + 0.01 + 3 * 0.01))
    confirmed = found(estimate(work(children=2, confirm=1, contested=1.0, crowned=False), known)).likely
    assert confirmed == pytest.approx(base + 3 * 12 * 0.01)
    improved = [Sample("a", "", 0.5, 60.0)]
    assert found(estimate(work(children=2), known, improved)).likely == pytest.approx(
        2 * (12 * 0.01 + 0.01 + 0.5)
    )
    half = found(estimate(work(children=2, kept=0.5), known, improved)).likely
    assert half == pytest.approx(2 * (0.5 * 12 * 0.01 + 0.01 + 0.5))


def test_what_costs_nothing_is_estimated_to_cost_nothing_and_still_takes_time() -> None:
    left = estimate(work(children=1), [Sample("a", t.digest, 0.0, 3.0) for t in TASKS])
    assert left.usd == Range(0.0, 0.0, 0.0)
    assert left.seconds is not None
    assert left.seconds.likely > 36


def test_an_agent_that_never_calls_a_model_is_expected_to_cost_nothing() -> None:
    known = [Sample("idle", t.digest, 0.0, 1.0) for t in TASKS]
    known += [Sample("busy", t.digest, 0.01, 1.0) for t in TASKS[:6]]
    rest = {t.digest: 1.0 for t in TASKS[6:]}
    assert found(estimate(work(owed={("idle", d): n for d, n in rest.items()}), known)).likely == 0
    assert found(estimate(work(children=1), known)).likely < 12 * 0.01


def test_without_a_single_trial_there_is_no_range() -> None:
    left = estimate(work(children=4), [])
    assert (left.usd, left.seconds, left.n_trials) == (None, None, 0)


# ── what is ahead ─────────────────────────────────────────────────────────────────────────────────


def test_what_is_ahead_is_what_is_missing_and_what_children_will_need() -> None:
    known = archive({"a": [1, 0, 1], "b": [1]})
    left = ahead(known, children=3, confirm=0)
    assert dict(left.owed) == {("tree-b", "d-t1"): 1.0, ("tree-b", "d-t2"): 1.0}
    assert (left.children, left.trials) == (3, 2 + 9)


def test_rejected_agents_owe_nothing() -> None:
    known = archive({"a": [1, 1, 1], "b": []})
    known = replace(
        known, agents={**known.agents, "b": replace(known.agents["b"], standing="rejected", reason="broken")}
    )
    assert not ahead(known, children=0, confirm=0).owed


def test_what_is_under_way_is_half_done() -> None:
    known = archive({"a": [1, 0]}).starting(Evaluate("a", "d-t0", 1)).starting(Improve("a", 0))
    left = ahead(replace(known, attempts=2), children=1, confirm=0)
    assert left.children == 0.5
    assert left.owed["tree-a", "d-t0"] == 0.5


def test_improvements_of_this_run_are_done_and_faults_are_made_again() -> None:
    made = [Improvement("a", None, ending, Usage(usd=0.1), run="r1") for ending in ("empty", "provider")]
    known = replace(archive({"a": [1, 0]}), run="r1", improvements=tuple(made))
    left = ahead(known, children=4, confirm=0)
    assert left.children == 3
    assert left.kept == 0.5  # one was tried and left nothing, one more is given the benefit of the doubt
    assert [s.usd for s in improving(made)] == [0.1]


def test_samples_are_the_scored_trials() -> None:
    known = archive({"a": [1, None]})
    assert [(s.agent, s.task) for s in samples(known)] == [("tree-a", "d-t0")]


# ── the worst ─────────────────────────────────────────────────────────────────────────────────────


def test_the_worst_is_bounded_by_the_caps_or_not_at_all() -> None:
    price = Price(1e-6, 4e-6)
    in_dollars = [replace(t, budget=Budget(usd=0.05)) for t in TASKS]
    in_tokens = [replace(t, budget=Budget(tokens=10_000)) for t in TASKS]
    improve = Budget(usd=1.0)
    assert worst(work(tasks=in_dollars, children=2), improve, price) == pytest.approx(2 * (1 + 12 * 0.05))
    assert worst(work(tasks=in_tokens, children=1), improve, price) == pytest.approx(1 + 12 * 0.04)
    assert worst(work(children=1), improve, price) is None
    assert worst(work(tasks=in_dollars, children=1), Budget(calls=100), price) is None
    gate = [replace(task("smoke"), budget=Budget(usd=0.01))]
    checked = worst(work(tasks=in_dollars, children=1, unchecked=1), improve, price, gate)
    assert checked == pytest.approx(1 + 12 * 0.05 + 2 * 0.01)
    many = worst(work(tasks=in_dollars, unchecked=1), improve, price, gate * 8)
    assert many == pytest.approx(5 * 0.01)
    owed = {("a", TASKS[0].digest): 2.0}
    assert worst(work(tasks=in_dollars, owed=owed), Budget(), price) == pytest.approx(0.1)


# ── a run that is going ───────────────────────────────────────────────────────────────────────────


def expects(likely: float, seconds: float = 600.0) -> Estimate:
    spread = Range(likely / 2, likely, likely * 2)
    return Estimate(spread, Range(seconds, seconds, seconds), 10, 0, 10, 1, 1)


def test_a_run_that_goes_on_as_it_did_ends_where_the_rest_adds_up_to() -> None:
    seen = forecast(expects(2.0), spent=3.0, spent_before=1.0, elapsed=1800, pace=4.0)
    assert seen.per_hour == pytest.approx(4.0)
    assert seen.at_end == Range(4.0, 5.0, 7.0)
    assert seen.eta == pytest.approx(150)
    assert not seen.stops_at_cap


def test_a_cap_bounds_the_end_and_the_time() -> None:
    seen = forecast(expects(8.0), spent=3.0, elapsed=1800, pace=1.0, cap=5.0)
    assert seen.at_end == Range(5.0, 5.0, 5.0)
    assert seen.stops_at_cap
    assert seen.eta == pytest.approx(600 * 2 / 8)


def test_the_first_minute_tells_no_rate() -> None:
    assert forecast(expects(1.0), spent=0.5, elapsed=59, pace=1.0).per_hour is None


def test_the_pace_is_what_boxes_got_done_and_never_more_than_there_are_workers() -> None:
    a, t = agent(0), task("t0")
    done = tuple(trial(a, t, 1, n, started=100.0 + n, usage=Usage(seconds=10)) for n in range(6))
    known = replace(archive({"a": [1]}), trials={a.tree: done})
    assert pace(known, 100, 130, 4) == pytest.approx(2.0)
    assert pace(known, 100, 110, 4) == 4.0
    assert pace(known, 104, 130, 4) == 4.0  # two are too few to tell
    assert pace(replace(known, trials={}), 100, 130, 4) == 4.0


def test_a_forecast_of_a_large_archive_takes_no_time_to_speak_of() -> None:
    """It is made again after every outcome."""
    import time

    a = agent(0)
    done = tuple(trial(a, t, 1, n, usage=Usage(usd=0.01, seconds=5)) for n in range(400) for t in TASKS)
    known = replace(archive({"a": [1] * len(TASKS)}), trials={a.tree: done})
    began = time.perf_counter()
    estimate(ahead(known, 10, 1), samples(known), improving(known.improvements))
    assert time.perf_counter() - began < 0.5
