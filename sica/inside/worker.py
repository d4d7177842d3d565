"""Answers the split judge's questions with the agent's code. Runs in a box; holds no expected value.

    python3 -I worker.py QUESTIONS ANSWERS

Each question is answered in a forked child with its own time limit, so that a hang, an os._exit or a
flood in one
costs that one. This process never imports the agent's code.
"""

# ruff: noqa: PTH123

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import sys
import time

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


if __name__ == "__main__":
    sys.exit(main(sys.argv))
