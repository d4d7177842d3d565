"""What the improver may see of the archive, as files for /archive. Pure.

Only results of the train split go in, and of a task only its name, kind and level: no byte of a test or a solution,
and no name of a held-out or dev task (tests/test_evidence.py tries to find one). Made to be read by a model: tables of
one line a row, the same facts as JSON lines, and `query.py` to ask them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sica.model import Agent, Archive, File, Files, Improvement, Task, Trial
from sica.stats import compare, difference_interval, estimate

Events = Iterable[Mapping[str, Any]]

HIDDEN = frozenset({"grade", "start"})
"""Trace lines that are not the agent's to see."""
TRACES = 6
"""How many of the parent's worst, and how many of its best trials come with their trace; of its family, a third."""
SAID = 1500
"""Characters kept of what an agent printed, from its end."""
DIFF = 6000
"""Characters kept of one earlier change."""
NEWEST = 30
"""How many of the newest agents' changes an improver hears of, beside its own family's."""
FAMILY = 6
"""Of how many ancestors, and of how many siblings-to-be, the trials and traces are shown."""
TRACE_BYTES = 400_000
"""Of one trace: its middle is left out."""
ALL_BYTES = 24_000_000


@dataclass(frozen=True, slots=True)
class Sources:
    """What the archive's records only name."""

    trace: Callable[[str], Events]
    diff: Callable[[str, str], str]
    """git's diff between two commits."""
    patch_ids: Callable[[Mapping[str, str]], Mapping[str, str]]
    """git's patch-id of each diff, by commit: the same for the same change, wherever in a file it stands."""
    critique: Callable[[Trial], str]
    """Why the trial went as it did, or ""."""


def files(archive: Archive, parent: Agent, sources: Sources) -> Files:
    """Everything below /archive for an agent that is to write its child, by relative path."""
    told = relevant(archive, parent.commit)
    diffs = {a.commit: sources.diff(a.parents[0], a.commit) for a in told}
    found: dict[str, File] = {
        "README.md": _text(GUIDE),
        "agents.jsonl": _lines(agents(archive)),
        "agents.md": _text(table(archive)),
        "changes.jsonl": _lines(changes(archive, told, diffs)),
        "tried.jsonl": _lines(tried(archive, told, sources.patch_ids(diffs))),
        "failures.jsonl": _lines(failures(archive)),
    }
    room = ALL_BYTES
    for place, agent, most in (("", parent, TRACES), *_family(archive, parent)):
        for path, file in _trials(archive, agent, sources, most, place).items():
            if path.endswith(".trace.jsonl"):
                room -= len(file.data)
            if room >= 0 or not path.endswith(".trace.jsonl"):
                found[path] = file
        if place:
            found[f"{place}message.md"] = _text(f"{agent.subject}\n\n{agent.body}\n")
            found[f"{place}change.diff"] = _text(diffs.get(agent.commit, "")[:DIFF])
    return found


def _family(archive: Archive, parent: Agent) -> Iterable[tuple[str, Agent, int]]:
    """The nearest ancestors and the parent's living children, with the folder of each."""
    ancestors = list(_ancestors(archive, parent.commit))[:FAMILY]
    children = [a for a in archive.agents.values() if parent.commit in a.parents and a.standing == "ready"]
    for agent in (*ancestors, *children[-FAMILY:]):
        yield f"family/{agent.number}/", agent, TRACES // 3


def _ancestors(archive: Archive, commit: str) -> Iterable[Agent]:
    """By every way, nearest first, each once."""
    seen, ahead = {commit}, list(archive.agents[commit].parents)
    while ahead:
        at = ahead.pop(0)
        if at not in seen and at in archive.agents:
            seen.add(at)
            ahead += archive.agents[at].parents
            yield archive.agents[at]


# ── trials ────────────────────────────────────────────────────────────────────────────────────────


def shown(archive: Archive, agent: str) -> Sequence[tuple[Trial, Task]]:
    """The agent's train-split trials, worst first; ties by cost, dearest first."""
    train = {t.digest: t for t in archive.tasks if t.split == "train"}
    pairs = [(t, train[t.digest]) for t in archive.scored(agent) if t.digest in train]
    return sorted(pairs, key=lambda p: (p[0].score, -p[0].usage.calls, p[0].task, p[0].attempt))


