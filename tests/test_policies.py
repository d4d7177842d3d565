"""Every policy file: what holds for all of them on generated archives, and each one's own rule on typed ones.

The bugs of the originals that are pinned here: DGM's choice of the worst, HGM's clade that counts itself again,
SICA's crash that counts as a zero, GEPA's pruning of the best on pass/fail tasks, OpenEvolve's agents that are on an
island without their parent.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from itertools import islice
from math import exp, isclose
from pathlib import Path
from random import Random
from statistics import fmean

import pytest
from archives import agent, archive, task, trial
from hypothesis import given, settings
from hypothesis import strategies as st

from sica.economy import offers
from sica.errors import UsageError
from sica.model import Archive, Check, Evaluate, Improve, Improvement, Merge, Step, Usage, Verdict
from sica.policies import open_policy, policy_names
from sica.policies._beta import below, draws, quantile
from sica.policies._shared import Chances
from sica.ports import Policy

NAMES = [
    *policy_names(),
    "dgm:stage=1:bar=0.5",
    "dgm:keep_better=true",
    "hyperagents:stage=1",
    "hyperagents:paper=true",
]
NAMES += ["greedy:merge=0.5", "pareto:merge=0.5", "islands:merge=0.5", "hgm:merge=0.5"]
NAMES += ["hgm:evaluations=40:cooling=true", "islands:count=2", "pareto:prior=0"]


@pytest.fixture(params=NAMES)
def policy(request: pytest.FixtureRequest) -> Policy:
    return open_policy(request.param)


def chances(name: str, known: Archive) -> Chances:
    """Chance of every agent to be the next parent, when nothing is missing."""
    words, _, rest = name.partition(":")
    module = importlib.import_module(f"sica.policies.{words}")
    if hasattr(module, "chances"):
        options = open_policy(name).keywords if rest else {}  # type: ignore[attr-defined]
        its = signature(module.chances).parameters  # a share of merges is no chance of a parent
        found: Chances = module.chances(known, **{k: v for k, v in options.items() if k in its})
        return found
    return {step.parent: 1.0 for step in open_policy(name)(known, Random(0)) if isinstance(step, Improve)}


# ── generated archives ────────────────────────────────────────────────────────────────────────────

SCORES: st.SearchStrategy[tuple[float | None, ...]] = st.sampled_from(
    [(), (), (0.0,), (1.0,), (1.0,), (0.5,), (1 / 3,), (None,), (None, 1.0), (None, None, None)]
)
"""What happened at one task and attempt: nothing yet, a score, or so many faults."""


@st.composite
def archives(draw: st.DrawFn, scores: st.SearchStrategy[tuple[float | None, ...]] = SCORES) -> Archive:
    """Any archive that the loop can come to: merges, equal trees, rejected and unchecked agents, steps in flight."""
    tasks = tuple(
        task(f"t{i}", weight=draw(st.sampled_from([1.0, 2.0]))) for i in range(draw(st.integers(1, 4)))
    )
    attempts = draw(st.integers(1, 2))
    agents = [agent(0)]
    for number in range(1, draw(st.integers(1, 7))):
        before = st.sampled_from([a.commit for a in agents])
        parents = draw(st.lists(before, min_size=1, max_size=2, unique=True))
        made = agent(
            number, parents, standing=draw(st.sampled_from(["ready", "ready", "unchecked", "rejected"]))
        )
        same = draw(st.integers(0, 5)) == 0
        agents.append(replace(made, tree=f"tree-{parents[0]}") if same else made)
    trials = {
        who.tree: tuple(
            trial(who, t, score, attempt)
            for t in tasks
            for attempt in range(attempts)
            for score in draw(scores)
        )
        for who in agents
        if who.standing == "ready"
    }
    race = draw(st.sampled_from([None, offers]))  # of two attempts the first is a look
    known = Archive(
        {a.commit: a for a in agents}, tasks, trials, attempts=attempts, champion="a", offers=race
    )
    for who in known.ready():
        for step in (*draw(st.lists(st.sampled_from(known.missing(who.commit) or (None,)), max_size=2)),):
            if step and step in known.missing(who.commit):
                known = known.starting(step)
        if draw(st.integers(0, 5)) == 0:
            known = known.starting(known.improve(who.commit))
    return known


some = settings(max_examples=40, deadline=None)
"""Enough for each of a dozen policies; they share what could go wrong."""

MEASURED: st.SearchStrategy[tuple[float | None, ...]] = st.sampled_from([(0.0,), (1.0,), (0.5,), (1 / 3,)])


def possible(known: Archive, step: Step) -> bool:
    match step:
        case Improve():
            return known.agents[step.parent].standing == "ready" and step == known.improve(step.parent)
        case Merge():
            pair = {step.parent, step.other}
            ready = all(known.agents[c].standing == "ready" for c in pair)
            related = any(known.agents[c].tree in known.line(d) for c in pair for d in pair - {c})
            return ready and len(pair) == 2 and not related and frozenset(pair) not in known.merged()
        case Evaluate():
            return known.agents[step.agent].standing == "ready" and step in known.missing(
                step.agent, range(known.attempts)
            )
        case Check():
            return False  # the gate is the loop's affair


@some
@given(known=archives(), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", NAMES)
def test_steps_are_possible_and_repeat_by_seed(name: str, known: Archive, seed: int) -> None:
    steps = list(open_policy(name)(known, Random(seed)))
    assert steps == list(open_policy(name)(known, Random(seed)))
    assert all(possible(known, step) for step in steps), steps


@some
@given(known=archives(), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", NAMES)
def test_with_nothing_in_flight_there_is_a_step_or_nothing_is_left(
    name: str, known: Archive, seed: int
) -> None:
    idle = replace(known, in_flight=frozenset())
    if any(idle.missing(a.commit) or idle.scored(a.commit) for a in idle.ready()):
        steps = open_policy(name)(idle, Random(seed))
        stuck = {a.commit for a in idle.ready() if idle.missing(a.commit)}
        assert steps, f"deadlock: still missing of {stuck}"


@some
@given(known=archives(), seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_arrival_decides_nothing(name: str, known: Archive, seed: int, order: Random) -> None:
    shuffled = {tree: tuple(order.sample(ts, len(ts))) for tree, ts in known.trials.items()}
    trees = dict(order.sample(list(shuffled.items()), len(shuffled)))
    other = replace(known, trials=trees)
    assert list(open_policy(name)(known, Random(seed))) == list(open_policy(name)(other, Random(seed)))


@some
@given(known=archives(), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", NAMES)
def test_a_fault_weighs_nothing(name: str, known: Archive, seed: int) -> None:
    """Beside a score at the same task and attempt, a fault changes no decision."""
    without = {
        tree: tuple(t for t in ts if t.score is not None or (t.digest, t.attempt) not in scored(ts))
        for tree, ts in known.trials.items()
    }
    other = replace(known, trials=without)
    assert list(open_policy(name)(known, Random(seed))) == list(open_policy(name)(other, Random(seed)))


def scored(trials: tuple[object, ...]) -> set[tuple[str, int]]:
    return {(t.digest, t.attempt) for t in trials if t.score is not None}  # type: ignore[attr-defined]


@some
@given(known=archives(MEASURED))
@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("hgm")])
def test_chances_are_of_ready_agents_and_add_up_to_one(name: str, known: Archive) -> None:
    idle = replace(known, in_flight=frozenset())
    found = chances(name, idle)
    assert isclose(sum(found.values()), 1)
    assert all(
        0 <= chance <= 1 and idle.agents[commit].standing == "ready" for commit, chance in found.items()
    )


@some
@given(known=archives(MEASURED), pick=st.integers(0, 99))
@pytest.mark.parametrize(
    "name", [n for n in NAMES if not n.startswith(("hgm", "dgm:stage", "hyperagents:stage"))]
)
def test_a_better_agent_is_never_less_likely(name: str, known: Archive, pick: int) -> None:
    """Raising one score of one agent, all else equal, never lowers its chance to be the next parent."""
    idle = replace(known, in_flight=frozenset())
    agents = [a for a in idle.ready() if any((t.score or 0) < 1 for t in idle.scored(a.commit))]
    if not agents:
        return
    who = agents[pick % len(agents)]
    poor = next(t for t in idle.scored(who.commit) if t.score is not None and t.score < 1)
    better = tuple(replace(t, score=1.0) if t is poor else t for t in idle.trials[who.tree])
    twins = {a.commit for a in idle.agents.values() if a.tree == who.tree}
    before, after = (
        sum(chances(name, a).get(twin, 0.0) for twin in twins)
        for a in (idle, replace(idle, trials={**idle.trials, who.tree: better}))
    )
    assert after >= before - 1e-12


@some
@given(
    known=archives(), seed=st.integers(0, 99), scores=st.lists(st.sampled_from([0.0, 1.0, None]), min_size=2)
)
@pytest.mark.parametrize("name", NAMES)
def test_what_was_worked_out_before_an_outcome_is_not_taken_for_true_after_it(
    name: str, known: Archive, seed: int, scores: list[float | None]
) -> None:
    """What follows goes on to the archive after each outcome but for what it changes; a copy has to find all anew."""
    policy = open_policy(name)

    def asked(archive: Archive) -> Archive:
        assert list(policy(archive, Random(seed))) == list(policy(replace(archive), Random(seed)))
        return archive

    parent = next(iter(known.agents.values()))
    child = replace(
        parent, number=99, commit="new", tree="tree-new", parents=(parent.commit,), standing="unchecked"
    )
    asked(known)
    known = asked(known.plus(Improvement(parent.commit, child, "child", Usage())))
    known = asked(known.plus(Verdict("new", passed=True, reason="")))
    for score in scores:
        step = next((s for a in known.ready() for s in known.missing(a.commit)), None)
        task_ = next((t for t in known.tasks if step and t.digest == step.task), None)
        if step and task_:
            known = asked(known.plus(trial(known.agents[step.agent], task_, score, step.attempt)))
    asked(known.plus(Verdict("new", passed=False, reason="said a person")))


# ── what holds for all, on typed archives ─────────────────────────────────────────────────────────


def test_what_is_missing_is_measured_first(policy: Policy) -> None:
    steps = policy(archive({"a": [1, 1], "b": [1]}, parents={"b": "a"}), Random(0))
    assert Evaluate("b", "d-t1", 0) in steps


def test_a_fault_is_asked_again_and_never_counted_as_zero(policy: Policy) -> None:
    steps = policy(archive({"a": [1, None]}), Random(0))
    assert Evaluate("a", "d-t1", 0) in steps


def test_a_trial_that_keeps_failing_is_given_up(policy: Policy) -> None:
    known = archive({"a": [1, None]})
    broken = known.trials["tree-a"][1]
    for _ in range(3):
        known = known.plus(broken)
    assert [type(s) for s in policy(known, Random(0))] == [Improve]


def test_steps_in_flight_are_not_asked_twice(policy: Policy) -> None:
    known = archive({"a": [1, 1], "b": []}, parents={"b": "a"})
    first = next(s for s in policy(known, Random(0)) if isinstance(s, Evaluate))
    assert first not in policy(known.starting(first), Random(0))


def test_two_improvements_of_one_parent_are_told_apart(policy: Policy) -> None:
    known = archive({"a": [1, 0]})
    (first,) = policy(known, Random(0))
    (second,) = policy(known.starting(first), Random(0))
    assert (first, second) == (Improve("a", 0), Improve("a", 1))


def test_rejected_agents_are_never_parents(policy: Policy) -> None:
    known = archive({"a": [0.5], "b": [1]}, parents={"b": "a"})
    rejected = replace(known.agents["b"], standing="rejected")
    (step,) = policy(replace(known, agents={**known.agents, "b": rejected}), Random(0))
    assert step == Improve("a", 0)


def test_an_agent_of_which_nothing_can_be_known_is_not_improved(policy: Policy) -> None:
    known = archive({"a": [None]})
    for _ in range(2):
        known = known.plus(known.trials["tree-a"][0])
    assert list(policy(known, Random(0))) == []


def frequencies(name: str, known: Archive, draws: int = 400) -> Mapping[str, float]:
    found = Counter(
        s.parent
        for n in range(draws)
        for s in islice(open_policy(name)(known, Random(n)), 1)
        if isinstance(s, Improve)
    )
    return {parent: n / draws for parent, n in found.items()}


@pytest.mark.parametrize("name", ["greedy", "sica", "dgm", "hyperagents", "pareto", "hgm"])
def test_a_strictly_better_agent_is_improved_more(name: str) -> None:
    """DGM's `best` sorts the wrong way round and takes the worst."""
    found = frequencies(
        name, archive({"a": [0.5] * 30, "b": [0.1] * 30, "c": [1] * 30}, parents={"b": "a", "c": "a"})
    )
    assert max(found, key=lambda commit: found[commit]) == "c"
    assert found["c"] > 5 * found.get("b", 0.0)


