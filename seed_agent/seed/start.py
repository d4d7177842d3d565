"""Read the instruction, work in the current directory, say what was done and how it ended."""

import os
from pathlib import Path

from seed import loop, model


def main():
    try:
        instruction = Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text(encoding="utf-8", errors="replace")
        door = model.Model(os.environ["OPENAI_BASE_URL"], os.environ.get("AGENT_MODEL", "default"))
    except (KeyError, OSError) as missing:
        print(f"ended: could not start ({missing!r} is missing)")
        return 2
    ending, facts, agent = loop.work(instruction, door)
    report(agent)
    print(loop.last_line(ending, facts))
    return 0 if ending in loop.ORDERLY else 1


def report(agent):
    """What was done, as a tree, kept beside the other logs of the trial."""
    logs = os.environ.get("AGENT_LOGS")
    if logs and Path(logs).is_dir():
        Path(logs, "tree.txt").write_text(
            "\n".join(["main", *agent.tree, agent.ending]) + "\n", encoding="utf-8"
        )
