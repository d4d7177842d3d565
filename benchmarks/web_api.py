"""What the viewer's server costs, in one run and as ratios.

python benchmarks/web_api.py [--agents 500] [--tasks 100] [--seconds 10] [--rate 200] [--store FOLDER] [--only PARTS]

answers   each answer, cold (the first one of a server that has just started) and warm, against its floor: reading the
          same rows with plain SQLite, or the same trace with gzip and json
writer    outcomes that a run records in a second: alone, beside 200 reads a second of a viewer over another archive
          (what the processor alone takes), over the same archive, and beside a read that does not end
events    events written at 200 a second into the archive, and those that a reader of the event stream got
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import web_store

from sica.ledger import SqliteLedger
from sica.model import Trial, Usage

ROWS = (
    "SELECT tree, task, conditions, attempt, score, usd, prompt_tokens, completion_tokens, calls, seconds"
    " FROM trials WHERE ?1 = '' OR tree = (SELECT tree FROM agents WHERE hash = ?1)"
)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("agents", 500), ("tasks", 100), ("rate", 200)):
        asked.add_argument(f"--{name}", type=int, default=value)
    asked.add_argument("--seconds", type=float, default=10.0)
    asked.add_argument("--store", type=Path)
    asked.add_argument("--only", default="answers,writer,events")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = given.store or Path(folder) / "made up"
        if not project.exists():
            web_store.fill(project, given.agents, given.tasks)
        with closing(sqlite3.connect(project / ".sica" / "sica.db")) as db:
            (trials,) = db.execute("SELECT count(*) FROM trials").fetchone()
        print(f"{given.agents} agents, {given.tasks} tasks, {trials:,} trials")
        if "answers" in given.only:
            answers(project)
        if "writer" in given.only:
            writer(project, Path(folder) / "copy", given.seconds, given.rate)
        if "events" in given.only:
            events(project, given.rate, given.seconds)


@contextmanager
def viewer(project: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "sica", "web", "--port", "0"]
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r":(\d+)/", process.stdout.readline())
        assert found, "sica web did not start"
        try:
            yield int(found[1])
        finally:
            process.terminate()


def get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return body


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


def answers(project: Path) -> None:
    db = sqlite3.connect(f"file:{project / '.sica' / 'sica.db'}?mode=ro", uri=True)
    commit, trace = db.execute(
        "SELECT a.hash, e.trace FROM agents a JOIN trials t ON t.agent = a.id JOIN evidence e ON e.trial = t.id"
        " WHERE a.number = (SELECT max(number) / 2 FROM agents) LIMIT 1"
    ).fetchone()
    number = db.execute("SELECT number FROM agents WHERE hash = ?", (commit,)).fetchone()[0]
    path = next((project / ".sica" / "traces").glob(f"{trace[7:9]}/{trace[9:]}.jsonl.gz"))

    def everything() -> object:
        return db.execute(ROWS, ("",)).fetchall()

    def one() -> object:
        return db.execute(ROWS, (commit,)).fetchall()

    def told() -> object:
        with gzip.open(path, "rb") as lines:
            return [json.loads(line) for line in lines]

    floors: Sequence[tuple[str, str, Callable[[], object]]] = (
        ("/api/archive", "every trial", everything),
        ("/api/matrix", "every trial", everything),
        ("/api/progress", "every trial", everything),
        ("/api/status", "every trial", everything),
        (f"/api/agent/{number}", "its trials", one),
        (f"/api/trace/{trace}", "its trace", told),
    )
    print(
        f"{'':24}{'cold':>10}{'warm':>10}{'floor':>10}{'cold ratio':>12}{'warm ratio':>12}   floor: plain reading of"
    )
    for address, what, floor in floors:
        cold = []
        for _ in range(3):
            with viewer(project) as port:
                connection = http.client.HTTPConnection("127.0.0.1", port)
                cold.append(timed(lambda c=connection, a=address: get(c, a), 1))  # type: ignore[misc]
                warm = timed(lambda c=connection, a=address: get(c, a), 15)  # type: ignore[misc]
                connection.close()
        base = timed(floor, 9)
        name = re.sub(r"sha256:\w+", "sha256:…", address)
        first = statistics.median(cold)
        print(
            f"{name:24}{first:8.1f}ms{warm:8.1f}ms{base:8.1f}ms{first / base:12.2f}{warm / base:12.2f}   {what}"
        )


def timed(what: Callable[[], object], times: int) -> float:
    """Median milliseconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        what()
        found.append((time.perf_counter() - start) * 1e3)
    return statistics.median(found)


# ── a writer beside readers ───────────────────────────────────────────────────────────────────────