# ── greedy, sica, iid ─────────────────────────────────────────────────────────────────────────────


def parent_of(name: str, known: Archive) -> str:
    (step,) = open_policy(name)(known, Random(0))
    assert isinstance(step, Improve)
    return step.parent


def test_greedy_is_not_fooled_by_one_lucky_trial() -> None:
    known = archive({"a": [1.0] * 9 + [0.0], "b": [1.0]})
    known = replace(known, tasks=known.tasks[:1])  # b is fully measured on the one task that is left
    assert parent_of("greedy", known) == "a"


def test_greedy_lets_an_agent_stand_back_whose_improvements_come_to_nothing() -> None:
    known = archive({"a": [0.5] * 4, "b": [1] * 4}, parents={"b": "a"})
    assert parent_of("greedy", known) == "b"
    for _ in range(5):
        known = known.plus(Improvement("b", None, "broken", Usage()))
    assert parent_of("greedy", known) == "a"
    assert parent_of("greedy:patience=6", known) == "b"
    assert (
        parent_of(
            "greedy", known.plus(Improvement("b", agent(2, "b", standing="unchecked"), "child", Usage()))
        )
        == "b"
    )
    alone = archive({"a": [0.5]})
    for _ in range(9):
        alone = alone.plus(Improvement("a", None, "empty", Usage()))
    assert parent_of("greedy", alone) == "a"


