"""Tool calls, both ways: native ones, and plain text in XML for models that know no tool calls. What the model is
told of a tool, and how its arguments are read, comes from the tool's one schema.
"""

import json
import re

from seed import settings
from seed.context import text_of


class Malformed(ValueError):
    """A call that cannot be obeyed; the text says why and what would be right."""


XML_RULES = """Call a tool by writing it out like this, one call an answer, then stop. The result comes next:

<call tool="NAME">
<PARAMETER>value, as it is, without quotes or escapes</PARAMETER>
</call>

The tools:
"""

_CALL = re.compile(r'<call tool="([^"\n]*)">(.*?)</call>', re.DOTALL)
_FRAME = re.compile(r'^<result tool="[^"\n]*">\n')


def schemas(tools):
    """What a native request carries, in the order of their names."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": f"{tool['description']} Example: {json.dumps(tool['example'])}"
                if "example" in tool
                else tool["description"],
                "parameters": tool["parameters"],
            },
        }
        for tool in sorted(tools, key=lambda tool: tool["name"])
    ]


def document(tools):
    """The same for the system prompt of an agent that calls in XML."""
    return XML_RULES + "\n".join(_section(tool) for tool in sorted(tools, key=lambda tool: tool["name"]))


def native(tools):
    """The tools of a native request; None when they stand in the system prompt."""
    return None if settings.PROTOCOL == "xml" else schemas(tools)


def step(tool):
    """Asks for one tool that is there now and will be gone; in XML with how to call it."""
    if settings.PROTOCOL == "xml":
        return f"{tool['description']}\n\n{document([tool])}"
    return f"{tool['description']} Call {tool['name']}."


def _section(tool):
    properties, required = tool["parameters"]["properties"], tool["parameters"].get("required", [])
    lines = [f"## {tool['name']}", tool["description"]]
    for name, about in properties.items():
        need = "" if name in required else ", may be left out"
        lines.append(f"- {name} ({about['type']}{need}) {about.get('description', '')}".rstrip())
    if "example" in tool:
        lines += ["Example:", written(tool["name"], tool["example"])]
    return "\n".join(lines) + "\n"


def written(name, arguments):
    """A call as text."""
    parts = [f"<{key}>{v if isinstance(v, str) else json.dumps(v)}</{key}>" for key, v in arguments.items()]
    return "\n".join([f'<call tool="{name}">', *parts, "</call>"])


def asked_for(message, *, cut=False):
    """The calls of an answer: (id, tool's name, raw arguments). In XML the raw arguments are the text of the call."""
    if settings.PROTOCOL != "xml":
        made = [(call.get("id", ""), call.get("function") or {}) for call in message.get("tool_calls") or ()]
        return [(id_, f.get("name", ""), f.get("arguments") or "{}") for id_, f in made]
    text = text_of(message)
    calls = [("", name, body) for name, body in _CALL.findall(text)]
    if not calls and "<call" in text and not cut:
        return [("", "", text)]  # meant as a call, and none: it is told what is wrong
    return calls


def gist(message):
    """What was done, said or seen, a line each."""
    answered = message["role"] == "assistant"
    for _, name, raw in asked_for(message, cut=True) if answered else ():
        yield f"- {name} {' '.join(str(raw).split())[:120]}"
    words = _CALL.sub("", text_of(message)) if answered else _FRAME.sub("", text_of(message))
    first = words.strip().split("\n")[0][:160]
    if first:
        yield f"  {'said' if answered else 'saw'}: {first}"


def arguments(raw, tool):
    """The arguments as the tool's schema has them. Raises Malformed for what cannot be read beyond doubt."""
    properties = tool["parameters"]["properties"]
    given = _from_xml(raw, properties) if settings.PROTOCOL == "xml" else _from_json(raw)
    unknown = [name for name in given if name not in properties]
    missing = [name for name in tool["parameters"].get("required", []) if name not in given]
    if unknown or missing:
        wrong = [f"argument {n!r} is missing" for n in missing] + [
            f"there is no argument {n!r}" for n in unknown
        ]
        raise Malformed(f"{'; '.join(wrong)}; {tool['name']} takes: {', '.join(properties) or 'nothing'}")
    return {name: _typed(name, value, properties[name]["type"]) for name, value in given.items()}


def _from_json(raw):
    """Models leave newlines bare, put a comma last, or fence what they write; nothing else is guessed."""
    text = re.sub(r"^```\w*\n|\n```$", "", raw.strip())
    try:
        try:
            value = json.loads(text, strict=False)
        except ValueError:
            value = json.loads(re.sub(r",(\s*[}\]])", r"\1", text), strict=False)
    except ValueError as error:
        raise Malformed(f"the arguments are no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Malformed("arguments must be an object")
    return value


def _from_xml(raw, properties):
    """Each parameter from its first opening to its last closing tag: a value may hold anything, tags too."""
    found, at = {}, 0
    while True:
        opening = re.compile(r"\s*<([A-Za-z_]\w*)>").match(raw, at)
        if not opening:
            break
        name = opening[1]
        rest = [raw.find(f"<{other}>", opening.end()) for other in properties if other not in (*found, name)]
        end = raw.rfind(f"</{name}>", opening.end(), min([n for n in rest if n > 0], default=len(raw)))
        if end < 0:
            raise Malformed(f"<{name}> is not closed by </{name}>")
        value = raw[opening.end() : end]
        found[name] = value[1:-1] if value[:1] == value[-1:] == "\n" and len(value) > 1 else value
        at = end + len(f"</{name}>")
    if raw[at:].strip():
        raise Malformed(f"this is no <parameter>value</parameter>: {raw[at:].strip()[:80]!r}")
    return found


def _typed(name, value, kind):
    """The value as the schema's type; text that plainly spells it is taken as it."""
    if kind == "string" and not isinstance(value, str):
        value = json.dumps(value)
    if kind != "string" and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Malformed(f"argument {name!r} must be of type {kind}, not {value!r:.80}") from None
    types = {
        "string": str,
        "integer": int,
        "boolean": bool,
        "array": list,
        "object": dict,
        "number": (int, float),
    }
    if not isinstance(value, types[kind]) or (kind in ("integer", "number") and isinstance(value, bool)):
        raise Malformed(f"argument {name!r} must be of type {kind}, not {value!r:.80}")
    return value


def result(id_, name, text):
    """The message that shows what came of a call."""
    if settings.PROTOCOL == "xml":
        return {"role": "user", "content": f'<result tool="{name}">\n{text}\n</result>'}
    return {"role": "tool", "tool_call_id": id_, "content": text}
