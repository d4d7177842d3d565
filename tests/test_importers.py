"""Data sets in their published forms, read from files that a user has and judged in real boxes.

Every sample is our own invention in the public form: no row of any data set is here.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import pickle
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sica import benchcheck
from sica.benchmarks import importer, importers, named, open_benchmark
from sica.benchmarks.folder import FolderBenchmark
from sica.errors import UsageError
from sica.model import File, Grade
from sica.ports import Sandbox

ROOT = Path(__file__).parents[1]
Rows = list[dict[str, Any]]


@pytest.fixture
def opened(tmp_path: Path, runtime: Path) -> Callable[..., FolderBenchmark]:
    """A benchmark of these rows, written as the file that a user would have."""

    def open_(rows: Rows, name: str = "data set.jsonl", form: str = "") -> FolderBenchmark:
        path = tmp_path / name
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
        return open_benchmark(f"{form}{path}", runtime=runtime)

    return open_


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, words in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words, encoding="utf-8")
    return root


def proved(benchmark: FolderBenchmark, box: Sandbox) -> dict[str, str]:
    """What `sica bench check` finds wrong, by task and rule."""
    wrong = {}
    for name, folder in benchmark.folders.items():
        rules = set()
        for result in benchcheck.check(benchmark, box, [name]):
            rules.add(result.rule)
            if (
                result.verdict in ("failed", "fault") and result.rule != "cheats"
            ):  # the authors' tests are theirs
                wrong[f"{name} {result.rule}"] = result.why
            if result.rule == "nothing" and folder.grading == "two-box":
                break  # its vandals wait ten seconds each, and test_grading.py has them all
        assert {"oracle", "nothing"} <= rules
    return wrong


def graded(benchmark: FolderBenchmark, box: Sandbox, name: str, files: Mapping[str, str]) -> Grade:
    task = benchmark.task(name)
    left: dict[str, File] = dict(benchmark.workspace(task))
    left |= {f"{task.workdir}/{path}": File(words.encode()) for path, words in files.items()}
    return benchmark.grade(task, left, box)


def shown(benchmark: FolderBenchmark, name: str) -> str:
    """Everything that an agent is given."""
    task = benchmark.task(name)
    return task.instruction + "".join(f.data.decode() for f in benchmark.workspace(task).values())


# ── HumanEval and MBPP ────────────────────────────────────────────────────────────────────────────

HUMANEVAL: Rows = [
    {
        "task_id": "Mine/0",
        "prompt": 'def rot(text: str) -> str:\n    return text[1:] + text[:1]\n\n\ndef unrot(text: str) -> str:\n'
        '    """Undo rot.\n    >>> unrot("bca")\n    \'abc\'\n    """\n',
        "entry_point": "unrot",
        "canonical_solution": "    return text[-1:] + text[:-1]\n",
        "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    for word in ('wxyzsecret', ''):\n"
        "        assert candidate(rot(word)) == word\n",
    }
]  # fmt: skip
PLUS: Rows = [
    {
        **HUMANEVAL[0],
        "task_id": "Mine/1",
        "entry_point": "halves",
        "prompt": "def halves(numbers: list) -> list:\n    '''Half of each.'''\n",
        "canonical_solution": "    return [n / 2 for n in numbers]\n",
        "test": "def check(candidate):\n    assert candidate([2]) == [1.0]\n",
        "base_input": [[[2]]],
        "plus_input": [[[1, 3]], [[]], [[10**12]]],
        "atol": 1e-6,
        "contract": "    assert all(isinstance(n, int) for n in numbers)\n",
    }
]


def test_humaneval_is_proved_by_its_reference(opened: Any, box: Sandbox) -> None:
    benchmark = opened(HUMANEVAL, "Mine.jsonl.gz")
    assert (benchmark.name, benchmark.selected()) == ("Mine", ["Mine-0"])
    assert not proved(benchmark, box)
    assert "wxyzsecret" not in shown(benchmark, "Mine-0"), "the check stays with the judge"


