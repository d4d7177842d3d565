"""Time that passes when it is told to."""


class Clock:
    def __init__(self):
        self.now = 0

    def tick(self, seconds):
        self.now += seconds

    def past(self, moment):
        """Whether a moment is over; no moment never is."""
        return moment is not None and self.now > moment
