"""Which tasks nobody may have learnt from: drawn by hash, or made of a seed that nobody could know beforehand.

A seal is a salt that is kept and its hash that is published. The seed of a sealed suite follows from the salt and the
tree of the agent that is to be measured: whoever made the tree did not know the salt, and whoever keeps the salt could
not choose it after the tree was there.
"""

from __future__ import annotations

from hashlib import sha256

from sica.model import Split

_WHOLE = 1 << 64


def drawn(item: str, heldout: float, dev: float = 0.0) -> Split:
    """The split of a task that was made of this item. It hangs on the item alone: no other task moves it, and a larger
    share holds what a smaller one held.
    """
    at = int.from_bytes(sha256(f"split:{item}".encode()).digest()[:8], "big") / _WHOLE
    if at < heldout:
        return "heldout"
    return "dev" if at >= 1 - dev else "train"


def published(salt: str) -> str:
    """What is said of a salt before it is opened."""
    return sha256(salt.encode()).hexdigest()


def seed(salt: str, tree: str, suite: str) -> int:
    """The suite's seed for the agent of this tree."""
    return int.from_bytes(sha256(f"{salt}:{tree}:{suite}".encode()).digest()[:7], "big")