def test_a_fault_of_the_harness_uses_up_no_patience() -> None:
    known = archive({"a": [0.5] * 4, "b": [1] * 4}, parents={"b": "a"})
    for _ in range(9):
        known = known.plus(Improvement("b", None, "provider", Usage()))
    assert parent_of("greedy", known) == "b"


def test_sica_takes_the_newest_that_is_not_separable_from_the_best() -> None:
    assert parent_of("sica", archive({"a": [1] * 10, "b": [1] * 9 + [0], "c": [0] * 10})) == "b"


def test_sica_does_not_count_a_crash_of_the_harness_as_a_zero() -> None:
    known = archive({"a": [1, 1, 1, 1], "b": [1, 1, None, None]}, parents={"b": "a"})
    for _ in range(2):
        for broken in known.trials["tree-b"][2:4]:
            known = known.plus(broken)
    assert parent_of("sica", known) == "b"


def test_iid_improves_the_seed_whatever_was_measured() -> None:
    assert parent_of("iid", archive({"a": [0] * 9, "b": [1] * 9}, parents={"b": "a"})) == "a"


# ── dgm ───────────────────────────────────────────────────────────────────────────────────────────


def test_dgm_weighs_as_the_paper_works_it_out() -> None:
    """Mean .20 without a child: .0474; mean .50 with four children: .5 / 5 = .1."""
    tenths = {"a": [1] * 5 + [0] * 5, "b": [1] * 2 + [0] * 8}
    known = archive(tenths)
    for _ in range(4):
        known = known.starting(known.improve("a"))
    found = chances("dgm", known)
    assert found["b"] / found["a"] == pytest.approx(1 / (1 + exp(3)) / 0.1)


