"""The dispatch of the depot."""

from depot.units import to_grams, to_litres


def open_dispatch(items, place):
    """Open the dispatch at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_dispatch(items, place):
    """Close the dispatch at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def check_dispatch(items, place):
    """Check the dispatch at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_dispatch(items, place):
    """Count the dispatch at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def move_dispatch(items, place):
    """Move the dispatch at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_dispatch(items, place):
    """Weigh the dispatch at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_dispatch(items, place):
    """Split the dispatch at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def merge_dispatch(items, place):
    """Merge the dispatch at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def plan_dispatch(items, place):
    """Plan the dispatch at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)
