"""Run at the start of a module while a task is checked: notes which lines of it can run, and which do.

One line of text for each, `path NUL number` with a minus before the number of a line that can: written at once, because
a judge's processes end without farewell. Sent into the box alone; standard library only.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

NOTES = "/judge/lines"
frame: FrameType = globals()["given"]
"""The module's own, from whoever runs this text."""

known: dict[str, str] = sys.__dict__.setdefault("_watched_files", {})
left: dict[int, tuple[CodeType, set[int]]] = {}
noted: set[tuple[str, int]] = sys.__dict__.setdefault("_watched_lines", set())


def note(filename: str, *lines: int) -> None:
    new = [line for line in lines if (filename, line) not in noted]
    if new:
        noted.update((filename, line) for line in new)
        with open(NOTES, "a", encoding="utf-8") as file:  # noqa: PTH123  pathlib is not loaded in every program
            file.write("".join(f"{known[filename]}\0{line}\n" for line in new))


def own(code: CodeType) -> Iterator[int]:
    """A body begins on a line that is its surroundings' own."""
    inner = code.co_name != "<module>"
    return (n for _, _, n in code.co_lines() if n and not (inner and n == code.co_firstlineno))


def possible(code: CodeType) -> Iterator[int]:
    """Of all that is inside too."""
    yield from own(code)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from possible(each)


def step(at: FrameType, event: str, _arg: object) -> Any:
    """Until there is nothing to learn of this code any more: a watched loop is slow."""
    if event == "line":
        note(at.f_code.co_filename, at.f_lineno)
        unseen(at.f_code).discard(at.f_lineno)
    return step if unseen(at.f_code) else None


def called(at: FrameType, _event: str, _arg: object) -> Any:
    return step if at.f_code.co_filename in known and unseen(at.f_code) else None


def unseen(code: CodeType) -> set[int]:
    """By identity, and kept: equal code may stand in two places."""
    if id(code) not in left:
        left[id(code)] = code, {*own(code)}
    return left[id(code)][1]


name = frame.f_code.co_filename
known[name] = os.path.abspath(name)  # noqa: PTH100  a link stays what it is called
note(name, *(-n for n in sorted({*possible(frame.f_code)}) if n > frame.f_lineno))
frame.f_trace = step
sys.settrace(called)
threading.settrace(called)
