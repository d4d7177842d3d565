"""The ways to a language model, one file each: offline, replay/<trace>, litellm for every other name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sica.errors import UsageError, no_such

if TYPE_CHECKING:
    from sica.gateways.replay import Reader
    from sica.ports import Asked, Gateway, Price


def names() -> list[str]:
    """The gateways there are: the files of this folder."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")


def open_gateway(model: str, *, api_base: str | None = None, traces: Reader | None = None) -> Gateway:
    """The gateway that a model's name asks for; `traces` is needed for replay/<trace> only.

    Nothing heavy is loaded before the gateway is used.
    """
    kind, _, rest = model.partition("/")
    if not kind or model.endswith("/"):
        raise UsageError(
            f"{model!r} names no model", "such as offline, anthropic/claude-sonnet-4-5, replay/<trace>"
        )
    if kind == "replay":
        if traces is None or not rest:
            raise UsageError("replay needs a recorded trace", "give the model as replay/<trace>")
        from sica.gateways.replay import ReplayGateway

        return ReplayGateway(traces, rest)
    if kind == "offline":
        if kind not in names():
            raise no_such("gateway", kind, names())
        gateway: Gateway = import_module("sica.gateways.offline").OfflineGateway()
        return gateway
    from sica.gateways.litellm import LitellmGateway

    return LitellmGateway(api_base=api_base)


def open_gateways(
    models: Iterable[str], *, api_base: str | None = None, traces: Reader | None = None
) -> Gateway:
    """One gateway for several models; their own ones where the models live behind different ones."""
    kinds: dict[str, Gateway] = {}
    by_model: dict[str, Gateway] = {}
    for model in models:
        opened = open_gateway(model, api_base=api_base, traces=traces)
        kind = opened.name if opened.name != "replay" else model
        by_model[model] = kinds.setdefault(kind, opened)
    return next(iter(kinds.values())) if len(kinds) == 1 else ByModel(by_model)


class ByModel:
    """A ports.Gateway that hands each model to its own."""

    def __init__(self, gateways: Mapping[str, Gateway]) -> None:
        self._gateways = gateways
        self.name = "+".join(dict.fromkeys(gateway.name for gateway in gateways.values()))

    def _of(self, model: str) -> Gateway:
        if model not in self._gateways:
            raise no_such("model of this run", model, list(self._gateways))
        return self._gateways[model]

    def check(self, model: str) -> None:
        self._of(model).check(model)

    def price(self, model: str) -> Price | None:
        return self._of(model).price(model)

    def complete(self, asked: Asked) -> Mapping[str, Any]:
        return self._of(str(asked.request["model"])).complete(asked)

    def stream(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        return self._of(str(asked.request["model"])).stream(asked)