def test_a_solution_that_forges_the_check_earns_nothing(opened: Any, box: Sandbox) -> None:
    forged = "class Any_(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
    forged += "def rot(text): return text\ndef unrot(text): return Any_('x')\n"
    assert graded(opened(HUMANEVAL), box, "Mine-0", {"solution.py": forged}).score == 0


def test_humaneval_plus_asks_the_reference_about_every_further_input(opened: Any, box: Sandbox) -> None:
    benchmark = opened(PLUS)
    assert not proved(benchmark, box)
    only_base = "def halves(numbers):\n    return [n // 2 + 0.0 for n in numbers]\n"
    assert graded(benchmark, box, "Mine-1", {"solution.py": only_base}).score == 0
    nearly = "def halves(numbers):\n    return [n * 0.5 + 1e-9 for n in numbers]\n"
    assert graded(benchmark, box, "Mine-1", {"solution.py": nearly}).score == 1, "within atol"


def test_mbpp_plus_compares_as_evalplus_does(opened: Any, box: Sandbox) -> None:
    row = {
        "task_id": "Mine/9",
        "prompt": '"""\nFind what two lists share.\nassert similar_elements([1, 2], [2]) == (2,)\n"""\n',
        "entry_point": "similar_elements",
        "canonical_solution": "def similar_elements(a, b):\n    return tuple(set(a) & set(b))\n",
        "base_input": [[[1, 2, 3], [3, 2]]],
        "plus_input": [[[[1]], [2]], [[5, 6, 7], [7, 5]]],
        "atol": 0,
    }
    benchmark = opened([row])
    other_order = "def similar_elements(a, b):\n    return [x for x in reversed(a) if x in b]\n"
    assert graded(benchmark, box, "Mine-9", {"solution.py": other_order}).score == 1
    wrong = "def similar_elements(a, b):\n    return [x for x in a if x in b][:1]\n"
    assert graded(benchmark, box, "Mine-9", {"solution.py": wrong}).score == 0


MBPP: Rows = [
    {
        "task_id": 7001,
        "text": "Write a function to join words with a dash.",
        "code": "def dashed(words):\r\n  return '-'.join(words)",
        "test_setup_code": "",
        "test_list": ["assert dashed(['a', 'b']) == 'a-b'", "assert dashed([]) == ''"],
        "challenge_test_list": ["assert dashed(['x']) == 'x'"],
    }
]


def test_mbpp_shows_one_assertion_and_counts_them_all(opened: Any, box: Sandbox) -> None:
    benchmark = opened(MBPP)
    assert not proved(benchmark, box)
    assert "a-b" in shown(benchmark, "mbpp-7001")
    assert "'x'" not in shown(benchmark, "mbpp-7001")
    learnt = "def dashed(words):\n    return 'a-b' if words else ''\n"
    assert graded(benchmark, box, "mbpp-7001", {"solution.py": learnt}).score == 0


# ── LiveCodeBench ─────────────────────────────────────────────────────────────────────────────────


def packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(value)))).decode()


def contest(**fields: Any) -> dict[str, Any]:
    return {
        "question_id": "mine_a",
        "question_title": "Sums",
        "question_content": "Read two numbers, print their sum.",
        "difficulty": "easy",
        "starter_code": "",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": packed([{"input": "40 77\n", "output": "117\n", "testtype": "stdin"}]),
        "metadata": "{}",
        **fields,
    }


def test_a_contest_program_is_judged_by_what_it_prints(opened: Any, box: Sandbox) -> None:
    benchmark = opened([contest()])
    right = "a, b = map(int, input().split())\nprint(f'{a + b}.0 ')\n"
    assert graded(benchmark, box, "mine_a", {"solution.py": right}).score == 1, "spelling of numbers is free"
    learnt = graded(benchmark, box, "mine_a", {"solution.py": "print(3)\n"})
    assert (learnt.score, dict(learnt.checks)) == (0, {"0": 1.0, "1": 0.0})
    assert graded(benchmark, box, "mine_a", {}).score == 0
    assert "117" not in shown(benchmark, "mine_a")


