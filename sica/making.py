"""How children are made: the improvement step and the merge. What is left in a workspace becomes a commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sica import brief, evidence
from sica.attempt import Assignment, Attempt, Workplace, seeded, work
from sica.contract import manifest, packages
from sica.errors import UsageError
from sica.model import (
    Agent,
    Archive,
    Budget,
    File,
    Files,
    Improve,
    Improvement,
    Limits,
    Merge,
    Merged,
    Message,
    Usage,
)
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
    made = _work(
        parent,
        brief.instruction(parent, archive, place.hints, frozen=place.frozen),
        before,
        seeded(terms.seed, parent.tree, step.nth),
        {"for": "improvement", "nth": step.nth},
        terms,
        place,
        archive,
    )
    told = _told(parent, made, place)
    if not _counts(made):
        return told
    after, note = brief.deliverable(made.left("/app"))
    if after == before:
        return replace(told, ending="empty", why=f"changed nothing; {made.why}")
    if place.frozen and _packages(after) not in (_packages(before), None):
        why = "it asks for other packages than its parent, and improve.dependencies is frozen"
        return replace(told, ending="broken", why=why)
    subject, body = brief.message(note, before, after)
    words = Message(subject, body, "self-edit", place.run, place.model, made.usage.usd, made.trace)
    return _born(told, after, [parent], words, place)


def merge(step: Merge, terms: Terms, place: Workplace, archive: Archive) -> Improvement:
    """Both agents' changes since their common ancestor in one child; the first one resolves what conflicts."""
    ours, theirs = archive.agents[step.parent], archive.agents[step.other]
    told = Improvement(
        ours.commit, None, "", Usage(), run=place.run, started=time.time(), other=theirs.commit
    )
    try:
        merged = place.repo.merge(ours, theirs)
    except UsageError as error:
        return replace(told, ending="broken", why=str(error))
    after, note, usd, trace = merged.files, "", 0.0, ""
    if merged.conflicts:
        made = _resolved(ours, theirs, merged, terms, place, archive)
        told = replace(_told(ours, made, place), other=theirs.commit)
        if not _counts(made):
            return told
        after, note = brief.deliverable(made.left("/app"))
        usd, trace = made.usage.usd, made.trace
        if left := brief.unresolved(after, merged.conflicts):
            return replace(told, ending="broken", why=f"left conflict markers in {', '.join(left[:3])}")
    for parent in (ours, theirs):
        if after == place.repo.files(parent.tree):
            return replace(told, ending="empty", why=f"the merge is {parent.name} itself")
    subject, body = brief.message(note or f"merge {theirs.name} into {ours.name}", {}, {})
    body = body or f"{ours.name}: {ours.subject}\n{theirs.name}: {theirs.subject}"
    words = Message(subject, body, "merge", place.run, place.model if usd or trace else "", usd, trace)
    return _born(told, after, [ours, theirs], words, place)


def _resolved(
    ours: Agent, theirs: Agent, merged: Merged, terms: Terms, place: Workplace, archive: Archive
) -> Attempt:
    return _work(
        ours,
        brief.merging(ours, theirs, merged.conflicts),
        merged.files,
        seeded(terms.seed, ours.tree, theirs.tree),
        {"for": "merge", "with": theirs.name, "other": theirs.commit},
        terms,
        place,
        archive,
    )


def _work(
    agent: Agent,
    instruction: str,
    before: Files,
    seed: int,
    about: Mapping[str, str | int],
    terms: Terms,
    place: Workplace,
    archive: Archive,
) -> Attempt:
    return work(
        place,
        agent,
        Assignment(
            role="improve",
            instruction=instruction,
            workspace=brief.workspace(before),
            workdir="/app",
            limits=terms.limits,
            budget=terms.budget,
            seed=seed,
            archive=terms.known(agent, archive),
            about=about,
        ),
    )


def _told(parent: Agent, made: Attempt, place: Workplace) -> Improvement:
    return Improvement(
        parent.commit,
        None,
        made.how,
        made.usage,
        made.trace,
        made.session,
        place.run,
        made.started,
        made.why,
        rulings=made.rulings,
    )


def _counts(made: Attempt) -> bool:
    """Not a fault, nor a limit that cut the work short: half a change is not measured."""
    return made.how in ("done", "agent_error")


def _born(
    told: Improvement, files: Files, parents: list[Agent], words: Message, place: Workplace
) -> Improvement:
    try:
        return replace(told, child=place.repo.add(files, parents, words), ending="child")
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
