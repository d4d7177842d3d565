"""submit: the task is done. The loop ends when it has run."""

TOOL = {
    "name": "submit",
    "description": "Say that the task is done, with a summary of what you did and found. Nothing happens after it.",
    "parameters": {"type": "object", "properties": {"summary": {"type": "string"}}, "required": []},
    "example": {"summary": "The parser takes empty fields now; the tests pass."},
}


def run(arguments, agent):
    agent.answer, agent.ending = arguments.get("summary", ""), "submitted"
    return "submitted"
