"""What an agent can see and reach while it works on a task, tried from inside by an agent that looks everywhere."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MANIFEST, World

from sica.attempt import Assignment, Attempt, work
from sica.errors import SandboxUnavailable
from sica.model import Budget, File, Limits
from sica.sandboxes import open_sandbox

CANARY = "canary-7f3a91-key"
HIDDEN = "hidden-expected-answer-55c1"

SPY = r"""
import json, os, pathlib, socket, stat, sys

words = [bytes(w, "ascii")[::-1] for w in json.loads(os.environ["SPY_WORDS"])]  # reversed: not to find itself
found, names = [], []

def look(path):
    try:
        with open(path, "rb") as f:
            data = f.read(2_000_000)
    except (OSError, ValueError):
        return
    for word in words:
        if word in data:
            found.append([word.decode()[::-1], str(path)])

for root, folders, files in os.walk("/", onerror=lambda e: None):
    if root.startswith(("/sys", "/usr", "/opt/python")) or root.count("/") > 9:  # the system's own, the same for all
        folders[:] = []
        continue
    folders[:] = [f for f in folders if not (root == "/proc" and f.isdigit() and f != "1")]
    for name in files:
        path = os.path.join(root, name)
        names.append(path)
        try:
            if stat.S_ISREG(os.lstat(path).st_mode) and not path.startswith(("/usr/bin", "/proc/kcore", "/proc/kmsg")):
                look(path)
        except OSError:
            pass
look("/proc/1/environ"); look("/proc/self/environ"); look("/proc/1/cmdline"); look("/proc/1/mountinfo")

def reach(family, address, kind=socket.SOCK_STREAM):
    try:
        s = socket.socket(family, kind)
        s.settimeout(2)
        s.connect(address)
        return "connected" if kind == socket.SOCK_STREAM else "sent %d" % s.send(b"x")
    except Exception as error:
        return type(error).__name__

port = int(os.environ["SPY_PORT"])
routes = {
    "host loopback": reach(socket.AF_INET, ("127.0.0.1", port)),
    "bridge": reach(socket.AF_INET, ("172.17.0.1", port)),
    "public": reach(socket.AF_INET, ("1.1.1.1", 53)),
    "metadata": reach(socket.AF_INET, ("169.254.169.254", 80)),
    "udp": reach(socket.AF_INET, ("1.1.1.1", 53), socket.SOCK_DGRAM),
    "vsock": reach(getattr(socket, "AF_VSOCK", 40), (2, 1024)),
    "abstract": reach(socket.AF_UNIX, "\0" + os.environ["SPY_ABSTRACT"]),
}
try:
    socket.getaddrinfo("example.com", 80)
    routes["dns"] = "resolved"
except Exception as error:
    routes["dns"] = type(error).__name__
pids = [p for p in os.listdir("/proc") if p.isdigit()]
def mine(p):
    try:
        return pathlib.Path("/proc", p, "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
named = [n for n in names if "sica" in n.lower()]
out = {"found": found, "routes": routes, "processes": [mine(p) for p in pids], "named": named,
       "environ": dict(os.environ), "uid": os.getuid(), "host": socket.gethostname()}
pathlib.Path("report.json").write_text(json.dumps(out))
"""


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    runtime = tmp_path / "rt2"
    runtime.mkdir(mode=0o711)
    opened = open_sandbox(request.param, store=f"spy{os.getpid()}", runtime=runtime)
    try:
        opened.probe()
    except SandboxUnavailable as error:
        if request.param == "bubblewrap" or os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    yield opened
    opened.close()


@pytest.fixture
def listener() -> Iterator[tuple[int, str]]:
    """A real server on the host's loopback and one on an abstract socket, both of which would answer."""
    with socket.create_server(("0.0.0.0", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        name = f"spy-{os.getpid()}"
        abstract.bind("\0" + name)
        abstract.listen()
        stop = threading.Event()
        yield tcp.getsockname()[1], name
        stop.set()


def spied(world: World, sandbox: Any, port: int, abstract: str) -> dict[str, Any]:
    world.sandbox = sandbox
    words = json.dumps([w[::-1] for w in (CANARY, HIDDEN, "store with space", "agents.git", "sica.db")])
    told = f"SPY_WORDS = {json.dumps(words)}, SPY_PORT = '{port}', SPY_ABSTRACT = '{abstract}'"
    manifest = f"{MANIFEST}env = {{ {told} }}\n"
    agent = world.seed({"agent.toml": File(manifest.encode()), "main.py": File(SPY.encode())})
    made: Attempt = work(
        world.place,
        agent,
        Assignment(
            role="main",
            instruction="look around",
            workspace={"/app/a.txt": File(b"a")},
            workdir="/app",
            limits=Limits(seconds=60),
            budget=Budget(calls=1),
            seed=1,
        ),
    )
    assert made.ended is not None
    assert made.how == "done", made.ended.stderr.decode()
    report: dict[str, Any] = json.loads(made.left("/app")["report.json"].data)
    return report


def test_an_agent_that_looks_everywhere_finds_no_secret_and_no_way_out(
    world: World, sandbox: Any, listener: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    hidden = world.root / "toy" / "level1" / "tests" / "secret.txt"
    hidden.write_text(HIDDEN)
    seen = spied(world, sandbox, *listener)
    assert seen["found"] == []
    assert seen["named"] == []
    assert seen["uid"] != 0
    assert CANARY not in json.dumps(seen["environ"])
    assert "sica" not in json.dumps([seen["environ"], seen["processes"], seen["host"]]).lower()
    assert {
        k: v for k, v in seen["routes"].items() if v in ("connected", "resolved") or v.startswith("sent")
    } == {}
    assert len(seen["processes"]) <= 4  # the runner, its relay and the spy: nobody else's
