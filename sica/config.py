"""One frozen RunConfig, and where each of its values came from.

Precedence: flag > SICA_* environment > sica.toml > $XDG_CONFIG_HOME/sica/config.toml > default. Secrets are not
settings: providers' keys are read from the providers' own environment variables by the gateway.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from sica import places
from sica.errors import UsageError, no_such
from sica.model import Budget, Limits, Weights
from sica.ports import Price

Origin = str
"""flag | SICA_NAME | a file's path | default."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Improve(_Part):
    max_cost: float | None = Field(default=None, gt=0, description="dollars for one improvement")
    max_calls: int | None = Field(default=100, ge=1, description="model calls for one improvement")
    max_tokens: int | None = Field(default=None, ge=1, description="tokens for one improvement")
    seconds: float = Field(default=600.0, gt=0, description="wall time for one improvement")
    memory_mb: int = Field(default=512, ge=64, description="memory of an improvement's box")

    def budget(self) -> Budget:
        return Budget(self.max_cost, self.max_tokens, self.max_calls, self.seconds)

    def limits(self) -> Limits:
        return Limits(seconds=self.seconds, memory_mb=self.memory_mb)


class Trial(_Part):
    """Caps on top of what each task allows: the smaller one counts."""

    max_cost: float | None = Field(default=None, gt=0, description="dollars for one trial")
    max_calls: int | None = Field(default=None, ge=1, description="model calls for one trial")
    max_tokens: int | None = Field(default=None, ge=1, description="tokens for one trial")
    seconds: float | None = Field(default=None, gt=0, description="wall time for one trial")


class Utility(_Part):
    score: float = Field(default=1.0, ge=0, description="weight of the score")
    cost: float = Field(default=0.0, ge=0, description="weight of being cheap")
    time: float = Field(default=0.0, ge=0, description="weight of being fast")
    cost_cap: float = Field(default=10.0, gt=0, description="dollars at which the cost term is zero")
    time_cap: float = Field(default=300.0, gt=0, description="seconds at which the time term is zero")
    timeout_penalty: float = Field(
        default=0.0, ge=0, le=1, description="share of the utility that a timeout takes"
    )

    def weights(self) -> Weights:
        return Weights(self.score, self.cost, self.time, self.cost_cap, self.time_cap, self.timeout_penalty)


class ModelPrice(_Part):
    """Dollars for a million tokens."""

    prompt: float = Field(ge=0, description="dollars per million prompt tokens")
    completion: float = Field(ge=0, description="dollars per million completion tokens")
    cached: float | None = Field(default=None, ge=0, description="dollars per million cached prompt tokens")

    def price(self) -> Price:
        cached = None if self.cached is None else self.cached / 1e6
        return Price(self.prompt / 1e6, self.completion / 1e6, cached)


def _workers() -> int:
    return min(len(os.sched_getaffinity(0)), 4)


class RunConfig(_Part):
    """Everything that decides how a run goes; stored with the run."""

    model: str = Field(
        default="offline", min_length=1, description="the model that agents talk to; offline needs no key"
    )
    api_base: str = Field(default="", description="address of an OpenAI-compatible server")
    policy: str = Field(default="greedy", min_length=1, description="which agent to improve or measure next")
    bench: str = Field(default="core", min_length=1, description="benchmark: a name or a folder of tasks")
    smoke: str = Field(
        default="smoke",
        min_length=1,
        description="the gate's benchmark: what every agent that works at all can do",
    )
    sandbox: str = Field(default="auto", min_length=1, description="how agents are confined")
    workers: int = Field(default_factory=_workers, ge=1, le=256, description="boxes at work at once")
    attempts: int = Field(default=1, ge=1, le=1000, description="trials of each agent at each task")
    seed: int = Field(default=0, ge=0, description="seeds every choice of the policy")
    children: int = Field(
        default=4, ge=0, description="improvements to make in one call of evolve; 0 only measures"
    )
    race: bool = Field(
        default=True, description="stop measuring a child that falls behind its parent; false measures all"
    )
    confirm: int = Field(default=2, ge=0, description="fresh attempts that decide on a champion")
    promote: Literal["mean", "separable"] = Field(
        default="separable",
        description="a champion's lead is more than noise, or (mean) its fresh mean is merely higher",
    )
    veto: float | None = Field(
        default=0.1, ge=0, le=1, description="how much worse a champion may be in any kind of task"
    )
    max_cost: float | None = Field(
        default=None, gt=0, description="dollars for the run; nothing is spent above it"
    )
    max_tokens: int | None = Field(default=None, ge=1, description="tokens for the run")
    max_calls: int | None = Field(default=None, ge=1, description="model calls for the run")
    max_hours: float | None = Field(
        default=None, gt=0, description="hours after which nothing new is started"
    )
    confirm_above: float = Field(
        default=5.0, ge=0, description="dollars of estimate above which sica asks first"
    )
    improve: Improve = Improve()
    trial: Trial = Trial()
    utility: Utility = Utility()
    prices: dict[str, ModelPrice] = Field(default={}, description="dollars per million tokens, by model")

    def budget(self) -> Budget:
        """Of the whole run."""
        seconds = None if self.max_hours is None else self.max_hours * 3600
        return Budget(self.max_cost, self.max_tokens, self.max_calls, seconds)

    def price(self, model: str) -> Price | None:
        """The user's own price of a model, if there is one."""
        found = self.prices.get(model)
        return None if found is None else found.price()


SECTIONS = ("improve", "trial", "utility")


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for name, info in RunConfig.model_fields.items():
        if name in SECTIONS:
            part = info.annotation
            assert isinstance(part, type) and issubclass(part, BaseModel)
            yield from ((f"{name}.{inner}", found) for inner, found in part.model_fields.items())
        else:
            yield name, info


