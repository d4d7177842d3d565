"""The packing of the depot."""

from depot.units import to_grams, to_litres


def open_packing(items, place):
    """Open the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_packing(items, place):
    """Close the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def check_packing(items, place):
    """Check the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_packing(items, place):
    """Count the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_packing(items, place):
    """Move the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_packing(items, place):
    """Weigh the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_packing(items, place):
    """Split the packing at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def merge_packing(items, place):
    """Merge the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_packing(items, place):
    """Plan the packing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)
