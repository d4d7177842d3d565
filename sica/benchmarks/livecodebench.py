"""LiveCodeBench: programs that read stdin, and functions of a class. Its pickles are read as plain data."""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickle
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.benchmarks._rows import Row, first, rows

FORM = "test.jsonl to test6.jsonl of the data set livecodebench/code_generation_lite"
FIELDS = {"question_id", "question_content", "public_test_cases", "private_test_cases"}
UNPACKED_BYTES = 512 << 20
OUTPUT_BYTES = 240_000
"""Of what a program may print and of what a function may return in the judge's box."""
LEVELS = {"easy": 1, "medium": 2, "hard": 3}
HEAD = "from typing import *\n\n\n"


def fits(path: Path) -> bool:
    return first(path).keys() >= FIELDS


def problems(path: Path) -> Iterator[Problem]:
    for row in rows(path):
        name = plain_name(row.text("question_id"), f"{path}: row {row.number}: question_id")
        yield Problem(name, partial(_made, row))


def _made(row: Row) -> Made:
    cases = [*_cases(row, "public_test_cases"), *_cases(row, "private_test_cases")]
    if not cases:
        raise row.wrong("public_test_cases", "there is no test")
    kinds = {case["testtype"] for case in cases}
    if len(kinds) > 1:
        raise row.wrong("public_test_cases", "mixes stdin and functional tests")
    made = _functional(row, cases) if kinds == {"functional"} else _stdin(row, cases)
    level = LEVELS.get(str(row.data.get("difficulty")), 1)
    too_long = any(len(case["output"]) > OUTPUT_BYTES for case in cases)
    refused = ["an expected output is longer than the judge reads"] if too_long else []
    ours = {"kind": "contest", "credit": "all", "level": level, "refused": refused}
    return Made(
        instruction=made.instruction,
        workspace=made.workspace,
        tests=made.tests,
        ours={**made.ours, **ours},
        judge_seconds=600.0,
        memory_mb=1024,
    )


def _cases(row: Row, field: str) -> list[dict[str, str]]:
    found = _unpacked(row, field)
    for case in found:
        good = isinstance(case, dict) and all(
            isinstance(case.get(key), str) for key in ("input", "output", "testtype")
        )
        if not good or case["testtype"] not in ("stdin", "functional"):
            raise row.wrong(field, f"a test without input, output and testtype: {str(case)[:60]}")
    return found


def _unpacked(row: Row, field: str) -> list[Any]:
    """JSON, or base64 of zlib of a pickle of JSON text."""
    packed = row.data.get(field)
    if packed is None or isinstance(packed, list):
        return packed or []
    try:
        found = json.loads(row.text(field))
    except (ValueError, RecursionError):
        found = _unpickled(row, field)
    if not isinstance(found, list):
        raise row.wrong(field, "holds no list of tests")
    return found


def _unpickled(row: Row, field: str) -> Any:
    try:
        engine = zlib.decompressobj()
        data = engine.decompress(base64.b64decode(row.text(field), validate=True), UNPACKED_BYTES)
        if engine.unconsumed_tail:
            raise row.wrong(field, f"unpacks to more than {UNPACKED_BYTES} bytes")
        plain = _Plain(io.BytesIO(data)).load()
        return json.loads(plain) if isinstance(plain, str) else plain
    except (binascii.Error, zlib.error, pickle.UnpicklingError, ValueError, EOFError, RecursionError) as e:
        raise row.wrong(
            field, f"cannot be unpacked: {type(e).__name__}: {str(e)[:80]}", "fetch the file again"
        ) from None
    except (
        LookupError,
        TypeError,
        AttributeError,
        MemoryError,
        OverflowError,
    ) as e:  # a broken pickle's own words
        raise row.wrong(field, f"cannot be unpacked: {type(e).__name__}", "fetch the file again") from None


class _Plain(pickle.Unpickler):
    """Text, numbers, lists and tables; a pickle that names any class or function is refused before it is called."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any, /) -> NoReturn:
        del pid
        raise pickle.UnpicklingError("it names a persistent object")


def _stdin(row: Row, cases: Sequence[dict[str, str]]) -> Made:
    rules = {
        "run": ["python3", "solution.py"],
        "cases": [{"stdin": case["input"], "stdout": case["output"]} for case in cases],
    }
    return Made(
        instruction=f"{_told(row)}\n\nWrite a Python program into `solution.py` that reads the input from standard "
        f"input and prints the output.{_examples(row)}",
        tests={"cases.json": text(json.dumps(rules))},
        ours={"grading": "cases"},
    )


def _functional(row: Row, cases: Sequence[dict[str, str]]) -> Made:
    metadata = row.json("metadata") if isinstance(row.data.get("metadata"), str) else row.data.get("metadata")
    name = metadata.get("func_name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name.isidentifier():
        raise row.wrong("metadata", "names no func_name for functional tests")
    checks = [
        {
            "id": f"{n}",
            "steps": [
                {"new": "s", "call": "solution.Solution"},
                {"on": "s", "call": name, "args": _values(row, case["input"])},
            ],
            "returns": [None, _values(row, case["output"], most=1)[0]],
        }
        for n, case in enumerate(cases)
    ]
    return Made(
        instruction=f"{_told(row)}\n\nComplete the class `Solution` in `solution.py`.",
        workspace={"solution.py": text(HEAD + row.text("starter_code").rstrip() + "\n")},
        tests={"checks.json": text(json.dumps({"checks": checks}))},
        ours={"grading": "split"},
    )


def _values(row: Row, lines: str, most: int | None = None) -> list[Any]:
    """One JSON value a line: the arguments, or the one result."""
    try:
        found = [json.loads(line) for line in lines.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        raise row.wrong("private_test_cases", f"a value that is no JSON: {lines[:60]!r}") from None
    if most is not None and len(found) != most:
        raise row.wrong("private_test_cases", f"{len(found)} results: {lines[:60]!r}", "one a test")
    return found


def _told(row: Row) -> str:
    return f"# {row.maybe('question_title') or row.text('question_id')}\n\n{row.text('question_content').strip()}"


def _examples(row: Row) -> str:
    shown = _cases(row, "public_test_cases")
    return "".join(
        f"\n\nInput:\n\n```\n{case['input'].strip()}\n```\n\nOutput:\n\n```\n{case['output'].strip()}\n```"
        for case in shown[:3]
    )
