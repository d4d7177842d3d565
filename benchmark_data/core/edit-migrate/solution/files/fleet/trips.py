"""Records of trips."""

from __future__ import annotations

from fleet.store import select, put_row

LIMIT = 50


def departures(store, key, limit=50):
    """Departures under a key, newest first."""
    rows = select(store, "departures", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="departures") for row in rows]


def add_to_departures(store, key, value):
    """Keep a value among the departures."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "departures", key, value)


def arrivals(store, key, limit=50):
    """Arrivals under a key, newest first."""
    rows = select(store, "arrivals", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="arrivals") for row in rows]


def add_to_arrivals(store, key, value):
    """Keep a value among the arrivals."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "arrivals", key, value)


def stops(store, key, limit=50):
    """Stops under a key, newest first."""
    rows = select(store, "stops", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="stops") for row in rows]


def add_to_stops(store, key, value):
    """Keep a value among the stops."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "stops", key, value)


def detours(store, key, limit=50):
    """Detours under a key, newest first."""
    rows = select(store, "detours", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="detours") for row in rows]


def add_to_detours(store, key, value):
    """Keep a value among the detours."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "detours", key, value)


def delays(store, key, limit=50):
    """Delays under a key, newest first."""
    rows = select(store, "delays", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="delays") for row in rows]


def add_to_delays(store, key, value):
    """Keep a value among the delays."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "delays", key, value)


def passengers(store, key, limit=50):
    """Passengers under a key, newest first."""
    rows = select(store, "passengers", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="passengers") for row in rows]


def add_to_passengers(store, key, value):
    """Keep a value among the passengers."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "passengers", key, value)


def parcels(store, key, limit=50):
    """Parcels under a key, newest first."""
    rows = select(store, "parcels", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="parcels") for row in rows]


def add_to_parcels(store, key, value):
    """Keep a value among the parcels."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "parcels", key, value)


def weights(store, key, limit=50):
    """Weights under a key, newest first."""
    rows = select(store, "weights", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="weights") for row in rows]


def add_to_weights(store, key, value):
    """Keep a value among the weights."""
    if value is None:
        raise ValueError("a trip has a weight")
    return put_row(store, "weights", key, value)


def seals(store, key, limit=50):
    """Seals under a key, newest first."""
    rows = select(store, "seals", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="seals") for row in rows]


def add_to_seals(store, key, value):
    """Keep a value among the seals."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "seals", key, value)


def routes(store, key, limit=50):
    """Routes under a key, newest first."""
    rows = select(store, "routes", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="routes") for row in rows]


def add_to_routes(store, key, value):
    """Keep a value among the routes."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "routes", key, value)


def border_crossings(store, key, limit=50):
    """Border crossings under a key, newest first."""
    rows = select(store, "border_crossings", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="border_crossings") for row in rows]


def add_to_border_crossings(store, key, value):
    """Keep a value among the border crossings."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "border_crossings", key, value)
