"""Questions about where things are: found with grep through the agent's shell, answered in a file."""

from __future__ import annotations

import builtins
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from sica.gateways._offline.hands import Hands, Thought

_ANSWER = re.compile(r"\bto (?:the file )?`([\w./-]+\.(?:txt|md|json))`")
_DEFINED = re.compile(r"\bwhere is .*?`([^`]+)`.*?\bdefined", re.IGNORECASE | re.DOTALL)
_USED_BY = re.compile(r"\b(?:that|which) `([\w./-]+\.py)` (?:uses|imports|calls)", re.IGNORECASE)
_CALLERS = re.compile(r"\bwhich functions .*?\bcall.*? `([^`]+)`", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"\bwhich (?:key|option|setting).*?`([\w./-]+)`.*?`([^`]+)`", re.IGNORECASE | re.DOTALL)
_SERVES = re.compile(
    r"\bwhich function .*?(?:handles|serves|is registered for) .*?`([^`]+)`", re.IGNORECASE | re.DOTALL
)
_HIT = re.compile(r"^(?:\./)?([^:\n]+):(\d+):(.*)$", re.MULTILINE)
_DEF = re.compile(r"^\s*(?:async )?(?:def|class) (\w+)")
_HOPS = 8
_BUILTIN = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Hit:
    path: str
    line: int
    text: str


def question(instruction: str) -> bool:
    asks = (_DEFINED, _CALLERS, _KEY, _SERVES)
    return bool(_ANSWER.search(instruction)) and any(q.search(instruction) for q in asks)


def answer(hands: Hands, instruction: str) -> Thought[str]:
    """Find it, write it down."""
    if match := _DEFINED.search(instruction):
        used = _USED_BY.search(instruction)
        said = yield from _definition(hands, match[1].strip("()"), used[1] if used else "")
    elif match := _CALLERS.search(instruction):
        said = yield from _callers(hands, match[1].strip("()"))
    elif match := _KEY.search(instruction):
        said = yield from _key(hands, match[1], match[2].strip("()"))
    else:
        match = _SERVES.search(instruction)
        said = yield from _served(hands, match[1] if match else "")
    target = _ANSWER.search(instruction)
    if not said or not target:
        return "I could not find it."
    yield from hands.write(target[1], "", said + "\n")
    return f"The answer is in {target[1]}."


def _grep(hands: Hands, pattern: str, where: str = ".", why: str = "") -> Thought[list[Hit]]:
    if not hands.can("shell"):
        shown = yield from hands.search(pattern, where, why)
        return [Hit(m[1], int(m[2]), m[3]) for m in _HIT.finditer(shown) if m[1].endswith(".py")]
    shown = yield from hands.shell(
        f"grep -rnE --include='*.py' {shlex.quote(pattern)} {shlex.quote(where)}", why
    )
    hits = [Hit(m[1], int(m[2]), m[3]) for m in _HIT.finditer(shown)]
    return hits if hits or where == "." else [Hit(where, n, t) for n, t in _bare(shown)]


def _bare(shown: str) -> list[tuple[int, str]]:
    return [(int(m[1]), m[2]) for m in re.finditer(r"^(\d+):(.*)$", shown, re.MULTILINE)]


def _definition(hands: Hands, name: str, used_in: str) -> Thought[str]:
    word = re.escape(name)
    pattern = rf"^ *(async )?(def|class) {word}\b|^{word} *(:.*)?="
    hits = yield from _grep(hands, pattern, why=f"Look for definitions of {name}.")
    if used_in and len(hits) != 1:
        name, path = yield from _follow(hands, name, used_in)
        exact = re.compile(rf"^ *(async )?(def|class) {re.escape(name)}\b|^{re.escape(name)} *(:.*)?=")
        if path and not any(h.path == path for h in hits):
            hits = yield from _grep(hands, exact.pattern, path)
        hits = [h for h in hits if h.path == path and exact.search(h.text)]
    top = [h for h in hits if not h.text.startswith(" ")] or hits
    return f"{top[0].path}:{top[0].line}" if top else ""


def _follow(hands: Hands, name: str, path: str) -> Thought[tuple[str, str]]:
    """The name and the file that it comes from in the end, import by import."""
    for _ in range(_HOPS):
        hits = yield from _grep(
            hands, rf"import|{re.escape(name)}", path, f"See where {path} gets {name} from."
        )
        source = _import(hits, name)
        if not source:
            return name, path
        module, name = source
        path = yield from _module(hands, module, path)
        if not path:
            return name, ""
    return name, path


