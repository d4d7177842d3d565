"""Whether tasks are fit to score agents: the folder's form, and three agents whose scores are known
beforehand.

form       the folder reads, and what it declares is there
oracle     the reference solution scores 1
nothing    an agent that does nothing scores 0
vandal     an agent that does nothing but cheat scores 0
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from sica import checks as rules
from sica import grading, harbor
from sica.errors import SandboxError, UsageError
from sica.model import File, Files, Grade, Job, Task
from sica.ports import Sandbox

Rule = Literal["form", "oracle", "nothing", "vandal"]
Verdict = Literal["ok", "advice", "unsupported", "failed", "fault"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one rule says about one task."""

    task: str
    rule: Rule
    verdict: Verdict
    """fault: the harness could not find out; unsupported: the task asks for what this sica lacks."""
    why: str = ""
    score: float | None = None


VANDAL_SECONDS = 2.0
"""Patience with one answer of the vandal's: its daemons keep doors open that honest code closes."""

EXIT_CODES: dict[Verdict, int] = {"ok": 0, "advice": 0, "unsupported": 0, "failed": 1, "fault": 3}


def exit_code(results: Sequence[CheckResult]) -> int:
    """0 fit or left out, 1 a task is unfit, 3 the harness failed (it decides: nothing is known)."""
    return max((EXIT_CODES[result.verdict] for result in results), default=0)


class Checkable(Protocol):
    """A benchmark that shows its folders to whoever checks them."""

    name: str

    def paths(self) -> dict[str, Path]: ...

    def read(self, name: str, sandbox: str) -> tuple[harbor.Folder, tuple[str, ...]]:
        """The folder and why it is unsupported in this sandbox; UsageError when it is broken."""

    def task(self, name: str) -> Task: ...

    def case(self, task: Task) -> grading.Case: ...

    def workspace(self, task: Task) -> Files: ...

    def solution(self, task: Task) -> Files: ...

    def prepare(self, task: Task, sandbox: Sandbox) -> Task: ...

    def pristine(self, task: Task) -> Files: ...

    def grade(self, task: Task, left: Files, sandbox: Sandbox) -> Grade: ...


def check(benchmark: Checkable, sandbox: Sandbox, names: Sequence[str] = ()) -> Iterator[CheckResult]:
    """Results as they come, task by task; a task whose form is broken is not run."""
    for name in names or sorted(benchmark.paths()):
        yield from _check_task(benchmark, sandbox, name)


def _check_task(benchmark: Checkable, sandbox: Sandbox, name: str) -> Iterator[CheckResult]:
    try:
        folder, unsupported = benchmark.read(name, sandbox.name)
        if unsupported:
            yield from (CheckResult(name, "form", "unsupported", why) for why in unsupported)
            return
        formal = list(_form(benchmark, folder, name))
    except UsageError as e:
        yield CheckResult(name, "form", "failed", f"{e} ({e.hint})" if e.hint else str(e))
        return
    yield from formal or [CheckResult(name, "form", "ok")]
    if any(result.verdict == "failed" for result in formal):
        return
    try:
        task = benchmark.prepare(benchmark.task(name), sandbox)
    except SandboxError as e:
        yield CheckResult(name, "form", "fault", str(e))
        return
    start = benchmark.pristine(task)
    yield _oracle(benchmark, sandbox, task)
    yield _scored(name, "nothing", 0.0, benchmark.grade(task, start, sandbox))
    hurried = replace(benchmark.case(task), patience=VANDAL_SECONDS)
    yield _scored(name, "vandal", 0.0, grading.grade(hurried, vandalised(task, start), sandbox))


# ── form ──────────────────────────────────────────────────────────────────────────────────────────


def _form(benchmark: Checkable, folder: harbor.Folder, name: str) -> Iterator[CheckResult]:
    def advice(why: str) -> CheckResult:
        return CheckResult(name, "form", "advice", why)

    yield from map(advice, folder.warnings)
    if not (folder.path / "solution" / "solve.sh").is_file():
        yield CheckResult(
            name, "form", "failed", f"{folder.path / 'solution' / 'solve.sh'}: there is no such file"
        )
    if folder.grading == "split":
        checks = grading.read_checks(str(folder.path), harbor.tree(folder.path, "tests"))
        if not (folder.path / "tests" / "test.sh").is_file():
            yield advice("no tests/test.sh: Harbor cannot grade this task; copy judge.py and call it")
        yield from map(advice, _told(folder.instruction, checks))
    if folder.grading == "script":
        yield advice(
            "graded by script, the weak mode: the agent's code runs beside the judge (docs/tasks.md)"
        )
    yield from map(advice, _dockerfile(folder.path / "environment" / "Dockerfile"))
    if leaked := _leaks(benchmark, folder, name):
        yield CheckResult(name, "form", "failed", f"the agent's workspace holds {leaked}, which is hidden")
    if not folder.table.metadata.sica.kind:
        yield advice("metadata.sica.kind is not set: reports cannot group this task")


