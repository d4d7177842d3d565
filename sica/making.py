"""How children are made: the improvement step. What an agent leaves in its workspace becomes a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sica import brief
from sica.attempt import Assignment, Workplace, seeded, work
from sica.errors import UsageError
from sica.model import Archive, Budget, Files, Improve, Improvement, Limits, Message


@dataclass(frozen=True, slots=True)
class Terms:
    """Within what, and from what evidence, a child is made."""

    limits: Limits
    budget: Budget
    seed: int
    read_trace: Callable[[str], Iterable[Mapping[str, Any]]]


def improve(step: Improve, terms: Terms, place: Workplace, archive: Archive) -> Improvement:
    """The parent works on a checkout of its own code; what it leaves becomes a commit."""
    parent = archive.agents[step.parent]
    before = place.repo.files(parent.tree)
    made = work(
        place,
        parent,
        Assignment(
            role="improve",
            instruction=brief.instruction(parent, archive, place.hints),
            workspace=brief.workspace(before),
            workdir="/app",
            limits=terms.limits,
            budget=terms.budget,
            seed=seeded(terms.seed, parent.tree, step.nth),
            beside=_evidence(parent.commit, terms, place, archive),
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
    subject, body = brief.message(note, before, after)
    words = Message(subject, body, "self-edit", place.run, place.model, made.usage.usd, made.trace)
    try:
        return replace(told, child=place.repo.add(after, [parent], words), ending="child")
    except UsageError as error:
        return replace(told, ending="broken", why=str(error))


def _evidence(parent: str, terms: Terms, place: Workplace, archive: Archive) -> Files:
    trials = brief.shown(archive, parent)
    traces = {name: terms.read_trace(name) for name in brief.with_trace(trials)}
    known = brief.relevant(archive, parent)
    diffs = {a.commit: place.repo.diff(a.parents[0], a.commit) for a in known}
    return brief.beside(brief.evidence(trials, traces), brief.changes(archive, known, diffs))
