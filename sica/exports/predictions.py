"""Patches of SWE-bench trials as preds.jsonl, which the benchmark's own harness takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sica.errors import UsageError
from sica.exports import Exported, sound


def predictions(every: Sequence[Exported]) -> list[dict[str, str]]:
    """One a task: the last scored attempt of each agent that left a patch."""
    found = {
        (e.agent.commit, e.task): {
            "instance_id": str(e.trial.detail.get("instance_id", e.task)),
            "model_name_or_path": f"sica-{e.agent.commit[:12]}",
            "model_patch": sound(str(e.trial.detail["patch"])),
        }
        for e in sorted(every, key=lambda e: e.trial.attempt)
        if e.trial.score is not None and isinstance(e.trial.detail.get("patch"), str)
    }
    return list(found.values())


def write(every: Sequence[Exported], path: Path) -> int:
    """How many were written. Raises UsageError when there is none."""
    found = predictions(every)
    if not found:
        raise UsageError(
            "no trial here has a patch",
            "patches are kept of SWE-bench tasks: sica eval 0 --bench swebench:FILE",
        )
    path.write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    return len(found)