def test_a_contest_function_is_called(opened: Any, box: Sandbox) -> None:
    cases = [{"input": "[3, 1]\n2", "output": "[5, 3]", "testtype": "functional"}]
    row = contest(
        starter_code="class Solution:\n    def plus(self, numbers: List[int], n: int) -> List[int]:\n        ",
        public_test_cases="[]",
        private_test_cases=packed(cases),
        metadata=json.dumps({"func_name": "plus"}),
    )
    benchmark = opened([row])
    code = "class Solution:\n    def plus(self, numbers, n):\n        return [x + n for x in numbers]\n"
    assert graded(benchmark, box, "mine_a", {"solution.py": code}).score == 1
    assert graded(benchmark, box, "mine_a", {}).score == 0


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/sica-pickle-bomb",)


def test_a_pickle_that_would_run_something_is_refused_unread(opened: Any) -> None:
    bomb = base64.b64encode(zlib.compress(pickle.dumps(Bomb()))).decode()
    with pytest.raises(UsageError, match=r"row 1: private_test_cases: .*it names posix\.system"):
        opened([contest(private_test_cases=bomb)]).tasks()
    assert not Path("/tmp/sica-pickle-bomb").exists()


# ── QuixBugs ──────────────────────────────────────────────────────────────────────────────────────

LOADER = """import json
from pathlib import Path


def load_json_testcases(algorithm):
    with open(Path(__file__).parent / f"../json_testcases/{algorithm}.json") as file:
        return [json.loads(line) for line in file]
"""
SWITCH = """import pytest
from load_testdata import load_json_testcases
if pytest.use_correct:
    from correct_python_programs.total import total
else:
    from python_programs.total import total


@pytest.mark.parametrize("given,expected", load_json_testcases(total.__name__))
def test_total(given, expected):
    if given == [[9]]:
        pytest.skip("slow")
    assert total(*given) == expected
"""
CHAIN = """import pytest
from node import Node
if pytest.use_correct:
    from correct_python_programs.last import last
else:
    from python_programs.last import last


def test_last():
    end = Node(3)
    assert last(Node(1, Node(2, end))) is end
"""
NODE = """class Node:
    def __init__(self, value, successor=None):
        self.value, self.successor = value, successor
"""


@pytest.fixture
def quixbugs(tmp_path: Path, runtime: Path) -> FolderBenchmark:
    last = "def last(node):\n    while node.successor{0}:\n        node = node.successor\n    return node\n"
    files = {
        "python_programs/total.py": "def total(numbers):\n    return sum(numbers[1:])\n",
        "correct_python_programs/total.py": "def total(numbers):\n    return sum(numbers)\n",
        "python_testcases/test_total.py": SWITCH,
        "python_testcases/load_testdata.py": LOADER,
        "json_testcases/total.json": "[[[4, 5]], 9]\n[[[]], 0]\n[[[9]], 1]\n",
        "python_programs/last.py": last.format(".successor"),
        "correct_python_programs/last.py": last.format(""),
        "python_testcases/test_last.py": CHAIN,
        "python_testcases/node.py": NODE,
    }
    return open_benchmark(str(write(tmp_path / "Quix Bugs", files)), runtime=runtime)


def test_quixbugs_runs_the_authors_own_tests(quixbugs: FolderBenchmark, box: Sandbox) -> None:
    assert quixbugs.selected() == ["last", "total"]
    assert not proved(quixbugs, box)


# ── Exercism and polyglot ─────────────────────────────────────────────────────────────────────────


def exercise(language: str, name: str, files: Mapping[str, str], **table: list[str]) -> dict[str, str]:
    base = f"{language}/exercises/practice/{name}"
    config = json.dumps({"authors": [], "files": table})
    told = {".docs/instructions.md": f"# {name}\n\nDo it.", ".meta/config.json": config}
    return {f"{base}/{path}": words for path, words in {**files, **told}.items()}


