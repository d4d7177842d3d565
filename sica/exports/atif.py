"""A trace as a trajectory: the Agent Trajectory Interchange Format, version 1.7. Pure.

Each answer of the model is one step with its exact usage; what the next request says a tool gave is that step's
observation. Version 1.7 has every field that is needed here, and older readers know it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sica.exports import Event, Exported, moment, sound

VERSION = "ATIF-v1.7"


def trajectory(exported: Exported) -> dict[str, Any]:
    """At least one step, also of a trial that never reached a model."""
    written = _Written()
    for event in exported.events():
        written.take(event)
    trial, agent, usage = exported.trial, exported.agent, exported.trial.usage
    steps = written.steps or [{"source": "user", "message": f"{trial.task}: no model was asked"}]
    tools = written.tools
    found: dict[str, Any] = {
        "schema_version": VERSION,
        "session_id": trial.session or f"{agent.commit}-{trial.digest[:12]}-{trial.attempt}",
        "agent": {
            "name": agent.name,
            "version": agent.commit,
            "model_name": trial.setting.model,
            **({"tool_definitions": tools} if tools else {}),
            "extra": {"tree": agent.tree, "subject": agent.subject},
        },
        "steps": [{"step_id": n, **step} for n, step in enumerate(steps, 1)],
        "final_metrics": {
            "total_prompt_tokens": usage.prompt_tokens,
            "total_completion_tokens": usage.completion_tokens,
            "total_cached_tokens": usage.cached_tokens,
            "total_cost_usd": usage.usd,
            "total_steps": len(steps),
        },
        "extra": {
            "task": trial.task,
            "task_digest": trial.digest,
            "attempt": trial.attempt,
            "score": trial.score,
            "ending": trial.ending,
            "fault": trial.fault,
            "grading": trial.grading,
            "trace": trial.trace,
        },
    }
    plain: dict[str, Any] = sound(found)
    return plain


class _Written:
    """The steps so far."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.tools: list[dict[str, Any]] = []
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._seen: set[str] = set()
        self._echoes = 0
        """Answers whose repetition in the next request is still to come."""
        self._calls: dict[str, int] = {}
        """Tool call -> index of the step that made it."""
        self._model = ""

    def take(self, event: Event) -> None:
        match event.get("type"):
            case "message" if isinstance(event.get("body"), Mapping):
                self._bodies[str(event.get("hash"))] = event["body"]
            case "request":
                self._request(event)
            case "response" if isinstance(event.get("body"), Mapping):
                self._response(event)

    def _request(self, event: Event) -> None:
        self._model = str(event.get("model", ""))
        rest = event.get("rest")
        tools = rest.get("tools") if isinstance(rest, Mapping) else None
        if not self.tools and isinstance(tools, list):
            self.tools = [tool for tool in tools if isinstance(tool, dict)]
        names = event.get("messages")
        for name in map(str, names) if isinstance(names, list) else ():
            if name not in self._seen:
                self._seen.add(name)
                self._message(self._bodies.get(name, {}), event)

    def _message(self, body: Mapping[str, Any], event: Event) -> None:
        role, words = body.get("role"), text_of(body.get("content"))
        if role == "assistant":
            if self._echoes:
                self._echoes -= 1
                return
            calls = _calls(body.get("tool_calls"))
            step: dict[str, Any] = {"source": "agent", "message": words, "llm_call_count": 0}
            self._add({**step, **({"tool_calls": calls} if calls else {})}, calls)
        elif role == "tool":
            self._observe(str(body.get("tool_call_id", "")), words)
        elif body:
            source = "system" if role in ("system", "developer") else "user"
            self._add({"source": source, "message": words, "timestamp": _when(event)}, [])

    def _observe(self, call: str, words: str) -> None:
        """What a tool gave belongs to the step that called it; an answer to no known call is the user's word."""
        if call not in self._calls:
            self._add({"source": "user", "message": words}, [])
            return
        step = self.steps[self._calls[call]]
        results = step.setdefault("observation", {"results": []})["results"]
        results.append({"source_call_id": call, "content": words})

    def _response(self, event: Event) -> None:
        message, usage = answer_of(event), event.get("usage")
        calls = _calls(message.get("tool_calls"))
        step: dict[str, Any] = {
            "source": "agent",
            "timestamp": _when(event),
            "model_name": self._model,
            "message": text_of(message.get("content")),
            "llm_call_count": 1,
        }
        if calls:
            step["tool_calls"] = calls
        if isinstance(reasoning := message.get("reasoning_content"), str) and reasoning:
            step["reasoning_content"] = reasoning
        if isinstance(usage, Mapping):
            step["metrics"] = {
                "prompt_tokens": usage.get("prompt_tokens"),
                "completion_tokens": usage.get("completion_tokens"),
                "cached_tokens": usage.get("cached_tokens"),
                "cost_usd": usage.get("usd"),
                "extra": {"seconds": event.get("seconds")},
            }
        self._echoes += 1
        self._add(step, calls)

    def _add(self, step: dict[str, Any], calls: list[dict[str, Any]]) -> None:
        for call in calls:
            self._calls[call["tool_call_id"]] = len(self.steps)
        self.steps.append(step)


def answer_of(event: Event) -> Mapping[str, Any]:
    """The message in a response event, or an empty one."""
    choices = event["body"].get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    message = first.get("message") if isinstance(first, Mapping) else None
    return message if isinstance(message, Mapping) else {}


def text_of(content: Any) -> str:
    """A message's words, whether it is one text or a list of parts."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        return "".join(
            str(p["text"]) if isinstance(p.get("text"), str) else f"[{p.get('type')}]" for p in parts
        )
    return content if isinstance(content, str) else ""


def _calls(given: Any) -> list[dict[str, Any]]:
    calls = [call for call in given if isinstance(call, Mapping)] if isinstance(given, list) else []
    return [_call(call, n) for n, call in enumerate(calls)]


def _call(call: Mapping[str, Any], n: int) -> dict[str, Any]:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    return {
        "tool_call_id": str(call.get("id") or f"call-{n}"),
        "function_name": str(function.get("name", "")),
        "arguments": arguments(function.get("arguments")),
    }


def arguments(raw: Any) -> dict[str, Any]:
    """An object, whatever the model wrote."""
    try:
        found = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return {"_raw": raw}
    return found if isinstance(found, dict) else {"_raw": raw}


def _when(event: Event) -> str:
    ts = event.get("ts")
    return moment(ts if isinstance(ts, int | float) else 0)
