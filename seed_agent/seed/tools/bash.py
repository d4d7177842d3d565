"""bash: run a command, end it with everything it started, and show what it printed."""

import contextlib
import os
import signal
import subprocess
import tempfile

from seed import settings

TOOL = {
    "name": "bash",
    "description": "Run a shell command and show what it printed and its exit code.",
    "parameters": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
    "example": {"command": "python3 -m unittest 2>&1 | tail -n 20"},
}


def run(arguments, agent):
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            ["bash", "-c", arguments["command"]],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            ending = f"[exit code {process.wait(settings.BASH_SECONDS)}]"
        except subprocess.TimeoutExpired:
            agent.facts["commands timed out"] += 1
            ending = f"[timed out after {settings.BASH_SECONDS} seconds]"
        finally:
            end_group(process)
        printed.seek(0)
        text = printed.read().decode("utf-8", "replace")
    return f"{clip(text, agent.facts).rstrip()}\n{ending}"


def end_group(process):
    """End what the command started, also what it left running in the background."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def clip(text, facts):
    """The kept end of a long output, with a mark where something is missing."""
    kept = settings.OUTPUT_KEPT
    if len(text) <= kept:
        return text
    facts["outputs cut"] += 1
    mark = f"[output cut: {len(text) - kept} characters are not shown]"
    if settings.OUTPUT_END == "tail":
        return f"{mark}\n{text[-kept:]}"
    if settings.OUTPUT_END == "both":
        return f"{text[: kept // 2]}\n{mark}\n{text[-(kept // 2) :]}"
    return f"{text[:kept]}\n{mark}"
