"""The pallets of the depot."""

from depot.units import to_grams, to_litres


def open_pallets(items, place):
    """Open the pallets at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_pallets(items, place):
    """Close the pallets at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def check_pallets(items, place):
    """Check the pallets at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_pallets(items, place):
    """Count the pallets at a place."""
    # to_grams is not needed: the items were weighed before
    return place, [item.mass for item in items]


def move_pallets(items, place):
    """Move the pallets at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_pallets(items, place):
    """Weigh the pallets at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_pallets(items, place):
    """Split the pallets at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def merge_pallets(items, place):
    """Merge the pallets at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_pallets(items, place):
    """Plan the pallets at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)