def _told(instruction: str, checks: Sequence[dict[str, object]]) -> Iterator[str]:
    """A module that a check calls and the instruction does not name must be in the workspace; else
    nobody can know.
    """
    called = {str(check["call"]).split(".")[0] for check in checks if isinstance(check.get("call"), str)}
    for module in sorted(called):
        if not re.search(rf"\b{re.escape(module)}\b", instruction):
            yield f"the checks call {module}, which the instruction does not name"


def _dockerfile(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    for image in re.findall(r"^\s*FROM\s+(\S+)", text, re.MULTILINE | re.IGNORECASE):
        if ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
            yield f"FROM {image} is not pinned: the task changes under its own digest"
    for line in text.splitlines():
        if re.search(r"\bpip3? install\b", line) and "==" not in line and " -r " not in line:
            yield f"unpinned Python dependency: {line.strip()[:80]}"


def _leaks(benchmark: Checkable, folder: harbor.Folder, name: str) -> str:
    """A hidden file that the agent would be given, byte for byte, or "". tests/base is the workspace's
    own, for judge.py; so is what a guard or a flag expects to stay as it is.
    """
    kept = _expected_to_stay(folder)
    given = {file.data for file in benchmark.workspace(benchmark.task(name)).values() if len(file.data) > 20}
    for part in ("tests", "solution"):
        for hidden, path in harbor.files_below(folder.path, part):
            if hidden.startswith(("base/", "cheats/")) or hidden in kept:
                continue
            if path.read_bytes() in given:
                return f"{part}/{hidden}"
    return ""


def _expected_to_stay(folder: harbor.Folder) -> set[str]:
    if folder.grading != "split":
        return set()
    checks = grading.read_checks(str(folder.path), harbor.tree(folder.path, "tests"))
    return {check["expected"] for check in checks if "expected" in check and not rules.earns(check)}


# ── agents whose scores are known ─────────────────────────────────────────────────────────────────


def _oracle(benchmark: Checkable, sandbox: Sandbox, task: Task) -> CheckResult:
    try:
        left, log = solve(benchmark, sandbox, task)
    except SandboxError as e:
        return CheckResult(task.name, "oracle", "fault", str(e))
    result = _scored(task.name, "oracle", 1.0, benchmark.grade(task, left, sandbox))
    if result.verdict != "failed" or not log:
        return result
    return CheckResult(
        task.name, "oracle", "failed", f"{result.why}; solve.sh said: {log[-300:]}", result.score
    )


def solve(benchmark: Checkable, sandbox: Sandbox, task: Task) -> tuple[Files, str]:
    """Run the reference solution in a box as an agent would be: what it leaves, and what it said if it
    failed.
    """
    solution = {f"/solution/{name}": file for name, file in benchmark.solution(task).items()}
    case = benchmark.case(task)
    ended = sandbox.run(
        grading.spec(case, "/solution", workspace=task.image is None, seconds=task.limits.seconds),
        Job(
            ("bash", "/solution/solve.sh"),
            cwd=task.workdir,
            env=grading.environment(case),
            files={**benchmark.workspace(task), **solution},
            collect=task.places or (task.workdir,),
        ),
    )
    said = (ended.stdout + ended.stderr).decode("utf-8", "replace").strip()
    return ended.files, f"exit {ended.exit_code}: {said}" if ended.exit_code else ""


def _scored(name: str, rule: Rule, wanted: float, grade: Grade) -> CheckResult:
    if grade.score is None:
        return CheckResult(name, rule, "fault", grade.fault)
    if grade.score == wanted:
        return CheckResult(name, rule, "ok", score=grade.score)
    off = [id for id, credit in grade.checks if (credit > 0) != (wanted > 0) or 0 < credit < 1]
    which = f" ({', '.join(off[:8])})" if off else ""
    cure = " make them guards" if rule == "nothing" and off else ""
    return CheckResult(
        name,
        rule,
        "failed",
        f"scores {grade.score:g} instead of {wanted:g}{which}{';' + cure if cure else ''}",
        grade.score,
    )


def vandalised(task: Task, workspace: Files) -> Files:
    """A workspace after an agent that solved nothing and tried every file that steers a judge."""
    planted = tomllib.loads((Path(__file__).parent / "vandal.toml").read_text(encoding="utf-8"))["files"]
    left = {
        path: File(planted["visible_test"].encode()) if grading.is_test(path) else file
        for path, file in workspace.items()
    }
    left |= {f"{task.workdir}/{name}": File(text.encode(), True) for name, text in planted["plant"].items()}
    prefix = planted["module_prefix"].encode()
    for path in [path for path in workspace if path.endswith(".py") and not grading.is_test(path)]:
        left[path] = File(_prefixed(workspace[path].data, prefix), workspace[path].executable)
    return left


def _prefixed(source: bytes, prefix: bytes) -> bytes:
    """The module as it was, after a start that cheats and leaves."""
    future = source.find(b"from __future__")
    end = source.find(b"\n", future) + 1 if future >= 0 else 0
    return source[:end] + prefix + source[end:]
