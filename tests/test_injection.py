"""`sica bench inject`: bugs put into a repository that is made here, judged by its own tests in real boxes."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from commands import sica
from hypothesis import given, settings
from hypothesis import strategies as st

from sica import benchcheck
from sica import wheels as shelf
from sica.benchmarks import open_benchmark
from sica.errors import UsageError
from sica.mining import inject
from sica.mining.candidates import Candidate, Yield
from sica.mining.folder import write
from sica.mining.mutants import Edit, edits, hunks, reverts
from sica.mining.packages import Packages, packages
from sica.mining.running import OTHERS, Bench, around_all
from sica.mining.source import Source, open_source
from sica.mining.verdicts import Verdicts
from sica.model import File
from sica.ports import Sandbox
from sica.wheels import Python, python_of

LIBRARY = '''"""Sums."""


def add(a, b):
    return a + b


def clamp(value, low, high):
    if value < low:
        return low
    # kept:  as   it is
    return high if value > high else value


def parts(text, sep=","):
    found = []
    for part in text.split(sep):
        if part and not part.isspace():
            found.append(part.strip())
    return found


def unused(a):
    return not a


def total(text):
    result = 0
    for part in parts(text):
        result = add(result, int(part))
    return clamp(result, 0, 100)
'''
TESTS = """import pytest

from cal import add, clamp, parts, total


@pytest.mark.parametrize("n", range(20))
def test_same(n):
    assert n == n


def test_sums():
    assert add(2, 3) == 5
    assert type(add(2, 3)) is int


def test_clamp():
    assert (clamp(5, 1, 3), clamp(0, 1, 3), clamp(2, 1, 3)) == (3, 1, 2)


def test_parts():
    assert parts("a,, b") == ["a", "b"]


def test_total():
    assert total("1,2") == 3
    assert total("99,99") == 100
