"""give_up: end early and say why, instead of going on in vain."""

TOOL = {
    "name": "give_up",
    "description": "End now, because the task cannot be done as it was put. What you changed stays.",
    "parameters": {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]},
    "example": {"reason": "The file that the task names does not exist."},
}


def run(arguments, agent):
    agent.answer, agent.ending = f"gave up: {arguments['reason']}", "gave up"
    return "ended"
