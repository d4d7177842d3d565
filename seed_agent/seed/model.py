"""The model: OpenAI chat completions over plain HTTP, and what all agents of the team have used together."""

import http.client
import json
import os
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from seed import settings, stream


class BudgetExhausted(Exception):
    """There will be no more answers in this task."""


class Unreachable(Exception):
    """The model's server failed, also when asked again, or refuses the request."""


class TooLong(Unreachable):
    """The dialogue is longer than the model's window."""


class NoToolCalls(Unreachable):
    """This model's server takes no native tool calls."""


NOTICES = (95, 90, 80, 50)
"""Percent of a budget at which the agent hears of it, once each."""


class Meter:
    """What was used of each budget that the environment names; one for the whole team."""

    def __init__(self, environ):
        names = {"model calls": "AGENT_CALL_BUDGET", "tokens": "AGENT_TOKEN_BUDGET"}
        self.caps = {what: float(environ[name]) for what, name in names.items() if environ.get(name)}
        self.used = {"model calls": 0.0, "tokens": 0.0}
        self.started, self.deadline = time.time(), float(environ.get("AGENT_DEADLINE") or 0)
        self.told, self.lock = {}, threading.Lock()

    def count(self, usage):
        with self.lock:
            self.used["model calls"] += 1
            self.used["tokens"] += usage.get("total_tokens") or 0

    def notices(self):
        """What the agent should hear now, each budget's highest mark that was passed since the last time."""
        shares = {what: 100 * self.used[what] / cap for what, cap in self.caps.items() if cap}
        if self.deadline:
            allowed = max(self.deadline - self.started, 1e-6)
            shares["time"] = 100 * (time.time() - self.started) / allowed
        found = []
        for what, share in shares.items():
            mark = next((n for n in NOTICES if share >= n), 0)
            if mark > self.told.get(what, 0):
                self.told[what] = mark
                found.append(f"[budget: {mark} % of the {what} allowed for this task is used]")
        return found


class Model:
    def __init__(self, base_url, name, environ=os.environ):
        url = urlsplit(base_url)
        self.host, self.port, self.path = url.hostname, url.port or 80, url.path.rstrip("/")
        self.name, self.meter = name, Meter(environ)
        self.dump = Path(environ["AGENT_LOGS"], "requests") if environ.get("AGENT_DEBUG") else None
        self.made = 0

    def ask(self, context, tools, facts, who="main"):
        """The next answer to a context: (message, whether its length ended it)."""
        head = {"model": self.name, "max_tokens": settings.MAX_TOKENS}
        if settings.EFFORT != "default":
            head["reasoning_effort"] = settings.EFFORT
        if tools:
            head["tools"] = tools
            if settings.CALLS_PER_ANSWER == 1:
                head["parallel_tool_calls"] = False
        if settings.ANSWERS == "streamed":
            head.update(stream=True, stream_options={"include_usage": True})
        answer = self._repeat(context.request(head), facts, who)
        self.meter.count(answer.get("usage") or {})
        choice = answer["choices"][0]
        cut = choice.get("finish_reason") == "length"
        facts["answers cut"] += cut
        return choice["message"], cut

    def _repeat(self, body, facts, who):
        reason = ""
        for attempt in range(settings.RETRIES + 1):
            if attempt:
                facts["requests repeated"] += 1
                time.sleep(settings.RETRY_SECONDS)
            try:
                status, told = self._post(body, who)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = repr(error)
                continue
            if status == 200:
                return told
            if status == 429 and "budget" in told:
                raise BudgetExhausted(told)
            reason = f"status {status}: {told[:200]}"
            if status < 500 and status != 429:
                raise _refused(status, told.lower())(reason)
        raise Unreachable(reason)

    def _post(self, body, who):
        """The status, and the answer as an object or what the server says instead of one as text."""
        self._keep(body)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=settings.REQUEST_SECONDS)
        try:
            headers = {
                "Content-Type": "application/json",
                "Authorization": "Bearer bridge",
                "X-Agent-Span": who,
            }
            connection.request("POST", self.path + "/chat/completions", body, headers)
            response = connection.getresponse()
            if "text/event-stream" in response.getheader("Content-Type", ""):
                return response.status, stream.whole(response)
            text = response.read().decode("utf-8", "replace")
            return response.status, json.loads(text) if response.status == 200 else text
        finally:
            connection.close()

    def _keep(self, body):
        """With AGENT_DEBUG set, every request as it was sent, below $AGENT_LOGS/requests."""
        if self.dump:
            self.dump.mkdir(parents=True, exist_ok=True)
            self.made += 1
            (self.dump / f"{self.made:04}.json").write_bytes(body)


def _refused(status, text):
    """Which kind of refusal it is, by what servers say."""
    if status == 413 or ("context" in text and ("length" in text or "window" in text or "exceed" in text)):
        return TooLong
    if "tool" in text and ("support" in text or "template" in text):
        return NoToolCalls
    return Unreachable
