"""Exercism tracks and Aider's polyglot benchmark: a stub to fill in, two tries, the second one told what failed.

Python is judged in two boxes, by the track's own test file. For a language whose tests must be compiled together
with the solution the track's command runs beside it (grading `log`), where its toolchain is.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sica.benchmarks._imported import Made, Problem, plain_name, text
from sica.errors import UsageError
from sica.model import File, Files
from sica.twobox import expected_ids

FORM = (
    "a clone of github.com/Aider-AI/polyglot-benchmark or of an Exercism track such as github.com/exercism/python, "
    "one language of it, or one exercise"
)
DOCS = ("introduction.md", "instructions.md", "instructions.append.md")
TOOLCHAINS = "toolchains.toml"


@dataclass(frozen=True, slots=True)
class Language:
    program: str
    """What must be there."""
    command: str
    """Runs every test of an exercise in its folder, without a network."""


LANGUAGES: Mapping[str, Language] = {
    "python": Language("python3", ""),
    "go": Language("go", "go test ./..."),
    "rust": Language("cargo", "cargo test --offline -- --include-ignored"),
    "javascript": Language("npm", "npm run test"),
    "java": Language("gradle", "gradle --offline --no-daemon test"),
    "cpp": Language("cmake", "cmake -S . -B build -DEXERCISM_RUN_ALL_TESTS=1 && cmake --build build"),
}
JAVASCRIPT = "sed -i 's/\\bxtest(/test(/g' *.spec.js"
JAVA = "find src/test -name '*.java' -exec sed -i '/@Disabled/d' {} +"
BEFORE = {"javascript": JAVASCRIPT, "java": JAVA}
"""Tracks switch off all tests but the first, for people; all of them count."""


def fits(path: Path) -> bool:
    return next(_exercises(path), None) is not None


def problems(path: Path) -> Iterator[Problem]:
    tools = _toolchains(path)
    for folder in _exercises(path):
        language = _language(folder)
        name = plain_name(f"{language}-{folder.name}", str(folder))
        yield Problem(name, partial(_made, folder, language, tools.get(language, {})))


def _exercises(path: Path) -> Iterator[Path]:
    """From a whole benchmark, a track, a language or one exercise."""
    for below in ("", "practice/*/", "exercises/practice/*/", "*/exercises/practice/*/"):
        found = sorted(path.glob(f"{below}.meta/config.json"))
        if found:
            yield from (config.parents[1] for config in found)
            return


def _language(folder: Path) -> str:
    """The folder's above `exercises`; a clone of a track may have any name, so its test files tell too."""
    parts = folder.parts
    above = parts[len(parts) - parts[::-1].index("exercises") - 2] if "exercises" in parts else ""
    if above in LANGUAGES:
        return above
    ends = {".py": "python", ".go": "go", ".rs": "rust", ".js": "javascript", ".java": "java", ".cpp": "cpp"}
    tests = _config(folder)["test"]
    return next(
        (ends[PurePosixPath(t).suffix] for t in tests if PurePosixPath(t).suffix in ends), above or "unknown"
    )


