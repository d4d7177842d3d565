"""What kind of task it is, from the instruction alone."""

from __future__ import annotations

import re
from random import Random

from sica.gateways._offline import edits, improve, locate, repair, terminal
from sica.gateways._offline.hands import Hands, Thought

_COMMAND = re.compile(r"`((?:python3?|pytest|make|sh|bash|\./)[^`]*)`")


def think(hands: Hands, instruction: str, dice: Random) -> Thought[str]:
    if instruction.lstrip().startswith("# Improve this agent"):
        said = yield from improve.improve(hands, instruction, dice)
    elif terminal.spelt_out(instruction):
        said = yield from terminal.obey(hands, instruction)
    elif locate.question(instruction):
        said = yield from locate.answer(hands, instruction)
    elif (command := _test_command(instruction)) and not edits.parse(instruction):
        said = yield from repair.repair(hands, command, dice)
    else:
        said = yield from edits.carry_out(hands, edits.parse(instruction))
    return (yield from hands.finish(said))


def _test_command(instruction: str) -> str:
    found = [m[1] for m in _COMMAND.finditer(instruction) if "test" in m[1]]
    return found[0] if found else ""
