"""What every command is given: where it was called, how it may look, and ways to say something.

stdout is the result, stderr is talk. Whatever agents or models wrote passes `report.clean` before it is printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sica import places, report
from sica.errors import UsageError

if TYPE_CHECKING:
    from sica.config import Settings

UNCUT = 10_000
"""Columns of what is no terminal."""

_STYLES = {
    "best": "1;32",
    "good": "32",
    "bad": "31",
    "warn": "33",
    "dim": "2",
    "name": "36",
    "bold": "1",
    "added": "32",
    "removed": "31",
    "hunk": "36",
}


def _coloured(style: str, text: str) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if text and style in _STYLES else text


@dataclass(frozen=True)
class Invocation:
    folder: Path
    environ: Mapping[str, str]
    color: str = "auto"
    pager: bool = True

    # ── where ─────────────────────────────────────────────────────────────────────────────────────

    def places(self) -> places.Places:
        return places.require(self.folder, self.environ)

    def settings(self, **flags: Any) -> Settings:
        """The RunConfig with these flags on top; None is a flag that was not given. Loads pydantic."""
        from sica.config import resolve, unknown_variables

        for name in unknown_variables(self.environ):
            self.warn(f"{name} is set and is no setting of sica; sica config list names them all")
        found = places.find(self.folder, self.environ)
        own = found.settings if found else self.folder / "sica.toml"
        return resolve({k.replace("__", "."): v for k, v in flags.items()}, self.environ, own)

    def setting(self, key: str, default: str) -> str:
        """One plain setting read without pydantic, for the commands that must be instant."""
        if given := self.environ.get("SICA_" + key.upper()):
            return given
        found = places.find(self.folder, self.environ)
        for path in (found.settings if found else None, places.user_settings(self.environ)):
            value = places.read_toml(path).get(key) if path else None
            if value is not None:
                return str(value)
        return default

    def user(self) -> str:
        """Who asks, for records that people read."""
        import getpass

        try:
            return getpass.getuser()
        except (KeyError, OSError):  # a uid without a name, as containers have them
            return f"uid {os.getuid()}"

    # ── how it looks ──────────────────────────────────────────────────────────────────────────────

    def colours(self, stream: IO[str]) -> bool:
        if self.color != "auto":
            return self.color == "always"
        if self.environ.get("NO_COLOR"):
            return False
        if self.environ.get("FORCE_COLOR") or self.environ.get("CLICOLOR_FORCE"):
            return True
        return self.live(stream)

    def live(self, stream: IO[str]) -> bool:
        """Whether somebody is looking who can see things move."""
        return stream.isatty() and self.environ.get("TERM", "dumb") != "dumb" and not self.environ.get("CI")

    def width(self, stream: IO[str] | None = None) -> int:
        """Columns of the terminal that shows the stream; what goes into a pipe or a file is not cut."""
        told = self.environ.get("COLUMNS", "")
        if told.isascii() and told.isdigit() and int(told):
            return max(40, int(told))
        try:
            columns = os.get_terminal_size((stream or sys.stdout).fileno()).columns
        except (OSError, ValueError):
            return UNCUT
        return max(40, columns or 80)

    def look(self, stream: IO[str] | None = None) -> report.Look:
        stream = stream or sys.stdout
        encoding = (getattr(stream, "encoding", "") or "ascii").lower().replace("-", "")
        glyphs = report.UNICODE if encoding.startswith("utf8") else report.ASCII
        return report.Look(self.width(stream), glyphs, _coloured if self.colours(stream) else report.plain)

    # ── saying something ──────────────────────────────────────────────────────────────────────────

    def page(self, lines: Iterable[str]) -> None:
        """Print the lines, through the pager when a person looks at them and they do not fit."""
        if not (self.pager and self.live(sys.stdout)):
            for line in lines:
                print(_sendable(line, sys.stdout))
            return
        text = "\n".join(_sendable(line, sys.stdout) for line in lines) + "\n"
        program = self.environ.get("SICA_PAGER") or self.environ.get("PAGER") or "less"
        command = ["less", "-FIRX"] if Path(program).name == "less" else ["sh", "-c", program]
        try:
            subprocess.run(command, input=text.encode(errors="replace"), check=False)
        except FileNotFoundError:
            print(text, end="")

    def json(self, schema: str, **fields: Any) -> None:
        """One object on stdout; fields are only ever added to a schema."""
        print(json.dumps({"schema": schema, **fields}, default=_plainly))

    def say(self, text: str = "") -> None:
        print(_sendable(text, sys.stderr), file=sys.stderr, flush=True)

    def passing(self, line: str) -> None:
        """The one line that says what goes on, when somebody looks; the next takes its place, "" takes it away."""
        if self.live(sys.stderr):
            shown = report.clean(line)[: self.width(sys.stderr) - 1]
            print(f"\r\x1b[2K{shown}", end="", file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        self.say(self.look(sys.stderr).paint("warn", "warning: ") + text)

    def confirm(self, question: str, yes: bool) -> None:
        """Go on only with a yes: typed on a terminal, or given as --yes."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{question} Nobody is here to be asked", "--yes answers it")
        print(question + " [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("not done: the answer was no")


def write_whole(path: Path, data: bytes) -> None:
    """The file as it was or as it is to be, whenever this is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def examples(*lines: str) -> str | None:
    """The end of a help text. The \b keeps the lines as they are."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)]) if lines else None


def _sendable(text: str, stream: IO[str]) -> str:
    """The text in what the stream can carry: a Latin-1 terminal gets question marks and no traceback."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


def _plainly(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
