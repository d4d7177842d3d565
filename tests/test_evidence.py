"""What the improver is shown, and above all what it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives import agent, archive, task, trial
from conftest import World, skilled
from hypothesis import given
from hypothesis import strategies as st

from sica import brief, evidence
from sica.model import Archive, Finished, Improvement, Message, Task, Usage

SECRET = "xq7-hidden-expected-value"
QUERY = Path(evidence.__file__).parent / "inside" / "query.py"


def sources(lines: Iterable[Mapping[str, Any]] = (), critique: str = "") -> evidence.Sources:
    return evidence.Sources(
        lambda name: lines, lambda old, new: f"{old}..{new}", lambda d: d, lambda t: critique
    )


def text(known: Archive) -> str:
    """Every byte the improver of agent a would be given."""
    lines: list[Mapping[str, Any]] = [
        {"type": "start", "task": SECRET},
        {"type": "request", "call": 0},
        {"type": "grade", "log": SECRET},
        {"type": "stdout", "text": "stopped: step limit"},
    ]
    files = evidence.files(known, known.agents["a"], sources(lines))
    names = "\n".join(files)
    return "\n".join(
        [brief.instruction(known.agents["a"], known), names, *(f.data.decode() for f in files.values())]
    )


def measured(tasks: list[Task], scores: list[float], parents: Mapping[int, str] | None = None) -> Archive:
    """Agent a with these scores, and agents of its family with the same ones."""
    agents = [agent(0), *(agent(n, (p,)) for n, p in (parents or {}).items())]
    trials = {
        who.tree: tuple(
            trial(who, t, s, trace=f"sha256:{t.name}", detail={"log": SECRET, "checks": {SECRET: 0.0}})
            for t, s in zip(tasks, scores, strict=True)
        )
        for who in agents
    }
    return Archive(agents={a.commit: a for a in agents}, tasks=tuple(tasks), trials=trials, champion="a")


@given(
    st.lists(
        st.tuples(st.sampled_from(["train", "dev", "heldout"]), st.sampled_from([0.0, 0.5, 1.0])), max_size=12
    )
)
def test_no_byte_of_a_grader_and_no_name_outside_the_train_split(rows: list[tuple[str, float]]) -> None:
    tasks = [task(f"zz{i}-{split}", split=split, kind=f"kind-{split}") for i, (split, _) in enumerate(rows)]
    told = text(measured(tasks, [score for _, score in rows], {1: "a", 2: "b"}))
    assert SECRET not in told
    for t in tasks:
        assert (t.name in told) == (t.split == "train")
        assert t.split == "train" or t.kind not in told


def test_the_worst_trials_come_first_and_say_how_they_ended() -> None:
    known = measured([task("good"), task("bad")], [1.0, 0.0])
    files = evidence.files(
        known, known.agents["a"], sources([{"type": "stdout", "text": "gave up"}], "It looped.")
    )
    lines = [json.loads(line) for line in files["trials.jsonl"].data.splitlines()]
    assert [(line["task"], line["said"], line["critique"]) for line in lines] == [
        ("bad", "gave up", "It looped."),
        ("good", "gave up", "It looped."),
    ]
    assert files[f"traces/{lines[0]['trace']}"].data == b'{"type": "stdout", "text": "gave up"}\n'


def test_the_family_is_shown_and_a_stranger_is_not() -> None:
    """a is the parent of b and c; d is the child of c; e is nobody's."""
    known = measured([task("t")], [0.5], {1: "a", 2: "a", 3: "c", 4: ""})
    known = replace(known, agents={**known.agents, "e": replace(known.agents["e"], parents=())})
    shown = {
        path.split("/")[1]
        for path in evidence.files(known, known.agents["c"], sources())
        if "family/" in path
    }
    assert shown == {"0", "3"}  # its ancestor and its child
    assert {row["agent"] for row in evidence.agents(known)} == {0, 1, 2, 3, 4}


def test_a_long_transcript_loses_its_middle_and_says_so() -> None:
    known = measured([task("t")], [0.0])
    line = {"type": "stdout", "text": "x" * 1000}
    files = evidence.files(known, known.agents["a"], sources([line] * 1000))
    rows = [json.loads(row) for row in files["traces/t-0.trace.jsonl"].data.splitlines()]
    (left_out,) = [row for row in rows if row["type"] == "left out"]
    assert len(files["traces/t-0.trace.jsonl"].data) < evidence.TRACE_BYTES + 100
    assert left_out["bytes"] > 500_000


def test_verdicts_come_from_measurement_with_an_interval() -> None:
    known = archive(
        {"a": [0] * 12, "b": [1] * 9 + [0] * 3, "c": [0] * 12, "d": [0]}, parents=dict.fromkeys("bcd", "a")
    )
    gone = replace(known.agents["d"], standing="rejected", reason="does not start")
    known = replace(known, agents={**known.agents, "d": gone})
    verdicts = [str(c["verdict"]) for c in evidence.changes(known, evidence.relevant(known, "a"), {})]
    assert verdicts[0].startswith("helped (+75.0 points [")
    assert verdicts[1:] == ["no difference", "rejected"]


