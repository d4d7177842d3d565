"""Whether tasks are fit to score agents: the folder's form, and agents whose scores are known beforehand.

form       the folder reads, and what it declares is there
oracle     the reference solution scores 1, and nothing flags it
nothing    an agent that does nothing scores 0
vandal     an agent that does nothing but cheat scores 0
cheats     so do files that agree with everything, files that are emptied, and the task's own solution/cheats/
stable     the reference scores the same with other hash seeds, order of the checks, clock and time zone
partial    more of the reference never scores less
coverage   every check fails for one of these agents, and the checks run every line that the reference changes
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, get_args

from sica import grading, harbor
from sica.benchcheck import form, known, lines
from sica.benchcheck.known import solve, vandalised
from sica.errors import SandboxError, UsageError
from sica.model import Files, Grade, Task
from sica.ports import Sandbox

__all__ = ["RULES", "CheckResult", "check", "exit_code", "solve", "vandalised"]

Rule = Literal["form", "oracle", "nothing", "vandal", "cheats", "stable", "partial", "coverage"]
RULES: tuple[Rule, ...] = get_args(Rule)
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
    code: str = ""
    """A stable name for the reason, such as LEAK (docs/tasks.md); "" when all is well."""
    lines: tuple[int, int] | None = None
    """Lines that the checks run, of those of the modules that they load; None where they load none of its own."""


EXIT_CODES: Mapping[Rule, int] = {
    "form": 1,
    "oracle": 11,
    "nothing": 12,
    "vandal": 13,
    "cheats": 13,
    "stable": 14,
    "partial": 15,
    "coverage": 16,
}
"""Of a rule that alone has failed; 1 when several have, or when the harness could not find out."""
HURRIED = 2.0
"""Seconds of patience with one answer of a cheat's: its daemons keep doors open that honest code closes."""


def exit_code(results: Sequence[CheckResult]) -> int:
    """0 fit or left out; else what EXIT_CODES says."""
    if any(result.verdict == "fault" for result in results):
        return 1
    codes = {EXIT_CODES[result.rule] for result in results if result.verdict == "failed"}
    return codes.pop() if len(codes) == 1 else int(bool(codes))


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


def check(
    benchmark: Checkable,
    sandbox: Sandbox,
    names: Sequence[str] = (),
    rules: Sequence[Rule] = RULES,
    cancel: threading.Event | None = None,
) -> Iterator[CheckResult]:
    """Results as they come, task by task; a task whose form is broken is not run. After `cancel` none come."""
    for name in names or sorted(benchmark.paths()):
        yield from _check_task(benchmark, sandbox, name, rules, cancel)


def _check_task(
    benchmark: Checkable, sandbox: Sandbox, name: str, wanted: Sequence[Rule], cancel: threading.Event | None
) -> Iterator[CheckResult]:
    try:
        folder, unsupported = benchmark.read(name, sandbox.name)
        if unsupported:
            yield from (
                CheckResult(name, "form", "unsupported", why, code="UNSUPPORTED") for why in unsupported
            )
            return
        slips = list(form.slips(folder, harbor.copied(folder) if not folder.needs_image else {}))
    except UsageError as e:
        yield CheckResult(name, "form", "failed", f"{e} ({e.hint})" if e.hint else str(e), code="BROKEN")
        return
    formal = [CheckResult(name, "form", slip.verdict, slip.why, code=slip.code) for slip in slips]
    broken = any(result.verdict == "failed" for result in formal)
    if "form" in wanted or broken:
        yield from formal or [CheckResult(name, "form", "ok")]
    if broken:
        return
    try:
        task = benchmark.prepare(benchmark.task(name), sandbox)
    except SandboxError as e:
        yield CheckResult(name, "form", "fault", str(e), code="NO_IMAGE")
        return
    course = _Course(benchmark, sandbox, task, benchmark.case(task), cancel or threading.Event())
    steps = {"oracle": course.oracle, "nothing": course.nothing, "vandal": course.vandal, "cheats": course.cheats,
             "stable": course.stable, "partial": course.partial, "coverage": course.coverage}  # fmt: skip
    for rule, step in steps.items():
        if rule in wanted and not course.cancel.is_set():
            yield from step()


