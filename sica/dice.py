"""What a policy throws when it leaves a choice to chance. Pure."""

from __future__ import annotations

from random import Random
from typing import Any


class _First:
    """A method of unseeded dice: whoever asks for it is about to throw."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, dice: Dice, owner: type) -> Any:
        dice.seed(dice.words)
        return dice.__dict__[self._name]


class Dice(Random):
    """`Random(words)`, seeded when it is first thrown: that takes as long as choosing a step, and most need none."""

    def __init__(self, words: str) -> None:
        self.words = words

    def seed(self, *words: Any) -> None:
        super().seed(*words)
        plain = super()
        for name in _THROWN:
            self.__dict__[name] = getattr(plain, name)  # found before the one of the class

    gauss_next = None
    random = _First()
    getrandbits = _First()
    getstate = _First()
    setstate = _First()


_THROWN = ("random", "getrandbits", "getstate", "setstate")
"""All else that `Random` offers goes through these."""
