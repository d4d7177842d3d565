"""Read the instruction, work in the current directory, say how it ended."""

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
    ending, facts = loop.work(instruction, door)
    print(loop.last_line(ending, facts))
    return 0 if ending in loop.ORDERLY else 1
