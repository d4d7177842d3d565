"""What `sica bench mine` tells of a change beside its message, when the tests are hidden."""

from __future__ import annotations

import pytest
from dulwich.objects import Commit
from hypothesis import given
from hypothesis import strategies as st

from sica.mining.untold import MOST_TEXT, MOST_VALUES, Untold, untold
from sica.mining.work import Work
from sica.model import File, Files

BEFORE = "def limit(value):\n    return value\n"
OLD_TESTS = "from cal import limit\n"


def files(**texts: str) -> Files:
    return {f"{name}.py": File(text.encode()) for name, text in texts.items()}


def change(after: str, tests: str, before: str = BEFORE) -> Work:
    z, b = files(cal=before, test_cal=OLD_TESTS), files(cal=after, test_cal=OLD_TESTS + tests)
    return Work(Commit(), z, b, ["test_cal.py"], ["cal.py"], 2)


def values(body: str, test: str, told: str = "Limit values.") -> list[str] | None:
    after = f"def limit(value):\n{body}    return value\n"
    found = untold(change(after, f"\n\ndef test_limit():\n{test}"), told, shown=False)
    return None if found is None else list(found.values)


RAISES = "    raise ValueError(f'{value!r} is over the limit')\n"


@pytest.mark.parametrize(
    ("body", "test", "told"),
    [
        (RAISES, '    fails(match="is over the limit")\n', ["'is over the limit'"]),
        (RAISES, '    fails(match="9 is over the limit")\n', ["'9 is over the limit'"]),
        (RAISES, '    fails(match=r"\\d+ is over .* limit$")\n', ["'\\\\d+ is over .* limit$'"]),
        (RAISES, '    """9 is over the limit."""\n    assert limit(9) == 5\n', []),
        (
            "    value = value or {'kind_of_limit': 1}\n",
            '    assert limit(0)["kind_of_limit"] == 1\n',
            ["'kind_of_limit', as in: limit(0)[\"kind_of_limit\"] == 1"],
        ),
        (
            "    value = getattr(value, 'upper_limit')\n",
            "    assert limit(Some(upper_limit=3)) == 3\n",
            ["'upper_limit', as in: Some(upper_limit=3)"],
        ),
        (
            "    value.upper_limit = 1\n",
            "    assert f'{made.upper_limit}' == '1'\n",
            [],
        ),
        (
            "    value = sys.upper_limit\n",
            "    assert f'''\n{made.upper_limit(1)}''' == '1'\n",
            ["upper_limit, as in: f''' {made.upper_limit(1)}''' == '1'"],
        ),
        (
            "    value = min(value, 86399)\n",
            "    assert limit(10**6) == 86399\n",
            ["86399, as in: limit(10**6) == 86399"],
        ),
        ("    value = min(value, 100)\n", "    assert limit(10**6) == 100\n", []),
        ("    value = min(value, 86399)\n", "    limit(86399)\n", []),
        (
            "    if not value:\n        raise LookupError\n",
            "    with pytest.raises(\n        LookupError,\n        match=''\n    ):\n        limit(0)\n",
            ["LookupError, as in: pytest.raises(LookupError, match='')"],
        ),
    ],
    ids=[
        "a message", "with its filling", "a pattern", "a docstring", "a key", "a keyword", "a signature",
        "a name in an f-string", "a number", "anybody's number", "a number that is not compared", "an exception",
    ],
)  # fmt: skip
def test_what_change_and_tests_both_made_up_is_told(body: str, test: str, told: list[str]) -> None:
    assert values(body, test) == told


def test_what_follows_from_what_is_told_needs_no_telling() -> None:
    message = '    fails(match="is over the limit")\n'
    assert values(RAISES, message, "It says that a value IS OVER THE LIMIT.") == []
    number = "    assert limit(10**6) == 86399\n"
    assert values("    value = min(value, 86399)\n", number, "At most 86399 is given.") == []
    assert values("    value = min(value, 86399)\n", number, "At most 1863990 is given.") != []
    assert values("    value = value * 2\n", "    assert limit(43199) == 86398\n") == [], "computed"
    there = 'def old():\n    """It is over the limit."""\n'
    work = change(there + RAISES, f"\n\ndef test():\n{message}", there)
    assert untold(work, "Limit values.", shown=False) == Untold([], [])


def test_what_cannot_be_told_leaves_the_task_out() -> None:
    long = "word " * (MOST_TEXT // 4)
    assert values(f"    raise ValueError('{long}')\n", f"    fails('{long}')\n") is None
    keys = [f"key_of_{chr(97 + n)}" for n in range(MOST_VALUES + 1)]
    many = "".join(f"    value['{key}'] = 1\n" for key in keys), "".join(f"    f('{key}')\n" for key in keys)
    assert values(*many) is None
    code = "    value = min(value, 86399) if value > 0 else None"
    assert values(f"{code}\n", f"    assert check('''{code}''', 86399)\n") is None, "a line of the answer"
    name = (
        "    return nowhere.explained\n",
        "    with patch(nowhere.explained" + ", 1" * 40 + "):\n        limit()\n",
    )
    assert values(*name) is None


def test_who_sees_the_tests_needs_signatures_alone() -> None:
    after = BEFORE + f"\n\ndef lower(value, least=86399):\n{RAISES}    return least\n"
    work = change(
        after, "\n\ndef test_lower():\n    assert lower(1) == 86399\n    fails('is over the limit')\n"
    )
    signature = "cal.py: def lower(value, least=86399)"
    assert untold(work, "Lower values.", shown=True) == Untold([signature], ())
    hidden = untold(work, "Lower values.", shown=False)
    assert hidden == Untold([signature], ["'is over the limit'"]), "the default is told by the signature"
    assert hidden.words.splitlines() == [
        "", "Interface, as tests use it:", "", f"    {signature}",
        "", "Values, as tests use them:", "", "    'is over the limit'",
    ]  # fmt: skip


def test_data_of_tests_is_read_by_line() -> None:
    z = files(cal=BEFORE, test_cal=OLD_TESTS)
    b = files(cal=BEFORE + f"\n\ndef other(value):\n{RAISES}", test_cal=OLD_TESTS + "# new\n")
    data = {"tests/said.txt": File(b"one\n  3 is over the limit\n"), "tests/bytes": File(b"\0\xff")}
    work = Work(Commit(), z, {**b, **data}, ["test_cal.py", *data], ["cal.py"], 2)
    assert untold(work, "More.", shown=False) == Untold([], ["'3 is over the limit'"])


WORDS = st.sampled_from(["alpha", "beta", "gamma", "42", "'delta'", "{value}", "77777"])


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(WORDS, min_size=1, max_size=6))
def test_what_was_told_once_is_not_told_again(written: list[str], tested: list[str]) -> None:
    """However messages overlap: with what is told said, nothing is left to be told."""
    body = f"    raise ValueError(f{' '.join(written)!r}, {len(written) + 70000})\n"
    test = f"    fails({' '.join(tested)!r})\n    assert limit(1) == {len(tested) + 70000}\n"
    first = values(body, test)
    assert first is not None
    assert values(body, test, "Limit values. " + "\n".join(first).replace("\\", "")) == []


def test_lines_are_counted_as_python_counts_them() -> None:
    """A form feed ends no line, nor does what only text knows as an end."""
    head = "def limit(value):\n    ''' \x0c \x1c \u2028 '''\n"
    end = "    value = str(value)\n" * 3 + "    return value\n"
    work = change(head + RAISES + end, '\n\ndef test():\n    fails(match="is over the limit")\n', head + end)
    assert untold(work, "Limit values.", shown=False) == Untold([], ["'is over the limit'"])
