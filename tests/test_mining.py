"""Tasks from a repository: `sica bench locate` and `sica bench edits`, on repositories made here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from commands import sica
from hypothesis import given
from hypothesis import strategies as st

from sica.benchmarks import open_benchmark
from sica.errors import UsageError
from sica.mining import edits, locate
from sica.mining.candidates import Candidate, Yield, draw
from sica.mining.folder import manifest, write
from sica.mining.source import Change, Source, open_source
from sica.model import File

Tree = Mapping[str, str]
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


@pytest.fixture
def commit(tmp_path: Path) -> Callable[..., Path]:
    """Commits these files over what is there, in one repository per test."""
    repo = tmp_path / "proj"

    def run(*words: str) -> None:
        subprocess.run(["git", "-C", str(repo), *IDENTITY, *words], check=True, capture_output=True)

    def commit(files: Tree) -> Path:
        if not repo.exists():
            repo.mkdir()
            run("init", "-q")
        for path, text in files.items():
            target = repo / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
        run("add", "-A", "--force")
        run("commit", "-q", "-m", "more", "--allow-empty")
        return repo

    return commit


def found(repo: Path, seed: int = 0) -> dict[str, Candidate]:
    """Candidates by the place that is their answer."""
    made = locate.candidates(open_source(repo), seed, Yield())
    return {next(iter(c.answer.values())).data.decode().strip(): c for c in made}


# ── locate ────────────────────────────────────────────────────────────────────────────────────────

LIBRARY = {
    "src/lib/__init__.py": "from .core import Thing as Thing, make\nfrom .deep import again\n",
    "src/lib/core.py": "import functools\n\n\nclass Thing:\n    pass\n\n\n"
    "@functools.cache\ndef make():\n    return Thing()\n",
    "src/lib/deep/__init__.py": "from .inner import once as again\n",
    "src/lib/deep/inner.py": "async def once():\n    return 1\n",
    "app.py": "import lib\nfrom lib import make as build, again\n\n\n"
    "def main():\n    return build(), again(), lib.Thing\n",
}


def test_imports_are_followed_to_the_statement_itself(commit: Callable[..., Path]) -> None:
    known = found(commit(LIBRARY))
    assert set(known) == {"src/lib/core.py:4", "src/lib/core.py:9", "src/lib/deep/inner.py:1"}
    once = known["src/lib/deep/inner.py:1"]
    assert (once.facts["hops"], once.facts["aliased"], once.level) == (2, True, 4)
    assert "`again` is used in `app.py`, line 6" in once.instruction
    accepted = once.checks[0]["accept"]
    assert accepted["src/lib/deep/inner.py:1"] == 1
    assert accepted["src/lib/deep/__init__.py:1"] == accepted["src/lib/__init__.py:2"] == 0.5
    assert "app.py:2" not in accepted, "where the use itself was imported is no find"


@pytest.mark.parametrize(
    ("why", "changed"),
    [
        ("an argument of that name", {"app.py": "from lib import make\n\n\ndef f(make):\n    return make\n"}),
        ("a later assignment", {"app.py": "from lib import make\n\nmake = 1\nprint(make)\n"}),
        (
            "a fallback",
            {"app.py": "try:\n    from lib import make\nexcept ImportError:\n    make = None\nprint(make)\n"},
        ),
        (
            "an inner import",
            {"app.py": "from lib import make\n\n\ndef f():\n    from os import make\n    make()\n"},
        ),
        (
            "a name bound by match",
            {"app.py": "from lib import make\nmatch 1:\n    case make:\n        make\n"},
        ),
        ("a star on the way", {"src/lib/__init__.py": "from .core import *\nfrom .core import make\n"}),
        ("two definitions", {"src/lib/core.py": "def make():\n    pass\n\n\ndef make():\n    pass\n"}),
        (
            "a global statement",
            {"src/lib/core.py": "def make():\n    pass\n\n\ndef f():\n    global make\n"},
        ),
        ("outside the tree", {"src/lib/__init__.py": "from elsewhere import make\n"}),
        (
            "a circle",
            {"src/lib/__init__.py": "from .core import make\n", "src/lib/core.py": "from . import make\n"},
        ),
        ("two modules of one name", {"other/lib/__init__.py": "def make():\n    pass\n"}),
        ("a submodule of that name", {"src/lib/make.py": ""}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_in_doubt_is_not_asked(commit: Callable[..., Path], why: str, changed: Tree) -> None:
    base = {
        "src/lib/__init__.py": "from .core import make\n",
        "src/lib/core.py": "def make():\n    return 1\n",
        "app.py": "from lib import make\n\nprint(make)\n",
    }
    asked = {c.instruction for c in found(commit({**base, **changed})).values()}
    assert not any("used in `app.py`" in each for each in asked), why


def test_a_file_that_is_no_python_is_left_out_and_counted(commit: Callable[..., Path]) -> None:
    told = Yield()
    repo = commit({**LIBRARY, "old.py": "print 1\n"})
    assert list(locate.candidates(open_source(repo), 0, told))
    assert told.reasons["UNPARSED"] == 1


def test_more_code_moves_no_answer_and_no_dice(commit: Callable[..., Path]) -> None:
    """Dice depend on the item alone: of one revision, what else is asked does not change what is asked here."""
    repo = commit(LIBRARY)
    whole = found(repo)
    part = locate.candidates(open_source(repo, only=["src/*", "app.py"]), 0, Yield())
    assert {c.item: c.instruction for c in part} == {c.item: c.instruction for c in whole.values()}


def test_an_answer_file_never_covers_one_of_the_project(commit: Callable[..., Path]) -> None:
    known = found(commit({**LIBRARY, "answer.txt": "mine\n"}))
    assert {next(iter(c.answer)) for c in known.values()} == {"the-answer.txt"}


# ── edits ─────────────────────────────────────────────────────────────────────────────────────────


def applied(instruction: str, text: str) -> str:
    """What somebody makes who follows the instruction to the letter and has no other knowledge."""
    lines = text.removesuffix("\n").split("\n")
    places = []
    for part in instruction.split("```")[1].removeprefix("\n").removesuffix("\n").split("\n...\n"):
        marked = [(line[:2], line[2:]) for line in part.split("\n")]
        before = [line for mark, line in marked if mark != "+ "]
        (at,) = [n for n in range(len(lines)) if lines[n : n + len(before)] == before]
        places.append((at, len(before), [line for mark, line in marked if mark != "- "]))
    for at, size, after in sorted(places, reverse=True):
        lines[at : at + size] = after
    return "\n".join(lines) + "\n"


LONG = [f"value_{n} = {n}" for n in range(60)]


def one_edit(
    commit: Callable[..., Path], before: str, after: str, path: str = "src/conf.py"
) -> Candidate | str:
    commit({path: before})
    repo = commit({path: after})
    told = Yield()
    made = list(edits.candidates(open_source(repo), told))
    return made[0] if made else next(iter(told.reasons))


def test_the_words_suffice_to_make_the_edit(commit: Callable[..., Path]) -> None:
    after = [*LONG[:7], "value_7 = 70", *LONG[8:30], "inserted = 1", *LONG[30:50], *LONG[52:]]
    made = one_edit(commit, "\n".join(LONG) + "\n", "\n".join(after) + "\n")
    assert isinstance(made, Candidate)
    assert made.facts["hunks"] == 3
    assert applied(made.instruction, "\n".join(LONG) + "\n") == "\n".join(after) + "\n"


@given(data=st.data())
def test_any_edit_that_is_told_can_be_made_from_what_is_told(data: st.DataObject) -> None:
    """Files of lines that look alike, changed at random: either no place is told, or each place is the only one."""
    line = st.sampled_from(["a", "b", "    a", "", "...", "c = 1"])
    old = data.draw(st.lists(line, min_size=40, max_size=60))
    new = list(old)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(new) - 1))
        new[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.lists(st.sampled_from(["x", "y", "a"]), max_size=2)
        )
    texts = "\n".join(old) + "\n", "\n".join(new) + "\n"
    hunks = edits.told_apart(*([f"{line}\n" for line in lines] for lines in (old, new)))
    if hunks:
        assert applied(edits.instruction("f.py", hunks, texts), texts[0]) == texts[1]


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("SIZE", "a = 1\n", "a = 2\n"),
        ("TRIVIAL", "\n".join(LONG), "\n".join(["", *LONG])),
        ("TOO_BROAD", "\n".join(LONG * 3), "\n".join(["x"] * 180)),
        ("AMBIGUOUS", "same = 1\n" * 60, "same = 1\n" * 30 + "other = 1\n" + "same = 1\n" * 29),
        ("NO_TEXT", "\n".join(LONG), "\n".join(LONG) + "\0"),
    ],
)
def test_commits_that_make_no_task_are_left_out_with_a_reason(
    commit: Callable[..., Path], code: str, before: str, after: str
) -> None:
    assert one_edit(commit, before, after) == code


def test_lock_files_and_commits_of_two_files_are_left_out(commit: Callable[..., Path]) -> None:
    assert one_edit(commit, "\n".join(LONG), "\n".join(LONG[1:]), "uv.lock") == "GENERATED"
    repo = commit({"a.py": "1", "b.py": "2"})
    told = Yield()
    assert not list(edits.candidates(open_source(repo), told, look=1))
    assert told.reasons == {"MANY_FILES": 1}


def test_line_ends_are_told_and_kept(commit: Callable[..., Path]) -> None:
    old = "\r\n".join(LONG) + "\r\n"
    made = one_edit(commit, old, old.replace("value_9 = 9\r\n", "value_9 = 10\r\n"))
    assert isinstance(made, Candidate)
    assert "CR LF" in made.instruction and "\r" not in made.instruction
    assert made.answer["src/conf.py"].data.count(b"\r\n") == 60


def test_a_later_file_that_is_there_already_would_leak_the_answer(commit: Callable[..., Path]) -> None:
    before, after = "\n".join(LONG), "\n".join(LONG[1:])
    commit({"backup/conf.py": after})
    assert one_edit(commit, before, after) == "LEAK"


# ── folders ───────────────────────────────────────────────────────────────────────────────────────


def folder(source: Source, out: Path, seed: int = 0, most: int = 3) -> dict[str, bytes]:
    told = Yield()
    made = list(locate.candidates(source, seed, told))
    chosen = draw(made, most, lambda item: source.dice(seed, item).random())
    write(chosen, source, out, {"kind": "locate", "seed": seed}, told, lambda n, name: None)
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_the_same_repository_revision_and_seed_give_the_same_bytes(
    commit: Callable[..., Path], tmp_path: Path
) -> None:
    repo = commit(LIBRARY)
    first = folder(open_source(repo), tmp_path / "a")
    (repo / "app.py").write_text("the work tree has no say\n")
    clone = tmp_path / "elsewhere" / "proj"
    subprocess.run(["git", "clone", "-q", "--bare", str(repo), str(clone)], check=True)
    assert folder(open_source(clone), tmp_path / "b") == first
    assert not any(str(tmp_path).encode() in data for data in first.values())


def test_no_history_and_no_later_commit_reaches_a_workspace(
    commit: Callable[..., Path], tmp_path: Path
) -> None:
    commit({"src/conf.py": "\n".join(LONG), ".gitmodules": ""})
    repo = commit({"src/conf.py": "\n".join(["unheard_of = 1", *LONG])})
    told = Yield()
    source = open_source(repo)
    write(
        list(edits.candidates(source, told)),
        source,
        tmp_path / "t",
        {"kind": "edit"},
        told,
        lambda n, name: None,
    )
    (task,) = (tmp_path / "t").glob("edit-*")
    given = {p: p.read_bytes() for p in (task / "environment").rglob("*") if p.is_file()}
    assert given
    assert not any(b"unheard_of" in data or "/.git/" in str(path) for path, data in given.items())


def test_an_unfinished_folder_is_never_seen(commit: Callable[..., Path], tmp_path: Path) -> None:
    source = open_source(commit(LIBRARY))

    def stop(n: int, name: str) -> None:
        if n == 1:
            raise KeyboardInterrupt

    told = Yield()
    made = list(locate.candidates(source, 0, told))
    with pytest.raises(KeyboardInterrupt):
        write(made, source, tmp_path / "t", {"kind": "locate"}, told, stop)
    assert {p.name for p in tmp_path.iterdir()} == {"proj"}


def test_a_repository_that_is_too_large_for_a_box_is_refused(commit: Callable[..., Path]) -> None:
    repo = commit({"big": "x" * 50_000_000, "small.py": "1\n"})
    with pytest.raises(UsageError, match="48 MB"):
        open_source(repo)
    assert list(open_source(repo, only=["*.py"]).files) == ["small.py"]


def test_links_and_names_that_no_prompt_should_carry_are_left_out(commit: Callable[..., Path]) -> None:
    repo = commit({"a.py": "1\n", "b\x1b[31m.py": "2\n"})
    (repo / "link.py").symlink_to("/etc/passwd")
    assert list(open_source(commit({})).files) == ["a.py"]


def test_what_programs_left_behind_is_in_no_workspace(commit: Callable[..., Path]) -> None:
    left = ["__pycache__/a.cpython-312.pyc", "b.pyc", "c.pyo", "a.py.orig", "a.py.rej", "d/__pycache__/x.py"]
    before, after = "\n".join(LONG), "\n".join(LONG[1:])
    commit({"a.py": before, **dict.fromkeys(left, after)})
    source = open_source(commit({"a.py": after}))
    assert list(source.files) == ["a.py"]
    (made,) = edits.candidates(source, Yield(), look=1)
    assert list(source.files_at(made.commit)) == ["a.py"], (
        "and what lies there is no reason to leave a task out"
    )


def test_changes_are_told_by_path(commit: Callable[..., Path]) -> None:
    commit({"a.py": "1\n"})
    source = open_source(commit({"a.py": "2\n", "b.py": "3\n"}))
    (latest,) = list(source.log(1))
    assert source.changes(latest) == [
        Change("a.py", File(b"1\n"), File(b"2\n")),
        Change("b.py", None, File(b"3\n")),
    ]


# ── the commands ──────────────────────────────────────────────────────────────────────────────────


def test_made_tasks_pass_the_check(commit: Callable[..., Path], tmp_path: Path) -> None:
    commit({**LIBRARY, "tests/test_[a].py": "\n".join(LONG)})
    repo = commit({"tests/test_[a].py": "\n".join(LONG[1:])})
    for kind in ("locate", "edits"):
        made = sica(tmp_path, "bench", kind, str(repo), "--to", kind, "--max", "2", "--json")
        assert made.code == 0, made.err
        told = made.json
        assert told["repository"] == "proj" and told["tasks"]
        checked = sica(tmp_path, "bench", "check", kind, "--sandbox", "bubblewrap")
        assert checked.code == 0, checked.out + checked.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere", "--to", "t"], "nowhere: no git repository"),
        (["proj", "--to", "t", "--rev", "v9"], "no revision 'v9'"),
        (["proj", "--to", "t", "--only", "*.rs"], "nothing matches '*.rs'"),
        (["proj", "--to", "proj"], "there is something already"),
        (["proj", "--to", "t", "--only", "alone.py"], "no task can be made of it"),
    ],
)
def test_bad_words_are_answered(
    commit: Callable[..., Path], tmp_path: Path, words: list[str], says: str
) -> None:
    commit({**LIBRARY, "alone.py": "x = 1\n"})
    done = sica(tmp_path, "bench", "locate", *words)
    assert done.code == 2 and says in done.err, done.err
    assert not (tmp_path / "t").exists()


# ── refresh ───────────────────────────────────────────────────────────────────────────────────────


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_landed_since_comes_beside_the_tasks_that_are_there(
    commit: Callable[..., Path], tmp_path: Path
) -> None:
    commit({"src/conf.py": "\n".join(LONG)})
    commit({"src/conf.py": "\n".join(LONG[1:])})
    made = sica(tmp_path, "bench", "edits", "proj", "--to", "my tasks")
    assert made.code == 0, made.err
    old = tree(tmp_path / "my tasks")
    again = sica(tmp_path, "bench", "refresh", "my tasks", "--from", "proj")
    assert (again.code, "and seed 0 already" in again.err) == (2, True), again.err

    repo = commit({"src/conf.py": "\n".join([*LONG[1:40], "new = 1", *LONG[40:]])})
    (new,) = [c.name for c in edits.candidates(open_source(repo), Yield(), 1)]
    (tmp_path / "my tasks" / new).mkdir()  # as a killed run could have left it
    (tmp_path / "my tasks" / new / "task.toml").write_text("half of")
    added = sica(tmp_path, "bench", "refresh", "my tasks", "--from", "proj", "--json")
    assert added.code == 0, added.err
    assert (added.json["kept"], added.json["looked_at"]) == (1, 1)
    assert [task["name"] for task in added.json["tasks"]] == [new]
    now = tree(tmp_path / "my tasks")
    assert {p: d for p, d in now.items() if not p.startswith(f"{new}/") and p != "manifest.json"} == {
        p: d for p, d in old.items() if p != "manifest.json"
    }
    told = json.loads(now["manifest.json"])
    assert [round["names"] for round in told["rounds"]] == [[new]]
    assert (len(told["tasks"]), told["commit"]) == (2, json.loads(old["manifest.json"])["commit"])
    assert told["rounds"][0]["commit"] == open_source(repo).commit
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_another_seed_draws_others_and_never_one_twice(commit: Callable[..., Path], tmp_path: Path) -> None:
    commit(LIBRARY)
    assert sica(tmp_path, "bench", "locate", "proj", "--to", "t", "--max", "1").code == 0
    words = ("bench", "refresh", "t", "--from", "proj", "--max", "9")
    names = {p.name for p in (tmp_path / "t").iterdir()}
    more = sica(tmp_path, *words, "--seed", "1")
    assert more.code == 0, more.err
    assert "new task" in more.out and "beside 1 that stay" in more.out
    assert names < {p.name for p in (tmp_path / "t").iterdir()}
    none = sica(tmp_path, *words, "--seed", "2")
    assert (none.code, "no new task can be made of it" in none.err) == (2, True), none.err


def test_a_folder_that_cannot_be_made_again_is_refused(commit: Callable[..., Path], tmp_path: Path) -> None:
    repo = commit(LIBRARY)
    source = open_source(repo)
    folder(source, tmp_path / "t", most=1)
    repo.rename(tmp_path / "other")
    done = sica(tmp_path, "bench", "refresh", "t", "--from", "other")
    assert (done.code, "other: is other, and the tasks are of proj" in done.err) == (2, True), done.err
    (task,) = (p.parent.name for p in (tmp_path / "t").glob("*/task.toml"))
    done = sica(tmp_path, "bench", "refresh", f"t/{task}")
    assert (done.code, f"t/{task}: is one task" in done.err) == (2, True), done.err
    seeded = tmp_path / "seeded"
    seeded.mkdir()
    for text, says in (
        ('{"schema": "sica.made/1", "suite": "smoke", "seed": 1}', "of no repository"),
        ('{"schema": "x"}', "schema = 'x'"),
        ("{", "manifest.json: Expecting"),
    ):
        (seeded / "manifest.json").write_text(text)
        with pytest.raises(UsageError, match=says):
            manifest(seeded)
    with pytest.raises(UsageError, match="No such file"):
        manifest(tmp_path)


def test_what_does_not_hold_any_more_is_left_out_until_it_does(
    commit: Callable[..., Path], tmp_path: Path
) -> None:
    commit({"src/conf.py": "\n".join(LONG)})
    commit({"src/conf.py": "\n".join(LONG[1:])})
    commit({"src/conf.py": "\n".join(LONG[2:])})
    sica(tmp_path, "bench", "edits", "proj", "--to", "t")
    task, other = sorted(p.parent for p in (tmp_path / "t").glob("*/task.toml"))
    right = (task / "solution/solve.sh").read_text()
    (task / "solution/solve.sh").write_text("#!/bin/bash\n")
    words = ("bench", "refresh", "t", "--sandbox", "bubblewrap")
    found = sica(tmp_path, *words, "--exit-code", "--json")
    assert found.code == 5, found.err
    ((entry,), [], []) = (found.json[key] for key in ("quarantined", "back", "faults"))
    assert (entry["task"], entry["rule"], entry["code"]) == (task.name, "oracle", "ORACLE_FAILS")
    told = json.loads((tmp_path / "t/quarantine.json").read_text())
    assert (
        set(told["tasks"]) == {task.name} and len(told["outcome"]) == 64 and told["sandbox"] == "bubblewrap"
    )
    benchmark = open_benchmark(str(tmp_path / "t"))
    assert [t.name for t in benchmark.tasks()] == [other.name]
    assert "quarantined: oracle: " in benchmark.unsupported[task.name][0]
    assert "quarantined" in open_benchmark(str(task)).unsupported[task.name][0]
    with pytest.raises(UsageError, match="cannot be run: quarantined"):
        open_benchmark(str(task)).tasks()

    (task / "solution/solve.sh").write_text(right)
    assert open_benchmark(str(tmp_path / "t")).unsupported == {}, "a mended task is another one"
    back = sica(tmp_path, *words, "--exit-code")
    assert (back.code, f"{task.name}  holds again" in back.out) == (0, True), back.out + back.err
    assert "2 tasks, 2 hold, 0 in quarantine" in back.out
    (tmp_path / "t/quarantine.json").write_text("[]")
    bad = sica(tmp_path, *words)
    assert (bad.code, "quarantine.json: not as `sica bench refresh` writes it" in bad.err) == (2, True), (
        bad.err
    )
