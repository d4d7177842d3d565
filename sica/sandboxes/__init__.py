"""Ways to isolate, one file each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sica.errors import SandboxUnavailable, no_such

if TYPE_CHECKING:
    from sica.sandboxes.bubblewrap import Bubblewrap
    from sica.sandboxes.docker import Docker

NAMES = ("auto", "bubblewrap", "docker")


def open_sandbox(name: str, *, store: str, runtime: Path) -> Bubblewrap | Docker:
    """The sandbox of this name for one store; auto: docker if engine and image are there, else bubblewrap.

    An explicit name is opened without asking whether it works here: `probe` and the first `run` say so.
    """
    if name not in NAMES:
        raise no_such("sandbox", name, list(NAMES))
    if name == "auto":
        return _first_that_works(store, runtime)
    return _open(name, store, runtime)


def _open(name: str, store: str, runtime: Path) -> Bubblewrap | Docker:
    if name == "docker":
        from sica.sandboxes.docker import Docker

        return Docker(store=store, runtime=runtime)
    from sica.sandboxes.bubblewrap import Bubblewrap

    return Bubblewrap(store=store, runtime=runtime)


def _first_that_works(store: str, runtime: Path) -> Bubblewrap | Docker:
    tried: list[SandboxUnavailable] = []
    docker = _open("docker", store, runtime)
    try:
        docker.image()
        return docker
    except SandboxUnavailable as error:
        docker.close()
        tried.append(error)
    try:
        embedded = _open("bubblewrap", store, runtime)
        try:
            embedded.probe()
            return embedded
        except SandboxUnavailable:
            embedded.close()
            raise
    except SandboxUnavailable as error:
        tried.append(error)
    raise SandboxUnavailable(
        "no sandbox works on this machine:\n"
        + "\n".join(
            f"  {name}: {error}" for name, error in zip(("docker", "bubblewrap"), tried, strict=True)
        ),
        "\n".join(f"  {error.hint}" for error in tried),
    )
