"""calculate: arithmetic, and nothing that could take long."""

import ast
import math
import operator

TOOL = {
    "name": "calculate",
    "description": "Work out arithmetic: + - * / // % **, brackets, sqrt, log, exp, sin, cos, floor, ceil, "
    "abs, min, max, round, pi, e.",
    "parameters": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
    "example": {"expression": "sqrt(2) * (3 + 4) ** 2"},
}
MOST_BITS = 4096
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS = {n: getattr(math, n) for n in ("sqrt", "log", "exp", "sin", "cos", "floor", "ceil")}
_FUNCTIONS |= {"abs": abs, "min": min, "max": max, "round": round}


def run(arguments, agent):
    try:
        return str(_value(ast.parse(arguments["expression"], mode="eval").body))
    except (SyntaxError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{arguments['expression'][:80]!r}: {error}") from None


def _value(node):
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.Name) and node.id in ("pi", "e"):
        return getattr(math, node.id)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left), _value(node.right)
        _bounded(node.op, left, right)
        return _OPERATORS[type(node.op)](left, right)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _FUNCTIONS
        and not node.keywords
    ):
        return _FUNCTIONS[node.func.id](*(_value(argument) for argument in node.args))
    raise ValueError(f"only arithmetic, not {ast.unparse(node)[:80]!r}")


def _bounded(operation, left, right):
    """A power or a product of whole numbers that would not fit in a line is refused before it is worked out."""
    if not (isinstance(left, int) and isinstance(right, int)):
        return
    bits = (
        left.bit_length() * max(1, right)
        if isinstance(operation, ast.Pow)
        else left.bit_length() + right.bit_length()
    )
    if bits > MOST_BITS:
        raise ValueError("the result would be too large")
