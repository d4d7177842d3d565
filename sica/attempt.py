"""One agent at work in one box: the part that a trial, an improvement, the gate and `sica run` share."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from sica import oversight, report
from sica.brief import ARCHIVE
from sica.contract import (
    HOME,
    LOGS,
    PACKAGES,
    Facts,
    Manifest,
    argv,
    ending,
    explain,
    kept,
    manifest,
    packages,
    start_files,
    surroundings,
    writable,
)
from sica.errors import SandboxError, SandboxUnavailable
from sica.model import (
    RETRIES,
    Agent,
    BoxSpec,
    Budget,
    Ended,
    Fault,
    Files,
    Grade,
    Installed,
    Job,
    Limits,
    Ruling,
    Setting,
    Task,
    Trial,
    Usage,
    conditions,
)
from sica.ports import Benchmark, Broker, Environments, Repo, Sandbox, Trace
from sica.roles import Roles


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an agent is asked to do, and within what."""

    role: str
    """main | improve; models are chosen by role."""
    instruction: str
    workspace: Files
    """Absolute box paths."""
    workdir: str
    limits: Limits
    budget: Budget
    seed: int
    archive: Files = field(default_factory=dict)
    """What it may see of the archive, by path below /archive, where it is bound read-only."""
    image: str | None = None
    places: tuple[str, ...] = ()
    """Box directories that are the deliverable; empty: the workdir and wherever the workspace has files."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the task adds to the contract's environment."""
    mounts: Mapping[str, Path] = field(default_factory=dict)
    """What the task brings besides its workspace, read-only, by box path."""
    about: Mapping[str, str | int] = field(default_factory=dict)
    """What the trace's first line says this was for."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it, seen from outside."""

    ended: Ended | None
    """None when the box failed."""
    how: str
    fault: Fault | None
    why: str
    usage: Usage
    trace: str
    session: str
    started: float
    rulings: tuple[Ruling, ...] = ()
    """What guards and overseer did about it."""
    environment: str = ""
    """Hash of the versions of its packages, when it has any."""

    def left(self, workdir: str) -> Files:
        """The files in the workspace, by path relative to it."""
        root = workdir.rstrip("/") + "/"
        if self.ended is None:
            return {}
        return {path.removeprefix(root): f for path, f in self.ended.files.items() if path.startswith(root)}


def _unheard(session: str) -> None:
    del session


def _unkept(data: bytes) -> str:
    del data
    return ""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where agents work: the parts that one attempt needs."""

    repo: Repo
    sandbox: Sandbox
    broker: Broker
    open_trace: Callable[[str], Trace]
    model: str
    run: str
    cancel: threading.Event
    roles: Roles = field(default_factory=Roles)
    watch: oversight.Terms = field(default_factory=oversight.Terms)
    environments: Environments | None = None
    """None where agents come with all they need."""
    frozen: bool = False
    """Whether a child may ask for no other packages than its parent."""
    keep: Callable[[bytes], str] = _unkept
    """Stores an agent's own trajectory beside the traces and returns its name."""
    hints: tuple[str, ...] = ()
    """What people ask of the improvement that is made here."""
    opened: Callable[[str], object] = _unheard
    """Told the session of each box that is opened here."""

    @property
    def setting(self) -> Setting:
        return Setting(self.roles.described(self.model), self.sandbox.image())


def seeded(*words: object) -> int:
    """Dice that depend on these words alone, so that the same question meets the same dice everywhere."""
    return int.from_bytes(sha256("\0".join(map(str, words)).encode()).digest()[:6], "big")


Again = Callable[[Ended], Assignment | None]
"""Asked of an agent that ended by itself: what it is to do next, or None."""


def work(place: Workplace, agent: Agent, given: Assignment, again: Again | None = None) -> Attempt:
    """Run the agent on the assignment in a fresh box; a box that fails is a fault in the answer, with what it used.

    With `again` it may be started once more, in another box: one session, one budget and one trace for both.
    Raises SandboxUnavailable when no box can be had here at all, CredentialsError when the provider refuses the key.
    """
    session_id, started = secrets.token_hex(8), time.time()
    place.opened(session_id)
    trace = place.open_trace(session_id)
    trace.event("start", agent=agent.name, commit=agent.commit, **given.about)
    ended, seconds = None, 0.0
    furnished, failed = _furnished(place, agent, given, trace)  # before anybody watches for silence
    about = {"run": place.run, "agent": agent.commit, "task": str(given.about.get("task", ""))}
    try:
        with oversight.watching(
            trace, place.watch, place.broker, place.open_trace, given.instruction, **about
        ) as (watched, oversee):
            with place.broker.session(
                id=session_id,
                role=given.role,
                model=place.model,
                budget=given.budget,
                seed=given.seed,
                trace=watched,
                **about,
            ) as session:
                todo: Assignment | None = None if failed else given
                with watched.attending(session):
                    oversee()
                    try:
                        while todo is not None:
                            spec, job = _boxed(place, agent, todo, session.directory, time.time(), furnished)
                            ended, todo = place.sandbox.run(spec, job, place.cancel, watched.stop), None
                            seconds += ended.seconds
                            if (
                                again
                                and ended.limit is None
                                and not session.reached()
                                and not session.failure()
                            ):
                                todo, again = again(ended), None
                            if todo is not None:
                                _printed(trace, ended)
                                trace.event("again", seconds=ended.seconds)
                    except SandboxUnavailable:
                        raise
                    except SandboxError as error:
                        ended, failed = None, str(error)
            usage = replace(session.usage(), seconds=seconds)
            facts = Facts(
                ended,
                failed,
                session.reached(),
                session.failure(),
                usage.calls,
                session.waited(),
                watched.why,
            )
            how, fault = ending(facts)
            why = explain(how, facts, given.limits, given.budget)
            _keep_trajectory(place, agent, trace, ended)
            _remember(trace, ended, how, why)
    finally:
        name = trace.close()
    done = (ruling for ruling in watched.rulings if ruling.action != "nothing")
    rulings = tuple(replace(ruling, session=session_id) for ruling in done)
    resolved = furnished.resolved if furnished else ""
    return Attempt(ended, how, fault, why, usage, name, session_id, started, rulings, resolved)


