"""The improvement brief: what an agent is told about itself before it writes its child. Pure.

Only train-split results go in, and of a task only its name, kind and level: no byte of a test or a solution, and no
name of a held-out or dev task (tests/test_brief.py tries to find one).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sica.model import Agent, Archive, File, Files, Task, Trial
from sica.stats import compare

DROPPED = (".git", "__pycache__", ".aider", ".pytest_cache", ".mypy_cache", ".ruff_cache")
NOTE = "CHANGE.md"
MARKERS = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")
TRACES = 6
"""How many of the worst, and how many of the best trials come with their trace."""


HIDDEN = frozenset({"grade", "start"})
"""Trace lines that are not the agent's to see."""
SAID = 1500
"""Characters kept of what an agent printed, from its end."""
DIFF = 6000
"""Characters kept of one earlier change."""
NEWEST = 30
"""How many of the newest agents' changes an improver hears of, beside its own family's."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One train-split trial as the improver may see it."""

    trial: Trial
    task: Task
    said: str
    """The tail of what the agent printed."""
    trace: str
    """JSON lines, or "" when it is not among the shown ones."""


def shown(archive: Archive, agent: str) -> Sequence[tuple[Trial, Task]]:
    """The agent's train-split trials, worst first; ties by cost, dearest first."""
    train = {t.digest: t for t in archive.tasks if t.split == "train"}
    pairs = [(t, train[t.digest]) for t in archive.scored(agent) if t.digest in train]
    return sorted(pairs, key=lambda p: (p[0].score, -p[0].usage.calls, p[0].task, p[0].attempt))


def with_trace(trials: Sequence[tuple[Trial, Task]]) -> set[str]:
    """Names of the traces worth showing: of the worst and of the best trials."""
    worst, best = trials[:TRACES], trials[-TRACES:]
    return {trial.trace for trial, _ in (*worst, *best) if trial.trace}


def evidence(
    trials: Sequence[tuple[Trial, Task]], traces: Mapping[str, Iterable[Mapping[str, Any]]]
) -> Sequence[Evidence]:
    """The shown trials with what their traces add; traces are by name."""
    found = []
    for trial, task in trials:
        lines = [line for line in traces.get(trial.trace, ()) if line.get("type") not in HIDDEN]
        said = "".join(str(line.get("text", "")) for line in lines if line.get("type") == "stdout")
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        found.append(Evidence(trial, task, said[-SAID:], text))
    return found


def instruction(agent: Agent, archive: Archive) -> str:
    """What the improver reads first."""
    scores = [t.score for t, _ in shown(archive, agent.commit) if t.score is not None]
    solved = sum(score == 1 for score in scores)
    mean = f"{100 * fmean(scores):.1f}%" if scores else "unknown"
    return f"""# Improve this agent

The working directory holds the source code of a coding agent: the very agent that is reading this. Change its code so
that it solves more of the tasks it is given. It scored {mean} on {len(scores)} trials ({solved} solved fully).

What is known, all read-only evidence:
- /task/archive/trials.jsonl: every trial, worst first: score 0..1, how it ended, model calls, tokens, and what it said.
- /task/archive/traces/: the full transcripts of the worst and the best of them.
- /task/archive/changes.jsonl: what was tried before, with verdicts. Do not repeat what hurt or was rejected.

Find out why trials failed, choose one cause that explains several of them, and change the code for that cause. Prefer a
general change: the tasks will be others, with the same tools and limits. Keep agent.toml working, keep the agent's own
tests passing (extend them where you add behaviour), and add no network access or new dependencies.

When done, write {NOTE} in the working directory: the first line says in the imperative what the change does, then a
blank line, then lines beginning with `Why:`, `What:` and `Expect:`.
"""


def merging(ours: Agent, theirs: Agent, conflicts: Sequence[str]) -> str:
    """What the resolver reads first."""
    names = "\n".join(f"- {name}" for name in conflicts)
    return f"""# Merge two agents

The working directory holds the source code of a coding agent, {ours.name}: the very agent that is reading this. Another
agent of the same family, {theirs.name}, was changed elsewhere, and git has put both changes together. What both
changed in different ways is marked in these files, between `<<<<<<< {ours.name}` and `>>>>>>> {theirs.name}`, with what
was there before either change after `|||||||`:

{names}

{ours.name}: {ours.subject}
{theirs.name}: {theirs.subject}

Resolve every conflict so that both changes keep their purpose, remove all markers, and change nothing else. A file that
one changed and the other deleted is listed without markers: keep it or delete it. Keep agent.toml working and the
agent's own tests passing.

What is known, all read-only evidence:
- /task/archive/trials.jsonl and /task/archive/traces/: the trials of {ours.name}, worst first.
- /task/archive/changes.jsonl: what was changed before, with verdicts; the two changes are among them.

When done, write {NOTE} in the working directory: the first line says in the imperative what the merged agent does
differently, then a blank line, then lines beginning with `Why:`, `What:` and `Expect:`.
"""


