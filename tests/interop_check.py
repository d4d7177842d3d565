"""Reads what `sica export` wrote with the published packages: python interop_check.py harbor|inspect FOLDER...

Runs in an environment of its own (bin/interop), where sica is not: Harbor and Inspect read as they read their own.
Prints one JSON list with what they understood of each folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def harbor(folder: Path) -> dict[str, Any]:
    from harbor.models.job.config import JobConfig
    from harbor.models.job.result import JobResult, JobStats
    from harbor.models.trajectories import Trajectory
    from harbor.models.trial.config import TrialConfig
    from harbor.models.trial.result import TrialResult

    job = JobResult.model_validate_json((folder / "result.json").read_text())
    config = JobConfig.model_validate_json((folder / "config.json").read_text())
    trials, steps = [], []
    for place in sorted(path.parent for path in folder.glob("*/result.json")):
        trial = TrialResult.model_validate_json((place / "result.json").read_text())
        TrialConfig.model_validate_json((place / "config.json").read_text())
        trajectory = Trajectory.model_validate_json((place / "agent" / "trajectory.json").read_text())
        trials.append(trial)
        steps.append([step.source for step in trajectory.steps])
    counted = JobStats.from_trial_results(trials, n_total_trials=len(trials))
    return {
        "agents": [agent.import_path for agent in config.agents],
        "trials": {t.trial_name: t.verifier_result.rewards if t.verifier_result else None for t in trials},
        "valid": sum(t.reward_valid for t in trials),
        "steps": steps,
        "same_stats": counted.model_dump(mode="json") == job.stats.model_dump(mode="json"),
        "stats": [counted.model_dump(mode="json"), job.stats.model_dump(mode="json")],
    }


def inspect(folder: Path) -> dict[str, Any]:
    from inspect_ai.log import list_eval_logs, read_eval_log

    found = []
    for info in list_eval_logs(str(folder)):
        log = read_eval_log(info)
        assert log.samples is not None
        assert log.results is not None
        found.append(
            {
                "status": log.status,
                "task": log.eval.task,
                "solver": log.eval.solver,
                "samples": [s.id for s in log.samples],
                "scores": [s.scores["sica"].value if s.scores else None for s in log.samples],
                "mean": log.results.scores[0].metrics["mean"].value,
                "roles": [[m.role for m in s.messages] for s in log.samples],
            }
        )
    return {"logs": found}


if __name__ == "__main__":
    readers = {"harbor": harbor, "inspect": inspect}
    sys.stdout.write(json.dumps([readers[sys.argv[1]](Path(name)) for name in sys.argv[2:]]) + "\n")
