"""open_file: a window of a file, with line numbers."""

TOOL = {
    "name": "open_file",
    "description": "Show a part of a file with line numbers, from line `start` on. The file is open from then on: when "
    "it changes on disk you are shown how, and it may be overwritten.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "start": {"type": "integer", "minimum": 1}},
        "required": ["path"],
    },
    "example": {"path": "src/main.py", "start": 101},
}


def run(arguments, agent):
    return agent.files.open(arguments["path"], max(1, arguments.get("start", 1)))
