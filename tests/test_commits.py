"""`sica bench mine`: commits of a repository that is made here, judged by their own tests in real boxes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import sica

from sica import benchcheck, wheels
from sica.benchmarks import open_benchmark
from sica.mining import commits
from sica.mining.candidates import Candidate, Yield
from sica.mining.folder import write
from sica.mining.packages import Packages
from sica.mining.running import Bench
from sica.mining.source import Source, open_source
from sica.mining.verdicts import Verdicts
from sica.mining.work import Work
from sica.model import File
from sica.ports import Sandbox

Tree = Mapping[str, str]
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
LIBRARY = "def add(a, b):\n    return a + b\n\n\ndef clamp(value, low, high):\n    return max(low, value)\n"
TESTS = """from cal import add, clamp


def test_add():
    assert type(add(1, 2)) is int
    assert add(1, 2) == 3
"""
CLAMPED = LIBRARY.replace(
    "    return max(low, value)\n", "    value = max(low, value)\n    return min(high, value)\n"
)
CLAMP_TEST = TESTS + "\n\ndef test_clamp():\n    assert clamp(9, 0, 5) == 5\n"
MEAN = (
    CLAMPED
    + "\n\ndef mean_of(numbers, default=0):\n    return sum(numbers) / len(numbers) if numbers else default\n"
)
MEAN_TEST = CLAMP_TEST.replace("import add, clamp", "import add, clamp, mean_of") + (
    "\n\ndef test_mean():\n    assert mean_of([1, 3]) == 2\n    assert mean_of([], default=7) == 7\n"
)
FLAKY_TEST = MEAN_TEST + (
    "\n\ndef test_odd():\n    import os\n\n    assert add(1, 1) == 2 + int(os.environ['PYTHONHASHSEED'])\n"
)
ODD = FLAKY_TEST.replace("add(1, 1)", "__import__('cal').ONE")
ODD += ODD[ODD.index("\n\ndef test_odd") :].replace("test_odd", "test_odder") + "".join(
    f"\n\ndef test_even_{n}():\n    assert __import__('cal').ONE == 2\n" for n in range(3)
)
"""Two of five tests that the change makes pass hang on chance: four would have to hold."""

HISTORY: list[tuple[str, Tree]] = [
    ("start", {"cal.py": LIBRARY, "test_cal.py": TESTS}),
    ("Clamp at both ends", {"cal.py": CLAMPED, "test_cal.py": CLAMP_TEST}),
    (
        "Add a mean\n\nThe mean of no numbers is the default. Everything else is arithmetic.\n"
        "\nSigned-off-by: A <a@b>\n",
        {"cal.py": MEAN, "test_cal.py": MEAN_TEST, "docs.md": "mean\n"},
    ),
    ("comments", {"cal.py": MEAN.replace("def add", "# adds\n# a\ndef add"), "test_cal.py": MEAN_TEST + "\n"}),
    ("code alone", {"cal.py": MEAN + "\n\nTEN = 10\n"}),
    ("no failure", {"cal.py": MEAN + "\n\nTEN = 10\nONE = 1\nNINE = 9\n", "test_cal.py": MEAN_TEST + "\n# a\n"}),
    ("chance", {"cal.py": MEAN + "\n\nTEN = 11\nONE = 2\n", "test_cal.py": ODD}),
    ("broken", {"cal.py": MEAN + "\n\nTEN = 11\nONE = 3\nTWO = 2\n", "test_cal.py": "import nowhere_at_all\n"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a library") / "cal"
    folder.mkdir()

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), *IDENTITY, *words], check=True, capture_output=True)

    git("init", "-q")
    for message, files in HISTORY:
        for path, text in files.items():
            (folder / path).write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", message)
    return folder


@pytest.fixture(scope="module")
def source(repo: Path) -> Source:
    return open_source(repo)


@pytest.fixture(scope="module")
def made(
    source: Source, box: Sandbox, runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Candidate], Yield]:
    told = Yield()
    bench = Bench(box, wheels.directory(wheels.PYTEST, wheels.python_of(box), runtime))
    found = commits.candidates(
        source, 0, 9, 99, 99, lambda _: bench, lambda _: Packages(wheels.PYTEST),
        Verdicts(tmp_path_factory.mktemp("work") / "verdicts", {}), told, lambda _: None,
    )  # fmt: skip
    return {candidate.name.rpartition("-")[0]: candidate for candidate in found}, told


def test_what_fails_before_and_passes_after_is_the_task(made: tuple[dict[str, Candidate], Yield]) -> None:
    found, told = made
    assert {*found} == {"mine-clamp-at-both-ends", "mine-add-a-mean"}
    assert told.looked == 7
    assert dict(told.reasons) == {"TRIVIAL": 1, "NO_TESTS": 1, "NO_F2P": 1, "FLAKY": 1, "GOLD_ENV_BROKEN": 1}
    clamp = found["mine-clamp-at-both-ends"]
    assert json.loads(clamp.tests["log.json"].data) == {
        "parser": "pytest", "told": True, "passed": ["test_cal.py::test_clamp"], "kept": ["test_cal.py::test_add"],
    }  # fmt: skip
    assert clamp.answer["cal.py"].data == CLAMPED.encode()
    assert clamp.level == 1


def test_a_subject_alone_shows_its_tests_and_a_body_hides_them(
    made: tuple[dict[str, Candidate], Yield],
) -> None:
    clamp, mean = made[0]["mine-clamp-at-both-ends"], made[0]["mine-add-a-mean"]
    assert (clamp.facts["tier"], mean.facts["tier"]) == ("D", "B")
    assert clamp.workspace is not None
    assert clamp.workspace["test_cal.py"].data == CLAMP_TEST.encode()
    assert "test_cal.py::test_clamp" in clamp.instruction
    assert "assert clamp(9, 0, 5) == 5" in clamp.instruction
    assert mean.workspace is not None
    assert mean.workspace["test_cal.py"].data == CLAMP_TEST.encode(), "the parent's"
    assert mean.tests["files/test_cal.py"].data == MEAN_TEST.encode()
    assert "The mean of no numbers is the default." in mean.instruction
    assert "Signed-off-by" not in mean.instruction
    assert "test_mean" not in mean.instruction


def test_a_changelog_is_quoted_by_whole_entries(source: Source) -> None:
    log = "# News\n\n## 2.0\n\n- Old thing.\n\n- A thing of many words\n  that was\n\n  And more.\n- Last.\n"
    after = {"CHANGELOG.md": File(log.replace("that was", "that was changed").encode())}
    commit = next(iter(source.log(1)))
    work = Work(commit, {"CHANGELOG.md": File(log.encode())}, after, [], ["CHANGELOG.md"], 2)
    assert commits.statement(work) == (
        "C",
        "broken\n\n- A thing of many words\n  that was changed\n\n  And more.",
    )


def test_pull_requests_are_merges_and_squashed_commits(box: Sandbox, runtime: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cal"
    folder.mkdir()

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), *IDENTITY, *words], check=True, capture_output=True)

    def commit(message: str, code: str, tests: str) -> None:
        (folder / "cal.py").write_text(code)
        (folder / "test_cal.py").write_text(tests)
        git("add", "-A")
        git("commit", "-q", "-m", message)

    git("init", "-q", "-b", "trunk")
    commit("start", LIBRARY, TESTS)
    git("checkout", "-q", "-b", "side")
    commit("half of it", CLAMPED, TESTS)
    commit("the other half", CLAMPED, CLAMP_TEST)
    git("checkout", "-q", "trunk")
    git("merge", "-q", "--no-ff", "side", "-m", "Merge pull request #7 from a/side\n\nClamp at both ends")
    commit("Add a mean (#9)", MEAN, MEAN_TEST)
    commit("no pull request", MEAN + "\nTEN = 10\n", MEAN_TEST + "\n# a\n")
    told = Yield()
    bench = Bench(box, wheels.directory(wheels.PYTEST, wheels.python_of(box), runtime))
    issues = commits.read_issues(b'[{"number": 9, "title": "No mean", "body": "Of none it is the default."}]')
    found = commits.candidates(
        open_source(folder), 0, 9, 99, 99, lambda _: bench, lambda _: Packages(wheels.PYTEST),
        Verdicts(tmp_path / "verdicts", {}), told, lambda _: None, True, issues,
    )  # fmt: skip
    made = {candidate.name.rpartition("-")[0]: candidate for candidate in found}
    assert {name: c.facts["tier"] for name, c in made.items()} == {
        "mine-clamp-at-both-ends": "D",
        "mine-add-a-mean-9": "A",
    }
    assert dict(told.reasons) == {"NO_PULL": 1}
    assert "Of none it is the default." in made["mine-add-a-mean-9"].instruction
    assert made["mine-clamp-at-both-ends"].answer["cal.py"].data == CLAMPED.encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "a list of issues is wanted"),
        ("[1]", "no issue with number and title: 1"),
        ("x", "Expecting value"),
    ],
)
def test_a_file_that_holds_no_issues_is_refused(repo: Path, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "issues.json").write_text(text)
    ran = sica(tmp_path, "bench", "mine", str(repo), "--to", "out", "--issues", "issues.json")
    assert ran.code == 2 and says in ran.err, ran.err


def test_an_issue_that_quotes_the_change_is_no_statement(source: Source) -> None:
    commit = next(iter(source.log(1)))
    line = "    return sum(numbers) / len(numbers) if numbers else default\n"
    before, after = File(b"def mean(numbers):\n    return 0\n"), File(f"def mean(numbers):\n{line}".encode())
    work = Work(commit, {"cal.py": before}, {"cal.py": after}, [], ["cal.py"], 2)
    assert commits.quotes_answer(work, f"Why not:\n```\n{line}```")
    assert not commits.quotes_answer(work, "The mean should be sum(numbers) / len(numbers).")


LONG = "    return sum(numbers) / len(numbers) if numbers else default\n"


@pytest.mark.parametrize(
    ("shown", "known", "leaks"),
    [
        (f"def test_mean():\n    def mean(numbers, default):\n    {LONG}", "", True),
        (f"PATCH = '''\n+{LONG}'''\n", "", True),
        (f"def mean(numbers, default):\n{LONG}", f"def other(numbers, default):\n{LONG}", False),
        ("from somewhere.far.away import one, another, third\n", "", False),
        ("class Mine:\n    def mean_of(self, numbers, default_of_nothing=0):\n        return 1\n", "", False),
        ("HELP = '''\n    The mean of numbers; of none it is the default.\n'''\n", "", False),
    ],
    ids=["a copy", "a patch as data", "a line that was there", "an import", "a heading", "text"],
)
def test_shown_tests_that_hold_the_change_leak(source: Source, shown: str, known: str, leaks: bool) -> None:
    code = (
        "from somewhere.far.away import one, another, third\n\n\n"
        'class Mean:\n    def mean_of(self, numbers, default_of_nothing=0):\n        """Mean.\n\n'
        f'        The mean of numbers; of none it is the default.\n        """\n    {LONG}'
    )
    before = {"cal.py": File(b"ONE = 1\n"), "old.py": File(known.encode())}
    after = before | {"cal.py": File(code.encode()), "tests/data.py": File(shown.encode())}
    work = Work(next(iter(source.log(1))), before, after, ["tests/data.py"], ["cal.py"], 2)
    assert commits.shows_answer(work, work.shown) is leaks
    assert not commits.shows_answer(work, work.before), "where tests are hidden nothing can"


