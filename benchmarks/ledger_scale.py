"""What the summary table saves: the leaderboard from it against a scan of every trial, in one run, as ratios.

python benchmarks/ledger_scale.py [TRIALS [AGENTS]]      default 1,000,000 of 10,000; 10,000,000 takes minutes and 2 GB
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sica.ledger import SqliteLedger
from sica.model import Agent, Task

SCAN = "SELECT agent, avg(score), count(*) FROM trials WHERE score IS NOT NULL GROUP BY agent ORDER BY 2 DESC LIMIT 50"


def main(trials: int = 1_000_000, known: int = 10_000) -> None:
    agents = [Agent(n, f"{n:040x}", f"{n:039x}t", (), f"change {n}") for n in range(known)]
    tasks = [Task(f"scale/{n}", f"digest-{n}", "") for n in range(max(1, trials // known))]
    with tempfile.TemporaryDirectory() as folder, SqliteLedger.open(Path(folder) / "sica.db") as ledger:
        ledger.reconcile(agents)
        ledger.see_tasks(tasks)
        filling = timed(lambda: fill(ledger, len(agents), len(tasks)), 1)
        size = sum(f.stat().st_size for f in Path(folder).iterdir())
        board = timed(lambda: ledger.summaries("scale"), 3)
        view = timed(lambda: ledger._rows("SELECT * FROM leaderboard LIMIT 50"), 3)
        one = timed(lambda: ledger.trials_of(agents[-1].commit), 3)
        scan = timed(lambda: ledger._rows(SCAN), 3)
        floor = timed(lambda: ledger._rows("SELECT count(score) FROM trials"), 3)
    rows = len(agents) * len(tasks)
    print(
        f"{rows:,} trials of {len(agents):,} agents, {size / 1e6:,.0f} MB, {rows / filling:,.0f} trials/s with triggers"
    )
    print(f"reading every row once   {floor * 1e3:10.1f} ms   1.00")
    for name, seconds in (
        ("leaderboard by full scan", scan),
        ("whole leaderboard", board),
        ("leaderboard view, top 50", view),
        ("one agent's trials", one),
    ):
        print(f"{name:24} {seconds * 1e3:10.1f} ms   {seconds / floor:.4f} of that")


def fill(ledger: SqliteLedger, agents: int, tasks: int) -> None:
    with ledger._transaction() as run:
        run.execute("INSERT INTO conditions (hash) VALUES ('same')")
        run.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
            " INSERT INTO trials (agent, tree, task, attempt, conditions, score, ending, grading, started,"
            " usd, prompt_tokens, cached_tokens, completion_tokens, calls, seconds)"
            " SELECT a.id, a.tree, k.id, 0, 1, abs(random()) % 5 / 4.0, 'done', 'split', 0, 0.01, 1000, 0, 100, 5, 9"
            " FROM n JOIN agents a ON a.id = n.i / ? + 1 JOIN tasks k ON k.id = n.i % ? + 1",
            (agents * tasks, tasks, tasks),
        )


def timed(what: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        what()
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
