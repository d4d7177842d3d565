"""A plugin that tells the judge what each test came to, under a word that nothing else in the box knows.

The word comes on the standard input of the run and is gone once read: when this module is imported, before any
conftest.py and any code of the agent's, under a name that is new for each run. Text that a program prints, files that
it writes, an exit that it chooses and processes that it leaves say nothing under that word. Only code that takes over
this very process could: for tests that are to stand against that, there is the judge of two boxes.

Sent into the box alone; standard library and pytest only, of any version that boxes may bring.
"""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

REPORT = "/judge/report"
WORD_BYTES = 32


def _word() -> str:
    """ "" in a run that is none of the judge's: what tests or their workers start finds nothing there."""
    try:
        word = os.read(0, WORD_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return word


def _teller(word: str) -> Any:
    """The hooks; the word is in no module, no variable of the environment and no file."""
    came_to: dict[str, bool] = {}

    class Teller:
        def pytest_runtest_logreport(self, report: Any) -> None:
            decides = report.when == "call" or not report.passed
            if decides and report.outcome in ("passed", "failed", "skipped"):
                good = report.passed or (report.skipped and hasattr(report, "wasxfail"))
                came_to[report.nodeid] = good and came_to.get(report.nodeid, True)

        def pytest_sessionfinish(self, session: Any) -> None:
            seen = {session.config.cwd_relative_nodeid(id): good for id, good in came_to.items()}
            pathlib.Path(REPORT).write_text(json.dumps({"word": word, "tests": seen}), encoding="utf-8")

    return Teller()


_tellers = [_teller(word)] if (word := _word()) else []
del word


def pytest_configure(config: Any) -> None:
    if _tellers:
        config.pluginmanager.register(_tellers.pop())
