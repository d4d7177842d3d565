"""Units."""

GRAMS = {"g": 1, "kg": 1000, "t": 1_000_000}


def to_grams(amount, unit):
    return amount * GRAMS[unit]


def to_litres(cubic_metres):
    return cubic_metres * 1000


def heaviest(items):
    """The item that weighs most."""
    return max(items, key=lambda item: to_grams(item.weight, item.unit))
