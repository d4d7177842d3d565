"""The viewer's server in this process, over a real store, asked by real HTTP."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sica import places
from sica.web import app, serve
from sica.web.source import Source


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    source: Source
    port: int

    def ask(self, path: str, method: str = "GET", body: object = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, told)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status == 200, answer.body
        return answer.json

    def request(self, **wanted: object) -> Answer:
        return self.ask(
            "/api/requests", "POST", wanted, Content_Type="application/json", X_Sica_Token=self.source.token
        )

    @contextmanager
    def listening(self, query: str = "", last: str = "") -> Iterator[Iterator[dict[str, Any]]]:
        """Messages of the event stream: kind, id and data."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Last-Event-ID": last} if last else {}
        connection.request("GET", f"/api/events{query}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        try:
            yield messages(answer)
        finally:
            connection.close()


def messages(lines: Any) -> Iterator[dict[str, Any]]:
    """As an EventSource reads them; ends where the connection does."""
    kind = id_ = ""
    while True:
        try:
            line = lines.readline().decode().rstrip("\n")
        except (http.client.HTTPException, ConnectionError, ValueError):
            return
        match line.partition(": "):
            case ("event", _, kind):
                pass
            case ("id", _, id_):
                pass
            case ("data", _, data):
                yield {"kind": kind, "id": id_, "data": json.loads(data)}
                kind = id_ = ""
        if not line and getattr(lines, "isclosed", lambda: False)():
            return


@contextmanager
def serving(project: Path, **facts: Any) -> Iterator[Server]:
    source = Source(places.at(project, {}), "web", token="the token", user="ann", **facts)
    with serve.listening(0) as listener, source:
        server = serve.server(app.application(source), source)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Server(source, listener.getsockname()[1])
        finally:
            server.handle_exit(2, None)
            thread.join(20)
            assert not thread.is_alive()
