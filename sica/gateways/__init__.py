"""The ways to a language model, one file each: offline, replay/<trace>, litellm for every other name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sica.errors import UsageError, no_such

if TYPE_CHECKING:
    from sica.gateways.replay import Reader
    from sica.ports import Gateway


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
