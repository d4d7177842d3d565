"""SWE-bench and its family: an issue, a repository at a commit, and tests that come with a patch.

The repository is a clone that lies beside the rows, or the instance's image where that is on this machine; neither is
fetched. The agent's work is taken as a diff, with everything that steers a test run put back; the authors' test
patch goes over it; what the tests print is read by sica, outside the box. A test that is not seen to pass has failed.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sica import patches
from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.benchmarks._rows import Row, first, rows
from sica.errors import UsageError
from sica.model import File, Files
from sica.patches import PatchError

FORM = (
    "rows of SWE-bench, its Lite, Verified or Live parts, SWE-Gym or SWE-rebench, as JSON lines or Parquet; "
    "clones beside them in repos/OWNER__NAME (git clone --mirror), or the instances' Docker images"
)
FIELDS = {"instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch", "FAIL_TO_PASS"}

COMMANDS: Mapping[str, tuple[str, str]] = {
    "django/django": ("./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1", "django"),
    "sympy/sympy": ("PYTHONWARNINGS=ignore bin/test -C --verbose", "sympy"),
    "sphinx-doc/sphinx": ("tox --current-env -epy39 -v --", "pytest"),
    "astropy/astropy": ("pytest -rA -vv -o console_output_style=classic --tb=no", "pytest"),
    "mwaskom/seaborn": ("pytest --no-header -rA", "pytest"),
}
PYTEST = ("python3 -m pytest -rA -p no:cacheprovider", "pytest")
"""For every other repository whose tests are Python files."""
SOLVE = b'#!/bin/bash\npython3 -I "$(dirname "$0")/patches.py" "$(dirname "$0")/gold.patch"\n'
CONDA = "if [ -f /opt/miniconda3/bin/activate ]; then . /opt/miniconda3/bin/activate testbed; fi"
FORGET = (
    "rm -rf .git && git init -q . && git add -A && "
    "git -c user.name=base -c user.email=base@localhost commit -q -m base"
)
"""The images keep the project's history, the fix included: the agent gets one commit."""


def fits(path: Path) -> bool:
    return first(path).keys() >= FIELDS


def problems(path: Path) -> Iterator[Problem]:
    for row in rows(path):
        name = plain_name(row.text("instance_id"), f"{path}: row {row.number}: instance_id")
        yield Problem(name, partial(_made, row, path.parent / "repos"))


def _made(row: Row, clones: Path) -> Made:
    fix, tests = _paths(row, "patch"), _paths(row, "test_patch")
    wanted, kept = (
        row.texts("FAIL_TO_PASS"),
        row.texts("PASS_TO_PASS") if row.data.get("PASS_TO_PASS") else [],
    )
    if not wanted:
        raise row.wrong("FAIL_TO_PASS", "names no test")
    command, parser = _command(row, tests)
    clone = _clone(clones, row.text("repo"))
    told = clone is not None and command.startswith(PYTEST[0])  # one run, by a Python that is ours
    ours: dict[str, Any] = {
        "grading": "log",
        "kind": "issue",
        "credit": "all",
        "processes": 1024,
        "protect": [*map(_exactly, tests), *(f"!{_exactly(path)}" for path in fix if path not in tests)],
        "origin": f"{row.text('repo')} {row.text('base_commit')}",
        "refused": []
        if command
        else ["no test command is known for it: a field test_cmd in the row would be one"],
    }
    script = [
        "#!/bin/bash",
        "python3 -I /tests/patches.py /tests/test.patch || exit 97",
        CONDA,
        command or "false",
    ]
    made = Made(
        instruction=row.text("problem_statement"),
        tests={
            "run.sh": File("\n".join([*script, ""]).encode(), True),
            "log.json": text(
                json.dumps({"parser": parser, "told": told, "passed": wanted, "kept": kept, "patch": True})
            ),
            "test.patch": text(row.text("test_patch")),
            "patches.py": _applier(),
        },
        solution={
            "solve.sh": File(
                b'#!/bin/bash\npython3 -I "$(dirname "$0")/patches.py" "$(dirname "$0")/gold.patch"\n', True
            ),
            "gold.patch": text(row.text("patch")),
            "patches.py": _applier(),
        },
        seconds=1800.0,
        judge_seconds=1800.0,
        memory_mb=4096,
        storage_mb=4096,
        workdir="/testbed",
    )
    return _from_clone(row, made, ours, clone) if clone else _from_image(row, made, ours)


def _applier() -> File:
    return File(Path(patches.__file__).read_bytes())


def _exactly(path: str) -> str:
    """A glob that means this path alone."""
    return re.sub(r"([][*?])", r"[\1]", path)


