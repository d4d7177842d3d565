"""What a test run printed, as outcomes by test. Pure: it reads text that came out of a hostile box, and runs nothing.

A test that stands in the log twice has passed when it passed both times; one that does not stand there has not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

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
    return _all(PARSERS[parser](_COLOUR.sub("", log)))


def told(report: Mapping[str, bool]) -> Outcomes:
    """The same of what pytest itself said of its tests, by its ids."""
    return _all((name, passed) for id, passed in report.items() for name in _names(id))


def _all(lines: Iterable[Line]) -> Outcomes:
    found: dict[str, bool] = {}
    for name, passed in lines:
        found[name] = passed and found.get(name, True)
    return found


def _pytest(log: str) -> Iterator[Line]:
    """The summary of `-rA` or the lines of `-v`."""
    for line in log.splitlines():
        if match := _SUMMARY.fullmatch(line):
            word, id = match[1], match[2].partition(" - ")[0].strip()
        elif (match := _VERBOSE.fullmatch(line)) and "::" in match[1]:
            id, word = match[1], match[2]
        else:
            continue
        yield from ((name, word in _GOOD) for name in _names(id))


def _names(id: str) -> Iterator[str]:
    """What a data set may call a test: some know an id only up to its first space."""
    id = re.sub(r"^(\.\./)+", "", id)  # of a test file beside the folder that one is in
    yield id
    if " " in id:
        yield id.split()[0]


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
