"""overwrite: write a whole file."""

from pathlib import Path

TOOL = {
    "name": "overwrite",
    "description": "Write a file: `content` becomes all of it. Folders are made as needed.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
}


def run(arguments, facts):  # noqa: ARG001  every tool is called alike
    path, data = Path(arguments["path"]), arguments["content"].encode("utf-8", "surrogateescape")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"wrote {len(data)} bytes to {path}"