@dataclass
class _Course:
    """One task's way through the rules. What a later rule needs of an earlier one is made when it is missing."""

    benchmark: Checkable
    sandbox: Sandbox
    task: Task
    case: grading.Case
    cancel: threading.Event
    solved: Files | None = None
    right: Grade | None = None
    unfailed: set[str] | None = field(default=None)
    """Ids of checks that no agent but the reference has failed yet; None before the first."""

    def grade(self, left: Files, case: grading.Case | None = None) -> Grade:
        return grading.grade(case or self.case, left, self.sandbox, self.cancel)

    def wrong(self, left: Files, case: grading.Case | None = None) -> Grade:
        """The grade of an agent that must not earn all: what it fails can fail."""
        given = self.grade(left, case)
        if given.score is not None:
            passed = {id for id, credit in given.checks if credit == 1.0}
            self.unfailed = passed if self.unfailed is None else self.unfailed & passed
        return given

    # ── the rules ──

    def oracle(self) -> Iterator[CheckResult]:
        try:
            said = self._solve()
        except SandboxError as e:
            yield CheckResult(self.task.name, "oracle", "fault", str(e), code="HARNESS")
            return
        assert self.right is not None
        result = self._scored("oracle", 1.0, self.right)
        if result.verdict == "failed" and said:
            result = replace(result, why=f"{result.why}; solve.sh said: {said[-300:]}")
        elif result.verdict == "ok" and self.right.findings:
            why = f"the reference is flagged: {'; '.join(self.right.findings[:3])}"
            result = replace(result, verdict="failed", why=why, code="ORACLE_FLAGGED")
        yield result

    def _solve(self) -> str:
        """Fill in `solved` and `right`; what the reference said when it failed."""
        if self.solved is not None and self.right is not None:
            return ""
        self.solved, said = solve(self.benchmark, self.sandbox, self.task, self.cancel)
        self.right = self.grade(self.solved)
        return said

    def nothing(self) -> Iterator[CheckResult]:
        yield self._scored("nothing", 0.0, self.wrong(self.case.pristine))

    def vandal(self) -> Iterator[CheckResult]:
        left = vandalised(self.task, self.case.pristine)
        yield self._scored("vandal", 0.0, self.wrong(left, replace(self.case, patience=HURRIED)))

    def cheats(self) -> Iterator[CheckResult]:
        results = []
        hurried = replace(self.case, patience=HURRIED)
        for name, left in known.cheats(self.case.pristine).items():
            result = self._scored("cheats", 0.0, self.wrong(left, hurried))
            results.append(replace(result, why=f"{name}: {result.why}" if result.why else ""))
        for name, left in known.own_cheats(
            self.task, self.case.pristine, self.benchmark.solution(self.task)
        ).items():
            given = self.wrong(left, hurried)
            if given.score is not None and given.score > 0 and not given.findings:
                why = f"{name} (solution/cheats): scores {given.score:g} and nothing flags it"
                results.append(
                    CheckResult(self.task.name, "cheats", "failed", why, given.score, "CHEAT_BELIEVED")
                )
        yield from self._summed("cheats", results)

    def stable(self) -> Iterator[CheckResult]:
        try:
            self._solve()
        except SandboxError as e:
            yield CheckResult(self.task.name, "stable", "fault", str(e), code="HARNESS")
            return
        assert self.solved is not None
        assert self.right is not None
        for case in known.together(self.case):
            again = self.grade(self.solved, case)
            if again.score is None:
                yield CheckResult(self.task.name, "stable", "fault", again.fault, code="HARNESS")
                return
            if dict(again.checks) != dict(self.right.checks) or again.score != self.right.score:
                yield self._unstable(again)
                return
        yield CheckResult(self.task.name, "stable", "ok", score=self.right.score)

    def _unstable(self, seen: Grade) -> CheckResult:
        """Which of the changed surroundings it is, when one alone does it."""
        assert self.solved is not None
        assert self.right is not None
        right = dict(self.right.checks)
        off = [id for id, credit in seen.checks if credit != right.get(id)]
        cause = "several of these together"
        for what, case in known.apart(self.case).items():
            if dict(self.grade(self.solved, case).checks) != right:
                cause = what
                break
        which = f" ({', '.join(off[:8])})" if off else ""
        why = f"the reference scores {seen.score:g} instead of {self.right.score:g}{which}: it depends on {cause}"
        return CheckResult(self.task.name, "stable", "failed", why, seen.score, "UNSTABLE")

    def partial(self) -> Iterator[CheckResult]:
        try:
            self._solve()
        except SandboxError as e:
            yield CheckResult(self.task.name, "partial", "fault", str(e), code="HARNESS")
            return
        assert self.solved is not None
        assert self.right is not None
        scores = []
        for left in known.parts(self.case, self.solved):
            given = self.wrong(left)
            if given.score is None:
                yield CheckResult(self.task.name, "partial", "fault", given.fault, code="HARNESS")
                return
            scores.append(given.score)
        row = [0.0, *scores, self.right.score or 0.0]
        told = " then ".join(f"{score:.3g}" for score in row)
        if row != sorted(row):
            why = f"more of the reference scores less: {told}"
            yield CheckResult(self.task.name, "partial", "failed", why, code="NOT_MONOTONE")
        else:
            yield CheckResult(self.task.name, "partial", "ok", told)

    def coverage(self) -> Iterator[CheckResult]:
        if self.unfailed is None:
            self.wrong(self.case.pristine)
        if self.unfailed:
            for left in known.cheats(self.case.pristine).values():
                self.wrong(left, replace(self.case, patience=HURRIED))
        if self.unfailed:
            which = ", ".join(sorted(self.unfailed)[:8])
            why = f"nothing that was tried fails {which}: it may check nothing"
            yield CheckResult(self.task.name, "coverage", "advice", why, code="NEVER_FAILS")
        try:
            yield self._lines()
        except SandboxError as e:
            yield CheckResult(self.task.name, "coverage", "fault", str(e), code="HARNESS")

    def _lines(self) -> CheckResult:
        """How much of the solved workspace the checks run; a figure for Python that is laid into the box."""
        ids = len(self.right.checks) if self.right else 0
        can = f"each of {ids} checks can fail" if ids and not self.unfailed else ""
        well = CheckResult(self.task.name, "coverage", "ok", can)
        if self.task.image is not None:
            return well
        self._solve()
        assert self.solved is not None
        laid, _ = grading.lay_over(
            self.case.pristine, self.solved, self.task.workdir, self.case.protect, places=self.task.places
        )
        seen = lines.watch(self.case, laid, self.sandbox, self.cancel)
        if not seen.possible:
            return well
        ran, of = seen.share
        told = f"the checks run {ran} of {of} lines"
        if missed := seen.missed(lines.changed(self.case.pristine, laid)):
            which = ", ".join(path.removeprefix(f"{self.task.workdir}/") for path in missed[:8])
            more = f" and {len(missed) - 8} more" if missed[8:] else ""
            why = f"{told}, and none of these that the reference changes: {which}{more}"
            return replace(well, verdict="advice", why=why, code="UNCOVERED", lines=(ran, of))
        return replace(well, why="; ".join(filter(None, (can, told))), lines=(ran, of))

    # ── verdicts ──

    def _scored(self, rule: Rule, wanted: float, given: Grade) -> CheckResult:
        name = self.task.name
        if given.score is None:
            return CheckResult(name, rule, "fault", given.fault, code="HARNESS")
        if given.score == wanted:
            return CheckResult(name, rule, "ok", score=given.score)
        off = [id for id, credit in given.checks if (credit > 0) != (wanted > 0) or 0 < credit < 1]
        which = f" ({', '.join(off[:8])})" if off else ""
        cure = " make them guards" if rule == "nothing" and off else ""
        why = f"scores {given.score:g} instead of {wanted:g}{which}{';' + cure if cure else ''}"
        code = {"oracle": "ORACLE_FAILS", "nothing": "NOTHING_EARNS", "vandal": "VANDAL_EARNS"}.get(
            rule, "CHEAT_EARNS"
        )
        return CheckResult(name, rule, "failed", why, given.score, code)

    def _summed(self, rule: Rule, results: Sequence[CheckResult]) -> Iterator[CheckResult]:
        """Those that are not well; one that is when all are."""
        bad = [result for result in results if result.verdict != "ok"]
        yield from bad or [CheckResult(self.task.name, rule, "ok", score=0.0)]
