"""The team. Each file here is one sub-agent, which others call as a tool: TOOL says what the caller is told,
SPEC what the sub-agent is, run(arguments, agent) returns its result. A file that is added here is a new member.

The fields of a SPEC: `system` is its system prompt, `tools` are the names of its tools ("*": all), `team` the
members it may call itself. One with `needs` is offered only where that path exists.
"""

import importlib
import pkgutil
from pathlib import Path

MAIN = {
    "system": """You are a careful programmer. You work in the current directory with the tools you are given.
Look before you change anything, run the tests if there are any, and call submit when the task is done.
Do small things yourself. Hand a large or separate piece to a colleague with all it needs to know: colleagues see only
what you tell them and the files. Check what comes back; the work stays yours.""",
    "tools": ["*"],
    "team": ["archivist", "coder", "reasoner", "review", "solver"],
}


def modules():
    """By name, in the order of their names."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in found}


def there(module):
    needs = getattr(module, "SPEC", {}).get("needs")
    return needs is None or Path(needs).exists()
