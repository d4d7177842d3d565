"""The two-box judge: hidden pytest files in box T call the agent's code in box W through a relay on the host.

T holds the tests, pytest and no byte of the agent's; W holds the agent's files and no byte of the tests. What
crosses is data, so nothing that the agent wrote runs where the verdict is made.
"""

from __future__ import annotations

import ast
import compileall
import contextlib
import importlib.util
import json
import os
import py_compile
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from sica.errors import SandboxError, UsageError
from sica.model import BoxSpec, Ended, File, Files, Job
from sica.ports import Sandbox

INSIDE = Path(__file__).parent / "inside"
PYTEST = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
RELAYED_BYTES = 256_000_000
SITE = "/site"


@dataclass(frozen=True, slots=True)
class Report:
    outcomes: Mapping[str, str]
    log: str = ""

    def passed(self, function: str) -> bool:
        """Every case of this test function passed, and there was at least one."""
        cases = [out for id, out in self.outcomes.items() if id == function or id.startswith(function + "[")]
        return bool(cases) and all(out == "passed" for out in cases)


def expected_ids(tests: Files, folder: str = "") -> tuple[str, ...]:
    """The test functions that the hidden files define, read from the files: the agent has no say in how many.

    Raises UsageError when there are none.
    """
    found: list[str] = []
    for name, file in sorted(tests.items()):
        base = name.rpartition("/")[2]
        if base.endswith(".py") and (base.startswith("test_") or base.endswith("_test.py")):
            found += [f"{name}::{test}" for test in _functions(_parsed(file.data, f"{folder}/tests/{name}"))]
    if not found:
        raise UsageError(
            f"{folder}/tests: defines no test function",
            "two-box grading needs tests/test_*.py with test functions",
        )
    return tuple(dict.fromkeys(found))


def _parsed(source: bytes, place: str) -> ast.Module:
    try:
        return ast.parse(source, place)
    except SyntaxError as e:
        raise UsageError(f"{place}: line {e.lineno}: {e.msg}", "mend the test file") from None
    except (ValueError, RecursionError, MemoryError) as e:
        raise UsageError(f"{place}: no Python: {type(e).__name__}", "mend the test file") from None


def _functions(module: ast.Module) -> Iterator[str]:
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node.name
        elif isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or _is_unittest(node, classes)):
            yield from (f"{node.name}::{method}" for method in _methods(node, classes))


