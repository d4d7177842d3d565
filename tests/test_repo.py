"""Real git in temporary folders; the plain git program is the judge of what sica wrote."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sica import repo as repo_file
from sica.errors import SicaError, StoreError, UsageError
from sica.model import Agent, File, Message
from sica.repo import EVALUATIONS, SCORES, GitRepo

SEED = {"agent.py": File(b"print('hi')\n"), "bin/run": File(b"#!/bin/sh\n", executable=True)}
BETTER = {**SEED, "agent.py": File(b"print('hi')\nprint('there')\n")}


@pytest.fixture
def store(tmp_path: Path) -> GitRepo:
    return GitRepo.create(tmp_path / "ein prøject" / "agents.git", tmp_path / "run")


def seeded(store: GitRepo) -> Agent:
    return store.add(SEED, [], Message("the seed", operator="seed"))


def plain_git(store: GitRepo, *args: str) -> str:
    """As a person types it, without the harness's options."""
    done = subprocess.run(
        ["git", "-C", str(store.path), *args],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ── agents ────────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_comes_back_as_it_was_added(store: GitRepo) -> None:
    seed = seeded(store)
    child = store.add(
        BETTER,
        [seed],
        Message(
            "greet twice",
            "Why: once is rude.\nWhat: twice.",
            "self-edit",
            "r2",
            "offline/det",
            1.08,
            "sha256:ab12",
        ),
    )
    assert list(store.agents()) == [seed, child]
    assert (child.number, child.parents, child.run, child.cost_usd) == (1, (seed.commit,), "r2", 1.08)
    assert child.body == "Why: once is rude.\nWhat: twice."
    assert store.files(child.tree) == BETTER


def test_opening_again_shows_the_same_agents(store: GitRepo) -> None:
    seed = seeded(store)
    again = GitRepo.create(store.path, store.runtime)
    assert list(again.agents()) == list(GitRepo.open(store.path, store.runtime).agents()) == [seed]


def test_names_that_are_not_ascii_and_the_executable_bit_survive(store: GitRepo) -> None:
    files = {
        "überblick/日本 語.txt": File("é\n".encode()),
        "-x": File(b"", executable=True),
        "a\u0301": File(b"1"),
    }
    agent = store.add(files, [], Message("seed"))
    assert store.files(agent.tree) == files
    place = store.export(agent.tree)
    assert (place / "überblick" / "日本 語.txt").read_text() == "é\n"
    assert (place / "-x").stat().st_mode & 0o111


def test_going_back_to_the_parents_files_gives_the_parents_tree(store: GitRepo) -> None:
    seed = seeded(store)
    child = store.add(BETTER, [seed], Message("greet twice"))
    back = store.add(SEED, [child], Message("do not", operator="revert"))
    assert back.tree == seed.tree
    assert back.commit != seed.commit
    assert [a.number for a in store.agents()] == [0, 1, 2]


def test_a_merge_has_both_parents_and_the_first_is_its_author(store: GitRepo) -> None:
    seed = seeded(store)
    one, two = (store.add({**SEED, n: File(b"")}, [seed], Message(n)) for n in "ab")
    both = store.add({**SEED, "a": File(b""), "b": File(b"")}, [two, one], Message("both", operator="merge"))
    assert both.parents == (two.commit, one.commit)
    assert next(itertools.islice(store.agents(), 3, None)) == both
    assert (
        plain_git(store, "log", "-1", "--format=%an <%ae>", both.commit)
        == "sica agent/2 <agent-2@sica.invalid>\n"
    )
    assert "Sica-Parent: agent/2\nSica-Parent: agent/1\n" in plain_git(
        store, "log", "-1", "--format=%B", both.commit
    )


def test_the_committer_is_whoever_runs_sica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ada Løvelace")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ada@example.org")
    store = GitRepo.create(tmp_path / "agents.git")
    agent = seeded(store)
    assert (
        plain_git(store, "log", "-1", "--format=%cn <%ce>", agent.commit)
        == "Ada Løvelace <ada@example.org>\n"
    )


