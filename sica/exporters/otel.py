"""OpenTelemetry spans over OTLP/HTTP: a trace for every trial and improvement, a span for every model call and tool.

Names are those of the GenAI semantic conventions 1.41, all of them still in development there. What was said is not
exported, only that it was: prompts and answers stay in sica's own traces. Ids follow from sessions, so that exporting
twice tells the same spans twice and no others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sica import __version__, blocks, report
from sica.errors import SicaError, UsageError
from sica.exporters import Source
from sica.model import Archive, Event, Finished, Improvement, Outcome, Promotion, Trial, Verdict

MANY = 512
"""Spans in one request."""
SECONDS = 4
"""For one request, retries included."""

Value = str | int | float | bool | Sequence[str]


@dataclass
class Span:
    name: str
    key: str
    """Its name within the trace; its id follows from it."""
    parent: str
    start: float
    end: float
    of: dict[str, Value]
    client: bool = False
    error: str = ""
    events: list[tuple[str, float, Mapping[str, Value]]] = field(default_factory=list)


# ── what is told ──────────────────────────────────────────────────────────────────────────────────


def spans(outcome: Outcome, archive: Archive, events: Iterable[Mapping[str, Any]]) -> list[Span]:
    """The outcome as one trace; the first span is the whole of it. Of a promotion there is nothing to tell."""
    if isinstance(outcome, Promotion):
        return []
    root = _root(outcome, archive)
    told = _Told(root)
    for event in events:
        told.take(event)
    root.end = max(root.end, *(span.end for span in told.spans))
    return told.spans


def _root(outcome: Trial | Improvement | Verdict, archive: Archive) -> Span:
    commit = outcome.parent if isinstance(outcome, Improvement) else outcome.agent
    agent = archive.agents.get(commit)
    name = agent.name if agent else commit[:10]
    usage = outcome.usage
    of: dict[str, Value] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "sica",
        "gen_ai.agent.name": name,
        "gen_ai.agent.id": commit,
        "gen_ai.conversation.id": outcome.session,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "sica.run": outcome.run,
        "sica.cost_usd": usage.usd,
        "sica.calls": usage.calls,
        "sica.trace": outcome.trace,
    }
    span = Span(f"invoke_agent {name}", "", "", outcome.started, outcome.started + usage.seconds, of)
    match outcome:
        case Trial():
            of |= {"sica.step": "evaluate", "sica.task": report.clean(outcome.task)}
            of |= {"sica.attempt": outcome.attempt, "sica.ending": outcome.ending}
            if outcome.score is not None:
                of["sica.score"] = outcome.score
                span.events.append(("gen_ai.evaluation.result", span.end, _graded(outcome, outcome.score)))
        case Improvement():
            of |= {"sica.step": "improve", "sica.ending": outcome.ending}
            if outcome.child is not None:
                of["sica.child"] = outcome.child.name
        case Verdict():
            of |= {"sica.step": "check", "sica.passed": outcome.passed}
    if outcome.fault:
        of["error.type"] = outcome.fault
        span.error = report.cut(report.clean(outcome.why), 300) or outcome.fault
    return span


def _graded(trial: Trial, score: float) -> Mapping[str, Value]:
    return {
        "gen_ai.evaluation.name": report.clean(trial.task),
        "gen_ai.evaluation.score.value": score,
        "gen_ai.evaluation.score.label": "pass" if score >= 1 else "fail",
    }


class _Told:
    """The spans of one trace, grown event by event."""

    def __init__(self, root: Span) -> None:
        self.spans = [root]
        self._calls: dict[str, Span] = {}
        self._tools: dict[tuple[str, str], Span] = {}
        self._agents: dict[str, Span] = {}
        self._messages: list[tuple[float, str]] = []
        """When which tool's result was told, until the request with it says to whom."""

    def take(self, event: Mapping[str, Any]) -> None:
        at = event.get("ts")
        if not isinstance(at, int | float):
            return
        match event.get("type"):
            case "request":
                self._request(event, at)
            case "response":
                self._response(event, at)
            case "failed" | "refused":
                self._failed(event, at)
            case "message":
                self._result(event, at)

    def _request(self, event: Mapping[str, Any], at: float) -> None:
        model = report.clean(str(event.get("model", "")))
        provider, slash, _ = model.partition("/")
        of: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider if slash or model == "offline" else "openai",
            "gen_ai.request.model": model,
            "gen_ai.conversation.id": self.spans[0].of["gen_ai.conversation.id"],
        }
        rest = event.get("rest")
        for name in ("max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed"):
            value = rest.get(name) if isinstance(rest, Mapping) else None
            if isinstance(value, int | float):
                of[f"gen_ai.request.{name}"] = value
        under = self._agent(event, at)
        for seen, id_ in self._messages:
            if (tool := self._tools.pop((under.key, id_), None)) is not None:
                self._end(tool, seen)
        self._messages.clear()
        span = Span(f"chat {model}", f"call {event.get('call')}", under.key, at, at, of, client=True)
        self._calls[str(event.get("call"))] = span
        self._add(span)

    def _response(self, event: Mapping[str, Any], at: float) -> None:
        span = self._calls.pop(str(event.get("call")), None)
        if span is None:
            return
        self._end(span, at)
        body, usage = event.get("body"), event.get("usage")
        if isinstance(usage, Mapping):
            counts = {
                "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
                "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
                "gen_ai.usage.cache_read.input_tokens": usage.get("cached_tokens"),
                "sica.cost_usd": usage.get("usd"),
            }
            span.of |= {key: value for key, value in counts.items() if isinstance(value, int | float)}
        if isinstance(body, Mapping):
            for key in ("id", "model"):
                if isinstance(body.get(key), str):
                    span.of[f"gen_ai.response.{key}"] = report.clean(body[key])
            span.of["gen_ai.response.finish_reasons"] = list(_finish_reasons(body))
        for message in blocks.answers(body):
            for call in blocks.tool_calls(message):
                self._tool(call, span.parent, at)

    def _tool(self, call: Any, parent: str, at: float) -> None:
        """Open until its result is seen among what the model is told next."""
        name, id_ = report.clean(blocks.name(call)), str(call.get("id")) if isinstance(call, Mapping) else ""
        of: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": report.clean(id_),
            "gen_ai.tool.type": "function",
        }
        span = Span(f"execute_tool {name}", f"tool {len(self.spans)}", parent, at, at, of)
        self._tools[parent, id_] = span
        self._add(span)

    def _result(self, event: Mapping[str, Any], at: float) -> None:
        message = event.get("body")
        if isinstance(message, Mapping) and message.get("role") == "tool":
            self._messages.append((at, str(message.get("tool_call_id"))))

    def _failed(self, event: Mapping[str, Any], at: float) -> None:
        span = self._calls.pop(str(event.get("call")), None)
        if span is not None:
            reason = report.clean(str(event.get("reason", "")))
            kind = reason.partition(":")[0]
            span.of["error.type"] = kind if kind.isidentifier() else str(event.get("type"))
            span.error = report.cut(reason, 300)
            self._end(span, at)

    def _agent(self, event: Mapping[str, Any], at: float) -> Span:
        """The sub-agent that an event belongs to, below the one that it names or its name begins with."""
        label = event.get("span")
        if not isinstance(label, str) or label in ("", "main"):
            return self.spans[0]
        if label not in self._agents:
            above = event.get("parent")
            above = above if isinstance(above, str) else label.rpartition("/")[0]
            parent = self._agent({"span": above}, at) if above and above != label else self.spans[0]
            name = report.clean(label)
            of: dict[str, Value] = {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.provider.name": "sica",
                "gen_ai.agent.name": name,
            }
            self._agents[label] = Span(f"invoke_agent {name}", f"agent {label}", parent.key, at, at, of)
            self._add(self._agents[label])
        return self._agents[label]

    def _add(self, span: Span) -> None:
        self.spans.append(span)

    def _end(self, span: Span, at: float) -> None:
        """An agent lasts as long as what it asked for."""
        span.end = max(span.end, at)
        above = next((s for s in self._agents.values() if s.key == span.parent), None)
        if above is not None:
            self._end(above, at)


