"""A real HTTP server around the offline model, and the real seed agent as a process in front of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sica.gateways.offline import OfflineGateway
from sica.ports import Asked

ROOT = Path(__file__).resolve().parents[1]
SEED_AGENT = ROOT / "seed_agent"


@dataclass
class Door:
    url: str
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    answered: list[Mapping[str, Any]] = field(default_factory=list)


@contextmanager
def door(*, calls: int = 40, seed: int = 0, first: tuple[Mapping[str, Any], ...] = ()) -> Iterator[Door]:
    """Serves the offline model; the first answers may be given; past the calls it refuses like the broker."""
    gateway, given = OfflineGateway(), list(first)

    class Serve(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            number = len(opened.asked)
            opened.asked.append(request)
            status, body = 200, {}
            if number >= calls:
                status, body = 429, {"error": {"code": "budget_exhausted", "message": "calls"}}
            elif given:
                body = dict(given.pop(0))
            else:
                body = dict(gateway.complete(Asked(request, "work", seed, number, 60.0)))
            opened.answered.append(body)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    opened = Door(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield opened
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_agent(agent: Path, workspace: Path, instruction: str, url: str) -> subprocess.CompletedProcess[str]:
    """The agent's own process, started as a box would start it."""
    told = workspace.parent / "instruction.md"
    told.write_text(instruction)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(workspace.parent),
        "PYTHONPATH": str(agent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AGENT_HOME": str(agent),
        "AGENT_MODEL": "offline",
        "OPENAI_BASE_URL": url,
        "TASK_INSTRUCTION_FILE": str(told),
    }
    argv = [sys.executable, str(agent / "main.py")]
    return subprocess.run(
        argv, cwd=workspace, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def workspace_of(task: Path, folder: Path) -> Path:
    return Path(shutil.copytree(task / "environment" / "workspace", folder / "app"))


def reward(task: Path, workspace: Path, folder: Path) -> float:
    """The verdict of the task's own judge, as Harbor would have it."""
    out = folder / "reward.json"
    subprocess.run(
        [sys.executable, str(task / "tests" / "judge.py")],
        cwd=workspace,
        env={"PATH": os.environ["PATH"], "REWARD_FILE": str(out), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=120,
    )
    return float(json.loads(out.read_text())["reward"])


def tuned(folder: Path, **settings: object) -> Path:
    """A copy of the seed agent with other settings."""
    agent = Path(shutil.copytree(SEED_AGENT, folder / "agent"))
    file = agent / "seed" / "settings.py"
    lines = file.read_text().splitlines()
    for name, value in settings.items():
        at = next(n for n, line in enumerate(lines) if line.startswith(f"{name} = "))
        lines[at] = f"{name} = {value!r}"
    file.write_text("\n".join(lines) + "\n")
    return agent
