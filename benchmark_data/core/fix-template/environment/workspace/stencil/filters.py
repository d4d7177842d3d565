"""What can stand behind a | in a name."""

FILTERS = {"upper": str.upper, "lower": str.lower, "title": str.title, "trim": str.strip}


def apply(value, names):
    text = str(value)
    for name in names:
        if name not in FILTERS:
            raise ValueError(f"no filter {name!r}")
        text = FILTERS[name](text)
    return text