def test_a_machine_without_an_identity_still_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path)
    store = GitRepo.create(tmp_path / "agents.git")
    agent = seeded(store)
    assert plain_git(store, "log", "-1", "--format=%cn <%ce>", agent.commit) == "sica <sica@sica.invalid>\n"


# ── what a model says ─────────────────────────────────────────────────────────────────────────────


def test_a_models_text_cannot_forge_facts(store: GitRepo) -> None:
    seed = seeded(store)
    forged = [
        "Sica-Agent: 0",
        "Sica-Parent: agent/99",
        "  sica-cost-usd : 0",
        "\u200bSica-Run: r9",
        "Signed-off-by: Me <m@x>",
    ]
    body = "\n".join(["Why: x", "", *forged])
    child = store.add(SEED, [seed], Message("Sica-Agent: 7", body))
    trailers = plain_git(store, "log", "-1", "--format=%(trailers:only,unfold)", child.commit)
    assert trailers.count("Sica-Agent:") == 1
    assert "agent/99" not in trailers
    said = plain_git(store, "log", "-1", "--format=%B", child.commit).splitlines()
    assert [line for line in said if line.startswith("Sica-Agent")] == ["Sica-Agent: 1"]
    assert [line for line in said if line.lstrip("> ").startswith("Sica-Run")] == ["> Sica-Run: r9"]
    assert not any(line.startswith("Signed-off-by") for line in said)


def test_control_and_bidirectional_characters_do_not_reach_a_commit(store: GitRepo) -> None:
    hostile = "\x1b[31mred\x1b[0m \u202eevil\u2066 \x00nul\x07 \ud800 tab\there\r\nsecond"
    agent = store.add(SEED, [], Message(hostile, f"Why: {hostile}\x1b]0;title\x07"))
    assert agent.subject == "red evil nul tab here second"
    assert agent.body == "Why: red evil nul  tab here\nsecond"
    assert list(store.agents()) == [agent]


def test_long_text_is_capped(store: GitRepo) -> None:
    agent = store.add(SEED, [], Message("s" * 1000, "b" * 100_000))
    assert len(agent.subject) == repo_file.MAX_SUBJECT
    assert len(agent.body) == repo_file.MAX_BODY


def test_a_message_without_words_still_has_a_subject(store: GitRepo) -> None:
    assert store.add(SEED, [], Message("\u200b \n")).subject == "a change without a description"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subject=st.text(max_size=120), body=st.text(max_size=400))
def test_whatever_a_model_says_the_agent_reads_back_the_same(tmp_path: Path, subject: str, body: str) -> None:
    store = GitRepo.create(tmp_path / "agents.git")
    seed = next(store.agents(), None) or seeded(store)
    child = store.add(SEED, [seed], Message(subject, body, "merge", "r1", "m", 0.25, "sha256:00"))
    assert list(store.agents())[-1] == child
    assert (child.operator, child.run, child.cost_usd) == ("merge", "r1", 0.25)


# ── hostile trees ─────────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "/etc/passwd",
    "../up",
    "a/../../up",
    "a//b",
    "a/",
    "./a",
    "",
    ".git/config",
    ".GIT/hooks/post-checkout",
    "sub/.Git/x",
    "git~1/config",
    ".g\u200cit/config",
    ".git /config",
    ".git./config",
    ".git::$INDEX_ALLOCATION/config",
    ".ｇit/config",
    "a\x00b",
    "a\nb",
    "a\\..\\b",
    "\udc80",
    "n" * 256,
    "/".join(["d" * 200] * 6),
]


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_a_hostile_path_is_refused_by_name(store: GitRepo, path: str) -> None:
    with pytest.raises(UsageError) as refused:
        store.add({**SEED, path: File(b"x")}, [], Message("seed"))
    assert ascii(path)[1:20].rstrip("'") in str(refused.value)
    assert list(store.agents()) == []


