"""Pieces as a tree: text and names as they are, ("if", name, then, else), ("each", variable, name, body)."""


def build(pieces):
    tree = []
    at = 0
    while at < len(pieces):
        kind, content = pieces[at]
        if kind != "tag":
            tree.append((kind, content))
            at += 1
            continue
        end = block_end(pieces, at)
        tree.append(block(content, pieces[at + 1 : end]))
        at = end + 1
    return tree


def block(content, inner):
    words = content.split()
    if words[0] == "if" and len(words) == 2:
        then, otherwise = split_at_else(inner)
        return ("if", words[1], build(then), build(otherwise))
    if words[0] == "each" and len(words) == 4 and words[2] == "in":
        return ("each", words[1], words[3], build(inner))
    raise ValueError(f"unknown tag {content!r}")


def opens(piece):
    return piece[0] == "tag" and piece[1].split()[0] in ("if", "each")


def block_end(pieces, start):
    """Where the tag that closes the block stands."""
    depth = 0
    for at in range(start, len(pieces)):
        if opens(pieces[at]):
            depth += 1
        elif pieces[at] == ("tag", "end"):
            depth -= 1
            if depth == 0:
                return at
    raise ValueError("{% end %} is missing")


def split_at_else(pieces):
    """What stands before and after the else of this very block."""
    depth = 0
    for at, piece in enumerate(pieces):
        if opens(piece):
            depth += 1
        elif piece == ("tag", "end"):
            depth -= 1
        elif piece == ("tag", "else") and not depth:
            return pieces[:at], pieces[at + 1 :]
    return pieces, []
