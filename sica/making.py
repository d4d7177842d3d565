"""How children are made: the improvement step. What an agent leaves in its workspace becomes a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sica import brief, evidence
from sica.attempt import Assignment, Workplace, seeded, work
from sica.contract import manifest, packages
from sica.errors import UsageError
from sica.model import Agent, Archive, Budget, File, Files, Improve, Improvement, Limits, Message
from sica.ports import Repo

Known = Callable[[Agent, Archive], Files]
"""What an agent may see of the archive while it writes its child, by path below /archive."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Within what, and from what evidence, a child is made."""

    limits: Limits
    budget: Budget
    seed: int
    known: Known


def improve(step: Improve, terms: Terms, place: Workplace, archive: Archive) -> Improvement:
    """The parent works on a checkout of its own code; what it leaves becomes a commit."""
    parent = archive.agents[step.parent]
    before = place.repo.files(parent.tree)
    made = work(
        place,
        parent,
        Assignment(
            role="improve",
            instruction=brief.instruction(parent, archive, place.hints, frozen=place.frozen),
            workspace=brief.workspace(before),
            workdir="/app",
            limits=terms.limits,
            budget=terms.budget,
            seed=seeded(terms.seed, parent.tree, step.nth),
            archive=terms.known(parent, archive),
            about={"for": "improvement", "nth": step.nth},
        ),
    )
    told = Improvement(
        parent.commit, None, made.how, made.usage, made.trace, made.session, place.run, made.started, made.why
    )
    if made.how not in ("done", "agent_error"):
        return told  # a fault, or a limit that cut the work short: half a change is not measured
    after, note = brief.deliverable(made.left("/app"))
    if after == before:
        return replace(told, ending="empty", why=f"changed nothing; {made.why}")
    if place.frozen and _packages(after) not in (_packages(before), None):
        why = "it asks for other packages than its parent, and improve.dependencies is frozen"
        return replace(told, ending="broken", why=why)
    subject, body = brief.message(note, before, after)
    words = Message(subject, body, "self-edit", place.run, place.model, made.usage.usd, made.trace)
    try:
        return replace(told, child=place.repo.add(after, [parent], words), ending="child")
    except UsageError as error:
        return replace(told, ending="broken", why=str(error))


def _packages(files: Files) -> tuple[str, ...] | None:
    """What would be installed for the agent; None where its manifest is wrong, which the gate will say."""
    try:
        return packages(files, manifest(files))
    except UsageError:
        return None


def known(
    repo: Repo, read_trace: Callable[[str], Iterable[Mapping[str, Any]]], critique: Callable[[str], str]
) -> Known:
    """All that `sica.evidence` lets an improver see, from a real store; critiques are by a trial's session."""
    query = File((Path(__file__).parent / "inside" / "query.py").read_bytes(), executable=True)
    sources = evidence.Sources(read_trace, repo.diff, repo.patch_ids, lambda trial: critique(trial.session))
    return lambda parent, archive: {**evidence.files(archive, parent, sources), "query.py": query}
