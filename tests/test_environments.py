"""What agents may ask to be installed, and that it is installed once. Wheels are made here, and no index is asked."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from commands import ROOT
from conftest import World
from hypothesis import given
from hypothesis import strategies as st
from packed import wheel

from sica import contract, gate, making, requirements
from sica.attempt import TRAJECTORY_BYTES
from sica.benchmarks import open_benchmark
from sica.environments import Environments, _free_of_our_python, _turn
from sica.errors import CannotInstall, SandboxError, UsageError
from sica.model import Agent, File, Files, Setting, conditions

MANIFEST = b"""
contract = 1
name = "needy"
[run]
argv = ["greet"]
[setup]
requirements = "needs.txt"
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-e .", "is an option"),
        ("--index-url http://evil.invalid/simple", "is an option"),
        ("-r /etc/passwd", "is an option"),
        ("requests --config-settings x=y", "no option for an agent"),
        ("requests --hash=md5:00", "no option for an agent"),
        ("requests --hash=sha256:00 -i http://evil.invalid", "no option for an agent"),
        ("requests @ http://evil.invalid/x.whl", "names an address"),
        ("x @ file:///etc/passwd", "names an address"),
        ("git+https://evil.invalid/x", "is no requirement"),
        ("./x.whl", "is no requirement"),
        ("requests; print(1)", "is no requirement"),
        ("a\\\n--pre", "no option for an agent"),
    ],
)
def test_a_line_that_is_more_than_a_package_is_refused_by_name(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        requirements.read(f"# mine\nrich\n{line}\n".encode(), "needs.txt")
    assert "needs.txt, line 3" in str(refused.value)


def test_names_versions_markers_and_hashes_are_all_that_reaches_the_installer() -> None:
    digest = "0" * 64
    text = f"Rich[x] >=13,<15 ; python_version > '3.8' # why\nuvloop==1 \\\n  --hash=sha256:{digest} # c\n\n"
    with pytest.raises(UsageError, match="1 of 2 requirements have hashes"):
        requirements.read(text.encode())
    assert requirements.read(text.split("\n")[0].encode()) == ('Rich[x]<15,>=13; python_version > "3.8"',)
    assert requirements.read(b"") == ()


@given(st.text(max_size=200))
def test_whatever_an_agent_writes_no_option_of_it_is_passed_on(text: str) -> None:
    try:
        lines = requirements.read(text.encode(errors="replace"))
    except UsageError:
        return
    for line in lines:
        assert "\n" not in line and "://" not in line.partition(";")[0]
        assert all(w.startswith("--hash=sha") for w in line.split() if w.startswith("-"))


@pytest.fixture
def installing(world: World, monkeypatch: pytest.MonkeyPatch) -> Environments:
    """uv with wheels of ours and no index."""
    for version in ("1.0", "2.0"):
        wheel(world.root / "wheels", "greet", version)
    monkeypatch.setenv("UV_FIND_LINKS", str(world.root / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    return Environments(world.root / "environments", print)


@pytest.mark.parametrize(
    "start",
    [
        "#!/where/sica/is/bin/python3.11\n",
        "#!/bin/sh\n'''exec' '/where sica is/bin/python' \"$0\" \"$@\"\n' '''\n",
    ],
)
def test_a_program_is_run_by_the_boxs_python_wherever_sica_is(start: str, tmp_path: Path) -> None:
    script = tmp_path / "greet"
    script.write_text(f"{start}# -*- coding: utf-8 -*-\nprint('hello')\n")
    script.chmod(0o755)
    _free_of_our_python(script)
    done = subprocess.run([script], capture_output=True, text=True, check=True)
    assert done.stdout == "hello\n"


@pytest.mark.parametrize("text", ["#!/bin/sh\necho python\n", "python\n", ""])
def test_another_program_stays_as_it_is(text: str, tmp_path: Path) -> None:
    script = tmp_path / "greet"
    script.write_text(text)
    _free_of_our_python(script)
    assert script.read_text() == text


def needy(wanted: str) -> Files:
    return {"agent.toml": File(MANIFEST), "needs.txt": File(wanted.encode())}


def checked(world: World, installing: Environments, agent: Agent) -> str:
    place = replace(world.place, environments=installing)
    verdict = gate.check(agent, open_benchmark(str(world.root / "gate")), place)
    assert verdict.fault is None, verdict.reason
    return "" if verdict.passed else verdict.reason


def test_an_agent_starts_a_program_of_its_environment_and_a_child_gets_another(
    world: World, installing: Environments
) -> None:
    parent = world.seed(needy("greet==1.0\n"))
    assert checked(world, installing, parent) == ""
    (first,) = installing.kept()
    before = first.path.stat()
    (first.path.parent / ".wheels").rename(world.root / "no cache")  # nothing could be built again
    assert checked(world, installing, parent) == ""
    assert first.path.stat().st_ino == before.st_ino
    (world.root / "no cache").rename(first.path.parent / ".wheels")

    child = world.seed(needy("greet==2.0\n"))
    assert checked(world, installing, child) == ""
    assert len(list(installing.kept())) == 2
    assert first.path.stat().st_ino == before.st_ino
    assert (first.path / "lock.txt").read_text() == "greet==1.0\n"


def test_a_child_whose_packages_cannot_be_had_is_rejected_with_the_reason(
    world: World, installing: Environments
) -> None:
    wanted = {"greet==3.0\n": "greet==3.0", "nosuch\n": "nosuch", "-e .\n": "is an option"}
    for text, words in wanted.items():
        assert words in checked(world, installing, world.seed(needy(text)))
    assert list(installing.kept()) == []


def test_an_index_that_does_not_answer_is_our_fault_and_not_the_agents(
    world: World, installing: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    place = replace(world.place, environments=installing)
    verdict = gate.check(world.seed(needy("nosuch\n")), open_benchmark(str(world.root / "gate")), place)
    assert (verdict.passed, verdict.fault) == (False, "infra")
    assert "cannot be fetched" in verdict.reason


def test_many_workers_build_one_environment_once(
    world: World, tmp_path: Path, installing: Environments
) -> None:
    said: list[str] = []
    many = [Environments(tmp_path / "shared", said.append) for _ in range(4)]
    found = []
    threads = [
        threading.Thread(target=lambda e=e: found.append(e.ready(("greet==1.0",), world.sandbox)))
        for e in many
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert sum("built" in line for line in said) == 1


def test_what_a_killed_build_left_is_cleared_and_what_nobody_uses_is_swept(
    world: World, installing: Environments
) -> None:
    place = installing.ready(("greet==1.0",), world.sandbox).path.parent
    (place / "about.json").unlink()  # as if the kill came in between
    torn = place.parent / f".building-{place.name}-x"
    torn.mkdir()
    assert installing.ready(("greet==1.0",), world.sandbox).path.parent == place
    assert (place / "about.json").exists() and not torn.exists()
    assert installing.sweep(before=0.0) == 0
    assert installing.sweep(before=2e10) > 0
    assert list(installing.kept()) == []


def test_a_project_gets_the_same_packages_again_though_newer_ones_are_there(
    world: World, installing: Environments
) -> None:
    """`greet` is not pinned, and neither is what it asks for."""
    wheels = world.root / "wheels"
    (wheels / "greet-2.0-py3-none-any.whl").unlink()
    wheel(wheels, "depended", "1.0")
    wheel(wheels, "greet", "1.5", needs="depended")
    own = Environments(installing.root, print, world.root / "packages")
    first = own.ready(("greet",), world.sandbox)
    (kept,) = (world.root / "packages").glob("*.txt")
    pins = ["depended==1.0", "greet==1.5"]
    assert [line for line in kept.read_text().splitlines() if not line.startswith("#")] == pins

    for name in ("greet", "depended"):
        wheel(wheels, name, "2.0")
    assert own.sweep(before=2e10) > 0
    again = own.ready(("greet",), world.sandbox)
    assert again == first, "the packages of the first time, at the same place"
    own.sweep(before=2e10)

    newest = installing.ready(("greet",), world.sandbox)  # another project, which kept nothing yet
    assert newest.resolved != first.resolved
    beside = own.ready(("greet",), world.sandbox)
    assert (beside.resolved, beside.path != newest.path) == (first.resolved, True)
    assert installing.ready(("greet",), world.sandbox) == newest
    assert len(list(own.kept())) == 2

    own.sweep(before=2e10)
    (wheels / "depended-1.0-py3-none-any.whl").unlink()
    (installing.root / ".wheels").rename(world.root / "no cache")
    with pytest.raises(SandboxError, match=r"cannot be installed again: .*depended") as lost:
        own.ready(("greet",), world.sandbox)
    assert str(kept) in lost.value.hint and not isinstance(lost.value, CannotInstall)
    kept.unlink()
    assert own.ready(("greet",), world.sandbox).resolved == newest.resolved


def test_packages_with_hashes_need_no_resolution_kept(world: World, installing: Environments) -> None:
    own = Environments(installing.root, print, world.root / "packages")
    digest = sha256((world.root / "wheels" / "greet-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    wanted = (f"greet==1.0 --hash=sha256:{digest}",)
    first = own.ready(wanted, world.sandbox)
    own.sweep(before=2e10)
    assert own.ready(wanted, world.sandbox) == first
    assert not (world.root / "packages").exists()


def test_an_agent_without_packages_needs_no_environment(world: World) -> None:
    assert contract.packages({}, contract.manifest(needy("")).model_copy(update={"setup": None})) == ()
    with pytest.raises(UsageError, match=r"no such file"):
        contract.manifest({"agent.toml": File(MANIFEST)})


def test_stopping_stops_a_build(world: World, installing: Environments) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises((SandboxError, CannotInstall)):
        installing.ready(("greet==1.0",), world.sandbox, cancel=cancel)


ASKING = MANIFEST.replace(b'["greet"]', b'["python3", "/agent/main.py"]')
ASKS_FOR_MORE = b"""
import os, pathlib
logs = pathlib.Path(os.environ["AGENT_LOGS"])
(logs / "story.md").write_bytes(b"\\xff" * (9 << 20))
told = pathlib.Path(os.environ["TASK_INSTRUCTION_FILE"]).read_text()
if told.startswith("# Improve this agent"):
    pathlib.Path("needs.txt").write_text("greet==2.0")
"""


@pytest.mark.parametrize(("frozen", "ending"), [(False, "child"), (True, "broken")])
def test_a_child_may_ask_for_more_unless_that_is_frozen_and_its_own_story_is_kept(
    world: World, installing: Environments, frozen: bool, ending: str
) -> None:
    output = b'[output]\ntrajectory = "story.md"\n'
    files = {**needy("greet==1.0\n"), "agent.toml": File(ASKING + output), "main.py": File(ASKS_FOR_MORE)}
    parent = world.seed(files)
    place = replace(world.place, environments=installing, frozen=frozen, keep=world.traces.attach)
    plan = world.plan()
    archive = world.archive(plan)
    made = making.improve(archive.improve(parent.commit), plan.making, place, archive)
    events = list(world.traces.read(made.trace))
    assert made.ending == ending, events[-3:]
    assert ("frozen" in made.why) == frozen
    (kept,) = [e for e in events if e["type"] == "trajectory"]
    assert (kept["cut"], kept["bytes"]) == (True, 9 << 20)
    assert gzip.decompress((world.traces.root / kept["name"]).read_bytes()) == b"\xff" * TRAJECTORY_BYTES
    (told,) = [e for e in events if e["type"] == "environment"]
    assert (installing.root / told["place"] / "lock.txt").read_text() == "greet==1.0\n"


HOLDS = """
import sys
from pathlib import Path
from sica import environments
room, program = Path(sys.argv[1]), "import sys; open('begun', 'w').close(); sys.stdin = open('go'); sys.stdin.read()"
with environments._turn(room / "x.lock", None) as held:
    environments._run([sys.executable, "-c", program], room, held, None)
"""


def test_an_installer_that_outlives_a_killed_sica_keeps_others_from_building_beside_it(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "go")
    killed = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT)
    wait_for((tmp_path / "begun").exists)
    killed.kill()
    killed.wait()
    stop = threading.Event()
    stop.set()
    with pytest.raises(SandboxError, match="another was building"), _turn(tmp_path / "x.lock", stop):
        pass
    (tmp_path / "go").write_text("")  # the installer ends, and its lock with it
    with _turn(tmp_path / "x.lock", None):
        pass


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_another_python_is_another_environment_and_never_the_same_score(
    world: World, installing: Environments
) -> None:
    """Scores are kept by tree and image: the image names the Python, and the Python the environment."""
    ours = installing._python(world.sandbox, None, None)
    other = replace(ours, version="3.12.0" if ours.minor != "3.12" else "3.11.0")
    one, two = (installing.made_for(python, ("greet==1.0",)) for python in (ours, other))
    assert one.path != two.path and one.resolved == two.resolved
    (task,) = open_benchmark(str(world.root / "gate")).tasks()
    images = (world.sandbox.image(), "docker:another")
    assert len({conditions(task, Setting("offline", image)) for image in images}) == 2