def _is_unittest(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> bool:
    names = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
    return any(
        n == "TestCase" or (n in classes and _is_unittest(classes[n], classes))
        for n in names
        if n != node.name
    )


def _methods(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[str]:
    own = [
        each.name
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test")
    ]
    for base in node.bases:
        parent = classes.get(ast.unparse(base))
        if parent is not None and parent is not node:
            own += [name for name in _methods(parent, classes) if name not in own]
    return own


def run(
    sandbox: Sandbox,
    *,
    tests_spec: BoxSpec,
    agent_spec: BoxSpec,
    workdir: str,
    files: Files,
    tests: Files,
    env: Mapping[str, str],
    patience: float,
    runtime: Path,
    cancel: threading.Event | None,
) -> Report:
    """Both boxes, from start to end. Raises SandboxError when the tests' box did not come to its end."""
    nonce = secrets.token_hex(16)
    over = threading.Event()
    agent_job = Job(
        ("python3", "-I", "/judge/served.py", "/gw/gw.sock", workdir),
        cwd=workdir,
        env=env,
        files={**files, "/judge/served.py": _program("served.py")},
    )
    tests_job = Job(
        (
            "python3",
            "-I",
            "/judge/proxied.py",
            "/gw/gw.sock",
            "/judge/report",
            nonce,
            "/judge/tests",
            SITE,
            str(patience),
        ),
        cwd="/tmp",
        env=env,
        files={
            "/judge/proxied.py": _program("proxied.py"),
            **{f"/judge/tests/{name}": file for name, file in tests.items()},
        },
        collect=("/judge/report",),
    )
    site = clean_pytest(runtime)
    with _relay(runtime) as (tests_door, agent_door), ThreadPoolExecutor(1) as pool:
        agent = pool.submit(sandbox.run, replace(agent_spec, socket=agent_door), agent_job, over)
        try:
            ended = sandbox.run(
                replace(tests_spec, socket=tests_door, mounts={**tests_spec.mounts, SITE: site}),
                tests_job,
                cancel,
            )
        finally:
            over.set()
        agent.result()
    return _read(ended, nonce)


def _program(name: str) -> File:
    return File((INSIDE / name).read_bytes())


def _read(ended: Ended, nonce: str) -> Report:
    log = (ended.stdout + b"\n" + ended.stderr).decode("utf-8", "replace").strip()
    if ended.limit == "cancelled":
        raise SandboxError("it was cancelled")
    file = ended.files.get("/judge/report")
    if file is None:
        if ended.limit is None:
            raise SandboxError(f"the tests' box left no report: {log[-500:]}")
        return Report({}, f"the tests' box reached its limit: {ended.limit}\n{log}")
    report = json.loads(file.data)
    if report["nonce"] != nonce:
        raise SandboxError("the tests' box left a report that is not of this run")
    return Report(report["outcomes"], log)


def clean_pytest(runtime: Path) -> Path:
    """A directory with pytest and what it needs and nothing else, made once from the running environment.

    Compiled ahead: it is bound read-only, and compiling it anew would double what a judgement costs.
    """
    import pytest

    target = runtime / f"pytest-{pytest.__version__}"
    if target.is_dir():
        return target
    runtime.mkdir(parents=True, exist_ok=True, mode=0o711)
    made = Path(tempfile.mkdtemp(prefix="pytest-", dir=runtime))
    for name in PYTEST:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise UsageError(f"the Python that runs sica has no {name}", "install sica with its dependencies")
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, made / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(origin, made / origin.name)
    compileall.compile_dir(made, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in (made, *made.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    try:
        made.rename(target)
    except OSError:  # another sica was faster; its copy is as good
        shutil.rmtree(made)
    return target


# ── relay ─────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _relay(runtime: Path) -> Iterator[tuple[Path, Path]]:
    """Two directories with a gw.sock each. Bytes that enter one leave the other, up to a cap; frames
    are T's to check.
    """
    base = runtime / "s"
    base.mkdir(parents=True, exist_ok=True, mode=0o711)
    doors = [Path(tempfile.mkdtemp(prefix="j", dir=base)) for _ in range(2)]
    listeners = [_listen(door) for door in doors]
    stop, woken = socket.socketpair()
    thread = threading.Thread(target=_pump, args=(listeners, woken), name="judge relay", daemon=True)
    thread.start()
    try:
        yield doors[0], doors[1]
    finally:
        stop.close()
        thread.join()
        for each in (*listeners, woken):
            each.close()
        for door in doors:
            shutil.rmtree(door)


def _listen(door: Path) -> socket.socket:
    door.chmod(0o711)
    path = door / "gw.sock"
    if len(os.fsencode(path)) > 107:
        raise UsageError(f"{path}: too long for a Unix socket", "set TMPDIR to a shorter directory")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(8)
    return listener


def _pump(listeners: list[socket.socket], woken: socket.socket) -> None:
    import selectors

    with contextlib.ExitStack() as stack:
        peers = [_accepted(listener, woken) for listener in listeners]
        both = [stack.enter_context(peer) for peer in peers if peer is not None]
        if len(both) < 2:
            return
        selector = stack.enter_context(selectors.DefaultSelector())
        for mine, other in ((both[0], both[1]), (both[1], both[0])):
            selector.register(mine, selectors.EVENT_READ, other)
        selector.register(woken, selectors.EVENT_READ, None)
        passed = 0
        while passed < RELAYED_BYTES:
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                if target is None or not (data := _moved(source, target)):  # type: ignore[arg-type]
                    return
                passed += data


def _moved(source: socket.socket, target: socket.socket) -> int:
    """How many bytes went over; 0 when either side has gone."""
    try:
        data = source.recv(65536)
        target.sendall(data)
    except OSError:
        return 0
    return len(data)


def _accepted(listener: socket.socket, woken: socket.socket) -> socket.socket | None:
    import select

    ready = select.select([listener, woken], [], [])[0]
    return listener.accept()[0] if listener in ready and woken not in ready else None
