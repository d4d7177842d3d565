"""The files an agent has open: what it has seen of each, and what changed since."""

import difflib
from hashlib import sha256
from pathlib import Path

from seed import settings


class OpenFiles:
    def __init__(self, inherited=()):
        self.seen = dict(inherited)
        """Path as it was named -> (first line shown, the bytes that were seen)."""

    def open(self, name, start):
        """A window of the file with line numbers; the file is open from now on."""
        data = Path(name).read_bytes()
        others = sum(len(seen) for path, (_, seen) in self.seen.items() if path != name)
        if others + len(data) > settings.OPEN_BYTES:
            raise ValueError(
                f"open files would hold over {settings.OPEN_BYTES} bytes; close some: {', '.join(self.seen)}"
            )
        self.seen[name] = (start, data)
        return window(name, data, start)

    def close(self, name):
        if self.seen.pop(name, None) is None:
            raise ValueError(f"{name} is not open; open are: {', '.join(self.seen) or 'none'}")

    def wrote(self, name, data):
        """The agent knows what it wrote."""
        self.seen[name] = (1, data)

    def ready(self, name):
        """Raises ValueError unless the file is new, or open and on disk as it was seen."""
        path = Path(name)
        if not path.exists():
            return
        if name not in self.seen:
            raise ValueError(f"{name} exists and is not open: open it first, to see what you would overwrite")
        if sha256(path.read_bytes()).digest() != sha256(self.seen[name][1]).digest():
            raise ValueError(f"{name} changed on disk since you saw it: open it again")

    def refresh(self):
        """How open files changed on disk since they were seen, as text; what is gone is closed."""
        told = []
        for name, (start, before) in list(self.seen.items()):
            try:
                after = Path(name).read_bytes()
            except OSError:
                del self.seen[name]
                told.append(f"[changed on disk {name}: it is gone, and closed]")
                continue
            if after != before:
                self.seen[name] = (start, after)
                told.append(f"[changed on disk {name}]\n{_difference(before, after)}")
        return "\n".join(told)

    def views(self):
        return [window(name, data, start) for name, (start, data) in self.seen.items()]


def window(name, data, start):
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    shown = lines[start - 1 : start - 1 + settings.VIEW_LINES]
    head = f"[view {name}: lines {start}-{start - 1 + len(shown)} of {len(lines)}]"
    return "\n".join([head, *(f"{number:5}\t{line}" for number, line in enumerate(shown, start))])


def _difference(before, after):
    old, new = (data.decode("utf-8", "replace").splitlines() for data in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, "before", "after", lineterm="", n=1))[2:])
