#!/usr/bin/env python3
"""Write benchmark_data/suites.toml: the seed of each suite that comes with sica and the digest of what it gives now.

A changed digest is another suite: its tasks are new to every ledger. tests/test_suites.py says when this was forgotten.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEED = 2

HEAD = """\
# The built-in suites as they come with sica: `sica bench make SUITE --seed N` gives these very bytes.
# Written by bin/pin_suites.py.
"""


def build() -> str:
    sys.path.insert(0, str(ROOT))
    from sica import suites

    parts = [
        f'\n[{name}]\nseed = {SEED}\ndigest = "{suites.digest(dict(suites.make(name, SEED)))}"\n'
        for name in suites.NAMES
    ]
    return HEAD + "".join(parts)


if __name__ == "__main__":
    (ROOT / "benchmark_data" / "suites.toml").write_text(build(), encoding="utf-8")
