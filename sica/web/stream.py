"""Everything that happens, as server-sent events."""

from __future__ import annotations

from sica import chronicle
from sica.web.source import Source


def now(source: Source) -> chronicle.Mark:
    return chronicle.now(source.ledger)
