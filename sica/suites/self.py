"""self: change the code of a small agent, as improving oneself asks for: a tool, the prompt, the parser, the loop.

The agent has four modules and a model that is a list of answers, so that the whole of it runs on plain data. Two requests
for each level: one place; one place with corner cases; two places that have to agree; the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sica.suites._made import Made
from sica.suites._truth import Probe, answers, checks
from sica.suites._words import Names

_TOOLS = '''"""The tools: name -> (what it does, function of files and arguments). Files are a dictionary of texts."""


def look(files, path):
    return files.get(path, f"there is no {path}")


def put(files, path, text):
    files[path] = text
    return f"wrote {path}"

%s
TOOLS = {
    "look": ("show a file", look),
    "put": ("write a file", put),
%s}
'''
_PROMPT = '''"""What the model is told."""

from %(name)s.tools import TOOLS

%(constants)s

def prompt(task, steps_left):
%(body)s
'''
_PARSE = '''"""What the model answers, as calls."""

import json


def parse(answer):
    """A list of {"tool": name, "with": arguments}."""
%s
'''
_LOOP = '''"""The loop: ask, do, show, until the model says done or the steps are used up."""

from %(name)s.parse import parse
from %(name)s.tools import TOOLS

STEPS = %(steps)d
SHOWN = %(shown)d

%(before)s
def show(text):
%(show)s

def obey(files, call):
    if call["tool"] not in TOOLS:
        return f"there is no tool {call['tool']}"
    try:
        return TOOLS[call["tool"]][1](files, **call["with"])
    except TypeError:
        return "wrong arguments"


%(run)s
'''
_PLAIN_RUN = '''def run(files, answers):
    """The messages of a task; the model's answers are given as a list, and the files are changed."""
    files = dict(files)
    messages = []
    for answer in answers[:STEPS]:
        messages.append(["model", answer])
        calls = parse(answer)
        if not calls:
            break
        for call in calls:
            messages.append(["tool", show(obey(files, call))])
    return [messages, files]'''


@dataclass(frozen=True)
class Texts:
    """The parts of the agent that a request may change."""

    tools: str = ""
    listed: str = ""
    constants: str = ""
    prompt: str = (
        '    lines = [task, f"You have {steps_left} steps."]\n    return "\\n".join([*lines, *TOOLS])'
    )
    parse: str = '    if answer.startswith("{"):\n        return [json.loads(answer)]\n    return []'
    before: str = ""
    show: str = "    return text[:SHOWN]"
    run: str = _PLAIN_RUN


def _agent(name: str, steps: int, shown: int, t: Texts) -> dict[str, str]:
    return {
        f"{name}/__init__.py": '"""A small agent."""\n',
        f"{name}/tools.py": _TOOLS % (t.tools, t.listed),
        f"{name}/prompt.py": _PROMPT % {"name": name, "constants": t.constants, "body": t.prompt},
        f"{name}/parse.py": _PARSE % t.parse,
        f"{name}/loop.py": _LOOP
        % {"name": name, "steps": steps, "shown": shown, "before": t.before, "show": t.show, "run": t.run},
    }


@dataclass(frozen=True)
class Request:
    family: str
    text: str
    after: Texts
    probes: list[Probe]


def task(dice: Random, level: int, nth: int) -> Made:
    name = Names(dice).thing()
    steps, shown = dice.randrange(6, 12), dice.randrange(60, 120)
    request = _REQUESTS[level - 1][nth % 2](dice, name)
    before, after = _agent(name, steps, shown, Texts()), _agent(name, steps, shown, request.after)
    keep: list[Probe] = [
        {
            "call": f"{name}.loop.run",
            "args": [{"a": "one"}, [_say("look", path="a"), _say("put", path="b", text="two"), "all done"]],
        },
        {"call": f"{name}.parse.parse", "args": ["I am done."]},
        {"call": f"{name}.loop.run", "args": [{}, [_say("nothing"), _say("look"), "done"]]},
    ]
    probes = [*request.probes, *keep]
    return Made(
        family=request.family,
        description="Change a small agent's own code.",
        instruction=f"The package `{name}` is a small agent; `{name}/loop.py` runs it. Change it so:\n\n{request.text}\n\nWhat it does otherwise stays the same.",
        workspace=before,
        solution={path: text for path, text in after.items() if before[path] != text},
        checks=checks(probes, answers(after, probes), answers(before, probes)),
    )  # fmt: skip


def _say(tool: str, **given: object) -> str:
    import json

    return json.dumps({"tool": tool, "with": given})


def _tool(dice: Random, name: str) -> Request:
    verb, word = dice.choice(("count", "tally", "measure")), dice.choice(("lines", "words", "digits"))
    code = {
        "lines": "len(text.splitlines())",
        "words": "len(text.split())",
        "digits": "sum(c.isdigit() for c in text)",
    }[word]
    tool = f"{verb}_{word}"
    body = f'\ndef {tool}(files, path):\n    if path not in files:\n        return f"there is no {{path}}"\n    text = files[path]\n    return f"{{path}}: {{{code}}} {word}"\n'
    given = {"a": "one 2\nthree 44", "b": ""}
    return Request(
        "tool",
        f"It gets a tool `{tool}` with one argument `path`. It answers `PATH: N {word}` with the number of {word} in the file, and like `look` when there is "
        f"no such file. In `TOOLS` it is described as `{verb} the {word} of a file` and stands last.",
        Texts(tools=body, listed=f'    "{tool}": ("{verb} the {word} of a file", {tool}),\n'),
        [
            *({"call": f"{name}.loop.run", "args": [given, [_say(tool, path=path), "done"]]} for path in ("a", "b", "c")),
            {"call": f"{name}.tools.{tool}", "args": [{"x": "7 7\n7"}, "x"]},
            {"call": f"{name}.prompt.prompt", "args": ["Do it.", 3]},
        ],
    )  # fmt: skip


def _told(dice: Random, name: str) -> Request:
    few, word = dice.randrange(2, 5), dice.choice(("Hurry", "Finish soon", "Not much is left"))
    body = (
        '    lines = [task, f"Steps left: {steps_left}"]\n'
        f"    if steps_left <= {few}:\n"
        f'        lines.append("{word}!")\n'
        '    lines += [f"- {name}: {about}" for name, (about, _) in sorted(TOOLS.items())]\n'
        '    return "\\n".join(lines)'
    )
    return Request(
        "prompt",
        "`prompt(task, steps_left)` gives these lines: the task; `Steps left: N`; "
        f"when {few} or fewer are left, `{word}!`; then for each tool, in the order of the alphabet, `- NAME: WHAT IT DOES`.",
        Texts(prompt=body),
        [
            {"call": f"{name}.prompt.prompt", "args": ["Mend it.", n]}
            for n in (few - 1, few, few + 1, few + 6, 0)
        ],
    )


def _parser(dice: Random, name: str) -> Request:
    fence = dice.choice(("```call", "~~~act", "```do"))
    close = fence[:3]
    body = (
        "    calls, inside = [], None\n"
        "    for line in answer.splitlines():\n"
        f'        if inside is None and line.strip() == "{fence}":\n            inside = []\n'
        f'        elif inside is not None and line.strip() == "{close}":\n'
        '            try:\n                call = json.loads("\\n".join(inside))\n            except ValueError:\n                call = None\n'
        '            if isinstance(call, dict) and "tool" in call:\n                calls.append({"tool": call["tool"], "with": call.get("with", {})})\n'
        "            inside = None\n        elif inside is not None:\n            inside.append(line)\n"
        '    if not calls and answer.startswith("{"):\n        return [json.loads(answer)]\n'
        "    return calls"
    )

    def block(text: str) -> str:
        return f"{fence}\n{text}\n{close}"

    one, two = _say("look", path="a"), '{"tool": "put",\n "with": {"path": "b", "text": "x"}}'
    cases = [
        f"I look.\n{block(one)}",
        f"{block(one)}\nand\n  {block(two)}\nso.",
        block("{not json"),
        block('["tool"]'),
        block('{"tool": "look"}'),
        f"{fence}\n{one}",
        f"{block('1')}\n{block(two)}",
    ]
    return Request(
        "parser",
        f"Answers may hold calls between a line `{fence}` and a line `{close}`, with words before, between and after; white space around these two lines does "
        "not matter. All such calls count, in order. What is no JSON object with a `tool` is left out, a missing `with` is empty, and a block that "
        "is not closed is none. An answer without such calls is read as before.",
        Texts(parse=body),
        [*({"call": f"{name}.parse.parse", "args": [case]} for case in cases), {"call": f"{name}.loop.run", "args": [{"a": "hello"}, [cases[1], "done"]]}],
    )  # fmt: skip


def _cutter(dice: Random, name: str) -> Request:
    head = dice.randrange(20, 40)
    body = (
        f"    tail = SHOWN - {head}\n    if len(text) <= SHOWN:\n        return text\n"
        f'    return text[:{head}] + f"[{{len(text) - SHOWN}} characters left out]" + text[-tail:]'
    )
    texts = ["short", "x" * 59, "".join(chr(97 + n % 26) for n in range(300)), "0123456789" * 50]
    return Request(
        "output",
        f"A long text is no longer cut at its end: `show(text)` keeps the first {head} characters and as many of the last as make `SHOWN` in all, and puts "
        "`[N characters left out]` between them, N being their number. A text of at most `SHOWN` characters stays as it is.",
        Texts(show=body),
        [*({"call": f"{name}.loop.show", "args": [text]} for text in texts), *({"call": f"{name}.loop.run", "args": [{"a": text}, [_say("look", path="a"), "done"]]} for text in texts[2:])],
    )  # fmt: skip


def _replacer(dice: Random, name: str) -> Request:
    many, none = (
        dice.choice(("it stands there {n} times", "found {n} times")),
        dice.choice(("it does not stand there", "not found")),
    )
    body = (
        '\ndef swap(files, path, old, new):\n    if path not in files:\n        return f"there is no {path}"\n    n = files[path].count(old) if old else 0\n'
        f'    if n == 0:\n        return "{none}"\n    if n > 1:\n        return f"{many}"\n    files[path] = files[path].replace(old, new)\n    return f"changed {{path}}"\n'
    )
    shown = many.replace("{n}", "N")
    prompt = (
        '    lines = [task, f"You have {steps_left} steps.", RULE]\n    return "\\n".join([*lines, *TOOLS])'
    )
    given = {"a": "one two one", "b": "three"}
    return Request(
        "replace",
        f"It gets a tool `swap` (`change a piece of a file`, last in `TOOLS`) with `path`, `old` and `new`: it replaces `old` by `new` when it stands there exactly once and "
        f"answers `changed PATH`. Else it changes nothing and answers `{none}` or `{shown}`; an empty `old` stands nowhere. A missing file is answered as `look` does.\n"
        "The prompt says so: after the line of the steps comes `Change files with swap, not with put.`, held in a constant `RULE` of the prompt's module.",
        Texts(tools=body, listed='    "swap": ("change a piece of a file", swap),\n', constants='RULE = "Change files with swap, not with put."\n', prompt=prompt),
        [
            *({"call": f"{name}.loop.run", "args": [given, [_say("swap", path=path, old=old, new="X"), "done"]]} for path, old in (("a", "two"), ("a", "one"), ("a", "six"), ("c", "x"), ("b", ""))),
            {"call": f"{name}.prompt.prompt", "args": ["Go.", 2]},
            {"call": f"{name}.loop.run", "args": [given, [_say("swap", path="a", old="two", new="one"), _say("swap", path="a", old="one", new=""), "done"]]},
        ],
    )  # fmt: skip


def _counter(dice: Random, name: str) -> Request:
    most = dice.randrange(2, 4)
    run = _PLAIN_RUN.replace("    messages = []\n", "    messages, wrong = [], 0\n").replace(
        '        for call in calls:\n            messages.append(["tool", show(obey(files, call))])\n',
        '        for call in calls:\n            said = obey(files, call)\n            messages.append(["tool", show(said)])\n'
        '            wrong = wrong + 1 if said == "wrong arguments" or said.startswith("there is no tool") else 0\n'
        f'        if wrong >= {most}:\n            messages.append(["end", "too many wrong calls"])\n            break\n',
    )
    bad, good = _say("nothing"), _say("look", path="a")
    rows = [
        [bad] * 5,
        [bad, good, bad, bad, bad, good],
        [_say("look")] * 2 + [good, "done"],
        [good, "done"],
        [bad] * (most - 1) + [good, bad, "done"],
    ]
    return Request(
        "errors",
        f"After {most} calls in a row that are wrong (no such tool, or wrong arguments; a right call in between starts the count again) the agent gives up: once the "
        'calls of that answer are done, `["end", "too many wrong calls"]` is the last message.',
        Texts(run=run),
        [{"call": f"{name}.loop.run", "args": [{"a": "one"}, row]} for row in rows],
    )


def _repeats(dice: Random, name: str) -> Request:
    few = dice.randrange(2, 4)
    word = dice.choice(("You have done this before.", "Again the same call."))
    before = f"NOTICE = {word!r}\n\n"
    run = (
        _PLAIN_RUN.replace("    messages = []\n", "    messages, last, times = [], None, 0\n")
        .replace(
            "        for call in calls:\n",
            "        times = times + 1 if calls == last else 1\n        last = calls\n"
            f'        if times > {few + 1}:\n            messages.append(["end", "going in circles"])\n            break\n        for call in calls:\n',
        )
        .replace(
            '            messages.append(["tool", show(obey(files, call))])\n',
            f'            messages.append(["tool", show(obey(files, call))])\n        if times >= {few}:\n            messages.append(["user", NOTICE])\n',
        )
    )
    same, other = _say("look", path="a"), _say("look", path="b")
    rows = [
        [same] * 6,
        [same, same, other, same, same, same, "done"],
        [same, other] * 3,
        [other] * (few + 1) + [same, "done"],
    ]
    return Request(
        "circles",
        f'An answer with the same calls as the answer before is a repetition. From the {few}th time on that the same calls are made in a row, `["user", NOTICE]` follows the '
        f"tools' messages, with a constant `NOTICE` = `{word}`. The calls of the {few + 2}th time are not done any more: "
        '`["end", "going in circles"]` is the last message then.'.replace("2th", "2nd").replace("3th", "3rd"),
        Texts(before=before, run=run),
        [{"call": f"{name}.loop.run", "args": [{"a": "one", "b": "two"}, row]} for row in rows],
    )


def _memory(dice: Random, name: str) -> Request:
    room, last = dice.randrange(120, 200), dice.randrange(2, 4)
    before = (
        '\ndef shorten(messages):\n    """The messages, with old outputs of tools dropped while there is too much."""\n    kept = [list(message) for message in messages]\n'
        f"    for message in kept[: max(0, len(kept) - {last})]:\n        if sum(len(text) for _, text in kept) <= {room}:\n            break\n"
        '        if message[0] == "tool":\n            message[1] = "[dropped]"\n    return kept\n\n'
    )
    run = _PLAIN_RUN.replace(
        "        calls = parse(answer)\n",
        "        messages = shorten(messages)\n        calls = parse(answer)\n",
    ).replace("    return [messages, files]", "    return [shorten(messages), files]")
    long = {"a": "m" * 90, "b": "n" * 70, "c": "short"}
    rows = [
        [_say("look", path=p) for p in order] + ["done"]
        for order in ("aabb", "cab", "cccc", "abcabc", "bbbbb")
    ]
    lists = [
        [["tool", "x" * n], ["model", "y" * n], ["tool", "z" * n], ["tool", "w" * n], ["model", "v"]]
        for n in (10, 45, 80)
    ]
    return Request(
        "memory",
        f"A function `shorten(messages)` in `{name}/loop.py` gives the messages anew: while their texts have more than {room} characters together, the oldest message of a tool that "
        f"is not dropped yet gets the text `[dropped]`; the last {last} messages are never touched. `run` shortens its messages after each answer is added "
        "(before its calls are done) and once more when it ends.",
        Texts(before=before, run=run),
        [*({"call": f"{name}.loop.run", "args": [long, row]} for row in rows), *({"call": f"{name}.loop.shorten", "args": [each]} for each in lists)],
    )  # fmt: skip


_REQUESTS: tuple[tuple[Callable[[Random, str], Request], ...], ...] = (
    (_tool, _told),
    (_parser, _cutter),
    (_replacer, _counter),
    (_repeats, _memory),
)
