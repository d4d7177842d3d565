"""Both ends of the broker for tests: a gateway with a script, and the client that a box would be."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sica import chat
from sica.ports import Asked, Price

Answer = Mapping[str, Any] | Exception


def said(
    text: str | None = "hello", *, prompt: int = 10, completion: int = 5, **message: Any
) -> dict[str, Any]:
    """A whole answer as a provider gives it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "test/model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": "tool_calls" if "tool_calls" in message else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }


@dataclass
class ScriptedGateway:
    """A ports.Gateway that answers what `script` returns for each request, and remembers what it was asked."""

    script: Callable[[Asked], Answer] = lambda asked: said()
    prices: Mapping[str, Price] = field(default_factory=lambda: {"test/model": Price(1e-6, 2e-6)})
    name: str = "scripted"
    asked: list[Asked] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, model: str) -> None:
        pass

    def price(self, model: str) -> Price | None:
        return self.prices.get(model)

    def complete(self, asked: Asked) -> Mapping[str, Any]:
        with self._lock:
            self.asked.append(asked)
        answer = self.script(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stream(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        yield from chat.chunks(self.complete(asked))


def replies(*answers: Answer) -> Callable[[Asked], Answer]:
    """A script that gives these answers one after the other."""
    rest = iter(answers)
    lock = threading.Lock()

    def script(asked: Asked) -> Answer:
        with lock:
            return next(rest)

    return script


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float = 20) -> None:
        super().__init__("box", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Any:
        return self.body["error"]

    @property
    def events(self) -> list[Any]:
        """Of a stream, each event's JSON; "[DONE]" as itself."""
        data = [line[6:] for line in self.raw.decode().split("\n\n") if line.startswith("data: ")]
        return [item if item == "[DONE]" else json.loads(item) for item in data]


def request(directory: Path, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    connection = Connection(directory / "gw.sock")
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Reply(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def ask(directory: Path, text: str = "hi", **fields: Any) -> Reply:
    """One chat completion."""
    body = {"model": "default", "messages": [{"role": "user", "content": text}], **fields}
    return request(directory, "POST", "/v1/chat/completions", json.dumps(body).encode())


def raw_talk(directory: Path, data: bytes, timeout: float = 20) -> bytes:
    """Send bytes as they are, and read until the other side closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(str(directory / "gw.sock"))
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65536), b""))