def test_dgm_counts_living_children_and_those_in_the_making() -> None:
    known = archive({"a": [1], "b": [1], "c": [1]}, parents={"c": "a"})
    assert chances("dgm", known)["b"] == pytest.approx(2 * chances("dgm", known)["a"])
    dead = replace(known, agents={**known.agents, "c": replace(known.agents["c"], standing="rejected")})
    assert chances("dgm", dead)["a"] == pytest.approx(0.5)
    making = dead.starting(dead.improve("a"))
    assert chances("dgm", making)["b"] == pytest.approx(2 * chances("dgm", making)["a"])


def test_dgm_can_keep_only_what_is_not_clearly_worse_than_the_seed() -> None:
    known = archive({"a": [1] * 8, "b": [1] * 7 + [0], "c": [1] * 8 + []}, parents={"b": "a", "c": "a"})
    assert set(chances("dgm", known)) == {"a", "b", "c"}
    assert set(chances("dgm:keep_better=true", known)) == {"a", "c"}


def test_a_stage_spares_the_tasks_of_an_agent_that_falls_short() -> None:
    staged = open_policy("dgm:stage=2:bar=0.5")
    first = archive({"a": [1, 0, 0, 0], "b": [], "c": []}, parents={"b": "a", "c": "a"})
    assert {s.task for s in staged(first, Random(0)) if isinstance(s, Evaluate)} == {"d-t0", "d-t1"}
    known = archive({"a": [0, 0, 0, 0], "b": [1, 0], "c": [0, 0]}, parents={"b": "a", "c": "a"})
    assert staged(known, Random(0)) == [Evaluate("b", "d-t2", 0), Evaluate("b", "d-t3", 0)]
    assert set(chances("dgm:stage=2:bar=0.5", known)) == {"a", "c"}


# ── hyperagents ───────────────────────────────────────────────────────────────────────────────────


def ratio(name: str, known: Archive) -> float:
    found = chances(name, known)
    return found["b"] / found["a"]


def test_hyperagents_tells_good_agents_apart_where_dgm_no_longer_does() -> None:
    poor = archive(
        {
            "a": [1] * 10 + [0] * 90,
            "b": [1] * 20 + [0] * 80,
            "c": [1] * 20 + [0] * 80,
            "d": [1] * 20 + [0] * 80,
        }
    )
    good = archive(
        {"a": [1] * 85 + [0] * 15, "b": [1] * 95 + [0] * 5, "c": [1] * 95 + [0] * 5, "d": [1] * 95 + [0] * 5}
    )
    assert ratio("hyperagents", good) == pytest.approx(ratio("hyperagents", poor))
    assert ratio("dgm", good) < 1.1 < 1.8 < ratio("hyperagents", good)


