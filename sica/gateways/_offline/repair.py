"""Mending a failing program: small changes, ranked by what the tests printed, kept when more tests pass."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from sica.gateways._offline.hands import Hands, Page, Thought
from sica.gateways._offline.mutants import Mutant, mutants

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)(?:\n\s+(.+))?')
_COUNT = re.compile(r"\bFAILED \((?:failures=(\d+))?(?:, )?(?:errors=(\d+))?|\b(\d+) failed")
_FAILED = re.compile(r"^(?:FAIL|ERROR): (\w+)", re.MULTILINE)
_OK = re.compile(
    r"^OK\b|^\d+ passed\b|\[exit code 0\]|<returncode>0<|exit (?:code|status):? 0\b", re.MULTILINE
)
_RAISED = re.compile(r"^(\w+(?:Error|Exception))\b:? ?(.*)$", re.MULTILINE)
_DEFINED = re.compile(r"^(?:\./)?([^:\n]+):(\d+): *(?:async )?(?:def|class) (\w+)", re.MULTILINE)
_TESTS_RUN = re.compile(r"^Ran (\d+) tests?|(\d+) passed", re.MULTILINE)
_FILES_READ = 4
_SPREAD = 0.85
"""Each further change of one function counts this much less, so that other functions get their turn."""
_CHANGES_TRIED = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test run as far as it was shown."""

    text: str

    @property
    def passed(self) -> bool:
        return bool(_OK.search(self.text)) and not _COUNT.search(self.text)

    @property
    def failures(self) -> int:
        """Failing tests: from the summary line, or those that can be seen when it is cut away."""
        if self.passed:
            return 0
        count = _COUNT.search(self.text)
        seen = len(_FAILED.findall(self.text))
        return sum(int(n) for n in count.groups() if n) if count else max(seen, 1)

    @property
    def frames(self) -> list[tuple[str, int, str, str]]:
        """(path, line, function, source) of each frame in code of the workspace, in order."""
        return [
            (m[1], int(m[2]), m[3], m[4] or "")
            for m in _FRAME.finditer(self.text)
            if "/lib/python" not in m[1] and not m[1].startswith("<")
        ]

    @property
    def few(self) -> bool:
        """Whether most tests pass, so that the fault is at some edge."""
        run = _TESTS_RUN.search(self.text)
        return bool(run) and self.failures * 2 < int((run[1] or run[2]) if run else 0)

    @property
    def raised(self) -> str:
        return " ".join(f"{m[1]} {m[2]}" for m in _RAISED.finditer(self.text))


@dataclass
class Known:
    """What has been seen of the workspace."""

    defined: Mapping[str, list[tuple[str, int]]]
    """Name -> places."""
    paths: list[str]
    texts: dict[str, str] = field(default_factory=dict)

    def local(self, path: str) -> str:
        """A traceback's path as the workspace's own; "" for a file that is not in it."""
        return next((p for p in self.paths if path == p or path.endswith("/" + p)), "")


def repair(hands: Hands, command: str, dice: Random) -> Thought[str]:
    """Try changes until the tests pass or nothing is left to try."""
    outcome = Outcome((yield from hands.shell(command, "See what fails.")))
    if outcome.passed:
        return "All tests pass already."
    index = yield from hands.shell(
        "grep -rnE --include='*.py' '^ *(async )?(def|class) ' .", "See what is defined where."
    )
    known = _known(index, outcome)
    tried: set[tuple[str, str]] = set()
    while len(tried) < _CHANGES_TRIED:
        yield from _read_suspects(hands, known, outcome)
        better = yield from _try_changes(hands, command, known, outcome, tried, dice)
        if better is None:
            more = [p for p in known.paths if p not in known.texts and not _is_test(p)]
            if not more:
                return "I found no change that helps."
            yield from _read(hands, known, more[0])
        elif better.passed:
            return "All tests pass now."
        else:
            outcome = better
    return "I stopped trying."


def _known(index: str, outcome: Outcome) -> Known:
    defined: dict[str, list[tuple[str, int]]] = {}
    paths: list[str] = []
    for match in _DEFINED.finditer(index):
        paths.append(match[1])
        defined.setdefault(match[3], []).append((match[1], int(match[2])))
    if not paths:  # no index to be had: the frames at least name files
        paths = [f[0] for f in outcome.frames]
    return Known(defined, list(dict.fromkeys(paths)))


