"""Works out formulas with numbers, names, + - * / ^, parentheses, min and max."""

from formula.parser import parse
from formula.tokens import tokens
from formula.value import value


def work_out(text, names=None):
    """The number that a formula comes to. ValueError for a text that is not a formula."""
    return value(parse(tokens(text)), names or {})
