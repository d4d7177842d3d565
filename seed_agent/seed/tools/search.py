"""search: which lines match, below a path."""

import os
import re
from pathlib import Path

from seed import settings

SKIPPED = {".git", "__pycache__", "node_modules", ".venv"}
TOOL = {
    "name": "search",
    "description": "Find the lines that match a regular expression, in one file or all below a directory.",
    "parameters": {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "description": "a Python regular expression"},
            "where": {
                "type": "string",
                "description": "a directory or a file; the current directory when left out",
            },
            "names": {
                "type": "string",
                "description": "only files whose name matches this glob, such as *.py",
            },
        },
        "required": ["pattern"],
    },
    "example": {"pattern": "def parse_\\w+", "names": "*.py"},
}


def run(arguments, agent):
    try:
        pattern = re.compile(arguments["pattern"])
    except re.error as error:
        raise ValueError(f"{arguments['pattern']!r} is no regular expression: {error}") from None
    root = Path(arguments.get("where") or ".")
    if not root.exists():
        raise ValueError(f"there is no {root}")
    hits, more = [], 0
    for path in _files(root, arguments.get("names") or "*"):
        for number, line in enumerate(_lines(path), 1):
            if pattern.search(line):
                if len(hits) < settings.SEARCH_HITS:
                    hits.append(f"{path}:{number}: {line.strip()[:200]}")
                else:
                    more += 1
    agent.facts["outputs cut"] += more > 0
    return (
        "\n".join([*hits, *([f"[output cut: {more} more hits are not shown]"] if more else [])]) or "no match"
    )


def _files(root, names):
    if root.is_file():
        yield root
        return
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if name not in SKIPPED)
        yield from (path for name in sorted(files) if (path := Path(folder, name)).match(names))


def _lines(path):
    try:
        data = path.read_bytes()
    except OSError:
        return []
    return [] if b"\0" in data[:4096] else data.decode("utf-8", "replace").splitlines()
