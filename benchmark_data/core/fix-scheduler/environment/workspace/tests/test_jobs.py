import unittest

import jobs
from jobs.parse import parse
from jobs.plan import Plan


class Rows(unittest.TestCase):
    maxDiff = None

    def test_a_chain_goes_in_order(self):
        rows = jobs.plan_text("a 3\nb 2 a\nc 1 b", 2)
        self.assertEqual(
            rows,
            [
                ["a", 0, 0, 3],
                ["b", 1, 3, 5],
                ["c", 0, 5, 6],
            ],
        )

    def test_two_wait_for_one(self):
        rows = jobs.plan_text("a 3\nb 2 a\nc 4 a", 2)
        self.assertEqual(
            rows,
            [
                ["a", 0, 0, 3],
                ["b", 0, 3, 5],
                ["c", 1, 3, 7],
            ],
        )

    def test_one_waits_for_two(self):
        rows = jobs.plan_text("a 3\nb 5\nc 1 a b", 3)
        self.assertEqual(
            rows,
            [
                ["b", 0, 0, 5],
                ["a", 1, 0, 3],
                ["c", 2, 5, 6],
            ],
        )

    def test_a_diamond(self):
        rows = jobs.plan_text("a 2\nb 3 a\nc 4 a\nd 1 b c", 2)
        self.assertEqual(
            rows,
            [
                ["a", 0, 0, 2],
                ["b", 0, 2, 5],
                ["c", 1, 2, 6],
                ["d", 0, 6, 7],
            ],
        )

    def test_a_long_chain(self):
        rows = jobs.plan_text("a 1\nb 1 a\nc 1 b\nd 1 c\ne 1 d", 3)
        self.assertEqual(
            rows,
            [
                ["a", 0, 0, 1],
                ["b", 1, 1, 2],
                ["c", 2, 2, 3],
                ["d", 0, 3, 4],
                ["e", 1, 4, 5],
            ],
        )

    def test_two_chains(self):
        rows = jobs.plan_text("a 2\nb 2 a\nx 3\ny 3 x", 2)
        self.assertEqual(
            rows,
            [
                ["x", 0, 0, 3],
                ["a", 1, 0, 2],
                ["b", 0, 3, 5],
                ["y", 1, 3, 6],
            ],
        )

    def test_urgent_goes_first(self):
        rows = jobs.plan_text("a 2\nb! 3\nc 1 b", 1)
        self.assertEqual(
            rows,
            [
                ["b", 0, 0, 3],
                ["a", 0, 3, 5],
                ["c", 0, 5, 6],
            ],
        )

    def test_more_workers_than_jobs(self):
        rows = jobs.plan_text("a 2\nb 2 a", 5)
        self.assertEqual(
            rows,
            [
                ["a", 0, 0, 2],
                ["b", 1, 2, 4],
            ],
        )

    def test_nothing_waits(self):
        rows = jobs.plan_text("a 1\nb 1\nc 1", 2)
        self.assertEqual(
            rows,
            [
                ["a", 0, 0, 1],
                ["b", 1, 0, 1],
                ["c", 0, 1, 2],
            ],
        )


class Lengths(unittest.TestCase):
    def test_length(self):
        self.assertEqual(jobs.length("a 3\nb 2 a\nc 4 a", 1), 9)

    def test_critical(self):
        self.assertEqual(jobs.critical("a 3\nb 2 a\nc 4"), ["a", "b"])

    def test_idle(self):
        self.assertEqual(Plan(parse("a 3\nb 2 a"), 2).idle(), [2, 3])

    def test_cycles_are_refused(self):
        with self.assertRaises(ValueError):
            jobs.length("a 1 b\nb 1 a", 1)
