"""Rows by table and key."""


def select(store, table, key):
    return list(store.get((table, key), ()))


def put_row(store, table, key, value):
    store.setdefault((table, key), []).append(value)
    return len(store[table, key])
