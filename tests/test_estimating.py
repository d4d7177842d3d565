"""What is said of the price before the start, and when somebody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from commands import sica

from sica.cli.estimating import Outlook, ask, cost, in_short, lines, record
from sica.cli.invocation import Invocation
from sica.config import resolve
from sica.errors import UsageError
from sica.forecast import Estimate, Range
from sica.ports import Price

PRICE = Price(1e-6, 4e-6)
KNOWN = Estimate(
    usd=Range(8.0, 10.0, 14.0),
    seconds=Range(600.0, 900.0, 1_200.0),
    trials=48,
    children=2,
    n_trials=24,
    n_improvements=1,
    n_agents=2,
)
NOTHING = replace(KNOWN, usd=None, seconds=None, n_trials=0, n_improvements=0, n_agents=0)


def outlook(**changes: object) -> Outlook:
    base = Outlook("m/one", KNOWN, PRICE, worst=40.0, cap=None, workers=4)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_what_is_known_is_told_as_a_range_with_its_grounds() -> None:
    assert list(lines(outlook(cap=20.0))) == [
        "ahead      48 trials and 2 improvements under m/one",
        "cost       $8.00 to $14.00, most likely $10.00; at most $20.00",
        "time       2m30s to 5m00s with 4 workers",
        "known by   24 trials of 2 agents, 1 improvement",
    ]


def test_nothing_known_is_said_and_the_worst_that_caps_allow() -> None:
    assert cost(outlook(left=NOTHING)) == (
        "unknown yet; at most $40.00 by the caps of trials and improvements, faults apart"
    )
    assert cost(outlook(left=NOTHING, worst=None)) == "unknown yet; nothing bounds it: give --max-cost"
    assert "--probe measures 3 tasks first" in in_short(outlook(left=NOTHING))
    assert "nobody knows the model's price" in in_short(outlook(left=NOTHING, price=None, worst=None))


def test_a_cap_below_the_likely_price_is_said_to_come_first() -> None:
    seen = outlook(cap=9.0)
    assert "the cap comes first: at most $9.00" in cost(seen)
    told = record(seen)
    assert told["cost_usd"] == {"low": 8.0, "likely": 9.0, "high": 9.0}
    assert told["uncapped_usd"]["high"] == 14.0
    assert told["stops_at_cap"] is True


def test_trials_of_other_tasks_are_named_as_such() -> None:
    assert "24 trials of 2 agents on other tasks or under other limits" in in_short(
        outlook(left=replace(KNOWN, related=True))
    )


def test_a_free_model_costs_nothing_and_asks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    free = outlook(price=Price(0.0, 0.0), left=NOTHING, worst=None)
    assert cost(free) == "nothing: the model is free"
    asked(free)
    assert capsys.readouterr().err == ""


def asked(found: Outlook, **flags: object) -> None:
    ask(Invocation(Path("/"), {}), resolve(flags, {}).config, found, yes=False)


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({}, True),  # 10 likely, above confirm_above
        ({"left": replace(KNOWN, usd=Range(1.0, 2.0, 3.0))}, False),
        ({"cap": 4.0}, False),
        ({"left": NOTHING, "worst": 4.0}, False),
        ({"left": NOTHING}, True),
        ({"left": NOTHING, "worst": None}, True),
        ({"left": replace(NOTHING, trials=0, children=0), "worst": None}, False),
        ({"left": replace(KNOWN, usd=Range(1.0, 2.0, 3.0)), "worst": None}, True),  # nothing bounds it
    ],
)
def test_somebody_is_asked_when_much_may_be_spent(changes: Mapping[str, object], asks: bool) -> None:
    found = outlook(**changes)
    if asks:
        with pytest.raises(UsageError, match=r"Spend money on offline\?"):
            asked(found, confirm_above=5.0)
    else:
        asked(found, confirm_above=5.0)


BOXES = {"SICA_SANDBOX": "bubblewrap", "SICA_WORKERS": "2"}


def test_a_probe_measures_a_little_and_the_run_goes_on_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "a project"
    folder.mkdir()
    begun = sica(folder, "init")
    assert begun.code == 0, begun.err
    assert "14 trials under offline: nothing: the model is free." in begun.out
    args = ("evolve", "-n", "0", "--task", "edit-*")
    before = sica(folder, *args, "--estimate", "--json", env=BOXES)
    assert before.code == 0, before.err
    assert (before.json["seconds"], before.json["n_trials"]) == (None, 4)
    probed = sica(folder, *args, "--estimate", "--probe", "2", "--json", env=BOXES)
    assert probed.code == 0, probed.err
    assert (probed.json["n_trials"], probed.json["basis"]["n_trials"]) == (2, 2)
    assert probed.json["seconds"]["low"] > 0
    again = sica(folder, *args, "--estimate", "--json", env=BOXES).json
    assert again == probed.json
    whole = sica(folder, *args, env=BOXES)
    assert whole.code == 0, whole.err
    assert "run=r1" in whole.err, "the probe was the beginning of the run"
    assert whole.err.count("phase=evaluate") == 2
    measured = sica(folder, "eval", "0", "--task", "edit-*", "--estimate", "--json", env=BOXES).json
    fresh = sica(folder, "eval", "0", "--task", "edit-*", "--fresh", "--estimate", "--json", env=BOXES).json
    assert (measured["n_trials"], fresh["n_trials"]) == (0, 4)
    assert fresh["seconds"]["low"] > 0
