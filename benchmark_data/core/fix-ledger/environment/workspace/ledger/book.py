"""Entries in order, and what they come to."""

from ledger import money


class Book:
    def __init__(self):
        self.entries = []

    def enter(self, line):
        """Add "name amount"."""
        name, _, amount = line.rpartition(" ")
        self.entries.append((name, money.parse(amount)))

    def balance(self):
        return sum(amount for _, amount in self.entries)

    def statement(self):
        lines = [f"{name}: {money.show(amount)}" for name, amount in self.entries]
        return [*lines, f"balance: {money.show(self.balance())}"]
