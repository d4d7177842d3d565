"""An agent of Harbor's that runs one of our commits, so that `harbor run` can evaluate it anywhere.

    harbor run -p TASKS --agent sica.harbor_agent:CommitAgent --ak agent=7 --ak store=.sica/agents.git -m openai/gpt-5

It runs in Harbor's environment: sica must be importable there, and nothing of sica's that needs more than pydantic is
used; an agent that needs packages also needs uv. Harbor has no broker: the model's key enters the container, and
nothing bounds what is spent.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import shlex
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from harbor.agents.base import BaseAgent

from sica import contract, environments
from sica.errors import UsageError
from sica.model import Budget, File, Files

CONNECTION = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_API_BASE",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
)
"""What reaches the agent of the environment that Harbor runs in; --ae NAME=VALUE replaces any of it."""


class CommitAgent(BaseAgent):  # type: ignore[misc]  # Harbor is not installed where sica is checked
    def __init__(
        self, *args: Any, agent: str | int = "best", store: str = ".sica/agents.git", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._store = Path(store).expanduser()
        self._commit = commit_of(self._store, str(agent))
        self._files = tree(self._store, self._commit)
        self._asks = contract.manifest(self._files)
        self._wanted = contract.packages(self._files, self._asks)

    @staticmethod
    def name() -> str:
        return "sica"

    def version(self) -> str:
        return self._commit

    async def setup(self, environment: Any) -> None:
        """The commit's tree at /agent and its packages at /opt/env, as in a box of ours; only root can write them."""
        with tempfile.TemporaryDirectory() as name:
            for path, file in self._files.items():
                target = Path(name) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.data)
                target.chmod(0o755 if file.executable else 0o644)
            Path(name).chmod(0o755)
            await environment.upload_dir(name, contract.HOME)
        if self._wanted:
            await environment.upload_dir(await self._packages(environment), contract.PACKAGES)

    async def _packages(self, environment: Any) -> Path:
        """Built here for the container's Python, once, and sent: the container needs no index, nor a network."""
        asked = await environment.exec(shlex.join(("python3", "-I", "-S", "-c", environments.ASK)))
        try:
            python = environments.Python(*json.loads(asked.stdout or ""))
        except ValueError:
            raise UsageError(
                f"{self._asks.name} needs Python packages, and the container has no python3: {asked.stderr or ''}",
                "run it on tasks whose image has Python",
            ) from None
        say = logging.getLogger(__name__).info
        kept = environments.Environments(environments.usual_root(os.environ), say)
        return (await asyncio.to_thread(kept.made_for, python, self._wanted)).path

    async def run(self, instruction: str, environment: Any, context: Any) -> None:
        """The agent's own command in the task's directory. Harbor's clock ends it, and its verifier judges."""
        with tempfile.TemporaryDirectory() as name:
            told = Path(name) / "instruction.md"
            told.write_text(instruction, encoding="utf-8")
            await environment.upload_file(told, contract.INSTRUCTION)
        where = await environment.exec(f"mkdir -p {contract.LOGS} && pwd")
        workdir = (where.stdout or "").strip() or "/app"
        command = shlex.join(self._argv(instruction, workdir))
        if self._asks.run.stdin == "instruction":
            command += f" < {contract.INSTRUCTION}"
        ended = await environment.exec(command, env=self._environment(workdir))
        context.metadata = {"agent": self._commit, "exit_code": ended.return_code}
        for stream in ("stdout", "stderr"):
            (self.logs_dir / f"{stream}.txt").write_text(getattr(ended, stream) or "", encoding="utf-8")

    @property
    def _model(self) -> str:
        """As the provider knows it; Harbor writes provider/name."""
        return str(self.model_name or "").partition("/")[2] or str(self.model_name or "")

    def _argv(self, instruction: str, workdir: str) -> tuple[str, ...]:
        return contract.argv(self._asks.run.argv, instruction=instruction, model=self._model, workdir=workdir)

    def _environment(self, workdir: str) -> dict[str, str]:
        given = contract.surroundings(
            model=self._model,
            workdir=workdir,
            deadline=time.time(),
            budget=Budget(),
            extra=self._asks.run.env,
            installed=bool(self._wanted),
        )
        ours = {
            key: value for key, value in given.items() if key not in (*CONNECTION, "AGENT_DEADLINE", "HOME")
        }
        theirs = {key: os.environ[key] for key in CONNECTION if os.environ.get(key)}
        return {**ours, **theirs, **self._extra_env}


def commit_of(store: Path, agent: str) -> str:
    """7, agent/7, best, or whatever git knows. Raises UsageError for what it does not."""
    if not store.is_dir():
        raise UsageError(f"{store}: there is no such store", "--ak store=PATH/.sica/agents.git")
    name = "main" if agent == "best" else f"agent/{agent}" if agent.isascii() and agent.isdigit() else agent
    done = _git(store, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if done.returncode:
        raise UsageError(f"{store}: no agent called {agent!r}", "--ak agent=7, or a commit's hash")
    return done.stdout.decode().strip()


def tree(store: Path, commit: str) -> Files:
    """The commit's regular files."""
    done = _git(store, "archive", "--format=tar", commit)
    if done.returncode:
        raise UsageError(f"{store}: {done.stderr.decode(errors='replace').strip()}", "sica doctor")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        return {
            member.name: File(file.read(), bool(member.mode & 0o100))
            for member in tar
            if member.isfile() and (file := tar.extractfile(member)) is not None
        }


def _git(store: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", f"--git-dir={store}", *words], capture_output=True, check=False)
