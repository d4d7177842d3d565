"""Judges what an agent left: pristine files, a fresh box, a verdict from facts that sica saw itself.

split     a worker answers calls with the agent's code; expected values never enter a box        (checks.json)
cases     a program is run on inputs, and what it printed is compared here                       (cases.json)
answer    a file is read here; nothing runs                                                       (answer.json)
two-box   hidden pytest files in one box call the agent's code in another                         (twobox.py)
log       tests/run.sh runs beside the agent's code; what pytest tells, or, weaker, what is printed (log.json)
script    tests/test.sh runs beside the agent's code and writes a reward: the weak one
"""

from __future__ import annotations

import fnmatch
import json
import math
import secrets
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sica import answers, patches, testlogs, twobox
from sica import checks as rules
from sica.errors import SandboxError, UsageError
from sica.model import BoxSpec, Ended, File, Files, Grade, Job, Task
from sica.ports import Sandbox

INSIDE = Path(__file__).parent / "inside"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_CHARS = 20_000
SETTINGS_BYTES = 100_000
CHANGED_BYTES = 4_000_000
"""Of changed files that are compared line by line: who left more could keep this machine busy."""
PATCH_CHARS = 200_000
"""Of a diff that is kept with its trial; a longer one is no fix of an issue."""
REPORT_BYTES = 20_000_000
"""Of a test run's own report: some hundred thousand tests."""
LOG_BYTES = 20_000_000
"""Of what a test run prints, in log mode: a test whose line is cut away has not passed."""
ANSWER_BYTES = 1_100_000
"""Of one answer or reward: a worker sends a million at most, and what is read here takes room here."""


@dataclass(frozen=True, slots=True)
class Case:
    """One task on the judge's side: its hidden files as well as its public ones."""

    task: Task
    pristine: Files
    """The workspace before the agent came, by absolute box path."""
    tests: Files
    """What lies below tests/, by relative path."""
    protect: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    seconds: float = 600.0
    """For the whole judgement."""
    whole: bool = False
    """What does not earn 1 earns 0."""
    patience: float = 10.0
    """Seconds for one check or one call of a test, unless the check says otherwise."""
    env: Mapping[str, str] | None = None
    ahead: float = 0.0
    """Seconds that the split judge's clock is put ahead; only whoever checks a task does that."""
    runtime: Path | None = None
    """Where sockets and the clean copy of pytest may be put; the two-box judge needs it."""


def grade(case: Case, left: Files, sandbox: Sandbox, cancel: threading.Event | None = None) -> Grade:
    """The verdict on what an agent left. A judge that could not run gives no score, and never a zero."""
    files, findings = lay_over(
        case.pristine,
        left,
        case.task.workdir,
        case.protect,
        places=case.task.places,
        whole=case.task.grading in ("script", "log") and case.task.image is not None,
    )
    try:
        verdict = _judge(case, files, sandbox, cancel)
    except SandboxError as e:
        verdict = _whose_fault(case, files, sandbox, cancel, e)
    if case.task.grading == "log":
        verdict = replace(verdict, patch=_patch(case, files))
    score = verdict.score
    if case.whole and score is not None:
        score = float(score == 1.0)
    return replace(verdict, score=score, findings=(*findings, *verdict.findings))


def _patch(case: Case, files: Files) -> str:
    """What the agent changed below the workdir, as a diff, where the task asks for it."""
    if not read_log_rules(case.task.folder, case.tests).get("patch"):
        return ""
    before, after = (
        {_name(path, case.task.workdir): file.data for path, file in each.items() if "/.git/" not in path}
        for each in (case.pristine, files)
    )
    changed = (after.get(path, b"") for path in {*before, *after} if before.get(path) != after.get(path))
    if sum(map(len, changed)) > CHANGED_BYTES:
        return ""
    made = patches.made(before, after)
    return made if len(made) <= PATCH_CHARS else ""


