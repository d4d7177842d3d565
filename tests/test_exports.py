"""Trials in the formats of others: as plain data, and as the command writes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives import agent, task, trial
from commands import Project, family, sica
from hypothesis import given, settings
from hypothesis import strategies as st

from sica.exports import Exported, sound
from sica.exports.atif import trajectory
from sica.exports.inspect_log import conversation
from sica.exports.predictions import predictions


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return family(tmp_path_factory.mktemp("p") / "with space")


class Talk:
    """A trace's events, typed as the talk they tell."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.history: list[str] = []
        self.calls = 0

    def hear(self, **body: Any) -> Talk:
        name = f"h{len(self.events)}"
        self.events.append({"type": "message", "hash": name, "body": body})
        self.history.append(name)
        return self

    def answer(self, **message: Any) -> Talk:
        """The model is asked, answers, and the agent puts the answer into its history."""
        call = {
            "type": "request",
            "ts": 1.0,
            "call": self.calls,
            "model": "m/x",
            "messages": list(self.history),
        }
        self.events.append({**call, "rest": {"tools": [{"type": "function", "function": {"name": "bash"}}]}})
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 1, "usd": 0.5}
        body = {"choices": [{"message": message, "finish_reason": "stop"}]}
        told = {
            "type": "response",
            "ts": 2.0,
            "call": self.calls,
            "body": body,
            "usage": usage,
            "seconds": 1.0,
        }
        self.events.append(told)
        self.calls += 1
        return self.hear(role="assistant", **message)

    def exported(self) -> Exported:
        return Exported(agent(0), trial(agent(0), task("t"), 1.0), lambda: self.events)


def called(id: str, arguments: str) -> list[dict[str, Any]]:
    return [{"id": id, "type": "function", "function": {"name": "bash", "arguments": arguments}}]


def test_each_answer_is_one_step_and_what_its_tools_gave_is_its_observation() -> None:
    talk = (
        Talk().hear(role="system", content="be").hear(role="user", content=[{"type": "text", "text": "do"}])
    )
    talk.answer(content="look", tool_calls=called("c1", '{"command": "ls"}'))
    talk.hear(role="tool", tool_call_id="c1", content="a.py")
    talk.answer(content="done", tool_calls=None)
    steps = trajectory(talk.exported())["steps"]
    assert [(s["step_id"], s["source"], s["message"]) for s in steps] == [
        (1, "system", "be"), (2, "user", "do"), (3, "agent", "look"), (4, "agent", "done"),
    ]  # fmt: skip
    assert steps[2]["tool_calls"] == [
        {"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "ls"}}
    ]
    assert steps[2]["observation"] == {"results": [{"source_call_id": "c1", "content": "a.py"}]}
    assert steps[2]["metrics"]["cost_usd"] == 0.5
    assert "metrics" not in steps[1]


def test_what_a_model_wrote_badly_is_still_a_trajectory() -> None:
    talk = Talk().hear(role="user", content="do").answer(content=None, tool_calls=called("c1", "{broken"))
    talk.hear(role="tool", tool_call_id="unknown", content="?").answer(content="\ud800")
    steps = trajectory(talk.exported())["steps"]
    assert steps[1]["tool_calls"][0]["arguments"] == {"_raw": "{broken"}
    assert (steps[2]["source"], steps[2]["message"]) == ("user", "?")
    assert steps[3]["message"] == "?"


def test_a_history_that_starts_anew_loses_nothing_and_repeats_nothing() -> None:
    talk = Talk().hear(role="user", content="one").answer(content="first")
    talk.history = talk.history[:1]
    talk.hear(role="user", content="summary").answer(content="second")
    assert [s["message"] for s in trajectory(talk.exported())["steps"]] == [
        "one",
        "first",
        "summary",
        "second",
    ]
    assert [m["content"] for m in conversation(talk.events)[0]] == ["one", "first", "summary", "second"]


def test_a_trial_that_reached_no_model_has_one_step() -> None:
    found = trajectory(Exported(agent(0), trial(agent(0), task("t"), None)))
    assert [s["source"] for s in found["steps"]] == ["user"]
    assert found["extra"]["fault"] == "infra"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(
    ["type", "hash", "body", "messages", "rest", "usage", "choices", "role", "content", "ts"]
)
EVENT = st.dictionaries(FIELD, JSON, max_size=5).flatmap(
    lambda event: st.sampled_from(["message", "request", "response"]).map(
        lambda kind: {**event, "type": kind}
    )
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, max_size=6))
def test_whatever_a_trace_holds_it_is_exported(events: list[dict[str, Any]]) -> None:
    found = trajectory(Exported(agent(0), trial(agent(0), task("t"), 1.0), lambda: events))
    assert [s["step_id"] for s in found["steps"]] == list(range(1, len(found["steps"]) + 1))
    json.dumps(found, ensure_ascii=False).encode()
    json.dumps(sound(conversation(events)), ensure_ascii=False).encode()


