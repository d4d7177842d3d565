#!/usr/bin/env python3
"""How far scaffolds lie apart on the built-in suites, with one and the same model: the table of docs/suites.md.

    python benchmarks/scaffolds.py                                    both references and the seed, offline model
    python benchmarks/scaffolds.py --suite edit --suite fix --agent mine=./my_agent --reps 3 --model openai/gpt-5-mini

Each agent gets a project of its own below a temporary folder; with --keep FOLDER they stay, and what is measured there
already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sica.stats import compare, wilson  # noqa: E402
from sica.suites import SCORED  # noqa: E402

AGENTS = {
    "bare": ROOT / "benchmarks" / "scaffolds" / "bare",
    "bash": ROOT / "benchmarks" / "scaffolds" / "bash",
    "seed": ROOT / "seed_agent",
}
Scores = Mapping[str, Sequence[float]]
"""By task."""


def main() -> None:
    told = _arguments()
    agents = AGENTS | {
        name: Path(path).resolve() for name, _, path in (each.partition("=") for each in told.agent)
    }
    suites = told.suite or list(SCORED)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(told.keep or scratch).resolve()
        measured = {
            suite: {name: _measure(place / name, agents[name], suite, told) for name in agents}
            for suite in suites
        }
    if told.json:
        print(json.dumps({"schema": "sica.scaffolds/1", "model": told.model, "suites": measured}))
    else:
        print(table(measured, list(agents)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", action="append", default=[], help="only this suite; may be repeated")
    parser.add_argument("--agent", action="append", default=[], metavar="NAME=FOLDER", help="one more agent")
    parser.add_argument("--reps", type=int, default=1, help="attempts at each task (1)")
    parser.add_argument("--model", default="offline")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--max-cost", help="dollars for one agent on one suite")
    parser.add_argument("--keep", help="a folder for the projects, to go on in later")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measure(project: Path, agent: Path, suite: str, told: argparse.Namespace) -> Scores:
    """Scores of the project's agent/0, made of the agent's folder when it is not there yet."""
    if not (project / ".sica").is_dir():
        project.mkdir(parents=True, exist_ok=True)
        _sica(project, "init", "--agent", str(agent), "--bench", suite)
    words = ["eval", "0", "--bench", suite, "--reps", str(told.reps), "--split", "all", "--model", told.model]
    words += ["--sandbox", told.sandbox, "--workers", str(told.workers), "--yes", "--json"]
    words += ["--max-cost", told.max_cost] if told.max_cost else []
    (measured,) = json.loads(_sica(project, *words))["agents"]
    scores: dict[str, list[float]] = {}
    for trial in measured["trials"]:
        if trial["score"] is not None:
            scores.setdefault(trial["task"], []).append(trial["score"])
    return scores


def _sica(project: Path, *words: str) -> str:
    """What the command prints; its talk goes to our own standard error."""
    return subprocess.run(
        [sys.executable, "-m", "sica", *words], cwd=project, stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout  # fmt: skip


def table(measured: Mapping[str, Mapping[str, Scores]], agents: Sequence[str]) -> str:
    """Markdown: each agent's mean with half its 95 % interval, and what bash has over bare."""
    heads = ["suite", *agents, "bash − bare", "p"]
    rows = [heads, ["---"] * len(heads)]
    rows += [[suite, *(_mean(of[name]) for name in agents), *_lift(of)] for suite, of in measured.items()]
    means = [fmean(_value(of[name]) for of in measured.values()) for name in agents]
    rows.append(["mean of suites", *(f"{mean:.1%}" for mean in means), f"{means[1] - means[0]:+.1%}", ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _value(scores: Scores) -> float:
    return fmean(fmean(each) for each in scores.values()) if scores else 0.0


def _mean(scores: Scores) -> str:
    low, high = wilson(_value(scores), len(scores))
    return f"{_value(scores):.1%} ±{(high - low) * 50:.0f}"


def _lift(of: Mapping[str, Scores]) -> list[str]:
    found = compare(of["bare"], of["bash"])
    return [f"{found.difference:+.1%}", f"{found.p:.3f}"]


if __name__ == "__main__":
    main()
