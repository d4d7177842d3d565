"""submit: the task is done. The loop ends when it sees this call."""

TOOL = {
    "name": "submit",
    "description": "Say that the task is done. Nothing happens after it.",
    "parameters": {"type": "object", "properties": {"summary": {"type": "string"}}, "required": []},
}


def run(arguments, facts):  # noqa: ARG001  every tool is called alike
    return "submitted"
