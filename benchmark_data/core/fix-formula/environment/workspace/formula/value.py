"""What a tree comes to."""

FUNCTIONS = {"min": min, "max": max}


def value(tree, names):
    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind == "name":
        return named(tree[1], names)
    if kind == "minus":
        return -value(tree[1], names)
    if kind == "call":
        return call(tree[1], [value(argument, names) for argument in tree[2]])
    return combine(kind, value(tree[1], names), value(tree[2], names))


def named(name, names):
    if name not in names:
        raise ValueError(f"no value for {name!r}")
    return names[name]


def call(name, arguments):
    if name not in FUNCTIONS:
        raise ValueError(f"no function {name!r}")
    return FUNCTIONS[name](arguments)


def combine(sign, left, right):
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if sign == "^":
        return left**right
    if right == 0:
        raise ValueError("division by zero")
    return left / right
