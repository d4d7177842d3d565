"""QuixBugs' Python programs: one faulty line each, judged by the authors' own pytest files in a second box."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.errors import UsageError
from sica.model import File, Files

FORM = "a clone of github.com/jkoppel/QuixBugs (python_programs, correct_python_programs, python_testcases)"
PARTS = ("python_programs", "correct_python_programs", "python_testcases", "json_testcases")

CONFTEST = '''"""What the authors' own conftest.py and command line decide."""

import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parent / "python_testcases"))  # of load_testdata
pytest.use_correct = False  # the program in the workspace is meant
pytest.run_slow = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Two cases are too slow for the right program too: the authors' tests skip them, and they do not count.

    Only a test file can skip: no code of the workspace runs in this process.
    """
    report = yield
    if report.skipped:
        report.outcome = "passed"
    return report
'''


def fits(path: Path) -> bool:
    return all((path / part).is_dir() for part in PARTS[:3])


def problems(path: Path) -> Iterator[Problem]:
    for test in sorted((path / "python_testcases").glob("test_*.py")):
        program = test.stem.removeprefix("test_")
        yield Problem(plain_name(program, str(test)), partial(_made, path, program))


def _made(root: Path, program: str) -> Made:
    place = f"python_programs/{program}.py"
    faulty = _read(root / place)
    return Made(
        instruction=f"`{place}` has a fault in a single line. Find it and mend it; what the program is to do stands "
        "below its code. Change nothing else.",
        workspace={place: faulty, **_nodes(root)},
        tests=_tests(root, program),
        answer={place: _read(root / "correct_python_programs" / f"{program}.py")},
        ours={"grading": "two-box", "kind": "fix", "credit": "all", "protect": ["node.py"]},
        judge_seconds=120.0,
    )


def _nodes(root: Path) -> Files:
    """The class of the graphs' nodes lies beside the program: objects of it live where the program runs."""
    node = root / "python_testcases" / "node.py"
    return {"node.py": _read(node)} if node.is_file() else {}


def _tests(root: Path, program: str) -> Files:
    found = {
        "conftest.py": text(CONFTEST),
        f"python_testcases/test_{program}.py": _read(root / "python_testcases" / f"test_{program}.py"),
    }
    loader, data = root / "python_testcases" / "load_testdata.py", root / "json_testcases" / f"{program}.json"
    if loader.is_file() and data.is_file():
        found |= {
            "python_testcases/load_testdata.py": _read(loader),
            f"json_testcases/{program}.json": _read(data),
        }
    return found


def _read(path: Path) -> File:
    try:
        return File(path.read_bytes())
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}", "clone the repository again") from None
