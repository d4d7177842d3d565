"""Every policy of the folder through the whole command on `core`, with the offline model; `make policies` does more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from commands import ROOT, environment

from sica.policies import policy_names


def test_every_policy_makes_and_measures_a_child(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "bin" / "policies")],
        env=environment(
            tmp_path,
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            SANDBOXES="bubblewrap",
            CHILDREN="1",
            TASK="edit-settings",
            POLICIES=" ".join(policy_names()),
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[1], line[2]) for line in lines] == [
        ("bubblewrap", n, "ok") for n in policy_names()
    ]
