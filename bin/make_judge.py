#!/usr/bin/env python3
"""Join sica/checks.py, sica/inside/worker.py and a main into sica/inside/judge.py and every task's
copy of it.

Harbor runs a task's tests/ alone, so the judge must be one file; two hand-written judges would drift apart.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("sica/checks.py", "sica/inside/worker.py")
CANONICAL = ROOT / "sica" / "inside" / "judge.py"

HEAD = '''"""Judges a task by the checks.json beside it where sica is not. Made by bin/make_judge.py.

Expected values stay in this process; the agent's code runs in a worker, as nobody when this is root.
It is the weaker way: both share one container. Writes /logs/verifier/reward.json.
"""

from __future__ import annotations

'''

MAIN = """

# ── the judge ─────────────────────────────────────────────────────────────────────────────────────

NOBODY = 65534


def judge(tests: Path, workdir: Path, reward: Path) -> None:
    checks = parse_checks((tests / "checks.json").read_text(encoding="utf-8"))
    base, expected = tests / "base", {}
    for check in checks:
        if "expected" in check:
            original = base / check["file"]
            kept = original.read_bytes() if original.is_file() else b""
            expected[check["id"]] = kept, (tests / check["expected"]).read_bytes()
    answers = ask_worker(questions(checks), tests, workdir)
    credits = {
        check["id"]: credit(check, answers.get(n), workdir, expected.get(check["id"]))
        for n, check in enumerate(checks)
    }
    reward.parent.mkdir(parents=True, exist_ok=True)
    written = reward.with_name(".reward.json")
    written.write_text(json.dumps({"reward": total(checks, credits)}))
    written.replace(reward)


def can_work(workdir: Path, user: Mapping[str, Any]) -> bool:
    probe = [sys.executable, "-I", "-c", "import json, sys; __import__('os').chdir(sys.argv[1])", str(workdir)]
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        return subprocess.run(probe, check=False, cwd="/", **quiet, **user).returncode == 0
    except PermissionError:
        return False


def credit(check: Mapping[str, Any], answer: Any, workdir: Path, edit: tuple[bytes, bytes] | None) -> float:
    if "file" not in check:
        return float(answered(check, answer))
    path = workdir / check["file"]
    left = path.read_bytes() if path.is_file() and workdir.resolve() in path.resolve().parents else None
    if "lines" in check:
        return lines_credit(check["lines"], left)
    return edit_credit(*edit, left) if edit else accepted(check["accept"], left)


def ask_worker(asked: list[dict[str, Any]], tests: Path, workdir: Path) -> dict[int, Any]:
    if not asked:
        return {}
    nonce = os.urandom(16).hex()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        job = {"nonce": nonce, "workdir": str(workdir), "seconds": 10, "questions": asked}
        (place / "questions").write_text(json.dumps(job))
        (place / "judge.py").write_bytes(Path(__file__).read_bytes())
        words = [str(place / name) for name in ("judge.py", "questions", "answers")]
        command = [sys.executable, "-I", *words]
        user: dict[str, Any] = {}
        if os.getuid() == 0:
            tests.chmod(0o700)
            for path in (place, workdir, *place.rglob("*"), *workdir.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            if not can_work(workdir, user):
                user = {}  # a Python or a workdir that nobody may reach, in root's home: share our user
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, cwd=place, **user)
        answers = place / "answers"
        text = answers.read_bytes() if answers.is_file() and not answers.is_symlink() else b""
    found: dict[int, Any] = {}
    for line in text.split(b"\\n"):
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(answer, dict) and answer.get("nonce") == nonce and type(answer.get("n")) is int:
            found[answer["n"]] = answer
    return found


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.exit(main(sys.argv))
    log = Path(os.environ.get("REWARD_FILE", "/logs/verifier/reward.json"))
    judge(Path(__file__).resolve().parent, Path.cwd(), log)
"""


def build() -> str:
    """The judge's text."""
    imports = ["import subprocess", "import tempfile", "from pathlib import Path"]  # MAIN's own
    bodies: list[str] = []
    for part in PARTS:
        source = (ROOT / part).read_text(encoding="utf-8")
        lines = source.splitlines(keepends=True)
        tree = ast.parse(source)
        dropped: set[int] = set()
        for node in tree.body:
            is_docstring = node is tree.body[0]
            is_start = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
            if isinstance(node, ast.Import | ast.ImportFrom) and "__future__" not in ast.unparse(node):
                imports += (
                    [ast.unparse(node)]
                    if isinstance(node, ast.Import)
                    else [f"from {node.module} import {alias.name}" for alias in node.names]
                )
            if is_docstring or is_start or isinstance(node, ast.Import | ast.ImportFrom):
                dropped.update(range(node.lineno - 1, node.end_lineno or node.lineno))
        bodies.append("".join(line for n, line in enumerate(lines) if n not in dropped).strip("\n") + "\n")
    return HEAD + "\n".join(sorted(set(imports))) + "\n\n" + "\n\n".join(bodies) + MAIN


def copies() -> list[Path]:
    return sorted((ROOT / "benchmark_data").glob("*/*/tests/judge.py"))


if __name__ == "__main__":
    for target in (CANONICAL, *copies()):
        target.write_text(build(), encoding="utf-8")
