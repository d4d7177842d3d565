"""Money through the whole of sica: real boxes, LiteLLM, a priced provider on loopback."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from commands import Ran, begin, sica
from loopback import door, tuned

PRICED = """
model = "openai/fake"
api_base = "{url}"
workers = 8
sandbox = "bubblewrap"

[prices."openai/fake"]
prompt = 1.0
completion = 4.0
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A fresh project whose model costs something."""
    folder = tmp_path / "a project"
    folder.mkdir()
    with door(calls=100_000) as opened:
        (folder / "sica.toml").write_text(PRICED.format(url=opened.url))
        begun = sica(folder, "init", "--agent", str(untested(tmp_path)))
        assert begun.code == 0, begun.err
        assert "unknown yet; nothing bounds it: give --max-cost" in begun.out
        yield folder


def untested(folder: Path) -> Path:
    """The seed agent without its own tests, which would take most of the time here."""
    agent = tuned(folder)
    words = (agent / "agent.toml").read_text().partition("[check]")[0]
    (agent / "agent.toml").write_text(words)
    return agent


def paid(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> Ran:
    """A command that loads LiteLLM, which takes long on a busy machine."""
    return sica(folder, *args, env=env, timeout=280)


def total(folder: Path) -> float:
    raw = sqlite3.connect(folder / ".sica" / "sica.db")
    try:
        return float(raw.execute("SELECT coalesce(sum(usd), 0) FROM calls").fetchone()[0])
    finally:
        raw.close()


def trials(folder: Path) -> Counter[tuple[int, str, int, float | None]]:
    raw = sqlite3.connect(folder / ".sica" / "sica.db")
    try:
        rows = raw.execute("SELECT tree, task, attempt, score FROM trials").fetchall()
    finally:
        raw.close()
    return Counter(rows)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_workers_stop_at_the_cap_lose_nothing_and_go_on_when_it_is_raised(project: Path) -> None:
    what = ("evolve", "-n", "1", "--task", "edit-*", "--yes")
    first = paid(project, *what, "--max-cost", "0.15")
    assert first.code == 3, first.err
    assert "stopped at the cap" in first.err
    spent = total(project)
    assert 0.05 < spent <= 0.15
    kept = trials(project)
    assert kept, "something was measured before the cap"

    known = paid(project, "evolve", "-n", "1", "--task", "edit-*", "--estimate", "--json").json
    assert 0 < known["cost_usd"]["low"] < known["cost_usd"]["likely"] < known["cost_usd"]["high"]

    whole = paid(project, *what, "--max-cost", "5")
    assert whole.code == 0, whole.err
    everything = trials(project)
    assert not kept - everything, "what was measured under the lower cap is kept"
    assert max(everything.values()) == 1, "and not measured again"
    assert spent < total(project) <= 5
    told = sica(project, "spend", "--by", "role", "--json").json
    assert {row["role"] for row in told["rows"]} == {"main", "improve"}
    assert told["total"]["usd"] == pytest.approx(total(project))
    assert told["prices"]["r1"]["openai/fake"]["prompt"] == 1e-6
    rest = total(project) - spent
    assert known["cost_usd"]["low"] * 0.5 <= rest <= known["cost_usd"]["high"] * 2, (known["cost_usd"], rest)


def test_the_days_cap_holds_over_runs(project: Path) -> None:
    one = ("eval", "0", "--task", "edit-settings", "--fresh", "--yes")
    first = paid(project, *one)
    assert first.code == 0, first.err
    before = total(project)
    cap = f"{before + 0.0001:.6f}"
    second = paid(project, *one, "--day-max-cost", cap)
    assert second.code == 3, second.err
    assert "stopped at today's cap" in second.err
    assert "or the same command in" in second.err
    assert before <= total(project) <= float(cap)


def test_a_price_that_nobody_knows_is_refused_under_any_cap_in_dollars(tmp_path: Path) -> None:
    folder = begin(tmp_path / "p")
    env = {"SICA_MODEL": "openai/of-my-own", "OPENAI_API_KEY": "none"}
    refused = paid(folder, "evolve", "-n", "0", "--yes", "--set", "improve.max_cost=1", env=env)
    assert refused.code == 2, refused.err
    assert "the price of openai/of-my-own is unknown" in refused.err
    assert "prices.openai/of-my-own.prompt" in refused.err
