"""When to ask again."""

from poll.settings import number


def growth(values, failures):
    """How much longer to wait after failures."""
    return number(values, "backoff_factor") ** failures


def usual_wait(values, busy):
    return number(values, "interval_seconds" if busy else "idle_seconds")
