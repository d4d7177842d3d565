"""Who may ask: this machine, this user, this page. Everything that arrives passes here first."""

from __future__ import annotations

import hmac
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Scripts and styles come from files only."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?")


class Guard:
    """Refuses other hosts (a name that was pointed at this machine), other pages, other users, and changes without the
    token. An empty token means that nothing may be changed."""

    def __init__(self, app: ASGIApp, *, token: str, any_user: bool = False) -> None:
        self._app = app
        self._token = token
        self._any_user = any_user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if (why := self._refusal(scope, headers)) is not None:
            await refusal(*why)(scope, receive, _dressed(send))
            return
        await self._app(scope, receive, _dressed(send))

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not _HOST.fullmatch(host):
            return 403, "this address is not the viewer's", "open the address that sica web printed"
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return 403, "another page may not ask here", "open the address that sica web printed"
        if not self._any_user and not _same_user(scope):
            return 403, "the viewer answers the user who started it", "start your own, or --any-user"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if not self._token:
            return 403, "this viewer only reads", "start it without --read-only"
        if not hmac.compare_digest(headers.get("x-sica-token", "").encode(), self._token.encode()):
            return (
                403,
                "the token is missing or another one",
                "load the page again: a restarted viewer has a new one",
            )
        return None


def refusal(status: int, what: str, hint: str = "") -> JSONResponse:
    body = {"schema": "sica.web.error/1", "error": what, "hint": hint}
    return JSONResponse(body, status, {"Cache-Control": "no-store"})


def _dressed(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message.get("headers", ())}
            extra = [
                (n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in own
            ]
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return sending


def _same_user(scope: Scope) -> bool:
    """Whether this user, or root, holds the other end of the connection, by the kernel's own table.

    Loopback is open to everybody who is logged in. Where the kernel does not tell, nobody is refused for it.
    """
    client = scope.get("client")
    server = scope.get("server")
    if not client or not server:
        return True
    owner = owner_of(client[0], client[1], server[1])
    return owner is None or owner in (os.getuid(), 0)


def owner_of(address: str, port: int, to: int) -> int | None:
    """User id of the socket at address:port on this machine that is connected to port `to`; None when unknown."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    words = (packed[n : n + 4] for n in range(0, len(packed), 4))
    mine = "".join(word[::-1].hex().upper() for word in words) + f":{port:04X}"
    try:
        table = Path("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp").read_text()
    except OSError:
        return None
    for line in table.splitlines()[1:]:
        cells = line.split()
        if cells[1] == mine and cells[2].endswith(f":{to:04X}"):
            return int(cells[7])
    return None
