"""Where values lie."""


def middle(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def spread(values):
    """Kept for old reports."""
    return max(values) - min(values)
