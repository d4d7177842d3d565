"""The tools, run as the loop runs them."""

import os
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from seed import agents, loop, model, settings, tools
from seed.tools import bash


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(folder.name)
        self.agent = loop.Agent(agents.MAIN, "", model.Model("http://127.0.0.1:9", "m", {}))

    def run_tool(self, name, **arguments):
        return tools.modules()[name].run(arguments, self.agent)


class Files(InAFolder):
    def test_a_view_shows_numbered_lines_and_where_they_stand(self):
        Path("a.txt").write_text("one\ntwo\nthree\n")
        shown = self.run_tool("open_file", path="a.txt", start=2).splitlines()
        self.assertEqual(shown[0], "[view a.txt: lines 2-3 of 3]")
        self.assertEqual(shown[1].split(), ["2", "two"])

    def test_a_view_shows_at_most_one_window(self):
        Path("a.txt").write_text("line\n" * (settings.VIEW_LINES + 5))
        self.assertEqual(len(self.run_tool("open_file", path="a.txt").splitlines()), 1 + settings.VIEW_LINES)

    def test_open_files_may_not_hold_more_than_is_allowed(self):
        Path("a").write_text("x" * 60)
        Path("b").write_text("x" * 60)
        with mock.patch.object(settings, "OPEN_BYTES", 100):
            self.run_tool("open_file", path="a")
            with self.assertRaisesRegex(ValueError, "close some: a"):
                self.run_tool("open_file", path="b")
            self.run_tool("close_file", path="a")
            self.run_tool("open_file", path="b")

    def test_overwriting_writes_exactly_the_content_and_makes_folders(self):
        self.run_tool("overwrite", path="new/a.txt", content="é\r\n")
        self.assertEqual(Path("new/a.txt").read_bytes(), "é\r\n".encode())
        self.run_tool("overwrite", path="new/a.txt", content="again")

    def test_what_was_not_seen_is_not_overwritten(self):
        Path("a").write_text("precious")
        with self.assertRaisesRegex(ValueError, "open it first"):
            self.run_tool("overwrite", path="a", content="b")
        self.run_tool("open_file", path="a")
        Path("a").write_text("changed behind its back")
        with self.assertRaisesRegex(ValueError, "changed on disk"):
            self.run_tool("overwrite", path="a", content="b")
        self.assertEqual(Path("a").read_text(), "changed behind its back")

    def test_a_change_on_disk_is_told_once_and_then_known(self):
        Path("a").write_text("one\ntwo\n")
        self.run_tool("open_file", path="a")
        Path("a").write_text("one\n2\n")
        told = self.agent.files.refresh()
        self.assertIn("-two\n+2", told)
        self.assertEqual(self.agent.files.refresh(), "")
        self.run_tool("overwrite", path="a", content="b")
        Path("a").unlink()
        self.assertIn("gone", self.agent.files.refresh())


class Bash(InAFolder):
    def test_shows_output_and_exit_code(self):
        self.assertEqual(self.run_tool("bash", command="echo hi; exit 3"), "hi\n[exit code 3]")

    def test_a_long_output_is_cut_and_says_so(self):
        text = bash.clip("x" * settings.OUTPUT_KEPT + "y", self.agent.facts)
        self.assertIn("1 characters are not shown", text)
        self.assertEqual(self.agent.facts["outputs cut"], 1)

    def test_either_end_can_be_kept(self):
        text = "a" * settings.OUTPUT_KEPT + "b" * settings.OUTPUT_KEPT
        for end, first, last in (("head", "a", "]"), ("tail", "[", "b"), ("both", "a", "b")):
            with mock.patch.object(settings, "OUTPUT_END", end):
                shown = bash.clip(text, self.agent.facts)
                self.assertEqual((shown[0], shown[-1]), (first, last))

    def test_a_command_that_takes_too_long_is_ended_with_what_it_started(self):
        started = time.monotonic()
        with mock.patch.object(settings, "BASH_SECONDS", 0.2):
            shown = self.run_tool("bash", command="echo printed; sleep 60 & echo $! > child; sleep 60")
        self.assertLess(time.monotonic() - started, 30)
        self.assertTrue(shown.startswith("printed\n[timed out"))
        self.assertEqual(self.agent.facts["commands timed out"], 1)
        child = int(Path("child").read_text())
        while alive(child) and time.monotonic() < started + 30:
            time.sleep(0.005)  # killed, and the kernel may take a moment over it
        self.assertFalse(alive(child))


class Search(InAFolder):
    def test_finds_lines_also_with_dashes_in_pattern_and_path(self):
        Path("-dir").mkdir()
        Path("-dir/-a.py").write_text("x = 1\n--flag\n")
        Path("b.txt").write_text("--flag\n")
        self.assertEqual(self.run_tool("search", pattern="--flag", where="-dir"), "-dir/-a.py:2: --flag")
        self.assertEqual(self.run_tool("search", pattern="-{2}flag", names="*.txt"), "b.txt:1: --flag")
        self.assertEqual(self.run_tool("search", pattern="nowhere"), "no match")

    def test_passes_over_what_is_no_text_and_caps_the_hits(self):
        Path("a.bin").write_bytes(b"hit\0hit")
        Path("a.txt").write_text("hit\n" * (settings.SEARCH_HITS + 3))
        shown = self.run_tool("search", pattern="hit").splitlines()
        self.assertEqual(
            (len(shown), shown[-1]), (settings.SEARCH_HITS + 1, "[output cut: 3 more hits are not shown]")
        )

    def test_says_what_is_wrong_with_a_pattern(self):
        with self.assertRaisesRegex(ValueError, "no regular expression"):
            self.run_tool("search", pattern="(")


class Directory(InAFolder):
    def test_honours_the_depth(self):
        Path("a/b/c").mkdir(parents=True)
        Path("a/b/c/d.txt").write_text("123")
        Path("a/e.txt").write_text("1")
        self.assertEqual(self.run_tool("directory", path="a", depth=1), "a/\n  b/\n  e.txt  1")
        self.assertIn("d.txt  3", self.run_tool("directory", path="a", depth=3))


class Calculate(InAFolder):
    def test_works_out_arithmetic(self):
        for text, value in (
            ("2 + 3 * 4", "14"),
            ("sqrt(16) / 2", "2.0"),
            ("-(2 ** 10) % 7", "5"),
            ("max(1, 2.5)", "2.5"),
        ):
            self.assertEqual(self.run_tool("calculate", expression=text), value)

    def test_refuses_what_is_no_arithmetic_or_would_take_long(self):
        for text in ("9 ** 9 ** 9", "().__class__", "open('a')", "1 / 0", "2 *", "'a' * 9", "True + 1", "x"):
            with self.assertRaises(ValueError, msg=text):
                self.run_tool("calculate", expression=text)


def alive(pid):
    """Whether a process runs; one that only waits for its parent to notice its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    unittest.main()
