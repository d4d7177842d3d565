"""coder: changes code for one well-told piece of work."""

from seed import team

SPEC = {
    "system": """You are a programmer who was handed one piece of work by a colleague. Read the code it touches, change
as little as does it, and run what shows that it works. Then call submit: say what you changed, where, and how you
know.""",
    "tools": [
        "bash",
        "close_file",
        "directory",
        "give_up",
        "open_file",
        "overwrite",
        "search",
        "start_over",
        "submit",
    ],
    "team": [],
}
TOOL = team.tool(
    "coder",
    "Have a programmer make one change to the code: a fix, a function, a test. It works on the same files as you.",
    {
        "task": "Make parse() in src/csv.py keep empty fields.",
        "requirements": "tests/test_csv.py passes",
        "inherit": "files",
    },
)


def run(arguments, agent):
    return team.hand_over("coder", SPEC, arguments, agent)