@pytest.mark.parametrize(("children", "left"), [(4, 0.88), (8, 0.37), (12, 0.034)])
def test_hyperagents_forgives_a_few_children_and_no_dozen(children: int, left: float) -> None:
    known = archive({"a": [1], "b": [1]})
    for _ in range(children):
        known = known.starting(known.improve("a"))
    assert 1 / ratio("hyperagents", known) == pytest.approx(left, rel=0.02)
    assert 1 / ratio("hyperagents:paper=true", known) == pytest.approx(1 / (1 + children))


def test_hyperagents_scales_a_mean_that_stands_on_the_first_stage_alone() -> None:
    known = archive({"a": [1, 0, 0, 0], "b": [1, 0], "c": [1, 0, 0, 0]}, parents={"b": "a", "c": "a"})
    found = chances("hyperagents:stage=2:bar=0.6", replace(known, agents=dict(known.agents)))
    assert found["b"] == pytest.approx(found["c"])  # 1/2 of half the tasks is 1/4 of all


# ── hgm ───────────────────────────────────────────────────────────────────────────────────────────


def clade(known: Archive) -> Mapping[str, tuple[float, float]]:
    from sica.policies.hgm import clades, outcomes

    return {c: (counts.won, counts.lost) for c, counts in clades(known, outcomes(known)).items()}


def test_a_clade_is_the_agent_and_all_its_descendants() -> None:
    """HGM's own count grows each time it is read: three outcomes become eleven."""
    known = archive({"a": [1], "b": [0], "c": [1]}, parents={"b": "a", "c": "b"})
    expected = {"a": (2, 1), "b": (1, 1), "c": (1, 0)}
    assert [clade(known), clade(known), clade(known)] == [expected] * 3


def test_what_descends_by_two_ways_counts_once() -> None:
    known = archive({"a": [0], "b": [0], "c": [0], "d": [1]}, parents={"b": "a", "c": "a"})
    merged = replace(known, agents={**known.agents, "d": replace(known.agents["d"], parents=("b", "c"))})
    assert clade(merged) == {"a": (1, 3), "b": (1, 1), "c": (1, 1), "d": (1, 0)}


def test_equal_trees_share_their_outcomes_once() -> None:
    known = archive({"a": [1, 0], "b": [], "c": [1, 1]}, parents={"b": "a", "c": "b"})
    same = replace(known, agents={**known.agents, "b": replace(known.agents["b"], tree="tree-a")})
    assert clade(same) == {"a": (3, 1), "b": (3, 1), "c": (2, 0)}


@some
@given(known=archives())
def test_every_clade_counts_each_of_its_trees_once(known: Archive) -> None:
    from sica.policies.hgm import outcomes

    def under(commit: str) -> set[str]:
        below = [a.commit for a in known.agents.values() if commit in a.parents]
        return {known.agents[commit].tree}.union(*(under(c) for c in below))

    own = outcomes(known)
    for commit, (won, lost) in clade(known).items():
        # Commits with equal trees are one agent: its clade is that of all of them.
        assert won + lost == pytest.approx(sum(own[tree].n for tree in under(commit)))


@some
@given(known=archives(MEASURED), pick=st.integers(0, 99))
def test_a_success_lifts_the_agent_and_its_ancestors_and_lowers_nobody(known: Archive, pick: int) -> None:
    trees = [tree for tree, ts in known.trials.items() if any((t.score or 0) < 1 for t in ts)]
    if not trees:
        return
    tree = trees[pick % len(trees)]
    poor = next(t for t in known.trials[tree] if (t.score or 0) < 1)
    better = tuple(replace(t, score=1.0) if t is poor else t for t in known.trials[tree])
    before, after = clade(known), clade(replace(known, trials={**known.trials, tree: better}))
    for commit in known.agents:
        assert after[commit][0] >= before[commit][0] - 1e-9
        assert after[commit][1] <= before[commit][1] + 1e-9


