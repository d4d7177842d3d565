"""What a test run printed, as outcomes by test. Pure: it reads text that came out of a hostile box, and runs nothing.

A test that stands in the log twice has passed when it passed both times; one that does not stand there has not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

Outcomes = Mapping[str, bool]
Line = tuple[str, bool]

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_GOOD = frozenset(("PASSED", "XFAIL"))
_WORDS = "PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS"
_SUMMARY = re.compile(rf"({_WORDS})\s+(\S.*)")
_VERBOSE = re.compile(rf"(\S.*?)\s+({_WORDS})(?:\s+\[\s*\d+%\])?")
_DJANGO = re.compile(r"(.+?) \.\.\. (ok|OK|FAIL|ERROR|skipped.*|expected failure|unexpected success)\s*")
_SYMPY = re.compile(r"(test_\w+) (ok|F|E|f|s|X|w|T|K)\b.*")


def outcomes(parser: str, log: str) -> Outcomes:
    """By test id. Raises KeyError for a parser that is not in PARSERS."""
    found: dict[str, bool] = {}
    for name, passed in PARSERS[parser](_COLOUR.sub("", log)):
        found[name] = passed and found.get(name, True)
    return found


def _pytest(log: str) -> Iterator[Line]:
    """The summary of `-rA` or the lines of `-v`. A data set may know an id only up to its first space."""
    for line in log.splitlines():
        if match := _SUMMARY.fullmatch(line):
            word, id = match[1], match[2].partition(" - ")[0].strip()
        elif (match := _VERBOSE.fullmatch(line)) and "::" in match[1]:
            id, word = match[1], match[2]
        else:
            continue
        id = re.sub(r"^(\.\./)+", "", id)  # of a test file beside the folder that one is in
        yield id, word in _GOOD
        if " " in id:
            yield id.split()[0], word in _GOOD


def _django(log: str) -> Iterator[Line]:
    for line in log.splitlines():
        if match := _DJANGO.fullmatch(line):
            yield match[1].strip(), match[2] in ("ok", "OK", "expected failure")


def _sympy(log: str) -> Iterator[Line]:
    for line in log.splitlines():
        if match := _SYMPY.fullmatch(line.strip()):
            yield match[1], match[2] in ("ok", "f")


def _exit(log: str) -> Iterator[Line]:
    """Nothing but the exit code counts."""
    del log
    return iter(())


PARSERS: Mapping[str, Callable[[str], Iterator[Line]]] = {
    "pytest": _pytest,
    "django": _django,
    "sympy": _sympy,
    "exit": _exit,
}
