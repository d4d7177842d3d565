"""Writes chosen candidates as task folders in Harbor's format, with a manifest that says how to make them again."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sica.errors import UsageError
from sica.heldout import drawn
from sica.mining.candidates import Candidate, Yield
from sica.mining.source import Source
from sica.model import File, Files

VERSION = 4
"""Of the generators: raised when the same repository, revision and seed would give another task."""

_SCHEMA = "1.4"
_IMAGE = "python:3.12-slim"


def vacant(out: Path) -> None:
    """Raises UsageError when something is there already, or nothing can be; an empty folder is nothing."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: there is something already", "name another folder, or remove it first")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        Path(tempfile.mkdtemp(prefix=".", dir=out.parent)).rmdir()
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as e:
        raise UsageError(f"{out}: no folder can be made there: {e.strerror}", "name another folder") from None


def write(
    chosen: Sequence[Candidate],
    source: Source,
    out: Path,
    how: Mapping[str, Any],
    told: Yield,
    progress: Callable[[int, str], None],
) -> None:
    """Put the tasks and manifest.json into `out`; all of them or nothing. Raises UsageError as `vacant` does."""
    vacant(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        made.chmod(0o755)
        known: dict[tuple[bytes, bool], Path] = {}
        for n, candidate in enumerate(chosen):
            progress(n, candidate.name)
            _task(candidate, source, made / candidate.name, how, known)
        (made / "manifest.json").write_text(_manifest(chosen, source, how, told), encoding="utf-8")
        if out.exists():
            out.rmdir()
        made.rename(out)
    except BaseException:
        shutil.rmtree(made)
        raise


def _task(
    candidate: Candidate,
    source: Source,
    folder: Path,
    how: Mapping[str, Any],
    known: dict[tuple[bytes, bool], Path],
) -> None:
    """Equal files of a hundred tasks are one file on the disk."""
    for path, file in _files(candidate, source, how).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        there = known.get((file.data, file.executable))
        if there is not None and path.startswith("environment/"):
            try:
                os.link(there, target)
                continue
            except OSError:  # another file system, or too many links: a copy does
                pass
        target.write_bytes(file.data)
        target.chmod(0o755 if file.executable else 0o644)
        known[file.data, file.executable] = target


def _files(candidate: Candidate, source: Source, how: Mapping[str, Any]) -> Files:
    workspace = source.files_at(candidate.commit) if candidate.workspace is None else candidate.workspace
    gone = "".join(f"rm -- {shlex.quote(path)}\n" for path in candidate.gone)
    return {
        "task.toml": _text(_table(candidate, source, how["kind"], how.get("heldout", 0.0))),
        "instruction.md": _text(candidate.instruction),
        "environment/Dockerfile": _text(f"FROM {_IMAGE}\nWORKDIR /app\nCOPY workspace/ /app/\n"),
        **_pins(candidate),
        **{f"environment/workspace/{path}": file for path, file in workspace.items()},
        **{
            f"tests/{path}": file for path, file in (candidate.tests or _checks(candidate, workspace)).items()
        },
        "solution/solve.sh": File(f'#!/bin/bash\ncp -R "$(dirname "$0")/files/." .\n{gone}'.encode(), True),
        **{f"solution/files/{path}": file for path, file in candidate.answer.items()},
    }


def _pins(candidate: Candidate) -> Files:
    if candidate.ours.get("environment") != "requirements.txt":
        return {}
    return {"environment/requirements.txt": _text(candidate.pins)}


def _checks(candidate: Candidate, workspace: Files) -> Files:
    """Below tests/, for the split judge and for Harbor's."""
    checks = json.dumps({"checks": list(candidate.checks)}, indent=1, ensure_ascii=False)
    changed = {check["file"] for check in candidate.checks if "expected" in check}
    return {
        "checks.json": _text(f"{checks}\n"),
        **candidate.expected,
        **{f"base/{path}": workspace[path] for path in sorted(changed)},
        "judge.py": File((Path(__file__).parents[1] / "inside" / "judge.py").read_bytes()),
        "test.sh": File(b"#!/bin/bash\nexec python3 /tests/judge.py\n", True),
    }


def _text(text: str) -> File:
    return File(text.encode())


def _table(candidate: Candidate, source: Source, kind: str, heldout: float) -> str:
    return "\n".join(
        [
            f"schema_version = {_toml(_SCHEMA)}",
            "",
            "[task]",
            f"name = {_toml(f'{source.name}/{candidate.name}')}",
            f"keywords = [{_toml(kind)}]",
            "",
            "[metadata.sica]",
            f"kind = {_toml(kind)}",
            f"level = {candidate.level}",
            *([f"split = {_toml(drawn(candidate.item, heldout))}"] if heldout else []),
            'workspace = ["/app"]',
            *_freed(candidate),
            *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in candidate.ours.items()),
            f"origin = {_toml(f'{source.name} {candidate.commit}')}",
            f"licence = {_toml(source.licence)}",
            "calls = 40",
            "tokens = 400000",
            "",
            "[agent]",
            f"timeout_sec = {600.0 if candidate.tests else 120.0}",
            'network_mode = "no-network"',
            "",
            "[verifier]",
            f"timeout_sec = {600.0 if candidate.tests else 60.0}",
            "",
            "[environment]",
            "cpus = 1",
            f"memory_mb = {1024 if candidate.tests else 512}",
            "storage_mb = 256",
            'network_mode = "no-network"',
            'workdir = "/app"',
            *(["", "[environment.env]"] if candidate.env else []),
            *(f"{name} = {_toml(value)}" for name, value in candidate.env.items()),
            "",
        ]
    )


def _freed(candidate: Candidate) -> list[str]:
    """What the task is to change may be a test or settings of pytest, which nobody else may touch."""
    wanted = [
        re.sub(r"([][*?])", r"[\1]", check["file"]) for check in candidate.checks if "expected" in check
    ]
    return [f"protect = [{', '.join(_toml(f'!{path}') for path in wanted)}]"] if wanted else []


def _toml(value: str) -> str:
    """A TOML basic string: what JSON escapes is what TOML escapes, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _manifest(chosen: Sequence[Candidate], source: Source, how: Mapping[str, Any], told: Yield) -> str:
    table = {
        "schema": "sica.mined/1",
        "generator": VERSION,
        **how,
        "repository": source.name,
        "commit": source.commit,
        "only": list(source.only),
        "licence": source.licence,
        "looked_at": told.looked,
        "left_out": dict(sorted(told.reasons.items())),
        "tasks": [{"name": c.name, "item": c.item, "level": c.level, **c.facts} for c in chosen],
    }
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"
