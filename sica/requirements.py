"""What an agent may ask to be installed for it: names, versions, markers and hashes, nothing else. Pure.

The file is written by an agent, and its lines reach a program that runs outside of any box.
"""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement

from sica.errors import UsageError

MOST_BYTES = 1_000_000
MOST = 1000
_HASH = re.compile(r"--hash=(sha256|sha384|sha512):[0-9a-f]{64,128}")


def read(data: bytes, name: str = "requirements.txt") -> tuple[str, ...]:
    """The file's requirements, one a line, written by us and not by the agent. Raises UsageError naming the line."""
    if len(data) > MOST_BYTES:
        raise UsageError(f"{name} has {len(data):,} bytes; {MOST_BYTES:,} are allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8: {error}") from None
    found = tuple(_line(words, f"{name}, line {number}") for number, words in _logical(text))
    if len(found) > MOST:
        raise UsageError(f"{name} asks for {len(found):,} packages; {MOST:,} are allowed")
    hashed = sum("--hash=" in line for line in found)
    if 0 < hashed < len(found):
        raise UsageError(
            f"{name}: {hashed} of {len(found)} requirements have hashes", "give every one its hashes, or none"
        )
    return found


def hashed(lines: tuple[str, ...]) -> bool:
    return bool(lines) and all("--hash=" in line for line in lines)


def _logical(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, continued ones joined, without comments."""
    joined: list[tuple[int, str]] = []
    start, held = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        start, held = (start, held) if held else (number, "")
        words = re.sub(r"(^|\s)#.*", "", line.rstrip("\r"))
        held += words.removesuffix("\\") + " "
        if not words.endswith("\\"):
            joined.append((start, held.strip()))
            held = ""
    return [(number, words) for number, words in [*joined, (start, held.strip())] if words]


def _line(words: str, where: str) -> str:
    head, *options = re.split(r"\s(?=--?[A-Za-z])", words)
    shown = repr(words[:100])
    if head.startswith("-"):
        raise UsageError(f"{where}: {shown} is an option; a line names a package", "such as requests==2.32.3")
    for option in options:
        if not _HASH.fullmatch(option.strip()):
            raise UsageError(
                f"{where}: {option.strip()[:100]!r} is no option for an agent; --hash=sha256:... is the only one"
            )
    try:
        wanted = Requirement(head)
    except InvalidRequirement as error:
        raise UsageError(
            f"{where}: {shown} is no requirement: {str(error).splitlines()[0]}", "such as requests==2.32.3"
        ) from None
    if wanted.url:
        raise UsageError(
            f"{where}: {shown} names an address; packages come from the index by name",
            f"{wanted.name}==VERSION",
        )
    return " ".join([str(wanted), *(option.strip() for option in options)])
