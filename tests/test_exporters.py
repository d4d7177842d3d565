"""What receivers of other people's tools get: a real OTLP collector that parses protobuf, a real MLflow store."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from commands import Project, begin, environment, sica
from mlflow import MlflowClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from test_trace_browser import written

from sica.cli.exporting import history, source
from sica.cli.invocation import Invocation
from sica.cli.reading import Reading
from sica.errors import SicaError, UsageError
from sica.exporters import Beside, Source, open_exporter
from sica.exporters.otel import spans
from sica.model import Archive, Event, Improvement, Stopped, Task, Trial, Usage
from sica.traces import Traces


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP as collectors do, and keeps what it understood."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.status, self.spans, self.resources = status, [], []  # type: ignore[var-annotated]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


class _Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        for of in ExportTraceServiceRequest.FromString(raw).resource_spans:
            self.server.resources.append(values(of.resource.attributes))
            for scope in of.scope_spans:
                self.server.spans.extend(scope.spans)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    yield from serving(Collector())


def serving(server: Collector) -> Iterator[Collector]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def values(attributes: Any) -> dict[str, Any]:
    found = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A seed and its child, a trial of each in run r1, one with a trace."""
    made = Project.make(tmp_path / "my project")
    assert made.ledger.start_run({"model": "offline", "improve": {"seconds": 600}}).id == "r1"
    seed = made.agent("print(0)\n", subject="seed: plain")
    child = made.agent("print(1)\n", seed, subject="better")
    made.ledger.see_tasks([Task("core/task-0", "digest-0", "do it")])
    trace = written(Traces(made.folder / ".sica" / "traces")).close()
    made.trials(seed, [0.0, None])
    usage = Usage(0.04, 400, 0, 40, 4, 2.0)
    made.ledger.record(Improvement(seed.commit, child, "child", usage, session="i1", run="r1", started=5.0))
    known = Trial(
        agent=child.commit, tree=child.tree, task="core/task-0", digest="digest-0", attempt=0, conditions="c",
        score=1.0, fault=None, ending="done", grading="split", usage=usage, trace=trace, session="s1", run="r1",
        started=1000.0,
    )  # fmt: skip
    made.ledger.record(known)
    made.promote(child)
    made.ledger.close()
    return made


# ── OpenTelemetry ─────────────────────────────────────────────────────────────────────────────────


def test_a_trial_is_a_trace_of_calls_tools_and_sub_agents(project: Project, collector: Collector) -> None:
    ran = sica(project.folder, "export", "otel", collector.address)
    assert ran.code == 0, ran.err
    assert "told to http://127.0.0.1" in ran.out
    (root,) = [s for s in collector.named("invoke_agent agent/1") if s.events]
    of = values(root.attributes)
    assert not root.parent_span_id
    assert (of["gen_ai.operation.name"], of["gen_ai.agent.name"]) == ("invoke_agent", "agent/1")
    assert (of["sica.task"], of["sica.score"], of["sica.run"]) == ("core/task-0", 1.0, "r1")
    assert (of["gen_ai.usage.input_tokens"], of["gen_ai.usage.output_tokens"]) == (400, 40)
    (graded,) = root.events
    assert graded.name == "gen_ai.evaluation.result"
    assert values(graded.attributes)["gen_ai.evaluation.score.value"] == 1.0
    calls = collector.named("chat m")
    assert len(calls) == 4
    first = values(calls[0].attributes)
    assert first["gen_ai.operation.name"] == "chat"
    assert first["gen_ai.request.model"] == "m"
    assert (first["gen_ai.usage.input_tokens"], first["gen_ai.usage.output_tokens"]) == (100, 10)
    assert calls[0].kind == 3  # CLIENT
    (tool,) = collector.named("execute_tool bash")
    assert values(tool.attributes)["gen_ai.tool.call.id"] == "t1"
    (inner,) = collector.named("invoke_agent main/x")
    assert inner.parent_span_id == root.span_id
    assert [c.parent_span_id for c in calls].count(inner.span_id) == 1
    assert all(s.trace_id == root.trace_id and s.start_time_unix_nano <= s.end_time_unix_nano for s in calls)
    assert {r["service.name"] for r in collector.resources} == {"sica"}
    said = str(collector.spans)
    assert "be careful" not in said  # what was said stays here
    assert "not markup" not in said


def test_exporting_again_tells_the_same_spans(project: Project, collector: Collector) -> None:
    sica(project.folder, "export", "otel", collector.address)
    first = {(s.trace_id, s.span_id) for s in collector.spans}
    assert len(first) == len(collector.spans)
    assert sica(project.folder, "export", "otel", collector.address, "--run", "r1", "--json").json == {
        "schema": "sica.export/1", "to": "otel", "where": collector.address, "run": "r1", "outcomes": 5,
    }  # fmt: skip
    assert {(s.trace_id, s.span_id) for s in collector.spans} == first


def test_a_fault_is_an_error_and_a_failed_call_too() -> None:
    usage = Usage(seconds=2.0)
    broken = Trial(
        "c",
        "t",
        "core/a",
        "d",
        0,
        "k",
        None,
        "infra",
        "infra",
        "split",
        usage,
        run="r1",
        started=10.0,
        why="no box",
    )
    told = spans(
        broken,
        Archive({}, (), {}),
        [
            {"ts": 10.0, "type": "request", "call": 0, "model": "anthropic/big", "rest": {"max_tokens": 50}},
            {"ts": 11.0, "type": "failed", "call": 0, "reason": "ProviderError: overloaded"},
        ],
    )
    root, call = told
    assert (root.error, root.of["error.type"]) == ("no box", "infra")
    assert (call.error, call.of["error.type"]) == ("ProviderError: overloaded", "ProviderError")
    assert call.of["gen_ai.provider.name"] == "anthropic"
    assert call.of["gen_ai.request.max_tokens"] == 50
    assert (root.start, root.end) == (10.0, 12.0)


