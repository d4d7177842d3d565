"""The forecast of the depot."""

from depot.units import to_grams, to_litres


def open_forecast(items, place):
    """Open the forecast at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def close_forecast(items, place):
    """Close the forecast at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def check_forecast(items, place):
    """Check the forecast at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def count_forecast(items, place):
    """Count the forecast at a place."""
    volumes = [to_litres(item.volume) for item in items]
    return place, max(volumes, default=0)


def move_forecast(items, place):
    """Move the forecast at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def weigh_forecast(items, place):
    """Weigh the forecast at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)


def split_forecast(items, place):
    """Split the forecast at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def merge_forecast(items, place):
    """Merge the forecast at a place."""
    chosen = [item for item in items if item.place == place]
    return place, len(chosen)


def plan_forecast(items, place):
    """Plan the forecast at a place."""
    weights = [to_grams(item.weight, item.unit) for item in items]
    return place, sum(weights)
