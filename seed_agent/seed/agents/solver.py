"""solver: a problem of any kind, from finding something out to a plan."""

from seed import team

SPEC = {
    "system": """You solve a problem that a colleague hands you: find something out, work something out, decide between
ways. Use the tools to look at facts instead of guessing, take the problem apart, and hand pieces on where that
helps. Then call submit with the answer first and the reasons after it.""",
    "tools": ["bash", "calculate", "directory", "give_up", "open_file", "search", "start_over", "submit"],
    "team": ["coder", "reasoner"],
}
TOOL = team.tool(
    "solver",
    "Have somebody find out or decide something that needs several steps, without filling your own dialogue with them.",
    {
        "task": "Which modules write to the cache, and under which locks?",
        "requirements": "file and line of each",
    },
)


def run(arguments, agent):
    return team.hand_over("solver", SPEC, arguments, agent)
