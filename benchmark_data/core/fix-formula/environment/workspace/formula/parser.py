"""Tokens as a tree: ("number", 3.0), ("name", "x"), ("call", "min", [...]), (sign, left, right), ("minus", inner)."""


def parse(tokens):
    parser = _Parser(tokens)
    tree = parser.sum()
    if parser.left():
        raise ValueError(f"unexpected {parser.peek()!r}")
    return tree


class _Parser:
    def __init__(self, tokens):
        self._tokens = tokens
        self._at = 0

    def left(self):
        return len(self._tokens) - self._at

    def peek(self):
        """The next token's text; "" at the end."""
        return self._tokens[self._at][1] if self.left() else ""

    def take(self):
        if not self.left():
            raise ValueError("the formula ends too early")
        token = self._tokens[self._at]
        self._at += 1
        return token

    def expect(self, sign):
        if self.peek() != sign:
            raise ValueError(f"expected {sign!r}, found {self.peek()!r}")
        self.take()

    def sum(self):
        tree = self.product()
        while self.peek() in ("+", "-"):
            _, sign = self.take()
            tree = (sign, tree, self.product())
        return tree

    def product(self):
        tree = self.power()
        while self.peek() in ("*", "/"):
            _, sign = self.take()
            tree = (sign, tree, self.power())
        return tree

    def power(self):
        base = self.atom()
        if self.peek() == "^":
            self.take()
            return ("^", base, self.power())
        return base

    def atom(self):
        kind, text = self.take()
        if kind == "number":
            return ("number", float(text))
        if kind == "name":
            return self.call(text) if self.peek() == "(" else ("name", text)
        if text == "-":
            return ("minus", self.power())
        if text == "(":
            tree = self.sum()
            self.expect(")")
            return tree
        raise ValueError(f"unexpected {text!r}")

    def call(self, name):
        self.expect("(")
        arguments = [self.sum()]
        while self.peek() == ",":
            self.take()
            arguments.append(self.sum())
        self.expect(")")
        return ("call", name, arguments)
