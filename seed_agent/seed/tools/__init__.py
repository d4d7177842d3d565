"""The tools. Each file here is one: TOOL says what the model is told, run(arguments, facts) returns
what it is shown.

A file that is added here is a new tool; nothing else needs to change.
"""

import importlib
import pkgutil


def _modules():
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in found}


def schemas():
    return [{"type": "function", "function": module.TOOL} for module in _modules().values()]


def run(name, arguments, facts):
    """What the model is shown. ValueError, TypeError and KeyError mean that the call was malformed."""
    modules = _modules()
    if name not in modules:
        raise ValueError(f"there is no tool {name!r}; there are: {', '.join(modules)}")
    if not isinstance(arguments, dict):
        raise TypeError("arguments must be an object")
    for needed in modules[name].TOOL["parameters"]["required"]:
        if needed not in arguments:
            raise KeyError(f"argument {needed!r} is missing")
    return modules[name].run(arguments, facts)
