"""git's diff as data: files, hunks, numbered lines. The text is hostile and huge at times: it is cut, never trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sica.model import Files
from sica.report import clean, clean_block
from sica.web.source import Source

LINES = 5_000
"""Lines shown of one diff."""
WIDTH = 2_000
"""Characters shown of one line."""

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)")

Json = dict[str, Any]


@dataclass(slots=True)
class _File:
    path: str = ""
    old_path: str = ""
    status: str = "changed"
    binary: bool = False
    added: int = 0
    removed: int = 0
    cut: int = 0
    hunks: list[Json] = field(default_factory=list)

    def facts(self) -> Json:
        return {name: getattr(self, name) for name in self.__slots__}


def diff(source: Source, number: int, against: int = -1) -> Json:
    """An agent's code against its first parent's, or another agent's; a seed's against nothing."""
    new = source.agent(number)
    before = against if against >= 0 else source.numbers().get(new.parents[0] if new.parents else "")
    if before is None:
        return {"old": None, "new": number, **_summed(_all_added(source.repo.files(new.tree), LINES))}
    text = source.repo.diff(source.agent(before).commit, new.commit)
    return {"old": before, "new": number, **parsed(text)}


def parsed(text: str, most: int = LINES) -> Json:
    """Files of a unified diff, at most so many lines of them."""
    files: list[_File] = []
    left = most
    for part in _parts(text):
        file = _file(part, left)
        left -= sum(len(hunk["lines"]) for hunk in file.hunks)
        files.append(file)
    return _summed(files)


def _summed(files: Sequence[_File]) -> Json:
    return {
        "added": sum(f.added for f in files),
        "removed": sum(f.removed for f in files),
        "truncated": any(f.cut for f in files),
        "files": [f.facts() for f in files],
    }


def _all_added(files: Files, most: int) -> list[_File]:
    """What a seed is against nothing."""
    found = []
    for path, file in sorted(files.items()):
        made = _File(clean(path), status="added", binary=b"\0" in file.data[:8_000])
        lines = [] if made.binary else file.data.decode(errors="replace").splitlines()
        made.added = len(lines)
        shown = [["+", None, n, _shown(line)] for n, line in enumerate(lines[:most], 1)]
        made.cut, most = len(lines) - len(shown), most - len(shown)
        if shown:
            made.hunks = [{"header": f"@@ -0,0 +1,{len(lines)} @@", "section": "", "lines": shown}]
        found.append(made)
    return found


def _parts(text: str) -> Iterator[list[str]]:
    """The lines of each file. A line of content never begins with `diff`: it has its sign before it."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("diff --git "):
            if lines:
                yield lines
            lines = []
        if lines or line.startswith("diff --git "):
            lines.append(line)
    if lines:
        if lines[-1] == "":
            lines.pop()
        yield lines


def _file(lines: list[str], room: int) -> _File:
    file = _File()
    at = next((n for n, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    for line in lines[:at]:
        _head(file, line)
    if not file.path:
        file.path = file.old_path = _of_first_line(lines[0])
    if file.status != "renamed":
        file.path, file.old_path = file.path or file.old_path, ""
    old = new = 0
    for line in lines[at:]:
        if line.startswith("@@ ") and (found := _HUNK.match(line)):
            old, new = int(found[1]), int(found[2])
            if room > 0:
                section = clean(found[3])[:200]
                file.hunks.append(
                    {"header": line[: line.index("@@", 3) + 2], "section": section, "lines": []}
                )
            continue
        sign, words = line[:1] or " ", line[1:]
        file.added += sign == "+"
        file.removed += sign == "-"
        if room <= 0:
            file.cut += 1
        else:
            room -= 1
            numbers = [old if sign in " -" else None, new if sign in " +" else None]
            file.hunks[-1]["lines"].append([sign, *numbers, _shown(words)])
        old += sign in " -"
        new += sign in " +"
    return file


def _head(file: _File, line: str) -> None:
    name, _, rest = line.partition(" ")
    match name:
        case "new" if rest.startswith("file"):
            file.status = "added"
        case "deleted":
            file.status = "removed"
        case "old" if rest.startswith("mode"):
            file.status = "mode" if file.status == "changed" else file.status
        case "rename" if rest.startswith("from "):
            file.status, file.old_path = "renamed", _name(rest[5:])
        case "rename" if rest.startswith("to "):
            file.path = _name(rest[3:])
        case "---":
            file.old_path = file.old_path or ("" if rest == "/dev/null" else _name(rest)[2:])
        case "+++":
            file.path = file.path or (file.old_path if rest == "/dev/null" else _name(rest)[2:])
            file.status = "changed" if file.status == "mode" else file.status
        case "Binary":
            file.binary = True


def _name(text: str) -> str:
    """A path as git writes it: quoted, with octal bytes, when it is odd; ended by a tab when it has spaces."""
    text = text.rstrip("\t\r")
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return clean(text)
    raw = re.sub(
        r"\\([0-7]{3}|.)",
        lambda m: chr(int(m[1], 8)) if len(m[1]) == 3 else _ESCAPED.get(m[1], m[1]),
        text[1:-1],
    )
    return clean(raw.encode("latin-1", "replace").decode("utf-8", "replace"))


_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "v": "\v", "f": "\f"}


def _of_first_line(line: str) -> str:
    """The path of a file that has neither hunks nor a rename: both names are the same there."""
    rest = line.removeprefix("diff --git ")
    half = rest[: (len(rest) - 1) // 2]
    return _name(half)[2:]


def _shown(text: str) -> str:
    return clean_block(text) if len(text) <= WIDTH else clean_block(text[:WIDTH]) + " …"