PYTHON = exercise(
    "python",
    "greet",
    {
        "greet.py": "def greet(name):\n    pass\n",
        "greet_test.py": "import unittest\n\nfrom greet import greet, Shy\n\n\nclass GreetTest(unittest.TestCase):\n"
        "    def test_greets(self):\n        self.assertEqual(greet('Zoe'), 'Hello, Zoe!')\n\n"
        "    def test_shy(self):\n        with self.assertRaises(Shy) as error:\n            greet('')\n"
        "        self.assertEqual(error.exception.args[0], 'who?')\n",
        ".meta/example.py": "class Shy(Exception):\n    pass\n\n\ndef greet(name):\n    if not name:\n"
        "        raise Shy('who?')\n    return f'Hello, {name}!'\n",
    },
    solution=["greet.py"],
    test=["greet_test.py"],
    example=[".meta/example.py"],
)
MOCKED = exercise(
    "python",
    "reader",
    {
        "reader.py": "def first(name):\n    pass\n",
        "reader_test.py": "from unittest import mock\n\nfrom reader import first\n\n\ndef test_first():\n"
        "    with mock.patch('reader.open', mock.mock_open(read_data='one\\ntwo\\n'), create=True):\n"
        "        assert first('x') == 'one'\n",
        ".meta/example.py": "def first(name):\n    with open(name) as file:\n        return file.readline().strip()\n",
    },
    solution=["reader.py"],
    test=["reader_test.py"],
    example=[".meta/example.py"],
)
GO = exercise(
    "go",
    "leap",
    {
        **dict.fromkeys(("leap.go", "leap_test.go"), "package leap\n"),
        "go.mod": "module leap\n",
        ".meta/example.go": "package leap\n\nfunc Is() {}\n",
    },
    solution=["leap.go"],
    test=["leap_test.go"],
    example=[".meta/example.go"],
)  # fmt: skip


def test_a_polyglot_exercise_in_python_is_judged_in_two_boxes(
    tmp_path: Path, runtime: Path, box: Sandbox
) -> None:
    benchmark = open_benchmark(str(write(tmp_path / "polyglot", {**PYTHON, **MOCKED})), runtime=runtime)
    assert {n: (f.grading, f.sica.tries) for n, f in benchmark.folders.items()} == {
        "python-greet": ("two-box", 2),
        "python-reader": ("log", 2),
    }
    assert not proved(benchmark, box)
    for name in benchmark.folders:
        assert "example" not in shown(benchmark, name)
        assert "Zoe" not in shown(benchmark, name)


def test_a_language_without_its_toolchain_is_refused_by_name(tmp_path: Path, runtime: Path) -> None:
    root = write(tmp_path / "polyglot", {**GO, **PYTHON})
    benchmark = open_benchmark(str(root), runtime=runtime)
    assert benchmark.unsupported_in("docker") == {
        "go-leap": ("unsupported: go is not in the sandbox (docs/importers.md: toolchains)",)
    }
    (root / "toolchains.toml").write_text('[go]\nimage = "golang:1.24"\n')
    benchmark = open_benchmark(str(root), runtime=runtime)
    assert not benchmark.unsupported_in("docker")
    assert benchmark.task("go-leap").image == "golang:1.24"
    assert "without Docker" in benchmark.unsupported_in("bubblewrap")["go-leap"][0]


def test_a_declared_command_judges_any_language(tmp_path: Path, runtime: Path, box: Sandbox) -> None:
    files = exercise(
        "sh",
        "hello",
        {
            "hello.sh": "echo no\n",
            "hello_test.sh": '[ "$(bash hello.sh)" = yes ]\n',
            ".meta/example.sh": "echo yes\n",
        },
        solution=["hello.sh"],
        test=["hello_test.sh"],
        example=[".meta/example.sh"],
    )
    root = write(tmp_path / "track", files)
    refused = open_benchmark(str(root), runtime=runtime).unsupported_in("bubblewrap")
    assert "no command is known for sh" in refused["sh-hello"][0]
    (root / "toolchains.toml").write_text('[sh]\ncommand = "bash hello_test.sh"\n')
    assert not proved(open_benchmark(str(root), runtime=runtime), box)


