"""The customs of the depot."""

from depot.units import to_grams, to_litres


def open_customs(items, place):
    """Open the customs at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_customs(items, place):
    """Close the customs at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def check_customs(items, place):
    """Check the customs at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def count_customs(items, place):
    """Count the customs at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_customs(items, place):
    """Move the customs at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_customs(items, place):
    """Weigh the customs at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_customs(items, place):
    """Split the customs at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_customs(items, place):
    """Merge the customs at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_customs(items, place):
    """Plan the customs at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)
