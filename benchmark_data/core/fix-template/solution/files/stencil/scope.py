"""Which name stands for what, level by level."""


class Scope:
    def __init__(self, names):
        self._levels = [dict(names)]

    def enter(self, names):
        """A new level, whose names hide those of the same name outside."""
        self._levels.append(names)

    def leave(self):
        self._levels.pop()

    def find(self, path):
        """The value of a name, or of a.b; ValueError when there is none."""
        first, *rest = path.split(".")
        for names in reversed(self._levels):
            if first in names:
                return follow(names[first], rest)
        raise ValueError(f"no value for {path!r}")


def follow(value, path):
    for part in path:
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value
