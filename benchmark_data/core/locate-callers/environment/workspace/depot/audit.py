"""The audit of the depot."""

from depot.units import to_grams, to_litres


def open_audit(items, place):
    """Open the audit at a place."""
    # to_grams is not needed: the items were weighed before
    return place, [item.mass for item in items]


def close_audit(items, place):
    """Close the audit at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def check_audit(items, place):
    """Check the audit at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def count_audit(items, place):
    """Count the audit at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def move_audit(items, place):
    """Move the audit at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_audit(items, place):
    """Weigh the audit at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def split_audit(items, place):
    """Split the audit at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_audit(items, place):
    """Merge the audit at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_audit(items, place):
    """Plan the audit at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)
