"""What the improver is told, and what is taken from what it leaves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sica.evidence import shown
from sica.model import Agent, Archive, Files

DROPPED = (".git", "__pycache__", ".aider", ".pytest_cache", ".mypy_cache", ".ruff_cache")
NOTE = "CHANGE.md"
ARCHIVE = "/archive"
"""Where the improver finds what is known, read-only."""
MARKERS = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")


_FROZEN = "Ask for no packages that it does not have."
_PACKAGES = """Packages from
PyPI that have wheels may be named, with versions, in the file that `[setup] requirements` of agent.toml names; they are
installed afterwards, for the changed agent, and not here."""


def instruction(agent: Agent, archive: Archive, hints: Sequence[str] = (), *, frozen: bool = False) -> str:
    """What the improver reads first; hints are what people ask of this one change."""
    scores = [t.score for t, _ in shown(archive, agent.commit) if t.score is not None]
    solved = sum(score == 1 for score in scores)
    mean = f"{100 * fmean(scores):.1f}%" if scores else "unknown"
    return f"""# Improve this agent

The working directory holds the source code of a coding agent: the very agent that is reading this. Change its code so
that it solves more of the tasks it is given. It scored {mean} on {len(scores)} trials ({solved} solved fully).

What is known, read-only ({ARCHIVE}/README.md says all of it; `python3 {ARCHIVE}/query.py` asks it):
- {ARCHIVE}/trials.jsonl: every trial, worst first: score 0..1, how it ended, model calls, tokens, and what it said.
- {ARCHIVE}/traces/: the full transcripts of the worst and the best of them.
- {ARCHIVE}/changes.jsonl: what was tried before, with verdicts. Do not repeat what hurt or was rejected.
- {ARCHIVE}/agents.md: all agents and their scores; {ARCHIVE}/family/: trials and transcripts of relatives.

Find out why trials failed, choose one cause that explains several of them, and change the code for that cause. Prefer a
general change: the tasks will be others, with the same tools and limits. Keep agent.toml working, keep the agent's own
tests passing (extend them where you add behaviour), and add no network access. {_FROZEN if frozen else _PACKAGES}

When done, write {NOTE} in the working directory: the first line says in the imperative what the change does, then a
blank line, then lines beginning with `Why:`, `What:` and `Expect:`.
{"".join(f"{chr(10)}The person who runs you asks of this change:{chr(10)}{hint}{chr(10)}" for hint in hints)}"""


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

What is known, read-only ({ARCHIVE}/README.md says all of it):
- {ARCHIVE}/trials.jsonl and {ARCHIVE}/traces/: the trials of {ours.name}, worst first.
- {ARCHIVE}/changes.jsonl: what was changed before, with verdicts; the two changes are among them.

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