TURNS = 6


def writer(project: Path, copy: Path, seconds: float, rate: int) -> None:
    shutil.copytree(project, copy)
    db = project / ".sica" / "sica.db"
    with SqliteLedger.open(db) as ledger, viewer(project) as same, viewer(copy) as other:
        beside: Mapping[str, Callable[[], AbstractContextManager[list[int]]]] = {
            "alone": lambda: nullcontext([0]),
            "beside reads of another archive": lambda: _readers(other, rate),
            "beside reads of the same": lambda: _readers(same, rate),
            "beside a read that does not end": lambda: _endless(db),
        }
        paces: dict[str, list[float]] = {name: [] for name in beside}
        reads: dict[str, int] = dict.fromkeys(beside, 0)
        for turn in range(TURNS):  # in turns, so that a noisy machine disturbs all of them
            for name, reading in beside.items():
                with reading() as counted:
                    paces[name].append(_record(ledger, seconds / TURNS, turn, name))
                reads[name] += counted[0]
    alone = statistics.median(paces["alone"])
    for name, found in paces.items():
        pace = statistics.median(found)
        print(
            f"writer {name:34}{pace:8.0f} outcomes/s{pace / alone:7.2f} of alone{reads[name] / seconds:8.0f} reads/s"
        )


@contextmanager
def _readers(port: int, rate: int) -> Iterator[list[int]]:
    """Four readers; how many answers they got."""
    stop, counted = threading.Event(), [0]
    readers = [threading.Thread(target=_read, args=(port, rate / 4, stop, counted)) for _ in range(4)]
    for reader in readers:
        reader.start()
    yield counted
    stop.set()
    for reader in readers:
        reader.join()


@contextmanager
def _endless(db: Path) -> Iterator[list[int]]:
    """A read-only connection in the middle of a read, as the viewer's would be in its slowest answer."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute(ROWS, ("",)).fetchone()
        yield [1]
        connection.execute("COMMIT")


def _record(ledger: SqliteLedger, seconds: float, turn: int, name: str) -> float:
    agent, task = ledger.agents()[0], web_store.problems(1)[0]
    done, stop = 0, time.perf_counter() + seconds
    salt = int(time.time() * 1000) % 10**9
    while time.perf_counter() < stop:
        done += 1
        ledger.record(
            Trial(
                *(
                    agent.commit,
                    agent.tree,
                    task.id,
                    task.digest,
                    salt + done,
                    f"{turn} {name}",
                    1.0,
                    None,
                    "done",
                    "split",
                ),
                usage=Usage(0.01, 1000, 0, 100, 3, 2.0),
                setting=web_store.SETTING,
            )
        )
    return done / seconds


def _read(port: int, rate: float, stop: threading.Event, counted: list[int]) -> None:
    """Rows of the archive, by HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    paths = ("/api/log?limit=50", "/api/requests", "/api/running", "/api/log?kind=trial&limit=50")
    begun, done = time.perf_counter(), 0
    while not stop.is_set():
        with suppress(ConnectionError):
            get(connection, paths[done % len(paths)])
        done += 1
        counted[0] += 1
        stop.wait(max(0.0, begun + done / rate - time.perf_counter()))
    connection.close()


# ── events ────────────────────────────────────────────────────────────────────────────────────────


def events(project: Path, rate: int, seconds: float) -> None:
    with viewer(project) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        here = json.loads(get(connection, "/api/archive"))["cursor"]
        connection.request("GET", f"/api/events?after={quote(here)}&kinds=trace,trial")
        stream: Any = connection.getresponse()
        command = [
            sys.executable,
            str(Path(__file__).with_name("web_store.py")),
            str(project),
            "--live",
            str(rate),
        ]
        with subprocess.Popen(
            [*command, "--seconds", str(seconds), "--json"], stdout=subprocess.PIPE
        ) as process:
            got, late = 0, []
            wanted = None
            while wanted is None or got < wanted:
                line = stream.readline()
                if line.startswith(b"data: ") and b'"schema"' not in line[:20]:  # a status is no event
                    got += 1
                    if b'"kind":"trace"' in line:
                        late.append(time.time() - json.loads(line[6:])["at"])
                if wanted is None and process.poll() is not None:
                    told = json.loads(process.communicate()[0])
                    wanted = told["events"] + told["trials"]
        connection.close()
    late.sort()
    print(
        f"events {wanted:,} written at {rate}/s, {got:,} received, {wanted - got} lost;"
        f" late by {late[len(late) // 2] * 1e3:.0f} ms, at most {late[-1] * 1e3:.0f} ms"
    )


if __name__ == "__main__":
    main()
