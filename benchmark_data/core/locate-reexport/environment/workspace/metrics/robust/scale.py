"""How far values lie apart."""

from ._core import mad as dispersion


def iqr(values):
    ordered = sorted(values)
    return ordered[3 * len(ordered) // 4] - ordered[len(ordered) // 4]
