"""What the kernel saw: the key of a model's provider is in sica's own process, and no agent is given it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment, sica

CANARY = "sk-canary-3f9c1"
STRACE = ("strace", "-f", "-v", "-s", "100000", "-e", "trace=execve", "-o")
GIT = re.compile(r'execve\("[^"]*/git", \["(git|/usr/lib/git-core/git)"')
"""The host's own git works on the store for sica, and has the environment of whoever started sica."""


@pytest.mark.skipif(shutil.which("strace") is None and "CI" not in os.environ, reason="needs strace")
def test_no_program_but_git_is_given_a_key(tmp_path: Path) -> None:
    project, log = tmp_path / "project", tmp_path / "programs"
    project.mkdir()
    assert sica(project, "init").code == 0
    done = subprocess.run(
        [
            *STRACE,
            log,
            sys.executable,
            "-m",
            "sica",
            "eval",
            "0",
            "--bench",
            "smoke",
            "--sandbox",
            "bubblewrap",
        ],
        cwd=project,
        env=environment(tmp_path, OPENAI_API_KEY=CANARY, ANTHROPIC_API_KEY=CANARY, SICA_SECRET=CANARY),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    started = [
        line for line in log.read_text(errors="replace").splitlines() if re.search(r"\bexecve\(", line)
    ]
    itself, *others = started
    assert CANARY in itself, "strace shows environments"
    assert any("/agent/main.py" in line for line in others), "it followed the agent into its box"
    assert [line[:200] for line in others if CANARY in line and not GIT.search(line)] == []
    for path in (project / ".sica").rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
