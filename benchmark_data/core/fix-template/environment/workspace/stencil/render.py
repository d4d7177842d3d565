"""A tree as text."""

from stencil.filters import apply


def render(tree, scope):
    return "".join(part(node, scope) for node in tree)


def part(node, scope):
    if node[0] == "text":
        return node[1]
    if node[0] == "name":
        path, *filters = [word.strip() for word in node[1].split("|")]
        return apply(scope.find(path), filters)
    if node[0] == "if":
        _, name, then, otherwise = node
        return render(then if scope.find(name) else otherwise, scope)
    return each(node, scope)


def each(node, scope):
    _, variable, name, body = node
    parts = []
    for value in scope.find(name):
        scope.enter({variable: value})
        parts.append(render(body, scope))
        scope.leave()
    return "".join(parts)
