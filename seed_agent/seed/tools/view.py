"""view: a window of a file, with line numbers."""

from pathlib import Path

from seed import settings

TOOL = {
    "name": "view",
    "description": "Show a part of a file with line numbers, from line `start` on.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "start": {"type": "integer", "minimum": 1}},
        "required": ["path"],
    },
}


def run(arguments, facts):
    path, start = Path(arguments["path"]), max(1, int(arguments.get("start", 1)))
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    shown = lines[start - 1 : start - 1 + settings.VIEW_LINES]
    last = start - 1 + len(shown)
    if last < len(lines):
        facts["views cut"] += 1
    head = f"[{path}: lines {start}-{last} of {len(lines)}]"
    return "\n".join([head, *(f"{number:5}\t{line}" for number, line in enumerate(shown, start))])
