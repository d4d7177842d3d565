"""The model: OpenAI chat completions over plain HTTP."""

import http.client
import json
import time
from urllib.parse import urlsplit

from seed import settings


class BudgetExhausted(Exception):
    """There will be no more answers in this task."""


class Unreachable(Exception):
    """The model's server failed, also when asked again."""


class Model:
    def __init__(self, base_url, name):
        url = urlsplit(base_url)
        self.host, self.port, self.path = url.hostname, url.port or 80, url.path.rstrip("/")
        self.name = name

    def ask(self, messages, tools, facts):
        """The next assistant message."""
        body = {"model": self.name, "messages": messages, "tools": tools, "max_tokens": settings.MAX_TOKENS}
        if settings.CALLS_PER_ANSWER == 1:
            body["parallel_tool_calls"] = False
        choice = self._repeat(json.dumps(body).encode(), facts)["choices"][0]
        if choice.get("finish_reason") == "length":
            facts["answers cut"] += 1
        return choice["message"]

    def _repeat(self, body, facts):
        for attempt in range(settings.RETRIES + 1):
            if attempt:
                facts["requests repeated"] += 1
                time.sleep(settings.RETRY_SECONDS)
            try:
                status, text = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                reason = repr(error)
                continue
            if status == 200:
                return json.loads(text)
            if status == 429 and "budget" in text:
                raise BudgetExhausted(text)
            reason = f"status {status}: {text[:200]}"
            if status < 500 and status != 429:
                break
        raise Unreachable(reason)

    def _post(self, body):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=settings.REQUEST_SECONDS)
        try:
            headers = {"Content-Type": "application/json", "Authorization": "Bearer bridge"}
            connection.request("POST", self.path + "/chat/completions", body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        finally:
            connection.close()
