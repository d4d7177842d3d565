"""The sums behind the estimates."""

from .place import middle


def deviations(values):
    centre = middle(values)
    return [abs(value - centre) for value in values]


def mad(values):
    """Median of the absolute deviations from the median."""
    return middle(deviations(values))
