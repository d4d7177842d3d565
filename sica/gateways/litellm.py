"""Every model provider, through LiteLLM. Keys come from the environment of the host and go nowhere else.

The import takes three seconds and would fetch a price list: it happens at the first use, and offline.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sica.errors import CredentialsError, ProviderError, RequestRejected, SicaError, UsageError
from sica.ports import Asked, Price

_IMPORTING = threading.Lock()
_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")
_NO_CREDIT = ("insufficient_quota", "exceeded your current quota", "credit balance is too low")


class LitellmGateway:
    """A ports.Gateway. One try a call: the broker retries, because it knows the other callers."""

    name = "litellm"

    def __init__(self, api_base: str | None = None, timeout: float | None = None) -> None:
        """`api_base` is a server of one's own; `timeout` in seconds bounds what a call asks for."""
        self._api_base = api_base
        self._timeout = timeout

    def check(self, model: str) -> None:
        litellm = _litellm()
        _provider(litellm, model)
        if self._api_base:  # a server of one's own may need no key; if it does, the first call says so
            return
        missing = litellm.validate_environment(model)["missing_keys"]
        if missing:
            names = " and ".join(missing)
            raise CredentialsError(f"{model} needs {names} in the environment", f"export {missing[0]}=...")

    def price(self, model: str) -> Price | None:
        litellm = _litellm()
        bare, provider = _provider(litellm, model)
        for name in (model, bare):
            entry = litellm.model_cost.get(name)
            if entry and (name == model or entry.get("litellm_provider") == provider):
                return _price(entry)
        return None

    def complete(self, asked: Asked) -> Mapping[str, Any]:
        try:
            return _plain(self._send(asked, stream=False))
        except _failures() as error:
            raise _mapped(error, asked) from None

    def stream(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        try:
            chunks = self._send(asked, stream=True, stream_options={"include_usage": True})
            yield from _substantial(_plain(chunk) for chunk in chunks)
        except _failures() as error:
            raise _mapped(error, asked) from None

    def _send(self, asked: Asked, **how: Any) -> Any:
        timeout = min(asked.timeout, self._timeout or asked.timeout)
        request = dict(asked.request)
        if self._api_base:
            # Clients insist on a key; a server of one's own that needs a real one gets the environment's.
            how["api_base"] = self._api_base
            how["api_key"] = None if os.environ.get("OPENAI_API_KEY") else "none"
        return _litellm().completion(
            **request, **how, timeout=timeout, num_retries=0, max_retries=0, drop_params=False
        )


def _litellm() -> Any:
    """The library, told to phone nobody, to log nothing and to keep no callbacks."""
    with _IMPORTING:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        import litellm

        litellm.suppress_debug_info = True
        litellm.drop_params = False
        for callbacks in ("callbacks", "success_callback", "failure_callback"):
            setattr(litellm, callbacks, [])
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def _failures() -> tuple[type[Exception], ...]:
    """What a call can end with; anything else is a fault of ours and not caught here."""
    import httpx
    import openai

    return openai.OpenAIError, httpx.HTTPError


def _provider(litellm: Any, model: str) -> tuple[str, str]:
    try:
        bare, provider, *_ = litellm.get_llm_provider(model)
    except litellm.exceptions.BadRequestError:
        raise UsageError(
            f"{model!r} does not say which provider to ask",
            "write provider/model, such as openai/gpt-5-mini; or offline; or replay/<trace>",
        ) from None
    return bare, provider


def _price(entry: Mapping[str, Any]) -> Price | None:
    """Of an entry of LiteLLM's map, with the dearer prices that long prompts have."""
    price: Price | None = None
    above = 0
    for beyond, name in sorted(_steps(entry), reverse=True):
        price = _step(entry, name, above, price)
        if price is None:
            return None
        above = beyond
    return price


_STEP = re.compile(r"input_cost_per_token(_above_(\d+)k_tokens)?")


def _steps(entry: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """How long a prompt must be for a price to hold, and how the map's keys for it end."""
    yield 0, ""
    for key in entry:
        if (found := _STEP.fullmatch(key)) and found[1]:
            yield int(found[2]) * 1_000, found[1]


def _step(entry: Mapping[str, Any], name: str, beyond: int, dearer: Price | None) -> Price | None:
    def rate(key: str) -> float | None:
        found: float | None = entry.get(key + name, entry.get(key))
        return found

    prompt, completion = rate("input_cost_per_token"), rate("output_cost_per_token")
    if prompt is None or completion is None:
        return None
    return Price(
        prompt,
        max(completion, rate("output_cost_per_reasoning_token") or 0.0),
        cached=rate("cache_read_input_token_cost"),
        cache_write=rate("cache_creation_input_token_cost"),
        call=_fee(entry),
        beyond=beyond,
        dearer=dearer,
    )


def _fee(entry: Mapping[str, Any]) -> float:
    """Dollars of a call itself: of some models, and of those that search the web unasked."""
    fee = float(entry.get("input_cost_per_request") or 0.0)
    if entry.get("litellm_provider") == "perplexity":
        fee += max((entry.get("search_context_cost_per_query") or {}).values(), default=0.0)
    return fee


def _plain(answer: Any) -> dict[str, Any]:
    """Plain JSON values without the fields that say nothing."""
    body: dict[str, Any] = answer.model_dump(mode="json", exclude_none=True)
    for choice in body.get("choices", ()):
        if "message" in choice:
            choice["message"].setdefault("content", None)
    if "usage" in body and not any(c.get("delta", True) or "finish_reason" in c for c in body["choices"]):
        body["choices"] = []  # as OpenAI sends the chunk that is there for the usage
    return body


def _substantial(chunks: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The chunks, once one of them says something: of a broken answer the library makes an empty one."""
    held: list[dict[str, Any]] = []
    for chunk in chunks:
        held.append(chunk)
        if "usage" in chunk or any(c["delta"].keys() - {"role"} for c in chunk["choices"]):
            yield from held
            yield from chunks
            return
    raise ProviderError("the provider's stream held no answer", transient=True)


def _mapped(error: Exception, asked: Asked) -> SicaError:
    """What a failure means for the run; the text comes without anything secret."""
    kinds = _litellm().exceptions
    model, text = asked.request["model"], without_secrets(str(error))[:2_000]
    status, low = getattr(error, "status_code", None), text.lower()
    if status in {401, 402, 403} or isinstance(error, kinds.PaymentRequiredError):
        return CredentialsError(
            f"the provider refused the key for {model}: {text}", "check the key and its rights"
        )
    if any(sign in low for sign in _NO_CREDIT) or getattr(error, "code", None) == "insufficient_quota":
        return CredentialsError(
            f"the account for {model} has no credit: {text}", "add credit, then run again"
        )
    if status == 404:
        return UsageError(f"the provider knows no model {model}: {text}", "see the provider's list of models")
    if isinstance(error, kinds.ContextWindowExceededError):
        return RequestRejected(text, code="context_length_exceeded")
    if isinstance(error, kinds.ContentPolicyViolationError):
        return RequestRejected(text, code="content_policy_violation")
    if status in {400, 413, 422}:
        return RequestRejected(text, code=str(getattr(error, "code", None) or "invalid_request"))
    return ProviderError(f"{model}: {text}", transient=True, retry_after=_retry_after(error))


def _retry_after(error: Exception) -> float | None:
    """Seconds that the provider asked for; dates are not read, since its clock is not ours."""
    response = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        value = (headers or {}).get("retry-after", "")
        if value.replace(".", "", 1).isdecimal():
            return float(value)
    return None


def without_secrets(text: str) -> str:
    """The text with the values of this environment's secrets blotted out: providers like to quote keys."""
    for name, value in os.environ.items():
        if len(value) >= 8 and any(word in name.upper() for word in _SECRET_WORDS):
            text = text.replace(value, "[secret]")
    return text
