"""Unified diffs: made of two trees and laid over one. Pure; standard library only.

A copy of this file lies beside tests that come as a diff, and is run in the judge's box: patches.py DIFF.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

CONTEXT = 3
NO_END = "\\ No newline at end of file"
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@.*")


class PatchError(ValueError):
    """The diff is broken, or does not fit the files."""


# ── making ────────────────────────────────────────────────────────────────────────────────────────


def made(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """What `git apply` makes `after` of `before` with. Files that are no UTF-8 text are left out and named."""
    return "".join(_change(path, before.get(path), after.get(path)) for path in sorted({*before, *after}))


def _change(path: str, old: bytes | None, new: bytes | None) -> str:
    if old == new:
        return ""
    name = _quoted(path)
    head = f"diff --git {_quoted('a/' + path)} {_quoted('b/' + path)}\n"
    if old is None:
        head += "new file mode 100644\n"
    if new is None:
        head += "deleted file mode 100644\n"
    try:
        ours, theirs = ((data or b"").decode() for data in (old, new))
    except UnicodeDecodeError:
        return f"# {name} is no text and is left out\n"
    if not (body := "".join(_hunks(_lines(ours), _lines(theirs)))):
        return head
    sides = (
        "/dev/null" if old is None else _quoted("a/" + path),
        "/dev/null" if new is None else _quoted("b/" + path),
    )
    return f"{head}--- {sides[0]}{_tab(sides[0])}\n+++ {sides[1]}{_tab(sides[1])}\n{body}"


def _tab(name: str) -> str:
    """git ends a name with a space in it so."""
    return "\t" if " " in name and not name.startswith('"') else ""


def _quoted(path: str) -> str:
    """git's way with names that hold control characters, quotes or more than ASCII."""
    if all(" " <= char < "\x7f" and char not in '"\\' for char in path):
        return path
    told = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}"
        for byte in path.encode("utf-8", "surrogateescape")
    )
    return f'"{told}"'