def installed(place: Workplace, files: Files, asks: Manifest, image: str | None = None) -> Installed | None:
    """The packages that an agent asks for, built when they are not there yet; None for one that asks for none."""
    wanted = packages(files, asks)
    if not wanted:
        return None
    if place.environments is None:
        raise SandboxError(f"{asks.name} needs packages, and nothing can be installed here")
    return place.environments.ready(wanted, place.sandbox, image, place.cancel)


def _furnished(
    place: Workplace, agent: Agent, given: Assignment, trace: Trace
) -> tuple[Installed | None, str]:
    """What it asks to be installed, and why that failed."""
    files = place.repo.files(agent.tree)
    try:
        found = installed(place, files, manifest(files), given.image)
    except SandboxUnavailable:
        trace.close()
        raise
    except SandboxError as error:
        return None, str(error)
    if found:
        trace.event("environment", python=found.python, resolved=found.resolved, place=found.path.parent.name)
    return found, ""


def _boxed(
    place: Workplace,
    agent: Agent,
    given: Assignment,
    socket: Path,
    started: float,
    installed: Installed | None,
) -> tuple[BoxSpec, Job]:
    asks = manifest(place.repo.files(agent.tree))
    mounts = {**given.mounts, HOME: place.repo.export(agent.tree)}
    if installed:
        mounts[PACKAGES] = installed.path
    if given.archive:
        mounts[ARCHIVE] = _laid_out(given.archive, socket / "archive")
    spec = BoxSpec(
        mounts=mounts,
        writable=writable(given.workdir, given.workspace, given.places, given.image),
        socket=socket,
        limits=given.limits,
        image=given.image,
        profile="compat" if given.image else "strict",
    )
    job = Job(
        argv=argv(asks.run.argv, instruction=given.instruction, model=place.model, workdir=given.workdir),
        cwd=given.workdir,
        env=surroundings(
            model=place.model,
            workdir=given.workdir,
            deadline=started + given.limits.seconds,
            budget=given.budget,
            extra=asks.run.env,
            task=given.env,
            installed=installed is not None,
        ),
        files=start_files(given.workspace, given.instruction),
        stdin=given.instruction.encode() if asks.run.stdin == "instruction" else b"",
        collect=(*kept(given.workdir, given.workspace, given.places), LOGS),
    )
    return spec, job


def _laid_out(files: Files, folder: Path) -> Path:
    """Files as a folder that every user may read; it goes with the session's directory, which holds it."""
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    for name, file in files.items():
        path = folder / name
        for parent in reversed([p for p in path.parents if p.is_relative_to(folder) and not p.exists()]):
            parent.mkdir()
            parent.chmod(0o755)
        path.write_bytes(file.data)
        path.chmod(0o755 if file.executable else 0o644)
    return folder


TRAJECTORY_BYTES = 8 << 20
"""Kept of what an agent writes about itself."""


def _keep_trajectory(place: Workplace, agent: Agent, trace: Trace, ended: Ended | None) -> None:
    """The agent's own account, as it left it: evidence for people, never read by sica."""
    output = manifest(place.repo.files(agent.tree)).output
    left = ended.files.get(f"{LOGS}/{output.trajectory}") if ended and output.trajectory else None
    if left is None:
        return
    name = place.keep(left.data[:TRAJECTORY_BYTES])
    if name:
        trace.event(
            "trajectory", name=name, format=output.format, file=output.trajectory, bytes=len(left.data),
            cut=len(left.data) > TRAJECTORY_BYTES,
        )  # fmt: skip


def _remember(trace: Trace, ended: Ended | None, how: str, why: str) -> None:
    if ended:
        _printed(trace, ended)
    trace.event(
        "ended",
        how=how,
        why=why,
        exit_code=ended.exit_code if ended else None,
        seconds=ended.seconds if ended else None,
        refused=list(ended.refused) if ended else [],
    )


