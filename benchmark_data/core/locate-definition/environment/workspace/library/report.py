"""The catalogue as text."""

from library.text import normalise_title, squeeze


def index(titles):
    """Titles under their first letter."""
    groups = {}
    for title in sorted(titles, key=normalise_title):
        groups.setdefault(normalise_title(title)[:1].upper(), []).append(squeeze(title))
    return groups
