"""Judge what an agent left in the current directory by the checks in checks.json, and write Harbor's reward.json.

Expected values stay in this process. A worker in a process of its own imports the agent's files and answers calls with
plain data, so nothing that they do to the interpreter can touch a verdict.
"""

import difflib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
REWARD = Path(os.environ.get("REWARD_FILE", "/logs/verifier/reward.json"))
SECONDS = 20
GUARD_CAP = 0.3

WORKER = r"""
import importlib, json, os, sys
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.path.insert(0, os.getcwd())

def find(name):
    module, _, rest = name.partition(".")
    found = importlib.import_module(module)
    for part in rest.split("."):
        if not hasattr(found, part):
            importlib.import_module(found.__name__ + "." + part)
        found = getattr(found, part)
    return found

def answer(check):
    if "steps" not in check:
        return find(check["call"])(*check.get("args", []), **check.get("kwargs", {}))
    made, values = {}, []
    for step in check["steps"]:
        does = getattr(made[step["on"]], step["call"]) if "on" in step else find(step["call"])
        value = does(*step.get("args", []), **step.get("kwargs", {})) if callable(does) else does
        if "new" in step:
            made[step["new"]], value = value, None
        values.append(value)
    return values

for line in sys.stdin:
    try:
        said = {"value": answer(json.loads(line))}
        text = json.dumps(said)
    except BaseException as error:
        text = json.dumps({"raised": type(error).__name__})
    out.write(text + "\n")
    out.flush()
"""


def same(a, b):
    """Equal as JSON with type: 1 is not True, 1.0 equals 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def call(check):
    asked = json.dumps({k: v for k, v in check.items() if k not in ("returns", "raises", "id")})
    try:
        done = subprocess.run(
            [sys.executable, "-c", WORKER], input=asked + "\n", capture_output=True, text=True, timeout=SECONDS
        )
        said = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return 0.0
    if "raises" in check:
        return float(said.get("raised") == check["raises"])
    return float("value" in said and same(said["value"], check["returns"]))


def run(check):
    try:
        done = subprocess.run(
            check["run"], input=check.get("stdin", ""), capture_output=True, text=True, timeout=SECONDS
        )
    except (subprocess.TimeoutExpired, OSError, UnicodeDecodeError):
        return 0.0
    return float(done.returncode == check.get("exit", 0) and check.get("stdout", done.stdout) == done.stdout)


def hunks(old, new):
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return {(i, j, tuple(new[a:b])) for tag, i, j, a, b in matcher.get_opcodes() if tag != "equal"}


def edited(left, expected, base):
    """1.0 for equal bytes; else the share of hunks made, halved when lines changed that should have stayed."""
    if left == expected:
        return 1.0
    old = base.splitlines(keepends=True)
    wanted, made = hunks(old, expected.splitlines(keepends=True)), hunks(old, left.splitlines(keepends=True))
    share = 0.9 * len(wanted & made) / max(1, len(wanted))
    may_change = {n for i, j, _ in wanted for n in range(i, max(j, i + 1))}
    strayed = any(n not in may_change for i, j, _ in made for n in range(i, max(j, i + 1)))
    return share / 2 if strayed else share


def file(check):
    path = Path(check["file"])
    if not path.is_file() or path.is_symlink():
        return 0.0
    left = path.read_bytes()
    if "accept" in check:
        return float(check["accept"].get(left.decode("utf-8", "replace").strip(), 0.0))
    base = TESTS / "base" / check["file"]
    return edited(left, (TESTS / check["expected"]).read_bytes(), base.read_bytes() if base.exists() else b"")


def verdict(check):
    if "run" in check:
        return run(check)
    return file(check) if "file" in check else call(check)


def main():
    checks = json.loads((TESTS / "checks.json").read_text())["checks"]
    scores = [(check, verdict(check)) for check in checks]
    weights = sum(check.get("weight", 1) for check, _ in scores if not check.get("guard"))
    reward = sum(check.get("weight", 1) * score for check, score in scores if not check.get("guard")) / weights
    if any(score < 1 for check, score in scores if check.get("guard")):
        reward = min(reward, GUARD_CAP)
    with tempfile.NamedTemporaryFile("w", dir=REWARD.parent, delete=False) as new:
        json.dump({"reward": round(reward, 6)}, new)
    os.replace(new.name, REWARD)


if __name__ == "__main__":
    main()
