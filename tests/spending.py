"""A process that spends money until a cap ends it, to be killed at any moment; and the provider that it pays.

As a program it is a nursery: for each line on stdin (a folder, a seed and a number of the life) it forks one spender,
which works on the folder's ledger with eight workers over real sockets, and answers how that ended.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

from doors import ask, said

from sica import chat
from sica.broker import HttpBroker, Terms
from sica.errors import ProviderError
from sica.ledger import SqliteLedger
from sica.model import Agent, Budget, Usage
from sica.ports import Asked, Price
from sica.roles import Roles
from sica.traces import Traces

CAP = 1.00
WORKERS = 8
MODELS = {
    "loop/large": Price(
        4e-5, 1.2e-4, cached=4e-6, cache_write=5e-5, beyond=1_500, dearer=Price(8e-5, 1.8e-4)
    ),
    "loop/small": Price(1e-5, 4e-5, call=0.002),
}
ROLES = ("main", "improve", "critique", "oversight")
AGENTS = tuple(Agent(n, f"{n}" * 40, f"{n}" * 40, (), f"agent {n}", operator="seed") for n in range(3))
TASKS = ("core/add", "core/sub", "core/mul", "")


# ── the provider ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class Provider:
    """Bills any part of what it is asked for, fails at times, and ends the asking process at chosen requests."""

    url: str = ""
    ledger: Path = Path()
    dice: random.Random = field(default_factory=random.Random)
    kill_at: int = 0
    """The request of a life at which its process is killed; 0: none."""
    billed: float = 0.0
    seen: int = 0
    highest: float = 0.0
    """The most that was ever on record."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, ledger: Path, seed: int) -> None:
        self.ledger, self.dice = ledger, random.Random(seed)
        self.billed = self.highest = 0.0

    def answer(self, body: Mapping[str, Any], pid: int) -> tuple[int, Mapping[str, Any]]:
        with self.lock:
            self.seen += 1
            self.highest = max(self.highest, on_record(self.ledger))
            fate, before = self.dice.random(), self.dice.random() < 0.5
            last = self.seen == self.kill_at
            if last and before:
                os.kill(pid, signal.SIGKILL)
            answer = self._bill(body) if fate >= 0.05 else None
            if last and not before:
                os.kill(pid, signal.SIGKILL)
        if answer is None:
            return 500, {"error": "overloaded"}
        return 200, answer if fate < 0.95 else {k: v for k, v in answer.items() if k != "usage"}

    def _bill(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        prompt = self.dice.randint(1, len(json.dumps(body["messages"])))
        cached = self.dice.randint(0, prompt)
        written = self.dice.randint(0, prompt - cached)
        answer = said(prompt=prompt, completion=self.dice.randint(0, body["max_tokens"]))
        answer["usage"] |= {
            "prompt_tokens_details": {"cached_tokens": cached},
            "cache_creation_input_tokens": written,
        }
        used = chat.usage(answer)
        assert used is not None
        self.billed += MODELS[body["model"]].of(used)
        return answer


def on_record(ledger: Path) -> float:
    """Dollars in the ledger, as another program reads them."""
    reader = sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        return float(reader.execute("SELECT coalesce(sum(usd), 0) FROM calls").fetchone()[0])
    finally:
        reader.close()


@contextmanager
def provider() -> Iterator[Provider]:
    served = Provider()

    class Serve(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = served.answer(body, int(self.headers["X-Pid"]))
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # who asked was killed
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    served.url = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ── the spender ───────────────────────────────────────────────────────────────────────────────────


class LoopbackGateway:
    """A ports.Gateway to the provider, over HTTP."""

    name = "loopback"

    def __init__(self, address: str) -> None:
        self._address = address

    def check(self, model: str) -> None:
        pass

    def price(self, model: str) -> Price | None:
        return MODELS.get(model)

    def complete(self, asked: Asked) -> Mapping[str, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            body = json.dumps(dict(asked.request)).encode()
            connection.request("POST", "/v1/chat/completions", body, {"X-Pid": str(os.getpid())})
            response = connection.getresponse()
            answer: Mapping[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ProviderError("overloaded", transient=False)
        return answer

    def stream(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        yield from chat.chunks(self.complete(asked))


def spend(folder: Path, address: str, seed: int, life: int) -> None:
    """Work until the cap refuses: eight workers, a session after the other, every role and model."""
    traces = Traces(folder / "traces")
    with SqliteLedger.open(folder / "sica.db") as ledger:
        broker = HttpBroker(
            LoopbackGateway(address),
            runtime=folder / "r",
            record=ledger.call,
            spent=ledger.spent("r1"),
            cap=Budget(usd=CAP),
            roles=Roles(small="loop/small"),
            priced=lambda model, price: ledger.priced("r1", model, price),
            terms=Terms(grace=0.5),
        )

        def work(worker: int) -> None:
            dice = random.Random(f"{seed} {life} {worker}")
            for turn in range(1_000):
                name = f"{life}-{worker}-{turn}"
                own = Budget(usd=dice.choice((None, 0.05, 0.2)))
                trace = traces.open(name)
                with broker.session(
                    id=name,
                    role=ROLES[worker % len(ROLES)],
                    model="loop/large",
                    budget=own,
                    seed=turn,
                    trace=trace,
                    run="r1",
                    agent=dice.choice(AGENTS).commit,
                    task=dice.choice(TASKS),
                ) as session:
                    for _ in range(4):
                        text = "x" * dice.choice((10, 200, 1_200))
                        model = dice.choice(("default", "loop/small"))
                        most, stream = dice.randint(1, 400), dice.random() < 0.3
                        ask(session.directory, text, model=model, max_tokens=most, stream=stream)
                    over = session.reached() == "run"
                trace.close()
                if over:
                    return
            raise AssertionError("the cap was never reached")

        with broker, ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, range(WORKERS)))
        if broker.fatal is not None:
            raise broker.fatal


class Nursery:
    """Forks spenders from a process that has everything loaded and no thread running."""

    def __init__(self, address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def life(self, folder: Path, seed: int, number: int) -> int:
        """Live one life; 0 when the cap ended it, -9 when it was killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(folder), seed, number]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def main(address: str, lines: IO[str]) -> None:
    for line in lines:
        folder, seed, number = json.loads(line)
        child = os.fork()
        if child == 0:
            spend(Path(folder), address, seed, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def prepare(folder: Path) -> Path:
    """A ledger with a run and agents; its path."""
    path = folder / "sica.db"
    with SqliteLedger.open(path) as ledger:
        assert ledger.start_run({}).id == "r1"
        ledger.reconcile(AGENTS)
    return path


def settled(path: Path) -> Usage:
    with SqliteLedger.open(path, readonly=True) as ledger:
        return ledger.spent("r1")


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin)