"""
IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    dated = {**os.environ, "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    for words in (("init", "-q"), ("add", "-A"), (*IDENTITY, "commit", "-q", "-m", "one")):
        subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, env=dated)
    return folder


BESIDE = "".join(
    f'\n\ndef more_{n}(value):\n    """Say it.\n\n    At length.\n    """\n'
    f"    # why {n} and no other number\n    made = value + {n}\n    return made\n"
    for n in range(8)
)
FILES = {
    "src/cal/__init__.py": LIBRARY,
    "src/cal/beside.py": f'"""More."""\n{BESIDE}',
    "tests/test_cal.py": TESTS,
    "pyproject.toml": '[project]\nname = "cal"\n[dependency-groups]\ntest = ["pytest"]\n',
}


@pytest.fixture(scope="module")
def python(box: Sandbox) -> Python:
    return python_of(box)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return open_source(make(tmp_path_factory.mktemp("a library") / "cal", FILES))


@pytest.fixture(scope="module")
def bench(box: Sandbox, python: Python, runtime: Path) -> Bench:
    return Bench(box, shelf.directory(shelf.PYTEST, python, runtime))


def drawn(source: Source, bench: Bench, work: Path, most: int = 4) -> tuple[list[Candidate], Yield]:
    told = Yield()
    modules = inject.test_modules(source.files, ())
    found = inject.candidates(
        source, 3, most, 12, bench, Packages(shelf.PYTEST), modules, inject.STATEMENTS,
        Verdicts(work, {"commit": source.commit}), told, lambda _: None,
    )  # fmt: skip
    return list(found), told


@pytest.fixture(scope="module")
def made(
    source: Source, bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Candidate], Yield, Path]:
    work = tmp_path_factory.mktemp("work") / "verdicts"
    return (*drawn(source, bench, work), work)


# ── edits ─────────────────────────────────────────────────────────────────────────────────────────

EVERYTHING = b'''def f(a, b, *rest):
    """1 < 2 and True"""
    if (a) <= (b) and b not in rest:
        a.x = a * 3 - 1
    else:
        g(a, b)
    while True:
        if not a:
            break
        raise ValueError(f"{a + 1}")
    return "\xc3\xa4" if a is None or b else [b]
'''


def test_every_operator_finds_its_place_and_leaves_all_other_bytes() -> None:
    found = {(e.operator, EVERYTHING[e.start : e.end], e.text) for e in edits(EVERYTHING)}
    for wanted in (
        ("cmp", b"<=", b"<"),
        ("cmp", b"not in", b"in"),
        ("cmp", b"is", b"is not"),
        ("bool", b"and", b"or"),
        ("drop_operand", b"a is None or b", b"a is None"),
        ("negate_if", b"(a) <= (b) and b not in rest", b"not ((a) <= (b) and b not in rest)"),
        ("arith", b"*", b"+"),
        ("const", b"3", b"4"),
        ("flip_bool", b"True", b"False"),
        ("drop_not", b"not ", b""),
        ("drop_stmt", b"g(a, b)", b"pass"),
        ("swap_args", b"a, b", b"b, a"),
        ("break_continue", b"break", b"continue"),
        ("drop_raise", b'raise ValueError(f"{a + 1}")', b"pass"),
        ("return", b'return "\xc3\xa4" if a is None or b else [b]', b"return None"),
        ("wrong_name", b"a", b"b"),
    ):
        assert wanted in found, wanted
    assert not any(b"1 < 2" in old for _, old, _ in found if old != EVERYTHING), "a docstring is no code"
    assert "remove_body" in {operator for operator, _, _ in found}


FORGOTTEN = b'''async def get(key, *, tries=3, sep=",", empty="", wait=0.5, store=None, strict=True, raw=b"x", n=-1):
    """Say it."""
    value = await  store.get(key)
    return not await (fetch(value))


def walk(tree):
    for inner in tree:
        yield from walk(inner)
    left = yield \\
        from inner
    return left


def load(path):
    try:
        return read(path)
    except KeyError as error:
        raise ValueError(path) from error
    except OSError:
        log.warning("gone")
        if path:
            raise
        path = ""
    except EOFError:
        return None
    raise SystemExit(1)
'''


def test_words_forgotten_errors_swallowed_and_defaults_changed() -> None:
    found = {(e.operator, FORGOTTEN[e.start : e.end], e.text) for e in edits(FORGOTTEN)}
    handler = b'log.warning("gone")\n        if path:\n            raise\n        path = ""'
    assert {each for each in found if each[0] in ("drop_await", "yield_from", "swallow", "default")} == {
        ("drop_await", b"await  ", b""),
        ("drop_await", b"await ", b""),
        ("yield_from", b"yield from ", b""),
        ("yield_from", b" from", b""),
        ("yield_from", b"yield \\\n        from ", b""),
        ("yield_from", b" \\\n        from", b""),
        ("swallow", b"raise ValueError(path) from error", b"pass"),
        ("swallow", handler, b"pass"),
        ("default", b"3", b"4"),
        ("default", b'","', b'""'),
        ("default", b'""', b'" "'),
        ("default", b"0.5", b"1.5"),
        ("default", b"None", b"0"),
        ("default", b"True", b"False"),
        ("default", b'b"x"', b'b""'),
    }
    assert [text for operator, text, _ in found if operator == "drop_raise"] == [b"raise SystemExit(1)"]
    met = {edit.line for edit in edits(FORGOTTEN) if edit.operator == "default"}
    assert met == {3}, "a call that uses a default is known by the first line of the body"


SOURCES = [
    FORGOTTEN,
    EVERYTHING,
    *((Path(inject.__file__).parent / name).read_bytes() for name in ("candidates.py", "verdicts.py")),
]


@settings(deadline=None)  # the first time of a file is when all of its edits are found
@given(st.sampled_from(SOURCES), st.randoms(use_true_random=False))
def test_an_edit_is_one_span_and_leaves_valid_code(text: bytes, dice: object) -> None:
    found = KNOWN.get(text) or KNOWN.setdefault(text, edits(text))
    edit = dice.choice(found)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    after = edit.applied(text)
    assert after[: edit.start] == text[: edit.start]
    assert after.endswith(text[edit.end :])
    assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(text))
    compile(after, "edited", "exec")
    assert text[: edit.start].count(b"\n") + 1 <= edit.line, (
        "the line that must run is the span's, or within it"
    )


KNOWN: dict[bytes, list[Edit]] = {}


# ── tasks ─────────────────────────────────────────────────────────────────────────────────────────


def test_each_bug_fails_few_tests_and_the_rest_still_passes(
    made: tuple[list[Candidate], Yield, Path],
) -> None:
    chosen, told, _ = made
    assert len(chosen) >= 2
    assert told.looked <= 12
    assert len(chosen) + sum(told.reasons.values()) == told.looked
    for candidate in chosen:
        rules = json.loads(candidate.tests["log.json"].data)
        assert 1 <= len(rules["passed"]) <= 2, "a tenth of the suite"
        assert not {*rules["passed"]} & {*rules["kept"]}
        assert len(rules["passed"]) + len(rules["kept"]) == 24
        assert candidate.facts["path"] == "src/cal/__init__.py"
        before = candidate.workspace["src/cal/__init__.py"].data if candidate.workspace else b""
        assert candidate.answer["src/cal/__init__.py"].data == LIBRARY.encode() != before
        assert b"# kept:  as   it is" in before or candidate.facts["operator"] == "remove_body"
    functions = {candidate.name.rpartition("-")[0] for candidate in chosen}
    assert len(functions) == len(chosen), "one bug for a function"
    assert "inject-unused" not in functions, "no test runs it"


def test_what_is_hidden_is_not_in_the_workspace_and_what_is_shown_is_told(
    made: tuple[list[Candidate], Yield, Path],
) -> None:
    for candidate in made[0]:
        assert candidate.workspace is not None
        told = candidate.instruction
        if candidate.facts["statement"] == "symptom":
            assert "tests/test_cal.py" not in candidate.workspace
            assert candidate.tests["files/tests/test_cal.py"].data == TESTS.encode()
            assert "tests/test_cal.py" not in told
            assert "assert " in told
        else:
            assert "tests/test_cal.py" in candidate.workspace
            assert json.loads(candidate.tests["log.json"].data)["passed"][0] in told
    assert {c.facts["statement"] for c in made[0]} == {"tests", "symptom"}


def test_every_task_passes_every_check(
    made: tuple[list[Candidate], Yield, Path], source: Source, box: Sandbox, runtime: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tasks of mine"
    how = {"kind": "inject", "seed": 3}
    write(made[0][:2], source, out, how, made[1], lambda n, name: None)
    benchmark = open_benchmark(str(out), runtime=runtime)
    results = list(benchcheck.check(benchmark, box, benchmark.selected()))
    assert [(r.task, r.rule, r.why) for r in results if r.verdict not in ("ok", "advice")] == []
    assert {r.rule for r in results} == {*benchcheck.RULES}


def test_verdicts_are_not_asked_for_twice_and_the_same_comes_out(
    made: tuple[list[Candidate], Yield, Path], source: Source
) -> None:
    class Shut:
        def run(self, *_: object, **__: object) -> object:
            raise AssertionError("everything was known")

    again, told = drawn(source, Bench(Shut(), Path("/nowhere")), made[2])  # type: ignore[arg-type]
    assert again == made[0]
    assert told.reasons == made[1].reasons


WAITING = """import asyncio


