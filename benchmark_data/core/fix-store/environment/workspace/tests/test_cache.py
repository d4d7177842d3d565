import unittest

from store import Cache


class Evicting(unittest.TestCase):
    def test_the_stalest_goes(self):
        cache = Cache(2)
        for key in "abc":
            cache.put(key, key.upper())
        self.assertEqual(cache.keys(), ["b", "c"])

    def test_reading_refreshes(self):
        cache = Cache(2)
        cache.put("a", 1)
        cache.put("b", 2)
        cache.get("a")
        cache.put("c", 3)
        self.assertEqual(cache.get("a"), 1)
        self.assertIsNone(cache.get("b"))

    def test_old_entries_are_not_given_out(self):
        cache = Cache(2)
        cache.put("a", 1, seconds=5)
        cache.tick(5)
        self.assertEqual(cache.get("a"), 1)
        cache.tick(1)
        self.assertIsNone(cache.get("a"))

    def test_counts(self):
        cache = Cache(1)
        cache.put("a", 1)
        cache.get("a")
        cache.get("b")
        self.assertEqual(cache.counts(), {"hits": 1, "misses": 1, "forgotten": 0})
