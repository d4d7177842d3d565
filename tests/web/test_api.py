"""What the viewer's server answers, over a made-up archive with hostile texts in it."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browsing import made_up
from commands import family, sica
from serving import Server, serving

from sica import report
from sica.model import Request
from sica.traces import Traces
from sica.web import hunks
from sica.web.blocks import Assembler
from sica.web.guard import HEADERS, owner_of

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a project") / "made up"
    return made_up(folder, agents=24, tasks=12, traces=6, turns=80)


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[Server]:
    with serving(project) as found:
        yield found


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


# ── who may ask ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:7433"}, 200),
        ({"Host": "[::1]:7433"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:7433"}, 403),
        ({"Host": "127.0.0.1:7433", "Origin": "http://127.0.0.1:7433"}, 200),
        ({"Host": "127.0.0.1:7433", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1:7433", "Origin": "null"}, 403),
    ],
)
def test_another_host_or_another_page_is_refused(
    server: Server, headers: dict[str, str], status: int
) -> None:
    for path in ("/", "/api/archive", "/static/index.html", "/api/nothing"):
        answer = server.ask(path, **headers)
        assert answer.status == (status if status == 403 or "nothing" not in path else 404)
        assert answer.status != 403 or answer.json["schema"] == "sica.web.error/1"


def test_every_answer_carries_the_policy(server: Server) -> None:
    for path in (
        "/",
        "/api/archive",
        "/api/nothing",
        "/static/index.html",
        "/raw/archive.csv",
        "/api/agent/999",
    ):
        answer = server.ask(path)
        for name, value in HEADERS.items():
            assert answer.headers[name.lower()] == value, path
    policy = server.ask("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_a_change_needs_the_token(server: Server) -> None:
    body = {"kind": "comment", "agent": 1, "text": "fine"}
    for token in ("", "another", "the token and more"):
        headers = {"X_Sica_Token": token} if token else {}
        assert (
            server.ask("/api/requests", "POST", body, Content_Type="application/json", **headers).status
            == 403
        )
    assert server.get("/api/archive")["meta"]["token"] == "the token"
    assert server.get("/api/requests")["requests"] == []


def test_nothing_can_be_changed_read_only(project: Path) -> None:
    with serving(project, readonly=True) as server:
        meta = server.get("/api/archive")["meta"]
        assert (meta["readonly"], meta["token"]) == (True, "")
        assert server.request(kind="comment", agent=1, text="fine").status == 403
        assert server.get("/api/agent/1")["can_reject"] is False


def test_the_kernel_says_whose_connection_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as mine:
            address, number = mine.getsockname()
            assert owner_of(address, number, port) == os.getuid()
        assert owner_of("127.0.0.1", 1, port) is None


# ── the archive ───────────────────────────────────────────────────────────────────────────────────


def test_rows_and_lanes_are_those_of_sica_log(server: Server, project: Path) -> None:
    archive = server.get("/api/archive")
    logged = sica(project, "log", "--json").json["agents"]
    for row, mine in zip(logged, archive["agents"], strict=True):
        sums = ("tree", "change", "cost_usd")  # the last digit of a sum depends on its order
        assert {n: mine[n] for n in row if n not in sums} == {n: v for n, v in row.items() if n not in sums}
        assert (mine["change"], mine["cost_usd"]) == pytest.approx((row["change"], row["cost_usd"]))
    order = [str(row["agent"]) for row in archive["agents"]]
    places = report.lanes(order, {str(r["agent"]): [str(p) for p in r["parents"]] for r in archive["agents"]})
    assert archive["lanes"]["places"] == [
        [p.column, p.tip, p.root, [[t.start, t.end, t.closes, t.opens] for t in p.turns]] for p in places
    ]


def test_progress_is_a_staircase(server: Server) -> None:
    points = server.get("/api/progress")["points"]
    best = [p["best_so_far"] for p in points]
    scores = {p["agent"]: p["score"] for p in points}
    assert [scores[b] for b in best] == sorted(scores[b] for b in best)
    assert {p["agent"] for p in points if p["new_best"]} == set(best)
    assert [p["usd"] for p in points] == sorted(p["usd"] for p in points)


def test_the_matrix_agrees_with_the_trials(server: Server) -> None:
    matrix = server.get("/api/matrix")
    tasks = [task["task"] for task in matrix["tasks"]]
    for index in (0, 5, 11):
        number = matrix["agents"][index]
        trials = server.get(f"/api/agent/{number}")["trials"]
        for at, task in enumerate(tasks):
            scores = [t["score"] for t in trials if t["task"] == task and t["score"] is not None]
            cell = matrix["cells"][index][at]
            assert matrix["attempts"][index][at] == len(scores)
            faults = any(t["task"] == task for t in trials)
            assert cell == (round(100 * sum(scores) / len(scores)) if scores else -1 if faults else None)


def test_an_agent_says_what_changed_and_what_it_cost(server: Server) -> None:
    row = next(r for r in server.get("/api/archive")["agents"] if r["parents"] and r["score"] is not None)
    agent = server.get(f"/api/agent/{row['agent']}")
    assert agent["row"] == row
    assert agent["changes"]["comparison"]["difference"] == pytest.approx(row["change"])
    assert agent["body"].startswith("Why: 22 of 103")
    assert sum(line["usd"] for line in agent["costs"]) == pytest.approx(agent["making"]["usd"], rel=0.01)
    both = server.get(f"/api/compare/{row['parents'][0]}/{row['agent']}")
    assert both["comparison"] == agent["changes"]["comparison"]
    assert [t for t in both["tasks"] if t["difference"]] == agent["changes"]["tasks"]
    assert both["common_ancestor"] == row["parents"][0]


def test_what_is_not_there_is_said_in_json(server: Server) -> None:
    for path, status in (
        ("/api/agent/999", 404),
        ("/api/nothing", 404),
        ("/static/nothing.js", 404),
        ("/static/../app.py", 404),
        ("/api/trace/sha256:" + "0" * 64, 404),
        ("/api/trace/..%2F..%2Fetc", 404),
        ("/api/archive?bench=nothing", 400),
        ("/api/archive?under=nothing", 400),
        ("/api/agent/1/diff?against=x", 400),
        ("/api/log?before=x", 400),
        ("/api/log?limit=9999", 400),
        ("/api/events?kinds=gossip", 400),
        ("/api/events?after=yesterday", 400),
    ):
        answer = server.ask(path)
        assert (answer.status, answer.json["schema"]) == (status, "sica.web.error/1"), path
        assert answer.json["error"]


def test_an_unchanged_answer_is_not_sent_twice(server: Server) -> None:
    first = server.ask("/api/matrix")
    again = server.ask("/api/matrix", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert server.ask("/api/matrix", If_None_Match='"another"').body == first.body


def test_no_string_steers_a_terminal_or_a_reader(server: Server) -> None:
    archive = server.get("/api/archive")
    paths = ["/api/archive", "/api/log", "/api/progress"] + [f"/api/agent/{n}" for n in (5, 7, 11)]
    traces = {t["trace"] for t in server.get("/api/agent/7")["trials"]}
    paths += [f"/api/trace/{name}{page}" for name in traces for page in ("", "?page=1")]
    assert any("<script>" in text for path in paths for text in strings(server.get(path)))
    for path in paths:
        for text in strings(server.get(path)):
            assert not STEERING.search(text), (path, text[:100])
    assert archive["agents"]


def test_tables_open_in_a_spreadsheet_and_hold_no_formula(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    seed = next(iter(made.repo.agents()))
    made.agent("print(9)\n", seed, subject="=HYPERLINK(1)")
    made.ledger.close()
    with serving(tmp_path / "p") as server:
        answer = server.ask("/raw/archive.csv")
        lines = answer.body.decode().splitlines()
        assert lines[0].startswith("agent,commit,status")
        assert any(",'=HYPERLINK(1)" in line for line in lines)
        assert "attachment" in answer.headers["content-disposition"]
        assert len(server.ask("/raw/trials.csv").body.decode().splitlines()) == 1 + 4 * 8


# ── code ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_diff_is_the_change_and_nothing_else(server: Server) -> None:
    row = next(r for r in server.get("/api/archive")["agents"] if r["parents"])
    diff = server.get(f"/api/agent/{row['agent']}/diff")
    assert (diff["old"], diff["new"]) == (row["parents"][0], row["agent"])
    (file,) = diff["files"]
    assert (file["path"], file["status"], file["binary"]) == ("main.py", "changed", False)
    lines = [line for hunk in file["hunks"] for line in hunk["lines"]]
    assert (file["added"], file["removed"]) == (
        sum(x[0] == "+" for x in lines),
        sum(x[0] == "-" for x in lines),
    )
    repo, commits = server.source.repo, {a.number: a for a in server.source.reading().agents}
    for side, number in ((1, diff["old"]), (2, diff["new"])):
        code = repo.files(commits[number].tree)["main.py"].data.decode().splitlines()
        shown = {line[side]: line[3] for line in lines if line[side] is not None}
        assert shown == {n: code[n - 1] for n in shown}


def test_a_seed_is_all_new(server: Server) -> None:
    diff = server.get("/api/agent/0/diff")
    assert diff["old"] is None
    assert {f["path"]: f["status"] for f in diff["files"]} == dict.fromkeys(
        ("README.md", "agent.toml", "main.py"), "added"
    )


DIFF = """\
diff --git a/old name.py b/new name.py
similarity index 80%
rename from old name.py
rename to new name.py
--- a/old name.py\t
+++ b/new name.py\t
@@ -1,2 +1,2 @@ def run():
-a
+b \x1b[31m\u202e
 c
diff --git a/gone b/gone
deleted file mode 100644
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
--- gone
\\ No newline at end of file
diff --git "a/\\303\\244.bin" "b/\\303\\244.bin"
new file mode 100644
Binary files /dev/null and "b/\\303\\244.bin" differ
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
"""


def test_renames_modes_binaries_and_odd_names() -> None:
    files = hunks.parsed(DIFF)["files"]
    facts = [(f["path"], f["old_path"], f["status"], f["binary"], f["added"], f["removed"]) for f in files]
    assert facts == [
        ("new name.py", "old name.py", "renamed", False, 1, 1),
        ("gone", "", "removed", False, 0, 1),
        ("ä.bin", "", "added", True, 0, 0),
        ("run.sh", "", "mode", False, 0, 0),
    ]
    assert files[0]["hunks"][0]["section"] == "def run():"
    assert files[0]["hunks"][0]["lines"] == [["-", 1, None, "a"], ["+", None, 1, "b "], [" ", 2, 2, "c"]]
    assert files[1]["hunks"][0]["lines"][1] == ["\\", None, None, " No newline at end of file"]


def test_a_huge_diff_is_cut_and_says_so() -> None:
    body = "".join(f"+{'x' * 5000}\n" for _ in range(20))
    text = f"diff --git a/a b/a\nnew file mode 100644\n--- /dev/null\n+++ b/a\n@@ -0,0 +1,20 @@\n{body}"
    found = hunks.parsed(text, most=5)
    assert (found["truncated"], found["added"], found["files"][0]["cut"]) == (True, 20, 15)
    assert found["files"][0]["hunks"][0]["lines"][0][3] == "x" * 2000 + " …"


# ── traces ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def name(server: Server) -> str:
    """A trace of some length."""
    names = {t["trace"] for n in range(8) for t in server.get(f"/api/agent/{n}")["trials"]}
    return str(max(names, key=lambda n: server.get(f"/api/trace/{n}")["all"]))


def test_a_trace_comes_in_pages(server: Server, name: str) -> None:
    first = server.get(f"/api/trace/{name}")
    assert first["pages"] > 1
    assert len(first["blocks"]) == 200
    pages = [server.get(f"/api/trace/{name}?page={n}") for n in range(first["pages"])]
    blocks = [b for page in pages for b in page["blocks"]]
    assert len(blocks) == first["all"] == first["total"] == sum(first["kinds"].values())
    assert len({b["e"] for b in blocks}) == len(blocks), "every block has a name of its own"
    for wanted in (blocks[0], blocks[250], blocks[-1]):
        page = server.get(f"/api/trace/{name}?at={wanted['e']}")
        assert wanted["e"] in {b["e"] for b in page["blocks"]}


def test_sub_agents_are_nested_where_they_were_started(server: Server, name: str) -> None:
    pages = server.get(f"/api/trace/{name}")
    spans = {s["span"]: s for s in pages["spans"]}
    blocks = [b for n in range(pages["pages"]) for b in server.get(f"/api/trace/{name}?page={n}")["blocks"]]
    assert (spans[0]["label"], spans[0]["parent"], spans[0]["depth"]) == ("main", None, 0)
    assert max(s["depth"] for s in spans.values()) == 2
    starters = [b for b in blocks if b["kind"] == "tool" and b["starts"] is not None]
    assert sorted(b["starts"] for b in starters) == [n for n in spans if n]
    for block in starters:
        assert (block["tool"], block["span"]) == ("delegate", spans[block["starts"]]["parent"])
        assert block["result"] == "The sub-agent is done: two files changed."
    assert sum(s["turns"] for s in spans.values()) == pages["totals"]["turns"] == pages["kinds"]["call"]
    assert sum(s["usd"] for s in spans.values()) == pytest.approx(pages["totals"]["usd"])
    inner = server.get(f"/api/trace/{name}?span=1")
    assert inner["total"] == sum(s["blocks"] for s in spans.values() if s["span"] == 1 or s["parent"] == 1)


def test_every_call_and_every_tool_is_one_block(server: Server, name: str) -> None:
    only = server.get(f"/api/trace/{name}?kind=call,tool")
    assert {b["kind"] for b in only["blocks"]} == {"call", "tool"}
    for block in only["blocks"]:
        if block["kind"] == "tool":
            assert block["result"] is not None
        else:
            assert (block["state"], block["completion_tokens"]) == ("done", 180)
    raw = list(Traces(server.source.traces.root).read(name))
    asked = sum(
        len(e["body"]["choices"][0]["message"].get("tool_calls", ())) for e in raw if e["type"] == "response"
    )
    assert only["total"] == sum(e["type"] == "request" for e in raw) + asked


def test_search_finds_what_stands_in_a_cut_text(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    traces = Traces(tmp_path / "p" / ".sica" / "traces")
    trace = traces.open("0123456789abcdef")
    trace.event("start", agent="agent/1", commit="x", task="core/a", attempt=0, **{"for": "trial"})
    trace.event("stdout", text="a" * 3_000_000 + " needle\x00\x1b[31m\u202e " + "b" * 3_000_000)
    trace.event("stderr", text="nothing")
    name = trace.close()
    made.ledger.close()
    with serving(tmp_path / "p") as server:
        found = server.get(f"/api/trace/{name}?q={quote('NEEDLE')}")
        assert [(b["kind"], b["e"]) for b in found["blocks"]] == [("stdout", 1)]
        block = found["blocks"][0]
        assert len(block["text"]) < 9_000
        assert block["cut"] == 6_000_000 + len(" needle\x00\x1b[31m\u202e ") - 8_000
        whole = server.get(f"/api/trace/{name}/block/1")
        assert len(whole["block"]["text"]) < 1_000_100
        assert len(whole["raw"]) == 200_000
        assert server.get(f"/api/trace/{name}?q=haystack")["total"] == 0
        assert server.ask(f"/api/trace/{name}/block/77").status == 404


def test_the_raw_trace_is_untouched_and_never_a_page(server: Server, name: str) -> None:
    answer = server.ask(f"/raw/trace/{name}")
    path = Traces(server.source.traces.root).find(name)
    assert answer.body == gzip.decompress(path.read_bytes())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_damaged_trace_says_so_and_a_bad_line_hides_nothing(tmp_path: Path) -> None:
    family(tmp_path / "p").ledger.close()
    traces = Traces(tmp_path / "p" / ".sica" / "traces")
    trace = traces.open("0123456789abcdef")
    trace.event("stdout", text="one")
    name = trace.close()
    path = traces.find(name)
    path.write_bytes(path.read_bytes()[:-5])
    (traces.root / "open" / "feedfeedfeedfeed.jsonl").write_bytes(
        b'[1]\n{"type": "stdout", "text": "kept", "seq": 1}\n{"half'
    )
    with serving(tmp_path / "p") as server:
        answer = server.ask(f"/api/trace/{name}")
        assert (answer.status, "damaged" in answer.json["error"]) == (503, True)
        blocks = server.get("/api/trace/feedfeedfeedfeed")["blocks"]
        assert [(b["kind"], b["text"]) for b in blocks] == [("other", "[1]"), ("stdout", "kept")]
        (box,) = server.get("/api/running")["boxes"]
        assert (box["session"], box["alive"]) == ("feedfeedfeedfeed", False)


def test_a_box_at_work_is_read_on_and_found_again_when_it_is_closed(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    trace = Traces(tmp_path / "p" / ".sica" / "traces").open("00000000000000aa")
    trace.event("start", agent="agent/1", commit="x", task="core/task-1", attempt=0, **{"for": "trial"})
    trace.event("session", session="00000000000000aa", role="main", model="offline", run="r1")
    asks = trace.message({"role": "user", "content": "do it"})
    with serving(tmp_path / "p") as server:
        trace.event("request", call=0, model="offline", messages=[asks], rest={}, span="main")
        (box,) = server.get("/api/running")["boxes"]
        assert (box["agent"], box["turns"], box["waiting"], box["alive"]) == (1, 1, "model", True)
        answer = {"role": "assistant", "content": "", "tool_calls": [call("t1", "bash", {"command": "make"})]}
        trace.event(
            "response", call=0, body={"choices": [{"message": answer}]}, usage={"usd": 0.5}, seconds=1.0
        )
        (box,) = server.get("/api/running")["boxes"]
        assert (box["doing"], box["text"], box["waiting"], box["usd"]) == ("bash", "make", "tool", 0.5)
        inner = trace.message({"role": "user", "content": "you are the coder"})
        trace.event("request", call=1, model="offline", messages=[inner], rest={}, span="main/coder-1")
        spans = server.get("/api/running")["boxes"][0]["spans"]
        assert [(s["label"], s["parent"]) for s in spans] == [("main", None), ("coder-1", 0)]
        page = server.get("/api/trace/00000000000000aa")
        assert (page["open"], page["blocks"][-1]["kind"], page["blocks"][-1]["state"]) == (
            True,
            "call",
            "open",
        )
        number = page["blocks"][-1]["e"]
        from sica.model import Setting, Trial, Usage

        agent = made.ledger.agents()[1]
        made.ledger.record(
            Trial(
                *(
                    agent.commit,
                    agent.tree,
                    "core/task-1",
                    "digest-1",
                    5,
                    "c",
                    1.0,
                    None,
                    "done",
                    "split",
                    Usage(),
                ),
                trace=trace.close(),
                session="00000000000000aa",
                started=time.time(),
                setting=Setting("offline", "box:1"),
            )
        )
        assert server.get("/api/running")["boxes"] == []
        closed = server.get(f"/api/trace/00000000000000aa?at={number}")
        assert closed["name"].startswith("sha256:")
        assert closed["open"] is False
        assert number in {b["e"] for b in closed["blocks"]}
    made.ledger.close()


def test_what_an_overseer_ruled_stands_in_the_conversation_it_is_about() -> None:
    said: list[dict[str, Any]] = [
        {"type": "message", "hash": "a", "body": {"role": "user", "content": "do it"}},
        {"type": "request", "call": 0, "model": "m", "messages": ["a"], "span": "main"},
        {"type": "request", "call": 1, "model": "m", "messages": ["a"], "span": "main/coder-1"},
        {
            "type": "ruling",
            "action": "notice",
            "by": "guard: repeats",
            "span": "main/coder-1",
            "text": "stop that",
        },
        {"type": "notice", "call": 1, "text": "stop that"},
    ]
    made = Assembler()
    for line, event in enumerate(said):
        made.feed({"seq": line, "ts": float(line), **event}, line)
    ruling, notice = made.blocks[-2:]
    assert (ruling.kind, ruling.span, ruling.facts["action"], ruling.facts["by"]) == (
        "overseer",
        1,
        "notice",
        "guard",
    )
    assert (notice.kind, notice.span, notice.facts["by"]) == ("notice", 1, "guard")


def call(id_: str, name: str, arguments: object) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def test_a_read_that_does_not_end_keeps_no_writer_waiting(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    commit = made.ledger.agents()[1].commit
    with serving(tmp_path / "p") as server:
        reader = server.source.ledger
        made.ledger.ask(Request("comment", at=1.0, agent=commit, text="first"))  # from here on there is a log
        reader.requests()
        began = time.monotonic()

        def write_meanwhile() -> int:
            before = len(reader.requests())
            for number in range(20):
                made.ledger.ask(Request("comment", at=2.0, agent=commit, text=str(number)))
            return len(reader.requests()) - before

        assert reader._at_one_moment(write_meanwhile) == 0, "the reader sees one moment"
        assert time.monotonic() - began < 20, "SQLite would have waited thirty seconds for a lock"
        assert len(server.get("/api/requests")["requests"]) == 21
    made.ledger.close()


# ── people ────────────────────────────────────────────────────────────────────────────────────────


def test_requests_are_checked_before_they_are_kept(server: Server) -> None:
    for body, status in (
        ({"kind": "pause"}, 409),
        ({"kind": "stop"}, 409),
        ({"kind": "cancel", "session": "0123456789abcdef"}, 409),
        ({"kind": "cancel"}, 400),
        ({"kind": "hint", "text": " "}, 400),
        ({"kind": "hint", "text": "x" * 20_000}, 400),
        ({"kind": "hint", "text": 7}, 400),
        ({"kind": "hint", "text": "a", "session": "../../etc"}, 400),
        ({"kind": "comment", "text": "no agent"}, 400),
        ({"kind": "comment", "agent": 999, "text": "nobody"}, 404),
        ({"kind": "comment", "agent": True, "text": "nobody"}, 400),
        ({"kind": "rm -rf"}, 400),
        ([], 400),
    ):
        answer = server.ask(
            "/api/requests", "POST", body, Content_Type="application/json", X_Sica_Token="the token"
        )
        assert (answer.status, answer.json["schema"]) == (status, "sica.web.error/1"), body
    for content, headers, status in (
        (b"{" * 100, {"Content_Type": "application/json"}, 400),
        (b'{"kind": "pause"}', {"Content_Type": "text/plain"}, 400),
        (b" " * 70_000, {"Content_Type": "application/json"}, 413),
    ):
        answer = server.ask("/api/requests", "POST", content, X_Sica_Token="the token", **headers)
        assert answer.status == status
    assert server.get("/api/requests")["requests"] == []


def test_a_comment_is_a_note_in_git_and_seen_by_everybody(tmp_path: Path) -> None:
    family(tmp_path / "p").ledger.close()
    with serving(tmp_path / "p") as server:
        kept = server.request(kind="comment", agent=1, text="look at\x1b[31m tools.py\n\u202etwice").json[
            "request"
        ]
        assert (kept["state"], kept["by"], kept["agent"], kept["text"]) == (
            "done",
            "ann",
            1,
            "look at tools.py\ntwice",
        )
        again = sica(tmp_path / "p", "review", "1", "--comment", "and at the tests")
        assert (again.code, again.err) == (0, "")
        agent = server.get("/api/agent/1")
        assert [(r["kind"], r["text"]) for r in agent["reviews"]] == [
            ("comment", "look at tools.py\ntwice"),
            ("comment", "and at the tests"),
        ]
        assert agent["row"]["comments"] == 2
        shown = sica(tmp_path / "p", "git", "notes", "--ref", "sica/review", "show", "agent/1").out
        assert json.loads(shown.splitlines()[0])["by"] == "ann"
        assert "and at the tests" in sica(tmp_path / "p", "review", "1").out
        assert "and at the tests" in sica(tmp_path / "p", "show", "1").out


def test_an_agent_is_rejected_and_taken_back_without_a_run(tmp_path: Path) -> None:
    family(tmp_path / "p").ledger.close()
    with serving(tmp_path / "p") as server:
        assert server.request(kind="reject", agent=3, text="").status == 409, "it is the best"
        assert server.request(kind="reject", agent=4, text="cheats").json["request"]["state"] == "done"
        agent = server.get("/api/agent/4")
        assert (agent["row"]["status"], agent["row"]["reason"]) == ("rejected", "rejected by ann: cheats")
        assert (agent["approval"], agent["can_reject"], agent["can_approve"]) == ("rejected", False, True)
        assert sica(tmp_path / "p", "review", "4", "--approve").code == 0
        agent = server.get("/api/agent/4")
        assert (agent["row"]["status"], agent["can_reject"]) == ("evaluated", True)
        assert [r["kind"] for r in agent["reviews"]] == ["reject", "approve"]


def test_a_would_be_champion_is_shown_as_waiting(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    commit = made.ledger.agents()[4].commit
    made.ledger.ask(Request("waiting", at=5.0, by="sica", agent=commit, text="agent/4 would be the new best"))
    with serving(tmp_path / "p") as server:
        assert [r["agent"] for r in server.get("/api/archive")["agents"] if r["waiting"]] == [4]
        assert server.get("/api/status")["waiting"] == [{"agent": 4, "why": "agent/4 would be the new best"}]
        assert server.get("/api/agent/4")["can_approve"] is True
        assert "review 4 --approve" in sica(tmp_path / "p", "review").out
        server.request(kind="approve", agent=4)
        assert server.get("/api/status")["waiting"] == []
        assert server.get("/api/agent/4")["approval"] == "approved"
    made.ledger.close()


def test_tell_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    family(tmp_path / "p").ledger.close()
    done = sica(tmp_path / "p", "tell", "pause")
    assert (done.code, done.err) == (
        2,
        "sica: no run is going, so there is nothing to pause\n      sica evolve starts one\n",
    )
    assert sica(tmp_path / "p", "tell", "hint", "try a diff").out == "kept for the next improvement\n"
    listed = sica(tmp_path / "p", "tell", "list", "--json").json
    assert [(r["kind"], r["state"], r["text"]) for r in listed["requests"]] == [
        ("hint", "pending", "try a diff")
    ]
    assert "try a diff" in sica(tmp_path / "p", "tell", "list").out


def test_everything_that_happened_is_listed_page_by_page(server: Server) -> None:
    seen: list[tuple[str, object]] = []
    before = ""
    while True:
        page = server.get(f"/api/log?before={before}&limit=500" if before else "/api/log?limit=500")
        seen += [(e["kind"], json.dumps(e, sort_keys=True)) for e in page["events"]]
        if not (before := page["before"] or ""):
            break
    mark = server.get("/api/status")["cursor"]
    counted = {letter: int(n) for letter, n in re.findall(r"([rivtpqw])(\d+)", mark.partition("~")[0])}
    assert len(seen) == sum(counted.values())
    assert len(set(seen)) == len(seen)
    only = server.get("/api/log?kind=promotion")["events"]
    assert {e["kind"] for e in only} == {"promotion"}
