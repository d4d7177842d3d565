"""Terminal-Bench 1: folders with task.yaml, Dockerfile, run-tests.sh and tests. Version 2 is Harbor's own form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sica import harbor
from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.errors import UsageError
from sica.model import File, Files
from sica.twobox import expected_ids

FORM = (
    "a folder of Terminal-Bench 1 tasks, such as original-tasks/ of github.com/laude-institute/terminal-bench"
)
NOT_BUILT = (
    "task.yaml",
    "run-tests.sh",
    "solution.sh",
    "solution.yaml",
    "docker-compose.yaml",
    "docker-compose.yml",
)
LEVELS = {"easy": 1, "medium": 2, "hard": 3}
CLIENT_KEYS = {
    "build",
    "image",
    "container_name",
    "command",
    "environment",
    "volumes",
    "working_dir",
    "stdin_open",
    "tty",
}

_FETCHES = re.compile(r"\b(apt-get|apt|apk|yum|curl|wget|pip3?|npm|uv|uvx|conda|git clone|cargo install)\b")
_STANDARD = re.compile(
    r"(?:apt-get|apt) (?:update|install|-y|&&|curl|git|python3?(?:-\w+)?|\s|-qq|-yq)+|curl [^|]*astral\.sh/uv\S*.*|"
    r"source \S*(?:uv|env|activate)\S*|\. \S*env|uv (?:init|venv|python|sync)\b.*|uv (?:add|pip install) .*|"
    r"(?:python3? -m )?pip3? install .*|export .*|cd \S+|set [-+]\w.*|if .*|fi|then|else|exit \d*|echo .*"
)
_RUN = re.compile(r"(?:uv run )?(?:python3? -m )?pytest\b.*\$\{?TEST_DIR\}?.*")
_PACKAGES = re.compile(r"(?:uv add|pip3? install|uv pip install)\s+(.*)")


def fits(path: Path) -> bool:
    return path.is_dir() and ((path / "task.yaml").is_file() or any(path.glob("*/task.yaml")))


def problems(path: Path) -> Iterator[Problem]:
    found = [path] if (path / "task.yaml").is_file() else [p.parent for p in sorted(path.glob("*/task.yaml"))]
    for folder in found:
        yield Problem(plain_name(folder.name, str(folder)), partial(_made, folder))


def _made(folder: Path) -> Made:
    task = _yaml(folder / "task.yaml")
    told = task.get("instruction") or _described(task)
    if not isinstance(told, str) or not told.strip():
        raise UsageError(
            f"{folder / 'task.yaml'}: instruction: there is none", "write what the agent is to do"
        )
    files = _files(folder)
    if "run-tests.sh" not in files or "Dockerfile" not in files:
        raise UsageError(
            f"{folder}: has no run-tests.sh or no Dockerfile", "it is no task of Terminal-Bench 1"
        )
    tests = {name: file for name, file in files.items() if name.startswith("tests/")}
    built = {n: f for n, f in files.items() if n not in NOT_BUILT and not n.startswith("tests/")}
    script, network = _script(files["run-tests.sh"].data.decode("utf-8", "replace"))
    ids = _expected(tests, folder)
    reasons = [*_composed(folder), *network]
    if not ids:
        reasons.append("its tests are no pytest files, and no other parser is known")
    return Made(
        instruction=told,
        environment=built,
        tests={
            "run.sh": File(script.encode(), True),
            "log.json": text(json.dumps({"parser": "pytest", "passed": ids or ["none"]})),
            **{name.removeprefix("tests/"): file for name, file in tests.items()},
        },
        solution={"solve.sh": File(_solution(folder, files), True)},
        ours={
            "grading": "log",
            "credit": "all",
            "kind": str(task.get("category") or "terminal"),
            "level": LEVELS.get(str(task.get("difficulty")), 1),
            "refused": reasons,
        },
        workdir=_workdir(files["Dockerfile"].data.decode("utf-8", "replace")),
        seconds=_seconds(folder, task, "max_agent_timeout_sec", 360.0),
        judge_seconds=_seconds(folder, task, "max_test_timeout_sec", 60.0),
        memory_mb=2048,
        storage_mb=1024,
    )


def _yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as e:
        raise UsageError(
            f"{path}: broken YAML: {' '.join(str(e).split())[:160]}", "mend the line it names"
        ) from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: is no table", "write `instruction: ...` and the like")
    return found


def _described(task: Mapping[str, Any]) -> str:
    """The oldest tasks have several descriptions; the base one counts."""
    many = task.get("descriptions")
    tables = [each for each in many if isinstance(each, dict)] if isinstance(many, list) else []
    base = [each for each in tables if each.get("key") == "base"] or tables
    return str(base[0].get("description") or "") if base else ""


def _files(folder: Path) -> Files:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UsageError(f"{path}: a link", "copy what it points at")
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = File(
                path.read_bytes(), bool(path.stat().st_mode & 0o100)
            )
    return found


def _seconds(folder: Path, task: Mapping[str, Any], key: str, default: float) -> float:
    value = task.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= harbor.MOST:
        raise UsageError(
            f"{folder / 'task.yaml'}: {key} = {value!r} is not a number of seconds", f"change {key}"
        )
    return float(value)


def _workdir(dockerfile: str) -> str:
    """The last one it states; the base images of Terminal-Bench start in /app."""
    stated = re.findall(r"^\s*WORKDIR\s+[\"']?(/[\w./-]*)", dockerfile, re.MULTILINE | re.IGNORECASE)
    return stated[-1].rstrip("/") or "/app" if stated else "/app"


def _composed(folder: Path) -> Iterator[str]:
    """What the compose file asks for beyond one plain container."""
    for name in NOT_BUILT[-2:]:
        if not (folder / name).is_file():
            continue
        services = _yaml(folder / name).get("services")
        services = services if isinstance(services, dict) else {}
        for service, table in services.items():
            if service != "client":
                yield f"compose service {service}"
            elif isinstance(table, dict):
                yield from (f"compose client.{key}" for key in sorted(set(map(str, table)) - CLIENT_KEYS))


def _script(given: str) -> tuple[str, list[str]]:
    """What judges here, and why it cannot: a judge's box has no network.

    The usual script installs uv and pytest and runs one file: sica brings pytest. Another one runs as it is.
    """
    lines = [line.strip() for line in given.replace("\\\n", " ").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    fetching = [line for line in lines if _FETCHES.search(line) and not _RUN.fullmatch(line)]
    head = "#!/bin/bash\nexport TEST_DIR=/tests\n"
    if not fetching:
        return f"{head}{given}", []
    packages = {
        p for line in lines if (m := _PACKAGES.search(line)) for p in m[1].split() if not p.startswith("-")
    }
    further = sorted(p for p in packages if not re.match(r"pytest(\W|$)", p))
    runs = [line for line in lines if _RUN.fullmatch(line)]
    odd = [line for line in lines if line not in runs and not _STANDARD.fullmatch(line)]
    if len(runs) == 1 and not further and not odd:
        command = re.sub(r"^(?:uv run )?(?:python3? -m )?pytest", "python3 -m pytest", runs[0])
        return f"{head}PYTHONPATH=/site exec {command} -rA --no-header -p no:cacheprovider\n", []
    what = f"{', '.join(further)} for its tests" if further else (odd or fetching)[0][:80]
    return f"{head}{given}", [f"run-tests.sh fetches from the network, which no judge's box has: {what}"]


def _expected(tests: Files, folder: Path) -> list[str]:
    try:
        return list(
            expected_ids({name: file for name, file in tests.items() if name.endswith(".py")}, str(folder))
        )
    except UsageError:
        return []


def _solution(folder: Path, files: Files) -> bytes:
    if script := files.get("solution.sh"):
        return script.data
    if "solution.yaml" not in files:
        return b"#!/bin/bash\nexit 1\n"
    import yaml

    try:
        steps = yaml.safe_load(files["solution.yaml"].data)
    except (yaml.YAMLError, RecursionError) as e:
        place = folder / "solution.yaml"
        raise UsageError(f"{place}: broken YAML: {' '.join(str(e).split())[:160]}", "mend it") from None
    told = steps if isinstance(steps, list) else []
    commands = [str(step["command"]) for step in told if isinstance(step, dict) and "command" in step]
    return "\n".join(["#!/bin/bash", *commands, ""]).encode()
