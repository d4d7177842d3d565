"""Diffs are those of git: what we make it applies, and what it makes we apply."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sica import patches
from sica.patches import PatchError, applied, made, paths

LINE = st.text(alphabet="ab +-@\\\t\r", max_size=4)
TEXT = st.lists(LINE, max_size=12).map("\n".join).map(str.encode)
NAME = st.sampled_from(["a.py", "dir/b c.txt", "ü/\"q'.md", "+++ x", "tab\tbed", "deep/er/z"])
TREE = st.dictionaries(NAME, TEXT, max_size=4)


def git(folder: Path, *words: str) -> bytes:
    options = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.autocrlf=false"]
    return subprocess.run(["git", *options, *words], cwd=folder, capture_output=True, check=True).stdout


def lay(folder: Path, tree: dict[str, bytes]) -> None:
    for name, data in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def standing(folder: Path) -> dict[str, bytes]:
    every = (p for p in folder.rglob("*") if p.is_file() and ".git" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in every}


@settings(max_examples=40, deadline=None)
@given(TREE, TREE)
def test_git_applies_what_we_make(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    diff = made(before, after)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay(folder, before)
        if diff:
            (folder.parent / f"{folder.name}.diff").write_bytes(diff.encode())
            git(folder, "apply", "--whitespace=nowarn", str(folder.parent / f"{folder.name}.diff"))
        assert standing(folder) == after


@settings(max_examples=25, deadline=None)
@given(TREE, TREE)
def test_we_apply_what_git_makes(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        git(folder, "init", "-q")
        lay(folder, before)
        git(folder, "add", "-A", "-f")
        git(folder, "commit", "-qm", "1", "--allow-empty")
        for path in before:
            (folder / path).unlink()
        lay(folder, after)
        git(folder, "add", "-A", "-f")
        diff = git(folder, "diff", "--cached", "-M", "HEAD").decode()
    changed = applied(diff, before)
    assert {p: d for p, d in {**before, **changed}.items() if d is not None} == after
    assert set(changed) <= set(paths(diff))


@given(st.text(alphabet="-+ @0123456789,ab/\n\\", max_size=80))
def test_whatever_a_diff_says_it_is_applied_or_refused(words: str) -> None:
    for diff in (words, f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n{words}"):
        try:
            applied(diff, {"x": b"a\nb\n"})
        except PatchError:
            continue


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ".git/hooks/x"])
def test_a_diff_never_leaves_the_tree(path: str) -> None:
    diff = f"diff --git a/x b/x\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(PatchError, match="leaves the tree"):
        applied(diff, {})


def test_a_hunk_that_does_not_fit_is_refused() -> None:
    diff = made({"x": b"a\nb\n"}, {"x": b"a\nc\n"})
    with pytest.raises(PatchError, match="x: the hunk at line 1 does not fit"):
        applied(diff, {"x": b"other\n"})
    with pytest.raises(PatchError, match="no such file"):
        applied(diff, {})


def test_a_file_made_to_be_slow_is_not(tmp_path: Path) -> None:
    before, after = b"x\n" * 20_000, b"y\nx\nx\n" * 10_000
    began = time.process_time()
    diff = made({"a": before}, {"a": after})
    assert time.process_time() - began < 5
    assert applied(diff, {"a": before}) == {"a": after}


def test_it_runs_alone_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("old\n")
    (tmp_path / "d").write_text(made({"x.py": b"old\n"}, {"new/y.py": b"new\n"}))
    words = [sys.executable, "-I", patches.__file__, "d"]
    subprocess.run(words, cwd=tmp_path, check=True)
    assert standing(tmp_path).keys() == {"new/y.py", "d"}
