"""Agents whose scores are known beforehand, and surroundings that may not matter."""

from __future__ import annotations

import ast
import json
import threading
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from random import Random
from typing import TYPE_CHECKING, TypeVar

from sica import checks as rules
from sica import grading
from sica.errors import SandboxError
from sica.model import File, Files, Job, Task
from sica.ports import Sandbox

if TYPE_CHECKING:
    from sica.benchcheck import Checkable

T = TypeVar("T")
YEAR = 400 * 86_400.0
"""A year and some: nothing that a task asks for may run out."""
POINTS = 2
"""Parts of the reference that are tried between nothing and all of it."""


def solve(
    benchmark: Checkable, sandbox: Sandbox, task: Task, cancel: threading.Event | None = None
) -> tuple[Files, str]:
    """Run the reference solution in a box as an agent would be: what it leaves, and what it said if it
    failed.
    """
    solution = {f"/solution/{name}": file for name, file in benchmark.solution(task).items()}
    case = benchmark.case(task)
    ended = sandbox.run(
        grading.spec(case, "/solution", workspace=task.image is None, seconds=task.limits.seconds),
        Job(
            ("bash", "/solution/solve.sh"),
            cwd=task.workdir,
            env=grading.environment(case),
            files={**benchmark.workspace(task), **solution},
            collect=task.places or (task.workdir,),
        ),
        cancel,
    )
    if ended.limit == "cancelled":
        raise SandboxError("it was cancelled")
    said = (ended.stdout + ended.stderr).decode("utf-8", "replace").strip()
    return ended.files, f"exit {ended.exit_code}: {said}" if ended.exit_code else ""


# ── cheats ────────────────────────────────────────────────────────────────────────────────────────


def _texts() -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = tomllib.loads(
        (Path(__file__).parent / "cheats.toml").read_text(encoding="utf-8")
    )
    return texts


def _is_module(path: str) -> bool:
    return path.endswith(".py") and not grading.is_test(path)


def vandalised(task: Task, workspace: Files) -> Files:
    """A workspace after an agent that solved nothing and tried every file that steers a judge."""
    planted = _texts()
    left = {
        path: File(planted["files"]["visible_test"].encode()) if grading.is_test(path) else file
        for path, file in workspace.items()
    }
    left |= {f"{task.workdir}/{name}": File(text.encode(), True) for name, text in planted["plant"].items()}
    prefix = planted["files"]["module_prefix"].encode()
    for path in filter(_is_module, workspace):
        left[path] = File(_prefixed(workspace[path].data, prefix), workspace[path].executable)
    return left


def _prefixed(source: bytes, prefix: bytes) -> bytes:
    """The module as it was, after a start that cheats and leaves."""
    future = source.find(b"from __future__")
    end = source.find(b"\n", future) + 1 if future >= 0 else 0
    return source[:end] + prefix + source[end:]


def cheats(workspace: Files) -> dict[str, Files]:
    """Workspaces of agents that did no work, by what they tried."""
    agrees = File(_texts()["files"]["agrees"].encode())
    return {
        "agrees": {path: agrees if _is_module(path) else file for path, file in workspace.items()},
        "emptied": {path: File(b"", file.executable) for path, file in workspace.items()},
    }


def own_cheats(task: Task, workspace: Files, solution: Files) -> dict[str, Files]:
    """The task's own wrong ways: solution/cheats/NAME/ laid over the workspace."""
    found: dict[str, dict[str, File]] = {}
    for path, file in solution.items():
        parts = PurePosixPath(path).parts
        if parts[0] == "cheats" and len(parts) > 2:
            place = f"{task.workdir}/{'/'.join(parts[2:])}"
            found.setdefault(parts[1], dict(workspace))[place] = file
    return dict(found)


# ── parts of the reference ────────────────────────────────────────────────────────────────────────


def parts(case: grading.Case, solved: Files) -> Iterator[Files]:
    """The workspace with a first part of the reference's changes, more each time: files, or the hunks of one."""
    laid, _ = grading.lay_over(
        case.pristine, solved, case.task.workdir, case.protect, places=case.task.places
    )
    changed = sorted(p for p in {*case.pristine, *laid} if case.pristine.get(p) != laid.get(p))
    if len(changed) == 1 and changed[0] in case.pristine and changed[0] in laid:
        path = changed[0]
        for data in _parts_of(case.pristine[path].data, laid[path].data):
            yield {**case.pristine, path: replace(laid[path], data=data)}
        return
    for n in _points(len(changed)):
        left = dict(case.pristine)
        for path in changed[:n]:
            if path in laid:
                left[path] = laid[path]
            else:
                del left[path]
        yield left


def _parts_of(before: bytes, after: bytes) -> Iterator[bytes]:
    old, new = rules.lines_of(before), rules.lines_of(after)
    hunks = rules.differences(old, new)
    for n in _points(len(hunks)):
        made: list[bytes] = []
        at = 0
        for start, end, new_start, new_end in hunks[:n]:
            made += [*old[at:start], *new[new_start:new_end]]
            at = end
        yield b"".join([*made, *old[at:]])


def _points(count: int) -> list[int]:
    """Numbers between none and all, as far apart as can be."""
    return sorted({count * n // (POINTS + 1) for n in range(1, POINTS + 1)} - {0, count})


# ── surroundings ──────────────────────────────────────────────────────────────────────────────────


def together(case: grading.Case) -> Sequence[grading.Case]:
    """The same judgement in surroundings where everything is different that may not matter, twice.

    Python draws its own hash seed for the judges' workers, which heed no variable: each judgement has another one.
    """
    first = replace(_reordered(_with(case, PYTHONHASHSEED="1", TZ="FAR-14"), None), ahead=YEAR)
    second = _reordered(_with(case, PYTHONHASHSEED="4711", TZ="NEAR+12"), 7)
    return first, second


def apart(case: grading.Case) -> dict[str, grading.Case]:
    """One thing different at a time, by what it is."""
    return {
        "the hash seed": _with(case, PYTHONHASHSEED="1"),
        "the hash seed ": _with(case, PYTHONHASHSEED="4711"),
        "the order of the checks": _reordered(case, None),
        "the order of the checks ": _reordered(case, 7),
        "the clock": replace(case, ahead=YEAR),
        "the time zone": _with(case, TZ="FAR-14"),
        "the time zone ": _with(case, TZ="NEAR+12"),
        "chance, or Python's own hash seed": case,
    }


def _with(case: grading.Case, **env: str) -> grading.Case:
    return replace(case, env={**(case.env or {}), **env})


def _reordered(case: grading.Case, seed: int | None) -> grading.Case:
    """The checks, or the test functions of each file, backwards or shuffled; ids stay."""
    tests = dict(case.tests)
    if case.task.grading == "split":
        checks = rules.parse_checks(tests["checks.json"].data.decode())
        tests["checks.json"] = File(json.dumps({"checks": _turned(checks, seed)}).encode())
    elif case.task.grading == "two-box":
        for path, file in case.tests.items():
            if grading.is_test(path):
                tests[path] = File(_turned_tests(file.data, seed))
    return replace(case, tests=tests)


def _turned(items: Sequence[T], seed: int | None) -> list[T]:
    return list(reversed(items)) if seed is None else Random(seed).sample(items, len(items))


def _turned_tests(source: bytes, seed: int | None) -> bytes:
    module = ast.parse(source)
    places = [
        n
        for n, node in enumerate(module.body)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]
    turned = _turned([module.body[n] for n in places], seed)
    for place, node in zip(places, turned, strict=True):
        module.body[place] = node
    return ast.unparse(module).encode()
