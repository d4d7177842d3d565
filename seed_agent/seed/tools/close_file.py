"""close_file: done with a file."""

TOOL = {
    "name": "close_file",
    "description": "Close an open file: its changes are not shown any more.",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "example": {"path": "src/main.py"},
}


def run(arguments, agent):
    agent.files.close(arguments["path"])
    return f"closed {arguments['path']}"