def test_the_last_scored_attempt_is_the_prediction() -> None:
    who, what = agent(0), task("django__django-1")
    tries = [
        trial(who, what, score, attempt, detail={"patch": f"p{attempt}"})
        for attempt, score in enumerate((0.0, 1.0, None))
    ]
    found = predictions([Exported(who, each) for each in tries])
    assert found == [{"instance_id": "django__django-1", "model_name_or_path": "sica-a", "model_patch": "p1"}]
    assert predictions([Exported(who, replace(tries[0], detail={}))]) == []


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def rows(text: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(text))


def test_csv_has_a_row_a_trial(project: Project) -> None:
    ran = sica(project.folder, "export", "csv", "out/trials.csv", "--json")
    assert ran.code == 0, ran.err
    every = list(rows((project.folder / "out/trials.csv").read_text()))
    assert ran.json["n"] == len(every) > 20
    assert {row["benchmark"] for row in every} == {"core"}
    assert any(row["score"] == "" and row["fault"] for row in every), "a fault is no zero"


def test_a_selection_is_by_agent_task_and_run(project: Project) -> None:
    ran = sica(
        project.folder, "export", "csv", "some.csv", "3", "--task", "task-1", "--bench", "core", "--run", "r1"
    )
    every = list(rows((project.folder / "some.csv").read_text())) if ran.code == 0 else []
    assert {row["agent"] for row in every} == {"3"}, ran.err
    assert all(row["task"].startswith("task-1") for row in every)
    two = [word for number in (1, 2) for word in ("--task", f"task-{number}")]
    assert sica(project.folder, "export", "csv", "two.csv", "3", *two).code == 0
    assert len({row["task"] for row in rows((project.folder / "two.csv").read_text())}) == 2
    unknown = sica(project.folder, "export", "csv", "x.csv", "--run", "r99")
    assert (unknown.code, "no run called 'r99'" in unknown.err) == (2, True)
    nothing = sica(project.folder, "export", "csv", "x.csv", "--task", "zzz")
    assert (nothing.code, "no trial is meant" in nothing.err) == (2, True)


def test_parquet_holds_what_csv_holds(project: Project) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    import pyarrow.parquet

    assert sica(project.folder, "export", "parquet", "t.parquet").code == 0
    assert sica(project.folder, "export", "csv", "t.csv").code == 0
    table = pyarrow.parquet.read_table(project.folder / "t.parquet")
    assert table.schema.field("score").type == "double"
    wanted = [
        (row["task"], row["attempt"], row["score"]) for row in rows((project.folder / "t.csv").read_text())
    ]
    found = [
        (row["task"], str(row["attempt"]), "" if row["score"] is None else str(row["score"]))
        for row in table.to_pylist()
    ]
    assert found == wanted


def test_what_is_there_is_not_replaced_unasked(project: Project) -> None:
    place = project.folder / "jobs" / "mine"
    place.mkdir(parents=True)
    (place / "precious").write_text("x")
    refused = sica(project.folder, "export", "harbor", "jobs/mine")
    assert (refused.code, (place / "precious").read_text()) == (2, "x")
    assert "there is something already" in refused.err
    assert sica(project.folder, "export", "harbor", "jobs/mine", "--force").code == 0
    assert not (place / "precious").exists()
    assert [p.name for p in place.parent.iterdir()] == ["mine"], "nothing is left beside it"


def test_the_same_trials_are_exported_as_the_same_bytes(project: Project) -> None:
    def bytes_of(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    for name in ("one/job", "two/job"):
        assert sica(project.folder, "export", "harbor", name, "3").code == 0
    assert bytes_of(project.folder / "one") == bytes_of(project.folder / "two")


def test_predictions_need_patches(project: Project) -> None:
    ran = sica(project.folder, "export", "swebench", "preds.jsonl")
    assert (ran.code, "no trial here has a patch" in ran.err) == (2, True)
