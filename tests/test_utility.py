"""The utility formula, on the paper's own numbers."""

from __future__ import annotations

import pytest
from archives import agent, archive, task, trial

from sica.model import Usage, Weights
from sica.utility import PAPER, mean_utility, utility

ONE = trial(agent(0), task("t"), 1.0)


@pytest.mark.parametrize(
    ("score", "usd", "seconds", "ending", "expected"),
    [
        (1.0, 0.0, 0.0, "done", 1.0),
        (0.0, 0.0, 0.0, "done", 0.5),  # failing fast and free: why this is not the default
        (1.0, 10.0, 300.0, "done", 0.5),
        (1.0, 5.0, 150.0, "done", 0.75),
        (1.0, 99.0, 9999.0, "done", 0.5),
        (1.0, 5.0, 300.0, "seconds", 0.3125),
        (1.0, 5.0, 150.0, "stopped", 0.375),  # no better than one that ran into its limit
    ],
)
def test_the_papers_equation(score: float, usd: float, seconds: float, ending: str, expected: float) -> None:
    given = trial(agent(0), task("t"), score, usage=Usage(usd=usd, seconds=seconds), ending=ending)
    assert utility(given, PAPER) == pytest.approx(expected)


def test_the_default_is_the_score_alone() -> None:
    slow = trial(agent(0), task("t"), 0.7, usage=Usage(usd=99, seconds=9999), ending="seconds")
    assert utility(slow, Weights()) == pytest.approx(0.7)


def test_faults_do_not_move_the_mean() -> None:
    known = archive({"a": [1.0, None, 0.5]})
    assert mean_utility(known, "a") == pytest.approx(0.75)