def _lines(text: str) -> list[str]:
    """Lines as \\n ends them; the last one may have no end."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _hunks(ours: list[str], theirs: list[str]) -> Iterator[str]:
    # Frequent lines are no anchors: without that, a file of one line ten thousand times takes minutes.
    for group in SequenceMatcher(None, ours, theirs).get_grouped_opcodes(CONTEXT):
        a, b = group[0][1], group[-1][2]
        c, d = group[0][3], group[-1][4]
        yield f"@@ -{_range(a, b)} +{_range(c, d)} @@\n"
        for tag, i, j, k, m in group:
            if tag == "equal":
                yield from (_line(" ", line) for line in ours[i:j])
                continue
            yield from (_line("-", line) for line in ours[i:j])
            yield from (_line("+", line) for line in theirs[k:m])


def _range(start: int, end: int) -> str:
    return f"{start + 1},{end - start}" if end > start else f"{start},0"


def _line(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n{NO_END}\n"


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def paths(diff: str) -> tuple[str, ...]:
    """Every file that the diff names, old names and new ones. Raises PatchError for one that leaves the tree."""
    named = (path for old, new, _ in _files(diff) for path in (old, new) if path)
    return tuple(dict.fromkeys(named))


def applied(diff: str, before: Mapping[str, bytes]) -> dict[str, bytes | None]:
    """The files that change, None for those that go. Raises PatchError when a hunk does not fit exactly."""
    changed: dict[str, bytes | None] = {}
    for old, new, hunks in _files(diff):
        source = before.get(old) if old else b""
        if source is None:
            _fail(f"{old}: there is no such file")
        try:
            text = source.decode()
        except UnicodeDecodeError:
            _fail(f"{old}: is no text")
        result = "".join(_patched(_lines(text), hunks, old or new)).encode()
        if old and old != new:
            changed[old] = None
        if new:
            changed[new] = result
    return changed


def _fail(why: str) -> NoReturn:
    raise PatchError(why)


Hunk = tuple[int, list[str], list[str]]
"""(line it begins at, lines that are there, lines that come)."""


def _patched(lines: list[str], hunks: list[Hunk], path: str) -> Iterator[str]:
    at = 0
    for start, there, come in hunks:
        begin = start if not there else start - 1
        if begin < at or lines[begin : begin + len(there)] != there:
            _fail(f"{path}: the hunk at line {start} does not fit")
        yield from lines[at:begin]
        yield from come
        at = begin + len(there)
    yield from lines[at:]


def _files(diff: str) -> Iterator[tuple[str, str, list[Hunk]]]:
    """(old path or "", new path or "", hunks) of each file."""
    lines = diff.split("\n")
    at = 0
    while at < len(lines):
        if not lines[at].startswith("diff --git ") and not lines[at].startswith("--- "):
            at += 1
            continue
        at, old, new = _head(lines, at)
        hunks: list[Hunk] = []
        while at < len(lines) and (match := _HUNK.fullmatch(lines[at])):
            at, hunk = _hunk(lines, at + 1, match)
            hunks.append(hunk)
        yield old, new, hunks


def _head(lines: list[str], at: int) -> tuple[int, str, str]:
    """Names from ---/+++ where they are, else from renames, else from the first line."""
    old = new = ""
    words: dict[str, str] = {}
    if lines[at].startswith("diff --git "):
        old, new = _both(lines[at].removeprefix("diff --git "))
        at += 1
    while at < len(lines) and not lines[at].startswith(("@@ ", "diff --git ")):
        line = lines[at]
        for word in ("rename from ", "rename to ", "new file mode", "deleted file mode", "--- ", "+++ "):
            if line.startswith(word):
                words[word.strip()] = line.removeprefix(word)
        if line.startswith(("Binary files ", "GIT binary patch")):
            _fail(f"{new or old}: a binary change")
        at += 1
        if line.startswith("+++ "):
            break
    old = words["rename from"] if "rename from" in words else _side(words["---"]) if "---" in words else old
    new = words["rename to"] if "rename to" in words else _side(words["+++"]) if "+++" in words else new
    old, new = _safe(_unquoted(old)), _safe(_unquoted(new))
    return at, "" if "new file mode" in words else old, "" if "deleted file mode" in words else new


def _both(names: str) -> tuple[str, str]:
    """a/X b/X: the same name twice, which may hold spaces. Quoted ones are read word by word."""
    if names.startswith('"'):
        first, _, second = names[1:].partition('" ')
        return _unquoted(f'"{first}"')[2:], _unquoted(second)[2:]
    half = len(names) // 2
    if names[half : half + 1] == " " and names[2:half] == names[half + 3 :]:
        return names[2:half], names[half + 3 :]
    first, _, second = names.partition(" b/")
    return first[2:], second


def _side(name: str) -> str:
    name = _unquoted(name.split("\t")[0] if not name.startswith('"') else name)
    return "" if name == "/dev/null" else re.sub(r"^[ab]/", "", name)


def _unquoted(name: str) -> str:
    if not (name.startswith('"') and name.endswith('"') and len(name) > 1):
        return name
    plain = {
        "n": "\n",
        "t": "\t",
        "r": "\r",
        '"': '"',
        "\\": "\\",
        "a": "\a",
        "b": "\b",
        "f": "\f",
        "v": "\v",
    }
    found = re.sub(
        rb"\\([0-7]{3}|.)",
        lambda m: (
            bytes([int(m[1], 8) & 255]) if len(m[1]) == 3 else plain.get(m[1].decode("latin-1"), "?").encode()
        ),
        name[1:-1].encode("utf-8", "surrogateescape"),
    )
    return found.decode("utf-8", "surrogateescape")


def _safe(path: str) -> str:
    parts = path.split("/")
    if path and (path.startswith("/") or "\0" in path or {"", ".", "..", ".git"} & set(parts)):
        _fail(f"{path!a}: leaves the tree")
    return path


def _hunk(lines: list[str], at: int, match: re.Match[str]) -> tuple[int, Hunk]:
    start, here, come = int(match[1]), int(match[2] or 1), int(match[4] or 1)
    old: list[str] = []
    new: list[str] = []
    while at < len(lines) and (len(old) < here or len(new) < come or lines[at] == NO_END):
        line = lines[at]
        sign, text = (line[:1] or " "), line[1:] + "\n"
        if line == NO_END:
            _endless(old, new, lines[at - 1])
        elif sign == " ":
            old.append(text)
            new.append(text)
        elif sign == "-":
            old.append(text)
        elif sign == "+":
            new.append(text)
        else:
            _fail(f"a line that belongs to no hunk: {line[:60]!a}")
        at += 1
    if (len(old), len(new)) != (here, come):
        _fail(f"the hunk at line {start} is cut short")
    return at, (start, old, new)


def _endless(old: list[str], new: list[str], before: str) -> None:
    """The line before this mark has no line end."""
    for side, signs in ((old, " -"), (new, " +")):
        if before[:1] in signs and side:
            side[-1] = side[-1].removesuffix("\n")


def main(argv: list[str]) -> int:
    """Lay a diff over the directory that one is in."""
    diff = Path(argv[1]).read_bytes().decode()
    there = {path: Path(path).read_bytes() for path in paths(diff) if Path(path).is_file()}
    for path, data in applied(diff, there).items():
        if data is None:
            Path(path).unlink()
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