@pytest.mark.parametrize(
    ("agents", "trials", "pending", "first"),
    [
        (1, 1, 0, Improve),
        (2, 1, 0, Improve),
        (3, 1, 0, Evaluate),
        (4, 8, 0, Improve),
        (5, 9, 0, Evaluate),
        (4, 8, 1, Evaluate),
    ],
)
def test_hgm_makes_agents_as_fast_as_evidence_grows(
    agents: int, trials: int, pending: int, first: type
) -> None:
    """N^0.6 >= |T| - 1 + pending: 1 >= 0, 1 >= 1, not 1 >= 2, 3.48 >= 3, not 3.74 >= 4, not 3.48 >= 3 + 1."""
    rows: dict[str, list[float]] = {"a": [1.0] * trials} | {"bcdef"[i]: [] for i in range(agents - 1)}
    known = archive(rows, parents=dict.fromkeys(list(rows)[1:], "a"))
    known = replace(known, tasks=tuple(task(f"t{i}") for i in range(20)))
    for _ in range(pending):
        known = known.starting(known.improve("a"))
    assert type(next(iter(open_policy("hgm")(known, Random(0))))) is first


def test_hgm_does_not_count_a_child_that_never_worked() -> None:
    known = archive({"a": [1.0], "b": [], "c": []}, parents={"b": "a", "c": "a"})
    known = replace(known, tasks=tuple(task(f"t{i}") for i in range(9)))
    assert isinstance(next(iter(open_policy("hgm")(known, Random(0)))), Evaluate)
    dead = {c: replace(known.agents[c], standing="rejected") for c in "bc"}
    without = replace(known, agents={**known.agents, **dead})
    assert isinstance(next(iter(open_policy("hgm")(without, Random(0)))), Improve)


def test_hgm_improves_the_agent_whose_descendants_do_well() -> None:
    """b is poorer than c by itself; its children are far better than c's."""
    rows = {"a": [0, 1] * 20, "b": [0, 1] * 20, "c": [1, 1, 0] * 14, "d": [1] * 42, "e": [0] * 42}
    known = archive(rows, parents={"b": "a", "c": "a", "d": "b", "e": "c"})
    found = frequencies("hgm", known)
    assert found.get("b", 0) + found["d"] > 0.9
    assert found.get("c", 0) < 0.02
    alone = frequencies("hgm:clade=false", known)
    assert alone["d"] > 0.9
    assert alone.get("b", 0) < alone.get("c", 0) + 0.02 < 0.1


def test_hgm_measures_the_promising_more() -> None:
    known = archive({"a": [1] * 9 + [0], "b": [0] * 9 + [1]}, parents={"b": "a"})
    known = replace(known, tasks=tuple(task(f"t{i}") for i in range(40)))
    asked = Counter(
        s.agent
        for n in range(200)
        for s in open_policy("hgm:alpha=0")(known, Random(n))
        if isinstance(s, Evaluate)
    )
    assert asked["a"] > 190


def test_hgm_spreads_over_an_agents_tasks() -> None:
    known = replace(archive({"a": [1]}), tasks=tuple(task(f"t{i}") for i in range(10)))
    asked = {s for n in range(99) for s in open_policy("hgm")(known, Random(n)) if isinstance(s, Evaluate)}
    assert len(asked) == 9


def test_hgm_goes_on_when_nothing_was_ever_solved() -> None:
    assert list(open_policy("hgm")(archive({"a": [0, 0, 0]}), Random(0))) == [Improve("a", 0)]
    busy = archive({"a": [0, 0, 0], "b": [0]}, parents={"b": "a"})
    for step in busy.missing("b"):
        busy = busy.starting(step)
    assert list(open_policy("hgm")(busy, Random(0))) == []


def test_hgm_cools_towards_the_end_of_its_budget() -> None:
    known = archive({"a": [1, 1, 0, 0] * 5, "b": [1, 1, 1, 0] * 5})
    warm, cold = (frequencies(f"hgm:evaluations={n}:cooling=true", known) for n in (4000, 41))
    assert warm["b"] < 0.99
    assert cold == {"b": 1.0}
    with pytest.raises(UsageError, match="cools towards the end of a budget"):
        next(iter(open_policy("hgm:cooling=true")(known, Random(0))))


def test_hgm_ends_by_measuring_its_choice_and_the_champion_in_full() -> None:
    rows = {"a": [1, 0, 0, 1, 0, 0], "b": [1, 1, 1, 1, 1], "c": [1]}
    known = archive(rows, parents={"b": "a", "c": "a"})
    known = replace(known, tasks=tuple(task(f"t{i}") for i in range(7)))
    steps = list(open_policy("hgm:evaluations=12")(known, Random(0)))
    assert steps == [Evaluate("b", "d-t5", 0), Evaluate("b", "d-t6", 0), Evaluate("a", "d-t6", 0)]
    crowned = replace(known, champion="b")
    assert list(open_policy("hgm:evaluations=12")(crowned, Random(0))) == []


