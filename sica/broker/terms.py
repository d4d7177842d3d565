"""How the broker treats one box."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """How patient and how generous the broker is with one box."""

    completion: int = 8_192
    """Tokens of an answer when the agent asks for no number; fewer when the budget ends before."""
    most_completion: int = 65_536
    """Tokens that an agent may ask for; more is an error."""
    body_bytes: int = 4 * 1024 * 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    at_once: int = 8
    """Calls of one session under way; more wait for their turn."""
    connections: int = 128
    timeout: float = 600.0
    """Seconds of one try at the provider."""
    retries: int = 5
    backoff: float = 1.0
    """Seconds before the first retry; doubled with each, give or take a half."""
    patience: float = 120.0
    """Seconds of one wait; a provider that asks for more has failed."""
    grace: float = 5.0
    """Seconds that an ending session gives calls under way before it counts them at their reservation."""
    refusals: int = 100
    """Refused calls of one session that are recorded; the rest are only refused."""