def _config(folder: Path) -> dict[str, list[str]]:
    """Which files are the solution's, the tests', the example's and the editor's."""
    path = folder / ".meta" / "config.json"
    try:
        files = json.loads(path.read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise UsageError(
            f"{path}: holds no table of files: {type(e).__name__}", "mend or remove it"
        ) from None
    found: dict[str, list[str]] = {}
    for key in ("solution", "test", "example", "editor"):
        names = files.get(key, []) if isinstance(files, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UsageError(f"{path}: files.{key} is not a list of names", f"mend files.{key}")
        for name in names:
            pure = PurePosixPath(name)
            if pure.is_absolute() or ".." in pure.parts or not pure.parts:
                raise UsageError(f"{path}: files.{key}: {name!a} leaves the exercise", f"mend files.{key}")
        found[key] = names
    return found


def _toolchains(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """toolchains.toml beside the exercises: `[go] image = "..."` and, where the usual will not do, `command`."""
    place = path / TOOLCHAINS
    if not place.is_file():
        return {}
    try:
        found = tomllib.loads(place.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f"{place}: broken TOML: {e}", "mend the line it names") from None
    for language, table in found.items():
        known = isinstance(table, dict) and set(table) <= {"image", "command"}
        if not known or not all(isinstance(value, str) and value for value in table.values()):
            raise UsageError(
                f"{place}: [{language}] may hold the texts image and command", f"mend [{language}]"
            )
    return found


def _made(folder: Path, language: str, tools: Mapping[str, Any]) -> Made:
    config, there = _config(folder), _files(folder)
    tests = {name: there[name] for name in _tests(config, there, language)}
    hidden = {*tests, *config["example"]}
    workspace = {
        name: file
        for name, file in there.items()
        if name not in hidden and not name.startswith((".meta/", ".docs/", "test/", "tests/"))
    }
    made = Made(
        instruction=_instruction(folder, config["solution"]),
        workspace=workspace,
        tests=tests,
        answer={n: file for n, file in _answer(config, there).items() if file != workspace.get(n)},
        seconds=180.0,
        judge_seconds=180.0,
    )
    return (
        _python(made)
        if language == "python"
        else _compiled(made, folder, config["solution"], language, tools)
    )


def _files(folder: Path) -> dict[str, File]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UsageError(f"{path}: a link", "copy what it points at")
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found[name] = File(path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def _tests(config: Mapping[str, list[str]], there: Files, language: str) -> list[str]:
    """The track's test files and what lies beside them for them alone."""
    missing = [name for name in config["test"] if name not in there]
    if missing or not config["test"]:
        raise UsageError(
            f"a test file is missing: {missing or 'none is named'}", "clone the repository again"
        )
    more = [name for name in there if name.startswith(("test/", "tests/")) or name.endswith("_test.go")]
    if language == "python":
        more += [name for name in there if PurePosixPath(name).name == "test_utils.py"]
    return sorted({*config["test"], *more, *(n for n in config["editor"] if n.startswith("cases_test"))})


def _instruction(folder: Path, solution: list[str]) -> str:
    told = [folder / ".docs" / name for name in DOCS]
    parts = [path.read_text(encoding="utf-8").strip() for path in told if path.is_file()]
    if not parts:
        raise UsageError(f"{folder / '.docs' / 'instructions.md'}: there is no such file", "clone it again")
    names = ", ".join(f"`{name}`" for name in solution)
    return "\n\n".join(
        [
            *parts,
            "---",
            f"Write the code into {names}. Keep the names of functions, classes and files that stand there already: "
            "hidden tests use them. Use only the language's standard library.",
        ]
    )


def _answer(config: Mapping[str, list[str]], there: Files) -> Files:
    """Examples stand for solution files: of one's own name where there is one, else in their order."""
    wanted, answer = config["solution"], {}
    left = list(config["example"])
    for name in wanted:
        pure = PurePosixPath(name)
        near = [e for e in left if PurePosixPath(e).name == pure.name]
        near += [e for e in left if PurePosixPath(e).suffix == pure.suffix]
        near += [e for e in left if e.endswith(f"-example{pure.suffix}")]
        if near and near[0] in there:
            answer[name] = there[near[0]]
            left.remove(near[0])
    for example in left:
        if (pure := PurePosixPath(example)).parts[:2] == (".meta", "src") and example in there:
            answer[f"src/main/java/{pure.name}"] = there[example]
    cargo = there.get(".meta/Cargo-example.toml")
    return {**answer, "Cargo.toml": cargo} if cargo else answer


# ── python ────────────────────────────────────────────────────────────────────────────────────────


def _python(made: Made) -> Made:
    code = [file.data for name, file in made.tests.items() if name.endswith("_test.py")]
    far = any(_must_share_a_process(source) for source in code)
    ours: dict[str, Any] = {"grading": "two-box", "kind": "python", "credit": "all", "tries": 2}
    if not far:
        return replace(made, ours=ours)
    names = " ".join(name for name in made.tests if name.endswith("_test.py"))
    rules = {"parser": "pytest", "told": True, "passed": list(expected_ids(made.tests))}
    command = f"python3 -m pytest -rA -p no:cacheprovider {names}"
    return replace(made, ours={**ours, "grading": "log"}, tests=_logged(made.tests, command, rules))


def _must_share_a_process(source: bytes) -> bool:
    """Whether the tests replace things in the solution's own process, so that they cannot stand in another box."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return True
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return any(
        node.module == "unittest.mock"
        or (node.module == "unittest" and any(n.name == "mock" for n in node.names))
        for node in imports
    )


# ── other languages ───────────────────────────────────────────────────────────────────────────────


def _compiled(
    made: Made, folder: Path, solution: Sequence[str], language: str, tools: Mapping[str, Any]
) -> Made:
    known = LANGUAGES.get(language)
    command = tools.get("command") or (known.command if known else "")
    ours: dict[str, Any] = {
        "grading": "log",
        "kind": language,
        "credit": "all",
        "tries": 2,
        "processes": 2048,
        # who could change how tests are built could build none of them
        "protect": [_exactly(name) for name in made.workspace if name not in {*solution, *made.answer}],
    }
    if not command:
        ours["refused"] = [
            f"no command is known for {language}: [{language}] command in {TOOLCHAINS} would be one"
        ]
    elif not tools.get("image") and known:
        ours["requires"] = [known.program]
        if lacking := "" if tools.get("command") else _lacking(made, language):
            ours["refused"] = [
                f"{lacking}, and no box has a network: [{language}] image in {TOOLCHAINS} may hold them"
            ]
    before = BEFORE.get(language, "")
    return replace(
        made,
        ours=ours,
        tests=_logged(made.tests, "\n".join(filter(None, (before, command or "false"))), {"parser": "exit"}),
        image=str(tools.get("image", "")),
        workdir=f"/app/{folder.name}",  # CMake's files take the exercise's name from it
        memory_mb=2048,
        storage_mb=1024,
    )


def _exactly(path: str) -> str:
    return re.sub(r"([][*?])", r"[\1]", path)


def _lacking(made: Made, language: str) -> str:
    """What the usual command would fetch, since it neither is Python's nor lies below /usr; "" when nothing."""
    files = {**made.workspace, **made.answer}
    if language == "javascript" and not any(name.startswith("node_modules/") for name in files):
        return "its tests run by jest, and there is no node_modules"
    if language == "java":
        return "its tests run by JUnit, which gradle fetches"
    if language == "go" and b"require" in (files["go.mod"].data if "go.mod" in files else b""):
        return "go.mod requires modules"
    if language == "rust" and "Cargo.toml" in files:
        try:
            table = tomllib.loads(files["Cargo.toml"].data.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            return ""
        if table.get("dependencies") or table.get("dev-dependencies"):
            return "Cargo.toml depends on crates"
    return ""


def _logged(tests: Files, command: str, rules: Mapping[str, Any]) -> Files:
    """The tests laid into the workspace, then the command, whose log or exit code is the verdict."""
    script = f'#!/bin/bash\nset -e\ncp -R "$(dirname "$0")/files/." .\n{command}\n'
    return {
        "run.sh": File(script.encode(), True),
        "log.json": text(json.dumps(rules)),
        **{f"files/{name}": file for name, file in tests.items()},
    }
