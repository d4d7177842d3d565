"""The tools. Each file here is one: TOOL says what the model is told, run(arguments, agent) returns what it is shown.

A file that is added here is a new tool; nothing else needs to change.
"""

import importlib
import pkgutil


def modules():
    """By name, in the order of their names."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in found}
