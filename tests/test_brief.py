"""What is taken from what an improver leaves."""

from __future__ import annotations

from sica import brief
from sica.model import File


def test_the_note_names_the_commit_and_never_becomes_part_of_it() -> None:
    tree, note = brief.deliverable(
        {
            "a.py": File(b"1"),
            "CHANGE.md": File(b"# Keep the tail\n\nWhy: 3 of 9 were cut.\n"),
            ".git/config": File(b"[core]"),
            "x/__pycache__/a.pyc": File(b""),
        }
    )
    assert list(tree) == ["a.py"]
    assert brief.message(note, {}, tree) == ("Keep the tail", "Why: 3 of 9 were cut.")


def test_without_a_note_the_subject_says_which_files_changed() -> None:
    before = {"a": File(b"1"), "b": File(b"2"), "c": File(b"3")}
    assert brief.message("", before, {"a": File(b"9"), "d": File(b"")}) == ("change a, b and 2 more", "")
