"""`sica bench health`: what recorded trials say of the tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from archives import task
from commands import OFFLINE, Project, sica

from sica import quarantine
from sica.benchmarks import open_benchmark
from sica.health import TaskHealth, grouped, health
from sica.model import Agent, Fault, Setting, Task, Trial, Tried, Usage


def one(*scores: float | None, digest: str = "d-t", now: dict[str, str] | None = None) -> TaskHealth:
    """A task that each of several agents tried once."""
    tried = [Tried("toy/t", digest, f"tree-{n}", score) for n, score in enumerate(scores)]
    return health([task("t")], tried, now)[0]


@pytest.mark.parametrize(
    ("scores", "state"),
    [
        ((), "unmeasured"),
        ((None, None), "unmeasured"),
        ((0.0, 0.0), "floor"),
        ((0.1, 0.0), "floor"),
        ((0.1, 0.01), "tells"),
        ((1.0, 0.9), "ceiling"),
        ((1.0, 0.89), "tells"),
        ((1.0, None), "ceiling"),
    ],
)
def test_a_task_that_all_solve_or_none_tells_no_agents_apart(
    scores: tuple[float | None, ...], state: str
) -> None:
    found = one(*scores)
    assert found.state == state
    assert (found.trials, found.faults) == (sum(s is not None for s in scores), scores.count(None))


def test_attempts_of_one_agent_are_one_witness() -> None:
    many = [Tried("toy/t", "d-t", tree, score) for tree, score in [("a", 1.0), ("b", 0.0)] for _ in range(40)]
    (found,) = health([task("t")], many)
    assert (found.agents, found.trials, found.solved, found.twice, found.varies) == (2, 80, 40, 2, 0)
    assert found.estimate is not None
    assert found.estimate.high - found.estimate.low > 0.8, "two agents, not eighty"
    (noisy,) = health([task("t")], [Tried("toy/t", "d-t", "a", 1.0), Tried("toy/t", "d-t", "a", 0.5)])
    assert (noisy.twice, noisy.varies) == (1, 1)


def test_what_was_measured_of_another_digest_counts_nowhere_and_is_told() -> None:
    found = one(1.0, 1.0, digest="an older one")
    assert (found.state, found.trials, found.older) == ("unmeasured", 0, 2)
    assert not one(1.0).changed, "nothing is known of the folder"
    assert not one(1.0, now={"toy/t": "d-t"}).changed
    assert one(1.0, now={"toy/t": "d-2"}).changed
    assert one(1.0, now={}).changed, "it is gone"


def test_each_task_of_a_level_weighs_the_same() -> None:
    tasks = [task("a", level=1, kind="fix"), task("b", level=1, kind="edit"), task("c", level=2, kind="fix")]
    tried = [Tried("toy/a", "d-a", f"t{n}", 1.0) for n in range(9)] + [Tried("toy/b", "d-b", "t0", 0.0)]
    one_, two = grouped(health(tasks, tried), "level")
    assert (one_.name, one_.tasks, one_.floors, one_.ceilings) == ("1", 2, 1, 1)
    assert one_.estimate is not None and one_.estimate.mean == 0.5
    assert (two.tasks, two.estimate) == (1, None)
    assert [group.name for group in grouped(health(tasks, tried), "kind")] == ["edit", "fix"]


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def tried(
    project: Project, agent: Agent, what: Task, score: float | None, setting: Setting = OFFLINE
) -> None:
    fault: Fault | None = "infra" if score is None else None
    project.ledger.record(
        Trial(
            agent.commit, agent.tree, what.id, what.digest, 0, f"c {setting}", score, fault,
            fault or "done", "split", Usage(), setting=setting, run="r1", started=1.0,
        )
    )  # fmt: skip


def test_health_reads_the_archive_and_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a project"
    project = Project.make(folder)
    made = sica(folder, "bench", "make", "edit", "--seed", "1", "--count", "6", "--to", "mine")
    assert made.code == 0, made.err
    seed = project.agent("print(0)\n", subject="seed")
    child = project.agent("print(1)\n", seed, subject="better")
    floor, ceiling, tells, gone, *_ = there = list(open_benchmark(str(folder / "mine")).tasks())
    held = replace(there[5], split="heldout")
    project.ledger.see_tasks([*there[:4], held])
    for what, scores in (
        (floor, (0, 0)),
        (ceiling, (1, 1)),
        (tells, (0, None)),
        (gone, (0, 1)),
        (held, (1, 1)),
    ):
        for agent, score in zip((seed, child), scores, strict=True):
            tried(project, agent, what, score)
    tried(project, seed, floor, 1.0, Setting("another", "box:1"))
    quarantine.write(folder / "mine", {
        tells.name: quarantine.Entry(tells.digest, "stable", "UNSTABLE", "it depends on the clock"),
        floor.name: quarantine.Entry("another digest", "oracle", "ORACLE_FAILS", "long ago"),
    }, {})  # fmt: skip
    (Path(gone.folder) / "instruction.md").write_text("Do something else.\n")

    ran = sica(folder, "bench", "health", "mine", "--under", "offline", "--json")
    assert ran.code == 0, ran.err
    told = ran.json
    assert (told["schema"], len(told["tasks"]), told["heldout"]) == ("sica.health/1", 4, 1)
    assert (told["floors"], told["ceilings"], told["known"]) == (2, 1, True)
    assert told["unmeasured"] == [there[4].id]
    by = {each["task"]: each for each in told["tasks"]}
    assert [by[each.id]["state"] for each in (floor, ceiling, tells, gone)] == [
        "floor",
        "ceiling",
        "floor",
        "tells",
    ]
    assert (by[tells.id]["faults"], by[tells.id]["n_trials"]) == (1, 1)
    assert [name for name, each in by.items() if each["changed"]] == [gone.id]
    assert [each["task"] for each in told["quarantined"]] == [tells.id]
    assert by[tells.id]["quarantined"] == "quarantined: stable: it depends on the clock [UNSTABLE]"
    assert by[floor.id]["quarantined"] == ""
    assert held.id not in ran.out.replace(str(told["unmeasured"]), "")

    text = sica(folder, "bench", "health", "mine", "--under", "offline")
    assert (
        "1 of 4 tasks in the band that tells agents apart; 2 floors, 1 ceiling\ntried by 2 agents at most"
        in text.out
    ), text.err
    assert f"changed since they were measured (1): {gone.name}" in text.out
    assert f"never measured: {there[4].name}" in text.out
    assert "held out: 1 task, not looked at" in text.out
    plain = sica(folder, "bench", "health", "--under", "another", "--plain")
    states = [line.split("\t")[3] for line in plain.out.splitlines()]
    assert states.count("ceiling") == 1 and states.count("unmeasured") == 3, (
        "scores of two models are never averaged"
    )

    (folder / "mine").rename(tmp_path / "elsewhere")
    away = sica(folder, "bench", "health", "mine", "--under", "offline")
    assert (away.code, "whether they changed is not known: " in away.out) == (0, True), away.err
    never = sica(folder, "bench", "health", "nothing")
    assert (never.code, "nothing is measured on 'nothing'; measured is: mine" in never.err) == (2, True), (
        never.err
    )


def test_an_archive_without_trials_says_so(tmp_path: Path) -> None:
    Project.make(tmp_path / "p")
    ran = sica(tmp_path / "p", "bench", "health")
    assert (ran.code, "nothing is measured on core" in ran.err) == (2, True), ran.out + ran.err