def test_the_budget_of_hgm_is_this_runs() -> None:
    known = replace(archive({"a": [1] * 5}), run="second", tasks=tuple(task(f"t{i}") for i in range(9)))
    assert any(isinstance(s, Improve) for s in open_policy("hgm:evaluations=5")(known, Random(0)))


def test_the_final_choice_is_good_with_certainty() -> None:
    """The paper prints the distribution function, which at its epsilon of one is one for every agent."""
    from sica.policies.hgm import best

    known = archive({"a": [1] * 16 + [0] * 4, "b": [1, 1], "c": [0] * 20, "d": [1] * 18 + [0] * 20})
    chosen = best(known)
    assert chosen is not None
    assert chosen.commit == "a"
    assert best(archive({"a": [], "b": [None]})) is None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 500), st.floats(0.01, 500)), min_size=1, max_size=8),
    st.integers(0, 2**32),
)
def test_draws_of_beta_are_the_standard_librarys(pairs: list[tuple[float, float]], seed: int) -> None:
    one, other = Random(seed), Random(seed)
    assert draws(pairs, one) == [other.betavariate(a, b) for a, b in pairs]
    assert one.getstate() == other.getstate()


@pytest.mark.parametrize(
    ("q", "a", "b", "x"),
    [
        (0.01, 1, 1, 0.01),
        (0.05, 9, 1, 0.05 ** (1 / 9)),
        (0.3, 1, 7, 1 - 0.7 ** (1 / 7)),
        (0.5, 40, 40, 0.5),
        (0.5, 3e3, 3e3, 0.5),
    ],
)
def test_quantiles_of_beta_that_have_a_closed_form(q: float, a: float, b: float, x: float) -> None:
    assert quantile(q, a, b) == pytest.approx(x, abs=1e-9)


