"""overwrite: write a whole file."""

from pathlib import Path

TOOL = {
    "name": "overwrite",
    "description": "Write a file: `content` becomes all of it. Folders are made as needed. A file that exists must be "
    "open, and unchanged on disk since you saw it.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
    "example": {"path": "notes/todo.txt", "content": "one line\n"},
}


def run(arguments, agent):
    agent.files.ready(arguments["path"])
    path, data = Path(arguments["path"]), arguments["content"].encode("utf-8", "surrogateescape")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    agent.files.wrote(arguments["path"], data)
    return f"wrote {len(data)} bytes to {path}"
