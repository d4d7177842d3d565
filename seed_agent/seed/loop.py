"""One agent at work: ask the model, do what it calls for, show it the result, until it submits or a limit is reached.
Sub-agents work by the same loop, called as a tool.
"""

from collections import Counter

from seed import agents, calls, settings, tools
from seed.context import Context, text_of
from seed.files import OpenFiles
from seed.model import BudgetExhausted, NoToolCalls, TooLong, Unreachable

SUBMITTED, FINISHED, GAVE_UP = "submitted", "finished without submitting", "gave up"
STEP_LIMIT, BUDGET = "step limit reached", "budget exhausted"
ORDERLY = (SUBMITTED, FINISHED, GAVE_UP, STEP_LIMIT, BUDGET)
"""Endings in which the agent did what it should; every other one is an error and makes the exit code 1."""

CUT = "[Your answer was cut off at its length limit. Go on exactly where it stopped.]"


class Agent:
    """One of the team, while it works. Tools get it as their second argument."""

    def __init__(self, spec, instruction, door, *, name="main", parent=None, inherit="nothing"):
        self.door, self.name, self.parent = door, name, parent
        self.depth = parent.depth + 1 if parent else 0
        self.facts = parent.facts if parent else Counter()
        self.files = OpenFiles(parent.files.seen if inherit != "nothing" else ())
        self.tools = offered(spec, self.depth)
        self.system = spec["system"]
        self.tree, self.hired = [], Counter()
        """What it did, a line each, with sub-agents' lines indented; and how often it called each of them."""
        self.steps = self.malformed = 0
        self.answer = self.ending = ""
        self.begin(instruction)
        for message in inherited(parent, inherit):
            self.context.add(message)

    def begin(self, instruction):
        """Start the dialogue, or start it over."""
        told = (
            f"{self.system}\n\n{calls.document(self.schemas())}"
            if settings.PROTOCOL == "xml"
            else self.system
        )
        self.instruction, self.context = instruction, Context(told, instruction)

    def schemas(self):
        return [module.TOOL for module in self.tools.values()]


def offered(spec, depth):
    """Its own tools, and the sub-agents that it may call, by name."""
    found = {name: m for name, m in tools.modules().items() if {name, "*"} & set(spec["tools"])}
    if depth < settings.TEAM_DEPTH:
        team = {name: m for name, m in agents.modules().items() if name in spec["team"] and agents.there(m)}
        found.update(team)
    return found


def inherited(parent, inherit):
    """What a sub-agent is shown of its caller before it starts."""
    if inherit == "dialogue":
        words = [f"{m['role']}: {text_of(m)}" for m in parent.context.messages[1:] if text_of(m)]
        yield {"role": "user", "content": "[What was said before you came:]\n" + "\n".join(words)}
    if inherit != "nothing" and parent.files.seen:
        yield {"role": "user", "content": "[Open files:]\n" + "\n\n".join(parent.files.views())}


def work(instruction, door):
    """Do the task. Returns how it ended and a Counter of what got in the way."""
    agent = run(Agent(agents.MAIN, instruction, door))
    return agent.ending, agent.facts, agent


def run(agent):
    """Work until the end, which `agent.ending` then says."""
    try:
        while not agent.ending:
            turn(agent)
    except BudgetExhausted:
        agent.ending = BUDGET
    except Unreachable as error:
        agent.ending = f"model failed ({error})"
    return agent


def turn(agent):
    """One answer of the model, and what it calls for."""
    if agent.steps >= (settings.TEAM_TURNS if agent.parent else settings.MAX_STEPS):
        agent.ending = STEP_LIMIT
        return
    message, cut = ask(agent)
    made = calls.asked_for(message, cut=cut)
    if not made and cut:
        message, made = _continued(agent, message)
    if not made:
        agent.answer, agent.ending = text_of(message), FINISHED
        return
    before = agent.facts["malformed calls"]
    for number, call in enumerate(made):
        _serve(agent, call, number < settings.CALLS_PER_ANSWER)
        if agent.ending:
            return
    agent.malformed = agent.malformed + 1 if agent.facts["malformed calls"] > before else 0
    if agent.malformed >= settings.MALFORMED_ALLOWED:
        agent.ending = "too many malformed calls"
        return
    _housekeep(agent)


def _serve(agent, call, obeyed):
    """Do one call and show what came of it, and what it changed in open files."""
    id_, name, raw = call
    context = agent.context
    text = obey(agent, name, raw) if obeyed else "not run: one call at a time"
    if agent.context is not context:
        return  # it started over: the call belongs to what is forgotten
    changed = agent.files.refresh() if obeyed else ""
    shown = f"{text}\n{changed}" if changed else text
    context.add(calls.result(id_, name, shown), diff=len(changed))


def _housekeep(agent):
    for notice in agent.door.meter.notices():
        agent.context.add({"role": "user", "content": notice})
    if agent.context.diffs > settings.FOLD_AT:
        agent.context.fold(agent.files.views())
        agent.facts["diffs folded"] += 1


def ask(agent):
    """The model's next answer, added to the context; a dialogue that grew too long is compacted first."""
    while agent.context.tokens() > settings.WINDOW_TOKENS and agent.context.compact(calls.gist):
        agent.facts["dialogues compacted"] += 1
    try:
        message, cut = agent.door.ask(agent.context, calls.native(agent.schemas()), agent.facts, agent.name)
    except TooLong:
        if not agent.context.compact(calls.gist):
            raise
        agent.facts["dialogues compacted"] += 1
        return ask(agent)
    except NoToolCalls:
        if settings.PROTOCOL == "xml":
            raise
        settings.PROTOCOL = "xml"  # for the whole team, for good: the model is the same
        agent.begin(agent.instruction)
        return ask(agent)
    agent.steps += 1
    agent.facts["steps"] += 1
    agent.context.add(message)
    return message, cut


def _continued(agent, message):
    """An answer in words that its length ended, with what follows it."""
    whole = text_of(message)
    for _ in range(settings.CONTINUATIONS):
        agent.context.add({"role": "user", "content": CUT})
        more, cut = ask(agent)
        whole += text_of(more)
        if not cut:
            break
    joined = {"role": "assistant", "content": whole}
    return joined, calls.asked_for(joined)


def obey(agent, name, raw):
    """Do one call. Whatever is wrong with it, there is a result that says so."""
    if name not in agent.tools:
        agent.facts["malformed calls"] += 1
        return (
            f"error: malformed call: there is no tool {name!r}; there are: {', '.join(sorted(agent.tools))}"
        )
    module = agent.tools[name]
    try:
        given = calls.arguments(raw, module.TOOL)
        agent.tree.append(f"{name} {_brief(given)}".rstrip())
        return module.run(given, agent)
    except (ValueError, TypeError, KeyError) as error:
        agent.facts["malformed calls"] += isinstance(error, calls.Malformed)
        kind = "malformed call of " if isinstance(error, calls.Malformed) else ""
        return f"error: {kind}{name}: {error}"
    except OSError as error:
        return f"error: {error}"


def _brief(given):
    return "; ".join(" ".join(str(value).split())[:60] for value in list(given.values())[:2])


def last_line(ending, facts):
    words = (
        "steps",
        "outputs cut",
        "answers cut",
        "commands timed out",
        "malformed calls",
        "requests repeated",
    )
    return f"ended: {ending}; " + "; ".join(f"{what}: {facts[what]}" for what in words)