def _trials(archive: Archive, agent: Agent, sources: Sources, most: int, place: str) -> Files:
    pairs = shown(archive, agent.commit)
    chosen = {id(trial) for trial, _ in (*pairs[:most], *pairs[-most:])}
    rows, found = [], {}
    for trial, task in pairs:
        lines: Sequence[Mapping[str, Any]] = ()
        name = f"{task.name}-{trial.attempt}.trace.jsonl"
        if trial.trace and id(trial) in chosen:
            lines = [line for line in sources.trace(trial.trace) if line.get("type") not in HIDDEN]
            found[f"{place}traces/{name}"] = _clipped(lines)
        said = "".join(str(line.get("text", "")) for line in lines if line.get("type") == "stdout")
        rows.append(_row(trial, task, said[-SAID:], sources.critique(trial), name if lines else ""))
    return {f"{place}trials.jsonl": _lines(rows), **found}


def _row(trial: Trial, task: Task, said: str, critique: str, trace: str) -> Mapping[str, object]:
    usage = trial.usage
    return {
        "task": task.name,
        "kind": task.kind,
        "level": task.level,
        "attempt": trial.attempt,
        "score": trial.score,
        "ending": trial.ending,
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "usd": usage.usd,
        "seconds": round(usage.seconds, 2),
        "why": trial.why,
        "critique": critique,
        "said": said,
        "trace": trace,
    }


def _clipped(lines: Sequence[Mapping[str, Any]]) -> File:
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode(errors="replace")
    if len(data) <= TRACE_BYTES:
        return File(data)
    head, tail = data[: TRACE_BYTES // 2], data[-TRACE_BYTES // 2 :]
    left_out = json.dumps({"type": "left out", "bytes": len(data) - TRACE_BYTES}).encode()
    return File(head[: head.rfind(b"\n") + 1] + left_out + b"\n" + tail[tail.find(b"\n") + 1 :])


# ── agents ────────────────────────────────────────────────────────────────────────────────────────


def agents(archive: Archive) -> Sequence[Mapping[str, object]]:
    """One row an agent: who it is and how it did on the train tasks, as a whole and by kind."""
    return [_agent(archive, agent) for agent in archive.agents.values()]


def _agent(archive: Archive, agent: Agent) -> Mapping[str, object]:
    pairs = shown(archive, agent.commit)
    found = estimate(scores.values()) if (scores := _by_task(pairs)) else None
    kinds = {task.kind for _, task in pairs}
    by_kind = {kind: [(t, k) for t, k in pairs if k.kind == kind] for kind in sorted(kinds)}
    low, high = (found.low, found.high) if found else (None, None)
    return {
        "agent": agent.number,
        "parents": [archive.agents[p].number for p in agent.parents if p in archive.agents],
        "standing": agent.standing,
        "reason": agent.reason,
        "subject": agent.subject,
        "score": found.mean if found else None,
        "low": low,
        "high": high,
        "trials": len(pairs),
        "kinds": {kind: fmean(t.score or 0.0 for t, _ in each) for kind, each in by_kind.items()},
        "usd": sum(t.usage.usd for t, _ in pairs),
        "seconds": round(sum(t.usage.seconds for t, _ in pairs), 1),
        "tokens": sum(t.usage.tokens for t, _ in pairs),
        "champion": agent.commit == archive.champion,
        "verdict": verdict(archive, agent) if agent.parents else "",
    }


def table(archive: Archive) -> str:
    """Agent by kind of task, with score, interval, cost and time, as Markdown."""
    rows = agents(archive)
    kinds = sorted({kind for row in rows for kind in _dict(row["kinds"])})
    heads = ["agent", "parents", "score", "interval", *kinds, "usd", "seconds", "tokens", "change"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for row in rows:
        each = _dict(row["kinds"])
        interval = "" if row["low"] is None else f"{_percent(row['low'])}..{_percent(row['high'])}"
        words = f"({row['standing']}) {row['subject']}" if row["standing"] != "ready" else str(row["subject"])
        cells = [
            f"{row['agent']}{'*' if row['champion'] else ''}",
            " ".join(map(str, _list(row["parents"]))),
            _percent(row["score"]),
            interval,
            *(_percent(each.get(kind)) for kind in kinds),
            f"{row['usd']:.2f}",
            str(row["seconds"]),
            str(row["tokens"]),
            words.replace("|", "/"),
        ]
        lines.append(" | ".join(cells))
    return "\n".join([*lines, "", "* the champion. Scores in percent of the train tasks."]) + "\n"


def _percent(share: Any) -> str:
    return "" if share is None else f"{100 * share:.0f}"


def _dict(value: Any) -> Mapping[str, float]:
    found: Mapping[str, float] = value
    return found


def _list(value: Any) -> Sequence[int]:
    found: Sequence[int] = value
    return found


# ── changes ───────────────────────────────────────────────────────────────────────────────────────


def relevant(archive: Archive, parent: str) -> Sequence[Agent]:
    """Whose change the improver hears of, oldest first: its ancestors, its siblings-to-be and the newest."""
    chosen = {a.commit for a in list(archive.agents.values())[-NEWEST:]} | {parent}
    chosen |= {a.commit for a in archive.agents.values() if parent in a.parents}
    chosen |= {a.commit for a in _ancestors(archive, parent)}
    return [
        a
        for a in archive.agents.values()
        if a.commit in chosen and a.parents and a.parents[0] in archive.agents
    ]


def changes(
    archive: Archive, told: Sequence[Agent], diffs: Mapping[str, str]
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
        for agent in told
    ]


def tried(
    archive: Archive, told: Sequence[Agent], patches: Mapping[str, str]
) -> Sequence[Mapping[str, object]]:
    """Each different change once, by git's patch-id, with every agent that made it and what came of it there."""
    groups: dict[str, list[Agent]] = {}
    for agent in told:
        groups.setdefault(patches.get(agent.commit, agent.commit), []).append(agent)
    return [
        {
            "patch": patch,
            "agents": [agent.number for agent in same],
            "subject": same[0].subject,
            "verdicts": [verdict(archive, agent) for agent in same],
        }
        for patch, same in groups.items()
    ]


def failures(archive: Archive) -> Sequence[Mapping[str, object]]:
    """Improvements that left no agent, and why."""
    lost: Sequence[Improvement] = [i for i in archive.improvements if i.child is None and not i.fault]
    return [
        {"parent": archive.agents[i.parent].number, "ending": i.ending, "why": i.why}
        for i in lost
        if i.parent in archive.agents
    ]


def verdict(archive: Archive, agent: Agent) -> str:
    """What measuring said of the change, against its parent on the train tasks that both have."""
    if agent.standing == "rejected":
        return "rejected"
    if not archive.measured(agent.commit) or not archive.measured(agent.parents[0]):
        return "pending"
    old, new = (_by_task(shown(archive, a)) for a in (agent.parents[0], agent.commit))
    found = compare(old, new)
    if found.difference == 0:
        return "no difference"
    word = "helped" if found.difference > 0 else "hurt"
    low, high = difference_interval(old, new) or (None, None)
    within = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    sure = "" if found.separable else ", not separable from noise"
    return f"{word} ({100 * found.difference:+.1f} points{within}, p {found.p:.2f}{sure})"


def _by_task(pairs: Sequence[tuple[Trial, Task]]) -> Mapping[str, Sequence[float]]:
    found: dict[str, list[float]] = {}
    for trial, _ in pairs:
        if trial.score is not None:
            found.setdefault(trial.digest, []).append(trial.score)
    return found


def _lines(records: Sequence[Mapping[str, object]]) -> File:
    return _text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))


