"""Without tools: the files that a message holds are looked at in mind, and files are the answer.

The form is `<file path="...">`, the text, `</file>`, each tag on a line of its own, in the question as in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from sica.gateways._offline import plan
from sica.gateways._offline.hands import Act, Hands, Seen

_FILE = re.compile(r'^<file path="([^"\n]+)">\n(.*?)^</file>$', re.MULTILINE | re.DOTALL)
NO_FILES = "I have no tools here, so I can only say that I would look at the files and run the tests first."


def _tool(name: str, *parameters: str) -> Mapping[str, Any]:
    return {"name": name, "parameters": {"properties": {each: {} for each in parameters}, "required": []}}


_TOOLS = (_tool("view", "path"), _tool("write", "path", "content"), _tool("grep", "pattern", "path"))


def answer(message: str, dice: Random) -> str:
    """What is said to a message that holds a task and files."""
    files = {match[1]: match[2] for match in _FILE.finditer(message)}
    if not files:
        return NO_FILES
    written: dict[str, str] = {}
    thought = plan.think(Hands(_TOOLS, parallel=True), _FILE.sub("", message), dice)
    try:
        acts = next(thought)
        while True:
            acts = thought.send(tuple(Seen(_done(act, files, written)) for act in acts))
    except StopIteration as end:
        said = str(end.value)
    return "\n".join([said, *(f'<file path="{path}">\n{text}</file>' for path, text in written.items())])


def _done(act: Act, files: Mapping[str, str], written: dict[str, str]) -> str:
    arguments = act.arguments
    if act.tool == "write":
        written[arguments["path"]] = arguments["content"]
        return "done"
    if act.tool == "view":
        lines = files.get(arguments["path"], "").split("\n")[:-1]
        return "\n".join(
            [
                f"[{arguments['path']}: of {len(lines)}]",
                *(f"{n:5}\t{line}" for n, line in enumerate(lines, 1)),
            ]
        )
    return _grepped(arguments["pattern"], arguments.get("path", "."), files)


def _grepped(pattern: str, path: str, files: Mapping[str, str]) -> str:
    fits = re.compile(pattern)
    return "\n".join(
        f"{name}:{n}:{line}"
        for name, text in sorted(files.items())
        if path in (".", name)
        for n, line in enumerate(text.split("\n"), 1)
        if fits.search(line)
    )
