"""One task as its generator tells it, and the folder in Harbor's format that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sica.model import File, Files

INSIDE = Path(__file__).parents[1] / "inside"
SPLITS = ("train", "train", "dev")
"""By the task's place within its level; held-out tasks are made with another seed."""
DIFFICULTIES = ("easy", "medium", "hard", "expert")


@dataclass(frozen=True, slots=True)
class Made:
    """What a generator says of a task; everything else about it follows from the suite."""

    family: str
    """A word for the folder's name."""
    description: str
    instruction: str
    workspace: Mapping[str, str | bytes]
    solution: Mapping[str, str | bytes]
    """Files as the reference leaves them, below the workspace."""
    checks: Sequence[Mapping[str, Any]] = ()
    """Of tests/checks.json; empty when `tests` holds pytest files for the two-box judge."""
    tests: Mapping[str, str | bytes] = field(default_factory=dict)
    """More files below tests/."""
    cheats: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By name: files of wrong solutions that must earn nothing or be flagged; they lie in solution/cheats/."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of the box."""
    script: str = ""
    """Shell lines that the reference runs before its files are laid down."""
    guards: tuple[str, ...] = ()
    seconds: int = 60
    calls: int = 40
    tokens: int = 400_000
    disk_mb: int = 256
    memory_mb: int = 512


def expected(id: str, path: str) -> dict[str, Any]:
    """A check that a file is as tests/expected/ has it, hunk by hunk."""
    return {"id": id, "file": path, "expected": f"expected/{path}"}


def files(made: Made, suite: str, name: str, level: int, nth: int, split: str = "") -> Files:
    """The task's folder, by relative path; without a split, the one of its place within the level."""
    wanted = [check["file"] for check in made.checks if "expected" in check]
    script = made.script.strip("\n") + "\n" if made.script else ""
    copy = 'cp -R "$(dirname "$0")/files/." .\n' if made.solution else ""
    table = _table(made, suite, name, level, split or SPLITS[nth % len(SPLITS)])
    env = "".join(f"ENV {name}={value}\n" for name, value in made.env.items())
    cheats = {f"{cheat}/{path}": text for cheat, left in made.cheats.items() for path, text in left.items()}
    texts: dict[str, str | bytes] = {
        "task.toml": table,
        "instruction.md": made.instruction.strip("\n") + "\n",
        "environment/Dockerfile": f"FROM python:3.12-slim\nWORKDIR /app\n{env}COPY workspace/ /app/\n",
        **{f"solution/cheats/{path}": text for path, text in cheats.items()},
        **{f"environment/workspace/{path}": text for path, text in made.workspace.items()},
        **{f"tests/{path}": text for path, text in made.tests.items()},
        **{f"tests/base/{path}": made.workspace[path] for path in wanted if path in made.workspace},
        **{f"solution/files/{path}": text for path, text in made.solution.items()},
    }
    if made.checks:
        checks = ",\n ".join(json.dumps(check, ensure_ascii=False) for check in made.checks)
        texts["tests/checks.json"] = f'{{"checks": [\n {checks}\n]}}\n'
        texts["tests/judge.py"] = (INSIDE / "judge.py").read_bytes()
    judge = "judge.py" if made.checks else "run.py"
    return {
        **{path: _file(text) for path, text in texts.items()},
        "tests/test.sh": File(f"#!/bin/bash\nexec python3 /tests/{judge}\n".encode(), True),
        "solution/solve.sh": File(f"#!/bin/bash\nset -e\n{copy}{script}".encode(), True),
    }


def _file(text: str | bytes) -> File:
    return File(text.encode() if isinstance(text, str) else text)


def _table(made: Made, suite: str, name: str, level: int, split: str) -> str:
    guards = [f"guards = {json.dumps(list(made.guards))}"] if made.guards else []
    grading = [] if made.checks else ['grading = "two-box"']
    return "\n".join(
        [
            'schema_version = "1.4"',
            "",
            "[task]",
            f"name = {json.dumps(f'sica/{name}')}",
            f"description = {json.dumps(made.description)}",
            f"keywords = [{json.dumps(suite)}]",
            "",
            "[metadata]",
            f"difficulty = {json.dumps(DIFFICULTIES[level - 1])}",
            f"category = {json.dumps(suite)}",
            "",
            "[metadata.sica]",
            f"split = {json.dumps(split)}",
            f"kind = {json.dumps(suite)}",
            f"level = {level}",
            'workspace = ["/app"]',
            *grading,
            *guards,
            'origin = "made by sica bench make"',
            'licence = "MIT"',
            f"calls = {made.calls}",
            f"tokens = {made.tokens}",
            "",
            "[agent]",
            f"timeout_sec = {made.seconds}.0",
            'network_mode = "no-network"',
            "",
            "[verifier]",
            "timeout_sec = 60.0",
            "",
            "[environment]",
            "cpus = 1",
            f"memory_mb = {made.memory_mb}",
            f"storage_mb = {made.disk_mb}",
            'network_mode = "no-network"',
            'workdir = "/app"',
            "",
        ]
    )
