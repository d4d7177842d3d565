"""Judges a task by the checks.json beside it where sica is not. Made by bin/make_judge.py.

Expected values stay in this process; the agent's code runs in a worker, as nobody when this is root.
It is the weaker way: both share one container. Writes /logs/verifier/reward.json.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any
import builtins
import ctypes
import importlib
import json
import os
import reprlib
import select
import signal
import subprocess
import sys
import tempfile
import time

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


# ruff: noqa: PTH123



TYPE_CHECKING = False  # typing, pathlib and what only `_run` needs would cost every judgement 30 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ANSWER_BYTES = 1_000_000


def main(argv: list[str]) -> int:
    adopt_orphans()
    with open(argv[1], encoding="utf-8") as file:
        job = json.load(file)
    if any("run" in question for question in job["questions"]):
        for name in ("subprocess", "tempfile"):  # before the agent's directory is on the path
            importlib.import_module(name)
    with open(argv[2], "w", encoding="utf-8") as out:
        out.write(json.dumps({"nonce": job["nonce"]}) + "\n")
        out.flush()
        for question in job["questions"]:
            out.write(ask(question, job) + "\n")
            out.flush()
    return 0


def ask(question: Mapping[str, Any], job: Mapping[str, Any]) -> str:
    """One line: the child's answer when it is one, else how the child died."""
    question = {**question, **({"ahead": job["ahead"]} if "ahead" in job else {})}
    text, how = _in_child(question, job["workdir"], float(question.get("seconds", job["seconds"])))
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = {"died": how}
    if not isinstance(answer, dict):
        answer = {"died": "not an answer"}
    return json.dumps({**answer, "n": question["n"], "nonce": job["nonce"]})


def _in_child(question: Mapping[str, Any], workdir: str, seconds: float) -> tuple[str, str]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _answer_and_exit(question, workdir, writing)
    os.close(writing)
    child = os.pidfd_open(pid)
    data, how = _drain(reading, child, time.monotonic() + seconds)
    for fd in (reading, child):
        os.close(fd)
    end_children()
    return data.decode("utf-8", "replace"), how


def _drain(fd: int, child: int, deadline: float) -> tuple[bytes, str]:
    """The child's line. Its end counts, not that of the pipe: a daemon that it left may hold the other
    end.
    """
    data = b""
    while (left := deadline - time.monotonic()) > 0:
        ready = select.select([fd, child], [], [], left)[0]
        chunk = os.read(fd, 65536) if fd in ready else b""
        data += chunk
        if data.endswith(b"\n"):
            return data, ""
        if len(data) > ANSWER_BYTES:
            return b"", "answer too large"
        if ready and not chunk:
            return data, "ended without an answer"
    return b"", "too slow"


def adopt_orphans() -> None:
    """Become the parent of what the agent's code leaves behind, so that it can be ended:
    PR_SET_CHILD_SUBREAPER.
    """
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def end_children() -> None:
    """Kill until there are none: the orphans of the killed become children of this process."""
    while children := _children():
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
        return [int(child) for child in file.read().split()]


# ── in the child ──────────────────────────────────────────────────────────────────────────────────


def _answer_and_exit(question: Mapping[str, Any], workdir: str, fd: int) -> None:
    write, leave = os.write, os._exit  # kept before the agent's code can replace them
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.chdir(workdir)
    sys.path.insert(0, workdir)
    sys.dont_write_bytecode = True
    if "ahead" in question:
        later(question["ahead"])
    answer = _encode(_answer(question, workdir))
    while answer:
        answer = answer[write(fd, answer) :]
    leave(0)


