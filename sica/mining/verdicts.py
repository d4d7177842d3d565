"""What was found out about candidates so far, in a file beside the folder to be: a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = "sica.mining.work/1"


class Verdicts:
    """Facts by name, durable one by one. `about` says of what they are; of anything else they are nothing."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self._head = {"schema": SCHEMA, **about}
        self._known: dict[str, Any] = {}
        self._begun = False
        if path.is_file():
            self._read()

    def __len__(self) -> int:
        return len(self._known)

    def _read(self) -> None:
        head, *lines = [_parsed(line) for line in self.path.read_bytes().split(b"\n")]
        if head != self._head:
            return
        self._known = {line["of"]: line["is"] for line in lines if line is not None}
        self._begun = True

    def get(self, name: str) -> Any:
        """None when it is not known."""
        return self._known.get(name)

    def put(self, name: str, fact: Any) -> None:
        self._known[name] = fact
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self._head) + "\n", encoding="utf-8")
            self._begun = True
        with self.path.open("ab") as file:
            # the end of a line first: what a killed run left half written stands alone
            file.write(b"\n" + json.dumps({"of": name, "is": fact}).encode())
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
