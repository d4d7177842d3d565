import unittest

import ledger
from ledger import money


class Money(unittest.TestCase):
    def test_whole_amounts(self):
        self.assertEqual(money.parse("15"), 1500)

    def test_amounts_with_cents(self):
        self.assertEqual(money.parse("-12.30"), -1230)

    def test_shown_with_two_digits(self):
        self.assertEqual(money.show(-1205), "-12.05")


class Statement(unittest.TestCase):
    def test_ends_with_the_balance(self):
        self.assertEqual(ledger.statement(["a 1.50", "b -0.25"])[-1], "balance: 1.25")
