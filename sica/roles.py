"""Which model does what. Pure.

`main` is what agents talk to. `small` and `reasoning` are two more that an agent may ask for by these names; unset,
they are the main one. `critique` writes why a trial went as it did, `oversight` watches boxes at work; unset, nobody
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Roles:
    """Models beside the main one, by their LiteLLM names; "": unset."""

    small: str = ""
    reasoning: str = ""
    critique: str = ""
    oversight: str = ""
    effort: str = ""
    """Asked of the main and the reasoning model where the agent asks for none; "": the provider's default."""

    def names(self, main: str) -> Mapping[str, str]:
        """What a box may ask for by role, and the model that it means."""
        return {"small": self.small or main, "reasoning": self.reasoning or main}

    def described(self, main: str) -> str:
        """The main model, and whatever else bears on a score: recorded with every outcome, and part of its key.

        A critique comes after the score and bears on none.
        """
        beside = {
            "small": self.small,
            "reasoning": self.reasoning,
            "oversight": self.oversight,
            "effort": self.effort,
        }
        told = [f"{role} {name}" for role, name in beside.items() if name]
        return f"{main} ({', '.join(told)})" if told else main
