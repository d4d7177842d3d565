"""Handing work to a sub-agent: what it is told, and what its caller is shown of it."""

from seed import loop

HANDOFF = {
    "task": {"type": "string", "description": "what is to be done, with all that it needs to know"},
    "requirements": {"type": "string", "description": "what must hold when it is done"},
    "previous": {
        "type": "string",
        "description": "what earlier attempts did and found, so that they are not repeated",
    },
    "inherit": {
        "type": "string",
        "description": "what it sees of you: nothing | files (those you have open) | dialogue (and what was said)",
    },
}
INHERIT = ("nothing", "files", "dialogue")


def tool(name, description, example):
    """The TOOL of a sub-agent that takes the usual handoff."""
    parameters = {"type": "object", "properties": HANDOFF, "required": ["task"]}
    return {"name": name, "description": description, "parameters": parameters, "example": example}


def hand_over(name, spec, arguments, agent):
    """Let the sub-agent work to its end: its answer, how it ended and what it did, as a tree."""
    inherit = arguments.get("inherit", "nothing")
    if inherit not in INHERIT:
        raise ValueError(f"inherit is one of {', '.join(INHERIT)}, not {inherit!r}")
    agent.hired[name] += 1
    who = f"{agent.name}/{name}-{agent.hired[name]}"
    sub = loop.run(loop.Agent(spec, told(arguments), agent.door, name=who, parent=agent, inherit=inherit))
    agent.tree += [f"  {line}" for line in sub.tree]
    done = "\n".join(f"  {line}" for line in sub.tree) or "  nothing"
    if sub.ending == loop.BUDGET:
        agent.ending = loop.BUDGET  # it is the budget of all
    return f"[{who}: {sub.ending} after {sub.steps} steps]\n{sub.answer}\n[what it did]\n{done}"


def told(arguments):
    """The sub-agent's instruction."""
    parts = [arguments["task"]]
    if arguments.get("requirements"):
        parts.append(f"Requirements:\n{arguments['requirements']}")
    if arguments.get("previous"):
        parts.append(f"What was tried before:\n{arguments['previous']}")
    return "\n\n".join(parts)
