"""A template's text as pieces: ("text", ...), ("name", ...), ("tag", ...)."""

OPEN = {"{{": ("name", "}}"), "{%": ("tag", "%}")}


def pieces(text):
    found = []
    at = 0
    while at < len(text):
        mark = next_mark(text, at)
        if mark > at:
            found.append(("text", text[at:mark]))
        if mark == len(text):
            break
        kind, close = OPEN[text[mark : mark + 2]]
        end = text.find(close, mark)
        if end < 0:
            raise ValueError(f"{close} is missing")
        found.append((kind, text[mark + 2 : end].strip()))
        at = end + 2
    return found


def next_mark(text, start):
    """Where the next {{ or {% stands; the end of the text when there is none."""
    places = [text.find(mark, start) for mark in OPEN]
    return min((place for place in places if place >= 0), default=len(text))
