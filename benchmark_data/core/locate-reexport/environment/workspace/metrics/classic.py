"""Sums of squares."""


def mean(values):
    return sum(values) / len(values)


def spread(values):
    """Standard deviation."""
    centre = mean(values)
    return (sum((v - centre) ** 2 for v in values) / len(values)) ** 0.5
