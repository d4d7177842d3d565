"""A task with two tries: what failed is told once, in the same workspace, on one budget and into one trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import MANIFEST, write_task

from sica.attempt import second_instruction, trial
from sica.benchmarks import open_benchmark
from sica.model import Agent, File, Limits, Trial

LEARNER = """
import os, pathlib
told = pathlib.Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text()
seen = pathlib.Path("seen.txt")
tries = int(seen.read_text()) + 1 if seen.exists() else 1
seen.write_text(str(tries))
print("try", tries, "told" if "second and last try" in told else "untold")
if tries >= NEEDS:
    pathlib.Path("answer.txt").write_text("yes")
"""


@pytest.fixture
def tried(world: Any, tmp_path: Path) -> Any:
    write_task(tmp_path / "twice", "yes", 1, tries=2)
    benchmark = open_benchmark(str(tmp_path / "twice"))

    def try_(needs: int, code: str = LEARNER, seconds: float = 20) -> Trial:
        agent: Agent = world.seed(
            {
                "agent.toml": File(MANIFEST.encode()),
                "main.py": File(code.replace("NEEDS", str(needs)).encode()),
            }
        )
        world.run = world.run or world.ledger.start_run({"test": True}).id
        task = replace(benchmark.tasks()[0], limits=Limits(seconds=seconds))
        return trial(world.place, agent, task, 0, benchmark)

    return try_


def said(world: Any, one: Trial) -> list[str]:
    return [e["text"] for e in world.traces.read(one.trace) if e["type"] == "stdout"]


def test_solved_at_once_is_not_asked_again(tried: Any, world: Any) -> None:
    one = tried(1)
    assert (one.score, one.detail["tries"]) == (1.0, [1.0])
    assert said(world, one) == ["try 1 untold\n"]


def test_the_second_start_finds_its_files_and_hears_what_failed(tried: Any, world: Any) -> None:
    one = tried(2)
    assert (one.score, one.detail["tries"]) == (1.0, [0.0, 1.0])
    assert said(world, one) == ["try 1 untold\n", "try 2 told\n"]
    kinds = [e["type"] for e in world.traces.read(one.trace)]
    assert (kinds.count("session"), kinds.count("again"), kinds.count("ended")) == (1, 1, 1)


def test_there_is_no_third(tried: Any) -> None:
    one = tried(3)
    assert (one.score, one.ending, one.detail["tries"]) == (0.0, "done", [0.0, 0.0])


def test_an_agent_that_ran_out_of_time_gets_no_second(tried: Any, world: Any) -> None:
    one = tried(9, "import time\ntime.sleep(60)\n", seconds=2)
    assert (one.score, one.ending, one.detail["tries"]) == (0.0, "seconds", [0.0])


def test_what_is_told_is_clean_and_the_same_in_every_run() -> None:
    told = second_instruction(
        "Do it.\n", "\x1b[31mFAILED\x1b[0m ../judge/tests/a_test.py::x\n1 failed in 0.12s\n"
    )
    assert "FAILED a_test.py::x\n1 failed\n" in told
    assert told.startswith("Do it.\n")
    assert len(second_instruction("x", "y" * 100_000)) < 7000
