"""The labels of the depot."""

from depot.units import to_grams, to_litres


def open_labels(items, place):
    """Open the labels at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_labels(items, place):
    """Close the labels at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def check_labels(items, place):
    """Check the labels at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def count_labels(items, place):
    """Count the labels at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_labels(items, place):
    """Move the labels at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_labels(items, place):
    """Weigh the labels at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_labels(items, place):
    """Split the labels at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_labels(items, place):
    """Merge the labels at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_labels(items, place):
    """Plan the labels at a place."""
    # to_grams is not needed: the items were weighed before
    return place, [item.mass for item in items]
