"""A plugin for a repository's own tests, while tasks are made of it: what each test did, and which lines it ran.

    python3 -m pytest -p tested ...     TESTED names a file of JSON with settings; what was seen goes beside it.

Sent into the box alone; standard library and pytest only.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

SETTINGS = json.loads(pathlib.Path(os.environ["TESTED"]).read_text(encoding="utf-8"))
"""{"root", "watched": [files below root], "seconds": for one test, "order": a seed, "reversed" or null,
"ahead": seconds of the clock, "crowded": bool, "report"}"""

MESSAGE = 600
MOST_TESTS = 300
"""A line that more of them run is let be: asking them all is dear, and many would fail at once."""
REPORT = pathlib.Path(SETTINGS["report"])
"""Made now: a test may replace what it would be made with."""

tests: dict[str, dict[str, Any]] = {}
broken: list[str] = []
lines: dict[str, dict[int, dict[int, int]]] = {name: {} for name in SETTINGS["watched"]}
"""file -> line -> number of the test -> how many calls deep it was first met."""
numbers: dict[str, int] = {}


class OutOfTime(BaseException):
    """A test took more than its seconds; no `except Exception` of a test stops it."""


def _ring(*_: object) -> None:
    raise OutOfTime


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SETTINGS["order"] == "reversed":
        items.reverse()
    elif SETTINGS["order"] is not None:
        random.Random(SETTINGS["order"]).shuffle(items)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        broken.append(report.nodeid)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, SETTINGS["seconds"])
    tracer = Tracer(numbers.setdefault(item.nodeid, len(numbers))) if lines else None
    if tracer:
        tracer.start()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if tracer:
            tracer.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    outcome = yield
    report = outcome.get_result()
    told = tests.setdefault(item.nodeid, {"outcome": "passed", "seconds": 0.0})
    told["seconds"] += call.duration
    if report.outcome == "passed" or told["outcome"] == "failed":
        return
    told["outcome"] = report.outcome
    if call.excinfo is not None and report.failed:
        entry = next((e for e in reversed(list(call.excinfo.traceback)) if e.path == item.path), None)
        told.update(
            when=report.when,
            kind=call.excinfo.type.__name__,
            message=_short(str(call.excinfo.value)),
            statement=_short(str(entry.statement).strip()) if entry else "",
        )


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]} ..."


def pytest_sessionfinish() -> None:
    seen = {
        name: {line: [*by.items()] for line, by in found.items() if len(by) <= MOST_TESTS}
        for name, found in lines.items()
    }
    told = json.dumps({"tests": tests, "broken": broken, "numbers": list(numbers), "lines": seen})
    REPORT.write_text(told, encoding="utf-8")


def _later(seconds: float) -> None:
    """Put the clock ahead, as Python tells it; files keep the times that the system gives them."""
    with contextlib.suppress(ImportError):
        importlib.import_module("time_machine")  # what it takes hold of are C functions, or Python dies
    shift = datetime.timedelta(seconds=seconds)
    real, local, universal = time.time, time.localtime, time.gmtime

    class Kind(type):
        """What the original is asked for is still so: dates also come out of code that is not Python."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, originals[cls]) if cls in originals else super().__instancecheck__(value)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, originals[cls]) if cls in originals else super().__subclasscheck__(kind)

    class Moment(datetime.datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return super().now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return super().utcnow() + shift

        def __repr__(self) -> str:
            return f"{'datetime.' if type(self) in originals else ''}{super().__repr__()}"

    class Day(datetime.date, metaclass=Kind):
        @classmethod
        def today(cls) -> Any:
            return super().today() + shift

        def __repr__(self) -> str:
            return f"{'datetime.' if type(self) in originals else ''}{super().__repr__()}"

    originals: dict[type, type] = {Moment: datetime.datetime, Day: datetime.date}
    for made, original in originals.items():
        made.__name__ = made.__qualname__ = original.__name__
        made.__module__ = original.__module__
    time.time = lambda: real() + seconds
    time.time_ns = lambda: int(time.time() * 1e9)
    time.localtime = lambda secs=None: local(time.time() if secs is None else secs)
    time.gmtime = lambda secs=None: universal(time.time() if secs is None else secs)
    datetime.datetime, datetime.date = Moment, Day  # type: ignore[misc]


def _crowd() -> None:
    """Stay on one processor and share it with a program that never rests; both end with the box."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    subprocess.Popen([sys.executable, "-c", "while True: pass"])


class Tracer:
    """Lines of the watched files that run while one test does, in every thread that it starts."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.depth = threading.local()

    def start(self) -> None:
        threading.settrace(self.called)
        sys.settrace(self.called)

    def stop(self) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def called(self, frame: Any, _event: str, _arg: object) -> Any:
        found = _watched(frame.f_code.co_filename)
        if found is None:
            return None
        depth = self.depth.value = getattr(self.depth, "value", 0) + 1
        number = self.number

        def step(frame: Any, event: str, _arg: object) -> Any:
            if event == "line":
                by = found.setdefault(frame.f_lineno, {})
                if len(by) <= MOST_TESTS and depth < by.get(number, depth + 1):
                    by[number] = depth
            elif event == "return":
                self.depth.value = depth - 1
            return step

        return step


_KNOWN: dict[str, dict[int, dict[int, int]] | None] = {}


def _watched(filename: str) -> dict[int, dict[int, int]] | None:
    try:
        return _KNOWN[filename]
    except KeyError:
        root = SETTINGS["root"] + "/"
        path = os.path.abspath(filename)  # noqa: PTH100  links are not followed: a name is compared
        _KNOWN[filename] = lines.get(path[len(root) :]) if path.startswith(root) else None
        return _KNOWN[filename]


if SETTINGS["ahead"]:
    _later(SETTINGS["ahead"])
if SETTINGS["crowded"]:
    _crowd()
