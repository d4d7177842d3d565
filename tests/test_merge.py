"""Crossover: two agents' changes in one child, by git where it can and by an agent where it cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from conftest import MANIFEST, World

from sica.errors import UsageError
from sica.ledger import SqliteLedger, rebuild
from sica.making import merge
from sica.model import Agent, Archive, File, Files, Finished, Improvement, Merge, Message, Step, Trial
from sica.policies import open_policy
from sica.policies.hgm import clades, outcomes
from sica.repo import GitRepo

CODE = r"""
import os, pathlib, re

# which tasks are solved: one level a line, far enough apart for git
ONE = 1

SPACE = "between"
LINES = "that nobody changes"

TWO = 0

told = pathlib.Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text()
if told.startswith("# Merge two agents"):
    for path in re.findall(r"^- (.*)$", told.split("\n\n")[2], re.M):
        text = pathlib.Path(path).read_text()
        {resolve}
        pathlib.Path(path).write_text(text)
    pathlib.Path("CHANGE.md").write_text("keep the larger of both\n\nWhy: both were right.\n")
else:
    level = int(re.search(r"level (\d+)", told)[1])
    if level <= ONE + TWO:
        pathlib.Path("answer.txt").write_text(re.search(r"write `([^`]*)`", told)[1])
"""
TAKE_LARGER = (
    r'text = re.sub(r"^<<<<<<< .*?^>>>>>>> [^\n]*", '
    r'lambda m: max(re.findall(r"ONE = \d", m[0])), text, flags=re.S | re.M)'
)


def code(one: int = 1, two: int = 0, resolve: str = "pass") -> Files:
    text = CODE.replace("{resolve}", resolve).replace("ONE = 1\n", f"ONE = {one}\n")
    return {
        "agent.toml": File(MANIFEST.encode()),
        "main.py": File(text.replace("TWO = 0\n", f"TWO = {two}\n").encode()),
    }


def family(world: World, seed: Files, *children: Files) -> Sequence[Agent]:
    """A seed and its children, all known to the ledger."""
    agents = [world.seed(seed)]
    agents += [world.repo.add(c, [agents[0]], Message(f"child {n}")) for n, c in enumerate(children)]
    world.ledger.reconcile(agents)
    return agents


def once(*wanted: Step):  # type: ignore[no-untyped-def]
    """A policy that wants these steps, each until it was tried, and every trial of everybody."""

    def policy(archive: Archive, rng: Random) -> Sequence[Step]:
        del rng
        fresh = [
            s
            for s in wanted
            if isinstance(s, Merge) and frozenset((s.parent, s.other)) not in archive.merged()
        ]
        return [*fresh, *(s for a in archive.ready() for s in archive.missing(a.commit))]

    return policy


def made(world: World, *wanted: Step) -> tuple[Improvement, Archive]:
    events = world.evolve(policy=once(*wanted), children=1)
    (found,) = [e.outcome for e in events if isinstance(e, Finished) and isinstance(e.outcome, Improvement)]
    return found, events[-1].archive


def git(world: World, *argv: str) -> str:
    return subprocess.run(
        ["git", f"--git-dir={world.repo.path}", *argv], check=True, capture_output=True, text=True
    ).stdout


def test_changes_apart_from_each_other_are_put_together_checked_and_measured_afresh(world: World) -> None:
    _, one, two = family(world, code(), code(one=2), code(two=1))
    outcome, archive = made(world, Merge(one.commit, two.commit))
    child = outcome.child
    assert child is not None
    assert (child.parents, child.operator) == ((one.commit, two.commit), "merge")
    assert (outcome.parent, outcome.other) == (one.commit, two.commit)
    assert outcome.usage.calls == 0
    text = world.repo.files(child.tree)["main.py"].data
    assert b"ONE = 2\n" in text
    assert b"TWO = 1\n" in text
    assert git(world, "log", "-1", "--format=%P %an", child.commit).split()[:2] == list(child.parents)
    assert archive.agents[child.commit].standing == "ready"
    scores = [t.score for t in archive.scored(child.commit) if t.attempt == 0]
    assert scores == [1.0, 1.0, 1.0]  # the third is of level 3, which no parent solves
    assert {t.agent for t in archive.scored(child.commit)} == {child.commit}
    assert "Sica-Operator: merge" in git(world, "log", "-1", "--format=%B", child.commit)


def test_what_conflicts_is_resolved_by_the_first_parent(world: World) -> None:
    _, one, two = family(world, code(), code(one=2, resolve=TAKE_LARGER), code(one=3, resolve=TAKE_LARGER))
    outcome, archive = made(world, Merge(one.commit, two.commit))
    assert outcome.ending == "empty"  # the larger one is agent/2's, so that the merge is agent/2 itself
    assert outcome.why == "the merge is agent/2 itself"
    assert outcome.session
    assert archive.merged() == {frozenset((one.commit, two.commit))}


def test_the_resolver_sees_both_names_and_the_original(world: World) -> None:
    resolve = TAKE_LARGER + '; text += "# resolved\\n"'
    _, one, two = family(world, code(), code(one=2, resolve=resolve), code(one=3, resolve=resolve))
    merged = world.repo.merge(one, two)
    assert merged.conflicts == ("main.py",)
    text = merged.files["main.py"].data
    for marker in (b"<<<<<<< agent/1\n", b"||||||| ", b">>>>>>> agent/2\n"):
        assert marker in text
    outcome, _ = made(world, Merge(one.commit, two.commit))
    child = outcome.child
    assert child is not None
    assert child.subject == "keep the larger of both"
    assert child.body == "Why: both were right."
    assert b"ONE = 3\n" in world.repo.files(child.tree)["main.py"].data


def test_markers_that_are_left_make_no_child(world: World) -> None:
    _, one, two = family(world, code(), code(one=2), code(one=3))
    outcome, archive = made(world, Merge(one.commit, two.commit))
    assert (outcome.child, outcome.ending) == (None, "broken")
    assert outcome.why == "left conflict markers in main.py"
    assert len(archive.agents) == 3


def test_an_ancestor_merged_into_its_descendant_is_that_descendant(world: World) -> None:
    seed, one = family(world, code(), code(one=2))
    outcome, _ = made(world, Merge(one.commit, seed.commit))
    assert (outcome.child, outcome.ending, outcome.why) == (None, "empty", "the merge is agent/1 itself")


def test_agents_of_different_seeds_cannot_be_merged(world: World) -> None:
    seed, one = family(world, code(), code(one=2))
    other = world.repo.add(code(two=1), [], Message("another seed", operator="seed"))
    with pytest.raises(UsageError, match="no common ancestor"):
        world.repo.merge(one, other)
    assert seed.number == 0


def test_a_merge_is_remembered_and_not_made_again_by_the_same_command(world: World) -> None:
    _, one, two = family(world, code(), code(one=2), code(one=3))
    made(world, Merge(one.commit, two.commit))
    again = world.evolve(policy=once(Merge(one.commit, two.commit)), children=2)
    assert not [e for e in again if isinstance(e, Finished) and isinstance(e.outcome, Improvement)]


def test_a_kill_between_the_commit_and_its_row_loses_no_merge(world: World) -> None:
    _, one, two = family(world, code(), code(one=2), code(two=1))
    plan = world.plan(children=1)
    child = merge(Merge(one.commit, two.commit), plan.making, world.place, world.archive(plan)).child
    assert child is not None  # and here comes the kill
    world.ledger.reconcile(world.repo.agents())
    (told,) = [i for i in world.ledger.improvements() if i.other]
    assert (told.parent, told.other, told.ending) == (one.commit, two.commit, "child")
    assert told.child is not None
    assert told.child.commit == child.commit
    events = world.evolve(policy=once(Merge(one.commit, two.commit)), children=1)
    assert not [e for e in events if isinstance(e, Finished) and isinstance(e.outcome, Improvement)]
    assert [t for t in events[-1].archive.scored(child.commit) if isinstance(t, Trial)]


def test_a_ledger_made_from_git_alone_knows_the_merges(world: World, tmp_path: Path) -> None:
    _, one, two, three = family(world, code(), code(one=2), code(two=1), code(one=3))
    made(world, Merge(one.commit, two.commit))
    world.evolve(policy=once(Merge(one.commit, three.commit)), children=2)
    news = world.ledger.notes()
    world.repo.annotate(news.scores, news.evaluations)
    path = tmp_path / "again" / "sica.db"
    path.parent.mkdir()
    rebuild(path, world.repo.agents(), world.repo.notes(), world.repo.champion())
    with SqliteLedger.open(path) as ledger:
        assert {(i.parent, i.other, i.ending) for i in ledger.improvements()} == {
            (i.parent, i.other, i.ending) for i in world.ledger.improvements()
        }
        assert [i.other for i in ledger.improvements() if i.ending != "child"] == [three.commit]
        assert ledger.check() == []


def test_a_merge_counts_once_for_every_ancestor(world: World) -> None:
    seed, one, two = family(world, code(), code(one=2), code(two=1))
    outcome, archive = made(world, Merge(one.commit, two.commit))
    assert outcome.child is not None
    own = outcomes(archive)
    found = clades(archive, own)
    every = sum(own[archive.agents[c].tree].n for c in archive.agents)
    assert found[seed.commit].n == every
    for parent in (one, two):
        assert found[parent.commit].n == own[parent.tree].n + own[outcome.child.tree].n


@pytest.mark.parametrize("name", ["greedy", "pareto", "islands", "hgm"])
def test_policies_ask_for_merges_of_agents_that_are_not_related(name: str) -> None:
    from sica.simulate import Simulation
    from sica.simulate import World as Simulated

    simulation = Simulation(
        Simulated(tasks=12, empty=0), 3, policy=open_policy(f"{name}:merge=0.3"), workers=3
    )
    steps: list[Merge] = []
    for event in simulation.events():
        if isinstance(event, Finished) and isinstance(event.step, Merge):
            pair = event.step.parent, event.step.other
            lines = [event.archive.line(c) for c in pair]
            assert not any(event.archive.agents[c].tree in lines[1 - i] for i, c in enumerate(pair))
            steps.append(event.step)
        if simulation.recorder.evaluations > 400:
            simulation.cancel.set()
    assert len(steps) >= 2
    assert len({frozenset((s.parent, s.other)) for s in steps}) == len(steps)


def test_the_store_merges_names_and_kinds_of_files_that_git_finds_hard(tmp_path: Path) -> None:
    """A deletion against a change, a file that both added, bytes that are no text, a mode."""
    repo = GitRepo.create(tmp_path / "a store ü" / "agents.git")
    base = {
        "agent.toml": File(MANIFEST.encode()),
        "a": File(b"1\n2\n3\n"),
        "b": File(b"\0\1"),
        "c": File(b"x\n"),
    }
    seed = repo.add(base, [], Message("seed"))
    left = {**base, "a": File(b"1\n2\n4\n"), "b": File(b"\0\2"), "new": File(b"l\n"), "c": File(b"x\n", True)}
    right = {k: v for k, v in base.items() if k != "a"} | {
        "b": File(b"\0\3"),
        "new": File(b"r\n"),
        "ü d": File(b"y"),
    }
    one, two = repo.add(left, [seed], Message("left")), repo.add(right, [seed], Message("right"))
    merged = repo.merge(one, two)
    assert merged.conflicts == ("a", "b", "new")
    assert merged.files["a"].data == b"1\n2\n4\n"
    assert merged.files["c"].executable
    assert merged.files["ü d"].data == b"y"
    assert b"<<<<<<< agent/1\nl\n" in merged.files["new"].data
    assert replace(merged, files={}).conflicts  # and git still finds the store whole
    assert repo.fsck() == []
