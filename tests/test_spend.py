"""Accounts: whatever they are told apart by, they add up to the run, also after crashes."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import fsum
from pathlib import Path
from typing import Literal

import pytest
from commands import Project, family, sica
from hypothesis import given
from hypothesis import strategies as st
from spending import AGENTS, MODELS, Nursery, Provider, prepare, provider

from sica.cli.spend import apportioned, repriced
from sica.ledger import ACCOUNTS, SqliteLedger
from sica.model import Call, Usage

DAY = 86_400.0


@pytest.fixture(scope="module")
def served() -> Iterator[Provider]:
    with provider() as opened:
        yield opened


@pytest.fixture(scope="module")
def spent(served: Provider) -> Iterator[Path]:
    """A ledger that eight workers filled, killed twice in the middle of their calls."""
    nursery = Nursery(served.url)
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        folder = Path(made)
        ledger = prepare(folder)
        served.expect(ledger, 7)
        for life, kill_at in enumerate((2, 5, 0)):
            served.seen, served.kill_at = 0, kill_at
            assert nursery.life(folder, 7, life) == (-9 if kill_at else 0)
        yield ledger
    nursery.close()


def test_every_way_to_tell_it_apart_adds_up_to_the_run(spent: Path) -> None:
    with SqliteLedger.open(spent, readonly=True) as ledger:
        total, calls = ledger.spent("r1"), ledger.calls()
        assert any(call.state == "reserved" for call in calls), "a kill left a call that counts"
        assert {call.agent for call in calls} <= {a.commit for a in AGENTS}
        for by in (*combinations(ACCOUNTS, 1), *combinations(ACCOUNTS, 2)):
            groups = ledger.accounts(by, "r1")
            assert fsum(used.usd for _, _, used in groups) == pytest.approx(total.usd, abs=1e-9), by
            assert sum(used.tokens for _, _, used in groups) == total.tokens
            assert sum(used.cache_write_tokens for _, _, used in groups) == total.cache_write_tokens
            assert sum(used.calls for _, _, used in groups) == total.calls
            assert sum(n for _, n, _ in groups) == len(calls)


def test_the_stored_prices_price_the_run_again_to_the_cent(spent: Path) -> None:
    """Every call that the provider counted; where it did not count, the reservation is what was paid."""
    with SqliteLedger.open(spent, readonly=True) as ledger:
        prices = ledger.prices("r1")
        assert prices == {model: MODELS[model] for model in prices}
        counted = [
            c
            for c in ledger.calls()
            if c.state == "settled" and c.usage.usd == pytest.approx(MODELS[c.model].of(c.usage))
        ]
        others = [c for c in ledger.calls() if c not in counted]
        assert len(counted) > len([c for c in others if c.state == "settled"])
        assert repriced(counted, prices) == pytest.approx(fsum(c.usage.usd for c in counted))
        held = [c for c in others if c.state == "reserved"]
        assert repriced(held, prices) == pytest.approx(fsum(c.usage.usd for c in held))
        twice = {m: replace(p, prompt=2 * p.prompt, completion=2 * p.completion) for m, p in prices.items()}
        assert repriced(counted, twice) > repriced(counted, prices)


@given(st.lists(st.floats(0, 1e6), max_size=40))
def test_what_is_shown_adds_up_to_the_total_that_is_shown(parts: list[float]) -> None:
    def number(text: str) -> float:
        return float(text.removeprefix("$").replace(",", ""))

    total = fsum(parts)
    shown = [number(text) for text in apportioned(parts, total)]
    (whole,) = apportioned([total], total)
    assert fsum(shown) == pytest.approx(number(whole), abs=1e-9 * max(1, total))
    unit = 0.01 if total >= 1 else 0.0001
    assert all(abs(a - b) <= unit * (1 + 1e-6) for a, b in zip(shown, parts, strict=True))


# ── the command ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = family(tmp_path / "a project")
    dice = random.Random(1)
    commits = [a.commit for a in made.ledger.agents()]
    for n in range(40):
        used = Usage(dice.random() / 7, dice.randint(1, 900), 0, dice.randint(1, 90), 1)
        role, task = dice.choice((("main", "core/task-1"), ("main", "core/task-2"), ("improve", "")))
        state: Literal["reserved", "settled"] = "settled" if n else "reserved"
        made.ledger.call(
            Call(
                f"s{n}",
                0,
                f"r{1 + n % 2}",
                role,
                "m/one",
                used,
                state,
                n * DAY / 8,
                dice.choice(commits),
                task,
            )
        )
    return made


def test_rows_add_up_and_the_total_is_the_ledgers(project: Project) -> None:
    whole = sum((call.usage.usd for call in project.ledger.calls()), 0.0)
    for by in ("role", "agent", "task", "model", "day", "call", "run"):
        told = sica(project.folder, "spend", "--by", by, "--json").json
        assert told["total"]["usd"] == pytest.approx(whole)
        assert fsum(row["usd"] for row in told["rows"]) == pytest.approx(whole)
    lines = sica(project.folder, "spend", "--by", "agent", "--by", "task").out.splitlines()
    dollars = [
        float(line.rpartition("$")[2].replace(",", ""))
        for line in lines
        if "$" in line and "held" not in line
    ]
    assert fsum(dollars[:-1]) == pytest.approx(dollars[-1])
    assert dollars[-1] == round(whole, 2)
    assert any("is held by calls whose process was killed" in line for line in lines)


def test_one_run_alone_and_its_days(project: Project) -> None:
    told = sica(project.folder, "spend", "r2", "--by", "day", "--json").json
    mine = [call for call in project.ledger.calls() if call.run == "r2"]
    assert told["total"]["usd"] == pytest.approx(sum(call.usage.usd for call in mine))
    assert {row["day"] for row in told["rows"]} == {f"1970-01-0{n}" for n in range(1, 6)}
    plain = sica(project.folder, "spend", "r2", "--by", "day", "--plain").out.splitlines()
    assert fsum(float(line.split("\t")[2]) for line in plain) == pytest.approx(told["total"]["usd"])


def test_the_same_calls_at_other_prices(project: Project) -> None:
    refused = sica(project.folder, "spend", "--reprice", env={"SICA_MODEL": "offline"})
    assert refused.code == 2
    assert "m/one" in refused.err
    (project.folder / "sica.toml").write_text('[prices."m/one"]\nprompt = 2.0\ncompletion = 8.0\n')
    told = sica(project.folder, "spend", "--reprice", "--json").json
    counted = [call.usage for call in project.ledger.calls()]
    assert told["repriced_usd"] == pytest.approx(
        sum(u.prompt_tokens * 2e-6 + u.completion_tokens * 8e-6 for u in counted)
    )


def test_what_is_not_there_is_named(project: Project) -> None:
    assert "no run called 'r9'" in sica(project.folder, "spend", "r9").err
    wrong = sica(project.folder, "spend", "--by", "tasks")
    assert wrong.code == 2
    assert "did you mean 'task'?" in wrong.err
