"""When each key was used last."""


class Order:
    def __init__(self):
        self._used = {}
        self._turn = 0

    def touch(self, key):
        """The key is used now."""
        self._turn += 1
        self._used[key] = self._turn

    def drop(self, key):
        self._used.pop(key, None)

    def stalest(self):
        """The key that was not used for the longest time."""
        return max(self._used, key=self._used.__getitem__)
