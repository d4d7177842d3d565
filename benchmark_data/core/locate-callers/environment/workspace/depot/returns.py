"""The returns of the depot."""

from depot.units import to_grams, to_litres


def open_returns(items, place):
    """Open the returns at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_returns(items, place):
    """Close the returns at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def check_returns(items, place):
    """Check the returns at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_returns(items, place):
    """Count the returns at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_returns(items, place):
    """Move the returns at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def weigh_returns(items, place):
    """Weigh the returns at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_returns(items, place):
    """Split the returns at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def merge_returns(items, place):
    """Merge the returns at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def plan_returns(items, place):
    """Plan the returns at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)
