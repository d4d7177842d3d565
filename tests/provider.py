"""A real OpenAI-compatible server on loopback that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from doors import said

from sica import chat


@dataclass(frozen=True)
class Raw:
    """An answer that is not a completion: a status with any bytes."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


def failing(status: int, message: str, code: str = "", **headers: str) -> Raw:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code or None}}
    return Raw(status, json.dumps(body).encode(), {k.replace("_", "-"): v for k, v in headers.items()})


HANG = object()
"""Never answer, until the provider is closed."""

CUT = object()
"""Begin to stream, then close the connection."""


class Provider:
    """Answers with `answers` in order, then with the last for ever; `seen` holds each request's headers and body."""

    def __init__(self) -> None:
        self.answers: list[Any] = [said()]
        self.seen: list[tuple[Mapping[str, str], dict[str, Any]]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take, self._closing))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, headers: Mapping[str, str], body: dict[str, Any]) -> Any:
        with self._lock:
            self.seen.append((headers, body))
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def _handler(take: Callable[..., Any], closing: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = take(dict(self.headers), body)
            if callable(answer):  # one that is only known, or only to be given, later
                answer = answer()
            if answer is HANG:
                closing.wait()
                self.close_connection = True
            elif isinstance(answer, Raw):
                self._send(answer.status, answer.body, {"Content-Type": "application/json", **answer.headers})
            elif body.get("stream"):
                self._stream(answer)
            else:
                self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, answer: Any) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            parts = list(chat.chunks(said("x" * 500) if answer is CUT else answer))
            lines = [json.dumps(part) for part in (parts[:3] if answer is CUT else parts)]
            for line in lines if answer is CUT else [*lines, "[DONE]"]:
                data = f"data: {line}\n\n".encode()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            if answer is not CUT:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = answer is CUT

        def log_message(self, *_: object) -> None:
            pass

    return Handler
