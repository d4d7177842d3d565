"""Which address answers what (docs/web-api.md), and how an error is said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sica.cli.asking import Conflict
from sica.errors import SicaError, StoreError, UsageError
from sica.report import clean, clean_block
from sica.web import hunks, lineage, live, people, stream, tables
from sica.web.guard import Guard, refusal
from sica.web.said import Answer, said
from sica.web.source import Missing, Source
from sica.web.tracefile import TraceFile, Wanted

STATIC = Path(__file__).with_name("static")
LARGEST = 64 * 1024
"""Bytes of a request of a person."""


def application(source: Source, *, any_user: bool = False) -> Guard:
    """The whole viewer as an ASGI application; a Guard stands before it."""
    read = partial(_read, source.moment)
    beside = partial(_read, nullcontext)  # a long trace keeps nobody waiting
    reads = {
        "/api/archive": read("archive", lambda q: lineage.archive(source, q.bench, q.under), kept=True),
        "/api/status": read("status", lambda q: live.status(source, q.bench, q.under)),
        "/api/progress": read("progress", lambda q: lineage.progress(source, q.bench, q.under), kept=True),
        "/api/matrix": read("matrix", lambda q: lineage.matrix(source, q.bench, q.under), kept=True),
        "/api/agent/{n:int}": read(
            "agent", lambda q: lineage.agent(source, q.path("n"), q.bench, q.under), kept=True
        ),
        "/api/agent/{n:int}/diff": read(
            "diff", lambda q: hunks.diff(source, q.path("n"), q.number("against", -1))
        ),
        "/api/compare/{a:int}/{b:int}": read(
            "compare", lambda q: lineage.compare(source, q.path("a"), q.path("b"), q.bench, q.under)
        ),
        "/api/trace/{name}": beside("trace", lambda q: traced(source, q.path("name")).page(q.wanted())),
        "/api/trace/{name}/block/{e:float}": beside(
            "block", lambda q: _block(source, q.path("name"), q.path("e"))
        ),
        "/api/running": beside("running", lambda _: live.running(source)),
        "/api/log": read(
            "log",
            lambda q: people.log(source, q.text("before"), q.list("kind"), q.number("limit", 200, 1, 500)),
        ),
        "/api/requests": read("requests", lambda _: people.requests(source)),
    }
    routes = [
        Route("/", _page),
        *(Route(path, endpoint) for path, endpoint in reads.items()),
        Route("/api/requests", _ask(source), methods=["POST"]),
        Route("/api/events", _events(source)),
        Route("/raw/trace/{name}", _raw_trace(source)),
        Route("/raw/archive.csv", _csv(source, tables.agents, "archive.csv")),
        Route("/raw/trials.csv", _csv(source, tables.trials, "trials.csv")),
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

    def list(self, name: str) -> frozenset[str]:
        return frozenset(part for part in self.text(name).split(",") if part)

    def wanted(self) -> Wanted:
        at, span = self.text("at", 20), self.text("span", 20)
        try:
            return Wanted(
                self.number("page", 0),
                float(at) if at else None,
                self.list("kind"),
                self.text("q"),
                int(span) if span else None,
            )
        except ValueError:
            raise UsageError("at and span are numbers", "docs/web-api.md") from None

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
    moment: Callable[[], AbstractContextManager[None]],
    schema: str,
    answer: Callable[[Query], Answer],
    *,
    kept: bool = False,
) -> Callable[[Request], Response]:
    """An endpoint; `kept`: a page that has this very answer is told so instead of being sent it again."""

    def endpoint(request: Request) -> Response:
        with moment():
            found = answer(Query(request))
        return said(schema, found, request.headers.get("if-none-match", "") if kept else None)

    return endpoint


def traced(source: Source, name: str) -> TraceFile:
    try:
        return source.shelf.get(name)
    except StoreError:
        raise
    except UsageError as error:
        raise Missing(str(error), error.hint) from None


def _block(source: Source, name: str, e: float) -> Answer:
    found = traced(source, name).whole(e)
    if found is None:
        raise Missing(f"the trace has no block {e:g}", f"/api/trace/{clean(name)} lists them")
    return found


def _raw_trace(source: Source) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        file = traced(source, request.path_params["name"])
        name = f"{file.name.replace(':', '-')[:24]}.jsonl.txt"
        return _attached(StreamingResponse(file.raw(), media_type="text/plain; charset=utf-8"), name)

    return endpoint


def _csv(
    source: Source, table: Callable[[Source], Iterable[str]], name: str
) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        del request
        return _attached(StreamingResponse(table(source), media_type="text/csv; charset=utf-8"), name)

    return endpoint


def _attached(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _ask(source: Source) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST:
                return refusal(413, f"more than {LARGEST} bytes", "say it in fewer words")
        kept = await run_in_threadpool(people.ask, source, request.headers.get("content-type", ""), body)
        return said("request", {"request": kept}, status=202)

    return endpoint


def _events(source: Source) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        query = Query(request)
        kinds = query.list("kinds")
        if unknown := kinds - set(stream.KINDS):
            raise UsageError(
                f"there are no events {clean(', '.join(sorted(unknown)))!r}", ", ".join(stream.KINDS)
            )
        after = request.headers.get("last-event-id") or query.text("after", 20_000)
        cursor = await run_in_threadpool(people.cursor, source, after)
        feed = stream.events(source, cursor, kinds, partial(_status, source))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(feed, media_type="text/event-stream", headers=headers)

    return endpoint


def _status(source: Source) -> Answer:
    with source.moment():
        return {"schema": "sica.web.status/1", **live.status(source)}


def _sica_error(request: Request, error: Exception) -> Response:
    del request
    hint = error.hint if isinstance(error, SicaError) else ""
    match error:
        case Missing():
            status = 404
        case Conflict():
            status = 409
        case StoreError():
            status = 503
        case _:
            status = 400
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
