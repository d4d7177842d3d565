"""Text as people type it, made comparable."""

import re
import unicodedata

ARTICLES = ("the", "a", "an")
_SPACE = re.compile(r"\s+")


def squeeze(text):
    """One space where there were many."""
    return _SPACE.sub(" ", text).strip()


def plain(text):
    """Without accents."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if not unicodedata.combining(c))


def normalise_title(title):
    """The form that titles are sorted and compared by."""
    words = plain(squeeze(title)).lower().split(" ")
    if len(words) > 1 and words[0] in ARTICLES:
        words = [*words[1:], words[0]]
    return " ".join(words)
