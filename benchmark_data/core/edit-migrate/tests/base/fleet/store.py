"""Rows by table and key."""


def fetch_rows(store, table, key):
    return list(store.get((table, key), ()))


def put_row(store, table, key, value):
    store.setdefault((table, key), []).append(value)
    return len(store[table, key])
