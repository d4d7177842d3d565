"""What a generated program answers: run here, in memory, so that no expected value is written by hand.

Only our own generators' programs are ever run this way; nothing that an agent wrote comes near.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType, ModuleType
from typing import Any

_TURN = threading.Lock()

Probe = Mapping[str, Any]
"""`call` and `args`, or `steps`, as in checks.json, without what is expected."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports modules from texts."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.sources: dict[str, str] = {}
        self.packages: set[str] = set()
        self.compiled: dict[str, CodeType] = {}
        for path, text in files.items():
            if path.endswith(".py"):
                name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                self.sources[name] = text if isinstance(text, str) else text.decode()
                self.packages |= {name} if path.endswith("/__init__.py") else set()

    def find_spec(
        self,
        name: str,
        path: Any = None,  # noqa: ARG002
        target: Any = None,  # noqa: ARG002  the importer's protocol
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self.sources:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name in self.packages)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if name not in self.compiled:
            self.compiled[name] = compile(self.sources[name], name, "exec")
        exec(self.compiled[name], module.__dict__)  # noqa: S102  our own generators' texts


@contextmanager
def _importable(finder: _Finder) -> Iterator[None]:
    with _TURN:
        before = {name: sys.modules.pop(name) for name in finder.sources if name in sys.modules}
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            for name in finder.sources:
                sys.modules.pop(name, None)
            sys.modules.update(before)


def answers(files: Mapping[str, str | bytes], probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """`{"returns": value}` or `{"raises": name}` for each probe, each in freshly imported modules."""
    found = []
    finder = _Finder(files)
    for probe in probes:
        with _importable(finder):
            found.append(_answer(probe))
    return found


def _answer(probe: Probe) -> dict[str, Any]:
    try:
        value = _steps(probe["steps"]) if "steps" in probe else _call(probe)
    except Exception as error:  # noqa: BLE001  what the program raises is its answer
        kind = type(error)
        return {"raises": kind.__name__}
    return {"returns": json.loads(json.dumps(value))}


def _call(probe: Probe) -> Any:
    return _find(probe["call"])(*_copy(probe.get("args", [])), **_copy(probe.get("kwargs", {})))


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _steps(steps: Sequence[Probe]) -> list[Any]:
    made: dict[str, Any] = {}
    values: list[Any] = []
    for step in steps:
        target = getattr(made[step["on"]], step["call"]) if "on" in step else _find(step["call"])
        value = (
            target(*_copy(step.get("args", [])), **_copy(step.get("kwargs", {})))
            if callable(target)
            else target
        )
        if "new" in step:
            made[step["new"]], value = value, None
        values.append(_copy(value))
    return values


def _find(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        holder, _, attribute = module.rpartition(".")
        return getattr(getattr(importlib.import_module(holder), attribute), name)


def checks(
    probes: Sequence[Probe],
    right: Sequence[Mapping[str, Any]],
    wrong: Sequence[Mapping[str, Any]],
    weight: float = 1.0,
) -> list[dict[str, Any]]:
    """Checks of the probes: those that the starting program gets wrong earn, the others are guards."""
    return [
        {"id": f"probe-{n}", **probe, **good, **({"guard": True} if good == bad else {"weight": weight})}
        for n, (probe, good, bad) in enumerate(zip(probes, right, wrong, strict=True), 1)
    ]
