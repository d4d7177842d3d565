"""The carriers of the depot."""

from depot.units import to_grams, to_litres


def open_carriers(items, place):
    """Open the carriers at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_carriers(items, place):
    """Close the carriers at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def check_carriers(items, place):
    """Check the carriers at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def count_carriers(items, place):
    """Count the carriers at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_carriers(items, place):
    """Move the carriers at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_carriers(items, place):
    """Weigh the carriers at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def split_carriers(items, place):
    """Split the carriers at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_carriers(items, place):
    """Merge the carriers at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_carriers(items, place):
    """Plan the carriers at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)
