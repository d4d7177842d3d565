"""reasoner: thinks a question through in the steps of a structure. Each step is a tool that is there for that one
step and gone afterwards, so that no step can be skipped and none repeated.
"""

from seed import calls
from seed.context import Context, text_of

STRUCTURES = {
    "hypotheses": [
        ("list_hypotheses", "Name at least three different explanations, also unlikely ones."),
        ("list_evidence", "For each of them: what known fact speaks for it, what against it?"),
        ("name_test", "Which single observation would tell the best two apart?"),
        (
            "conclude",
            "Which explanation is the most likely one, how sure is that, and what should be done next?",
        ),
    ],
    "plan": [
        ("state_goal", "What exactly must hold at the end, and how will it be checked?"),
        ("list_parts", "Which parts does that need, and which of them hang on which?"),
        ("list_risks", "What could go wrong with each part, and how would one notice?"),
        ("conclude", "The order of work, step by step."),
    ],
    "decide": [
        ("list_ways", "Which ways are there? At least three."),
        ("list_costs", "What does each way cost, and what does it make harder later?"),
        ("conclude", "Which way, and what would change that choice?"),
    ],
}
SYSTEM = """You think a question through for a colleague, one step at a time. In each step answer only what it asks, by
calling its tool. Be concrete; use only what you were told."""

TOOL = {
    "name": "reasoner",
    "description": f"Have a question thought through in fixed steps; structure is one of {', '.join(STRUCTURES)}.",
    "parameters": {
        "type": "object",
        "properties": {
            "question": {"type": "string", "description": "with all the facts that bear on it"},
            "structure": {"type": "string", "description": " | ".join(STRUCTURES)},
        },
        "required": ["question", "structure"],
    },
    "example": {"question": "The test fails on the second call only. Known: ...", "structure": "hypotheses"},
}


def run(arguments, agent):
    if arguments["structure"] not in STRUCTURES:
        raise ValueError(f"structure is one of {', '.join(STRUCTURES)}, not {arguments['structure']!r}")
    agent.hired["reasoner"] += 1
    who = f"{agent.name}/reasoner-{agent.hired['reasoner']}"
    context = Context(SYSTEM, arguments["question"])
    thoughts = [
        f"{name}: {_step(context, name, asked, agent, who)}"
        for name, asked in STRUCTURES[arguments["structure"]]
    ]
    agent.tree += [f"  {thought.split(':')[0]}" for thought in thoughts]
    return "\n\n".join(thoughts)


def _step(context, name, asked, agent, who):
    """One step: its tool alone is offered. An answer in words is taken as well."""
    tool = {
        "name": name,
        "description": asked,
        "parameters": {
            "type": "object",
            "properties": {"thought": {"type": "string"}},
            "required": ["thought"],
        },
    }
    context.add({"role": "user", "content": calls.step(tool)})
    message, _ = agent.door.ask(context, calls.native([tool]), agent.facts, who)
    context.add(message)
    made = calls.asked_for(message)
    for number, (id_, called, _) in enumerate(made):
        context.add(calls.result(id_, called, "noted" if number == 0 else "not run: one step at a time"))
    if not made or made[0][1] != name:
        return text_of(message) or "(nothing)"
    try:
        return calls.arguments(made[0][2], tool)["thought"]
    except calls.Malformed as error:
        agent.facts["malformed calls"] += 1
        return f"({error})"
