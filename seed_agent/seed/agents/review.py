"""review: a committee of readers, each with one thing to look for, who read the same work at the same time."""

from concurrent.futures import ThreadPoolExecutor

from seed.context import Context, text_of

PERSONAS = {
    "correctness": "You look for cases in which the work gives a wrong result or breaks what worked.",
    "requirements": "You compare the work with what was asked: name what is missing, and what nobody asked for.",
    "simplicity": "You look for what could be left out or said more plainly without loss.",
}
SYSTEM = (
    "You are one of several readers of a piece of work. {look} Answer in at most ten lines, the gravest first. If \
you find nothing, say so in one line; do not invent."
)

TOOL = {
    "name": "review",
    "description": f"Have finished work read by a committee ({', '.join(PERSONAS)}) before you submit it. Give them "
    "the task and the change itself, such as a diff: they see nothing else.",
    "parameters": {
        "type": "object",
        "properties": {"task": {"type": "string"}, "work": {"type": "string"}},
        "required": ["task", "work"],
    },
    "example": {"task": "Keep empty fields.", "work": "--- a/csv.py\n+++ b/csv.py\n..."},
}


def run(arguments, agent):
    agent.hired["review"] += 1
    who = f"{agent.name}/review-{agent.hired['review']}"
    told = f"What was asked:\n{arguments['task']}\n\nThe work:\n{arguments['work']}"

    def opinion(persona):
        context = Context(SYSTEM.format(look=PERSONAS[persona]), told)
        return text_of(agent.door.ask(context, None, agent.facts, f"{who}/{persona}")[0]) or "(nothing)"

    with ThreadPoolExecutor(len(PERSONAS)) as pool:
        opinions = list(pool.map(opinion, PERSONAS))
    agent.tree += [f"  {persona}" for persona in PERSONAS]
    return "\n\n".join(f"{persona}: {said}" for persona, said in zip(PERSONAS, opinions))
