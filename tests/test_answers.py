"""The scorers of answer sets, and the readers of test logs: exact, and total on whatever they are given."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sica import answers, testlogs
from sica.answers import boxed, credit, number, plain_math, same_output


def right(kind: str, wanted: str, given_: str) -> bool:
    return credit(kind, [wanted], given_.encode()) == 1.0


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        (r"thus \boxed{42}.", "42"),
        (r"\boxed{1} or rather \boxed{\frac{1}{1+\frac{2}{3}}}", r"\frac{1}{1+\frac{2}{3}}"),
        (r"\fbox{a}", "a"),
        (r"$\boxed 7$", "7"),
        (r"\boxed{never closed", None),
        ("nothing", None),
    ],
)
def test_the_last_box_is_the_answer_with_its_braces(text: str, inner: str | None) -> None:
    assert boxed(text) == inner


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42), ("-3", -3), ("+3", 3), ("1,234,567", 1234567), ("$1,200.50", Fraction("1200.5")), ("073", 73),
        ("0.50", Fraction(1, 2)), (".5", Fraction(1, 2)), ("1/2", Fraction(1, 2)), ("3 / 4 cup", Fraction(3, 4)),
        ("18 eggs.", 18), ("1e3", 1000), ("about 5%", 5), (r"\$1{,}000", 1000),
        ("1,23", None), ("3 or 4", None), ("", None), ("many", None), ("1/0", None), ("--", None),
    ],
)  # fmt: skip
def test_one_number_is_read_whatever_it_wears(text: str, value: object) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("wanted", "given_"),
    [
        ("3000", "#### 3,000"), ("3000", "The answer is 3000."), ("0.5", "1/2"), ("18", "  18\n"),
        ("7", "Answer: 7 apples"),
    ],
)  # fmt: skip
def test_numbers_are_equal_by_value(wanted: str, given_: str) -> None:
    assert right("number", wanted, given_)


def test_a_number_that_is_nearly_right_is_wrong() -> None:
    assert not right("number", "3000", "3000.0001")
    assert not right("number", "10", "10 or 11")


@pytest.mark.parametrize(
    ("wanted", "given_"),
    [
        (r"\frac{1}{2}", r"\dfrac12"), (r"\frac{1}{2}", "1/2"), (r"\frac{1}{2}", "0.5"),
        (r"\frac12", r"\boxed{\tfrac{1}{2}}"),
        (r"1\frac{1}{2}", r"\frac{3}{2}"), (r"-\frac{3}{4}", "-0.75"), ("1,000", "1000"), ("10,000", r"10{,}000"),
        (r"5\text{ cm}", "5"), (r"5\mbox{ cm}^2", "5"), (r"90^\circ", "90"), (r"50\%", "50"), (r"\$18.90", "18.9"),
        (r"x=7", "7"), (r"\sqrt{2}", r"\sqrt2"), (r"\left( 1, 2 \right)", "(1,2)"), (r"(1,\frac12)", "(1, 0.5)"),
        (r"\text{Evelyn}", "Evelyn"), (r"3\cdot 4", "3*4"), (r"[0,\infty)", r"[0, \infty)"), (r"2, 3", "2,3"),
    ],
)  # fmt: skip
def test_one_answer_in_two_spellings_is_one_answer(wanted: str, given_: str) -> None:
    assert right("math", wanted, given_), (plain_math(wanted), plain_math(given_))


@pytest.mark.parametrize(
    ("wanted", "given_"),
    [
        (r"\frac{1}{2}", r"\frac{1}{3}"), ("(1,2)", "(2,1)"), ("(0,1)", "[0,1]"), ("5", "-5"), ("12", "1,2"),
        (r"\sqrt{2}", "1.41421356"), ("x+1", "x-1"), ("3", "3, 4"), ("2", "2^2"),
    ],
)  # fmt: skip
def test_two_answers_are_two(wanted: str, given_: str) -> None:
    assert not right("math", wanted, given_)


def test_a_choice_is_one_label() -> None:
    assert all(
        right("choice", "B", each) for each in ("B", "b", "(B)", "**B**", "B.", "Answer: B", r"\boxed{B}")
    )
    assert not any(right("choice", "B", each) for each in ("A", "A or B", "AB", "Because", "B C", ""))
    assert right("choice", "2", "2")


@pytest.mark.parametrize(
    ("wanted", "given_", "f1"),
    [
        ("Ann Lee", "the ann lee", 1.0), ("Ann Lee", "Ann", 0.67), ("Ann\nBo", "Bo\nAnn", 1.0), ("Ann\nBo", "Ann", 0.5),
        ("3", "3.0", 1.0), ("3 yards", "4 yards", 0.0), ("3", "three", 0.0), ("4 May 1990", "may 4, 1990", 1.0),
        ("a b\nb c\nc d", "c d\na b\nb c", 1.0), ("x", "y", 0.0),
    ],
)  # fmt: skip
def test_spans_earn_f1(wanted: str, given_: str, f1: float) -> None:
    assert credit("spans", [wanted], given_.encode()) == f1


def test_spans_are_paired_for_the_best_sum_and_not_greedily() -> None:
    assert credit("spans", ["a1 b1 c1\na1 b1"], b"a1 b1\na1 b1 c1") == 1.0


def test_the_best_of_several_right_answers_counts() -> None:
    assert credit("spans", ["Ann Lee", "Ann"], b"Ann") == 1.0
    assert credit("spans", ["Ann", "Ann Lee"], b"Ann") == 1.0


@given(st.sampled_from(sorted(answers.KINDS)), st.text(max_size=60), st.binary(max_size=200))
@example("math", "{", b"{,}")
@example("math", "(", b"(,")
def test_whatever_is_left_the_credit_is_a_share(kind: str, wanted: str, left: bytes) -> None:
    assert 0 <= credit(kind, [wanted], left) <= 1


@given(st.sampled_from(sorted(answers.KINDS)), st.text(alphabet="ab1 ,", min_size=1, max_size=20))
def test_what_is_no_answer_earns_nothing(kind: str, wanted: str) -> None:
    assert (
        credit(kind, [wanted], None)
        == credit(kind, [wanted], b"  \n")
        == credit(kind, [wanted], b"x" * 50_000)
        == 0
    )


def test_output_is_compared_by_lines_and_numbers_by_value() -> None:
    assert same_output("1 2\n3\n", "1 2  \n3")
    assert same_output("0.5", "0.50")
    assert same_output("YES\n", "YES")
    assert not same_output("YES", "yes")
    assert not same_output("1\n2", "1 2")
    assert not same_output("1", "1.0000001")
    assert not same_output("", "x")


# ── test logs ─────────────────────────────────────────────────────────────────────────────────────

PYTEST = """\
==================== short test summary info ====================
PASSED tests/test_a.py::test_one
\x1b[32mPASSED\x1b[0m tests/test_a.py::test_two[a b]
FAILED tests/test_a.py::test_three - AssertionError: PASSED tests/test_a.py::test_four
ERROR tests/test_b.py
XFAIL tests/test_a.py::test_five - not yet
SKIPPED [1] tests/test_a.py:3: no
tests/test_c.py::test_six PASSED      [ 50%]
"""


def test_a_pytest_log_is_read_by_its_summary_or_its_lines() -> None:
    found = testlogs.outcomes("pytest", PYTEST)
    assert {id for id, good in found.items() if good} == {
        "tests/test_a.py::test_one",
        "tests/test_a.py::test_two[a b]",
        "tests/test_a.py::test_two[a",
        "tests/test_a.py::test_five",
        "tests/test_c.py::test_six",
    }
    assert found["tests/test_a.py::test_three"] is False
    assert "tests/test_a.py::test_four" not in found, "a message is no outcome"


def test_a_test_that_failed_once_has_failed_wherever_it_also_passed() -> None:
    for log in ("PASSED t.py::x\nFAILED t.py::x - no", "FAILED t.py::x - no\nPASSED t.py::x"):
        assert testlogs.outcomes("pytest", log) == {"t.py::x": False}


def test_logs_of_django_and_sympy() -> None:
    log = "test_a (app.tests.T) ... ok\ntest_b (app.tests.T) ... FAIL\nIt does a thing. ... ok\n"
    log += "test_c (x.T) ... skipped 'no'\n"
    assert testlogs.outcomes("django", log) == {
        "test_a (app.tests.T)": True, "test_b (app.tests.T)": False, "It does a thing.": True, "test_c (x.T)": False,
    }  # fmt: skip
    log = "sympy/core/tests/test_x.py[3] \ntest_one ok\ntest_two F\ntest_three E\n"
    assert testlogs.outcomes("sympy", log) == {"test_one": True, "test_two": False, "test_three": False}


@given(st.sampled_from(sorted(testlogs.PARSERS)), st.text(max_size=300))
def test_whatever_a_log_holds_it_is_read(parser: str, log: str) -> None:
    assert all(isinstance(good, bool) for good in testlogs.outcomes(parser, log).values())
