"""The pricing of the depot."""

from depot.units import to_grams, to_litres


def open_pricing(items, place):
    """Open the pricing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_pricing(items, place):
    """Close the pricing at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def check_pricing(items, place):
    """Check the pricing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_pricing(items, place):
    """Count the pricing at a place."""
    # to_grams is not needed: the items were weighed before
    return place, [item.mass for item in items]


def move_pricing(items, place):
    """Move the pricing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_pricing(items, place):
    """Weigh the pricing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_pricing(items, place):
    """Split the pricing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_pricing(items, place):
    """Merge the pricing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_pricing(items, place):
    """Plan the pricing at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)
