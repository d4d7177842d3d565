"""Make the edits that one commit made to one file. They are told as hunks without line numbers, so that finding the
place in a long file and changing nothing else is the work; thinking is not.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from sica.mining.candidates import Candidate, Yield, short
from sica.mining.source import Change, Source
from sica.model import File

if TYPE_CHECKING:
    from dulwich.objects import Commit

LEAST_LINES, MOST_LINES = 40, 20_000
"""Of the file before: in a shorter one there is nothing to find."""
MOST_CHANGED = 150
MOST_CONTEXT = 6
MADE_BY_PROGRAMS = ("*.lock", "*.min.*", "package-lock.json", "pnpm-lock.yaml", "*.po", "*.svg", "*.map")


Hunk = Sequence[tuple[str, str]]
"""Lines with their ends, each with what becomes of it: "  " stays, "- " goes, "+ " comes."""


def candidates(source: Source, told: Yield, look: int = 2000) -> Iterator[Candidate]:
    """One for each of the newest `look` commits that changed one text file and nothing else."""
    for commit in source.log(look):
        told.looked += 1
        made = _candidate(source, commit)
        if isinstance(made, str):
            told.refuse(made)
        else:
            yield made


def _candidate(source: Source, commit: Commit) -> Candidate | str:
    """The candidate, or the code of why there is none."""
    changes = source.changes(commit)
    if len(changes) != 1:
        return "MANY_FILES"
    change = changes[0]
    if any(fnmatch.fnmatchcase(change.path.rpartition("/")[2], glob) for glob in MADE_BY_PROGRAMS):
        return "GENERATED"
    texts = _texts(change)
    if texts is None:
        return "NO_TEXT"
    old, new = (_lines(text) for text in texts)
    if not LEAST_LINES <= len(old) <= MOST_LINES:
        return "SIZE"
    codes = [c for c in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if c[0] != "equal"]
    changed = sum(b - a + d - c for _, a, b, c, d in codes)
    if changed > MOST_CHANGED:
        return "TOO_BROAD"
    if "".join(texts[0].split()) == "".join(texts[1].split()):
        return "TRIVIAL"
    hunks = told_apart(old, new)
    if not hunks:
        return "AMBIGUOUS"
    parent = commit.parents[0].decode()
    files = source.files_at(parent)
    if change.path not in files or change.after is None:
        return "NOT_CHOSEN"
    if any(file.data == change.after.data for file in files.values()):
        return "LEAK"
    item = f"edit:{commit.id.decode()}"
    return Candidate(
        item=item,
        name=f"edit-{re.sub(r'[^a-z0-9]+', '-', change.path.rpartition('/')[2].lower()).strip('-')[:40]}-{short(item)}",
        level=_level(len(codes), len(old), texts[0]),
        instruction=instruction(change.path, hunks, texts),
        checks=[{"id": "edits", "file": change.path, "expected": f"expected/{change.path}"}],
        commit=parent,
        answer={change.path: change.after},
        expected={f"expected/{change.path}": File(change.after.data)},
        facts={"hunks": len(codes), "lines": len(old), "changed_lines": changed, "of": commit.id.decode()},
    )


def _texts(change: Change) -> tuple[str, str] | None:
    if change.before is None or change.after is None or not change.path.isprintable():
        return None
    if change.before.executable != change.after.executable:
        return None
    try:
        both = change.before.data.decode(), change.after.data.decode()
    except UnicodeDecodeError:
        return None
    return None if any("\0" in text for text in both) else both


def _lines(text: str) -> list[str]:
    """Lines with their ends, as \\n ends them."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def told_apart(old: Sequence[str], new: Sequence[str]) -> Sequence[Hunk]:
    """The edits with the least context that gives each of them one place in the file; empty when none does."""
    for width in range(1, MOST_CONTEXT + 1):
        groups = list(SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(width))
        if all(_places(old, old[group[0][1] : group[-1][2]]) == 1 for group in groups):
            return [_hunk(old, new, group) for group in groups]
    return ()


def _hunk(old: Sequence[str], new: Sequence[str], group: Sequence[tuple[str, int, int, int, int]]) -> Hunk:
    lines: list[tuple[str, str]] = []
    for tag, start, end, new_start, new_end in group:
        if tag == "equal":
            lines += [("  ", line) for line in old[start:end]]
        else:
            lines += [("- ", line) for line in old[start:end]]
            lines += [("+ ", line) for line in new[new_start:new_end]]
    return lines


def _places(lines: Sequence[str], window: Sequence[str]) -> int:
    size = len(window)
    return sum(lines[at : at + size] == window for at in range(len(lines) - size + 1)) if size else 0


def _level(hunks: int, lines: int, text: str) -> int:
    odd = "\r\n" in text or not text.endswith("\n")
    return min(4, 1 + (hunks > 1) + (hunks > 4) + (lines > 800) + odd)


def instruction(path: str, hunks: Sequence[Hunk], texts: tuple[str, str]) -> str:
    """All that is told of a change from the first text to the second."""
    parts = ["\n".join(f"{mark}{line.rstrip(chr(10))}" for mark, line in hunk) for hunk in hunks]
    body = "\n...\n".join(parts).replace("\r", "")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    notes = []
    if "\r\n" in texts[0]:
        notes.append("Lines of this file end with CR LF; keep what each line has.")
    if texts[0].endswith("\n") != texts[1].endswith("\n"):
        notes.append(
            f"The last line {'ends' if texts[1].endswith(chr(10)) else 'does not end'} with a newline afterwards."
        )
    elif not texts[1].endswith("\n"):
        notes.append("The last line has no newline; leave it so.")
    return "\n".join(
        [
            f"Make these edits in `{path}` and change nothing else in it. A line that starts with `- ` goes, one that",
            "starts with `+ ` comes, the others stay and show the place: each edit fits in exactly one.",
            "The two characters at the start of a line are marks, not text. `...` stands between separate edits.",
            *notes,
            "",
            fence,
            body,
            fence,
            "",
        ]
    )
