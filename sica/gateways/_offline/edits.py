"""Edits that are spelt out in plain sentences: replace, rename, set, change, delete, insert, append,
create.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sica.gateways._offline.hands import Hands, Thought

_QUOTED = re.compile(r"`([^`]+)`")
_Q = r"⟦(\d+)⟧"
_SCOPE = re.compile(rf"\bin (?:the )?(?:section|function|class|method|block|table) {_Q}", re.IGNORECASE)
_FILES = re.compile(rf"^\W*(?:in|to) (?:the files? )?((?:{_Q}(?:,? and |, )?)+?),? ", re.IGNORECASE)
_NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1}


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one file; words are the quoted pieces of its sentence in order."""

    path: str
    verb: str
    words: tuple[str, ...]
    scope: str = ""
    nth: int = 0
    """Which occurrence; 0 is every one, -1 the last."""
    before: bool = False


_FORMS = [
    (
        "create",
        re.compile(
            rf"\b(?:create|write) (?:the |a )?(?:file )?{_Q} (?:with|containing|that contains).*?{_Q}"
        ),
    ),
    ("replace", re.compile(rf"\breplace .*?{_Q}.*? (?:by|with) {_Q}")),
    ("rename", re.compile(rf"\brename .*?{_Q} to {_Q}")),
    ("change", re.compile(rf"\bchange .*?{_Q}.*? from {_Q} to {_Q}")),
    ("set", re.compile(rf"\bset .*?{_Q}.*? to {_Q}")),
    ("delete", re.compile(rf"\b(?:delete|remove) .*?{_Q}")),
    ("insert", re.compile(rf"\b(?:insert|add) .*?{_Q} .*?(?:after|before|above|below) .*?{_Q}")),
    ("append", re.compile(rf"\bappend .*?{_Q}")),
]


def parse(instruction: str) -> list[Edit]:
    """The edits that the instruction spells out; a sentence without a file goes on with the one before."""
    quoted: list[str] = []

    def keep(match: re.Match[str]) -> str:
        quoted.append(match[1])
        return f"⟦{len(quoted) - 1}⟧"

    text = re.sub(r"\n(?!\s*[-*] |\n)", " ", _QUOTED.sub(keep, instruction))
    edits: list[Edit] = []
    paths: list[str] = []
    for clause in re.split(r"\n+|(?<=[.;]) ", text):
        named = _FILES.match(clause)
        if named:
            paths = [quoted[int(n)] for n in re.findall(_Q, named[1])]
        edits += _edits(clause[named.end() if named else 0 :], quoted, paths)
    return edits


def _edits(clause: str, quoted: Sequence[str], paths: Sequence[str]) -> list[Edit]:
    scope = _SCOPE.search(clause)
    rest = _SCOPE.sub("", clause)
    for verb, form in _FORMS:
        match = form.search(rest.lower())
        if not match:
            continue
        words = tuple(quoted[int(n)] for n in match.groups())
        if verb == "create":
            return [Edit(words[0], verb, words[1:])]
        nth = next((n for word, n in _NTH.items() if f"the {word} " in rest.lower()), 0)
        before = " before " in rest or " above " in rest
        where = quoted[int(scope[1])] if scope else ""
        return [Edit(path, verb, words, where, nth, before) for path in paths]
    return []


def carry_out(hands: Hands, edits: Sequence[Edit]) -> Thought[str]:
    """One file after the other: read it, change it in mind, write it."""
    written = 0
    for path in dict.fromkeys(e.path for e in edits):
        mine = [e for e in edits if e.path == path]
        if all(e.verb == "create" for e in mine):
            old, new = "", "\n".join(e.words[0] for e in mine).rstrip("\n") + "\n"
        else:
            page = yield from hands.read(path)
            if not page.whole:
                continue
            old = new = page.text
            for edit in mine:
                new = apply(new, edit)
        if new != old:
            done, _ = yield from hands.write(path, old, new)
            written += done
    return f"Changed {written} files." if edits else "I could not tell what is to be changed."


def apply(text: str, edit: Edit) -> str:
    """The text after the edit; unchanged when the place is not there."""
    lines = text.split("\n")
    first, last = _span(lines, edit.scope)
    part = "\n".join(lines[first:last])
    new = _CHANGES[edit.verb](part, edit)
    return "\n".join([*lines[:first], new, *lines[last:]])


def _span(lines: Sequence[str], scope: str) -> tuple[int, int]:
    """The lines of a section, function or block: from its header to the next line that stands as far left."""
    if not scope:
        return 0, len(lines)
    name = re.escape(scope.strip("[]()"))
    header = re.compile(rf"^(\s*)(?:\[{name}\]|(?:async )?(?:def|class) {name}\b|{name}\s*[:={{])")
    for first, line in enumerate(lines):
        match = header.match(line)
        if not match:
            continue
        for last in range(first + 1, len(lines)):
            stripped = lines[last].lstrip()
            near = len(lines[last]) - len(stripped) <= len(match[1])
            ends = (
                stripped.startswith("[") if "[" in match[0] else near and not stripped.startswith((")", "#"))
            )
            if stripped and ends:
                return first, last
        return first, len(lines)
    return 0, 0


def _sub(pattern: str, new: Callable[[re.Match[str]], str], text: str, nth: int) -> str:
    found = list(re.finditer(pattern, text, re.MULTILINE))
    chosen = found if nth == 0 else found[nth - 1 : nth] if nth > 0 else found[-1:]
    for match in reversed(chosen):
        text = text[: match.start()] + new(match) + text[match.end() :]
    return text


def _replace(text: str, edit: Edit) -> str:
    return _sub(re.escape(edit.words[0]), lambda _: edit.words[1], text, edit.nth)


def _rename(text: str, edit: Edit) -> str:
    return _sub(rf"(?<!\w){re.escape(edit.words[0])}(?!\w)", lambda _: edit.words[1], text, edit.nth)


def _set(text: str, edit: Edit) -> str:
    key, value = re.escape(edit.words[0].strip("\"'")), edit.words[-1]
    pattern = (
        rf"(?<![\w.-])([\"']?{key}[\"']?(?:\s*:\s*\w+(?=\s*=))?\s*[=:]\s*)"
        r"((?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,#;)}\]]+))"
    )
    return _sub(pattern, lambda m: m[1] + value, text, edit.nth or 1)


def _delete(text: str, edit: Edit) -> str:
    return _sub(rf"^.*{re.escape(edit.words[0])}.*\n?", lambda _: "", text, edit.nth)


def _insert(text: str, edit: Edit) -> str:
    def beside(match: re.Match[str]) -> str:
        end = "\r" if match[0].endswith("\r") else ""
        line = match[0].rstrip("\r")
        new = edit.words[0] if edit.words[0][:1].isspace() else _indent(line) + edit.words[0]
        pair = (new, line) if edit.before else (line, new)
        return f"{end}\n".join(pair) + end

    return _sub(rf"^.*{re.escape(edit.words[1])}.*$", beside, text, edit.nth or 1)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _append(text: str, edit: Edit) -> str:
    return text.rstrip("\n") + "\n" + edit.words[0] + "\n"


_CHANGES: dict[str, Callable[[str, Edit], str]] = {
    "replace": _replace,
    "rename": _rename,
    "change": lambda text, e: _set(text, e) if _agrees(text, e) else text,
    "set": _set,
    "delete": _delete,
    "insert": _insert,
    "append": _append,
    "create": lambda _, e: e.words[0],
}


def _agrees(text: str, edit: Edit) -> bool:
    return edit.words[1] in text