def unresolved(files: Files, conflicts: Sequence[str]) -> Sequence[str]:
    """The files that still hold a marker of a conflict."""
    return [
        name
        for name in conflicts
        if name in files and any(line.startswith(MARKERS) for line in files[name].data.splitlines())
    ]


def beside(evidence: Sequence[Evidence], changes: Sequence[Mapping[str, object]]) -> Files:
    """The files below /task/archive."""
    files: dict[str, File] = {}
    lines = []
    for e in evidence:
        name = f"{e.task.name}-{e.trial.attempt}.jsonl" if e.trace else ""
        if name:
            files[f"/task/archive/traces/{name}"] = File(e.trace.encode())
        usage = e.trial.usage
        lines.append(
            {
                "task": e.task.name,
                "kind": e.task.kind,
                "level": e.task.level,
                "attempt": e.trial.attempt,
                "score": e.trial.score,
                "ending": e.trial.ending,
                "calls": usage.calls,
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "usd": usage.usd,
                "seconds": round(usage.seconds, 2),
                "why": e.trial.why,
                "said": e.said,
                "trace": name,
            }
        )
    files["/task/archive/trials.jsonl"] = _lines(lines)
    files["/task/archive/changes.jsonl"] = _lines(changes)
    return files


def relevant(archive: Archive, parent: str) -> Sequence[Agent]:
    """Whose change the improver hears of, oldest first: its ancestors, its siblings-to-be and the newest."""
    chosen = {a.commit for a in list(archive.agents.values())[-NEWEST:]}
    chosen |= {a.commit for a in archive.agents.values() if parent in a.parents}
    at = parent
    while at in archive.agents:
        chosen.add(at)
        at = next(iter(archive.agents[at].parents), "")
    return [
        a
        for a in archive.agents.values()
        if a.commit in chosen and a.parents and a.parents[0] in archive.agents
    ]


def changes(
    archive: Archive, agents: Sequence[Agent], diffs: Mapping[str, str]
) -> Sequence[Mapping[str, object]]:
    """What each agent changed and what came of it, in the order given; diffs are by commit."""
    return [
        {
            "agent": agent.number,
            "parent": archive.agents[agent.parents[0]].number,
            "subject": agent.subject,
            "body": agent.body,
            "verdict": verdict(archive, agent),
            "reason": agent.reason,
            "diff": diffs.get(agent.commit, "")[:DIFF],
        }
        for agent in agents
    ]


def verdict(archive: Archive, agent: Agent) -> str:
    """What measuring said of the change, against its parent on the train tasks that both have."""
    if agent.standing == "rejected":
        return "rejected"
    if not archive.measured(agent.commit) or not archive.measured(agent.parents[0]):
        return "pending"
    found = compare(*(_by_task(archive, a) for a in (agent.parents[0], agent.commit)))
    if found.difference == 0:
        return "no difference"
    word = "helped" if found.difference > 0 else "hurt"
    sure = "" if found.separable else ", not separable from noise"
    return f"{word} ({100 * found.difference:+.1f} points, p {found.p:.2f}{sure})"


def deliverable(left: Files) -> tuple[Files, str]:
    """The child's tree and the note that came with it, from what the improver left in the workspace."""
    tree = {
        path: file
        for path, file in left.items()
        if path != NOTE
        and not path.endswith(".pyc")
        and not any(part.startswith(dropped) for part in path.split("/") for dropped in DROPPED)
    }
    note = left.get(NOTE)
    return tree, note.data.decode(errors="replace") if note else ""


def message(note: str, before: Files, after: Files) -> tuple[str, str]:
    """Subject and body of the child's commit: the agent's own words, or plainly which files changed."""
    lines = [line.rstrip() for line in note.strip().splitlines()]
    subject = lines[0].lstrip("# ").strip() if lines else ""
    if subject:
        return subject, "\n".join(lines[1:]).strip()
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
    return f"change {', '.join(changed[:2])}{more}", ""


def workspace(tree: Files, workdir: str = "/app") -> Files:
    """An agent's own code as a workspace."""
    return {f"{workdir}/{path}": file for path, file in tree.items()}


def _by_task(archive: Archive, agent: str) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = {}
    for trial, _ in shown(archive, agent):
        if trial.score is not None:
            found.setdefault(trial.digest, []).append(trial.score)
    return found


def _lines(records: Sequence[Mapping[str, object]]) -> File:
    return File("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode())
