"""Why a run stopped, and the command that goes on."""

from __future__ import annotations

import shlex

import pytest
from archives import archive

from sica.cli.ending import Books, going_on, resume, why, with_option
from sica.config import resolve
from sica.model import Usage

NOON = 86_400 * 20_000.5


def books(run: Usage = Usage(), today: Usage = Usage(), rest: float | None = None, **flags: object) -> Books:  # noqa: B008
    given = {key.replace("__", "."): value for key, value in flags.items()}
    return Books(resolve(given, {}).config, run, today, NOON, rest)


def test_the_cap_that_is_used_most_is_the_one_that_stopped_it() -> None:
    seen = books(Usage(usd=0.98, calls=10), Usage(usd=2.0), max_cost=1.0, max_calls=500, day__max_cost=5.0)
    assert why("budget", archive({"a": [1]}), seen) == (
        "stopped at the cap: $0.98 of $1.00 used, and no further step fits"
    )
    assert (
        resume("budget", ["evolve", "--max-cost", "1", "-n", "2"], seen) == "sica evolve -n 2 --max-cost 2.00"
    )


def test_the_days_cap_can_be_waited_for() -> None:
    seen = books(Usage(usd=0.5), Usage(usd=4.9), day__max_cost=5.0)
    assert why("budget", archive({"a": [1]}), seen).startswith("stopped at today's cap: $4.90 of $5.00")
    now, later = going_on("budget", ["evolve"], seen)
    assert now == "sica evolve --day-max-cost 10.00   (everything finished is kept)"
    assert later == "or the same command in 12h00m, when the next UTC day begins"


def test_what_is_left_of_the_plan_decides_how_much_more_is_told() -> None:
    argv = ["evolve", "--max-cost=10"]
    assert resume("budget", argv, books(Usage(usd=9.9), max_cost=10.0, rest=20.0)) == (
        "sica evolve --max-cost 34.00"
    )
    assert resume("budget", argv, books(Usage(usd=9.9), max_cost=10.0, rest=0.01)) == (
        "sica evolve --max-cost 13.00"
    )


@pytest.mark.parametrize(
    ("reason", "flags", "told", "command"),
    [
        ("time", {"max_hours": 1.5}, "the 1.5 hours of --max-hours are over", "--max-hours 3"),
        ("score", {"until": 0.9}, "reached --until 0.9: agent/0 has 1.000", "--until 0.95"),
        ("patience", {"patience": 3}, "3 improvements in a row led to no promotion", "--patience 6"),
        ("budget", {"max_calls": 5}, "5 of 5 calls used", "--max-calls 10"),
        ("budget", {"max_tokens": 3_000_000}, "0 of 3.0M tokens used", "--max-tokens 6000000"),
        ("interrupted", {}, "interrupted", "evolve"),
    ],
)
def test_every_reason_has_its_words_and_its_command(
    reason: str, flags: dict[str, object], told: str, command: str
) -> None:
    seen = books(Usage(calls=5), **{"confirm": 0, **flags})  # type: ignore[arg-type]
    assert told in why(reason, archive({"a": [1]}), seen)
    assert going_on(reason, ["evolve"], seen)[0].partition("   (")[0].endswith(command)


def test_a_run_that_is_done_needs_no_command() -> None:
    assert going_on("done", ["evolve"], books()) == ()


def test_an_option_is_replaced_however_it_was_written() -> None:
    argv = shlex.split("evolve --task 'a b' --max-cost 1 --max-cost=2 -n 3")
    assert with_option(argv, "--max-cost", "4") == ["evolve", "--task", "a b", "-n", "3", "--max-cost", "4"]
