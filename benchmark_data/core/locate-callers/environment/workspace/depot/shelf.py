"""The shelf of the depot."""

from depot.units import to_grams, to_litres


def open_shelf(items, place):
    """Open the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_shelf(items, place):
    """Close the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def check_shelf(items, place):
    """Check the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_shelf(items, place):
    """Count the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_shelf(items, place):
    """Move the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_shelf(items, place):
    """Weigh the shelf at a place."""
    # to_grams is not needed: the items were weighed before
    return place, [item.mass for item in items]


def split_shelf(items, place):
    """Split the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_shelf(items, place):
    """Merge the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_shelf(items, place):
    """Plan the shelf at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)
