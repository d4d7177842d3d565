"""The gate: what an agent must pass before a single trial is spent on it. Cheapest questions first."""

from __future__ import annotations

import time
from dataclasses import replace

from sica.attempt import Workplace, installed, trial
from sica.brief import workspace
from sica.contract import HOME, PACKAGES, Manifest, manifest, surroundings, writable
from sica.errors import CannotInstall, SandboxError, SandboxUnavailable, UsageError
from sica.model import Agent, BoxSpec, Budget, Files, Installed, Job, Limits, Verdict
from sica.ports import Benchmark
from sica.smoke import drawn

OWN_TESTS = Limits(seconds=120)
"""What an agent's own tests may take."""

TRIES = 2
"""Own tests that fail are run once more: on a full machine those of a sound agent may, and a rejection is for good."""


def check(agent: Agent, smoke: Benchmark, place: Workplace) -> Verdict:
    """Is the manifest sound, do its own tests pass, does it start, does it do smoke tasks?

    A gate that breaks itself answers with a fault, and the agent stays unchecked. Raises SandboxUnavailable.
    """
    verdict = Verdict(agent.commit, passed=False, reason="", run=place.run, started=time.time())
    tree = place.repo.files(agent.tree)
    try:
        asks = manifest(tree)
    except UsageError as error:
        return replace(verdict, reason=str(error))
    try:
        packages = installed(place, tree, asks)
    except CannotInstall as error:
        return replace(verdict, reason=str(error))
    except SandboxUnavailable:
        raise
    except SandboxError as error:
        return replace(verdict, reason=str(error), fault="infra")
    try:
        for _ in range(TRIES):
            verdict = _own_tests(verdict, agent, asks, tree, place, packages)
            if verdict.passed or verdict.fault:
                break
        return _smoke(verdict, agent, smoke, place) if verdict.passed else verdict
    except SandboxUnavailable:
        raise
    except SandboxError as error:
        return replace(verdict, passed=False, reason=str(error), fault="infra")


def _own_tests(
    verdict: Verdict,
    agent: Agent,
    asks: Manifest,
    tree: Files,
    place: Workplace,
    packages: Installed | None,
) -> Verdict:
    if asks.check is None:
        return replace(verdict, passed=True)
    files = workspace(tree)
    env = surroundings(
        model="none",
        workdir="/app",
        deadline=time.time() + OWN_TESTS.seconds,
        budget=Budget(calls=0),
        extra={},
        installed=packages is not None,
    )
    mounts = {HOME: place.repo.export(agent.tree), **({PACKAGES: packages.path} if packages else {})}
    ended = place.sandbox.run(
        BoxSpec(mounts=mounts, writable=writable("/app", files), limits=OWN_TESTS),
        Job(argv=asks.check.argv, cwd="/app", env=env, files=files),
        place.cancel,
    )
    verdict = replace(verdict, reason="")
    usage = replace(verdict.usage, seconds=verdict.usage.seconds + ended.seconds)
    if ended.limit == "cancelled":
        return replace(verdict, fault="cancelled", usage=usage)
    if ended.limit:
        return replace(verdict, reason=f"its own tests reached the limit of {ended.limit}", usage=usage)
    if ended.exit_code != 0:
        last = _last_line(ended.stderr) or _last_line(ended.stdout)
        return replace(
            verdict, reason=f"its own tests fail (exit code {ended.exit_code}): {last}", usage=usage
        )
    return replace(verdict, passed=True, usage=usage)


def _smoke(verdict: Verdict, agent: Agent, smoke: Benchmark, place: Workplace) -> Verdict:
    asked, wanted = drawn(smoke.tasks(), agent.tree)
    solved, failed = 0, list[str]()
    while solved < wanted and len(asked) - len(failed) >= wanted:
        task = asked[solved + len(failed)]
        done = trial(place, agent, task, 0, smoke)
        verdict = replace(
            verdict,
            usage=verdict.usage + done.usage,
            trace=done.trace,
            session=done.session,
            rulings=(*verdict.rulings, *done.rulings),
        )
        if done.score is None:
            return replace(verdict, passed=False, fault=done.fault, reason=done.why)
        if done.score == 1:
            solved += 1
        elif done.detail.get("exit_code") == 127:
            return replace(verdict, passed=False, reason=f"does not start: {done.why}")
        else:
            failed.append(task.name)
            why = done.why
    if solved == wanted:
        return replace(verdict, passed=True)
    which = f"the smoke task{'s' if failed[1:] else ''} {', '.join(failed)}"
    return replace(verdict, passed=False, reason=f"fails {which}: {why}")


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:200] if lines else ""
