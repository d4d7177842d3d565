"""A cache of limited size whose entries may also grow too old."""

from store.cache import Cache

__all__ = ["Cache"]
