"""The offline model: a pure function that speaks the protocol, knows no task, and sees what it is shown."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from loopback import ROOT, SEED_AGENT, Door, door, reward, run_agent, tuned, workspace_of

from sica.errors import UsageError
from sica.gateways import offline
from sica.gateways._offline.edits import apply, parse
from sica.gateways._offline.mutants import mutants
from sica.gateways.offline import OfflineGateway
from sica.ports import Asked

CORE = ROOT / "benchmark_data" / "core"


def tool(name: str, **parameters: str) -> Mapping[str, Any]:
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}


TOOLS = [
    tool("bash", command="string"),
    tool("overwrite", path="string", content="string"),
    tool("view", path="string", start="integer"),
    tool("submit"),
]


def ask(
    instruction: str,
    *more: Mapping[str, Any],
    seed: int = 0,
    tools: Sequence[Mapping[str, Any]] = TOOLS,
    **rest: Any,
) -> Mapping[str, Any]:
    messages = [{"role": "user", "content": instruction}, *more]
    request = {"model": "offline", "messages": messages, "tools": list(tools), **rest}
    return OfflineGateway().complete(Asked(request, "agent", seed, 0, 60.0))


def called(answer: Mapping[str, Any]) -> list[tuple[str, Any]]:
    calls = answer["choices"][0]["message"].get("tool_calls", [])
    return [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: tracebacks hold paths, and how much of them is shown decides what the model can do."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        yield Path(folder)


def work(agent: Path, task: Path, folder: Path, seed: int = 0) -> tuple[float, Door]:
    app = workspace_of(task, folder)
    with door(seed=seed) as model:
        run_agent(agent, app, (task / "instruction.md").read_text(), model.url)
    return reward(task, app, folder), model


# ── protocol ─────────────────────────────────────────────────────────────────────────────────────────


def test_only_its_own_model_is_accepted_and_it_is_free() -> None:
    OfflineGateway().check("offline")
    with pytest.raises(UsageError):
        OfflineGateway().check("gpt-5")
    price = OfflineGateway().price("offline")
    assert price is not None and price.prompt == price.completion == 0


def test_every_answer_of_a_whole_task_keeps_to_the_protocol_and_can_be_asked_for_again(
    tmp_path: Path,
) -> None:
    score, model = work(SEED_AGENT, CORE / "fix-ledger", tmp_path)
    assert score == 1.0 and len(model.asked) > 5
    for request, answer in reversed(list(zip(model.asked, model.answered, strict=True))):
        again = OfflineGateway().complete(Asked(request, "agent", 0, 7, 60.0))
        assert again == answer  # nothing is kept between calls, and the number of the call does not matter
        schemas = {t["function"]["name"]: t["function"]["parameters"] for t in request["tools"]}
        for name, arguments in called(answer):
            assert set(schemas[name]["required"]) <= set(arguments) <= set(schemas[name]["properties"])
        assert len(called(answer)) <= 1  # the seed asks for one at a time
        usage = answer["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert usage["prompt_tokens"] >= len(json.dumps(request["messages"])) / 5


def test_a_stream_says_the_same_and_ends_with_usage() -> None:
    request = {"model": "offline", "messages": [{"role": "user", "content": "hi"}], "tools": TOOLS}
    asked = Asked(request, "agent", 0, 0, 60.0)
    whole, chunks = OfflineGateway().complete(asked), list(OfflineGateway().stream(asked))
    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert said == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_an_answer_past_max_tokens_is_really_cut_off() -> None:
    answer = ask(f"Create the file `a` with the text `{'x' * 900}`.", max_tokens=60)
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])
    assert answer["usage"]["completion_tokens"] <= 60


@pytest.mark.parametrize(
    "broken",
    [
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "nobody", "content": None},
        {"role": "assistant", "content": [{"type": "text", "text": "x"}], "tool_calls": None},
        {"role": "user", "content": 3},
    ],
)
def test_odd_messages_do_not_stop_it(broken: Mapping[str, Any]) -> None:
    assert ask("In `a`, replace `b` by `c`.", broken)["choices"][0]["message"]["role"] == "assistant"


def test_without_tools_it_answers_in_words() -> None:
    message = ask("Fix it.", tools=())["choices"][0]["message"]
    assert message["content"] and "tool_calls" not in message


def test_it_uses_whatever_tools_there_are() -> None:
    ((name, arguments),) = called(
        ask("Create the file `a` with the text `b`.", tools=[tool("run_shell", cmd="string")])
    )
    assert (name, arguments) == ("run_shell", {"cmd": "printf %s 'b\n' > a"})
    editor = [*TOOLS, tool("str_replace", file_path="string", old_str="string", new_str="string")]
    seen = ask("In `a`, replace `x` by `y`.", tools=editor)
    result = {"role": "tool", "tool_call_id": seen["choices"][0]["message"]["tool_calls"][0]["id"]}
    shown = {**result, "content": "[a: lines 1-2 of 2]\n1\tone\n2\tx = 1\n"}
    answer = ask("In `a`, replace `x` by `y`.", seen["choices"][0]["message"], shown, tools=editor)
    assert called(answer) == [("str_replace", {"file_path": "a", "old_str": "x = 1\n", "new_str": "y = 1\n"})]


# ── honesty ──────────────────────────────────────────────────────────────────────────────────────────


def test_it_knows_no_task_and_no_answer() -> None:
    files = [Path(offline.__file__), *sorted((Path(offline.__file__).parent / "_offline").glob("*.py"))]
    code = "\n".join(p.read_text() for p in files)
    for task in sorted((ROOT / "benchmark_data").glob("*/*")):
        assert task.name not in code
        for file in (task / "environment" / "workspace").rglob("*.py"):
            names = set(re.findall(r"^ *(?:def|class) ([a-z]\w{6,})", file.read_text(), re.MULTILINE))
            assert not {n for n in names if re.search(rf"[\"'/]{n}\b", code)}, file
        for check in json.loads((task / "tests" / "checks.json").read_text())["checks"]:
            assert not any(a in code for a in check.get("accept", {}) if len(a) > 4)


def test_renaming_everything_in_a_task_changes_nothing(tmp_path: Path) -> None:
    words = {"ledger": "till", "money": "coin", "parse": "digest", "Book": "Folder", "book": "folder"}
    words |= {
        "show": "spell",
        "enter": "jot",
        "balance": "remainder",
        "statement": "listing",
        "cents": "bits",
    }

    def renamed(text: str) -> str:
        return re.sub("|".join(words), lambda m: words[m[0]], text)

    task = tmp_path / "task"
    for path in (CORE / "fix-ledger").rglob("*"):
        if path.is_file():
            target = task / renamed(path.relative_to(CORE / "fix-ledger").as_posix())
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text() if path.name == "judge.py" else renamed(path.read_text()))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert work(SEED_AGENT, CORE / "fix-ledger", tmp_path / "a")[0] == 1.0
    assert work(SEED_AGENT, task, tmp_path / "b")[0] == 1.0


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("edit-catalogue", {"MAX_TOKENS": 8000}),
        ("locate-callers", {"OUTPUT_KEPT": 16000}),
        ("locate-reexport", {"MAX_STEPS": 30}),
    ],
)
def test_what_the_scaffold_cuts_off_is_lost(task: str, settings: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert work(SEED_AGENT, CORE / task, tmp_path / "a")[0] < 1.0
    assert work(tuned(tmp_path, **settings), CORE / task, tmp_path / "b")[0] == 1.0


# ── changing an agent ────────────────────────────────────────────────────────────────────────────────


def improve(folder: Path, seed: int, said: str, tried: Sequence[Mapping[str, str]] = ()) -> tuple[str, Path]:
    """The subject that one improvement of the seed hands in, and the tree that it leaves."""
    app = Path(shutil.copytree(SEED_AGENT, folder / "app", ignore=shutil.ignore_patterns("__pycache__")))
    archive = folder / "archive"
    archive.mkdir()
    trial = {"task": "t", "score": 0.0, "ending": "done", "said": said}
    (archive / "trials.jsonl").write_text((json.dumps(trial) + "\n") * 5)
    (archive / "changes.jsonl").write_text("".join(json.dumps(t) + "\n" for t in tried))
    brief = f"# Improve this agent\n\nRead {archive}/trials.jsonl and {archive}/changes.jsonl.\n"
    with door(seed=seed) as model:
        ended = run_agent(SEED_AGENT, app, brief, model.url)
    assert ended.returncode == 0, ended.stderr
    note = app / "CHANGE.md"
    return (note.read_text() if note.exists() else ""), app


def test_an_improvement_turns_the_constant_that_the_trials_complain_of(tmp_path: Path) -> None:
    notes = []
    for seed in range(8):
        (tmp_path / str(seed)).mkdir()
        note, app = improve(
            tmp_path / str(seed), seed, "ended: step limit reached; steps: 12; outputs cut: 0"
        )
        if note.startswith("Raise MAX_STEPS from 12 to "):
            new = note.split()[5]
            assert f"MAX_STEPS = {new}\n" in (app / "seed" / "settings.py").read_text()
            assert "'step limit reached' in 5 of the 5 lost trials" in note
        notes.append(note.split("\n")[0])
    assert any(n.startswith("Raise MAX_STEPS") for n in notes)
    assert len(set(notes)) >= 3  # siblings differ


def test_where_nothing_is_complained_of_a_change_is_an_experiment(tmp_path: Path) -> None:
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        note, _ = improve(tmp_path / str(seed), seed, "")
        assert "\n\nWhy: " in note, "an experiment is made and told"


def test_what_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    said = "ended: step limit reached; steps: 12"
    (tmp_path / "a").mkdir()
    first, _ = improve(tmp_path / "a", 0, said)
    subject = first.split("\n")[0]
    (tmp_path / "b").mkdir()
    second, _ = improve(tmp_path / "b", 0, said, [{"subject": subject, "verdict": "hurt (-3.0 points)"}])
    assert subject and second.split("\n")[0] != subject


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sentence", "before", "after"),
    [
        ("replace `a` by `b`", "a\na\n", "b\nb\n"),
        ("replace the second `a` by `b`", "a\na\na\n", "a\nb\na\n"),
        ("rename `ab` to `cd`", "ab abc ab\n", "cd abc cd\n"),
        ("set `LIMIT` to `7`", "LIMIT = 5  # five\n", "LIMIT = 7  # five\n"),
        (
            "in the section `two`, set `k` to `9`",
            "[one]\nk = 1\n[two]\nk = 2\n",
            "[one]\nk = 1\n[two]\nk = 9\n",
        ),
        ("delete the line containing `x`", "a\nbxb\nc\n", "a\nc\n"),
        ("insert the line `n` before the line `b`", "a\nb\n", "a\nn\nb\n"),
        ("append `z`", "a\n", "a\nz\n"),
        ("replace `a` by `b`", "x\r\na\r\n", "x\r\nb\r\n"),
    ],
)
def test_edits_in_plain_sentences(sentence: str, before: str, after: str) -> None:
    (edit,) = parse(f"Do this:\n\n- In `f.txt`, {sentence}.\n")
    assert edit.path == "f.txt"
    assert apply(before, edit) == after


def test_mutants_touch_one_place_and_stay_python() -> None:
    text = (CORE / "fix-scheduler" / "solution" / "files" / "jobs" / "plan.py").read_text()
    found = mutants(text)
    assert len(found) > 100
    for mutant in found:
        assert text[: mutant.start] + mutant.new + text[mutant.end :] == mutant.apply(text) != text
    compiled = 0
    for mutant in found:
        try:
            compile(mutant.apply(text), "m", "exec")
            compiled += 1
        except SyntaxError:
            continue
    assert compiled / len(found) > 0.95