def test_the_same_change_is_one_row_with_what_came_of_it_wherever_it_was_tried() -> None:
    known = archive({"a": [0] * 12, "b": [1] * 12, "c": [0] * 12}, parents={"b": "a", "c": "a"})
    lost = Improvement("a", None, "empty", Usage(), why="changed nothing")
    known = replace(known, improvements=(lost, replace(lost, ending="infra")))
    (row,) = evidence.tried(known, evidence.relevant(known, "a"), {"b": "p1", "c": "p1"})
    assert (row["patch"], row["agents"]) == ("p1", [1, 2])
    assert [str(v).split(" (")[0] for v in row["verdicts"]] == ["helped", "no difference"]  # type: ignore[attr-defined]
    assert evidence.failures(known) == [{"parent": 0, "ending": "empty", "why": "changed nothing"}]


def test_the_table_names_every_agent_with_its_interval() -> None:
    known = measured([task("t", kind="fix"), task("u", kind="edit")], [1.0, 0.0], {1: "a"})
    rows = evidence.table(known).splitlines()
    assert rows[0] == "agent | parents | score | interval | edit | fix | usd | seconds | tokens | change"
    assert rows[2].startswith("0* |  | 50 | ") and " | 0 | 100 | " in rows[2]


@pytest.fixture
def laid(tmp_path: Path) -> Path:
    known = measured([task("good", kind="fix"), task("bad", kind="edit")], [1.0, 0.0], {1: "a"})
    lines: list[Mapping[str, Any]] = [
        {"type": "message", "hash": "1", "body": {"role": "user", "content": "y" * 900}},
        {"type": "stdout", "text": "gave up"},
    ]
    for path, file in evidence.files(known, known.agents["a"], sources(lines, "It looped.")).items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
    (tmp_path / "query.py").write_bytes(QUERY.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("agents", "0* |  | 50 | "),
        ("worst 1", "0.00  bad  (edit, level 1, attempt 0)   transcript: traces/bad-0.trace.jsonl\n"),
        ("best 1 --kind fix", "1.00  good"),
        ("worst 9 --agent 1", "It looped."),
        ("trial bad", "critique: It looped."),
        ("trace bad", "[307 more characters]\n[stdout] gave up\n"),
        ("trace bad --full", f"[user] {'y' * 900}\n"),
        ("compare 0 1", "agent\tscore\tinterval\tedit\tfix\tusd\tseconds\ttokens\n0\t50.0%"),
        ("show 1", "agent 1, child of [0]: subject b"),
        ("tried", "subject b\n  agent 1: no difference\n"),
    ],
)
def test_the_archive_answers_questions(laid: Path, asked: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", laid / "query.py", *asked.split()], capture_output=True, text=True, check=True
    )
    assert told in done.stdout


def test_a_question_that_has_no_answer_says_what_there_is(laid: Path) -> None:
    for asked, told in (
        ("show 9", "there are 0 to 1"),
        ("trial nope", "worst 1000"),
        ("worst --agent 7", "no "),
    ):
        done = subprocess.run(
            [sys.executable, "-I", laid / "query.py", *asked.split()],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr


LOOKS = r"""
import json, os, pathlib, subprocess
seen = {}
root = pathlib.Path("/archive")
if root.exists():
    seen["files"] = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    seen["table"] = subprocess.run(["python3", "/archive/query.py", "agents"], capture_output=True, text=True).stdout
    for act in ("touch /archive/x", "rm /archive/README.md", "chmod 777 /archive", "echo 1 >> /archive/trials.jsonl"):
        seen[act] = subprocess.run(["sh", "-c", act], capture_output=True).returncode
    pathlib.Path("seen.json").write_text(json.dumps(seen))
"""


def test_in_the_box_the_archive_can_be_read_and_asked_and_not_written(world: World) -> None:
    files = skilled()
    main = files["main.py"]
    looking = {**files, "main.py": replace(main, data=LOOKS.encode() + main.data)}
    world.seed(looking)
    events = world.evolve(children=1)
    (child,) = [
        e.outcome.child for e in events if isinstance(e, Finished) and isinstance(e.outcome, Improvement)
    ]
    assert child is not None
    seen = json.loads(world.repo.files(child.tree)["seen.json"].data)
    assert {"README.md", "agents.md", "changes.jsonl", "query.py", "trials.jsonl"} <= set(seen["files"])
    assert "agent | parents | score" in seen["table"]
    assert [code for act, code in seen.items() if " " in act and code == 0] == []


def test_git_names_a_change_whatever_stands_around_it(world: World) -> None:
    seed = world.seed(skilled())
    repo = world.repo
    main = repo.files(seed.tree)["main.py"]
    changed = {
        **repo.files(seed.tree),
        "main.py": replace(main, data=main.data.replace(b"STEP = 1 ", b"STEP = 2 ")),
    }
    moved = {**repo.files(seed.tree), "main.py": replace(main, data=b"\n\n\n" + main.data)}
    message = Message("change")
    one = repo.add(changed, [seed], message)
    other = repo.add(moved, [seed], message)
    both = repo.add(
        {**moved, "main.py": replace(main, data=moved["main.py"].data.replace(b"STEP = 1 ", b"STEP = 2 "))},
        [other],
        message,
    )
    diffs = {a.commit: repo.diff(p.commit, a.commit) for a, p in ((one, seed), (both, other), (other, seed))}
    patches = repo.patch_ids({**diffs, seed.commit: ""})
    assert patches[one.commit] == patches[both.commit] != patches[other.commit]
    assert seed.commit not in patches
