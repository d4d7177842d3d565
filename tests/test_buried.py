"""Changes that no test can tell, and a history that is made of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sica.histories import History
from sica.mining import buried, harmless
from sica.mining.harmless import Rough, roughened, roughs
from sica.mining.mutants import Edit, edits
from sica.model import File

MODULE = '''"""Sums."""

import json


def parse(text, sep=","):
    """Take a text apart.

    Empty parts count for nothing: \N{SNOWMAN}
    """
    found = []
    # an empty part is nobody's
    # and says nothing
    for part in text.split(sep):
        stripped = part.strip()
        if stripped:
            found.append(stripped)
    total = len(found) + 1
    return found, total


def dump(value):
    """Write it down."""
    total = value * 2
    made = json.dumps(dict(total=total, list=[value for value in range(total)]))  # noqa: C416
    return made
'''.encode()


def run(source: bytes) -> object:
    known: dict[str, object] = {}
    exec(source, known)
    return known["parse"](" a,,b "), known["dump"](2)  # type: ignore[operator]


def test_each_kind_is_found_and_tells_what_stood_there_before() -> None:
    found = {(each.kind, roughened(MODULE, [each.spans])) for each in roughs(MODULE)}
    for kind, new, old in (
        ("comment", "    # an empty part is nobody's\n    # and says nothing\n", ""),
        ("docstring", "apart.\n\n    Empty parts count for nothing: \N{SNOWMAN}\n    ", "apart."),
        ("docstring", "down.", "down"),
        ("brackets", "return made", "return (made)"),
        ("brackets", "len(found) + 1", "(len(found) + 1)"),
    ):
        assert (kind, MODULE.replace(new.encode(), old.encode())) in found, new
    names = {
        (MODULE[slice(*each.spans[0][:2])], len(each.spans)) for each in roughs(MODULE) if each.kind == "name"
    }
    assert names == {(b"found", 4), (b"part", 2), (b"stripped", 3), (b"total", 2), (b"made", 2)}
    assert not any(b"noqa" not in text for _, text in found), "what programs read stays"


@given(st.data())
def test_any_of_them_at_once_leave_what_the_module_does(data: st.DataObject) -> None:
    chosen: list[Rough] = []
    for each in data.draw(st.lists(st.sampled_from(roughs(MODULE)), unique=True, min_size=1)):
        if not any(each.lines & other.lines for other in chosen):
            chosen.append(each)
    assert harmless.harmless(MODULE, chosen)
    assert run(roughened(MODULE, [each.spans for each in chosen])) == run(MODULE)


@pytest.mark.parametrize(
    "body",
    [
        "global n\n    n = 1",
        "n = 1\n    return lambda: n",
        "n = 1\n    return [n for n in range(3)]",
        "n = 1\n    import n",
        "n = 1\n    from a import b as n",
        "try:\n        n = 1\n    except E as n:\n        pass",
        "n = 1\n    return f'{n}'",
        "n = 1\n    return locals()",
        "n = 1\n    match 1:\n        case n:\n            pass",
        "def n(): pass\n    n = 2",
        "a = n",
        "a = 1",
    ],
)
def test_a_name_that_something_else_knows_stays(body: str) -> None:
    """An argument may be given by its name, too."""
    source = f"def f(a):\n    {body}\n".encode()
    assert not [each for each in roughs(source) if each.kind == "name"]


def test_a_change_that_is_none_or_means_something_is_not_harmless() -> None:
    at = MODULE.index(b"[]")
    assert not harmless.harmless(MODULE, [Rough("brackets", "f", ((at, at + 2, b"()"),), frozenset({9}))])
    assert not harmless.harmless(MODULE, [Rough("brackets", "f", ((at, at + 2, b"[]"),), frozenset({9}))])


def planned(seed: int) -> buried.Story:
    files = {f"src/m{n}.py": File(MODULE.replace(b"parse", b"parse%d" % n)) for n in range(8)}
    (bug,) = [each for each in edits(files["src/m1.py"].data) if each.operator == "negate_if"] or [
        next(each for each in edits(files["src/m1.py"].data) if each.operator == "arith")
    ]
    told = buried.story(files, "src/m1.py", bug, buried.pool(files), Random(seed))
    assert told is not None
    return told


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_a_history_ends_in_the_files_with_the_bug_and_hides_when_it_came(seed: int) -> None:
    told = planned(seed)
    last = len(told.steps)
    right = {**told.files, "src/m1.py": File(told.bug.applied(told.files["src/m1.py"].data))}
    assert told.tree(last) == right
    assert 1 <= told.at < last - 1
    for n, step in enumerate(told.steps):
        before, after = told.tree(n), told.tree(n + 1)
        assert [path for path in after if before[path] != after[path]] == [step.path]
        mended = {**after, step.path: File(_without(told, n, after[step.path].data))}
        assert mended == after if n != told.at else mended != after, "the bug came here and no earlier"
    assert told.steps[told.at].path == "src/m1.py"
    here = {line for each in told.steps[told.at].made for line in each.lines}
    later = {
        line
        for n, s in enumerate(told.steps)
        if n != told.at and s.path == "src/m1.py"
        for e in s.made
        for line in e.lines
    }
    assert all(abs(one - other) > buried.APART for one in here for other in later), "it can be reverted alone"
    assert all(
        any(_count(told.before[path], line) < n for line, n in lines.items()) for path, lines in told.kept
    )


def _without(told: buried.Story, n: int, data: bytes) -> bytes:
    """The file after so many commits, had the bug not come with this one."""
    only = buried.Story(told.files, Edit("x", 1, 0, 0, b"", ""), told.steps, told.at)
    return only.tree(n + 1)[told.steps[n].path].data if n == told.at else data


def _count(file: File, line: str) -> int:
    return file.data.decode().split("\n").count(line)


def test_too_little_to_change_makes_no_history() -> None:
    files = {"a.py": File(b"def f(a):\n    if a:\n        return 1\n    return 2\n")}
    (bug, *_) = edits(files["a.py"].data)
    assert buried.story(files, "a.py", bug, buried.pool(files), Random(1)) is None


def test_any_bytes_become_a_repository_around_the_files_that_lie_there(tmp_path: Path) -> None:
    history = History(Random(4))
    files = {
        '"odd".txt': File(b"quoted\n"),
        "a b/run.sh": File(b"#!/bin/sh\n", True),
        "data.bin": File(bytes(range(256))),
        ".gitattributes": File(b"* text=auto eol=crlf\n*.c filter=evil\n"),
        "w.c": File(b"one\r\ntwo\n"),
        ".gitignore": File(b"*.bin\n"),
    }
    first = history.commit({**files, "w.c": File(b"one\n")}, "Begin")
    second = history.commit(files, "Go on", first)
    history.refs |= {"refs/heads/main": second.id, "refs/tags/v1": first.id}
    opened = history.opened_around(buried.free(files, "open.sh"), "history.txt")
    repo = tmp_path / "a folder"
    for path, data in {**{path: file.data for path, file in files.items()}, **opened}.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_bytes(data)
    (repo / "a b/run.sh").chmod(0o755)
    subprocess.run(["sh", str(repo / "open.sh")], check=True, cwd=tmp_path)

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(repo), *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert git("rev-parse", "main", "v1").split() == [second.id, first.id]
    assert git("status", "--porcelain") == ""
    git("checkout", "-q", "v1")
    git("checkout", "-q", "main")
    assert (repo / "w.c").read_bytes() == b"one\r\ntwo\n"


def test_a_name_at_the_top_that_is_taken_is_not_used_again() -> None:
    assert buried.free({"open.sh": File(b""), "open_2.sh/x": File(b"")}, "open.sh") == "open_3.sh"
