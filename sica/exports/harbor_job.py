"""Trials as a Harbor job directory, with a trajectory for each: what `harbor view` and leaderboards read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sica.exports import Exported, moment, sound
from sica.exports.atif import trajectory
from sica.model import Trial

ADAPTER = "sica.harbor_agent:CommitAgent"
FAULTS = {
    "infra": "EnvironmentStartTimeoutError",
    "provider": "ServiceUnavailableError",
    "cancelled": "CancelledError",
}
"""Harbor's own names, so that its policies hold: none of these trials has a valid reward."""


def write(every: Sequence[Exported], folder: Path, progress: Callable[[int], None]) -> None:
    """Everything of one job; `folder` is there and empty."""
    results = []
    for n, exported in enumerate(every):
        progress(n)
        name = trial_name(exported)
        results.append(_result(exported, name, folder.name))
        _write_trial(exported, results[-1], folder / name)
    _json(folder / "config.json", _job_config(every, folder.name))
    _json(folder / "result.json", _job_result(every, results))


def trial_name(exported: Exported) -> str:
    """Harbor's way: the task and some characters that no other trial has."""
    return f"{exported.task[:60]}__{_id(exported).hex[:10]}"


def _id(exported: Exported) -> Any:
    """The same trial is the same everywhere."""
    t = exported.trial
    return uuid5(
        NAMESPACE_URL, f"sica:{exported.agent.commit}:{t.digest}:{t.conditions}:{t.attempt}:{t.started}"
    )


def _write_trial(exported: Exported, result: dict[str, Any], folder: Path) -> None:
    (folder / "agent").mkdir(parents=True)
    (folder / "verifier").mkdir()
    trial = exported.trial
    _json(folder / "config.json", result["config"])
    _json(folder / "result.json", result)
    _json(folder / "agent" / "trajectory.json", trajectory(exported))
    if trial.score is not None:
        _json(folder / "verifier" / "reward.json", {"reward": trial.score})
    log = str(trial.detail.get("log", ""))
    (folder / "verifier" / "test-stdout.txt").write_text(sound(log), encoding="utf-8")


def _config(exported: Exported, name: str, job: str) -> dict[str, Any]:
    """How `harbor run` would start the same trial."""
    return {
        "task": {"path": exported.task, "source": exported.benchmark},
        "trial_name": name,
        "trials_dir": job,
        "agent": {
            "import_path": ADAPTER,
            "model_name": exported.trial.setting.model or None,
            "kwargs": {"agent": exported.agent.commit},
        },
    }


def _result(exported: Exported, name: str, job: str) -> dict[str, Any]:
    trial, agent, usage = exported.trial, exported.agent, exported.trial.usage
    provider, slash, model = trial.setting.model.rpartition("/")
    found: dict[str, Any] = {
        "id": str(_id(exported)),
        "task_name": exported.task,
        "trial_name": name,
        "trial_uri": f"sica:{trial.session or name}",
        "task_id": {"path": exported.task},
        "source": exported.benchmark,
        "task_checksum": trial.digest,
        "config": _config(exported, name, job),
        "agent_info": {
            "name": agent.name,
            "version": agent.commit,
            "model_info": {"name": model or "none", **({"provider": provider} if slash else {})},
        },
        "agent_result": {
            "n_input_tokens": usage.prompt_tokens,
            "n_cache_tokens": usage.cached_tokens,
            "n_output_tokens": usage.completion_tokens,
            "cost_usd": usage.usd,
            "metadata": {
                "ending": trial.ending,
                "grading": trial.grading,
                "why": trial.why,
                "calls": usage.calls,
            },
        },
        "started_at": moment(trial.started),
        "finished_at": moment(trial.started + usage.seconds),
        "agent_execution": {
            "started_at": moment(trial.started),
            "finished_at": moment(trial.started + usage.seconds),
        },
    }
    if trial.score is not None:
        found["verifier_result"] = {"rewards": {"reward": trial.score}}
        found["verifier_environment_mode"] = "separate"
    else:
        found["exception_info"] = _exception(trial)
    plain: dict[str, Any] = sound(found)
    return plain


def _exception(trial: Trial) -> dict[str, Any]:
    return {
        "exception_type": FAULTS.get(trial.fault or "infra", "EnvironmentStartTimeoutError"),
        "exception_message": trial.why or trial.ending,
        "exception_traceback": "",
        "occurred_at": moment(trial.started + trial.usage.seconds),
    }


def _job_config(every: Sequence[Exported], name: str) -> dict[str, Any]:
    agents = {e.agent.commit: _config(e, "", name)["agent"] for e in every}
    tasks = {e.trial.task: {"path": e.task, "source": e.benchmark} for e in every}
    return {
        "job_name": name,
        "jobs_dir": ".",
        "n_attempts": max((e.trial.attempt + 1 for e in every), default=1),
        "agents": list(agents.values()),
        "tasks": list(tasks.values()),
    }


def _job_result(every: Sequence[Exported], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    evals: dict[str, Any] = {}
    for exported, result in zip(every, results, strict=True):
        key = f"{exported.agent.name}__{result['agent_info']['model_info']['name']}__{exported.benchmark}"
        stats = evals.setdefault(
            key, {"n_trials": 0, "n_errors": 0, "reward_stats": {"reward": defaultdict(list)}}
        )
        if exported.trial.score is None:
            stats["n_errors"] += 1
            kind = result["exception_info"]["exception_type"]
            stats.setdefault("exception_stats", defaultdict(list))[kind].append(result["trial_name"])
        else:
            stats["n_trials"] += 1
            stats["reward_stats"]["reward"][str(exported.trial.score)].append(result["trial_name"])
    ends = [e.trial.started + e.trial.usage.seconds for e in every]
    usage = [e.trial.usage for e in every]
    return {
        "id": str(uuid5(NAMESPACE_URL, "sica:job:" + ",".join(r["id"] for r in results))),
        "started_at": moment(min((e.trial.started for e in every), default=0)),
        "updated_at": moment(max(ends, default=0)),
        "finished_at": moment(max(ends, default=0)),
        "n_total_trials": len(every),
        "stats": {
            "n_completed_trials": len(every),
            "n_errored_trials": sum(e.trial.score is None for e in every),
            "n_cancelled_trials": sum(e.trial.fault == "cancelled" for e in every),
            "evals": evals,
            "n_input_tokens": sum(u.prompt_tokens for u in usage),
            "n_cache_tokens": sum(u.cached_tokens for u in usage),
            "n_output_tokens": sum(u.completion_tokens for u in usage),
            "cost_usd": sum(u.usd for u in usage),
        },
    }


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