def _printed(trace: Trace, ended: Ended) -> None:
    trace.event("stdout", text=ended.stdout.decode(errors="replace"))
    trace.event("stderr", text=ended.stderr.decode(errors="replace"))


def trial(
    place: Workplace, agent: Agent, task: Task, attempt: int, benchmark: Benchmark, *, faults_before: int = 0
) -> Trial:
    """One attempt of one agent at one task. The benchmark judges in a box that the agent never saw."""
    try:
        task = benchmark.prepare(task, place.sandbox, place.cancel)
    except SandboxUnavailable:
        raise
    except SandboxError as error:
        why = f"the task could not be prepared: {error}"
        return replace(_trial(place, agent, task, attempt), session=secrets.token_hex(8), why=why)
    given = Assignment(
        role="main",
        instruction=task.instruction,
        workspace=benchmark.workspace(task),
        workdir=task.workdir,
        limits=task.limits,
        budget=task.budget,
        seed=seeded(task.digest, attempt),
        image=task.image,
        places=task.places,
        env=dict(task.env),
        mounts={place: Path(directory) for place, directory in task.mounts},
        about={"for": "trial", "task": task.id, "attempt": attempt},
    )
    grades: list[Grade] = []

    def judge(ended: Ended) -> Grade:
        grades.append(benchmark.grade(task, _delivered(ended.files), place.sandbox, place.cancel))
        return grades[-1]

    def again(ended: Ended) -> Assignment | None:
        grade = judge(ended)
        if grade.score is None or grade.score == 1.0:
            return None
        told = second_instruction(task.instruction, grade.log)
        return replace(given, instruction=told, workspace=_delivered(ended.files))

    made = work(place, agent, given, again if task.tries > 1 else None)
    outcome = replace(
        _trial(place, agent, task, attempt),
        fault=made.fault,
        ending=made.how,
        usage=made.usage,
        trace=made.trace,
        session=made.session,
        started=made.started,
        why=made.why,
        rulings=made.rulings,
    )
    if made.ended is not None and made.fault is None:
        if not (grades and (grades[0].score is None or grades[0].score == 1.0)):
            judge(made.ended)
        judged = _judged(outcome, grades[-1], made.ended)
        if made.environment:
            judged = replace(judged, detail={**judged.detail, "environment": made.environment})
        if task.tries == 1 or judged.score is None:
            return judged
        return replace(judged, detail={**judged.detail, "tries": [grade.score for grade in grades]})
    if made.fault == "infra" and made.usage.calls and faults_before >= RETRIES:
        # An agent that wrecks its box on tasks it cannot solve must not raise its mean by it.
        why = f"the box failed {faults_before + 1} times with the agent at work: {made.why}"
        return replace(outcome, score=0.0, fault=None, ending="agent_error", why=why)
    return outcome


SAID_CHARS = 6000
"""Of what the tests said, for a second try: its end, where the failures stand."""

_NOISE = re.compile(r" in \d+\.\d+s\b|(?<=[\s(])(?:\.\./)*judge/tests/")
"""What differs from run to run or names the judge's box."""


def second_instruction(instruction: str, said: str) -> str:
    """The task again, with the failures: Aider's polyglot benchmark counts a second try so."""
    cleaned = _NOISE.sub("", report.clean_block(said)).strip()[-SAID_CHARS:]
    return (
        f"{instruction.rstrip()}\n\n---\n\nThis is your second and last try. Your files are as you left them, and the "
        f"tests failed. The tests are right: mend the code.\n\n```\n{cleaned or 'no output'}\n```\n"
    )


def _delivered(files: Files) -> Files:
    """Without the agent's logs, which are evidence and nothing to judge."""
    return {path: file for path, file in files.items() if not path.startswith(LOGS + "/")}


def _trial(place: Workplace, agent: Agent, task: Task, attempt: int) -> Trial:
    """One that came to nothing: what is known before the agent runs."""
    setting = place.setting
    return Trial(
        agent=agent.commit,
        tree=agent.tree,
        task=task.id,
        digest=task.digest,
        attempt=attempt,
        conditions=conditions(task, setting),
        score=None,
        fault="infra",
        ending="infra",
        grading=task.grading,
        usage=Usage(),
        run=place.run,
        started=time.time(),
        setting=setting,
    )


def _judged(outcome: Trial, grade: Grade, ended: Ended) -> Trial:
    if grade.score is None:
        return replace(outcome, fault="infra", ending="infra", why=f"the judge could not run: {grade.fault}")
    detail: dict[str, Any] = {
        "checks": dict(grade.checks),
        "findings": list(grade.findings),
        "refused": list(ended.refused),
        "exit_code": ended.exit_code,
        "log": grade.log,
    }
    if grade.patch:
        detail["patch"] = grade.patch
    # A finding keeps the score, which the grader took from its own files, and bars the agent from the throne.
    how = "integrity" if grade.findings else outcome.ending
    return replace(outcome, score=grade.score, ending=how, grading=grade.mode, detail=detail)
