"""Every exit code of `sica help exit-codes`, met by a real command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, begin, environment, sica

BOXES = {"SICA_SANDBOX": "bubblewrap", "SICA_WORKERS": "2"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = begin(tmp_path_factory.mktemp("exit") / "p")
    broken = folder / "broken" / "task"
    broken.mkdir(parents=True)
    (broken / "task.toml").write_text("[")
    return folder


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (0, "sica log"),
        (1, "sica bench check broken"),
        (2, "sica show 77"),
        (3, "sica evolve -n 0 --task edit-settings --max-calls 1"),
        (4, "sica evolve --model openai/gpt-5-mini"),
        (5, "sica compare 0 0 --exit-code"),
        (125, "sica eval 77 --bisect"),
        (
            130,
            '"$PYTHON" -m sica evolve -n 0 2>progress & '
            "until grep -q phase=evaluate progress; do kill -0 $! || exit 99; done; kill -TERM $!; wait $!",
        ),
        (141, "set -o pipefail; sica help --markdown | true"),
    ],
)
def test_an_exit_code(project: Path, code: int, command: str) -> None:
    script = 'sica() { "$PYTHON" -m sica "$@"; }\n' + command
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=project,
        env=environment(project.parent, **BOXES, PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == code, ran
    assert "Traceback" not in ran.stderr


def test_the_table_names_each_of_them_once(project: Path) -> None:
    page = sica(project, "help", "exit-codes").out
    documented = [int(number) for number in re.findall(r"^ {4}(\d+) ", page, re.MULTILINE)]
    assert documented == [0, 1, 2, 3, 4, 5, 125, 130, 141]
    assert all(line in (ROOT / "docs" / "cli.md").read_text() for line in page.splitlines()[2:])


COMMANDS = re.findall(r"^\| \[`sica (\w+)`\]", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "git"])
def test_every_help_has_an_example_that_is_understood(project: Path, name: str) -> None:
    page = sica(project, "help", name).out
    examples = [
        line.strip() for line in page.splitlines() if line.startswith("    sica ") or "sica " + name in line
    ]
    assert any(line.startswith(f"sica {name}") for line in examples), page
    known = set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", page))
    for line in examples:
        asked = re.findall(rf"sica {name}\b(.*?)(?:  |$|\)|&&|\|)", line)
        for words in asked:
            assert set(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", words)) <= known, line
