"""Records of drivers."""

from __future__ import annotations

from fleet.store import fetch_rows, put_row

LIMIT = 50


def licences(store, key, limit=50):
    """Licences under a key, newest first."""
    rows = fetch_rows(store, "licences", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="licences") for row in rows]


def add_to_licences(store, key, value):
    """Keep a value among the licences."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "licences", key, value)


def absences(store, key, limit=50):
    """Absences under a key, newest first."""
    rows = fetch_rows(store, "absences", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="absences") for row in rows]


def add_to_absences(store, key, value):
    """Keep a value among the absences."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "absences", key, value)


def trainings(store, key, limit=50):
    """Trainings under a key, newest first."""
    rows = fetch_rows(store, "trainings", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="trainings") for row in rows]


def add_to_trainings(store, key, value):
    """Keep a value among the trainings."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "trainings", key, value)


def fines(store, key, limit=50):
    """Fines under a key, newest first."""
    rows = fetch_rows(store, "fines", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="fines") for row in rows]


def add_to_fines(store, key, value):
    """Keep a value among the fines."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "fines", key, value)


def bonuses(store, key, limit=50):
    """Bonuses under a key, newest first."""
    rows = fetch_rows(store, "bonuses", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="bonuses") for row in rows]


def add_to_bonuses(store, key, value):
    """Keep a value among the bonuses."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "bonuses", key, value)


def shifts(store, key, limit=50):
    """Shifts under a key, newest first."""
    rows = fetch_rows(store, "shifts", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="shifts") for row in rows]


def add_to_shifts(store, key, value):
    """Keep a value among the shifts."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "shifts", key, value)


def breaks(store, key, limit=50):
    """Breaks under a key, newest first."""
    rows = fetch_rows(store, "breaks", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="breaks") for row in rows]


def add_to_breaks(store, key, value):
    """Keep a value among the breaks."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "breaks", key, value)


def health_checks(store, key, limit=50):
    """Health checks under a key, newest first."""
    rows = fetch_rows(store, "health_checks", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="health_checks") for row in rows]


def add_to_health_checks(store, key, value):
    """Keep a value among the health checks."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "health_checks", key, value)


def notes(store, key, limit=50):
    """Notes under a key, newest first."""
    rows = fetch_rows(store, "notes", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="notes") for row in rows]


def add_to_notes(store, key, value):
    """Keep a value among the notes."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "notes", key, value)


def contacts(store, key, limit=50):
    """Contacts under a key, newest first."""
    rows = fetch_rows(store, "contacts", key)
    rows.sort(key=lambda row: row["time"], reverse=True)
    if limit is not None:
        rows = rows[:limit]
    return [dict(row, kind="contacts") for row in rows]


def add_to_contacts(store, key, value):
    """Keep a value among the contacts."""
    if value is None:
        raise ValueError("nothing to keep")
    return put_row(store, "contacts", key, value)
