"""The layer rule of docs/design.md, read off the imports of every file."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = {"model", "errors"}
PURE = {
    "policies",
    "utility",
    "forecast",
    "stopping",
    "stats",
    "report",
    "blocks",
    "brief",
    "evidence",
    "economy",
    "racing",
    "repeats",
    "roles",
    "plots",
    "account",
    "pages",
    "scoring",
    "contract",
    "requirements",
    "champion",
    "chat",
    "checks",
    "testlogs",
    "answers",
    "patches",
    "health",
    "heldout",
    "histories",
    "smoke",
    "dice",
}
LOOP = {
    "loop",
    "control",
    "attempt",
    "crew",
    "gate",
    "making",
    "oversight",
    "critique",
    "ports",
    "simulate",
    "crowning",
    "watch",
}
OUTSIDE = {
    *(
        "repo",
        "ledger",
        "chronicle",
        "migrations",
        "broker",
        "traces",
        "runlock",
        "sandboxes",
        "wire",
        "launcher",
        "cgroups",
    ),
    *(
        "owner",
        "gateways",
        "benchmarks",
        "harbor",
        "dataset",
        "images",
        "environments",
        "wheels",
        "grading",
        "twobox",
        "benchcheck",
        "quarantine",
        "mining",
        "exporters",
        "suites",
        "exports",
        "harbor_agent",
        "presets",
    ),
}
TOP = {"cli", "config", "places", "web", "__main__"}
SHARED = {
    "ledger": {"migrations"},
    "chronicle": {"ledger"},
    "broker": {"traces"},
    "gateways": {"traces"},
    "sandboxes": {"wire", "cgroups", "owner"},
    "benchmarks": {
        "grading",
        "harbor",
        "dataset",
        "images",
        "wheels",
        "twobox",
        "wire",
        "suites",
        "quarantine",
    },
    "wheels": {"twobox"},
    "mining": {"wheels", "benchcheck"},
    "presets": {"environments"},
    "harbor_agent": {"environments"},
    "dataset": {"harbor"},
    "images": {"harbor"},
    "grading": {"twobox", "harbor", "wire"},
    "twobox": {"wire"},
    "benchcheck": {"grading", "harbor"},
}
"""Pieces of the outside that are one thing in several files; no other part of the outside imports another."""


def part(path: Path) -> str:
    return path.relative_to(ROOT / "sica").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Parts of sica that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sica":
            rest = node.module.split(".")[1:]
            found |= {rest[0]} if rest else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("sica.")}
    return found - {"__version__"}


FILES = sorted(p for p in (ROOT / "sica").rglob("*.py") if p.name != "__init__.py" or p.parent.parent != ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_inwards(path: Path) -> None:
    mine = part(path)
    seen = imports(path) - {mine}
    if mine in TOP:
        return
    if mine == "inside":
        assert not seen, "what runs in a box is sent there alone"
    elif mine in CORE:
        assert seen <= CORE
    elif mine in PURE:
        assert seen <= CORE | PURE | {"ports"}
    elif mine in LOOP:
        assert seen <= CORE | PURE | LOOP
    else:
        assert seen - CORE - PURE - {"ports"} <= SHARED.get(mine, set())


def test_every_part_has_a_layer() -> None:
    known = CORE | PURE | LOOP | OUTSIDE | TOP | {"inside", "__init__"}
    assert {part(p) for p in FILES} <= known


def test_sica_and_the_seed_never_import_each_other() -> None:
    for path in (ROOT / "seed_agent").rglob("*.py"):
        assert "sica" not in path.read_text().split("import ")[-1].split()[:1], path
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "sica" for name in names), path
    for path in FILES:
        assert "seed_agent" not in imports(path)


def test_the_loop_is_read_over_a_coffee() -> None:
    assert len((ROOT / "sica/loop.py").read_text().splitlines()) < 200


def test_importing_a_part_starts_nothing_heavy() -> None:
    code = "import sys, sica.model, sica.errors, sica.stats; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"pydantic", "litellm", "docker", "git", "dulwich", "sqlite_utils", "rich", "aiohttp"}
    assert not heavy & set(done.stdout.split())


def test_the_wheel_carries_every_package_and_the_folders_beside_them() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    beside = {f"sica.{name}" for name in ("seed_agent", "benchmark_data", "sandbox")}
    packages = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "sica").rglob("__init__.py")}
    assert set(told["packages"]) == packages | beside
