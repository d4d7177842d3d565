import unittest

from formula import work_out


class Formulas(unittest.TestCase):
    def test_one_number(self):
        self.assertEqual(work_out("4"), 4)

    def test_numbers_of_several_digits(self):
        self.assertEqual(work_out("3 * 15"), 45)

    def test_order(self):
        self.assertEqual(work_out("10 - 4 - 3"), 3)
        self.assertEqual(work_out("2 + 3 * 4"), 14)

    def test_names(self):
        self.assertEqual(work_out("2 * (width - 3)", {"width": 10}), 14)

    def test_functions(self):
        self.assertEqual(work_out("max(2, min(7, 5))"), 5)

    def test_errors(self):
        for text in ("", "2 +", "(1", "1 / 0", "a", "2 2"):
            with self.subTest(text), self.assertRaises(ValueError):
                work_out(text)
