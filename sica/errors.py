"""Every error sica raises on purpose.

    SicaError                  exit 1   something failed; the message names the thing, the value and the cure
    ├── UsageError             exit 2   the user's words, settings, files or machine set-up are off
    ├── BudgetStopped          exit 3   a cap was reached; everything is kept
    ├── CredentialsError       exit 4   a key is missing or was refused
    ├── StoreError             exit 1   agents.git or sica.db is damaged, locked or newer than this sica
    ├── SandboxError           fault    a box could not be made or confined: the harness failed, not the agent
    │   ├── SandboxUnavailable exit 2   this machine cannot confine an agent as configured
    │   └── CannotInstall      fault    an agent asks for packages that cannot be had; at the gate a rejection
    └── ProviderError          fault    a model provider failed: never a score

A broken harness (fault), wrong input (exit 2) and a poor agent (a score) are three different things.
"""

from __future__ import annotations


class SicaError(Exception):
    """Something failed; `hint` says what to type next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(SicaError):
    exit_code = 2


class BudgetStopped(SicaError):
    exit_code = 3


class CredentialsError(SicaError):
    exit_code = 4


class StoreError(SicaError):
    pass


class SandboxError(SicaError):
    pass


class SandboxUnavailable(SandboxError):
    exit_code = 2


class CannotInstall(SandboxError):
    """What an agent asks for cannot be installed, and never will be: the gate rejects the agent for it."""


class ProviderError(SicaError):
    """A provider's failure; `transient`: waiting could cure it; `retry_after`: the seconds it asked for."""

    def __init__(
        self, message: str, *, transient: bool, hint: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint)
        self.transient = transient
        self.retry_after = retry_after


class RequestRejected(SicaError):
    """The provider will not take this request, whoever sends it; `code` is OpenAI's word for why."""

    def __init__(self, message: str, *, code: str = "invalid_request", hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


def no_such(kind: str, value: str, known: list[str]) -> UsageError:
    """The error for an unknown name: what was asked for, what there is, and the nearest if one is near."""
    from difflib import get_close_matches

    near = get_close_matches(value, known, n=1)
    there = ", ".join(sorted(known)) if known else "none"
    return UsageError(
        f"no {kind} called {value!r}; there are: {there}", f"did you mean {near[0]!r}?" if near else ""
    )
