"""The intake of the depot."""

from depot.units import to_grams, to_litres


def open_intake(items, place):
    """Open the intake at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_intake(items, place):
    """Close the intake at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def check_intake(items, place):
    """Check the intake at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def count_intake(items, place):
    """Count the intake at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_intake(items, place):
    """Move the intake at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_intake(items, place):
    """Weigh the intake at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_intake(items, place):
    """Split the intake at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def merge_intake(items, place):
    """Merge the intake at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_intake(items, place):
    """Plan the intake at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)