def test_a_run_is_told_while_it_goes_on_and_a_dead_receiver_never_stops_it(
    tmp_path: Path, collector: Collector
) -> None:
    folder = begin(tmp_path / "p")
    box = {"SICA_SANDBOX": "bubblewrap"}
    run = ("evolve", "-n", "0", "--task", "edit-settings", "--attempts")
    ran = sica(folder, *run, "1", "--export", f"otel={collector.address}", env=box)
    assert ran.code == 0, ran.err
    roots = [values(s.attributes) for s in collector.spans if not s.parent_span_id]
    assert {of["sica.step"] for of in roots} == {"check", "evaluate"}
    assert len(collector.named("chat offline")) >= 2
    told = {(s.trace_id, s.span_id) for s in collector.spans}
    ran = sica(folder, *run, "3", "--export", "otel=http://127.0.0.1:9", env=box)
    assert ran.code == 0, ran.err
    assert ran.err.count("the run goes on") == 1
    assert "sica export otel tells all of it again" in ran.err
    assert sica(folder, "export", "otel", collector.address).code == 0
    assert {(s.trace_id, s.span_id) for s in collector.spans} > told  # those told live are the same spans
    assert collector.spans.count(collector.spans[0]) == 2


def test_an_exporter_that_fails_says_so_once_and_is_left_alone() -> None:
    class Failing:
        tried = 0

        def take(self, event: Event) -> None:
            self.tried += 1
            raise SicaError("the receiver is gone")

        def close(self) -> None:
            pass

    said: list[str] = []
    failing = Failing()
    beside = Beside("otel", failing, said.append)
    for _ in range(10):
        beside.take(Stopped("done", Archive({}, (), {}), 0.0))
    beside.close()
    assert failing.tried == 3
    assert said == [
        "otel: the receiver is gone; the run goes on",
        "otel: 10 events were not exported; sica export otel tells all of it again",
    ]


def test_a_receiver_that_refuses_is_an_error_afterwards(project: Project) -> None:
    for refusing in serving(Collector(status=400)):
        ran = sica(project.folder, "export", "otel", refusing.address)
        assert ran.code == 1
        assert "did not take" in ran.err


# ── MLflow ────────────────────────────────────────────────────────────────────────────────────────


def logged(folder: Path) -> tuple[MlflowClient, Any]:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", registry_uri=folder.as_uri())
    found = client.get_experiment_by_name("sica")
    (run,) = client.search_runs([found.experiment_id])
    return client, run


def test_a_run_has_its_settings_and_a_step_an_agent_and_twice_changes_nothing(project: Project) -> None:
    extra = project.folder / "report"
    extra.mkdir()
    (extra / "report.html").write_text("<p>fine</p>")
    ran = sica(project.folder, "export", "mlflow", "--artifacts", "report")
    assert (ran.code, ran.err) == (0, "")
    reading = Reading.of(Invocation(project.folder, {}))
    again = open_exporter(f"mlflow={project.folder / 'mlflow.db'}", source(reading))
    for event in history(reading, "r1"):
        again.take(event)
    again.close()
    client, run = logged(project.folder)
    assert (run.info.run_name, run.info.status) == ("r1", "FINISHED")
    assert run.data.params == {"model": "offline", "improve.seconds": "600"}
    assert run.data.tags["sica.best"] == "agent/1"
    scores = client.get_metric_history(run.info.run_id, "score")
    assert [(m.step, m.value) for m in sorted(scores, key=lambda m: m.step)] == [(0, 0.0), (1, 1.0)]
    costs = client.get_metric_history(run.info.run_id, "cost_usd")
    assert {m.step: round(m.value, 4) for m in costs} == {0: 0.27, 1: 0.29}
    (file,) = (project.folder / "mlartifacts").rglob("report.html")
    assert file.read_text() == "<p>fine</p>"


# ── asking for it ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("otel=nowhere", "is not the address of a receiver"),
        ("otel", "does not say where to"),
        ("otle=http://x", "did you mean 'otel'"),
        ("mlflow=folder", "neither a server nor a database"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(words: str, says: str) -> None:
    def nothing(name: str) -> list[Mapping[str, Any]]:
        raise AssertionError(name)

    with pytest.raises(UsageError) as error:
        open_exporter(words, Source(nothing, {}, "store"))
    assert says in f"{error.value} {error.value.hint}"


@pytest.mark.parametrize("name", ["otel", "mlflow"])
def test_a_missing_extra_names_the_command_that_installs_it(tmp_path: Path, name: str) -> None:
    code = (
        "import sys, json\n"
        "sys.modules['mlflow'] = sys.modules['opentelemetry'] = None\n"  # as if they were not installed
        "from sica.exporters import open_exporter, Source\n"
        "from sica.errors import UsageError\n"
        "try: open_exporter(sys.argv[1] + '=http://x.db', Source(list, {}, 's'))\n"
        "except UsageError as error: print(json.dumps([str(error), error.hint]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    words, hint = json.loads(done.stdout)
    assert "packages that are not installed" in words
    assert hint == f"pip install 'sica[{name}]'"