def _text(text: str) -> File:
    return File(text.encode(errors="replace"))


GUIDE = """# The archive, read-only

| file | what |
|---|---|
| `trials.jsonl` | every trial of the agent you are changing, worst first: score 0..1, ending, cost, what it said |
| `traces/` | transcripts of its worst and its best trials |
| `agents.md`, `agents.jsonl` | all agents: scores with intervals, as a whole and by kind of task, cost, time, change |
| `changes.jsonl` | what ancestors, siblings and the newest agents changed, with diffs and measured verdicts |
| `tried.jsonl` | each different change once, with what came of it wherever it was tried |
| `failures.jsonl` | improvements that left no agent, and why |
| `family/N/` | of ancestors and siblings: `trials.jsonl`, `traces/`, `change.diff`, `message.md` |

`python3 /archive/query.py` asks it:

    query.py agents                     the table of agents
    query.py worst [N] [--kind KIND] [--agent A]     trials with what went wrong; best likewise
    query.py trial TASK [--agent A]     one task's trials, with critique and where the transcript is
    query.py trace TASK [--agent A]     a transcript, shortened; --full for all of it
    query.py compare A B [C ...]        agents side by side, by kind of task
    query.py show A                     one agent: words, verdict, diff
    query.py tried [WORD]               changes that were tried, and what came of them

Verdicts: pending, helped, hurt, no difference, rejected. In brackets stands the 95 % interval of the difference in
points; what is "not separable from noise" may be luck.
"""
