"""Which smoke tasks an agent is asked, and how many of them it has to solve."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")
BEST_OF = 5
"""Tasks that decide: three solved before three failed."""


def drawn(tasks: Sequence[T], tree: str) -> tuple[Sequence[T], int]:
    """What an agent of this tree may be asked, in order, and how many of it must be solved.

    All where there are fewer than five; else the best of five: a slip of a good agent is no reason to reject it, and
    neither is the lack of a shell. Which ones depends on the tree: in the long run all are asked, and of one tree
    always the same.
    """
    if len(tasks) < BEST_OF:
        return tasks, len(tasks)
    return Random(tree).sample(tasks, BEST_OF), BEST_OF // 2 + 1