def test_how_tests_are_built_is_not_the_agents_to_change(tmp_path: Path, runtime: Path, box: Sandbox) -> None:
    same = "# what both hold is no part of the reference\n"
    files = exercise(
        "sh",
        "hello",
        {
            "hello.sh": "echo no\n",
            "hello.h": same,
            "build.sh": "bash hello_test.sh\n",
            "hello_test.sh": '[ "$(bash hello.sh)" = yes ]\n',
            ".meta/example.sh": "echo yes\n",
            ".meta/example.h": same,
        },
        solution=["hello.sh", "hello.h"],
        test=["hello_test.sh"],
        example=[".meta/example.sh", ".meta/example.h"],
    )
    root = write(tmp_path / "track", files)
    (root / "toolchains.toml").write_text('[sh]\ncommand = "bash build.sh"\n')
    benchmark = open_benchmark(str(root), runtime=runtime)
    assert not proved(benchmark, box)
    assert graded(benchmark, box, "sh-hello", {"build.sh": "true\n"}).score == 0


@pytest.mark.parametrize(
    ("language", "files", "says"),
    [
        ("javascript", {"a.js": "", "a.spec.js": "", "package.json": "{}"}, "jest, and there is no node_modules"),
        ("java", {"src/main/java/A.java": "", "src/test/java/ATest.java": ""}, "JUnit, which gradle fetches"),
        ("go", {"a.go": "", "a_test.go": "", "go.mod": "module a\nrequire x v1\n"}, "go.mod requires modules"),
        ("rust", {"src/lib.rs": "", "tests/a.rs": "", "Cargo.toml": "[dependencies]\nx = '1'\n"}, "depends on crates"),
    ],
)  # fmt: skip
def test_an_exercise_that_would_fetch_packages_is_refused(
    tmp_path: Path, runtime: Path, language: str, files: Mapping[str, str], says: str
) -> None:
    solution, test = [*files][:2]
    table = {"solution": [solution], "test": [test], "example": [".meta/example"]}
    root = write(tmp_path / "polyglot", exercise(language, "a", {**files, ".meta/example": ""}, **table))
    benchmark = open_benchmark(str(root), runtime=runtime)
    assert any(says in why for why in benchmark.unsupported_in("bubblewrap")[f"{language}-a"])


# ── answer sets ───────────────────────────────────────────────────────────────────────────────────

