"""start_over: drop a line of thought that leads nowhere."""

TOOL = {
    "name": "start_over",
    "description": "Forget the dialogue but for the task and this lesson, and begin again. Files stay as they are.",
    "parameters": {"type": "object", "properties": {"lesson": {"type": "string"}}, "required": ["lesson"]},
    "example": {"lesson": "The cache is not the cause: the test fails without it as well."},
}


def run(arguments, agent):
    agent.begin(f"{agent.instruction}\n\n[You started over. What you learnt: {arguments['lesson']}]")
    return "started over"
