"""HumanEval, and HumanEval+ and MBPP+ of EvalPlus: one function to write, judged from a box that it never sees."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.benchmarks._rows import Row, first, rows

FORM = (
    "HumanEval.jsonl(.gz) of github.com/openai/human-eval, folder data/; "
    "HumanEvalPlus.jsonl(.gz) and MbppPlus.jsonl(.gz) of the releases of github.com/evalplus"
)
FIELDS = {"task_id", "prompt", "entry_point", "canonical_solution"}

BASE = '''"""The authors' check, against the function in the other box; helpers of the prompt are the prompt's own."""

import json
import pathlib

import solution

DATA = json.loads((pathlib.Path(__file__).parent / "problem.json").read_text())


def test_check():
    space = {"__name__": "check"}
    exec(DATA["prompt"], space)
    candidate = space[DATA["entry_point"]] = getattr(solution, DATA["entry_point"])
    exec(DATA["test"], space)
    space["check"](candidate)
'''

PLUS = '''"""The reference's own answers, made here, against those of the function in the other box."""

import copy
import json
import math
import pathlib

import solution

DATA = json.loads((pathlib.Path(__file__).parent / "problem.json").read_text())


# What EvalPlus compares in another way, by the name of the function.
SETS = {"similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum"}
SETS |= {"intersection_array", "find_dissimilar", "Diff"}
FOUND = {"check_str", "text_match_three", "text_starta_endb"}


def same(expected, got, atol):
    if DATA["entry_point"] in SETS:
        return set(expected) == set(got)
    if DATA["entry_point"] in FOUND and not isinstance(got, bool):
        return bool(expected) == (got is not None)
    if isinstance(expected, float) and not atol:
        atol = 1e-6
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        if type(expected) is not type(got) or len(expected) != len(got):
            return False
        if expected and all(isinstance(each, float) for each in expected):
            atol = atol or 1e-6
        return expected == got or bool(atol) and all(near(a, b, atol) for a, b in zip(expected, got))
    return expected == got or bool(atol) and near(expected, got, atol)


def near(expected, got, atol):
    plain = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (expected, got))
    return plain and (expected == got or math.isclose(expected, got, rel_tol=1e-7, abs_tol=atol))


def test_inputs():
    space = {"__name__": "reference"}
    exec(DATA["prompt"] + DATA["canonical_solution"], space)
    reference, candidate = space[DATA["entry_point"]], getattr(solution, DATA["entry_point"])
    compared = 0
    for given in DATA["inputs"]:
        try:
            expected = reference(*copy.deepcopy(given))
        except Exception:
            continue  # JSON has no tuples and sets: what the reference itself cannot take is no input
        got = candidate(*copy.deepcopy(given))
        compared += 1
        if DATA["entry_point"] == "find_zero":  # any root will do
            assert abs(space["poly"](*copy.deepcopy(given), got)) <= DATA["atol"], given
        else:
            assert same(expected, got, DATA["atol"]), given
    assert compared
'''


def fits(path: Path) -> bool:
    return first(path).keys() >= FIELDS


def problems(path: Path) -> Iterator[Problem]:
    for row in rows(path):
        name = plain_name(row.text("task_id"), f"{path}: row {row.number}")
        yield Problem(name, partial(_made, row))


def _made(row: Row) -> Made:
    prompt, entry, reference = row.text("prompt"), row.text("entry_point"), row.text("canonical_solution")
    _defines(row, prompt + reference, entry)
    plus = row.data.get("plus_input") is not None
    facts: dict[str, Any] = {"prompt": prompt, "entry_point": entry}
    tests = {}
    if plus:
        facts |= {
            "canonical_solution": reference,
            "inputs": _inputs(row),
            "atol": row.number_of("atol", 0),
        }
        tests["test_inputs.py"] = text(PLUS)
    elif row.maybe("test"):
        facts["test"] = row.text("test")
        tests["test_check.py"] = text(BASE)
    if not tests:
        raise row.wrong("test", "there is neither a test nor plus_input", "take the file that has the tests")
    return Made(
        instruction=f"Write the function `{entry}` in `solution.py`. What it must do stands there.",
        workspace={"solution.py": text(prompt.rstrip() + "\n")},
        tests={**tests, "problem.json": text(json.dumps(facts))},
        answer={"solution.py": text(prompt + reference)},
        ours={"grading": "two-box", "kind": "function", "credit": "all"},
    )


def _inputs(row: Row) -> list[list[object]]:
    """Base inputs and further ones; each is the list of one call's arguments."""
    found = [given for field in ("base_input", "plus_input") for given in row.list_of(field)]
    if odd := [given for given in found if not isinstance(given, list)]:
        raise row.wrong("plus_input", f"{odd[0]!r:.60} is no list of arguments")
    return found


def _defines(row: Row, code: str, name: str) -> None:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise row.wrong("canonical_solution", f"is no Python behind the prompt: {type(e).__name__}") from None
    if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
        raise row.wrong("entry_point", f"{name!r} is not defined by prompt and canonical_solution")