def later(seconds: float) -> None:
    """Put the clock ahead, as Python tells it: whether a task is done may not depend on the day."""
    import datetime

    shift, real, local, universal = (
        datetime.timedelta(seconds=seconds),
        time.time,
        time.localtime,
        time.gmtime,
    )

    class Moment(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Moment:
            return super().now(tz) + shift

    class Day(datetime.date):
        @classmethod
        def today(cls) -> Day:
            return super().today() + shift

    time.time = lambda: real() + seconds
    time.time_ns = lambda: int(time.time() * 1e9)
    time.localtime = lambda secs=None: local(time.time() if secs is None else secs)
    time.gmtime = lambda secs=None: universal(time.time() if secs is None else secs)
    datetime.datetime, datetime.date = Moment, Day  # type: ignore[misc]


def _encode(answer: Mapping[str, Any]) -> bytes:
    """Only what JSON can say is a value: other objects, NaN and cycles are no answer."""
    try:
        text = json.dumps(_plain(answer, 0), allow_nan=False)
    except (TypeError, ValueError, RecursionError, OverflowError) as e:
        text = json.dumps({"unfit": type(e).__name__})
    return text.encode() + b"\n"


def _plain(value: Any, depth: int) -> Any:
    """Exact built-in types, made by the built-in's own methods: a subclass cannot bring its own behaviour."""
    if depth > 100:
        raise ValueError("too deep")
    if value is None or value is True or value is False:
        return value
    for base in (int, float, str):
        if isinstance(value, base):
            return _bare(base, value)
    if isinstance(value, list | tuple):
        walk = list.__iter__ if isinstance(value, list) else tuple.__iter__
        return [_plain(item, depth + 1) for item in walk(value)]  # type: ignore[arg-type]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in dict.keys(value)):
            raise TypeError("a key that is no text")
        return {_bare(str, key): _plain(item, depth + 1) for key, item in dict.items(value)}
    raise TypeError(type(value).__name__)


def _bare(base: Any, value: Any) -> Any:
    if type(value) is base:
        return value
    if base is str:
        return "".join(str.__iter__(value))
    return base.__pos__(value)


def _answer(question: Mapping[str, Any], workdir: str) -> dict[str, Any]:
    if "run" in question:
        return _run(question, workdir)
    try:
        if "steps" in question:
            return {"value": _steps(question["steps"])}
        function = _find(question["call"])
        return {"value": function(*question.get("args", ()), **question.get("kwargs", {}))}
    except BaseException as e:  # noqa: BLE001  # what the agent's code raises is the answer
        return {"raised": _names(type(e))}


def _run(question: Mapping[str, Any], workdir: str) -> dict[str, Any]:
    """The program's own output, exit code and end. It shares this child's deadline and its end."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as stdin:
        stdin.write(question.get("stdin", "").encode())
        stdin.seek(0)
        try:
            program = subprocess.Popen(
                question["run"],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=workdir,
                env={**os.environ, "PYTHONPATH": workdir, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        except OSError as e:
            return {"exit": 127, "stdout": "", "failed": type(e).__name__}
    assert program.stdout is not None
    text = program.stdout.read(ANSWER_BYTES // 4)
    program.stdout.close()  # a flood ends here, with the program's own SIGPIPE
    return {"exit": program.wait(), "stdout": text.decode("utf-8", "replace")}


def _steps(steps: list[Mapping[str, Any]]) -> list[Any]:
    made: dict[str, Any] = {}
    values = []
    for step in steps:
        target = getattr(made[step["on"]], step["call"]) if "on" in step else _find(step["call"])
        value = target(*step.get("args", ()), **step.get("kwargs", {})) if callable(target) else target
        if "new" in step:
            made[step["new"]], value = value, None
        values.append(value)
    return values


def _find(path: str) -> Any:
    """The longest importable prefix, then attributes: `pkg.mod.Class.method`."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as e:
            if e.name and (name == e.name or name.startswith(e.name + ".")) and cut > 1:
                continue
            raise
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(path)


def _names(kind: type) -> list[str]:
    """Own names first, then the nearest built-in one: a class cannot claim to be every error."""
    names: list[str] = []
    for each in type.mro(kind):
        if each.__module__ == "builtins":
            return [*names[:8], f"builtins.{each.__name__}"]
        names.append(f"{each.__module__}.{each.__qualname__}")
    return names[:8]


# ── the judge ─────────────────────────────────────────────────────────────────────────────────────

NOBODY = 65534


def judge(tests: Path, workdir: Path, reward: Path) -> None:
    checks = parse_checks((tests / "checks.json").read_text(encoding="utf-8"))
    base, expected = tests / "base", {}
    for check in checks:
        if "expected" in check:
            original = base / check["file"]
            kept = original.read_bytes() if original.is_file() else b""
            expected[check["id"]] = kept, (tests / check["expected"]).read_bytes()
    answers = ask_worker(questions(checks), tests, workdir)
    credits = {
        check["id"]: credit(check, answers.get(n), workdir, expected.get(check["id"]))
        for n, check in enumerate(checks)
    }
    reward.parent.mkdir(parents=True, exist_ok=True)
    written = reward.with_name(".reward.json")
    written.write_text(json.dumps({"reward": total(checks, credits)}))
    written.replace(reward)


def can_work(workdir: Path, user: Mapping[str, Any]) -> bool:
    probe = [sys.executable, "-I", "-c", "import json, sys; __import__('os').chdir(sys.argv[1])", str(workdir)]
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        return subprocess.run(probe, check=False, cwd="/", **quiet, **user).returncode == 0
    except PermissionError:
        return False


def credit(check: Mapping[str, Any], answer: Any, workdir: Path, edit: tuple[bytes, bytes] | None) -> float:
    if "file" not in check:
        return float(answered(check, answer))
    path = workdir / check["file"]
    left = path.read_bytes() if path.is_file() and workdir.resolve() in path.resolve().parents else None
    if "lines" in check:
        return lines_credit(check["lines"], left)
    return edit_credit(*edit, left) if edit else accepted(check["accept"], left)


def ask_worker(asked: list[dict[str, Any]], tests: Path, workdir: Path) -> dict[int, Any]:
    if not asked:
        return {}
    nonce = os.urandom(16).hex()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        job = {"nonce": nonce, "workdir": str(workdir), "seconds": 10, "questions": asked}
        (place / "questions").write_text(json.dumps(job))
        (place / "judge.py").write_bytes(Path(__file__).read_bytes())
        words = [str(place / name) for name in ("judge.py", "questions", "answers")]
        command = [sys.executable, "-I", *words]
        user: dict[str, Any] = {}
        if os.getuid() == 0:
            tests.chmod(0o700)
            for path in (place, workdir, *place.rglob("*"), *workdir.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            if not can_work(workdir, user):
                user = {}  # a Python or a workdir that nobody may reach, in root's home: share our user
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, cwd=place, **user)
        answers = place / "answers"
        text = answers.read_bytes() if answers.is_file() and not answers.is_symlink() else b""
    found: dict[int, Any] = {}
    for line in text.split(b"\n"):
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(answer, dict) and answer.get("nonce") == nonce and type(answer.get("n")) is int:
            found[answer["n"]] = answer
    return found


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.exit(main(sys.argv))
    log = Path(os.environ.get("REWARD_FILE", "/logs/verifier/reward.json"))
    judge(Path(__file__).resolve().parent, Path.cwd(), log)
