"""What keeps a commit from becoming a task of `sica bench mine`, and what is recorded of its tests; in real boxes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from sica import wheels
from sica.benchmarks import open_benchmark
from sica.mining import commits
from sica.mining.candidates import Candidate, Yield
from sica.mining.commits import SINGLE_REFERENCE
from sica.mining.folder import write
from sica.mining.locate import leaning
from sica.mining.mutants import Edit, edits
from sica.mining.packages import Packages
from sica.mining.running import Bench, Held, Ran, Seen, shown
from sica.mining.source import open_source
from sica.mining.strength import ENOUGH, LEAST_MUTANTS, MOST_MUTANTS, Strength, drawn, hushed, measured
from sica.mining.verdicts import Verdicts
from sica.mining.work import Work
from sica.model import File
from sica.ports import Sandbox

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
PRICE = "def price(amount):\n    return amount * 3\n"
DISCOUNT = """def price(amount):
    total = amount * 3
    if amount >= 10:
        total = total - 5
    return total
"""
ROUGH = DISCOUNT + "\n\ndef rough(amount):\n    found = price(amount)\n    return found if found > 9 else 9\n"
PRICE_TEST = (
    "from shop._price import price\n\n\n"
    "def test_price():\n    assert type(price(2)) is int and price(2) == 6\n"
)
DISCOUNT_TEST = PRICE_TEST + "".join(
    f"\n\ndef test_discount_{n}():\n    assert price({n}) == {n * 3 - 5}\n" for n in (10, 11, 12, 20)
)
BY_CHANCE = (
    "\n\ndef test_by_chance():\n    import os\n\n"
    "    assert price(10) == 25 and os.environ['PYTHONHASHSEED'] == '0'\n"
)

HISTORY: list[tuple[str, Mapping[str, str]]] = [
    (
        "start",
        {
            "shop/__init__.py": "from shop._price import price as price\n",
            "shop/_price.py": PRICE,
            "shop/words.py": "GREETING = 'hello'\n",
            "tests/test_price.py": PRICE_TEST,
            "tests/test_shop.py": "import shop\n\n\ndef test_shop():\n    assert shop.price(1) == 3\n\n\n"
            "def test_nothing():\n    assert shop.price(0) == 0\n",
            "tests/test_words.py": "from shop import words\n\n\ndef test_words():\n    assert words.GREETING\n",
        },
    ),
    ("Ten are cheaper", {"shop/_price.py": DISCOUNT, "tests/test_price.py": DISCOUNT_TEST + BY_CHANCE}),
    (
        "Everything has another name",
        {
            "shop/words.py": "GREETING = 'hello'\n\n\ndef many(n):\n    return n\n",
            "tests/test_words.py": "import pytest\nfrom shop.words import many\n\n\n"
            "@pytest.mark.parametrize('n', range(51))\ndef test_many(n):\n    assert many(n) == n\n",
        },
    ),
    (
        "Free above a hundred",
        {
            "shop/_price.py": DISCOUNT.replace("return total", "return total if 0 < amount < 100 else 7"),
            "tests/test_price.py": "from shop._price import price\n\n\ndef test_free():\n    assert price(100) == 7\n",
        },
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a shop") / "shop"

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(folder), *IDENTITY, *words], check=True, capture_output=True)

    for message, files in HISTORY:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        git("init", "-q")
        git("add", "-A")
        git("commit", "-q", "-m", message)
    return folder


@pytest.fixture(scope="module")
def bench(box: Sandbox, runtime: Path) -> Bench:
    return Bench(box, wheels.directory(wheels.PYTEST, wheels.python_of(box), runtime))


@pytest.fixture(scope="module")
def made(
    repo: Path, bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Candidate], Yield]:
    told = Yield()
    found = commits.candidates(
        open_source(repo), 0, 9, 99, 99, lambda _: bench, lambda _: Packages(wheels.PYTEST),
        Verdicts(tmp_path_factory.mktemp("work") / "verdicts", {}), told, lambda _: None,
    )  # fmt: skip
    return {candidate.name.rpartition("-")[0]: candidate for candidate in found}, told


def test_commits_that_break_other_tests_or_rename_everything_are_left_out(
    made: tuple[dict[str, Candidate], Yield],
) -> None:
    found, told = made
    assert {*found} == {"mine-ten-are-cheaper"}
    assert dict(told.reasons) == {"GOLD_BREAKS": 1, "TOO_BROAD": 1}


def test_one_test_of_five_may_hang_on_chance_and_counts_nowhere(
    made: tuple[dict[str, Candidate], Yield],
) -> None:
    log = json.loads(made[0]["mine-ten-are-cheaper"].tests["log.json"].data)
    assert log["passed"] == [f"tests/test_price.py::test_discount_{n}" for n in (10, 11, 12, 20)]
    assert not any("by_chance" in test for test in (*log["passed"], *log["kept"]))


def test_tests_of_other_modules_that_lean_on_the_change_must_be_kept(
    made: tuple[dict[str, Candidate], Yield],
) -> None:
    cheaper = made[0]["mine-ten-are-cheaper"]
    assert json.loads(cheaper.tests["log.json"].data)["kept"] == [
        "tests/test_price.py::test_price", "tests/test_shop.py::test_nothing", "tests/test_shop.py::test_shop",
    ]  # fmt: skip
    assert cheaper.tests["run.sh"].data.rstrip().endswith(b"tests/test_price.py tests/test_shop.py")
    assert cheaper.facts["elsewhere"] == 2


def test_what_tests_say_is_told_without_what_differs_each_time() -> None:
    said = "None is not <Lock object at 0x7f667f484690> of /app/shop"
    assert shown(said) == "    None is not <Lock object at 0x...> of shop"
    assert shown("the mask is 0xdeadbeef") == "    the mask is 0xdeadbeef"


def test_a_task_says_how_much_its_tests_notice(
    made: tuple[dict[str, Candidate], Yield], repo: Path, tmp_path: Path
) -> None:
    cheaper = made[0]["mine-ten-are-cheaper"]
    assert cheaper.facts["mutants"] == cheaper.facts["killed"] >= LEAST_MUTANTS
    write([cheaper], open_source(repo), tmp_path / "t", {"kind": "mine"}, made[1], lambda n, name: None)
    (task,) = open_benchmark(str(tmp_path / "t"), runtime=tmp_path).tasks()
    assert task.weight == SINGLE_REFERENCE
    table = (tmp_path / "t" / cheaper.name / "task.toml").read_text()
    assert "strength = 1.0\n" in table and "references = 1\n" in table
    (told,) = json.loads((tmp_path / "t" / "manifest.json").read_text())["tasks"]
    assert (told["weight"], told["references"], told["killed"]) == (0.5, 1, cheaper.facts["killed"])


def test_tests_that_look_at_little_notice_few_bugs(bench: Bench, repo: Path) -> None:
    commit = next(open_source(repo).log(1))
    before = {"shop/__init__.py": File(b""), "shop/_price.py": File(DISCOUNT.encode())}
    tests = {
        "test_rough.py": File(b"from shop._price import rough\n\ndef test_rough():\n    assert rough(1)\n")
    }
    after = {**before, "shop/_price.py": File(ROUGH.encode()), **tests}
    work = Work(commit, before, after, [*tests], ["shop/_price.py"], 5)
    found = measured(work, {}, [*tests], {"test_rough.py::test_rough"}, bench)
    assert found.tried >= LEAST_MUTANTS
    assert 0 < found.noticed / found.tried < ENOUGH, (
        "a body that is gone is noticed, another comparison is not"
    )


def test_bugs_are_put_where_the_change_wrote_and_nowhere_else(repo: Path) -> None:
    old = "def one(a, b):\n    return a < b\n\n\n"
    new = old + "def two(a, b):\n    if a < b and b < 9:\n        return a + b\n    return not a\n"
    commit = next(open_source(repo).log(1))
    work = Work(commit, {"m.py": File(old.encode())}, {"m.py": File(new.encode())}, [], ["m.py"], 5)
    found = drawn(work)
    assert {edit.function for _, edit in found} == {"two"}
    assert len(found) == MOST_MUTANTS and found == drawn(work)
    assert len({edit.operator for _, edit in found}) > 5


@pytest.mark.parametrize(
    ("tried", "noticed", "share", "weight"),
    [(10, 10, 1.0, 1.0), (10, 8, 0.8, 1.0), (10, 6, 0.6, 0.75), (10, 0, 0.0, 0.25), (4, 0, None, 1.0)],
)
def test_weight_falls_with_what_is_not_noticed(
    tried: int, noticed: int, share: float | None, weight: float
) -> None:
    assert (Strength(tried, noticed).share, Strength(tried, noticed).weight) == (share, weight)


@pytest.mark.parametrize("module", ["heldout.py", "mining/verdicts.py", "mining/candidates.py"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_functions_that_the_change_left_alone_cost_no_time_and_change_no_bug(module: str, part: int) -> None:
    source = (Path(commits.__file__).parents[1] / module).read_bytes()
    size = source.count(b"\n")
    lines = {*range(part * size // 3, (part + 1) * size // 3)}
    quiet = hushed(source, lines)
    assert len(quiet) == len(source) and quiet.count(b"\n") == size

    def there(text: bytes) -> list[Edit]:
        return [edit for edit in edits(text) if edit.line - 1 in lines]

    assert there(quiet) == there(source)


def test_a_function_that_the_change_left_alone_does_nothing() -> None:
    first = b'def f(a):\n    """\n    Says.\n    """\n    return a + 1\n\n\n'
    source = first + b"class C:\n    def g(self):\n        x = 1\n"
    assert [edit.function for edit in edits(hushed(source, {9}))] == ["C.g"] * 2
    assert edits(hushed(source, ())) == []


def test_a_function_that_differs_with_one_value_counts_with_none() -> None:
    """Tests of a set's members are numbered by its order: one that fails has another number each time."""
    every = [f"test_a.py::test_each[value{n}]" for n in range(7)] + ["test_a.py::test_one[0]"]

    def ran(failing: int) -> Ran:
        failed = f"[value{failing}]"
        return Ran({id: Seen("failed" if id.endswith(failed) else "passed") for id in every}, ())

    assert Held([ran(n) for n in range(5)]).always == {"test_a.py::test_one[0]"}
    assert Held([ran(6)] * 5).always == {*every} - {"test_a.py::test_each[value6]"}


@pytest.mark.parametrize(
    ("text", "leans"),
    [
        ("from pkg._core import thing\n", True),
        ("def f():\n    import pkg._core\n", True),
        ("from pkg import _core\n", True),
        ("import pkg\n\nprint(pkg.thing)\n", True),
        ("from pkg import thing as other\n\nprint(other)\n", True),
        ("import pkg\n", False),
        ("from pkg import more\n\nprint(more)\n", False),
        ("# pkg._core\n", False),
    ],
)
def test_imports_say_what_leans_on_a_file(text: str, leans: bool) -> None:
    tree = {
        "src/pkg/__init__.py": "from ._core import thing\nfrom .rest import more\n",
        "src/pkg/_core.py": "def thing():\n    pass\n",
        "src/pkg/rest.py": "def more():\n    pass\n",
    }
    found = list(leaning({**tree, "tests/test_a.py": text}, ["src/pkg/_core.py"]))
    assert found == ["src/pkg/__init__.py", *(["tests/test_a.py"] if leans else [])]
