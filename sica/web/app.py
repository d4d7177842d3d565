"""Which address answers what (docs/web-api.md), and how an error is said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sica.errors import SicaError, StoreError, UsageError
from sica.report import clean, clean_block
from sica.web import lineage, live
from sica.web.guard import Guard, refusal
from sica.web.source import Missing, Source

STATIC = Path(__file__).with_name("static")
Answer = Mapping[str, Any]


def application(source: Source, *, any_user: bool = False) -> Guard:
    """The whole viewer as an ASGI application; a Guard stands before it."""
    reads = {
        "/api/archive": _read("archive", lambda q: lineage.archive(source, q.bench, q.under), kept=True),
        "/api/status": _read("status", lambda q: live.status(source, q.bench, q.under)),
        "/api/progress": _read("progress", lambda q: lineage.progress(source, q.bench, q.under), kept=True),
        "/api/matrix": _read("matrix", lambda q: lineage.matrix(source, q.bench, q.under), kept=True),
        "/api/agent/{n:int}": _read(
            "agent", lambda q: lineage.agent(source, q.path("n"), q.bench, q.under), kept=True
        ),
        "/api/compare/{a:int}/{b:int}": _read(
            "compare", lambda q: lineage.compare(source, q.path("a"), q.path("b"), q.bench, q.under)
        ),
    }
    routes = [
        Route("/", _page),
        *(Route(path, endpoint) for path, endpoint in reads.items()),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={SicaError: _sica_error, HTTPException: _http_error, Exception: _fault},
    )
    return Guard(app, token="" if source.readonly else source.token, any_user=any_user)


def _page(request: Request) -> Response:
    del request
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


class Query:
    """What was asked for, checked as it is read."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.bench = self.text("bench")
        self.under = self.text("under")

    def text(self, name: str, most: int = 300) -> str:
        value = self._request.query_params.get(name, "")
        if len(value) > most:
            raise UsageError(f"{name} has {len(value)} characters", f"at most {most}")
        return value

    def number(self, name: str, default: int, least: int = 0, most: int = 2**53) -> int:
        text = self.text(name, 20)
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
            raise UsageError(f"{name} is {clean(text)!r}", f"a number from {least} to {most}")
        return int(text)

    def path(self, name: str) -> Any:
        return self._request.path_params[name]


def _read(
    schema: str, answer: Callable[[Query], Answer], *, kept: bool = False
) -> Callable[[Request], Response]:
    """An endpoint; `kept`: a page that has this very answer is told so instead of being sent it again."""

    def endpoint(request: Request) -> Response:
        return said(
            schema, answer(Query(request)), request.headers.get("if-none-match", "") if kept else None
        )

    return endpoint


def said(schema: str, answer: Answer, known: str | None = None, status: int = 200) -> Response:
    body = encoded(schema, answer)
    headers = {"Cache-Control": "no-store"}
    if known is not None:
        headers |= {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
        if known == headers["ETag"]:
            return Response(status_code=304, headers=headers)
    return Response(body, status, headers, "application/json")


def encoded(schema: str, answer: Answer) -> bytes:
    """JSON in which no string holds a character that steers: hostile text is plain text by here at the latest."""
    whole = {"schema": f"sica.web.{schema}/1", **answer}
    return json.dumps(harmless(whole), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def harmless(value: Any) -> Any:
    if isinstance(value, str):
        return clean_block(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): harmless(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [harmless(item) for item in value]
    return value


def _sica_error(request: Request, error: Exception) -> Response:
    del request
    hint = error.hint if isinstance(error, SicaError) else ""
    match error:
        case Missing():
            status = 404
        case StoreError():
            status = 503
        case _:
            status = getattr(error, "status", 400)
    return refusal(status, clean_block(str(error)), clean_block(hint))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"there is no {clean(request.url.path)}" if error.status_code == 404 else clean(error.detail)
    return refusal(error.status_code, what, "docs/web-api.md lists what there is")


def _fault(request: Request, error: Exception) -> Response:
    """Starlette raises it again after this answer, so that whoever runs the server sees it."""
    return refusal(
        500,
        f"this is a fault of sica itself: {clean(f'{type(error).__name__}: {error}')[:200]}",
        clean(request.url.path),
    )
