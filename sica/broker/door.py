"""Sockets and HTTP: who is heard, for how long, and how an answer goes back."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from aiohttp import web

from sica.broker.manners import Events, Manner
from sica.broker.terms import Terms

_SOCKET_PATH = 104
"""Bytes that every Unix takes as a socket's address."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer as the events of a stream, all of them."""

    events: Events


Item = Reply | Whole | Mapping[str, Any] | None
"""A whole reply, a whole stream, a chunk, or the end of the chunks."""


class Listener(Protocol):
    """Who hears the answer to a call."""

    hung_up: threading.Event

    def put(self, item: Item) -> None: ...


class Exchange:
    """One request and where its answer goes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.items: asyncio.Queue[Item] = asyncio.Queue()
        self.hung_up = threading.Event()

    def put(self, item: Item) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everybody who could listen
            self._loop.call_soon_threadsafe(self.items.put_nowait, item)


class Translated:
    """An exchange with a client that asks in another manner; `events`: it wants its answer as a stream."""

    def __init__(self, exchange: Exchange, manner: Manner, events: bool) -> None:
        self._exchange, self._manner, self._events = exchange, manner, events
        self.hung_up = exchange.hung_up

    def put(self, item: Item) -> None:
        if not isinstance(item, Reply):
            raise AssertionError("a translated call is never streamed by its gateway")
        if item.status != 200:
            self._exchange.put(Reply(item.status, self._manner.error(item.body)))
            return
        body = self._manner.reply(item.body)
        self._exchange.put(Whole(tuple(self._manner.events(body))) if self._events else Reply(200, body))


class Direct:
    """Where the answer goes when sica itself asked."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.hung_up = threading.Event()

    def put(self, item: Item) -> None:
        self.items.append(item)


def json_response(status: int, body: Mapping[str, Any], *, close: bool = False) -> web.Response:
    headers = {} if status < 400 else {"x-should-retry": "false"}  # what could be retried has been
    response = web.Response(
        status=status, body=json.dumps(body).encode(), content_type="application/json", headers=headers
    )
    if close:
        response.force_close()
    return response


class Connection(web.RequestHandler):
    """Ends connections that begin a request and do not finish its head in time, and those past the limit."""

    def __init__(self, server: Server, terms: Terms, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            tcp_keepalive=False,
            lingering_time=1.0,
        )
        self._server, self._terms, self._clock = server, terms, loop
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._server.connections) >= self._terms.connections:
            cast(asyncio.Transport, transport).abort()
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._timer is None:
            self._timer = self._clock.call_later(self._terms.header_seconds, self.force_close)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While a request whose head has come is answered."""
        self._busy = True
        self._disarm()
        try:
            yield
        finally:
            self._busy = False


class Server(web.Server):
    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        terms: Terms,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._make: Callable[[], Connection] = lambda: Connection(self, terms, loop)

    def __call__(self) -> web.RequestHandler:
        return self._make()


def listen(directory: Path) -> socket.socket:
    """The session's socket, open to whoever can walk to it: a box's user has another uid."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    directory.chmod(0o711)
    path = directory / "gw.sock"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        long = len(os.fsencode(path)) > _SOCKET_PATH
        server.bind(f"/proc/self/fd/{folder}/gw.sock" if long else str(path))
        path.chmod(0o666)
    except BaseException:
        server.close()
        raise
    finally:
        os.close(folder)
    server.setblocking(False)
    return server


def room_for_connections() -> None:
    """Hostile boxes may hold all their connections; that must not use up this process's descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8_192 if hard == resource.RLIM_INFINITY else min(8_192, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
