"""Dice that are seeded when they are first thrown are those of the standard library."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sica.dice import Dice

THROWS: list[Callable[[Random], object]] = [
    lambda dice: dice.random(),
    lambda dice: dice.choice(range(7)),
    lambda dice: dice.choices("abc", [1, 2, 3], k=2),
    lambda dice: dice.sample(range(9), 3),
    lambda dice: dice.gauss(0, 1),
    lambda dice: dice.betavariate(2, 3),
    lambda dice: dice.randbytes(3),
    lambda dice: dice.getrandbits(64),
    lambda dice: dice.getstate(),
    lambda dice: dice.setstate(Random("others").getstate()),
    lambda dice: dice.seed("others"),
]


@given(words=st.text(), throws=st.lists(st.sampled_from(THROWS)))
def test_they_are_the_plain_ones_whatever_is_thrown_first(
    words: str, throws: list[Callable[[Random], object]]
) -> None:
    lazy, plain = Dice(words), Random(words)
    assert [throw(lazy) for throw in throws] == [throw(plain) for throw in throws]


def test_they_are_seeded_when_they_are_thrown(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[object] = []
    monkeypatch.setattr(Random, "seed", lambda self, *words: seeded.append(words))
    dice = Dice("0:1:2")
    assert not seeded
    dice.random()
    dice.random()
    assert seeded == [("0:1:2",)]
