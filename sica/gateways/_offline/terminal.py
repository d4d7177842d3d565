"""Commands that are spelt out: look through what one prints, answer what one asks, run one beside another, ask git."""

from __future__ import annotations

import re
import shlex

from sica.gateways._offline.hands import Hands, Thought

_ANSWER = re.compile(r"\bto `([\w./-]+\.txt)`")
_OUTPUT = re.compile(r"\bwhich lines? of the output of `([^`]+)` contains? `([^`]+)`", re.IGNORECASE)
_ASKS = re.compile(
    r"\brun `([^`]+)` and answer its questions with ((?:`[^`]+`(?:,? and |, )?)+)", re.IGNORECASE
)
_BESIDE = re.compile(r"`([\w./-]+\.py)` run in the background while `([^`]+)` runs", re.IGNORECASE)
_MAKES = re.compile(r"`((?:ba)?sh [\w./-]+)` makes the repository `([\w./-]+?)/?`", re.IGNORECASE)
_ADDED = re.compile(r"\bwhich commit added the text `([^`]+)` to `([^`]+)`", re.IGNORECASE)
_BROKE = re.compile(r"`([^`]+)` in it fails now and did not at first", re.IGNORECASE)
_NAME = re.compile(r"^[0-9a-f]{40}$", re.MULTILINE)


def spelt_out(instruction: str) -> bool:
    return any(form.search(instruction) for form in (_OUTPUT, _ASKS, _BESIDE, _ADDED, _BROKE))


def obey(hands: Hands, instruction: str) -> Thought[str]:
    """Do what can be made out; what a command leaves, or prints, is the answer."""
    if made := _MAKES.search(instruction):
        yield from hands.shell(made[1], "Make the repository.")
        said = yield from _ask_git(hands, instruction, made[2])
    elif shown := _OUTPUT.search(instruction):
        said = yield from _look_through(hands, instruction, shown[1], shown[2])
    else:
        return (yield from _talk(hands, instruction))
    target = _ANSWER.search(instruction)
    if not said or not target:
        return "I could not find it."
    yield from hands.write(target[1], "", said + "\n")
    return f"The answer is in {target[1]}."


def _look_through(hands: Hands, instruction: str, command: str, word: str) -> Thought[str]:
    found = yield from hands.shell(f"{command} | grep -a {shlex.quote(word)}", f"Which lines hold {word}?")
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", found)
    lines = [line.rpartition("\r")[2] for line in plain.splitlines() if word in line]
    ends = re.search(r"\bat their ends?\b", instruction)
    return "\n".join(line.split()[-1] if ends else line for line in lines)


def _ask_git(hands: Hands, instruction: str, folder: str) -> Thought[str]:
    git = f"git -C {shlex.quote(folder)}"
    if added := _ADDED.search(instruction):
        command = (
            f"{git} log --reverse --format=%H -S{shlex.quote(added[1])} -- {shlex.quote(added[2])} | head -1"
        )
        shown = yield from hands.shell(command, "When did the text come?")
    elif broke := _BROKE.search(instruction):
        first = "$(git rev-list --max-parents=0 HEAD | tail -1)"
        command = (
            f"cd {shlex.quote(folder)} && git bisect start HEAD {first} >/dev/null && "
            f"git bisect run {broke[1]} >/dev/null 2>&1; "
            "git rev-parse refs/bisect/bad; git bisect reset >/dev/null 2>&1"
        )
        shown = yield from hands.shell(command, "Bisect.")
    else:
        return ""
    name = _NAME.search(shown)
    return name[0] if name else ""


def _talk(hands: Hands, instruction: str) -> Thought[str]:
    if asked := _ASKS.search(instruction):
        words = "".join(f"{word}\\n" for word in re.findall(r"`([^`]+)`", asked[2]))
        yield from hands.shell(f"printf {shlex.quote(words)} | {asked[1]}", "Answer what it asks.")
    if beside := _BESIDE.search(instruction):
        server = f"python3 {shlex.quote(beside[1])} >/dev/null 2>&1 & server=$!"
        yield from hands.shell(f"{server}; sleep 1; {beside[2]}; kill $server", "Run one beside the other.")
    return "I ran what was spelt out."