def _finish_reasons(body: Mapping[str, Any]) -> Iterator[str]:
    choices = body.get("choices")
    for choice in choices if isinstance(choices, Sequence) and not isinstance(choices, str) else ():
        reason = choice.get("finish_reason") if isinstance(choice, Mapping) else None
        yield report.clean(str(reason or ""))


# ── how it is told ────────────────────────────────────────────────────────────────────────────────


class Exporter:
    """`where`: an OTLP/HTTP receiver; headers come from OTEL_EXPORTER_OTLP_HEADERS, as everywhere."""

    def __init__(self, where: str, source: Source) -> None:
        self._url, self._source = _traces_of(where), source
        self._reason = _Reason()
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._reason)
        logger.propagate = False  # it would write into the picture of the run; what it says is in our error
        self._sender = OTLPSpanExporter(endpoint=self._url, timeout=SECONDS)
        self._resource = Resource.create(
            {"service.name": "sica", "service.version": __version__, "sica.store": source.store}
        )
        self._scope = InstrumentationScope("sica", __version__)

    def take(self, event: Event) -> None:
        if not isinstance(event, Finished):
            return
        trace = getattr(event.outcome, "trace", "")
        try:
            happened = list(self._source.read_trace(trace)) if trace else []
        except SicaError:
            happened = []  # the trace was pruned: what the outcome itself says is told all the same
        self._send(event.outcome, spans(event.outcome, event.archive, happened))

    def close(self) -> None:
        self._sender.shutdown()
        logging.getLogger("opentelemetry").removeHandler(self._reason)

    def _send(self, outcome: Outcome, told: Sequence[Span]) -> None:
        name = f"{self._source.store} {_identity(outcome)}"
        made = [self._made(span, name) for span in told]
        for start in range(0, len(made), MANY):
            if self._sender.export(made[start : start + MANY]) is not SpanExportResult.SUCCESS:
                raise SicaError(f"{self._url} did not take {len(made)} spans: {self._reason.last}")

    def _made(self, span: Span, trace: str) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(trace, span.key),
            parent=_context(trace, span.parent) if span.key else None,
            resource=self._resource,
            attributes=dict(span.of),
            events=[SpanEvent(name, dict(of), _nanoseconds(at)) for name, at, of in span.events],
            kind=SpanKind.CLIENT if span.client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=_nanoseconds(span.start),
            end_time=_nanoseconds(span.end),
            instrumentation_scope=self._scope,
        )


def _identity(outcome: Outcome) -> str:
    """The same for the same outcome, told live or out of the archive."""
    facts = ("session", "run", "started", "agent", "parent", "digest", "attempt")
    return " ".join([type(outcome).__name__, *(str(getattr(outcome, fact, "")) for fact in facts)])


def _context(trace: str, key: str) -> SpanContext:
    trace_id = int.from_bytes(sha256(f"trace {trace}".encode()).digest()[:16], "big")
    span_id = int.from_bytes(sha256(f"span {trace} {key}".encode()).digest()[:8], "big")
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000) * 1_000


def _traces_of(where: str) -> str:
    parts = urlsplit(where)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"otel={where} is not the address of a receiver", "such as otel=http://127.0.0.1:4318"
        )
    return where if parts.path.strip("/") else where.rstrip("/") + "/v1/traces"


class _Reason(logging.Handler):
    """Keeps the last thing that the library said went wrong: its answer is only yes or no."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = "no reason was given"

    def emit(self, record: logging.LogRecord) -> None:
        self.last = report.cut(report.clean(record.getMessage()), 200)