def _is_test(path: str) -> bool:
    return bool(re.search(r"(^|/)(tests?/|test_|conftest)|_test\.py$", path))


# ── where to look ────────────────────────────────────────────────────────────────────────────────────


def _named(known: Known, outcome: Outcome) -> list[tuple[str, str]]:
    """(path, name) of what the failing lines of the tests speak of."""
    found = []
    for path, _, function, source in outcome.frames:
        if _is_test(path):
            body = _source(known.texts.get(known.local(path), ""), function)
            for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", f"{source}\n{body}")):
                found += [(p, name) for p, _ in known.defined.get(name, []) if not _is_test(p)]
    return found


def _source(text: str, function: str) -> str:
    """The text of a function."""
    found = re.search(rf"^( *)def {re.escape(function)}\(.*?(?=^\1\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def _read_suspects(hands: Hands, known: Known, outcome: Outcome) -> Thought[None]:
    """The files that the failures speak of, the innermost frames first; then those that these call."""
    framed = [known.local(f[0]) for f in reversed(outcome.frames) if not _is_test(f[0])]
    if not framed:  # only assertions failed: read what the tests do
        for path in dict.fromkeys(known.local(f[0]) for f in outcome.frames):
            if path and path not in known.texts:
                yield from _read(hands, known, path)
    named = [path for path, _ in _named(known, outcome)]
    suspects = [p for p in dict.fromkeys([*framed, *named]) if p]
    if not suspects:
        suspects = [p for p in known.paths if not _is_test(p)][:1]
    for path in suspects[:_FILES_READ]:
        if path not in known.texts:
            yield from _read(hands, known, path)
    for path in _called(known, outcome):
        if len([p for p in known.texts if not _is_test(p)]) < _FILES_READ and path not in known.texts:
            yield from _read(hands, known, path)


def _called(known: Known, outcome: Outcome) -> list[str]:
    """Files not read yet that define what suspicious functions call, most suspicious first."""
    suspicion = _suspicion(known, outcome)
    calls = {path: _calls(text) for path, text in known.texts.items() if not _is_test(path)}
    found: list[str] = []
    for path, function in sorted(suspicion, key=lambda place: (-suspicion[place], place)):
        for name in sorted(calls.get(path, {}).get(function, ())):
            found += [p for p, _ in known.defined.get(name, []) if p not in known.texts and not _is_test(p)]
    return list(dict.fromkeys(found))


def _read(hands: Hands, known: Known, path: str) -> Thought[None]:
    page: Page = yield from hands.read(path)
    known.texts[path] = page.text if page.whole else ""


def _suspicion(known: Known, outcome: Outcome) -> dict[tuple[str, str], float]:
    """(path, function) -> how likely the fault is in there; spreads along calls and fades."""
    calls = {path: _calls(text) for path, text in known.texts.items() if not _is_test(path)}
    places: dict[str, list[tuple[str, str]]] = {}
    for path, functions in calls.items():
        for name in functions:
            places.setdefault(name.rpartition(".")[2], []).append((path, name))
    found = _blamed(known, outcome, places)
    edge = found
    for _ in range(3):
        edge = {
            place: weight * 0.6
            for (path, name), weight in sorted(edge.items(), key=lambda e: (e[1], e[0]))
            for callee in calls.get(path, {}).get(name, ())
            for place in places.get(callee, [])
            if place not in found
        }
        found = found | edge
    return found


def _blamed(
    known: Known, outcome: Outcome, places: Mapping[str, Sequence[tuple[str, str]]]
) -> dict[tuple[str, str], float]:
    """The functions that the failures name themselves: in frames, and in what the failing tests call."""
    found: dict[tuple[str, str], float] = {}
    for path, name, _, depth in _depths(known, outcome):
        for place in places.get(name, []):
            if place[0] == path:
                found[place] = max(found.get(place, 0), 5.0 / (1 + depth / 2))
    for path, name in _named(known, outcome):
        for place in (p for same in places.values() for p in same if p[0] == path):
            if place[1].rpartition(".")[2] == name or place[1].startswith(name + "."):
                found[place] = max(found.get(place, 0), 3.0)
    return found


def _depths(known: Known, outcome: Outcome) -> list[tuple[str, str, int, int]]:
    """(path, function, line, frames below it) of every frame outside the tests; 0 is where it was raised."""
    found = []
    depth = 0
    for path, line, function, _ in reversed(outcome.frames):
        if _is_test(path):
            depth = 0
            continue
        found.append((known.local(path), function, line, depth))
        depth += 1
    return found


@lru_cache(maxsize=512)
def _calls(text: str) -> Mapping[str, set[str]]:
    """Function -> names of what it calls or reads by attribute; methods as Class.name."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    found: dict[str, set[str]] = {"<module>": set()}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                visit(child, f"{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                names = {n.attr for n in ast.walk(child) if isinstance(n, ast.Attribute)}
                names |= {n.id for n in ast.walk(child) if isinstance(n, ast.Name)}
                found[prefix + child.name] = names
                visit(child, f"{prefix}{child.name}.")

    visit(tree, "")
    return found


# ── what to try ──────────────────────────────────────────────────────────────────────────────────────


def _ranked(known: Known, outcome: Outcome, dice: Random) -> list[tuple[str, Mutant]]:
    suspicion = _suspicion(known, outcome)
    lines = {
        (path, line): 4 if depth == 0 else 2 for path, _, line, depth in reversed(_depths(known, outcome))
    }
    raised, few = outcome.raised, outcome.few
    scored = []
    for path, text in known.texts.items():
        if _is_test(path):
            continue
        for mutant in mutants(text):
            weight = suspicion.get((path, mutant.function), 0.2) * mutant.weight * _evidence(mutant, raised)
            weight *= lines.get((path, mutant.line), 1)
            weight *= 0.5 if few and mutant.drastic else 1
            scored.append((weight * dice.uniform(0.8, 1.2), path, mutant))
    scored.sort(key=lambda s: -s[0])
    seen: Counter[tuple[str, str]] = Counter()
    spread = []
    for weight, path, mutant in scored:
        spread.append((weight * _SPREAD ** seen[path, mutant.function], path, mutant))
        seen[path, mutant.function] += 1
    spread.sort(key=lambda s: -s[0])
    return [(path, mutant) for _, path, mutant in spread]


_EVIDENCE: Sequence[tuple[str, str, float]] = (
    (r"IndexError|out of range", "bound constant slice antonym", 2.5),
    (r"KeyError|AttributeError|NameError|TypeError", "name attribute arguments return antonym", 2.0),
    (r"TypeError|None", "return", 3.0),
    (r"AssertionError (True|False) ", "compare boolean not constant", 2.0),
    (r"ZeroDivisionError", "compare bound arithmetic", 2.0),
    (r"not raised", "compare boolean not", 2.5),
    (r"AssertionError -?\d+(\.\d+)? != -?\d", "bound constant arithmetic compare", 1.5),
)


def _evidence(mutant: Mutant, raised: str) -> float:
    return max(
        (by for seen, kinds, by in _EVIDENCE if mutant.kind in kinds.split() and re.search(seen, raised)),
        default=1.0,
    )


def _try_changes(
    hands: Hands, command: str, known: Known, before: Outcome, tried: set[tuple[str, str]], dice: Random
) -> Thought[Outcome | None]:
    """The first change that makes fewer tests fail, kept on disk; None when there is none."""
    on_disk = dict(known.texts)
    for path, mutant in _ranked(known, before, dice):
        new = mutant.apply(known.texts[path])
        if (path, new) in tried:
            continue
        tried.add((path, new))
        for other, text in known.texts.items():
            if other != path and on_disk[other] != text:
                yield from hands.write(other, on_disk[other], text)
                on_disk[other] = text
        written, shown = yield from hands.write(path, on_disk[path], new, then=command)
        if not written:
            continue
        on_disk[path] = new
        after = Outcome(shown)
        if after.failures < before.failures:
            known.texts[path] = new
            return after
    for path, text in known.texts.items():
        if on_disk[path] != text:
            yield from hands.write(path, on_disk[path], text)
    return None