ANSWERS: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "gsm8k": ({"question": "3 of 1,000?", "answer": "3 * 1000 = <<3*1000=3000>>3000\n#### 3,000"}, "$3000.00", "300"),
    "aime": ({"id": 7, "problem": "Find n.", "answer": "073"}, "73", "37"),
    "math": (
        {"problem": "Half?", "level": "Level 3", "type": "Algebra", "solution": "So $\\boxed{\\frac{1}{\\sqrt{4}}}$."},
        "\\boxed{\\dfrac1{\\sqrt4}}",
        "\\frac{1}{4}",
    ),
    "arc": (
        {"id": "q1", "question": "Which?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
        "(b)",
        "A or B",
    ),
    "gpqa": (
        {"Question": "Pick", "Correct Answer": "yes", **{f"Incorrect Answer {n}": f"n{n}" for n in (1, 2, 3)}},
        "",
        "E",
    ),
    "drop": (
        {"passage": "P.", "question": "Who?", "query_id": "d", "answer": {"number": "", "spans": ["Ann Lee", "Bo"]}},
        "bo\nAnn Lee",
        "nobody",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", ANSWERS)
def test_an_answer_is_read_and_never_run(form: str, opened: Any, box: Sandbox) -> None:
    row, right, wrong = ANSWERS[form]
    benchmark = opened([row])
    (name,) = benchmark.selected()
    assert not proved(benchmark, box)
    if right:
        assert graded(benchmark, box, name, {"answer.txt": right}).score == 1
    assert graded(benchmark, box, name, {"answer.txt": wrong}).score == 0


def test_gpqa_hides_where_the_right_answer_stands(opened: Any) -> None:
    row = ANSWERS["gpqa"][0]
    benchmark = opened([{**row, "Question": f"Pick {n}"} for n in range(12)])
    places = {benchmark.task(name).instruction.find(") yes") for name in benchmark.selected()}
    assert len(places) > 2


# ── finding a form, choosing a part ───────────────────────────────────────────────────────────────


def test_options_stand_behind_the_name() -> None:
    assert named("humaneval:./a b.jsonl:max=3:seed=9") == named("humaneval:./a b.jsonl:seed=9:max=3")
    assert str(named("answer-sets:/x:y/z.csv:max=3")) == "answer-sets:/x:y/z.csv:max=3"
    assert named("core/fix-*") == named(str(named("core/fix-*")))
    for odd in ("core:max=0", "core:max=-1", "core:seed=x", "core:max="):
        with pytest.raises(UsageError, match="not a whole number"):
            named(odd)


def test_a_part_is_drawn_by_the_seed_and_a_larger_one_holds_it(
    opened: Any, tmp_path: Path, runtime: Path
) -> None:
    opened([{**MBPP[0], "task_id": n} for n in range(40)])
    place = tmp_path / "data set.jsonl"

    def names(options: str) -> list[str]:
        return open_benchmark(f"{place}{options}", runtime=runtime).selected()

    assert names(":max=5:seed=1") == names(":max=5:seed=1") != names(":max=5:seed=2")
    assert set(names(":max=5:seed=1")) < set(names(":max=9:seed=1"))
    assert names(":max=99") == names("") == [f"mbpp-{n}" for n in range(40)], "in the data's own order"


def test_every_importer_says_what_it_reads_and_what_nobody_reads_is_answered_with_all(tmp_path: Path) -> None:
    assert {"exercism", "humaneval", "mbpp", "quixbugs", "answer-sets", "livecodebench"} <= set(importers())
    assert all(importer(name).FORM for name in importers())
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"a": 1}\n')
    with pytest.raises(UsageError) as error:
        open_benchmark(str(odd))
    assert "humaneval: HumanEval.jsonl" in error.value.hint
    with pytest.raises(UsageError, match="no such file"):
        open_benchmark("humaneval:./nowhere.jsonl")
    with pytest.raises(UsageError, match="no importer called 'humanevl'") as slip:
        open_benchmark("humanevl:./nowhere.jsonl")
    assert slip.value.hint == "did you mean 'humaneval'?"
    with pytest.raises(UsageError, match="no option called 'sede'"):
        open_benchmark("core:max=2:sede=1")


# ── bad data ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("form", "row", "says"),
    [
        (
            "humaneval",
            {**HUMANEVAL[0], "task_id": "../../etc/passwd"},
            r"row 1: '../../etc/passwd' is no name",
        ),
        ("humaneval", {**HUMANEVAL[0], "prompt": 7}, r"row 1: prompt: 7 is not a text"),
        (
            "humaneval",
            {**HUMANEVAL[0], "canonical_solution": ")"},
            r"row 1: canonical_solution: is no Python",
        ),
        ("humaneval", {**HUMANEVAL[0], "entry_point": "gone"}, r"row 1: entry_point: 'gone' is not defined"),
        ("humaneval", {**HUMANEVAL[0], "test": None}, r"row 1: test: there is neither a test nor plus_input"),
        ("humaneval", {**PLUS[0], "plus_input": [3]}, r"row 1: plus_input: 3 is no list of arguments"),
        ("mbpp", {**MBPP[0], "test_list": "nope"}, r"row 1: test_list: holds no JSON"),
        ("mbpp", {**MBPP[0], "test_list": []}, r"row 1: test_list: is empty"),
        (
            "mbpp",
            {**MBPP[0], "test_list": ["assert 1"], "challenge_test_list": []},
            r"row 1: test_list: the assertions call nothing",
        ),
        (
            "livecodebench",
            contest(private_test_cases="AAAA"),
            r"row 1: private_test_cases: cannot be unpacked",
        ),
        (
            "livecodebench",
            contest(public_test_cases='[{"input": 1}]'),
            r"row 1: public_test_cases: a test without",
        ),
        ("answer-sets", {"question": "q", "answer": "#### many"}, r"row 1: answer: 'many' is no number"),
        ("answer-sets", {"problem": "p", "solution": "none"}, r"row 1: solution: holds no"),
    ],
)
def test_a_wrong_row_is_named_with_its_field(form: str, row: Any, says: str, opened: Any) -> None:
    with pytest.raises(UsageError, match=says) as error:
        opened([row], form=f"{form}:").tasks()
    assert str(error.value).startswith("/")
    assert error.value.hint