KEYS: Mapping[str, str] = {name: info.description or "" for name, info in _fields()}
"""Every setting and what it is, by its dotted name."""


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return "SICA_" + key.replace(".", "_").upper()


@dataclass(frozen=True, slots=True)
class Settings:
    """A RunConfig and where each value came from, by dotted key; a key that is missing is a default."""

    config: RunConfig
    origins: Mapping[str, Origin]

    def rows(self) -> Iterator[tuple[str, Any, Origin]]:
        values = self.config.model_dump()
        for key in KEYS:
            head, _, tail = key.partition(".")
            yield key, values[head][tail] if tail else values[head], self.origins.get(key, "default")


def resolve(
    flags: Mapping[str, Any], environ: Mapping[str, str], project_settings: Path | None = None
) -> Settings:
    """Put the layers together. A flag of None is not given. Raises UsageError naming key, value, origin and cure."""
    layers: list[tuple[Origin | None, Mapping[str, Any]]] = [
        (None, _file(places.user_settings(environ))),
        (None, _file(project_settings) if project_settings else {}),
        (None, _environment(environ)),
        (None, {key: (value, "flag") for key, value in flags.items() if value is not None}),
    ]
    merged: dict[str, tuple[Any, Origin]] = {}
    for _, layer in layers:
        merged.update(layer)
    origins = {key: origin for key, (_, origin) in merged.items()}
    return Settings(_validated({key: value for key, (value, _) in merged.items()}, origins), origins)


def _environment(environ: Mapping[str, str]) -> dict[str, tuple[Any, Origin]]:
    names = {key: variable(key) for key in KEYS if key != "prices"}
    return {key: (environ[name], name) for key, name in names.items() if environ.get(name)}


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """SICA_* variables that set nothing: most likely misspelt."""
    known = {variable(key) for key in KEYS} | {"SICA_DEBUG", "SICA_PAGER"}
    return sorted(name for name in environ if name.startswith("SICA_") and name not in known)


def _file(path: Path) -> dict[str, tuple[Any, Origin]]:
    flat: dict[str, Any] = {}
    for key, value in places.read_toml(path).items():
        if key in SECTIONS and isinstance(value, dict):
            flat |= {f"{key}.{inner}": found for inner, found in value.items()}
        else:
            flat[key] = value
    for key in flat:
        try:
            check_key(key)
        except UsageError as error:
            raise UsageError(f"{path}: {error}", error.hint) from None
    return {key: (value, str(path)) for key, value in flat.items()}


def check_key(key: str) -> None:
    """Raise UsageError with the nearest name unless the key is a setting."""
    if key not in KEYS:
        raise no_such("setting", key, list(KEYS))


def _validated(values: Mapping[str, Any], origins: Mapping[str, Origin]) -> RunConfig:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        head, _, tail = key.partition(".")
        if tail and head in SECTIONS:
            nested.setdefault(head, {})[tail] = value
        else:
            nested[key] = value
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        loc = [str(part) for part in first["loc"]]
        key = ".".join(loc[:2]) if loc[0] in SECTIONS else loc[0]
        wrong = f"{'.'.join(loc)} = {first['input']!r}"
        where = _where(key, origins.get(key, "default"))
        cure = f"{key}: {KEYS[key]}" if key in KEYS else ""
        raise UsageError(f"{wrong} ({where}): {_plain(first['msg'])}", cure) from None


def _where(key: str, origin: Origin) -> str:
    return f"--{key.replace('_', '-').replace('.', '-')}" if origin == "flag" else origin


def _plain(message: str) -> str:
    """pydantic's sentence about "Input" as one about the value."""
    return message.replace("Input should be", "must be").replace("String should", "must").replace("  ", " ")


def written(text: str, key: str, raw: str) -> str:
    """The settings file's text with one value changed; comments and order stay. Raises UsageError for a bad one."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    model, inner = _price_key(key)
    if not model:
        check_key(key)
        if key == "prices":
            raise UsageError("prices needs a model", "sica config set prices.MODEL.prompt 3.0")
    value = _typed(key, raw)
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise UsageError(
            f"the settings file is not TOML: {error}", "mend the line it names, then set it again"
        ) from None
    table: Any = document
    path = ("prices", model) if model else tuple(key.split(".")[:-1])
    for part in path:
        table = table.setdefault(part, tomlkit.table(is_super_table=part == "prices"))
    table[inner if model else key.split(".")[-1]] = value
    return tomlkit.dumps(document)


def _price_key(key: str) -> tuple[str, str]:
    """("anthropic/claude-3.5", "prompt") of prices.anthropic/claude-3.5.prompt: model names may hold dots."""
    head, _, rest = key.partition(".")
    model, _, inner = rest.rpartition(".")
    if head != "prices" or not model:
        return "", ""
    if inner not in ModelPrice.model_fields:
        raise no_such("price", inner, list(ModelPrice.model_fields))
    return model, inner


def _typed(key: str, raw: str) -> bool | int | float | str:
    model, inner = _price_key(key)
    if model:
        price = {"prompt": 0, "completion": 0, inner: raw}
        found = _validated({"prices": {model: price}}, {"prices": "sica config set"}).prices[model]
        return float(getattr(found, inner))
    config = _validated({key: raw}, {key: "sica config set"})
    head, _, tail = key.partition(".")
    value = getattr(config, head)
    result = getattr(value, tail) if tail else value
    assert isinstance(result, bool | int | float | str)
    return result
