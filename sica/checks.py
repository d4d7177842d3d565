"""The split judge's verdict: tests/checks.json, answers that came out of a hostile box, credit. Pure;
stdlib only.

bin/make_judge.py joins this file, the worker and a main into the judge that Harbor runs.
"""

from __future__ import annotations

import builtins
import json
import reprlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

GUARD_CAP = 0.3
"""Of a score whose guard failed: what worked before the agent came does no longer."""
_KINDS = {
    "call": {"call", "args", "kwargs"},
    "steps": {"steps"},
    "run": {"run", "stdin"},
    "file": {"file", "accept", "expected", "lines"},
}
_OUTCOMES = {
    "call": {"returns", "raises"},
    "steps": {"returns", "raises"},
    "run": {"exit", "stdout"},
    "file": set(),
}
_COMMON = {"id", "weight", "guard", "flag", "seconds"}
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "call", "stdin", "stdout", "raises", "file", "expected", "flag"), (str,)),
    **dict.fromkeys(("args", "steps", "run", "lines"), (list,)),
    **dict.fromkeys(("kwargs", "accept"), (dict,)),
    **dict.fromkeys(("weight", "seconds"), (int, float)),
    "exit": (int,),
    "guard": (bool,),
}
_WORDS = {str: "a text", list: "a list", dict: "a table", int: "a number", bool: "true or false"}
MOST = 1_000_000
"""Of a weight and of seconds."""


def parse_checks(text: str) -> list[dict[str, Any]]:
    """The checks of a checks.json. ValueError that names the check, the key and the cure."""
    try:
        document = json.loads(text)
    except ValueError as e:
        raise ValueError(f"broken JSON: {e}") from None
    except RecursionError:
        raise ValueError("broken JSON: nested too deeply") from None
    checks = document.get("checks") if isinstance(document, dict) else None
    if not isinstance(checks, list) or not checks:
        raise ValueError('it must hold {"checks": [...]} with at least one check')
    for check in checks:
        _validate(check)
    ids = [check["id"] for check in checks]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ValueError(f"the id {twice[0]!r} stands twice; ids must differ")
    if not any(earns(check) for check in checks):
        raise ValueError("every check is a guard or a flag; at least one must earn the score")
    return checks


def _validate(check: Any) -> None:
    name = check.get("id") if isinstance(check, dict) else None
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"a check without an id that is a plain text: {reprlib.repr(check)}")
    kinds = [kind for kind in _KINDS if kind in check and not (kind == "call" and "steps" in check)]
    if len(kinds) != 1:
        raise ValueError(f"check {name!r} must hold exactly one of call, steps, run, file")
    kind = kinds[0]
    unknown = set(check) - _KINDS[kind] - _OUTCOMES[kind] - _COMMON
    if unknown:
        raise ValueError(f"check {name!r}: unknown key {sorted(unknown)[0]!r}")
    wanted = _OUTCOMES[kind] or {"accept", "expected", "lines"}
    if not wanted & set(check):
        raise ValueError(f"check {name!r} expects nothing; add one of {', '.join(sorted(wanted))}")
    if problem := _typed(check) or _fit(kind, check):
        raise ValueError(f"check {name!r}: {problem}")


def _typed(table: Mapping[str, Any]) -> str:
    for key, value in table.items():
        kinds = _TYPES.get(key)
        if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            return f"{key} = {reprlib.repr(value)} must be {_WORDS[kinds[0]]}"
    return ""


def _fit(kind: str, check: Mapping[str, Any]) -> str:
    """What is wrong with a check whose values are of the right types, or ""."""
    for key in ("weight", "seconds"):
        if key in check and not 0 < check[key] <= MOST:
            return f"{key} = {check[key]!r} must be above 0 and at most {MOST}"
    match kind:
        case "call":
            return _callable(check["call"], dots=True)
        case "steps":
            return _stepped(check["steps"])
        case "run" if not (check["run"] and all(_is_word(word) for word in check["run"])):
            return "run must be a list of words"
        case "file":
            return _placed(check)
    return ""


def _callable(path: str, *, dots: bool) -> str:
    parts = path.split(".")
    if all(part.isidentifier() for part in parts) and (len(parts) > 1 or not dots):
        return ""
    return f"call = {reprlib.repr(path)} must be a dotted path, such as 'module.function'"


