"""Names that generated programs are made of: plain English, so that a reader, or a model, is never lost in them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

THINGS = (
    *("anchor", "barrel", "basin", "beacon", "bridge", "bucket", "cabin", "canal", "cargo", "cellar", "chapel", "cistern"),
    *("crate", "depot", "ferry", "field", "forge", "garden", "gate", "granary", "harbour", "hatch", "kiln", "ladder"),
    *("lantern", "ledge", "locker", "market", "meadow", "mill", "mooring", "orchard", "paddock", "parcel", "pier", "quarry"),
    *("quay", "raft", "reed", "ridge", "road", "rope", "sail", "shed", "sluice", "spring", "stable", "tank"),
    *("timber", "tower", "track", "trench", "tunnel", "valve", "vault", "wagon", "wharf", "windlass", "yard", "yoke"),
)  # fmt: skip
DEEDS = (
    *("check", "clean", "close", "count", "drain", "fetch", "fill", "gather", "grade", "join", "label", "lift"),
    *("load", "mark", "match", "measure", "move", "pack", "patch", "plan", "rank", "reach", "rate", "scan"),
    *("seal", "settle", "shift", "sort", "split", "stack", "store", "sweep", "tally", "trace", "trim", "weigh"),
)  # fmt: skip
KINDS = ("batch", "cost", "depth", "draft", "flow", "grade", "height", "index", "length", "level", "load", "mass",
         "order", "pace", "phase", "price", "range", "ratio", "scale", "share", "slope", "speed", "stock", "width")  # fmt: skip


class Names:
    """Distinct names: none is given twice, and none is another one's beginning followed by a number alone."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.given: set[str] = set()

    def _fresh(self, make: Sequence[Sequence[str]]) -> str:
        for _ in range(200):
            name = "_".join(self.dice.choice(part) for part in make)
            if name not in self.given:
                self.given.add(name)
                return name
        n = 2
        while f"{name}_{n}" in self.given:
            n += 1
        self.given.add(f"{name}_{n}")
        return f"{name}_{n}"

    def function(self) -> str:
        return self._fresh((DEEDS, THINGS))

    def module(self) -> str:
        return self._fresh((THINGS, KINDS))

    def key(self) -> str:
        return self._fresh((THINGS, KINDS))

    def thing(self) -> str:
        return self._fresh((THINGS,))
