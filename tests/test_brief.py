"""What the improver is told, and above all what it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archives import agent, archive, task, trial
from hypothesis import given
from hypothesis import strategies as st

from sica import brief
from sica.model import Archive, File, Task

SECRET = "xq7-hidden-expected-value"


def text(known: Archive) -> str:
    """Every byte the improver of agent a would be given."""
    trials = brief.shown(known, "a")
    lines: list[Mapping[str, Any]] = [
        {"type": "start", "task": SECRET},
        {"type": "request", "call": 0},
        {"type": "grade", "log": SECRET},
        {"type": "stdout", "text": "stopped: step limit"},
    ]
    files = brief.beside(
        brief.evidence(trials, dict.fromkeys(brief.with_trace(trials), lines)),
        brief.changes(known, brief.relevant(known, "a"), {}),
    )
    assert all(path.startswith("/task/archive/") for path in files)
    return brief.instruction(known.agents["a"], known) + b"\n".join(f.data for f in files.values()).decode()


def measured(tasks: list[Task], scores: list[float]) -> Archive:
    who = agent(0)
    trials = tuple(
        trial(who, t, s, trace=f"sha256:{t.name}", detail={"log": SECRET, "checks": {SECRET: 0.0}})
        for t, s in zip(tasks, scores, strict=True)
    )
    return Archive(agents={"a": who}, tasks=tuple(tasks), trials={who.tree: trials}, champion="a")


@given(
    st.lists(
        st.tuples(st.sampled_from(["train", "dev", "heldout"]), st.sampled_from([0.0, 0.5, 1.0])), max_size=12
    )
)
def test_no_byte_of_a_grader_and_no_name_outside_the_train_split(rows: list[tuple[str, float]]) -> None:
    tasks = [task(f"zz{i}-{split}", split=split) for i, (split, _) in enumerate(rows)]
    told = text(measured(tasks, [score for _, score in rows]))
    assert SECRET not in told
    for t in tasks:
        assert (t.name in told) == (t.split == "train")


def test_the_worst_trials_come_first_and_say_how_they_ended() -> None:
    known = measured([task("good"), task("bad")], [1.0, 0.0])
    trials = brief.shown(known, "a")
    files = brief.beside(brief.evidence(trials, {"sha256:bad": [{"type": "stdout", "text": "gave up"}]}), [])
    lines = [json.loads(line) for line in files["/task/archive/trials.jsonl"].data.splitlines()]
    assert [(line["task"], line["said"]) for line in lines] == [("bad", "gave up"), ("good", "")]
    assert set(files) > {"/task/archive/traces/bad-0.jsonl"}


def test_verdicts_come_from_measurement() -> None:
    known = archive(
        {"a": [0] * 12, "b": [1] * 12, "c": [0] * 12, "d": [0]}, parents=dict.fromkeys("bcd", "a")
    )
    gone = replace(known.agents["d"], standing="rejected", reason="does not start")
    known = replace(known, agents={**known.agents, "d": gone})
    verdicts = [str(c["verdict"]) for c in brief.changes(known, brief.relevant(known, "a"), {})]
    assert verdicts[0].startswith("helped (+100.0 points, p 0.00")
    assert verdicts[1:] == ["no difference", "rejected"]


def test_the_note_names_the_commit_and_never_becomes_part_of_it() -> None:
    tree, note = brief.deliverable(
        {
            "a.py": File(b"1"),
            "CHANGE.md": File(b"# Keep the tail\n\nWhy: 3 of 9 were cut.\n"),
            ".git/config": File(b"[core]"),
            "x/__pycache__/a.pyc": File(b""),
        }
    )
    assert list(tree) == ["a.py"]
    assert brief.message(note, {}, tree) == ("Keep the tail", "Why: 3 of 9 were cut.")


def test_without_a_note_the_subject_says_which_files_changed() -> None:
    before = {"a": File(b"1"), "b": File(b"2"), "c": File(b"3")}
    assert brief.message("", before, {"a": File(b"9"), "d": File(b"")}) == ("change a, b and 2 more", "")
