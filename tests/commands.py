"""`sica` as a real process, and archives to point it at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sica.ledger import SqliteLedger
from sica.model import Agent, File, Message, Promotion, Setting, Task, Trial, Usage, Verdict
from sica.repo import GitRepo

ROOT = Path(__file__).parents[1]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": "/tmp",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "COLUMNS": "100",
        **more,
    }


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def sica(
    folder: Path, *args: str, env: Mapping[str, str] | None = None, stdin: str = "", timeout: float = 120
) -> Ran:
    done = subprocess.run(
        [sys.executable, "-m", "sica", *args],
        cwd=folder,
        env=environment(folder.parent, **(env or {})),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def begin(folder: Path) -> Path:
    """A new folder with a project in it."""
    folder.mkdir()
    ran = sica(folder, "init")
    assert ran.code == 0, ran.err
    return folder


OFFLINE = Setting("offline", "box:1")
MANIFEST = b'contract = 1\nname = "plain"\n[run]\nargv = ["python3", "/agent/main.py"]\n'


@dataclass
class Project:
    """A project whose archive was filled by hand, through the real store."""

    folder: Path
    repo: GitRepo
    ledger: SqliteLedger

    @classmethod
    def make(cls, folder: Path) -> Project:
        store = folder / ".sica"
        store.mkdir(parents=True)
        return cls(folder, GitRepo.create(store / "agents.git"), SqliteLedger.open(store / "sica.db"))

    def agent(
        self, code: str, *parents: Agent, subject: str, body: str = "", rejected: str = "", packages: str = ""
    ) -> Agent:
        files = {"agent.toml": File(MANIFEST), "main.py": File(code.encode())}
        if packages:
            files["agent.toml"] = File(MANIFEST + b'[setup]\nrequirements = "needs.txt"\n')
            files["needs.txt"] = File(packages.encode())
        operator = "self-edit" if parents else "seed"
        agent = self.repo.add(files, parents, Message(subject, body, operator, "r1", "offline", 0.25))
        self.ledger.reconcile([agent])
        self.ledger.record(Verdict(agent.commit, not rejected, rejected, started=float(agent.number)))
        return agent

    def trials(
        self,
        agent: Agent,
        scores: Sequence[float | None],
        usd: float = 0.01,
        setting: Setting = OFFLINE,
    ) -> None:
        tasks = [Task(f"core/task-{n}", f"digest-{n}", "do it") for n in range(len(scores))]
        self.ledger.see_tasks(tasks)
        for task, score in zip(tasks, scores, strict=True):
            self.ledger.record(
                Trial(
                    agent=agent.commit,
                    tree=agent.tree,
                    task=task.id,
                    digest=task.digest,
                    attempt=0,
                    conditions=f"c {setting}",
                    setting=setting,
                    score=score,
                    fault="infra" if score is None else None,
                    ending="infra" if score is None else "done",
                    grading="split",
                    usage=Usage(usd, 1000, 0, 100, 3, 2.0),
                    run="r1",
                    started=1.0,
                )
            )

    def promote(self, agent: Agent) -> None:
        self.repo.promote(agent)
        self.ledger.record(Promotion(agent.commit, "better", "r1", 2.0))


def family(folder: Path) -> Project:
    """Five agents: a seed, two children, a rejected one, a grandchild that is the champion."""
    project = Project.make(folder)
    seed = project.agent("print(0)\n", subject="seed: plain")
    one = project.agent("print(1)\n", seed, subject="read the file first", body="Why: it guessed.")
    project.agent("print(2", seed, subject="broken", rejected="does not start: SyntaxError")
    three = project.agent("print(3)\n", one, subject="run the tests \u202eevil\x1b[31m before submitting")
    four = project.agent("print(4)\n", three, one, subject="crossover of 3 and 1")
    project.trials(seed, [1, 0, 0, 0, 0, 0, 0, 0])
    project.trials(one, [1, 1, 0, 0, 0, 0, 0, None])
    project.trials(three, [1, 1, 1, 1, 1, 1, 1, 0])
    project.trials(four, [0, 1, 1, 1, 0, 0, 0, 0])
    project.promote(three)
    return project