def test_names_that_nobody_could_know_are_told_without_their_bodies(
    made: tuple[dict[str, Candidate], Yield],
) -> None:
    mean = made[0]["mine-add-a-mean"]
    assert "cal.py: def mean_of(numbers, default=0)" in mean.instruction
    assert "sum(numbers)" not in mean.instruction
    assert not made[0]["mine-clamp-at-both-ends"].facts["interface"]


def test_nothing_of_a_later_commit_reaches_a_workspace(made: tuple[dict[str, Candidate], Yield]) -> None:
    for candidate in made[0].values():
        assert candidate.workspace is not None
        for data in (file.data for file in candidate.workspace.values()):
            assert data not in {file.data for file in candidate.answer.values()}
        assert not any(path.startswith(".git") for path in candidate.workspace)


def test_every_task_passes_every_check(
    made: tuple[dict[str, Candidate], Yield], source: Source, box: Sandbox, runtime: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tasks of mine"
    write(list(made[0].values()), source, out, {"kind": "mine", "seed": 0}, made[1], lambda n, name: None)
    benchmark = open_benchmark(str(out), runtime=runtime)
    results = list(benchcheck.check(benchmark, box, benchmark.selected()))
    assert [(r.task, r.rule, r.why) for r in results if r.verdict not in ("ok", "advice")] == []


def test_the_command_tells_the_yield_by_reason(repo: Path, tmp_path: Path) -> None:
    words = (
        "bench",
        "mine",
        str(repo),
        "--to",
        "out",
        "--max",
        "1",
        "--look",
        "7",
        "--sandbox",
        "bubblewrap",
        "--json",
    )
    ran = sica(tmp_path, *words, "--heldout", "1")
    assert ran.code == 0, ran.err
    assert len(ran.json["tasks"]) == 1
    assert ran.json["looked_at"] == 7
    assert ran.json["left_out"]["TRIVIAL"] == 1
    assert 'split = "heldout"' in next((tmp_path / "out").glob("*/task.toml")).read_text()
    assert not (tmp_path / ".out.work").exists()
