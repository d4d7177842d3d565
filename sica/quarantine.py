"""Tasks of a folder that do not hold any more: quarantine.json beside them says which and why, and they are left out.

An entry is about one digest: a task that was mended is another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sica.errors import UsageError

NAME = "quarantine.json"
SCHEMA = "sica.quarantine/1"


@dataclass(frozen=True, slots=True)
class Entry:
    """Why one task is left out."""

    digest: str
    rule: str
    code: str
    why: str

    @property
    def words(self) -> str:
        return f"quarantined: {self.rule}: {self.why} [{self.code}]"


def read(root: Path) -> Mapping[str, Entry]:
    """By the task's name; nothing without a file. Raises UsageError for a file that cannot be read as one."""
    place = root / NAME
    if not place.is_file():
        return {}
    try:
        table = json.loads(place.read_bytes())
        return {str(name): Entry(**{key: str(value) for key, value in of.items()})
                for name, of in table["tasks"].items()}  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"not as `sica bench refresh` writes it: {error}"
        raise UsageError(f"{place}: {why}", f"remove it, and run: sica bench refresh {root}") from None


def write(root: Path, tasks: Mapping[str, Entry], about: Mapping[str, Any]) -> None:
    """All at once: whoever reads meanwhile has the old list or the new one."""
    table = {
        "schema": SCHEMA,
        **about,
        "tasks": {name: asdict(entry) for name, entry in sorted(tasks.items())},
    }
    made = root / f".{NAME}.new"
    made.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    made.replace(root / NAME)


def outcome(lines: Iterable[tuple[str, ...]]) -> str:
    """One hash of what every rule said of every task: two machines that agree have the same."""
    text = "".join("\t".join(line) + "\n" for line in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()
