"""What is said when a run has stopped: why, in words, and the exact command that goes on. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from sica import report
from sica.config import RunConfig
from sica.model import Archive, Usage
from sica.stopping import standing

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Books:
    """What was used when the run stopped."""

    config: RunConfig
    run: Usage
    today: Usage
    """By every run of the store since the UTC day began."""
    now: float
    """Unix seconds."""
    rest: float | None = None
    """Dollars that the rest of the plan will most likely cost."""


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap, and how much of it is used."""

    key: str
    """Of the setting, dotted."""
    used: float
    cap: float

    @property
    def flag(self) -> str:
        return "--" + self.key.replace(".", "-").replace("_", "-")

    def words(self) -> str:
        if self.key.endswith("cost"):
            return f"{report.dollars(self.used)} of {report.dollars(self.cap)}"
        return f"{report.count(self.used)} of {report.count(self.cap)} {self.key.rpartition('_')[2]}"


def caps(books: Books) -> Iterator[Cap]:
    """The caps there are, the one that is used most first."""

    def every() -> Iterator[Cap]:
        for prefix, part, used in (("", books.config, books.run), ("day.", books.config.day, books.today)):
            pairs = (("max_cost", used.usd), ("max_tokens", used.tokens), ("max_calls", used.calls))
            for key, value in pairs:
                cap = getattr(part, key)
                if cap is not None:
                    yield Cap(prefix + key, value, cap)

    yield from sorted(every(), key=lambda c: -c.used / c.cap)


def why(reason: str, archive: Archive, books: Books) -> str:
    """Why the run stopped, for people."""
    config = books.config
    match reason:
        case "budget":
            cap = next(caps(books), None)
            if cap is None:
                return "stopped: the budget is reached"
            whose = "today's cap" if cap.key.startswith("day.") else "the cap"
            return f"stopped at {whose}: {cap.words()} used, and no further step fits"
        case "time":
            return f"stopped: the {config.max_hours:g} hours of --max-hours are over"
        case "score":
            best, reached = archive.agents[archive.champion], standing(archive, config.confirm)
            return f"reached --until {config.until:g}: {best.name} has {reached or 0:.3f}"
        case "patience":
            tries = report.plural(config.patience or 0, "improvement")
            return f"stopped: {tries} in a row led to no promotion (--patience)"
        case "stopped":
            return "stopped, as asked"
    return reason


def resume(reason: str, argv: Sequence[str], books: Books) -> str:
    """The command that goes on, with the limit that stopped it raised."""
    config = books.config
    raised: tuple[str, str] | None = None
    match reason:
        case "budget":
            if cap := next(caps(books), None):
                raised = cap.flag, _raised(cap, books.rest)
        case "time":
            raised = "--max-hours", f"{2 * (config.max_hours or 0):g}"
        case "score":
            raised = "--until", f"{1 - (1 - (config.until or 0)) / 2:.3g}"
        case "patience":
            raised = "--patience", str(2 * (config.patience or 0))
    words = with_option(argv, *raised) if raised else list(argv)
    return f"sica {shlex.join(words)}"


def going_on(reason: str, argv: Sequence[str], books: Books) -> Sequence[str]:
    """How to go on: nothing when it is done; else the command, and when the same one will do."""
    if reason == "done":
        return ()
    kept = f"{resume(reason, argv, books)}   (everything finished is kept)"
    cap = next(caps(books), None)
    if reason == "budget" and cap is not None and cap.key.startswith("day."):
        wait = report.duration(DAY - books.now % DAY)
        return kept, f"or the same command in {wait}, when the next UTC day begins"
    return (kept,)


def with_option(argv: Sequence[str], flag: str, value: str) -> list[str]:
    """The command line with this option at this value, wherever it stood before."""
    words, rest = [], iter(argv)
    for word in rest:
        if word == flag:
            next(rest, None)
        elif not word.startswith(flag + "="):
            words.append(word)
    return [*words, flag, value]


def _raised(cap: Cap, rest: float | None) -> str:
    """Enough for what is left of the plan where that is known, else twice as much."""
    wanted = cap.used + 1.2 * rest if rest and cap.key.endswith("cost") else 2 * cap.cap
    value = _rounded_up(max(wanted, 1.25 * cap.cap))
    if not cap.key.endswith("cost"):
        return str(ceil(value))
    return f"{value:.2f}" if value >= 0.1 else f"{value:.6f}".rstrip("0")


def _rounded_up(value: float) -> float:
    """To two digits."""
    unit = 10.0 ** (floor(log10(value)) - 1)
    return ceil(value / unit - 1e-9) * unit
