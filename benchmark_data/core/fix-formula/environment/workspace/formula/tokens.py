"""A formula's text as a list of (kind, text)."""

SIGNS = "+-*/^(),"


def tokens(text):
    """("number", "12"), ("name", "x") and ("sign", "+"), in order."""
    found = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text[at].isdigit():
            end = number_end(text, at)
            found.append(("number", text[at:end]))
            at = end
        elif text[at].isalpha() or text[at] == "_":
            end = name_end(text, at)
            found.append(("name", text[at:end]))
            at = end
        elif text[at] in SIGNS:
            found.append(("sign", text[at]))
            at += 1
        else:
            raise ValueError(f"unexpected {text[at]!r} at {at}")
    return found


def number_end(text, start):
    """Where the number that begins at start ends."""
    end = start + 1
    while end < len(text) - 1 and (text[end].isdigit() or text[end] == "."):
        end += 1
    return end


def name_end(text, start):
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return end
