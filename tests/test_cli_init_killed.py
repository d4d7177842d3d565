"""`sica init` killed at every single thing it does to the disk, then run again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import MANIFEST, environment

KILL = r"""
import importlib, json, os, shutil, sys
from pathlib import Path

agent, here = Path(sys.argv[1]), Path(sys.argv[2])
WRITES = {"os.mkdir", "os.rename", "os.remove", "os.link", "os.chmod", "os.truncate", "sqlite3.connect",
          "subprocess.Popen", "fcntl.flock"}

def writes(event, args):
    if event in ("open", "os.mkdir", "os.rename", "os.chmod") and "/objects/" in str(args[0]):
        seen.append(event)
        return len(seen) < 6  # one object is written as the other
    if event == "open":
        return isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    return event in WRITES

seen = []

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            os.chdir(here)
            with open(here.with_suffix(".out"), "w") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            work()
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), here.with_suffix(".out").read_text()

def run(*words):
    def work():
        from sica.cli.main import main
        try:
            main(words)
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)
    return forked(work)

def killed(at):
    def work():
        left = [at]
        def hook(event, args):
            if writes(event, args):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), 9)
        sys.addaudithook(hook)
        from sica.cli.main import main
        try:
            main(["init", "--agent", str(agent)])
        except SystemExit as end:
            os._exit(end.code or 0)
    return forked(work)

def imported():
    def work():
        from sica.cli.main import main
        for words in (["init", "--agent", str(agent)], ["db", "check", "--json"]):
            try:
                main(words)
            except SystemExit:
                pass
        print("\n" + json.dumps([name for name in sys.modules if name != "__main__"]), flush=True)
    return json.loads(forked(work)[1].splitlines()[-1])

here.mkdir()
for name in imported():  # once, not by every child
    importlib.import_module(name)
moments = 0
wrong = []
while True:
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    moments += 1
    code, said = killed(moments)
    if code == 0:
        break
    if code != -9:
        wrong.append([moments, "was not killed", code, said])
        break
    again, said = run("init", "--agent", str(agent))
    checked, health = run("db", "check", "--json")
    whole = "model = " in (here / "sica.toml").read_text() if (here / "sica.toml").exists() else False
    if (again, checked, json.loads(health).get("n_agents") if checked == 0 else 0, whole) != (0, 0, 1, True):
        wrong.append([moments, said, health, whole])
        break
json.dump([moments, wrong], sys.stdout)
"""


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """Where syncing costs nothing: a hundred stores are made and it is no power cut that is tried."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.slow
def test_an_init_killed_at_any_moment_is_completed_by_the_next(in_memory: Path) -> None:
    agent = in_memory / "agent"
    agent.mkdir()
    (agent / "agent.toml").write_bytes(MANIFEST)
    (agent / "main.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(agent), str(in_memory / "p")],
        env=environment(in_memory),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    moments, wrong = json.loads(done.stdout)
    assert wrong == []
    assert moments > 40  # it was really killed, again and again
