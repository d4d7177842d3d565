"""The cache: entries, their order of use, and what happened to them."""

from store.clock import Clock
from store.counts import Counts
from store.order import Order


class Cache:
    """Keeps at most `limit` entries; the one that was not used for the longest time goes first."""

    def __init__(self, limit):
        if limit < 1:
            raise ValueError(f"a cache needs room for one entry at least, not {limit}")
        self.limit = limit
        self._entries = {}
        self._order = Order()
        self._clock = Clock()
        self._counts = Counts()

    def put(self, key, value, seconds=None):
        """Keep a value, for some seconds or for as long as there is room."""
        until = None if seconds is None else self._clock.now + seconds
        if key not in self._entries and len(self._entries) >= self.limit:
            self._forget(self._order.stalest())
        self._entries[key] = (value, until)
        self._order.touch(key)

    def get(self, key, default=None):
        """The value, or the default when it was never kept, forgotten or grew too old."""
        if key not in self._entries:
            self._counts.miss()
            return default
        value, until = self._entries[key]
        if self._clock.past(until):
            self._forget(key)
            self._counts.miss()
            return default
        self._order.touch(key)
        self._counts.hit()
        return value

    def keys(self):
        return sorted(self._entries)

    def size(self):
        return len(self._entries)

    def counts(self):
        return self._counts.as_dict()

    def tick(self, seconds):
        self._clock.tick(seconds)

    def _forget(self, key):
        del self._entries[key]
        self._order.drop(key)
        self._counts.forgot()
