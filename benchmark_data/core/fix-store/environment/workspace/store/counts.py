"""What happened, in numbers."""


class Counts:
    def __init__(self):
        self._hits = self._misses = self._forgotten = 0

    def hit(self):
        self._hits += 1

    def miss(self):
        self._misses += 1

    def forgot(self):
        self._forgotten += 1

    def as_dict(self):
        return {"hits": self._hits, "misses": self._misses, "forgotten": self._forgotten}
