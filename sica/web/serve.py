"""One loopback server, ended at once by Ctrl-C."""

from __future__ import annotations

import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from sica.errors import UsageError

TRIED = 100
"""Ports after the wanted one that are tried when it is taken."""


class Server(uvicorn.Server):
    """Open event streams do not keep it: whoever watches comes back by itself and goes on where it was."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del sig, frame
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


def server(app: ASGIApp) -> Server:
    return Server(
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
