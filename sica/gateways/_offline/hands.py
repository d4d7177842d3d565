"""What the offline model can do in a conversation: the agent's tools, found by their names and
parameters.

A thought is a generator: it yields the tool calls that it wants made and is sent what the agent showed
for them.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Act:
    """One tool call, and a few words that say why."""

    tool: str
    arguments: Mapping[str, Any]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the agent showed for a call."""

    text: str
    cut: bool = False
    """The call itself had been cut off by the limit on tokens, so it cannot have been made."""


Thought = Generator[tuple[Act, ...], tuple[Seen, ...], T]

_ROLES = {
    "shell": (("bash", "shell", "exec", "command", "terminal", "run"), ("command", "cmd", "script", "code")),
    "replace": (
        ("replace", "edit", "substitute", "patch"),
        ("old", "old_str", "old_string", "search", "before"),
    ),
    "write": (("overwrite", "write", "create", "save"), ("content", "contents", "text", "file_text")),
    "view": (("view", "read", "open", "show", "cat"), ("path", "file", "file_path", "filename")),
    "search": (("grep", "search", "find"), ("pattern", "query", "regex")),
    "finish": (("submit", "finish", "done", "complete"), ()),
}
_PATH = ("path", "file", "file_path", "filename")
_NEW = ("new", "new_str", "new_string", "replacement", "after")
_START = ("start", "start_line", "from", "line", "offset", "first")
_REPLACE = """import json, sys
with open(sys.argv[1], newline="") as file:
    text = file.read()
for old, new in json.loads(sys.argv[2]):
    assert text.count(old) == 1, "it does not stand there once"
    text = text.replace(old, new)
with open(sys.argv[1], "w", newline="") as file:
    file.write(text)
"""
_NUMBERED = re.compile(r"^\s*(\d+)(?:\t|[|:] ?)(.*)$", re.DOTALL)
_MARK = re.compile(r"\b(cut|truncated|omitted|not shown|clipped|elided)\b", re.IGNORECASE)
_REFUSED = re.compile(r"^\s*(error|no |not |cannot|could not|failed)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """A file as far as it was shown."""

    path: str
    lines: Mapping[int, str]
    total: int

    @property
    def whole(self) -> bool:
        return self.total > 0 and len(self.lines) >= self.total

    @property
    def text(self) -> str:
        """The lines that were shown; a gap is simply missing, as it was for whoever looked."""
        return "".join(self.lines[n] + "\n" for n in sorted(self.lines))


def _first(names: Sequence[str], properties: Mapping[str, Any]) -> str:
    return next((n for n in names if n in properties), "")


def _parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = (tool.get("parameters") or {}).get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _roles(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for role, (names, needs) in _ROLES.items():
        for tool in tools:
            fits = any(word in str(tool.get("name", "")).lower() for word in names)
            if fits and (not needs or _first(needs, _parameters(tool))) and tool not in found.values():
                found.setdefault(role, tool)
    return found


@dataclass
class Hands:
    """The tools of one conversation. State in here is rebuilt with every answer, never kept."""

    tools: Sequence[Mapping[str, Any]]
    parallel: bool = False
    roles: dict[str, Mapping[str, Any]] = field(init=False)
    too_long: int = field(default=1 << 60, init=False)
    """Length of the shortest file whose writing was cut off."""
    grown: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.roles = _roles(self.tools)

    def _name(self, role: str) -> str:
        return str(self.roles[role]["name"])

    def _argument(self, role: str, names: Sequence[str]) -> str:
        return _first(names, _parameters(self.roles[role]))

    def can(self, *roles: str) -> bool:
        return all(role in self.roles for role in roles)

    def batch(self, acts: Sequence[Act]) -> Thought[list[Seen]]:
        """Calls made in one answer where the agent allows it, else one after the other."""
        if self.parallel:
            return list((yield tuple(acts)))
        seen: list[Seen] = []
        for act in acts:
            seen += yield (act,)
        return seen

    # ── single calls ──

    def command(self, command: str, why: str = "") -> Act:
        return Act(self._name("shell"), {self._argument("shell", _ROLES["shell"][1]): command}, why)

    def shell(self, command: str, why: str = "") -> Thought[str]:
        """What the agent shows of the command; "" without a shell."""
        if not self.can("shell"):
            return ""
        (seen,) = yield (self.command(command, why),)
        return seen.text

    def search(self, pattern: str, path: str, why: str = "") -> Thought[str]:
        """`path:line:text` of what fits the pattern, through the agent's own tool for that; "" without one."""
        if not self.can("search"):
            return ""
        arguments = {self._argument("search", _ROLES["search"][1]): pattern}
        if where := self._argument("search", _PATH):
            arguments[where] = path
        (seen,) = yield (Act(self._name("search"), arguments, why),)
        return seen.text

    def finish(self, summary: str) -> Thought[str]:
        if self.can("finish"):
            needed = (self.roles["finish"].get("parameters") or {}).get("required") or []
            yield (Act(self._name("finish"), {str(n): summary for n in needed}, summary),)
        return summary

    # ── files ──

    def read(self, path: str, most: int = 40) -> Thought[Page]:
        """The file, page by page, as far as the agent shows it."""
        lines: dict[int, str] = {}
        total, start, window = 0, 1, 0
        for _ in range(most):
            (seen,) = yield (self._look(path, start, window),)
            shown = _numbered(seen.text)
            stated = re.search(r"\bof (\d+)", seen.text.split("\n", 1)[0]) or re.search(
                r"^total (\d+)$", seen.text, re.MULTILINE
            )
            new = {n: line for n, line in shown.items() if n not in lines}
            lines |= new
            total = int(stated[1]) if stated else max(total, *lines, 0)
            start = next((n for n in range(1, total + 1) if n not in lines), total + 1)
            if not new or (start > total and stated):
                break
            window = max(5, len(shown) - 1)
        return Page(path, lines, total)

    def _look(self, path: str, start: int, window: int) -> Act:
        why = f"Look at {path}." if start == 1 else f"Look further into {path}."
        if self.can("view"):
            arguments: dict[str, Any] = {self._argument("view", _PATH): path}
            first = self._argument("view", _START)
            if first and start > 1:
                arguments[first] = start
            return Act(self._name("view"), arguments, why)
        quoted, last = shlex.quote(path), start + window - 1 if window else "$"
        count = f'echo "total $(wc -l < {quoted})"'
        return self.command(f"{count}; cat -n {quoted} | sed -n '{start},{last}p'", why)

    def write(self, path: str, old: str, new: str, *, then: str = "") -> Thought[tuple[bool, str]]:
        """Bring a file from old to new, then run a command: whether it was written; what was shown."""
        acts = self._changes(path, old, new)
        if acts is None:
            return False, ""
        after = [self.command(then, "Run the tests.")] if then else []
        if acts and self._name_of(acts[0]) == "replace":
            seen = yield from self.batch([*acts, *after])
            if not any(_REFUSED.search(s.text) or s.cut for s in seen[: len(acts)]):
                return True, seen[-1].text
            acts = [self._whole(path, new)]
        seen = yield from self.batch([*acts, *after])
        if seen[0].cut:
            self.too_long = min(self.too_long, len(new))
            return False, ""
        return True, seen[-1].text

    def _name_of(self, act: Act) -> str:
        return next((role for role, tool in self.roles.items() if tool["name"] == act.tool), "")

    def _changes(self, path: str, old: str, new: str) -> list[Act] | None:
        """Small replacements where there is a tool for it, else the whole file; None when that cannot fit."""
        if old and self.can("replace"):
            small = self._replacements(path, old, new)
            if small:
                return small
        if old and self.can("shell") and not self.can("write"):
            return [self._by_shell(path, _pieces(old, new))]
        if len(new) >= self.too_long or (not self.can("write") and not self.can("shell")):
            return None
        return [self._whole(path, new)]

    def _by_shell(self, path: str, pieces: Sequence[tuple[str, str]]) -> Act:
        """The same small replacements where there is nothing but a shell."""
        words = " ".join(map(shlex.quote, (_REPLACE, path, json.dumps(pieces, ensure_ascii=False))))
        return self.command(f"python3 -c {words}", f"Change places in {path}.")

    def _whole(self, path: str, text: str) -> Act:
        why = f"Write {path}."
        if self.can("write"):
            content = self._argument("write", _ROLES["write"][1])
            return Act(self._name("write"), {self._argument("write", _PATH): path, content: text}, why)
        return self.command(f"printf %s {shlex.quote(text)} > {shlex.quote(path)}", why)

    def _replacements(self, path: str, old: str, new: str) -> list[Act]:
        return [self._replacement(path, before, after) for before, after in _pieces(old, new)]

    def _replacement(self, path: str, old: str, new: str) -> Act:
        names = {_PATH: path, _ROLES["replace"][1]: old, _NEW: new}
        arguments = {self._argument("replace", keys): value for keys, value in names.items()}
        return Act(self._name("replace"), arguments, f"Change a place in {path}.")


@lru_cache(maxsize=2048)
def _pieces(old: str, new: str) -> tuple[tuple[str, str], ...]:
    """What to replace by what, each piece with as much around it as makes it stand there once."""
    a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
    found = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        first, last = i, j
        while (first, last) != (0, len(a)) and not _once("".join(a[first:last]), old):
            first, last = max(0, first - 1), min(len(a), last + 1)
        left, right = "".join(a[first:i]), "".join(a[j:last])
        found.append(("".join(a[first:last]), left + "".join(b[k:m]) + right))
    return tuple(found)


def _once(part: str, text: str) -> bool:
    return bool(part) and text.count(part) == 1


def _numbered(text: str) -> dict[int, str]:
    """Numbered lines of what was shown; a line that a cut went through is not one of them."""
    shown: dict[int, str] = {}
    last = 0
    for line in text.split("\n"):
        match = _NUMBERED.match(line)
        if match:
            last = int(match[1])
            shown[last] = match[2]
        elif last and _MARK.search(line):
            shown.pop(last, None)
            last = 0
    return shown
