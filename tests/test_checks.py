"""The split judge compares data, and counts hunks."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sica.checks import (
    answered,
    edit_credit,
    flagged,
    lines_credit,
    parse_checks,
    questions,
    same,
    total,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_a_value_is_the_same_after_a_crossing(value: Any) -> None:
    assert same(value, json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1, True),
        (0, False),
        (True, 1),
        (None, False),
        (1, "1"),
        ([], {}),
        ([1], [1, 1]),
        ({"a": 1}, {"a": True}),
        ("", None),
    ],
)
def test_types_are_part_of_a_value(expected: Any, got: Any) -> None:
    assert not same(expected, got)


def test_one_is_one() -> None:
    assert same(1, 1.0)
    assert same([{"a": [2.0]}], [{"a": [2]}])


@pytest.mark.parametrize(
    ("expected", "names", "is_so"),
    [
        ("ValueError", ["builtins.ValueError"], True),
        ("LookupError", ["builtins.KeyError"], True),
        ("KeyError", ["builtins.LookupError"], False),
        ("ValueError", ["app.ParseError", "builtins.ValueError"], True),
        ("ParseError", ["app.ParseError", "builtins.ValueError"], True),
        ("app.ParseError", ["app.ParseError", "builtins.ValueError"], True),
        ("ValueError", ["app.ValueError", "builtins.Exception"], False),
        ("ValueError", ["builtins.KeyError", "builtins.ValueError"], False),
        ("ValueError", "builtins.ValueError", False),
        ("ValueError", [7], False),
    ],
)
def test_an_error_is_judged_by_our_own_class_tree(expected: str, names: Any, is_so: bool) -> None:
    assert answered({"id": "x", "call": "a.b", "raises": expected}, {"raised": names}) is is_so


@pytest.mark.parametrize("answer", [None, 1, [], {}, {"died": "x"}, {"unfit": "TypeError"}, {"raised": []}])
def test_no_answer_is_a_no(answer: Any) -> None:
    assert not answered({"id": "x", "call": "a.b", "returns": None}, answer)


def test_the_worker_is_told_no_expectation() -> None:
    checks = parse_checks(
        json.dumps(
            {
                "checks": [
                    {"id": "secret-name", "call": "a.b", "args": [1], "returns": "hidden-value"},
                    {"id": "f", "file": "x", "accept": {"hidden-answer": 1}},
                    {"id": "r", "run": ["x"], "stdout": "hidden-output"},
                ]
            }
        )
    )
    told = json.dumps(questions(checks))
    assert "hidden" not in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "broken JSON"),
        ("[]", "checks"),
        ('{"checks": []}', "at least one"),
        ('{"checks": [{"call": "a.b"}]}', "without an id"),
        ('{"checks": [{"id": "x", "call": "a.b"}]}', "'x' expects nothing"),
        ('{"checks": [{"id": "x", "call": "a.b", "run": ["y"], "returns": 1}]}', "exactly one"),
        ('{"checks": [{"id": "x", "call": "a.b", "retruns": 1}]}', "unknown key 'retruns'"),
        ('{"checks": [{"id": "x", "call": "a.b", "returns": 1, "weight": 0}]}', "weight = 0"),
        ('{"checks": [{"id": "x", "call": "a.b", "returns": 1, "guard": true}]}', "every check is a guard"),
        ('{"checks": [{"id": "x", "file": "a", "accept": {"b": 2}}]}', "between 0 and 1"),
    ],
)
def test_a_bad_file_of_checks_is_refused(document: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_checks(document)


def test_a_failed_guard_caps_and_a_missing_id_is_a_zero() -> None:
    checks: list[dict[str, Any]] = [{"id": "a", "weight": 3}, {"id": "b"}, {"id": "g", "guard": True}]
    assert total(checks, {"a": 1.0, "b": 1.0, "g": 1.0}) == 1.0
    assert total(checks, {"a": 1.0, "b": 1.0, "g": 0.0}) == 0.3
    assert total(checks, {"a": 1.0, "b": 1.0}) == 0.3
    assert total(checks, {"a": 1.0, "g": 1.0}) == 0.75


# ── hunks ─────────────────────────────────────────────────────────────────────────────────────────

BASE = [f"line {n}\n".encode() for n in range(40)]


def made(hunks: set[int]) -> bytes:
    """The base with the chosen ones of four different edits."""
    lines: list[bytes] = []
    for n, line in enumerate(BASE):
        if n == 5 and 0 in hunks:
            lines.append(b"changed five\n")
        elif n in (12, 13) and 1 in hunks:
            continue
        else:
            lines.append(line)
        if n == 20 and 2 in hunks:
            lines += [b"new one\n", b"new two\n"]
        if n == 30 and 3 in hunks:
            lines.append(b"last\n")
    return b"".join(lines)


WANTED = made({0, 1, 2, 3})
hunk_sets = st.sets(st.integers(0, 3))


@given(hunk_sets, hunk_sets)
def test_more_hunks_never_earn_less(some: set[int], others: set[int]) -> None:
    few, more = (
        edit_credit(made(set()), WANTED, made(some)),
        edit_credit(made(set()), WANTED, made(some | others)),
    )
    assert few <= more
    assert few == len(some) / 4


@given(hunk_sets, st.integers(0, 60), st.binary(min_size=1, max_size=5))
def test_other_changes_never_earn_more(hunks: set[int], at: int, junk: bytes) -> None:
    clean = made(hunks)
    lines = clean.split(b"\n")
    lines[at % len(lines)] += b"#" + junk
    spoiled = edit_credit(made(set()), WANTED, b"\n".join(lines))
    assert spoiled <= max(edit_credit(made(set()), WANTED, clean), 0.5)
    assert spoiled <= 0.5 or spoiled < 1.0


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=200))
def test_full_credit_is_for_equal_bytes_only(base: bytes, wanted: bytes, result: bytes) -> None:
    credit = edit_credit(base, wanted, result)
    assert 0.0 <= credit <= 1.0
    assert (credit == 1.0) == (result == wanted)


def test_lines_changed_that_should_stay_halve_the_credit() -> None:
    assert edit_credit(made(set()), WANTED, WANTED.replace(b"line 35", b"line XX")) == 0.5


def test_lost_line_ends_are_no_edit() -> None:
    assert edit_credit(made(set()), WANTED, WANTED.replace(b"\n", b"\r\n")) == 0.0


def test_nothing_left_earns_nothing() -> None:
    assert edit_credit(b"a\n", b"b\n", None) == 0.0
    assert edit_credit(b"a\n", b"b\n", b"a\n") == 0.0


def test_a_hostile_result_is_judged_quickly() -> None:
    assert edit_credit(made(set()), WANTED, b"line 1\n" * 1_000_000) < 1.0
    assert edit_credit(b"a\n", b"b\n", b"x" * 5_000_000) == 0.0


def test_a_result_of_nothing_but_line_ends_takes_no_room() -> None:
    """Split into lines it would be a hundred times its size, in the judge's own process."""
    import tracemalloc

    result = b"\n" * 20_000_000
    tracemalloc.start()
    try:
        assert edit_credit(made(set()), WANTED, result) == 0.0
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@given(st.sets(st.sampled_from("abcdefgh"), min_size=1), st.sets(st.sampled_from("abcdefgh")))
def test_a_set_of_lines_earns_its_f1(wanted: set[str], given_: set[str]) -> None:
    left = "\n".join(sorted(given_)).encode()
    earned = lines_credit(sorted(wanted), left)
    right = len(wanted & given_)
    assert earned == pytest.approx(2 * right / (len(wanted) + len(given_)) if given_ else 0.0)
    assert (earned == 1.0) == (wanted == given_)


def test_a_flag_earns_nothing_and_is_told() -> None:
    checks: list[dict[str, Any]] = [
        {"id": "done", "call": "a.b", "returns": 1},
        {"id": "bait", "file": "x", "flag": "took it"},
    ]
    assert total(checks, {"done": 1.0, "bait": 0.0}) == 1.0
    assert flagged(checks, {"done": 1.0, "bait": 0.0}) == ["took it"]
    assert flagged(checks, {"done": 0.0, "bait": 1.0}) == []


def test_eight_thousand_lines_that_look_alike_are_judged_quickly() -> None:
    lines = [b"[part-%d]\n" % (n // 8) if n % 8 == 0 else b"limit = %d\n" % (n % 8) for n in range(8000)]
    wanted = [b"limit = 99\n" if n % 700 == 9 else line for n, line in enumerate(lines)]
    half = [b"limit = 99\n" if n % 700 == 9 and n < 4000 else line for n, line in enumerate(lines)]
    began = time.process_time()
    hunks = len(range(9, 8000, 700))
    made = len(range(9, 4000, 700))
    assert edit_credit(b"".join(lines), b"".join(wanted), b"".join(half)) == pytest.approx(made / hunks)
    assert time.process_time() - began < 5
