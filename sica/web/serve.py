"""One loopback server, ended at once by Ctrl-C."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from sica.errors import SicaError, UsageError
from sica.web import lineage
from sica.web.source import Source

TRIED = 100
"""Ports after the wanted one that are tried when it is taken."""


class Server(uvicorn.Server):
    """Ended by one Ctrl-C, without a word: streams end with it, and whoever watches comes back by itself."""

    closing: threading.Event

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del sig, frame
        self.closing.set()
        self.should_exit = True


def listening(port: int) -> socket.socket:
    """A socket on this machine only, at the port or the next one that is free."""
    for wanted in range(port, min(port + TRIED, 65536)) if port else (0,):
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", wanted))
            found.listen(128)
        except OSError:
            found.close()
            continue
        return found
    raise UsageError(
        f"ports {port} to {min(port + TRIED, 65536) - 1} are all taken", "--port takes another one"
    )


def server(app: ASGIApp, source: Source) -> Server:
    """Not yet running; what the first page needs is read meanwhile."""
    made = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
            lifespan="off",
            ws="none",
            proxy_headers=False,
        )
    )
    made.closing = source.closing
    threading.Thread(target=_warm, args=(source,), name="warm", daemon=True).start()
    return made


def _warm(source: Source) -> None:
    with suppress(SicaError):  # whoever asks first is told
        lineage.archive(source)
        lineage.matrix(source)