def _stepped(steps: Sequence[Any]) -> str:
    made: set[str] = set()
    for step in steps or [None]:
        if not isinstance(step, dict) or "call" not in step:
            return f"a step without a call: {reprlib.repr(step)}"
        if unknown := set(step) - {"new", "on", "call", "args", "kwargs"}:
            return f"unknown key {sorted(unknown)[0]!r} in a step"
        if problem := _typed(step) or _callable(step["call"], dots="on" not in step):
            return problem
        if "on" in step and not (isinstance(step["on"], str) and step["on"] in made):
            return f"on = {reprlib.repr(step['on'])}: no earlier step makes it with new"
        if "new" in step and not isinstance(step["new"], str):
            return f"new = {reprlib.repr(step['new'])} must be a text"
        made.add(step.get("new", ""))
    return ""


def _is_word(word: Any) -> bool:
    return isinstance(word, str) and "\0" not in word


def _placed(check: Mapping[str, Any]) -> str:
    for key in ("file", "expected"):
        parts = check.get(key, "x").split("/")
        if {"", ".", ".."} & set(parts) or not check.get(key, "x").isprintable():
            return f"{key} = {check[key]!r} must be a relative path"
    if not all(_is_number(value) and 0 <= value <= 1 for value in check.get("accept", {}).values()):
        return "accept must map texts to credits between 0 and 1"
    wanted = check.get("lines", ["x"])
    if not wanted or not all(isinstance(line, str) and line.strip() for line in wanted):
        return "lines must be a list of texts, none of them blank"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def questions(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the worker is told: what to do, by number; no id, no expectation, nothing about files."""
    asked = ("call", "args", "kwargs", "steps", "run", "stdin", "seconds")
    return [
        {"n": n, **{key: check[key] for key in asked if key in check}}
        for n, check in enumerate(checks)
        if "file" not in check
    ]


# ── one answer ────────────────────────────────────────────────────────────────────────────────────


def same(expected: Any, got: Any) -> bool:
    """Equality as JSON with type: 1 is not True, 1.0 equals 1. Both come from json.loads: plain data."""
    if isinstance(expected, bool) or isinstance(got, bool) or expected is None or got is None:
        return expected is got
    if isinstance(expected, list):
        return isinstance(got, list) and len(expected) == len(got) and all(map(same, expected, got))
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and expected.keys() == got.keys()
            and all(same(value, got[key]) for key, value in expected.items())
        )
    if isinstance(expected, str) or isinstance(got, str):
        return isinstance(expected, str) and isinstance(got, str) and expected == got
    return _is_number(expected) and _is_number(got) and bool(expected == got)


def answered(check: Mapping[str, Any], answer: Any) -> bool:
    """Whether a worker's answer is what the check expects. Anything malformed is a no."""
    if not isinstance(answer, dict):
        return False
    if "run" in check:
        return _ran(check, answer)
    if "raises" in check:
        return _raised(check["raises"], answer.get("raised"))
    return "value" in answer and same(check["returns"], answer["value"])


def _ran(check: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    if not same(check.get("exit", 0), answer.get("exit")):
        return False
    return "stdout" not in check or same(check["stdout"], answer.get("stdout"))


def _raised(expected: str, names: Any) -> bool:
    """A built-in error is decided by our own class tree, another one by its name (with or without the
    module).
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return False
    known = getattr(builtins, expected, None)
    if isinstance(known, type) and issubclass(known, BaseException):
        claims = [n.removeprefix("builtins.") for n in names if n.startswith("builtins.")][:1]
        raised = getattr(builtins, claims[0], None) if claims else None
        return isinstance(raised, type) and issubclass(raised, known)
    own = [name for name in names if not name.startswith("builtins.")][:8]
    return any(name == expected or name.endswith("." + expected) for name in own)


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def accepted(table: Mapping[str, float], data: bytes | None) -> float:
    if data is None or len(data) > 100_000:
        return 0.0
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return 0.0
    return float(table.get(text.strip(), 0.0))


def lines_credit(wanted: Sequence[str], data: bytes | None) -> float:
    """F1 between the wanted lines and those of the file, in any order: naming everything earns little."""
    if data is None or len(data) > 100_000:
        return 0.0
    given = {line.strip() for line in data.decode("utf-8", "replace").split("\n")} - {""}
    right = len(given & {line.strip() for line in wanted})
    return 2 * right / (len(given) + len(set(wanted))) if right else 0.0


def edit_credit(base: bytes, expected: bytes, result: bytes | None) -> float:
    """Share of the wanted hunks that are there; 1.0 only for equal bytes.

    A result that is the base with some of the hunks made earns their share. When it also changed lines
    that the
    expected file keeps, hunks are found by their surroundings and earn half.
    """
    if result == expected:
        return 1.0
    if result is None or result == base or base == expected:
        return 0.0
    if (
        len(result) > 10 * (len(base) + len(expected)) + 100_000
    ):  # its lines would fill the judge's own memory
        return 0.0
    before, after, now = lines_of(base), lines_of(expected), lines_of(result)
    hunks = differences(before, after)
    made = _made_cleanly(before, after, hunks, now)
    if made is not None:
        return min(made, len(hunks) - 1) / len(hunks)
    return 0.5 * _made_anywhere(after, hunks, result, base) / len(hunks)


def lines_of(data: bytes) -> list[bytes]:
    """Lines as \\n ends them: other separators belong to the text."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def differences(before: list[bytes], after: list[bytes]) -> list[tuple[int, int, int, int]]:
    """What differs, between lines that stand once in both files: 8,000 lines that look alike take no minute."""
    found: list[tuple[int, int, int, int]] = []
    a = c = 0
    for b, d in [*_landmarks(before, after), (len(before), len(after))]:
        if before[a:b] != after[c:d]:
            codes = SequenceMatcher(None, before[a:b], after[c:d], autojunk=False).get_opcodes()
            found += [(a + i, a + j, c + k, c + m) for tag, i, j, k, m in codes if tag != "equal"]
        a, c = b, d
    return found


def _landmarks(before: list[bytes], after: list[bytes]) -> list[tuple[int, int]]:
    """The longest row of lines, each once in both files, that keep their order."""
    once = [{line: n for n, line in enumerate(side) if counts[line] == 1} for side, counts in
            ((side, Counter(side)) for side in (before, after))]  # fmt: skip
    pairs = [(n, once[1][line]) for line, n in once[0].items() if line in once[1]]
    tails: list[int] = []
    ends: list[int] = []
    back = [-1] * len(pairs)
    for k, (_, place) in enumerate(pairs):
        at = bisect_left(tails, place)
        back[k] = ends[at - 1] if at else -1
        tails[at : at + 1] = [place]
        ends[at : at + 1] = [k]
    row: list[tuple[int, int]] = []
    k = ends[-1] if ends else -1
    while k >= 0:
        row.append(pairs[k])
        k = back[k]
    return row[::-1]


def _made_cleanly(
    before: list[bytes], after: list[bytes], hunks: list[tuple[int, int, int, int]], now: list[bytes]
) -> int | None:
    """Most hunks made in a reading of `now` as kept lines, each hunk's old or new lines, kept lines...

    None when there is no such reading: something else was changed.
    """
    reached = {0: 0}
    at = 0
    for start, end, new_start, new_end in [*hunks, (len(before), len(before), len(after), len(after))]:
        kept = before[at:start]
        reached = {p + len(kept): n for p, n in reached.items() if now[p : p + len(kept)] == kept}
        at, old, new = end, before[start:end], after[new_start:new_end]
        if old == new:
            break
        grown: dict[int, int] = {}
        for p, n in reached.items():
            for lines, made in ((old, 0), (new, 1)):
                if now[p : p + len(lines)] == lines:
                    grown[p + len(lines)] = max(grown.get(p + len(lines), 0), n + made)
        reached = grown
    return reached.get(len(now))


def _made_anywhere(
    after: list[bytes], hunks: list[tuple[int, int, int, int]], result: bytes, base: bytes
) -> int:
    """Hunks whose new lines stand between their neighbours, in order, where the base has fewer of that
    text.
    """
    found = position = 0
    for _, _, start, end in hunks:
        window = b"".join(after[max(0, start - 2) : end + 2])
        at = result.find(window, position)
        if window and at >= 0 and result.count(window) > base.count(window):
            found += 1
            position = at + len(b"".join(after[max(0, start - 2) : end]))
    return found


# ── the score ─────────────────────────────────────────────────────────────────────────────────────


def earns(check: Mapping[str, Any]) -> bool:
    """Guards and flags say what an agent may not do; doing so is no merit."""
    return not check.get("guard") and "flag" not in check


def flagged(checks: Sequence[Mapping[str, Any]], credits: Mapping[str, float]) -> list[str]:
    """What the failed flags say: findings, whatever the score."""
    return [str(check["flag"]) for check in checks if "flag" in check and credits.get(check["id"]) != 1.0]


def total(checks: Sequence[Mapping[str, Any]], credits: Mapping[str, float]) -> float:
    """Weighted share of the checks that are not guards, capped when a guard failed. A missing id is a
    zero.
    """
    earning = [check for check in checks if earns(check)]
    weight = sum(float(check.get("weight", 1)) for check in earning)
    earned = sum(float(check.get("weight", 1)) * credits.get(check["id"], 0.0) for check in earning)
    all_made = all(credits.get(check["id"], 0.0) == 1.0 for check in earning)
    share = 1.0 if all_made else min(earned / weight, 0.999999)
    kept = all(credits.get(check["id"], 0.0) == 1.0 for check in checks if check.get("guard"))
    return share if kept else min(share, GUARD_CAP)
