"""One frozen RunConfig, and where each of its values came from.

Precedence: flag > SICA_* environment > sica.toml > $XDG_CONFIG_HOME/sica/config.toml > default. Secrets are not
settings: providers' keys are read from the providers' own environment variables by the gateway.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from sica import places
from sica.errors import UsageError, no_such
from sica.model import Budget, Limits, Weights
from sica.oversight import Terms as Watch
from sica.ports import Price
from sica.roles import Roles

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
    dependencies: Literal["any", "frozen"] = Field(
        default="any", description="whether children may ask for other packages than their parent"
    )

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


class Models(_Part):
    small: str = Field(
        default="", description="what agents get that ask for `small`; the main model when empty"
    )
    reasoning: str = Field(
        default="", description="what agents get that ask for `reasoning`; the main model when empty"
    )
    effort: Literal["", "none", "minimal", "low", "medium", "high", "xhigh"] = Field(
        default="", description="reasoning effort where an agent asks for none; empty: the provider's default"
    )


class Critique(_Part):
    model: str = Field(default="", description="writes why a trial went as it did; empty: nobody does")
    max_cost: float | None = Field(default=None, gt=0, description="dollars for one critique")
    max_tokens: int = Field(default=30_000, ge=1000, description="tokens for one critique")

    def budget(self) -> Budget:
        return Budget(self.max_cost, self.max_tokens, calls=2)


class Oversight(_Part):
    """Who watches boxes at work, from outside."""

    model: str = Field(default="", description="watches boxes at work; empty: only the guards do")
    max_cost: float | None = Field(default=None, gt=0, description="dollars for watching one box")
    max_calls: int = Field(default=12, ge=1, description="checks of one box")
    max_tokens: int = Field(default=200_000, ge=1000, description="tokens for watching one box")
    least_seconds: float = Field(default=20.0, gt=0, description="between two checks, at least")
    most_seconds: float = Field(default=300.0, gt=0, description="between two checks, at most")
    silent_seconds: float = Field(
        default=120.0, gt=0, description="without a first model call, after which an agent is stopped"
    )
    repeats: int = Field(
        default=8,
        ge=2,
        description="steps without anything new until an agent is told; at twice as many it is stopped",
    )


class Day(_Part):
    """Caps of all runs of a store together, on one UTC day."""

    max_cost: float | None = Field(default=None, gt=0, description="dollars for all runs of one UTC day")
    max_tokens: int | None = Field(default=None, ge=1, description="tokens for all runs of one UTC day")
    max_calls: int | None = Field(default=None, ge=1, description="model calls for all runs of one UTC day")

    def budget(self) -> Budget:
        return Budget(self.max_cost, self.max_tokens, self.max_calls)


class Utility(_Part):
    score: float = Field(default=1.0, ge=0, description="weight of the score")
    cost: float = Field(default=0.0, ge=0, description="weight of being cheap")
    time: float = Field(default=0.0, ge=0, description="weight of being fast")
    cost_cap: float = Field(default=10.0, gt=0, description="dollars at which the cost term is zero")
    time_cap: float = Field(default=300.0, gt=0, description="seconds at which the time term is zero")
    timeout_penalty: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the utility that a timeout takes, or being stopped by a guard or the overseer",
    )

    def weights(self) -> Weights:
        return Weights(self.score, self.cost, self.time, self.cost_cap, self.time_cap, self.timeout_penalty)


class ModelPrice(_Part):
    """Dollars for a million tokens."""

    prompt: float = Field(ge=0, description="dollars per million prompt tokens")
    completion: float = Field(ge=0, description="dollars per million completion tokens")
    cached: float | None = Field(
        default=None, ge=0, description="dollars per million prompt tokens read from the provider's cache"
    )
    cache_write: float | None = Field(
        default=None, ge=0, description="dollars per million prompt tokens written to the provider's cache"
    )

    def price(self) -> Price:
        def each(dollars: float | None) -> float | None:
            return None if dollars is None else dollars / 1e6

        return Price(self.prompt / 1e6, self.completion / 1e6, each(self.cached), each(self.cache_write))


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
    approve: bool = Field(default=False, description="a person says yes before an agent becomes champion")
    max_cost: float | None = Field(
        default=None, gt=0, description="dollars for the run; nothing is spent above it"
    )
    max_tokens: int | None = Field(default=None, ge=1, description="tokens for the run")
    max_calls: int | None = Field(default=None, ge=1, description="model calls for the run")
    max_hours: float | None = Field(
        default=None, gt=0, description="hours of work on the run after which nothing new is started"
    )
    until: float | None = Field(
        default=None, gt=0, le=1, description="stop when the champion's utility on fresh attempts is this"
    )
    patience: int | None = Field(
        default=None, ge=1, description="stop after so many improvements in a row without a promotion"
    )
    confirm_above: float = Field(
        default=5.0, ge=0, description="dollars of estimate above which sica asks first"
    )
    models: Models = Models()
    critique: Critique = Critique()
    oversight: Oversight = Oversight()
    improve: Improve = Improve()
    trial: Trial = Trial()
    day: Day = Day()
    utility: Utility = Utility()
    prices: dict[str, ModelPrice] = Field(default={}, description="dollars per million tokens, by model")

    def budget(self) -> Budget:
        """Of the whole run."""
        seconds = None if self.max_hours is None else self.max_hours * 3600
        return Budget(self.max_cost, self.max_tokens, self.max_calls, seconds)

    def watch(self) -> Watch:
        """Who watches boxes at work."""
        told = self.oversight
        budget = Budget(told.max_cost, told.max_tokens, told.max_calls)
        bounds = (told.least_seconds, told.most_seconds, told.silent_seconds, told.repeats)
        return Watch(told.model, budget, *bounds)

    def roles(self) -> Roles:
        """Every model beside the main one."""
        named, asked = self.models, (self.critique.model, self.oversight.model)
        return Roles(named.small, named.reasoning, *asked, named.effort)

    def models_by_setting(self) -> dict[str, str]:
        """Every model that a run can come to ask, by the setting that names it."""
        named = {
            "model": self.model,
            "models.small": self.models.small,
            "models.reasoning": self.models.reasoning,
            "critique.model": self.critique.model,
            "oversight.model": self.oversight.model,
        }
        return {setting: model for setting, model in named.items() if model}

    def every_model(self) -> tuple[str, ...]:
        """The same, each once."""
        return tuple(dict.fromkeys(self.models_by_setting().values()))

    @property
    def capped_in_dollars(self) -> bool:
        """Whether any cap needs the model's price."""
        caps = (self.max_cost, self.day.max_cost, self.trial.max_cost, self.improve.max_cost)
        return any(cap is not None for cap in caps)

    def price(self, model: str) -> Price | None:
        """The user's own price of a model, if there is one."""
        found = self.prices.get(model)
        return None if found is None else found.price()


SECTIONS = ("models", "critique", "oversight", "improve", "trial", "day", "utility")


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


def assigned(words: Iterable[str]) -> dict[str, str]:
    """Settings given as KEY=VALUE, for `--set`."""
    found = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise UsageError(
                f"--set {word!r} sets nothing", "--set KEY=VALUE, such as --set trial.max_cost=0.10"
            )
        check_key(key.strip())
        if key.strip() == "prices":
            raise UsageError("--set cannot give prices", "sica config set prices.MODEL.prompt 3.0")
        found[key.strip()] = value.strip()
    return found


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
