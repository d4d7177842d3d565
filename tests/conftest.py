"""`world`: a whole sica in a temporary folder. Real git, real SQLite, real boxes, a real broker; no model is needed,
because its agents are small programs whose skill is a constant in their own code."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from sica import making
from sica.attempt import Workplace
from sica.benchmarks import open_benchmark
from sica.broker import HttpBroker
from sica.champion import Terms
from sica.gateways.offline import OfflineGateway
from sica.ledger import SqliteLedger
from sica.loop import Plan, evolve
from sica.model import Agent, Archive, Budget, Event, File, Files, Limits, Message, Setting, Usage, conditions
from sica.ports import Sandbox
from sica.repo import GitRepo
from sica.sandboxes import open_sandbox
from sica.traces import Traces

settings.register_profile("no clock", parent=settings(), deadline=None)  # a busy machine fails no test
settings.load_profile("no clock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--repetitions",
        type=int,
        default=20,
        help="Seeded runs of tests/test_cap.py; the issue's figure is 200.",
    )


@pytest.fixture(scope="session", autouse=True)
def main_threads_loop() -> Iterator[None]:
    """LiteLLM asks for the thread's event loop; where there is none, Python 3.11 makes one that nobody closes."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


SKILLED = r"""
import json, os, pathlib, re, sys

SKILL = 1  # tasks up to this level are solved
STEP = 1   # how far one improvement moves it

home = pathlib.Path(os.environ["AGENT_HOME"])
told = pathlib.Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text()
if told.startswith("# Improve this agent"):
    code = pathlib.Path("main.py").read_text()
    changed = re.sub(r"SKILL = (-?\d+)", lambda m: f"SKILL = {int(m[1]) + STEP}", code, count=1)
    pathlib.Path("main.py").write_text(changed)
    pathlib.Path("CHANGE.md").write_text(f"raise the skill by {STEP}\n\nWhy: harder tasks failed.\n")
else:
    level = int(re.search(r"level (\d+)", told)[1])
    if level <= SKILL:
        pathlib.Path("answer.txt").write_text(re.search(r"write `([^`]*)`", told)[1])
"""

MANIFEST = 'contract = 1\nname = "skilled"\n[run]\nargv = ["python3", "/agent/main.py"]\n'


def skilled(**constants: int) -> Files:
    """An agent whose constants are set as given."""
    code = SKILLED
    for name, value in constants.items():
        code = code.replace(f"{name} = 1 ", f"{name} = {value} ")
    return {"agent.toml": File(MANIFEST.encode()), "main.py": File(code.encode())}


def write_task(root: Path, name: str, level: int, **metadata: object) -> None:
    """A task that an agent of at least this skill solves; the answer is graded outside."""
    folder = root / name
    (folder / "tests").mkdir(parents=True)
    (folder / "environment").mkdir()
    (folder / "solution").mkdir()
    extra = "".join(f"{key} = {json.dumps(value)}\n" for key, value in metadata.items())
    (folder / "task.toml").write_text(
        f'schema_version = "1.4"\n[task]\nname = "toy/{name}"\n[metadata.sica]\nlevel = {level}\n{extra}'
        '[agent]\ntimeout_sec = 20.0\n[verifier]\ntimeout_sec = 20.0\n[environment]\nworkdir = "/app"\n'
    )
    (folder / "instruction.md").write_text(f"This is of level {level}: write `{name}` into answer.txt.\n")
    (folder / "environment" / "Dockerfile").write_text("FROM python:3.12-slim\nWORKDIR /app\n")
    (folder / "solution" / "solve.sh").write_text(f"printf {name} > /app/answer.txt\n")
    (folder / "tests" / "test.sh").write_text("echo 0 > /logs/verifier/reward.txt\n")
    checks = {"checks": [{"id": "answer", "file": "answer.txt", "accept": {name: 1.0}}]}
    (folder / "tests" / "checks.json").write_text(json.dumps(checks))


@dataclass
class World:
    root: Path
    repo: GitRepo
    ledger: SqliteLedger
    traces: Traces
    sandbox: Any
    broker: HttpBroker
    cancel: threading.Event = field(default_factory=threading.Event)
    run: str = ""

    def seed(self, files: Files) -> Agent:
        agent = self.repo.add(files, [], Message("seed", operator="seed"))
        self.ledger.reconcile([agent])
        self.repo.promote(agent)
        return agent

    @property
    def place(self) -> Workplace:
        return Workplace(
            repo=self.repo,
            sandbox=self.sandbox,
            broker=self.broker,
            open_trace=self.traces.open,
            model="offline",
            run=self.run,
            cancel=self.cancel,
        )

    def plan(self, **changes: Any) -> Plan:
        toy = open_benchmark(str(self.root / "toy"))
        settings: dict[str, Any] = {
            "policy": import_module("sica.policies.greedy").policy,
            "benchmark": toy,
            "tasks": toy.tasks(),
            "smoke": open_benchmark(str(self.root / "gate")),
            "known": making.known(self.repo, self.traces.read, self.ledger.critique),
            "children": 2,
            "proof": Terms(rule="mean"),  # three tasks are too few to be more than noise
            "improve_limits": Limits(seconds=20),
            "improve_budget": Budget(calls=5),
        }
        return Plan(**{**settings, **changes})

    def archive(self, plan: Plan, attempts: int = 1) -> Archive:
        keys: Mapping[str, str] = {
            t.digest: conditions(t, Setting("offline", self.sandbox.image())) for t in plan.tasks
        }
        return replace(self.ledger.archive(plan.tasks, keys, attempts), run=self.run)

    def evolve(self, **changes: Any) -> list[Event]:
        plan = self.plan(**changes)
        self.run = self.run or self.ledger.start_run({"test": True}).id
        return list(evolve(plan, self.place, self.ledger, self.archive(plan)))


def _subject(request: pytest.FixtureRequest) -> str:
    """What the asking module tests: grading, of tests/test_grading.py."""
    return str(request.module.__name__).rpartition(".")[2].removeprefix("test_")


@pytest.fixture(scope="module")
def runtime(request: pytest.FixtureRequest) -> Path:
    """A module's folder for sockets, where a box's user walks through and lists nothing; short, as sockets must be."""
    path = Path(tempfile.gettempdir()) / f"box-{os.getuid()}" / f"{_subject(request)}-{os.getpid()}"
    path.mkdir(parents=True, exist_ok=True)
    for each in (path.parent, path):
        each.chmod(0o711)
    return path


@pytest.fixture(scope="module")
def box(request: pytest.FixtureRequest, runtime: Path) -> Iterator[Sandbox]:
    """Real boxes of bubblewrap."""
    sandbox = open_sandbox("bubblewrap", store=_subject(request), runtime=runtime)
    yield sandbox
    sandbox.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for level in (1, 2, 3):
        write_task(tmp_path / "toy", f"level{level}", level)
    write_task(tmp_path / "gate", "starts", 1)
    runtime = tmp_path / "rt"
    runtime.mkdir(mode=0o711)
    store = tmp_path / "store with space ü"
    store.mkdir()
    ledger = SqliteLedger.open(store / "sica.db")
    sandbox = open_sandbox("bubblewrap", store="test", runtime=runtime)
    with HttpBroker(
        OfflineGateway(), runtime=runtime, record=ledger.call, spent=Usage(), cap=Budget()
    ) as broker:
        repo = GitRepo.create(store / "agents.git", runtime=runtime)
        yield World(tmp_path, repo, ledger, Traces(store / "traces"), sandbox, broker)
    sandbox.close()
    ledger.close()
