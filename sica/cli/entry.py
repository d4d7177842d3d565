"""Where `sica` starts. The plain --help is answered here: loading typer alone takes four times Python's own start."""

from __future__ import annotations

import os
import sys

# ruff: noqa: PTH118, PTH120, PTH123  # pathlib would take longer to load than the answer takes
HELP = os.path.join(os.path.dirname(__file__), "help.txt")
"""What typer prints, made by `sica --pager --help`; a test holds the two together."""


def main() -> None:
    """Run `sica` and leave with its exit code."""
    if sys.argv[1:] in (["--help"], ["-h"]) and "_SICA_COMPLETE" not in os.environ and _wide():
        sys.exit(_answer())
    from sica.cli.main import main as whole

    whole()


def _wide() -> bool:
    """Whether typer would lay the text out as it was written: for 80 columns."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told) >= 80
    try:
        return os.get_terminal_size(1).columns >= 80
    except OSError:
        return True  # no terminal: 80 it is


def _answer() -> int:
    with open(HELP, "rb") as file:
        text = file.read()
    try:
        os.write(1, text)
    except BrokenPipeError:
        return 141
    return 0
