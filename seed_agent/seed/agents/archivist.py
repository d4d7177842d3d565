"""archivist: what the results of earlier trials and changes say. Only there when an agent is to be improved."""

from seed import team

SPEC = {
    "system": """You read the archive below /task/archive for a colleague who is to improve an agent: the trials with
their scores, the transcripts, what was changed before and what came of it. Answer from what stands there: count,
compare, quote the lines that show it, and say what it does not show. Then call submit with the answer.""",
    "tools": ["bash", "calculate", "close_file", "directory", "give_up", "open_file", "search", "submit"],
    "team": [],
    "needs": "/task/archive",
}
TOOL = team.tool(
    "archivist",
    "Have somebody read the archive of earlier trials and changes and answer a question from it.",
    {"task": "What did the failed trials have in common that the solved ones had not?"},
)


def run(arguments, agent):
    return team.hand_over("archivist", SPEC, arguments, agent)
