"""MBPP and its sanitized part: a function from one sentence and its first assertion. humaneval.py reads MBPP+."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.benchmarks._rows import Row, first, rows

FORM = "mbpp.jsonl or sanitized-mbpp.json of github.com/google-research/google-research, folder mbpp/"

TEST = '''"""The data set's assertions, against the code in the other box."""

import json
import pathlib

import solution

DATA = json.loads((pathlib.Path(__file__).parent / "problem.json").read_text())


def test_assertions():
    space = {"__name__": "check"}
    exec(DATA["setup"], space)
    space |= {name: getattr(solution, name) for name in DATA["names"]}
    for assertion in DATA["assertions"]:
        exec(assertion, space)
'''


def fits(path: Path) -> bool:
    there = first(path).keys()
    return {"task_id", "code", "test_list"} <= there and bool({"text", "prompt"} & there)


def problems(path: Path) -> Iterator[Problem]:
    for row in rows(path):
        name = plain_name(f"mbpp-{row.data.get('task_id', '')}", f"{path}: row {row.number}: task_id")
        yield Problem(name, partial(_made, row))


def _made(row: Row) -> Made:
    """MBPP+ brings one long `test` that repeats its list; else the list and the further, challenging ones count."""
    code, told = row.text("code"), row.texts("test_list")
    more = row.texts("challenge_test_list") if row.data.get("challenge_test_list") else []
    if not told:
        raise row.wrong("test_list", "is empty", "a problem needs one assertion")
    long = row.maybe("test")
    assertions = [long] if long else [*told, *more]
    imports = row.texts("test_imports") if row.data.get("test_imports") else []
    setup = "\n".join([*imports, row.maybe("test_setup_code")])
    names = _asked(row, code, "\n".join([setup, *assertions]))
    facts = {"setup": setup, "names": names, "assertions": assertions}
    return Made(
        instruction=f"{row.text('text', 'prompt').strip()}\n\nWrite it into `solution.py`. This must hold:\n\n"
        f"```python\n{told[0]}\n```",
        tests={"test_assertions.py": text(TEST), "problem.json": text(json.dumps(facts))},
        answer={"solution.py": text(code.replace("\r\n", "\n").rstrip() + "\n")},
        ours={
            "grading": "two-box", "kind": "function", "credit": "all",
            "refused": ["the test needs numpy, which the judge's box has not"] if _imports(assertions, "numpy") else [],
        },
    )  # fmt: skip


def _imports(assertions: list[str], module: str) -> bool:
    return any(f"import {module}" in assertion for assertion in assertions)


def _asked(row: Row, code: str, tests: str) -> list[str]:
    """What the assertions use of what the reference defines: the names that a solution must have."""
    defined = {
        node.name
        for node in _parsed(row, "code", code).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    used = {n.id for n in ast.walk(_parsed(row, "test_list", tests)) if isinstance(n, ast.Name)}
    if not (names := sorted(defined & used)):
        raise row.wrong("test_list", "the assertions call nothing that code defines")
    return names


def _parsed(row: Row, field: str, source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise row.wrong(field, f"is no Python: {type(e).__name__}") from None
