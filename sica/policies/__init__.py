"""Policies: which agent to improve or to measure next. One file each; the loop does not know them apart.

A policy's options are the keyword arguments of its function `policy`; they are given behind its name, as in
`hgm:evaluations=800:cooling=true`. One string says which policy decided, on the command line, in sica.toml and in the
stored run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from sica.errors import UsageError, no_such
from sica.ports import Policy

_READ: Mapping[str, type] = {"int": int, "float": float, "str": str}


def policy_names() -> list[str]:
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def open_policy(words: str) -> Policy:
    """`name:option=value:...`: one of this folder, or `package.module` of one's own with a function `policy`.

    Raises UsageError naming what there is for a policy, an option or a value that cannot be.
    """
    name, *given = words.split(":")
    policy = _found(name)
    options = parsed(f"option of {name}", _options(policy), given)
    return partial(policy, **options) if options else policy


def _found(name: str) -> Policy:
    if "." not in name and name not in policy_names():
        raise no_such("policy", name, policy_names())
    try:
        module = import_module(name if "." in name else f"sica.policies.{name}")
    except ModuleNotFoundError as error:
        raise UsageError(f"no policy {name!r}: {error}", f"there are: {', '.join(policy_names())}") from None
    except Exception as error:  # whatever somebody's own module does when it is read
        raise UsageError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    policy: Policy | None = getattr(module, "policy", None)
    if policy is None:
        raise UsageError(f"{name} has no function `policy`", "def policy(archive, rng): return steps")
    return policy


def _options(policy: Policy) -> Mapping[str, str]:
    """Name -> type of every option; sica's own files annotate with strings, others may with types."""
    found = signature(policy).parameters.values()
    keyword = [p for p in found if p.kind is Parameter.KEYWORD_ONLY]
    return {p.name: getattr(p.annotation, "__name__", str(p.annotation)) for p in keyword}


def parsed(kind: str, known: Mapping[str, str], given: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as values of the known types; `kind` is what an error calls a key."""
    read: dict[str, Any] = {}
    for word in given:
        key, equals, raw = word.partition("=")
        if key not in known:
            raise no_such(kind, key, list(known))
        if not equals:
            raise UsageError(f"the {kind} {key!r} has no value", f"{key}=VALUE")
        read[key] = _value(f"{kind}: {key}", known[key], raw)
    return read


def _value(what: str, type_: str, raw: str) -> bool | int | float | str:
    if type_ == "bool":
        if raw.lower() not in ("true", "false"):
            raise UsageError(f"{what} = {raw!r} is neither true nor false")
        return raw.lower() == "true"
    try:
        value: int | float | str = _READ.get(type_, str)(raw)
    except ValueError:
        raise UsageError(f"{what} = {raw!r} is no {type_}") from None
    return value