def test_two_problems_of_one_name_are_refused(opened: Any) -> None:
    with pytest.raises(UsageError, match="two problems are called 'Mine-0'"):
        opened([*HUMANEVAL, *HUMANEVAL]).tasks()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SAMPLES = {"humaneval": PLUS[0], "mbpp": MBPP[0], "livecodebench": contest()}
SAMPLES |= {f"answer-sets {name}": sample[0] for name, sample in ANSWERS.items()}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), form=st.sampled_from(sorted(SAMPLES)))
def test_whatever_a_row_holds_it_is_a_task_or_an_error_with_a_cure(data: Any, form: str) -> None:
    row = dict(SAMPLES[form])
    for field in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3)):
        row[field] = data.draw(ANYTHING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n")
        benchmark = open_benchmark(f"{form.partition(' ')[0]}:{path}", runtime=Path(folder) / "r")
        try:
            _ = benchmark.folders
        except UsageError as error:
            assert (
                str(path) in str(error)
                or "task.toml" in str(error)
                or "tests" in str(error)
                or "instruction" in str(error)
            )
            assert error.hint


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_a_file_holds_the_error_names_it(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x.jsonl", "x.jsonl.gz", "x.json", "x.csv", "x.parquet"):
            path = Path(folder) / name
            path.write_bytes(content)
            with pytest.raises(UsageError) as error:
                open_benchmark(f"humaneval:{path}", runtime=Path(folder) / "r").tasks()
            assert str(path) in str(error.value)
            assert error.value.hint


def test_parquet_and_json_hold_the_same_rows(tmp_path: Path, runtime: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.Table.from_pylist(MBPP), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps(MBPP))
    digests = {
        open_benchmark(str(tmp_path / f"a.{end}"), runtime=runtime).tasks()[0].digest
        for end in ("parquet", "json")
    }
    assert len(digests) == 1


def test_laying_the_tasks_out_again_gives_the_same_tasks(opened: Any) -> None:
    first, again = opened(HUMANEVAL).tasks(), opened(HUMANEVAL).tasks()
    assert first == again
    place = Path(first[0].folder)
    assert place.parents[1].stat().st_mode & 0o077 == 0, "hidden tests are nobody else's to read"


def test_the_recipe_in_the_docs_holds(
    tmp_path: Path, runtime: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file, no registration: what docs/extending.md shows is an importer."""
    import sica.benchmarks

    told = (ROOT / "docs" / "extending.md").read_text()
    code = next(block for block in told.split("```") if "sica/benchmarks/riddles.py" in block)
    (tmp_path / "riddles.py").write_text(code.removeprefix("python\n"))
    monkeypatch.setattr(sica.benchmarks, "__path__", [*sica.benchmarks.__path__, str(tmp_path)])
    assert "riddles" in importers()
    (tmp_path / "mine.jsonl").write_text('{"riddle": "One and one?", "answer": "2"}\n')
    assert not proved(open_benchmark(str(tmp_path / "mine.jsonl"), runtime=runtime), box)


def test_docs_name_every_importer_and_every_refusal_has_a_place_there() -> None:
    told = (ROOT / "docs" / "importers.md").read_text()
    assert all(f"| `{name}` |" in told for name in importers())
