"""A dollar is a dollar: eight workers, every role, random usage, kills in between.

pytest tests/test_cap.py --repetitions 200     the whole of it, a minute or two of one core
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from spending import CAP, MODELS, Nursery, Provider, prepare, provider

from sica.ledger import SqliteLedger


@pytest.fixture(scope="module")
def served() -> Iterator[Provider]:
    with provider() as opened:
        yield opened


@pytest.fixture(scope="module")
def nursery(served: Provider) -> Iterator[Nursery]:
    opened = Nursery(served.url)
    yield opened
    opened.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--repetitions")))


def test_never_more_than_the_cap_is_on_record_or_billed_whenever_it_is_killed(
    served: Provider, nursery: Nursery, seed: int
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # short: a socket's path has 107 bytes
        folder, dice = Path(made), random.Random(seed)
        ledger = prepare(folder)
        served.expect(ledger, seed)
        kills = dice.randint(0, 3)
        lives = 0
        ended = -9
        while ended == -9:
            # the first requests always find room, so that the first kill never comes too late
            kill_at = dice.randint(1, 12 if lives else 3) if lives < kills else 0
            served.seen, served.kill_at = 0, kill_at
            ended = nursery.life(folder, seed, lives)
            check(served, ledger, f"life {lives}")
            lives += 1
        assert ended == 0
        assert (lives > 1) == (kills > 0)
        with SqliteLedger.open(ledger, readonly=True) as book:
            assert book.spent("r1").usd > CAP - 0.25, "most of the cap can be used"
            assert set(book.prices("r1").items()) <= set(MODELS.items())


def check(served: Provider, ledger: Path, when: str) -> None:
    with SqliteLedger.open(ledger, readonly=True) as book:
        total = book.spent("r1").usd
        calls = book.calls()
    assert served.highest <= CAP + 1e-9, when
    assert total <= CAP + 1e-9, when
    assert served.billed <= total + 1e-9, f"{when}: more was billed than is on record"
    assert sum(call.usage.usd for call in calls) == pytest.approx(total)
