"""Trials as logs of Inspect, version 2, one for each agent on each benchmark: for its viewer and its data frames."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sica.exports import Event, Exported, moment, sound
from sica.exports.atif import answer_of, arguments, text_of

SCORER = "sica"


def write(every: Sequence[Exported], folder: Path, progress: Callable[[int], None]) -> None:
    groups: dict[tuple[str, str, str], list[Exported]] = {}
    for exported in every:
        key = exported.agent.name, exported.benchmark, str(exported.trial.setting)
        groups.setdefault(key, []).append(exported)
    done = 0
    for n, ((agent, benchmark, _), group) in enumerate(groups.items()):
        began = moment(min(e.trial.started for e in group))[
            :19
        ]  # Inspect lists only names that begin with a time
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{began}_{benchmark}_{agent}-{n}")
        text = json.dumps(log(group), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        done += len(group)
        progress(done)


def log(group: Sequence[Exported]) -> dict[str, Any]:
    """Trials of one agent, on one benchmark, under one setting."""
    first = group[0]
    scored = [e.trial.score for e in group if e.trial.score is not None]
    start = min(e.trial.started for e in group)
    end = max(e.trial.started + e.trial.usage.seconds for e in group)
    names = list(dict.fromkeys(e.task for e in group))
    found: dict[str, Any] = {
        "version": 2,
        "status": "success",
        "eval": {
            "created": moment(start),
            "task": first.benchmark or "tasks",
            "run_id": first.trial.run,
            "eval_id": f"{first.agent.commit[:12]}-{first.benchmark}",
            "task_id": first.benchmark,
            "solver": first.agent.name,
            "solver_args": {
                "commit": first.agent.commit,
                "tree": first.agent.tree,
                "subject": first.agent.subject,
            },
            "dataset": {"name": first.benchmark, "samples": len(names), "sample_ids": names},
            "model": first.trial.setting.model or "none",
            "config": {"epochs": max(e.trial.attempt for e in group) + 1},
            "metadata": {"image": first.trial.setting.image},
        },
        "plan": {"name": first.agent.name, "steps": []},
        "results": {
            "total_samples": len(group),
            "completed_samples": len(scored),
            "scores": [_score(scored, len(group))],
        },
        "stats": {
            "started_at": moment(start),
            "completed_at": moment(end),
            "model_usage": {first.trial.setting.model or "none": _usage(group)},
        },
        "samples": [_sample(exported) for exported in group],
    }
    plain: dict[str, Any] = sound(found)
    return plain


def _score(scored: Sequence[float], of: int) -> dict[str, Any]:
    mean = sum(scored) / len(scored) if scored else 0.0
    return {
        "name": SCORER,
        "scorer": SCORER,
        "scored_samples": len(scored),
        "unscored_samples": of - len(scored),
        "metrics": {"mean": {"name": "mean", "value": mean}},
    }


def _usage(group: Sequence[Exported]) -> dict[str, Any]:
    """Inspect counts cached tokens apart."""
    total = [e.trial.usage for e in group]
    prompt, cached = sum(u.prompt_tokens for u in total), sum(u.cached_tokens for u in total)
    completion = sum(u.completion_tokens for u in total)
    return {
        "input_tokens": prompt - cached,
        "input_tokens_cache_read": cached,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _sample(exported: Exported) -> dict[str, Any]:
    trial = exported.trial
    messages, stop = conversation(exported.events())
    first = next((m["content"] for m in messages if m["role"] == "user"), trial.task)
    model = trial.setting.model or "none"
    last = next((m for m in reversed(messages) if m["role"] == "assistant"), None)
    choices = [{"message": last, "stop_reason": stop}] if last else []
    sample: dict[str, Any] = {
        "id": exported.task,
        "epoch": trial.attempt + 1,
        "input": first,
        "target": "",
        "messages": messages,
        "output": {"model": model, "choices": choices},
        "metadata": {
            "digest": trial.digest,
            "ending": trial.ending,
            "grading": trial.grading,
            "why": trial.why,
            "cost_usd": trial.usage.usd,
            "trace": trial.trace,
        },
        "model_usage": {model: _usage([exported])},
        "total_time": trial.usage.seconds,
    }
    if trial.score is not None:
        sample["scores"] = {SCORER: {"value": trial.score, "explanation": trial.why}}
    else:
        sample["error"] = {"message": trial.why or trial.ending, "traceback": "", "traceback_ansi": ""}
    return sample


def conversation(events: Any) -> tuple[list[dict[str, Any]], str]:
    """The messages in order, each once, and why the last answer stopped."""
    bodies: dict[str, Mapping[str, Any]] = {}
    seen: set[str] = set()
    told: list[dict[str, Any]] = []
    echoes, stop = 0, "unknown"
    for event in events:
        match event.get("type"):
            case "message" if isinstance(event.get("body"), Mapping):
                bodies[str(event.get("hash"))] = event["body"]
            case "request" if isinstance(event.get("messages"), list):
                for name in map(str, event["messages"]):
                    if name in seen:
                        continue
                    seen.add(name)
                    body = bodies.get(name, {})
                    if body.get("role") == "assistant" and echoes:
                        echoes -= 1
                    elif body:
                        told.append(_message(body))
            case "response" if isinstance(event.get("body"), Mapping):
                echoes += 1
                told.append(_message({**answer_of(event), "role": "assistant"}))
                stop = _stop(event)
    return told, stop


def _message(body: Mapping[str, Any]) -> dict[str, Any]:
    role = {"developer": "system"}.get(str(body.get("role")), str(body.get("role")))
    made: dict[str, Any] = {
        "role": role if role in ("system", "user", "assistant", "tool") else "user",
        "content": text_of(body.get("content")),
    }
    if role == "tool":
        made["tool_call_id"] = str(body.get("tool_call_id", ""))
    calls = body.get("tool_calls")
    if role == "assistant" and isinstance(calls, list) and calls:
        made["tool_calls"] = [_call(call, n) for n, call in enumerate(calls) if isinstance(call, Mapping)]
    return made


def _call(call: Mapping[str, Any], n: int) -> dict[str, Any]:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    return {
        "id": str(call.get("id") or f"call-{n}"),
        "function": str(function.get("name", "")),
        "arguments": arguments(function.get("arguments")),
        "type": "function",
    }


def _stop(event: Event) -> str:
    choices = event["body"].get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = first.get("finish_reason") if isinstance(first, Mapping) else None
    known = {
        "stop": "stop",
        "length": "max_tokens",
        "tool_calls": "tool_calls",
        "content_filter": "content_filter",
    }
    return known.get(str(reason), "unknown")