async def double(n, by=2):
    return n * by


async def twice(n):
    return await double(n)


def walk(tree):
    for each in tree:
        if isinstance(each, list):
            yield from walk(each)
        else:
            yield each


def number(text):
    try:
        return int(text)
    except ValueError:
        raise KeyError(text) from None
"""
WAITED = """import asyncio, pytest

from waiting import double, number, twice, walk


def test_default():
    assert asyncio.run(double(2)) == 4


def test_await():
    assert asyncio.run(twice(2)) == 4


def test_yield():
    assert list(walk([1, [2]])) == [1, 2]


def test_error():
    with pytest.raises(KeyError):
        number("x")
"""


def test_a_forgotten_word_a_default_and_a_swallowed_error_are_met_by_the_tests_that_see_them(
    bench: Bench,
) -> None:
    files = {"waiting.py": File(WAITING.encode()), "test_waiting.py": File(WAITED.encode())}
    first = bench.run(files, ["test_waiting.py"], watched=["waiting.py"])
    sites = list(inject._sites(files, inject.Base(first.passed, 0, frozenset(), first.lines)))
    seen = {
        site.edit.operator: {test.partition("::")[2] for test in {*site.cover} - ran.passed}
        for site in sites
        if site.edit.operator in ("default", "drop_await", "swallow", "yield_from")
        for ran in [bench.run(inject.mutated(site, files), sorted(site.cover))]
    }
    assert seen.pop("default") == {"test_default", "test_await"}
    assert seen == {"drop_await": {"test_await"}, "yield_from": {"test_yield"}, "swallow": {"test_error"}}


def test_two_bugs_at_once_fail_tests_together_and_each_alone(
    source: Source, bench: Bench, made: tuple[list[Candidate], Yield, Path], box: Sandbox, runtime: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    told = Yield()
    modules = inject.test_modules(source.files, ())
    pairs = list(inject.candidates(
        source, 3, 1, 12, bench, Packages(shelf.PYTEST), modules, ("tests",),
        Verdicts(made[2], {"commit": source.commit}), told, lambda _: None, "two",
    ))  # fmt: skip
    (pair,) = pairs
    assert pair.facts["operator"].count("+") == 1
    assert pair.facts["second"].startswith("src/cal/__init__.py:")
    assert "Two small mistakes have come" in pair.instruction
    assert pair.answer["src/cal/__init__.py"].data == LIBRARY.encode()
    write(pairs, source, tmp_path / "pairs", {"kind": "inject"}, told, lambda n, name: None)
    benchmark = open_benchmark(str(tmp_path / "pairs"), runtime=runtime)
    results = list(benchcheck.check(benchmark, box, benchmark.selected(), ["form", "oracle", "nothing"]))
    assert [(r.rule, r.why) for r in results if r.verdict not in ("ok", "advice")] == []


def test_a_bug_is_buried_in_a_history_that_bisect_finds_it_in(
    source: Source, bench: Bench, made: tuple[list[Candidate], Yield, Path], box: Sandbox, runtime: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    told = Yield()
    (task,) = inject.candidates(
        source, 3, 1, 12, bench, Packages(shelf.PYTEST), inject.test_modules(source.files, ()), ("history",),
        Verdicts(made[2], {"commit": source.commit}), told, lambda _: None,
    )  # fmt: skip
    write([task], source, tmp_path / "buried", {"kind": "inject"}, told, lambda n, name: None)
    benchmark = open_benchmark(str(tmp_path / "buried"), runtime=runtime)
    results = list(benchcheck.check(benchmark, box, benchmark.selected(), ["form", "oracle", "cheats"]))
    assert [(r.rule, r.why) for r in results if r.verdict not in ("ok", "advice")] == []

    repo = tmp_path / "buried" / task.name / "environment" / "workspace"
    failing = json.loads(task.tests["log.json"].data)["passed"]
    assert not any(test in task.instruction for test in failing)

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(repo), *words], check=True, capture_output=True, text=True, env=env
        )
        return done.stdout.strip()

    env = {**os.environ, "PYTHONPATH": str(repo / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(["sh", str(repo / "open.sh")], check=True, cwd=tmp_path)
    assert git("status", "--porcelain") == ""
    assert source.commit not in git("rev-list", "--all")
    assert "a@example.org" not in git("log", "--format=%ae %ce").split()
    git("bisect", "start", "HEAD", "v1.0")
    git("bisect", "run", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *failing)
    assert git("rev-list", "--count", "v1.0..refs/bisect/bad") == str(task.facts["commit"])
    bad = git("rev-parse", "refs/bisect/bad")
    git("bisect", "reset")
    (repo / "test_since_v1_0.py").write_bytes(task.tests["files/test_since_v1_0.py"].data)

    def judged() -> bool:
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *failing,
            "test_since_v1_0.py",
        ]
        return subprocess.run(words, cwd=repo, env=env, capture_output=True, check=False).returncode == 0

    git("revert", "--no-edit", bad)
    assert judged(), "what the other commits wrote is there, and the bug is not"
    git("checkout", "-q", "v1.0", "--", ".")
    assert not judged(), "work is thrown away"
    assert {*task.cheats["back-to-the-tag"]} == {*git("diff", "--name-only", "main").split()}


def test_a_hunk_of_a_past_commit_is_undone(bench: Bench, tmp_path: Path) -> None:
    wrong = LIBRARY.replace("        return low\n", "        return value\n").replace(
        "return a + b", "return a - b"
    )
    repo = make(tmp_path / "cal", {**FILES, "src/cal/__init__.py": wrong})
    (repo / "src/cal/__init__.py").write_text(LIBRARY)
    subprocess.run(["git", "-C", str(repo), *IDENTITY, "commit", "-qam", "two fixes"], check=True)
    source, told = open_source(repo), Yield()
    (fix, *more) = inject.candidates(
        source, 3, 4, 9, bench, Packages(shelf.PYTEST), ["tests/test_cal.py"], ("tests",),
        Verdicts(tmp_path / "work", {}), told, lambda _: None, "reverted",
    )  # fmt: skip
    assert {each.facts["operator"] for each in (fix, *more)} == {"revert_hunk"}
    assert told.looked == 2
    undone = [
        LIBRARY.replace("        return low\n", "        return value\n"),
        LIBRARY.replace("a + b", "a - b"),
    ]
    for each in (fix, *more):
        assert each.workspace is not None
        assert each.workspace["src/cal/__init__.py"].data.decode() in undone


def test_only_a_hunk_that_stands_in_one_place_of_a_function_is_undone() -> None:
    old = b"def f():\n    a = 1\n    return a\n\n\ndef g():\n    return 1\n\n\nX = 1\n"
    new = b"def f():\n    a = 2\n    return a\n\n\ndef g():\n    return 2\n\n\nX = 2\n"
    assert [(e.function, e.applied(new)) for e in reverts(new, hunks(old, new))] == [
        ("f", new.replace(b"a = 2", b"a = 1")),
        ("g", new.replace(b"return 2", b"return 1")),
    ]
    assert reverts(new + b"\n\ndef h():\n    return 2\n", [(b"    return 2\n", b"    return 1\n")]) == []


def test_a_suite_that_passes_nothing_is_an_error_and_no_row_of_survivors(
    bench: Bench, tmp_path: Path
) -> None:
    bad = make(tmp_path / "bad", {**FILES, "tests/test_cal.py": "import nowhere\n"})
    with pytest.raises(UsageError, match="1 of 1 test modules cannot be collected: tests/test_cal"):
        drawn(open_source(bad), bench, tmp_path / "work")
    bad = make(tmp_path / "worse", {**FILES, "tests/test_cal.py": "def test_it():\n    assert False\n"})
    with pytest.raises(UsageError, match="of 1 tests none passes"):
        drawn(open_source(bad), bench, tmp_path / "work2")
    with pytest.raises(UsageError, match="no test module"):
        inject.test_modules({"a.py": File(b"")}, ())


def test_a_test_that_chance_decides_counts_nowhere(bench: Bench, tmp_path: Path) -> None:
    repo = make(tmp_path / "odd", {**FILES, "tests/test_odd.py": "import os\n\n\ndef test_seed():\n"
                "    assert os.environ['PYTHONHASHSEED'] == '0'\n"})  # fmt: skip
    source = open_source(repo)
    known = Verdicts(tmp_path / "work", {})
    base = inject._base(
        source.files, ["tests/test_cal.py", "tests/test_odd.py"], bench, known, lambda _: None
    )
    assert base.unsteady == 1
    assert "tests/test_odd.py::test_seed" not in base.steady
    assert base.lines["src/cal/__init__.py"][5]["tests/test_cal.py::test_sums"] == 1
    assert base.lines["src/cal/__init__.py"][5]["tests/test_cal.py::test_total"] == 2, "two calls deep"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("assert not os.environ.get('PYTHONHASHSEED') == '4'", "the hash seed"),
        ("assert 'first' in SEEN", "the order"),
        ("assert datetime.date.today().year == datetime.date.fromtimestamp(os.stat(__file__).st_mtime).year",
         "the clock"),
        ("assert time.localtime(0).tm_hour == 0", "the time zone"),
        ("assert len(__file__) < 30", "the length of the path"),
        ("pathlib.Path.home().joinpath('x').write_text('')", "a home that can be written"),
    ],
)  # fmt: skip
def test_what_surroundings_decide_is_not_steady(bench: Bench, body: str, why: str) -> None:
    text = (
        "import datetime, os, pathlib, time\n\nSEEN = []\n\n\n"
        "def test_first():\n    SEEN.append('first')\n\n\n"
        f"def test_it():\n    {body}\n"
    )
    files = {"test_odd.py": File(text.encode())}
    plain = bench.run(files, ["test_odd.py"])
    held = around_all(lambda around: bench.run(files, ["test_odd.py"], around=around), plain)
    assert plain.passed == held.ever == {"test_odd.py::test_first", "test_odd.py::test_it"}, plain
    assert held.always == {"test_odd.py::test_first"}, why
    assert len(held.runs) == 5


def test_a_clock_ahead_leaves_dates_what_they_are(bench: Bench) -> None:
    text = (
        "import copy, datetime, pickle, sqlite3\n\n\n"
        "def test_it():\n"
        "    now = datetime.datetime.now()\n"
        "    assert isinstance(now, datetime.date)\n"
        "    assert isinstance(now + datetime.timedelta(1), datetime.datetime)\n"
        "    assert pickle.loads(pickle.dumps(now)) == copy.deepcopy(now) == now\n"
        "    assert issubclass(datetime.datetime, datetime.date)\n"
        "    assert not isinstance(datetime.date.today(), datetime.datetime)\n"
        "    assert repr(datetime.datetime(2020, 1, 2)) == 'datetime.datetime(2020, 1, 2, 0, 0)'\n"
        "    class Own(datetime.datetime): pass\n"
        "    assert not isinstance(now, Own)\n"
        "    assert isinstance(Own(2020, 1, 2), Own)\n"
        "    import time_machine\n"
        "    assert time_machine.SEEN is type, 'it would write into the real one as C code does'\n"
    )
    files = {
        "test_now.py": File(text.encode()),
        "time_machine.py": File(b"import datetime\nSEEN = type(datetime.datetime)\n"),
    }
    ran = bench.run(files, ["test_now.py"], around=OTHERS[2])
    assert ran.passed == {"test_now.py::test_it"}, ran.tests
    alone = {
        "test_now.py": File(b"import os\n\n\ndef test_it():\n    assert len(os.sched_getaffinity(0)) == 1\n")
    }
    ran = bench.run(alone, ["test_now.py"], around=OTHERS[3])
    assert ran.passed == {"test_now.py::test_it"}, ran.tests


def test_a_bug_that_hangs_is_no_task(source: Source, bench: Bench) -> None:
    files = source.files
    text = LIBRARY.encode()
    hang = Edit(
        "x",
        5,
        text.index(b"return a + b"),
        text.index(b"return a + b") + 12,
        b"return add(a, b) while 0",
        "add",
    )
    slow = replace(hang, text=b"\n    while True: pass")
    site = inject.Site("src/cal/__init__.py", slow, {"tests/test_cal.py::test_sums": 1})
    base = inject.Base(frozenset(site.cover), 0, frozenset(), {})
    assert inject._verdict(site, files, base, replace(bench, each=1.0)) == "TIMEOUT"
    assert inject._verdict(replace(site, edit=hang), files, base, bench) == "COLLECTION", (
        "it does not even parse"
    )


def test_a_bug_that_makes_tests_slow_is_no_task(source: Source, bench: Bench) -> None:
    text, test = LIBRARY.encode(), "tests/test_cal.py::test_sums"
    at = text.index(b"return a + b")
    slow = b"__import__('time').sleep(1.1); return a - b"
    site = inject.Site("src/cal/__init__.py", Edit("x", 5, at, at + 12, slow, "add"), {test: 1})
    base = inject.Base(frozenset({test}), 0, frozenset(), {}, {test: 0.01})
    assert inject._verdict(site, source.files, base, bench) == "SLOW"
    assert not inject._slow(1.6, [1.0]), "the test takes so long anyway"


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    make(tmp_path / "cal", FILES)
    words = ("bench", "inject", "cal", "--max", "2", "--tries", "6", "--sandbox", "bubblewrap")
    work = tmp_path / ".first.work"
    first = subprocess.Popen(
        [sys.executable, "-m", "sica", *words, "--to", "first"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 240
        while not (work.exists() and work.read_bytes().count(b"\n") >= 3) and first.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert not (tmp_path / "first").exists()
    kept = work.read_bytes().count(b"\n")
    again = sica(tmp_path, *words, "--to", "first")
    assert again.code == 0, again.err
    assert f"goes on with {kept - 1}" in again.err
    assert not work.exists()
    told = json.loads((tmp_path / "first" / "manifest.json").read_text())
    assert told["kind"] == "inject"
    assert told["looked_at"] == len(told["tasks"]) + sum(told["left_out"].values())


def test_an_unknown_statement_is_said(tmp_path: Path) -> None:
    make(tmp_path / "cal", FILES)
    bad = sica(tmp_path, "bench", "inject", "cal", "--to", "x", "--statement", "test")
    assert bad.code == 2
    assert "no statement called 'test'; there are: both, history, symptom, tests" in bad.err
    bad = sica(tmp_path, "bench", "inject", "cal", "--to", "x", "--statement", "history", "--bugs", "two")
    assert (bad.code, "one commit brings one bug" in bad.err) == (2, True), bad.err
    bad = sica(tmp_path, "bench", "inject", "cal", "--to", "x", "--bugs", "three")
    assert (bad.code, "no kind of bugs called 'three'" in bad.err) == (2, True), bad.err
    bad = sica(
        tmp_path,
        "bench",
        "inject",
        "cal",
        "--to",
        "x",
        "--requirements",
        "none.txt",
        "--sandbox",
        "bubblewrap",
    )
    assert (bad.code, "none.txt: No such file or directory" in bad.err) == (2, True), bad.err


# ── environments ──────────────────────────────────────────────────────────────────────────────────


def wheel(folder: Path, name: str, version: str, code: str, needs: str = "") -> None:
    """A wheel as any index has it."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", code)
        more = f"Requires-Dist: {needs}\n" if needs else ""
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def test_requirements_become_pins_without_the_project_itself(
    tmp_path: Path, python: Python, monkeypatch: pytest.MonkeyPatch, runtime: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheel(wheels, "plank", "2.1", "WIDTH = 7\n", "cal")
    wheel(wheels, "cal", "9", "THE_ANSWER = True\n")
    wheel(wheels, "pytest", "1.0", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    settings = '[project]\nname = "Cal"\ndependencies = ["plank>=2"]\n'
    source = open_source(make(tmp_path / "cal", {**FILES, "pyproject.toml": settings}))
    found = packages(source, source.files, python, None, None)
    assert found.pins == "plank==2.1\npytest==1.0\n"
    kept = tmp_path / "kept"
    place = shelf.directory(found.pins, python, runtime, kept)
    assert (place / "plank.py").read_text() == "WIDTH = 7\n"
    assert not (place / "cal.py").exists(), "a later version of the project is the answer"
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert shelf.directory(found.pins, python, runtime, kept) == place, "made once"
    with pytest.raises(UsageError, match="cannot be had as wheels") as error:
        shelf.directory("plank==2.1\n", python, runtime, kept)
    assert "--env DIR" in error.value.hint
    assert shelf.adopted(place, python, tmp_path / "own") == found.pins


def test_a_task_sees_the_packages_that_it_names(
    source: Source,
    box: Sandbox,
    python: Python,
    runtime: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheel(tmp_path / "wheels", "plank", "2.1", "WIDTH = 7\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    needs = Packages("plank==2.1\n")
    candidate = Candidate(
        "x", "x", 1, "mend it", source.commit, {"plank_user.py": File(b"import plank\nWIDTH = plank.WIDTH\n")},
        workspace={"README": File(b"")},
        tests=inject.tests(["test_w.py::test_w"], [], ["test_w.py"], {"test_w.py": File(
            b"import plank_user\n\n\ndef test_w():\n    assert type(plank_user.WIDTH) is int\n")}),
        ours=needs.ours(()), env={"PYTHONPATH": "/app:/packages"}, pins=needs.pins,
    )  # fmt: skip
    write([candidate], source, tmp_path / "out", {"kind": "x"}, Yield(), lambda n, name: None)
    benchmark = open_benchmark(str(tmp_path / "out"), runtime=runtime)
    results = list(benchcheck.check(benchmark, box, ["x"], ["form", "oracle", "nothing"]))
    assert [(r.rule, r.why) for r in results if r.verdict not in ("ok", "advice")] == []
    (tmp_path / "out" / "x" / "environment" / "requirements.txt").write_text(
        "plank==2.1\n--index-url http://evil\n"
    )
    with pytest.raises(UsageError, match="'--index-url http://evil' is no pin"):
        open_benchmark(str(tmp_path / "out"), runtime=runtime).tasks()
