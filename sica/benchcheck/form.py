"""What can be said of a task folder without running anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sica import checks as rules
from sica import grading, harbor
from sica.model import Files


@dataclass(frozen=True, slots=True)
class Slip:
    code: str
    why: str
    verdict: Literal["failed", "advice"] = "advice"


def slips(folder: harbor.Folder, given: Files) -> Iterator[Slip]:
    """What is wrong with the folder, or could be better; `given` is the agent's workspace. UsageError: it is broken."""
    yield from (Slip("UNKNOWN_KEY", why) for why in folder.warnings)
    solve = folder.path / "solution" / "solve.sh"
    if not solve.is_file():
        yield Slip("NO_SOLUTION", f"{solve}: there is no such file", "failed")
    checks: Sequence[dict[str, Any]] = ()
    if folder.grading == "split":
        checks = grading.read_checks(str(folder.path), harbor.tree(folder.path, "tests"))
    yield from _judge(folder, checks)
    yield from _dockerfile(folder.path / "environment" / "Dockerfile")
    if leaked := _leaked(folder, checks, given):
        yield Slip("LEAK", f"the agent's workspace holds {leaked}, which is hidden", "failed")
    if not folder.table.metadata.sica.kind:
        yield Slip("NO_KIND", "metadata.sica.kind is not set: reports cannot group this task")


def _judge(folder: harbor.Folder, checks: Sequence[dict[str, Any]]) -> Iterator[Slip]:
    if folder.grading == "script":
        why = "graded by script, the weak mode: the agent's code runs beside the judge (docs/tasks.md)"
        yield Slip("SCRIPT", why)
    elif not (folder.path / "tests" / "test.sh").is_file():
        cure = "; copy judge.py and call it" if folder.grading == "split" else ""
        yield Slip("NO_TEST_SH", f"no tests/test.sh: Harbor cannot grade this task{cure}")
    if folder.grading == "log" and (folder.needs_image or not _tells(folder)):
        why = "judged by what a run prints, which the agent's code could print too (docs/tasks.md)"
        yield Slip("PRINTED", why)
    for module in _called(checks):
        if not re.search(rf"\b{re.escape(module)}\b", folder.instruction):
            yield Slip("UNTOLD", f"the checks call {module}, which the instruction does not name")


def _tells(folder: harbor.Folder) -> bool:
    """Whether the judge asks pytest itself; a broken log.json has been found by then."""
    return bool(grading.read_log_rules(str(folder.path), harbor.tree(folder.path, "tests")).get("told"))


def _called(checks: Sequence[dict[str, Any]]) -> list[str]:
    """Top modules. One that the instruction does not name must be in the workspace, or nobody can know."""
    calls = [check.get("call") for check in checks]
    return sorted({call.split(".")[0] for call in calls if isinstance(call, str)})


def _dockerfile(path: Path) -> Iterator[Slip]:
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    for image in re.findall(r"^\s*FROM\s+(\S+)", text, re.MULTILINE | re.IGNORECASE):
        if ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
            yield Slip("UNPINNED_IMAGE", f"FROM {image} is not pinned: the task changes under its own digest")
    for line in text.splitlines():
        if re.search(r"\bpip3? install\b", line) and "==" not in line and " -r " not in line:
            yield Slip("UNPINNED_PACKAGE", f"unpinned Python dependency: {line.strip()[:80]}")


def _leaked(folder: harbor.Folder, checks: Sequence[dict[str, Any]], given: Files) -> str:
    """A hidden file that the agent would be given, byte for byte, or "". tests/base is the workspace's own, for
    judge.py; so is what a guard or a flag expects to stay as it is.
    """
    kept = {check["expected"] for check in checks if "expected" in check and not rules.earns(check)}
    seen = {file.data for file in given.values() if len(file.data) > 20}
    for part in ("tests", "solution"):
        for hidden, path in harbor.files_below(folder.path, part):
            if (
                not hidden.startswith(("base/", "cheats/"))
                and hidden not in kept
                and path.read_bytes() in seen
            ):
                return f"{part}/{hidden}"
    return ""