@given(a=st.integers(1, 40), b=st.integers(1, 40), x=st.floats(0.001, 0.999))
def test_the_beta_tail_is_the_binomials(a: int, b: int, x: float) -> None:
    from math import comb

    n = a + b - 1
    assert below(x, a, b) == pytest.approx(
        sum(comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
    )


# ── pareto ────────────────────────────────────────────────────────────────────────────────────────


def outcomes_of(seed: int, agents: int, tasks: int) -> tuple[Archive, Mapping[str, float]]:
    """Pass/fail outcomes of agents with different skill, as in GEPA's issue; and their means."""
    rng = Random(seed)
    hardness = [rng.gauss(0, 1.5) for _ in range(tasks)]
    rows = {
        chr(ord("a") + i): [float(rng.random() < 1 / (1 + exp(h - skill))) for h in hardness]
        for i, skill in enumerate(rng.gauss(0, 0.5) for _ in range(agents))
    }
    return archive(rows), {name: fmean(row) for name, row in rows.items()}


@pytest.mark.parametrize("seed", range(30))
def test_pareto_never_prunes_the_best_on_pass_fail_tasks(seed: int) -> None:
    known, means = outcomes_of(seed, agents=40, tasks=60)
    best = max(means, key=lambda name: means[name])
    found = chances("pareto", known)
    assert found[best] == max(found.values()) > 0.3


def test_a_lucky_pass_is_worth_one_task() -> None:
    known = archive({"a": [1, 1, 1, 0], "b": [0, 0, 0, 1]})
    assert chances("pareto", known) == pytest.approx({"a": 0.75, "b": 0.25})


def test_what_nobody_solves_makes_nobody_a_parent_but_the_best() -> None:
    known = archive({"a": [1, 0, 0, 0], "b": [0, 0, 0, 0]})
    assert chances("pareto", known) == pytest.approx({"a": 1, "b": 0})
    assert chances("pareto:prior=0", known) == pytest.approx({"a": 0.625, "b": 0.375})


# ── islands ───────────────────────────────────────────────────────────────────────────────────────


def test_the_seed_founds_islands_until_there_are_enough() -> None:
    known = archive({"a": [1], "b": [0], "c": [0]}, parents={"b": "a", "c": "a"})
    assert chances("islands:count=3", known) == {"a": 1}
    founding = known.starting(known.improve("a"))
    assert set(chances("islands:count=3", founding)) <= {"b", "c"}
    dead = replace(known, agents={**known.agents, "c": replace(known.agents["c"], standing="rejected")})
    assert chances("islands:count=2", dead) == {"a": 1}


def test_the_island_that_had_the_fewest_improvements_is_next() -> None:
    """Whatever came of them: an island whose children never live would be the emptiest one for ever."""
    rows: dict[str, list[float]] = {"a": [1], "b": [1], "c": [0], "d": [1], "e": [1]}
    known = archive(rows, parents={"b": "a", "c": "a", "d": "b", "e": "b"})
    for parent in ("a", "a", "b", "b"):
        known = known.plus(Improvement(parent, None, "child", Usage()))
    assert set(chances("islands:count=2", known)) == {"c"}
    broken = known.plus(Improvement("c", None, "broken", Usage()))
    assert set(chances("islands:count=2", broken)) == {"c"}
    busy = broken
    for _ in range(2):
        busy = busy.starting(busy.improve("c"))
    assert set(chances("islands:count=2", busy)) == {"b", "d", "e"}


@some
@given(known=archives())
def test_an_agent_is_on_the_islands_of_its_parents_and_no_other(known: Archive) -> None:
    """OpenEvolve: every program on island 0; programs on islands that their parents are not on."""
    from sica.policies.islands import islands

    homes: dict[str, set[str]] = {c: set() for c in known.agents}
    for founder, members in islands(known).items():
        assert members[0] == founder
        assert known.agents[founder].standing != "rejected"
        for member in members:
            homes[member].add(founder)
    for member, found in homes.items():
        parents = known.agents[member].parents
        inherited = set().union(*(homes[p] for p in parents))
        assert found in (inherited, {member}) if not inherited else found == inherited


def test_the_best_of_an_island_is_likelier_than_its_rest() -> None:
    rows: dict[str, list[float]] = {"a": [0.5] * 4, "b": [0.5] * 4, "c": [1] * 4, "d": [0] * 4, "e": [0] * 4}
    found = chances("islands:count=1", archive(rows, parents={"b": "a", "c": "b", "d": "b", "e": "b"}))
    assert found["c"] > 0.8
    assert found["d"] >= 0.05


# ── the document ──────────────────────────────────────────────────────────────────────────────────

PAGE = Path(__file__).parents[1] / "docs" / "policies.md"


@pytest.mark.parametrize("name", policy_names())
def test_the_document_names_every_policy_and_each_of_its_options_with_its_default(name: str) -> None:
    policy = importlib.import_module(f"sica.policies.{name}").policy
    section = PAGE.read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    for option in signature(policy).parameters.values():
        if option.kind is option.KEYWORD_ONLY:
            assert re.search(
                rf"`{option.name}` \({str(option.default).lower().removesuffix('.0')}\b", section
            ), option


# ── options ───────────────────────────────────────────────────────────────────────────────────────


def test_options_are_read_by_their_type() -> None:
    found = open_policy("hgm:alpha=0.5:evaluations=800:cooling=true")
    assert found.keywords == {"alpha": 0.5, "evaluations": 800, "cooling": True}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("gready", "no policy called 'gready'; there are: dgm, greedy, hgm"),
        (
            "hgm:alpa=1",
            "no option of hgm called 'alpa'; there are: alpha, beta, clade, cooling, evaluations, merge, quantile",
        ),
        ("sica:alpha=1", "no option of sica called 'alpha'; there are: none"),
        ("hgm:alpha", "the option of hgm 'alpha' has no value"),
        ("hgm:alpha=much", "option of hgm: alpha = 'much' is no float"),
        ("hgm:evaluations=1.5", "option of hgm: evaluations = '1.5' is no int"),
        ("hgm:cooling=perhaps", "option of hgm: cooling = 'perhaps' is neither true nor false"),
        ("not.there", "no policy 'not.there'"),
        ("json.decoder", "json.decoder has no function `policy`"),
    ],
)
def test_what_cannot_be_is_said_with_what_there_is(words: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_policy(words)
    assert str(raised.value).startswith(said)


def test_a_policy_that_cannot_be_read_is_its_authors_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "policy.py").write_text("def policy(archive, rng:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"torn.policy cannot be imported: SyntaxError"):
        open_policy("torn.policy")


def test_shares_of_an_island_that_are_more_than_all_are_refused() -> None:
    with pytest.raises(UsageError, match="no shares of one whole"):
        open_policy("islands:explore=0.6:exploit=0.6")(archive({"a": [1]}), Random(0))


def test_a_policy_of_ones_own_with_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "newest.py").write_text(
        "def policy(archive, rng, *, back: int = 0):\n"
        "    return [archive.improve(list(archive.agents)[-1 - back])]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        known = archive({"a": [1], "b": [1]})
        assert [parent_of(words, known) for words in ("mine.newest", "mine.newest:back=1")] == ["b", "a"]
    finally:
        sys.modules.pop("mine.newest", None)


def test_improvements_that_led_to_nothing_still_move_the_dice(policy: Policy) -> None:
    known = archive({"a": [1, 1]})
    empty = Improvement("a", None, "empty", Usage())
    assert list(policy(known.plus(empty), Random(0))) == [Improve("a", 1)]