def _paths(row: Row, field: str) -> tuple[str, ...]:
    try:
        found = patches.paths(row.text(field))
    except PatchError as e:
        raise row.wrong(field, str(e)) from None
    if not found:
        raise row.wrong(field, "is no diff")
    return found


def _command(row: Row, tests: Sequence[str]) -> tuple[str, str]:
    """The command with the test files, and who reads its log: the row's own, the repository's, or pytest."""
    parser = next((name for name in ("django", "sympy") if name in row.maybe("log_parser")), "pytest")
    own = row.data.get("test_cmds") or row.data.get("test_cmd") or _config(row).get("test_cmd")
    if isinstance(own, list) and own and all(isinstance(line, str) for line in own):
        return "\n".join(own), parser
    if isinstance(own, str) and own:
        return f"{own} {_directives(tests, own)}".strip(), parser
    known = COMMANDS.get(row.text("repo"))
    if known is None and any(path.endswith(".py") for path in tests):
        known = PYTEST
    if known is None:
        return "", "exit"
    return f"{known[0]} {_directives(tests, known[0])}", known[1]


def _config(row: Row) -> Mapping[str, Any]:
    """SWE-rebench keeps its command in a table."""
    found = row.data.get("install_config")
    found = row.json("install_config") if isinstance(found, str) and found else found
    return found if isinstance(found, dict) else {}


def _directives(tests: Sequence[str], command: str) -> str:
    """The test files, as the command takes them: Django's runner wants modules below tests/."""
    files = [path for path in tests if re.search(r"\.(py|c|cpp|js|ts|rb|go|rs|java|php)$", path)]
    if "runtests.py" in command:
        return " ".join(path.removesuffix(".py").removeprefix("tests/").replace("/", ".") for path in files)
    return shlex.join(files)


# ── where the repository comes from ───────────────────────────────────────────────────────────────


def _clone(clones: Path, repo: str) -> Path | None:
    owner, _, name = repo.partition("/")
    for place in (f"{owner}__{name}", f"{owner}/{name}", name):
        for ending in ("", ".git"):
            found = clones / f"{place}{ending}"
            if found.is_dir() and ".." not in Path(place).parts:
                return found
    return None


def _from_clone(row: Row, made: Made, ours: Mapping[str, Any], clone: Path) -> Made:
    workspace = _tree(row, clone)
    plain = {path: file.data for path, file in workspace.items()}
    for field in ("patch", "test_patch"):
        try:
            patches.applied(row.text(field), plain)
        except PatchError as e:
            raise row.wrong(field, f"does not fit {clone}: {e}") from None
    return replace(made, workspace=workspace, ours=ours)


def _tree(row: Row, clone: Path) -> Files:
    """The files at the commit, and nothing of the history. Links are left out: no task can hold one."""
    from dulwich.errors import NotGitRepository
    from dulwich.object_store import iter_tree_contents
    from dulwich.objects import Commit, ObjectID
    from dulwich.repo import Repo

    commit = row.text("base_commit")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise row.wrong("base_commit", f"{commit[:50]!r} is no full hash")
    try:
        with Repo(str(clone)) as repo:
            found = repo.object_store[ObjectID(commit.encode())]
            if not isinstance(found, Commit):
                raise row.wrong("base_commit", "is no commit")
            entries = list(iter_tree_contents(repo.object_store, found.tree))
            return {
                entry.path.decode(): File(
                    repo.object_store[entry.sha].as_raw_string(), entry.mode == 0o100755
                )
                for entry in entries
                if entry.path and entry.sha and entry.mode in (0o100644, 0o100664, 0o100755)
            }
    except NotGitRepository:
        raise UsageError(f"{clone}: is no git repository", "clone it again") from None
    except KeyError:
        raise UsageError(f"{clone}: does not have commit {commit}", f"git -C {clone} fetch --all") from None
    except UnicodeDecodeError:
        raise UsageError(f"{clone}: a path at {commit} is not UTF-8", "no task can hold it") from None


def _from_image(row: Row, made: Made, ours: Mapping[str, Any]) -> Made:
    name = row.maybe("docker_image", "image_name", "image") or _official(row.text("instance_id"))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}", name):
        raise row.wrong("image_name", f"{name[:80]!r} is no name of an image")
    recipe = f"FROM {name}\nWORKDIR /testbed\nRUN {FORGET}\n"
    return replace(made, environment={"Dockerfile": text(recipe)}, ours={**ours, "needs_image": name})


def _official(instance: str) -> str:
    return f"swebench/sweb.eval.x86_64.{instance.lower().replace('__', '_1776_')}:latest"
