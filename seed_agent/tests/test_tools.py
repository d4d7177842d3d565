import os
import tempfile
import time
import unittest
from collections import Counter
from pathlib import Path
from unittest import mock

from seed import settings, tools
from seed.tools import bash


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder.name)
        self.facts = Counter()

    def run_tool(self, name, **arguments):
        return tools.run(name, arguments, self.facts)


class View(InAFolder):
    def test_shows_numbered_lines_and_where_they_stand(self):
        Path("a.txt").write_text("one\ntwo\nthree\n")
        shown = self.run_tool("view", path="a.txt", start=2).splitlines()
        self.assertEqual(shown[0], "[a.txt: lines 2-3 of 3]")
        self.assertEqual(shown[1].split(), ["2", "two"])

    def test_shows_at_most_one_window(self):
        Path("a.txt").write_text("line\n" * (settings.VIEW_LINES + 5))
        self.assertEqual(len(self.run_tool("view", path="a.txt").splitlines()), 1 + settings.VIEW_LINES)


class Overwrite(InAFolder):
    def test_writes_exactly_the_content_and_makes_folders(self):
        self.run_tool("overwrite", path="new/a.txt", content="é\r\n")
        self.assertEqual(Path("new/a.txt").read_bytes(), "é\r\n".encode())


class Bash(InAFolder):
    def test_shows_output_and_exit_code(self):
        self.assertEqual(self.run_tool("bash", command="echo hi; exit 3"), "hi\n[exit code 3]")

    def test_a_long_output_is_cut_and_says_so(self):
        text = bash.clip("x" * settings.OUTPUT_KEPT + "y", self.facts)
        self.assertIn("1 characters are not shown", text)
        self.assertEqual(self.facts["outputs cut"], 1)

    def test_a_timeout_ends_everything_the_command_started(self):
        with mock.patch.object(settings, "BASH_SECONDS", 0.3):
            before = time.monotonic()
            shown = self.run_tool("bash", command="sleep 60 & sleep 61")
        self.assertIn("timed out", shown)
        self.assertLess(time.monotonic() - before, 20)
        self.assertEqual(self.facts["commands timed out"], 1)


class Calls(InAFolder):
    def test_unknown_tools_and_missing_arguments_are_malformed(self):
        with self.assertRaises(ValueError):
            self.run_tool("fly")
        with self.assertRaises(KeyError):
            self.run_tool("view")
        with self.assertRaises(TypeError):
            tools.run("view", ["a.txt"], self.facts)

    def test_every_tool_says_what_it_needs(self):
        for schema in tools.schemas():
            with self.subTest(schema["function"]["name"]):
                self.assertEqual(schema["function"]["parameters"]["type"], "object")
                self.assertTrue(schema["function"]["description"])


if __name__ == "__main__":
    unittest.main()