def _import(hits: Sequence[Hit], name: str) -> tuple[str, str] | None:
    for hit in hits:
        match = re.match(r"\s*from (\S+) import (.+)", hit.text)
        for item in match[2].strip("()").split(",") if match else ():
            original, _, alias = item.strip().partition(" as ")
            if match and (alias.strip() or original) == name:
                return match[1], original
    return None


def _module(hands: Hands, module: str, importer: str) -> Thought[str]:
    """The file of a module, as imported in the importer."""
    stem = module.lstrip(".")
    ups = len(module) - len(stem)
    folder = importer.split("/")[:-ups] if ups else []
    base = "/".join([*folder, *stem.split(".")]).rstrip("/") if stem else "/".join(folder)
    if not hands.can("shell"):
        for path in (f"{base}.py", f"{base}/__init__.py"):
            page = yield from hands.read(path)
            if page.total:
                return path
        return ""
    both = f"{shlex.quote(base + '.py')} {shlex.quote(base + '/__init__.py')}"
    shown = yield from hands.shell(f"ls {both} 2>/dev/null", f"Which file is {module}?")
    return next((line for line in shown.splitlines() if line.startswith(base)), "")


def _callers(hands: Hands, name: str) -> Thought[str]:
    """One `path:function` a line, sorted."""
    word = re.escape(name)
    pattern = rf"^ *(async )?(def|class) |\b{word}\("
    hits = yield from _grep(hands, pattern, why=f"See the functions and the calls of {name}.")
    found: set[str] = set()
    inside: list[tuple[int, str]] = []
    path = ""
    for hit in hits:
        if hit.path != path:
            path, inside = hit.path, []
        indent = len(hit.text) - len(hit.text.lstrip())
        if match := _DEF.match(hit.text):
            inside = [(i, n) for i, n in inside if i < indent]
            inside.append((indent, match[1] if " class " not in f" {hit.text}" else ""))
        elif re.search(rf"\b{word}\(", hit.text.split("#")[0]):
            around = [n for i, n in inside if i < indent and n]
            found |= {f"{path}:{around[-1]}"} if around else set()
    return "\n".join(sorted(found))


def _key(hands: Hands, config: str, name: str) -> Thought[str]:
    """The key of the configuration file that the function, or one that it calls, reads."""
    if hands.can("shell"):
        shown = yield from hands.shell(f"cat {shlex.quote(config)}", "Which keys are there?")
    else:
        shown = (yield from hands.read(config)).text
    keys = re.findall(r"^\s*[\"']?([\w.-]+)[\"']?\s*[=:]", shown, re.MULTILINE)
    seen: set[str] = set()
    names = [name]
    while names and len(seen) < _HOPS:
        current = names.pop(0)
        seen.add(current)
        body = yield from _body(hands, current)
        for key in keys:
            if re.search(rf"[\"']{re.escape(key)}[\"']", body):
                return str(key)
        called = re.findall(r"\b([A-Za-z_]\w*)\(", body.split("\n", 1)[-1])
        names += [n for n in dict.fromkeys(called) if n not in seen and n not in names and n not in _BUILTIN]
    return ""


def _body(hands: Hands, name: str) -> Thought[str]:
    """A function's text as the shell shows it."""
    program = (
        rf"/^ *(async )?def {re.escape(name)}\(/{{on=1;print;next}} on&&/^(def|class|@|[A-Za-z])/{{on=0}} on"
    )
    shown = yield from hands.shell(
        f"find . -name '*.py' | sort | xargs awk {shlex.quote(program)}", f"What does {name} do?"
    )
    return shown


def _served(hands: Hands, route: str) -> Thought[str]:
    """`path:line` of the function below the decorator, or named beside the string, that holds the route."""
    hits = yield from _grep(hands, rf"[\"']{re.escape(route)}[\"']", why=f"Look for {route}.")
    for hit in hits:
        if hit.text.lstrip().startswith("@"):
            below = yield from _grep(hands, r"^ *(async )?def ", hit.path)
            after = [d for d in below if d.line > hit.line]
            if after:
                return f"{hit.path}:{after[0].line}"
        named = re.search(
            r"[\"'],?\s*:?\s*,?\s*(?:\w+\.)*([A-Za-z_]\w*)\s*[,)}]?", hit.text.split(route, 1)[-1]
        )
        if named:
            return (yield from _definition(hands, named[1], hit.path))
    return ""
