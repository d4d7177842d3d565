"""How an answer is said: JSON in which no string holds a character that steers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from sica.report import clean, clean_block

Answer = Mapping[str, Any]


def said(schema: str, answer: Answer, known: str | None = None, status: int = 200) -> Response:
    body = encoded(schema, answer)
    headers = {"Cache-Control": "no-store"}
    if known is not None:
        headers |= {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
        if known == headers["ETag"]:
            return Response(status_code=304, headers=headers)
    return Response(body, status, headers, "application/json")


def encoded(schema: str, answer: Answer) -> bytes:
    """JSON in which no string holds a character that steers: hostile text is plain text by here at the latest."""
    whole = {"schema": f"sica.web.{schema}/1", **answer}
    return json.dumps(harmless(whole), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def harmless(value: Any) -> Any:
    if isinstance(value, str):
        return clean_block(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): harmless(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [harmless(item) for item in value]
    return value
