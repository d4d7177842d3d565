"""Books by title."""

from library.text import normalise_title


class Catalogue:
    def __init__(self):
        self._books = {}

    def add(self, title, shelf):
        self._books[normalise_title(title)] = (title, shelf)

    def find(self, title):
        """(title, shelf) or None."""
        return self._books.get(normalise_title(title))

    def titles(self):
        return [title for _, (title, _) in sorted(self._books.items())]