def _judge(case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Grade:
    return JUDGES[case.task.grading](case, files, sandbox, cancel)


def _whose_fault(
    case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None, first: SandboxError
) -> Grade:
    """The harness's when its judge fails on the task's own files too; else the agent is judged once more.

    A judge that fails on nothing but what the agent left was stopped by the agent: a fault would leave that
    failure out of its mean.
    """
    mode = case.task.grading

    def fault(error: SandboxError) -> Grade:
        return Grade(None, mode, fault=f"the judge could not run: {error}")

    if cancel is not None and cancel.is_set():
        return fault(first)
    try:
        _judge(case, case.pristine, sandbox, cancel)
    except SandboxError as error:
        return fault(error)
    try:
        return _judge(case, files, sandbox, cancel)
    except SandboxError as error:
        if cancel is not None and cancel.is_set():
            return fault(error)
        return Grade(0.0, mode, findings=(f"verifier: what was left cannot be judged: {str(error)!a}",))


# ── what is taken from the agent ──────────────────────────────────────────────────────────────────

_DROPPED = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"})
_HISTORY = ".git"
_STEERS_PYTHON = ("*.pth", "sitecustomize.py", "usercustomize.py", "pyvenv.cfg")
_STEERS_PYTEST = ("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini")
_MIXED = ("setup.cfg", "pyproject.toml", "entry_points.txt")
"""Settings of pytest among others: restored only when pytest's part differs."""
_JUDGES = frozenset({"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py"})
_TESTS = ("test_*.py", "*_test.py", "tests.py")


def lay_over(
    pristine: Files,
    left: Files,
    workdir: str,
    protect: tuple[str, ...] = (),
    *,
    places: tuple[str, ...] = (),
    whole: bool = False,
) -> tuple[Files, tuple[str, ...]]:
    """The agent's files over the task's own, and what an honest agent would not have left.

    Only paths below the places (else the workdir) count. Protected files are as the task had them; links never
    come this far. `whole`: git's own files are part of the deliverable.
    """
    places = places or (workdir,)
    dropped = _DROPPED if whole else _DROPPED | {_HISTORY}
    freed = tuple(glob[1:] for glob in protect if glob.startswith("!"))
    guarded = tuple(glob for glob in protect if not glob.startswith("!"))
    laid: dict[str, File] = {}
    findings: list[str] = []
    for path, file in sorted(left.items()):
        name = _inside(path, workdir, places)
        if name is None:
            findings.append(f"left outside the workspace: {path!a}")
            continue
        if dropped.intersection(PurePosixPath(name).parts) or name.endswith((".pyc", ".pyo")):
            continue
        own = pristine.get(path)
        why = "" if _matches(name, freed) else _protected(name, file, own, guarded)
        if not why:
            laid[path] = file
        elif own is None or own.data != file.data:
            findings.append(f"{why}: {name!a}")
    findings += _restore(laid, pristine, left, workdir, freed, guarded)
    return laid, tuple(findings)


def _inside(path: str, workdir: str, places: tuple[str, ...]) -> str | None:
    """The path's name for rules and reports: below the workdir, or whole. None when it is no deliverable."""
    pure = PurePosixPath(path)
    if "\0" in path or ".." in pure.parts or not any(_below(path, place) for place in places):
        return None
    return _name(path, workdir)


def _below(path: str, place: str) -> bool:
    return path.startswith(place.rstrip("/") + "/")


def _name(path: str, workdir: str) -> str:
    return PurePosixPath(path).relative_to(workdir).as_posix() if _below(path, workdir) else path


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def _protected(name: str, file: File, own: File | None, guarded: tuple[str, ...]) -> str:
    """Why the agent's version of this file is not taken, or ""."""
    base = PurePosixPath(name).name
    if _matches(base, _STEERS_PYTHON):
        return "steers Python"
    if base in _STEERS_PYTEST:
        return "steers pytest"
    if base in _MIXED and _pytest_part(base, file.data) != _pytest_part(base, own.data if own else b""):
        return "steers pytest"
    if own is None and _shadows(name):
        return "takes the name of a module that judges"
    if _matches(name, guarded):
        return "changed a protected file"
    if own is not None and is_test(name):
        return "changed a visible test"
    return ""


def is_test(name: str) -> bool:
    """Whether a file of a workspace is a test that the agent was shown."""
    return _matches(PurePosixPath(name).name, _TESTS)


def _shadows(name: str) -> bool:
    """A new top-level module that Python or pytest would find before its own."""
    if name.startswith("/"):
        return False
    first = PurePosixPath(name.removeprefix("src/")).parts[0]
    module, dot, _ = first.partition(".")
    is_code = name.endswith((".py", ".so")) and (not dot or first.endswith((".py", ".so")))
    return is_code and (module in sys.stdlib_module_names or module in _JUDGES)


def _pytest_part(base: str, data: bytes) -> object:
    """What of these settings is pytest's. All of a file that no person wrote: reading it here could take an hour."""
    if len(data) > SETTINGS_BYTES:
        return data
    text = data.decode("utf-8", "replace")
    if base == "setup.cfg":
        return [line for line in text.splitlines() if "pytest" in line]
    if base == "entry_points.txt":  # of a package in the workspace: pytest loads the plugins that it names
        return text if "pytest11" in text else None
    try:
        tool = tomllib.loads(text).get("tool", {})
    except (tomllib.TOMLDecodeError, RecursionError):
        return "unreadable" if "pytest" in text else None
    return tool.get("pytest") if isinstance(tool, dict) else None


def _restore(
    laid: dict[str, File],
    pristine: Files,
    left: Files,
    workdir: str,
    freed: tuple[str, ...],
    guarded: tuple[str, ...],
) -> Iterator[str]:
    """Put the task's protected files back, where nothing of the agent's may stand in the way."""
    for path, own in pristine.items():
        name = _name(path, workdir)
        base = PurePosixPath(name).name
        ours = (
            is_test(name)
            or _matches(name, guarded)
            or base in (*_STEERS_PYTEST, *_STEERS_PYTHON)
            or (path in left and base in _MIXED and path not in laid)
        )
        if not ours or _matches(name, freed) or laid.get(path) == own:
            continue
        for other in [p for p in laid if path.startswith(p + "/") or p.startswith(path + "/")]:
            del laid[other]
            yield f"stands in the way of a protected file: {other!a}"
        if path not in left:
            yield f"deleted a protected file: {name!a}"
        laid[path] = own


# ── split ─────────────────────────────────────────────────────────────────────────────────────────


def judgeable(mode: str, folder: str, tests: Files) -> None:
    """Raises UsageError when the judge would find that it has nothing to judge by."""
    if mode == "split":
        read_checks(folder, tests)
    elif mode == "two-box":
        twobox.expected_ids(tests, folder)
    elif mode == "log":
        read_log_rules(folder, tests)
    elif mode == "cases":
        read_cases(folder, tests)
    elif mode == "answer":
        read_answer(folder, tests)


def read_checks(folder: str, tests: Files) -> list[dict[str, Any]]:
    where = f"{folder}/tests/checks.json"
    file = tests.get("checks.json")
    if file is None:
        raise UsageError(f"{where}: there is no such file", "the split judge needs it")
    try:
        checks = rules.parse_checks(file.data.decode())
    except UnicodeDecodeError as e:
        raise UsageError(f"{where}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from None
    except ValueError as e:
        raise UsageError(f"{where}: {e}", "docs/tasks.md shows every kind of check") from None
    for check in checks:
        if "expected" in check and check["expected"] not in tests:
            raise UsageError(
                f"{where}: check {check['id']!r}: expected = {check['expected']!r}: no such file below tests/",
                "add the file",
            )
    return checks


def _split(case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Grade:
    checks = read_checks(case.task.folder, case.tests)
    asked = rules.questions(checks)
    answers: Mapping[int, Any] = {}
    log = ""
    if asked:
        nonce = secrets.token_hex(16)
        ended = _work(case, files, asked, nonce, sandbox, cancel)
        answers, log = _answers(ended, asked, nonce), _log(ended)
    credits = {check["id"]: _credit(case, check, n, answers, files) for n, check in enumerate(checks)}
    findings = tuple(f"integrity: {what}" for what in rules.flagged(checks, credits))
    return Grade(rules.total(checks, credits), "split", tuple(credits.items()), findings, log=log)


def _work(
    case: Case,
    files: Files,
    asked: list[dict[str, Any]],
    nonce: str,
    sandbox: Sandbox,
    cancel: threading.Event | None,
) -> Ended:
    job: dict[str, Any] = {
        "nonce": nonce,
        "workdir": case.task.workdir,
        "seconds": case.patience,
        "questions": asked,
    }
    if case.ahead:
        job["ahead"] = case.ahead
    ended = sandbox.run(
        spec(case, "/judge"),
        Job(
            ("python3", "-I", "/judge/worker.py", "/judge/questions.json", "/judge/answers"),
            cwd=case.task.workdir,
            env=environment(case),
            files={
                **files,
                "/judge/worker.py": File((INSIDE / "worker.py").read_bytes()),
                "/judge/questions.json": File(json.dumps(job).encode()),
            },
            collect=("/judge/answers",),
        ),
        cancel,
    )
    if ended.limit == "cancelled":
        raise SandboxError("it was cancelled")
    if ended.exit_code in (126, 127) and "/judge/answers" not in ended.files:
        raise SandboxError(f"python3 does not start in the box: {_log(ended)}")
    return ended


def _answers(ended: Ended, asked: list[dict[str, Any]], nonce: str) -> dict[int, Any]:
    """By number, of what was asked. Lines without the nonce are nothing; two answers to one question are none."""
    file = ended.files.get("/judge/answers")
    found: dict[int, Any] = {}
    wanted = {question["n"] for question in asked}
    twice: set[int] = set()
    for line in file.data.split(b"\n") if file else ():
        answer = _plain_json(line)
        if not isinstance(answer, dict) or answer.get("nonce") != nonce or type(answer.get("n")) is not int:
            continue
        if answer["n"] not in wanted:
            continue
        if answer["n"] in found:
            twice.add(answer["n"])
        found[answer["n"]] = answer
    return {n: answer for n, answer in found.items() if n not in twice}


def _plain_json(data: bytes, most: int | None = ANSWER_BYTES) -> Any:
    """None when it is no JSON, or more than any honest side says."""
    try:
        return json.loads(data) if most is None or len(data) <= most else None
    except (ValueError, RecursionError):
        return None


def _credit(case: Case, check: Mapping[str, Any], n: int, answers: Mapping[int, Any], files: Files) -> float:
    if "file" not in check:
        return float(rules.answered(check, answers.get(n)))
    path = (PurePosixPath(case.task.workdir) / check["file"]).as_posix()
    left = files[path].data if path in files else None
    if "accept" in check:
        return rules.accepted(check["accept"], left)
    if "lines" in check:
        return rules.lines_credit(check["lines"], left)
    base = case.pristine[path].data if path in case.pristine else b""
    return rules.edit_credit(base, case.tests[check["expected"]].data, left)


# ── cases and answers ─────────────────────────────────────────────────────────────────────────────


def read_cases(folder: str, tests: Files) -> Mapping[str, Any]:
    """tests/cases.json: {"run": [...], "cases": [{"stdin": ..., "stdout": ...}]}."""
    where = f"{folder}/tests/cases.json"
    found = _plain_json(tests["cases.json"].data, most=None) if "cases.json" in tests else None
    words = found.get("run") if isinstance(found, dict) else None
    cases = found.get("cases") if isinstance(found, dict) else None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise UsageError(
            f"{where}: run is no list of words", 'write {"run": ["python3", "solution.py"], ...}'
        )
    texts = isinstance(cases, list) and all(
        isinstance(case, dict) and isinstance(case.get("stdin"), str) and isinstance(case.get("stdout"), str)
        for case in cases
    )
    if not cases or not texts:
        raise UsageError(f"{where}: cases is no list of stdin and stdout", "give at least one case")
    assert isinstance(found, dict)
    return found


def _cases(case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Grade:
    """Each input in a process of its own; what it should print never enters the box."""
    wanted = read_cases(case.task.folder, case.tests)
    asked = [{"n": n, "run": wanted["run"], "stdin": each["stdin"]} for n, each in enumerate(wanted["cases"])]
    nonce = secrets.token_hex(16)
    ended = _work(case, files, asked, nonce, sandbox, cancel)
    found = _answers(ended, asked, nonce)
    credits = {f"{n}": _printed(each["stdout"], found.get(n)) for n, each in enumerate(wanted["cases"])}
    checks = [{"id": id} for id in credits]
    return Grade(rules.total(checks, credits), "cases", tuple(credits.items()), log=_log(ended))


def _printed(wanted: str, answer: Any) -> float:
    if not isinstance(answer, dict) or answer.get("exit") != 0 or not isinstance(answer.get("stdout"), str):
        return 0.0
    return float(answers.same_output(wanted, answer["stdout"]))


def read_answer(folder: str, tests: Files) -> Mapping[str, Any]:
    """tests/answer.json: {"file": "answer.txt", "kind": "number", "right": ["42"]}."""
    where = f"{folder}/tests/answer.json"
    found = _plain_json(tests["answer.json"].data) if "answer.json" in tests else None
    if not isinstance(found, dict) or found.get("kind") not in answers.KINDS:
        raise UsageError(f"{where}: names no scorer", f"kind is one of {', '.join(answers.KINDS)}")
    right, name = found.get("right"), found.get("file")
    if not isinstance(right, list) or not right or not all(isinstance(each, str) for each in right):
        raise UsageError(f"{where}: right is no list of texts", "write the right answers into it")
    if not isinstance(name, str) or not name or ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise UsageError(f"{where}: file = {name!r} must be a relative path", "such as answer.txt")
    return found


def _answer(case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Grade:
    del sandbox, cancel
    wanted = read_answer(case.task.folder, case.tests)
    left = files.get((PurePosixPath(case.task.workdir) / wanted["file"]).as_posix())
    earned = answers.credit(wanted["kind"], wanted["right"], left.data if left else None)
    return Grade(earned, "answer", (("answer", earned),))


# ── script ────────────────────────────────────────────────────────────────────────────────────────


def _script(case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Grade:
    ended = _beside(case, files, "test.sh", sandbox, cancel)
    score, why = reward(ended.files)
    if score is None:
        return Grade(0.0, "script", findings=(f"verifier: {why}",), log=_log(ended))
    return Grade(score, "script", log=_log(ended))


def _beside(
    case: Case,
    files: Files,
    script: str,
    sandbox: Sandbox,
    cancel: threading.Event | None,
    word: str = "",
) -> Ended:
    """A script of tests/ has run where the agent's files are. Raises SandboxError when it could not.

    With a word, pytest tells under it what its tests came to, in /judge/report.
    """
    tests = {f"/tests/{name}": File(f.data, True) for name, f in case.tests.items()}
    argv: tuple[str, ...] = ("bash", f"/tests/{script}")
    token = secrets.token_hex(16)
    box = spec(case, "/tests", "/logs/verifier", "/judge", workspace=case.task.image is None)
    env = environment(case)
    if case.task.image is not None:
        files = _overlay(case, files, token)
        argv = ("python3", "-I", "/judge/lay.py", "/judge/plan.json", *argv)
    if case.task.grading == "log":
        site = {twobox.SITE: twobox.clean_pytest(case.runtime)} if case.runtime else {}
        box = replace(box, mounts={**box.mounts, **site}, limits=replace(box.limits, output_bytes=LOG_BYTES))
        if case.task.image is None:
            own = env.get("PYTHONPATH")
            env |= {
                "PYTHONPATH": f"{own}:{twobox.SITE}" if own else twobox.SITE,
                "PYTEST_ADDOPTS": "--no-header",
            }
    collect: tuple[str, ...] = ("/logs/verifier",)
    if word:
        name = f"told_{secrets.token_hex(8)}"  # a file of the agent's cannot have it
        tests[f"/judge/site/{name}.py"] = File((INSIDE / "told.py").read_bytes())
        env["PYTHONPATH"] += ":/judge/site"
        env["PYTEST_ADDOPTS"] += f" -p {name}"
        collect += ("/judge/report",)
    job = Job(
        argv, cwd=case.task.workdir, env=env, files={**files, **tests}, stdin=word.encode(), collect=collect
    )
    ended = sandbox.run(box, job, cancel)
    if ended.limit == "cancelled":
        raise SandboxError("it was cancelled")
    if case.task.image is not None and token.encode() in ended.stderr:
        raise SandboxError(f"what the agent left could not be laid over the image: {_log(ended)}")
    return ended


def _overlay(case: Case, files: Files, token: str) -> Files:
    """What inside/lay.py needs to make the image's workspace into what the agent left: links, modes and empty
    directories that the image brought stay. The token is how it says that it failed: no exit code is its own.
    """
    changed = [(path, file) for path, file in sorted(files.items()) if case.pristine.get(path) != file]
    plan = {
        "token": token,
        "keep": [*case.task.places, case.task.workdir],
        "remove": sorted(path for path in case.pristine if path not in files),
        "put": [[f"/judge/left/{n}", path, file.executable] for n, (path, file) in enumerate(changed)],
    }
    return {
        "/judge/lay.py": File((INSIDE / "lay.py").read_bytes()),
        "/judge/plan.json": File(json.dumps(plan).encode()),
        **{f"/judge/left/{n}": file for n, (_, file) in enumerate(changed)},
    }


def reward(files: Files) -> tuple[float | None, str]:
    """Harbor's rule: reward.json (flat, finite numbers) wins over reward.txt (one number)."""
    if file := files.get("/logs/verifier/reward.json"):
        table = _plain_json(file.data)
        if not isinstance(table, dict) or not table or not all(_finite(v) for v in table.values()):
            return None, "reward.json is not a flat table of finite numbers"
        value = table.get("reward", sum(map(float, table.values())) / len(table))
        return _within(float(value))
    if file := files.get("/logs/verifier/reward.txt"):
        try:
            number = float(file.data[:100].decode("ascii").strip())
        except ValueError:
            return None, "reward.txt is not a number"
        return _within(number) if math.isfinite(number) else (None, "reward.txt is not finite")
    return None, "test.sh left no reward"


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _within(value: float) -> tuple[float | None, str]:
    return (value, "") if 0 <= value <= 1 else (None, f"the reward {value:g} is not between 0 and 1")


# ── log ───────────────────────────────────────────────────────────────────────────────────────────


def read_log_rules(folder: str, tests: Files) -> Mapping[str, Any]:
    """tests/log.json: the parser, the tests that must pass and those that must still pass."""
    where = f"{folder}/tests/log.json"
    file = tests.get("log.json")
    found = _plain_json(file.data, most=None) if file else None
    if not isinstance(found, dict) or found.get("parser") not in testlogs.PARSERS:
        known = ", ".join(testlogs.PARSERS)
        raise UsageError(f"{where}: names no parser", f'write {{"parser": ...}} with one of {known}')
    lists = [found.get(key, []) for key in ("passed", "kept")]
    if not all(isinstance(ids, list) and all(isinstance(id, str) for id in ids) for ids in lists):
        raise UsageError(f"{where}: passed and kept are lists of test ids", "mend them")
    if found["parser"] != "exit" and not lists[0]:
        raise UsageError(f"{where}: passed names no test", "name the tests that must pass")
    if found.get("told", False) not in (False, True) or (found.get("told") and found["parser"] != "pytest"):
        raise UsageError(f"{where}: told = {found['told']!r}", "true, with the parser pytest, or leave it")
    if "run.sh" not in tests:
        raise UsageError(f"{folder}/tests/run.sh: there is no such file", "the log judge runs it")
    return found


def _log_read(case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Grade:
    """A test that is not seen to pass has not passed; so has none when only the exit code says no."""
    wanted = read_log_rules(case.task.folder, case.tests)
    if wanted.get("told") and case.task.image is None:
        return _told(case, wanted, files, sandbox, cancel)
    ended = _beside(case, files, "run.sh", sandbox, cancel)
    if wanted["parser"] == "exit":
        return Grade(float(ended.exit_code == 0), "log", log=_log(ended))
    text = (ended.stdout + b"\n" + ended.stderr).decode("utf-8", "replace")
    return _read_off("log", wanted, ended, testlogs.outcomes(wanted["parser"], text))


def _told(
    case: Case, wanted: Mapping[str, Any], files: Files, sandbox: Sandbox, cancel: threading.Event | None
) -> Grade:
    """What pytest itself told under a word that the run was given; what was printed is for people."""
    word = secrets.token_hex(16)
    ended = _beside(case, files, "run.sh", sandbox, cancel, word)
    file = ended.files.get("/judge/report")
    report = _plain_json(file.data, REPORT_BYTES) if file else None
    tests = report.get("tests") if isinstance(report, dict) and report.get("word") == word else None
    if isinstance(tests, dict):
        came_to = {id: good is True for id, good in tests.items()}
        return _read_off("report", wanted, ended, testlogs.told(came_to))
    if ended.limit is None:
        raise SandboxError(f"the tests' run left no report: {_log(ended)[-500:]}")
    return _read_off("report", wanted, ended, {})


def _read_off(mode: str, wanted: Mapping[str, Any], ended: Ended, seen: testlogs.Outcomes) -> Grade:
    odd = ended.exit_code != 0 and all(seen.values())
    checks = [{"id": id} for id in dict.fromkeys(wanted["passed"])]
    checks += [
        {"id": id, "guard": True} for id in dict.fromkeys(wanted.get("kept", ())) if {"id": id} not in checks
    ]
    credits = {check["id"]: float(seen.get(check["id"], False) and not odd) for check in checks}
    why = ("verifier: every test that was seen passed, and yet the run failed",) if odd and seen else ()
    return Grade(rules.total(checks, credits), mode, tuple(credits.items()), why, log=_log(ended))


# ── two-box ───────────────────────────────────────────────────────────────────────────────────────


def _two_box(case: Case, files: Files, sandbox: Sandbox, cancel: threading.Event | None) -> Grade:
    if case.runtime is None:
        raise UsageError("the two-box judge needs a runtime directory")
    expected = twobox.expected_ids(case.tests, case.task.folder)
    report = twobox.run(
        sandbox,
        tests_spec=spec(case, "/judge", workspace=False),
        agent_spec=spec(case, "/judge"),
        workdir=case.task.workdir,
        files=files,
        tests=case.tests,
        env=environment(case),
        patience=case.patience,
        runtime=case.runtime,
        cancel=cancel,
    )
    checks = [{"id": id, "guard": _matches(id, case.guards)} for id in expected]
    credits = {id: float(report.passed(id)) for id in expected}
    return Grade(rules.total(checks, credits), "two-box", tuple(credits.items()), log=report.log[-LOG_CHARS:])


JUDGES = {
    "split": _split,
    "cases": _cases,
    "answer": _answer,
    "two-box": _two_box,
    "log": _log_read,
    "script": _script,
}


# ── boxes ─────────────────────────────────────────────────────────────────────────────────────────


def pristine(task: Task, sandbox: Sandbox, cancel: threading.Event | None = None) -> Files:
    """The workspace that a task's image brings. Raises SandboxError when the image cannot hold a box, or its
    workspace is more than can be brought out: judging a part of it would be unjust.
    """
    limits = replace(task.limits, seconds=60.0)
    ended = sandbox.run(
        BoxSpec(writable=("/task",), limits=limits, image=task.image, profile="compat"),
        Job(("true",), cwd="/", env={"PATH": PATH}, collect=task.places or (task.workdir,)),
        cancel,
    )
    if ended.limit is not None:
        raise SandboxError(f"{task.id}: the image {task.image} could not be read: {ended.limit}")
    cut = [why for why in ended.refused if why.endswith(TOO_MUCH) or ": too large" in why]
    if cut:
        raise SandboxError(
            f"{task.id}: the image's workspace is too large to bring out: {cut[0]}",
            "name less in metadata.sica.workspace",
        )
    return ended.files


TOO_MUCH = ("too many files", "too deep")


def spec(case: Case, *writable: str, workspace: bool = True, seconds: float | None = None) -> BoxSpec:
    """A judge's box: the task's limits with the verifier's clock, and never a socket to a model."""
    places = case.task.places or (case.task.workdir,)
    own = tuple(dict.fromkeys((*places, case.task.workdir))) if workspace else ()
    scratch = () if case.task.image else ("/tmp",)
    return BoxSpec(
        mounts={place: Path(directory) for place, directory in case.task.mounts},
        writable=(*own, *scratch, *writable),
        limits=replace(case.task.limits, seconds=seconds or case.seconds),
        image=case.task.image,
        profile="compat" if case.task.image else "strict",
    )


def environment(case: Case) -> dict[str, str]:
    return {
        "PATH": PATH,
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        **(case.env or {}),
    }


def _log(ended: Ended) -> str:
    text = (ended.stdout + b"\n" + ended.stderr).decode("utf-8", "replace").strip()
    return text[-LOG_CHARS:]
