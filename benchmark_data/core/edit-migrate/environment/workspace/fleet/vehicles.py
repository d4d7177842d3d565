"""Records of vehicles."""

from __future__ import annotations

from fleet.store import fetch_rows, put_row

LIMIT = 50


def inspections(store, key, limit=50):
    """Inspections under a key, newest first."""
    rows = fetch_rows(store, "inspections", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="inspections") for row in rows]


def add_to_inspections(store, key, value):
    """Keep a value among the inspections."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "inspections", key, value)


def repairs(store, key, limit=50):
    """Repairs under a key, newest first."""
    rows = fetch_rows(store, "repairs", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="repairs") for row in rows]


def add_to_repairs(store, key, value):
    """Keep a value among the repairs."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "repairs", key, value)


def refuellings(store, key, limit=50):
    """Refuellings under a key, newest first."""
    rows = fetch_rows(store, "refuellings", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="refuellings") for row in rows]


def add_to_refuellings(store, key, value):
    """Keep a value among the refuellings."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "refuellings", key, value)


def tyre_changes(store, key, limit=50):
    """Tyre changes under a key, newest first."""
    rows = fetch_rows(store, "tyre_changes", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="tyre_changes") for row in rows]


def add_to_tyre_changes(store, key, value):
    """Keep a value among the tyre changes."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "tyre_changes", key, value)


def damages(store, key, limit=50):
    """Damages under a key, newest first."""
    rows = fetch_rows(store, "damages", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="damages") for row in rows]


def add_to_damages(store, key, value):
    """Keep a value among the damages."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "damages", key, value)


def mileages(store, key, limit=50):
    """Mileages under a key, newest first."""
    rows = fetch_rows(store, "mileages", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="mileages") for row in rows]


def add_to_mileages(store, key, value):
    """Keep a value among the mileages."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "mileages", key, value)


def insurances(store, key, limit=50):
    """Insurances under a key, newest first."""
    rows = fetch_rows(store, "insurances", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="insurances") for row in rows]


def add_to_insurances(store, key, value):
    """Keep a value among the insurances."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "insurances", key, value)


def locations(store, key, limit=50):
    """Locations under a key, newest first."""
    rows = fetch_rows(store, "locations", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="locations") for row in rows]


def add_to_locations(store, key, value):
    """Keep a value among the locations."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "locations", key, value)


def washes(store, key, limit=50):
    """Washes under a key, newest first."""
    rows = fetch_rows(store, "washes", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="washes") for row in rows]


def add_to_washes(store, key, value):
    """Keep a value among the washes."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "washes", key, value)


def recalls(store, key, limit=50):
    """Recalls under a key, newest first."""
    rows = fetch_rows(store, "recalls", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="recalls") for row in rows]


def add_to_recalls(store, key, value):
    """Keep a value among the recalls."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "recalls", key, value)


def leases(store, key, limit=50):
    """Leases under a key, newest first."""
    rows = fetch_rows(store, "leases", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="leases") for row in rows]


def add_to_leases(store, key, value):
    """Keep a value among the leases."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "leases", key, value)


def tolls(store, key, limit=50):
    """Tolls under a key, newest first."""
    rows = fetch_rows(store, "tolls", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="tolls") for row in rows]


def add_to_tolls(store, key, value):
    """Keep a value among the tolls."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "tolls", key, value)
