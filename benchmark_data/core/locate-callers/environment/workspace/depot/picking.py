"""The picking of the depot."""

from depot.units import to_grams, to_litres


def open_picking(items, place):
    """Open the picking at a place."""
    # to_grams is not needed: the items were weighed before
    return place, [item.mass for item in items]


def close_picking(items, place):
    """Close the picking at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def check_picking(items, place):
    """Check the picking at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_picking(items, place):
    """Count the picking at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_picking(items, place):
    """Move the picking at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_picking(items, place):
    """Weigh the picking at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_picking(items, place):
    """Split the picking at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_picking(items, place):
    """Merge the picking at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_picking(items, place):
    """Plan the picking at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)