@pytest.mark.parametrize("files", [{"a": File(b""), "a/b": File(b"")}, {"a/b": File(b""), "a": File(b"")}])
def test_a_path_that_is_both_file_and_folder_is_refused(store: GitRepo, files: dict[str, File]) -> None:
    with pytest.raises(UsageError, match="both a file and a folder"):
        store.add(files, [], Message("seed"))


def test_too_many_and_too_big_files_are_refused(store: GitRepo) -> None:
    with pytest.raises(UsageError, match="5001 files"):
        store.add({f"f{i}": File(b"") for i in range(5_001)}, [], Message("seed"))
    with pytest.raises(UsageError, match=r"'big'.*5,000,001"):
        store.add({"big": File(b"x" * 5_000_001)}, [], Message("seed"))
    chunk = b"x" * 4_100_000
    with pytest.raises(UsageError, match="more than the 20,000,000"):
        store.add({f"part{i}": File(chunk) for i in range(5)}, [], Message("seed"))


def test_an_agent_without_files_is_refused(store: GitRepo) -> None:
    with pytest.raises(UsageError, match="without files"):
        store.add({}, [], Message("seed"))


NAMES = st.text(alphabet=st.sampled_from("a.gGiIt~1/ \\:\x00é\u200c-"), max_size=12) | st.text(max_size=8)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(NAMES, st.binary(max_size=4).map(File), min_size=1, max_size=4))
def test_any_tree_is_either_refused_or_comes_back_and_passes_gits_own_check(
    tmp_path: Path, files: dict[str, File]
) -> None:
    store = GitRepo.create(tmp_path / "agents.git", tmp_path / "run")
    try:
        agent = store.add(files, [], Message("any"))
    except UsageError:
        return
    assert store.files(agent.tree) == files
    outside = set(tmp_path.rglob("*")) - set(store.export(agent.tree).rglob("*"))
    assert not [
        p for p in outside if p.is_file() and not p.is_relative_to(store.path) and "trees" not in p.parts
    ]
    checked = subprocess.run(
        ["git", f"--git-dir={store.path}", "fsck", "--strict", "--no-dangling", agent.commit],
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


# ── exports ───────────────────────────────────────────────────────────────────────────────────────


def test_an_export_is_readable_by_the_boxes_user_and_written_by_nobody(store: GitRepo) -> None:
    place = store.export(seeded(store).tree)
    modes = {
        p.relative_to(place).as_posix(): stat.S_IMODE(p.stat().st_mode) for p in [place, *place.rglob("*")]
    }
    assert modes == {".": 0o555, "agent.py": 0o444, "bin": 0o555, "bin/run": 0o555}


def test_attributes_in_a_tree_change_neither_export_nor_diff(store: GitRepo) -> None:
    hostile = {
        ".gitattributes": File(b"secret export-ignore\n* text eol=crlf export-subst ident -diff\n"),
        "secret": File(b"$Format:%H$\n$Id$\n"),
    }
    seed = store.add(hostile, [], Message("seed"))
    place = store.export(seed.tree)
    assert {p.name: p.read_bytes() for p in place.iterdir()} == {n: f.data for n, f in hostile.items()}
    child = store.add({**hostile, "secret": File(b"other\n")}, [seed], Message("x"))
    assert "+other" in store.diff(seed.commit, child.commit)


@pytest.mark.parametrize("damage", ["change", "remove", "add", "mode", "link", "empty"])
def test_a_damaged_export_is_made_again(store: GitRepo, damage: str) -> None:
    seed = seeded(store)
    place = store.export(seed.tree)
    for path in [place, *place.rglob("*")]:
        path.chmod(0o755)
    if damage == "change":
        (place / "agent.py").write_bytes(b"print('no')\n")
    elif damage == "remove":
        (place / "agent.py").unlink()
    elif damage == "add":
        (place / "sitecustomize.py").write_bytes(b"")
    elif damage == "mode":
        (place / "bin" / "run").chmod(0o644)
    elif damage == "link":
        (place / "agent.py").unlink()
        (place / "agent.py").symlink_to("/etc/passwd")
    else:
        for path in (place / "agent.py", place / "bin" / "run"):
            path.unlink()
    if damage == "mode":
        (place / "agent.py").chmod(0o644)
    again = store.export(seed.tree)
    assert {p.name: p.read_bytes() for p in again.rglob("*") if p.is_file()} == {
        "agent.py": SEED["agent.py"].data,
        "run": SEED["bin/run"].data,
    }
    assert not (again / "agent.py").is_symlink()


def test_many_exports_of_one_tree_at_once_give_one_directory(store: GitRepo) -> None:
    seed = seeded(store)
    start, places = threading.Barrier(6), []

    def export() -> None:
        start.wait()
        places.append(GitRepo.open(store.path, store.runtime).export(seed.tree))

    threads = [threading.Thread(target=export) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert places == [store.runtime / "trees" / seed.tree] * 6
    assert [p.name for p in (store.runtime / "trees").iterdir()] == [seed.tree]


def test_an_export_folder_of_somebody_else_is_refused(store: GitRepo) -> None:
    seed = seeded(store)
    store.runtime.mkdir()
    store.runtime.chmod(0o777)
    with pytest.raises(StoreError, match="another user"):
        store.export(seed.tree)


# ── main ──────────────────────────────────────────────────────────────────────────────────────────


def test_main_starts_at_the_seed_and_moves_by_merges_only(store: GitRepo) -> None:
    seed = seeded(store)
    assert store.champion() == seed.commit
    assert store.promote(seed) == seed.commit
    one = store.add(BETTER, [seed], Message("one"))
    two = store.add({**BETTER, "new": File(b"")}, [one], Message("two"))
    first, second = store.promote(one), store.promote(two)
    assert store.champion() == two.commit
    assert store.promote(two) == second
    log = plain_git(store, "log", "--first-parent", "--format=%H %P %T", "main").split("\n")
    assert log[0] == f"{second} {first} {two.commit} {two.tree}"
    assert log[1] == f"{first} {seed.commit} {one.commit} {one.tree}"


def test_going_back_to_the_seed_is_a_promotion_too(store: GitRepo) -> None:
    seed = seeded(store)
    one = store.add(BETTER, [seed], Message("one"))
    store.promote(one)
    store.promote(seed)
    assert store.champion() == seed.commit
    assert plain_git(store, "rev-parse", "main^{tree}").strip() == seed.tree


def test_a_kill_between_the_seed_and_main_is_made_good(store: GitRepo) -> None:
    seed = seeded(store)
    plain_git(store, "update-ref", "-d", "refs/heads/main")
    assert store.champion() == seed.commit
    store.promote(store.add(BETTER, [seed], Message("one")))
    assert plain_git(store, "log", "--first-parent", "--format=%s", "main").splitlines() == [
        "main: promote agent/1",
        "agent/0: the seed",
    ]


def test_a_store_without_agents_has_no_champion(store: GitRepo) -> None:
    assert store.champion() == ""
    assert list(store.agents()) == []


# ── plain git ─────────────────────────────────────────────────────────────────────────────────────


def test_plain_git_works_on_the_store(store: GitRepo) -> None:
    seed = seeded(store)
    one = store.add(BETTER, [seed], Message("greet twice"))
    store.promote(one)
    store.annotate({one.commit: "56.0% ±6.5  core  n=48  $13.92"}, {})
    assert "+print('there')" in plain_git(store, "diff", "agent/0", "agent/1")
    assert "agent/1: greet twice" in plain_git(store, "log", "--graph", "--oneline", "--branches")
    assert plain_git(store, "lineage") == plain_git(store, "log", "--graph", "--oneline", "--branches")
    assert len(plain_git(store, "staircase").splitlines()) == 2
    assert "sica agent/0" in plain_git(store, "blame", "main", "--", "agent.py").splitlines()[1]
    assert "56.0% ±6.5  core" in plain_git(store, "log", "-1", "agent/1")
    assert "agent/1" in plain_git(store, "branch", "--contains", "agent/0")
    plain_git(store, "fsck", "--full", "--strict")


def test_a_clone_with_its_notes_is_a_store(store: GitRepo, tmp_path: Path) -> None:
    one = seeded(store)
    store.annotate({}, {one.commit: ['{"v":1}']})
    copy = tmp_path / "copy.git"
    subprocess.run(["git", "clone", "--quiet", "--mirror", str(store.path), str(copy)], check=True)
    again = GitRepo.create(copy)
    assert list(again.agents()) == [one]
    assert again.notes() == {one.commit: ('{"v":1}',)}
    assert again.champion() == one.commit


def test_a_hook_that_sica_is_started_from_does_not_lead_it_astray(
    store: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='false'")
    seed = seeded(store)
    one = store.add(BETTER, [seed], Message("one"))
    store.annotate({one.commit: "1"}, {one.commit: ["{}"]})
    store.pack()
    assert list(store.agents()) == [seed, one]
    assert "+print" in store.diff("agent/0", "agent/1")
    assert store.fsck() == []


def test_packing_keeps_everything_and_numbers_go_on(store: GitRepo) -> None:
    seed = seeded(store)
    one = store.add(BETTER, [seed], Message("one"))
    store.promote(one)
    store.pack()
    assert not (store.path / "refs/heads/agent/1").exists()
    two = store.add({**BETTER, "x": File(b"")}, [one], Message("two"))
    assert [a.number for a in store.agents()] == [0, 1, 2]
    store.promote(two)
    assert store.champion() == two.commit
    assert store.fsck() == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("agent/0", True),
        ("main", True),
        ("v1", True),
        ("nope", False),
        ("--all", False),
        ("main@{0}", False),
        ("a..b", False),
        (":/seed", False),
        ("", False),
    ],
)
def test_only_plain_names_are_resolved(store: GitRepo, text: str, found: bool) -> None:
    seed = seeded(store)
    plain_git(store, "tag", "v1", "main")
    assert store.rev_parse(text) == (seed.commit if found else None)
    assert store.rev_parse(seed.commit[:9]) == seed.commit


def test_a_diff_takes_known_options_only(store: GitRepo) -> None:
    seed = seeded(store)
    one = store.add(BETTER, [seed], Message("one"))
    assert "1 file changed" in store.diff(seed.commit, one.commit, "--stat")
    for option in ("--output=/tmp/x", "--ext-diff", "-O/etc/passwd", "--no-index", "x"):
        with pytest.raises(UsageError, match="not an option"):
            store.diff(seed.commit, one.commit, option)
    with pytest.raises(UsageError, match="no commit called"):
        store.diff("--output=/tmp/x", one.commit)


def test_the_passthrough_returns_gits_exit_code(store: GitRepo, capfd: pytest.CaptureFixture[str]) -> None:
    seeded(store)
    assert store.passthrough(["log", "--format=%s", "main"]) == 0
    assert capfd.readouterr().out == "agent/0: the seed\n"
    assert store.passthrough(["no-such-command"]) == 1


# ── notes ─────────────────────────────────────────────────────────────────────────────────────────


def test_evaluation_lines_are_added_sorted_and_unique(store: GitRepo) -> None:
    seed = seeded(store)
    store.annotate({}, {seed.commit: ["b", "a"]})
    store.annotate({}, {seed.commit: ["c", "a"]})
    store.annotate({}, {})
    assert store.notes() == {seed.commit: ("a", "b", "c")}


def test_a_batch_of_notes_is_one_commit_and_a_score_is_replaced(store: GitRepo) -> None:
    seed = seeded(store)
    many = [store.add({"n": File(str(i).encode())}, [seed], Message(str(i))) for i in range(30)]
    store.annotate(
        {a.commit: f"{a.number}%" for a in many}, {a.commit: [f'{{"n":{a.number}}}'] for a in many}
    )
    assert (
        plain_git(store, "rev-list", "--count", SCORES)
        == plain_git(store, "rev-list", "--count", EVALUATIONS)
        == "1\n"
    )
    store.annotate({many[3].commit: "new\nline"}, {})
    assert plain_git(store, "notes", "--ref", SCORES, "show", many[3].commit) == "new line\n"
    assert plain_git(store, "notes", "--ref", SCORES, "show", many[4].commit) == "5%\n"
    assert len(store.notes()) == 30


def test_notes_of_many_agents_fan_out(store: GitRepo) -> None:
    seed = seeded(store)
    commits = [*_many_commits(store, 700), seed.commit]
    store.annotate({}, {c: ["x"] for c in commits})
    names = plain_git(store, "ls-tree", "-r", "--name-only", EVALUATIONS).splitlines()
    assert all("/" in name for name in names)
    assert set(store.notes()) == set(commits)
    store.annotate({}, {seed.commit: ["y"]})
    assert store.notes()[seed.commit] == ("x", "y")
    assert len(store.notes()) == 701


def _many_commits(store: GitRepo, n: int) -> list[str]:
    stream = "".join(
        f"commit refs/heads/agent/{i}\ncommitter a <a@b> 1 +0000\ndata 4\n{i:03}\n\nfrom refs/heads/agent/0^0\n\n"
        for i in range(1, n + 1)
    )
    subprocess.run(
        ["git", f"--git-dir={store.path}", "fast-import", "--quiet"], input=stream.encode(), check=True
    )
    return plain_git(store, "for-each-ref", "--format=%(objectname)", "refs/heads/agent/").split()


def test_commits_of_people_on_an_agents_branch_are_read_too(store: GitRepo) -> None:
    seed = seeded(store)
    _many_commits(store, 3)
    assert [(a.number, a.operator, a.parents[:1]) for a in store.agents()][1:] == [
        (n, "human", (seed.commit,)) for n in (1, 2, 3)
    ]


def _annotate_some(path: Path, commit: str, who: int) -> None:
    store = GitRepo.open(path)
    for i in range(8):
        store.annotate({commit: str(who)}, {commit: [f"{who}-{i}"]})


def test_processes_that_annotate_one_agent_at_once_lose_no_line(store: GitRepo) -> None:
    seed = seeded(store)
    _run_all(_annotate_some, [(store.path, seed.commit, who) for who in range(4)])
    assert set(store.notes()[seed.commit]) == {f"{w}-{i}" for w in range(4) for i in range(8)}


# ── many writers, and killed ones ─────────────────────────────────────────────────────────────────


def _add_some(path: Path, parent: Agent, who: int) -> None:
    store = GitRepo.open(path)
    for i in range(10):
        store.add(
            {"same": File(str(i).encode()), "mine": File(str(who).encode())}, [parent], Message(f"{who}-{i}")
        )
        if i == 5:
            store.pack()


def test_processes_that_add_at_once_lose_nothing_and_share_no_number(store: GitRepo) -> None:
    seed = seeded(store)
    _run_all(_add_some, [(store.path, seed, who) for who in range(4)])
    agents = list(store.agents())
    assert [a.number for a in agents] == list(range(41))
    assert {a.subject for a in agents[1:]} == {f"{w}-{i}" for w in range(4) for i in range(10)}
    assert store.fsck() == []


ADD_FOREVER = """
import itertools, sys
from pathlib import Path
from sica.model import File, Message
from sica.repo import GitRepo
store = GitRepo.open(Path(sys.argv[1]))
seed = next(iter(store.agents()))
for i in itertools.count():
    agent = store.add({"f": File(f"{sys.argv[2]} {i}".encode())}, [seed], Message("x"))
    if i % 3 == 0:
        store.promote(agent)
    if i % 4 == 1:
        store.annotate({agent.commit: "1%"}, {agent.commit: ["{}"]})
    print(agent.commit, flush=True)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged_and_blocks_nobody(store: GitRepo) -> None:
    seed = seeded(store)
    acknowledged = {seed.commit}
    for kill in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", ADD_FOREVER, str(store.path), str(kill)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        for _ in range(kill % 5 + 1):
            acknowledged.add(writer.stdout.readline().strip())
        writer.send_signal(signal.SIGKILL)
        acknowledged.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        writer.wait()
        writer.stdout.close()
        after = store.add({"f": File(f"after {kill}".encode())}, [seed], Message("after"))
        acknowledged.add(after.commit)
        assert store.promote(after)
    assert acknowledged <= {a.commit for a in store.agents()}
    store.pack()
    assert not list((store.path / "refs").rglob("*.lock"))
    assert store.fsck() == []


def test_a_lock_left_by_a_killed_sica_is_removed(store: GitRepo) -> None:
    seed = seeded(store)
    (store.path / "sica.lock").write_text('["refs/heads/agent/1"]')
    (store.path / "refs/heads/agent/1.lock").write_text("")
    assert store.add(BETTER, [seed], Message("one")).number == 1
    assert not (store.path / "refs/heads/agent/1.lock").exists()


def test_a_lock_from_before_the_machine_started_is_removed(store: GitRepo) -> None:
    seed = seeded(store)
    one = store.add(BETTER, [seed], Message("one"))
    lock = store.path / "refs/heads/main.lock"
    lock.write_text("")
    os.utime(lock, (1_000_000_000, 1_000_000_000))
    store.promote(one)
    assert store.champion() == one.commit


def test_a_lock_of_another_git_program_is_left_alone_and_named(store: GitRepo) -> None:
    seed = seeded(store)
    one = store.add(BETTER, [seed], Message("one"))
    lock = store.path / "refs/heads/main.lock"
    lock.write_text("")
    with pytest.raises(StoreError, match=r"main\.lock exists") as refused:
        store.promote(one)
    assert "rm " in refused.value.hint
    assert lock.exists()


def test_a_writer_that_waits_too_long_says_for_whom(store: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = seeded(store)
    monkeypatch.setattr(repo_file, "LOCK_SECONDS", 0.05)
    with store._turn(), pytest.raises(StoreError, match="another sica has been writing"):
        store.promote(store.add(BETTER, [seed], Message("one")))


# ── damage ────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_store_and_half_a_store_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no store at"):
        GitRepo.open(tmp_path / "none.git")
    (tmp_path / "half.git").mkdir()
    with pytest.raises(StoreError, match="not a whole git repository") as refused:
        GitRepo.open(tmp_path / "half.git")
    assert refused.value.hint


@pytest.mark.parametrize("damage", ["remove", "empty", "flip"])
def test_a_damaged_object_is_an_error_with_a_cure(store: GitRepo, damage: str) -> None:
    seed = seeded(store)
    for path in (store.path / "objects").rglob("*"):
        if path.is_file() and len(path.name) == 38:
            path.chmod(0o644)
            data = path.read_bytes()
            if damage == "remove":
                path.unlink()
            else:
                path.write_bytes(b"" if damage == "empty" else bytes([data[0], data[1] ^ 0xFF]) + data[2:])
    fresh = GitRepo.open(store.path, store.runtime)
    for use in (
        lambda: list(fresh.agents()),
        lambda: fresh.files(seed.tree),
        lambda: fresh.export(seed.tree),
        lambda: fresh.diff(seed.commit, seed.commit),
        lambda: fresh.promote(Agent(1, "1" * 40, seed.tree, (), "x")),
        lambda: fresh.pack(),
    ):
        with pytest.raises(SicaError) as refused:
            use()
        assert isinstance(refused.value, StoreError)
        assert refused.value.hint
    assert fresh.fsck()


def _run_all(target: object, jobs: list[tuple[object, ...]]) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=target, args=job) for job in jobs]  # type: ignore[arg-type]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
    assert [p.exitcode for p in processes] == [0] * len(processes)
