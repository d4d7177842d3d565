"""One job."""


class Job:
    """What takes `minutes`, once all jobs named in `after` are done."""

    def __init__(self, name, minutes, after=(), urgent=False):
        self.name = name
        self.minutes = minutes
        self.after = after
        self.urgent = urgent

    def __repr__(self):
        return f"Job({self.name!r}, {self.minutes})"
