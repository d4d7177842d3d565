"""Archives for looking at: a whole project with agents in git, trials in the ledger and traces, made from a seed.

python benchmarks/web_store.py FOLDER [--agents 500] [--tasks 100] [--traces 40] [--turns 60] [--seed 0]
python benchmarks/web_store.py FOLDER --live 200 --seconds 60     writes into it as a run does: 200 events a second

What agents say in the traces is partly hostile on purpose: script tags, escapes, NUL, bidirectional marks, long lines.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from sica import ledger as books
from sica.ledger import SqliteLedger
from sica.model import (
    Agent,
    Call,
    File,
    Improvement,
    Message,
    Promotion,
    Setting,
    Task,
    Trial,
    Usage,
    Verdict,
)
from sica.repo import GitRepo
from sica.runlock import run_lock
from sica.traces import OpenTrace, Traces

SETTING = Setting("provider/big-model", "bubblewrap:4f1c2a")
MANIFEST = b'contract = 1\nname = "made up"\n[run]\nargv = ["python3", "/agent/main.py"]\n'
BEGAN = 1_760_000_000.0
KINDS = ("edit", "locate", "fix", "spec", "refactor", "shell", "history", "perf")
CHANGES = (
    "run the tests before submitting",
    "edit by unified diff, not by rewrite",
    "plan first, then edit",
    "summarise tool output over 4k tokens",
    "search tool built on ripgrep",
    "keep the last three failures in view",
    "read the whole file once and cache it for the session, so that long tasks do not run out of turns",
    "ask the overseer when looping",
)
BODY = (
    "Why: 22 of 103 failures submitted code whose own tests failed.\n\n"
    "What: a new step.\n\nExpect: fewer wrong submissions."
)
HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 nul \x07 bell",
    "invoice \u202egnp.exe\u202c \u2066isolate\u2069 \u200fmark",
    "\ud800 lone surrogate, \u2028 line separator, \r\n windows",
)


def fill(
    project: Path, agents: int = 500, tasks: int = 100, traces: int = 40, turns: int = 60, seed: int = 0
) -> None:
    """A project with one finished run in it."""
    rng = Random(seed)
    store = project / ".sica"
    store.mkdir(parents=True)
    (project / "sica.toml").write_text('bench = "web"\n')
    repo, told = GitRepo.create(store / "agents.git"), Traces(store / "traces")
    with SqliteLedger.open(store / "sica.db") as ledger:
        run = ledger.start_run(
            {
                "kind": "evolve",
                "task": "",
                "policy": "hgm",
                "model": SETTING.model,
                "workers": 4,
                "attempts": 1,
            }
            | {"children": agents - 1, "max_cost": 500.0, "bench": "web"}
        ).id
        names = [closed(told, rng, turns if n % 4 else 2 * turns, n) for n in range(traces)]
        some = problems(tasks)
        ledger.see_tasks(some)
        with ledger._transaction() as rows:  # one sync for all of it: this is a bench, not a run
            family = grow(repo, rows, agents, rng, run, names)
            measure(rows, family, some, rng, run, names)
        standing = {a.number: a.standing for a in ledger.agents()}
        meant = sorted({agents // 5, agents // 2, agents - 3} & set(range(1, agents)))
        for number in (max(n for n in range(m + 1) if standing[n] == "ready") for m in meant):
            repo.promote(family[number])
            ledger.record(
                Promotion(
                    family[number].commit,
                    "0.560 against 0.542 on 1 fresh attempt per task",
                    run,
                    BEGAN + 60.0 * number,
                )
            )
        ledger.end_run(run, "budget")


def problems(number: int) -> Sequence[Task]:
    return [
        Task(
            f"web/{KINDS[n % len(KINDS)]}-{n:03}",
            f"digest-{n:03}",
            "",
            level=n % 4 + 1,
            kind=KINDS[n % len(KINDS)],
            split="dev" if n % 5 == 0 else "train",
        )
        for n in range(number)
    ]


def grow(repo: GitRepo, rows: Any, number: int, rng: Random, run: str, traces: Sequence[str]) -> list[Agent]:
    """Agents as real commits; each changes a few lines of its first parent."""
    lines = [f"step_{n} = {n}" for n in range(200)]
    codes: list[list[str]] = []
    family: list[Agent] = []
    for n in range(number):
        parents = [family[max(0, len(family) - 1 - int(rng.expovariate(0.15)))]] if family else []
        if len(family) > 10 and rng.random() < 0.05:
            parents.append(family[rng.randrange(len(family))])
        parents = list(dict.fromkeys(parents))
        code = list(codes[parents[0].number] if parents else lines)
        for _ in range(rng.randint(1, 6)):
            code[rng.randrange(len(code))] = f"step = {rng.randrange(10**6)}  # {rng.choice(CHANGES)}"
        codes.append(code)
        subject = f"{rng.choice(CHANGES)}" if parents else "seed: made up"
        if n % 50 == 7:
            subject += f" {HOSTILE[n % len(HOSTILE)]}"
        body = BODY
        files = {
            "agent.toml": File(MANIFEST),
            "main.py": File("\n".join(code).encode() + b"\n"),
            "README.md": File(b"made up\n"),
        }
        made = repo.add(
            files,
            parents,
            Message(
                subject,
                body,
                "self-edit" if parents else "seed",
                run,
                SETTING.model,
                rng.uniform(0.1, 1.5) if parents else 0.0,
                rng.choice(traces) if parents and traces else "",
            ),
        )
        family.append(made)
        rejected = "does not start: ImportError in main.py" if parents and rng.random() < 0.08 else ""
        at = BEGAN + 60.0 * n
        session = f"{n:016x}"
        books._insert_agent(rows, made)
        if parents:
            used = Usage(made.cost_usd, 90_000, 40_000, 9_000, 20, 180.0)
            books._insert(
                rows,
                Improvement(
                    parents[0].commit, made, "child", used, made.trace, session, run, at, "changed 1 file"
                ),
            )
            books._upsert_call(rows, Call(session, 0, run, "improve", SETTING.model, used, "settled", at))
        books._insert(rows, Verdict(made.commit, not rejected, rejected, run=run, started=at + 30))
    return family


def measure(
    rows: Any, family: Sequence[Agent], tasks: Sequence[Task], rng: Random, run: str, traces: Sequence[str]
) -> None:
    """One trial for each agent and task, skill drifting upwards; some faults, some attempts more."""
    rejected = {row[0] for row in rows.execute("SELECT hash FROM agents WHERE standing = 'rejected'")}
    numbers = count()
    for agent in family:
        if agent.commit in rejected:
            continue
        skill = 0.25 + 0.4 * agent.number / len(family) + rng.uniform(-0.08, 0.08)
        used = Usage()
        for task in tasks:
            for attempt in range(2 if rng.random() < 0.1 else 1):
                luck = skill - 0.12 * (task.level - 2) + rng.uniform(-0.35, 0.35)
                score = (
                    (1.0 if luck > 0.5 else 0.0)
                    if task.level % 2
                    else round(min(1.0, max(0.0, luck * 1.5)) * 4) / 4
                )
                fault = rng.random() < 0.01
                usage = Usage(
                    rng.uniform(0.005, 0.05),
                    rng.randint(5_000, 40_000),
                    3_000,
                    900,
                    rng.randint(3, 40),
                    rng.uniform(5, 90),
                )
                number = next(numbers)
                books._insert(
                    rows,
                    Trial(
                        agent.commit,
                        agent.tree,
                        task.id,
                        task.digest,
                        attempt,
                        f"c-{task.digest}",
                        None if fault else score,
                        "infra" if fault else None,
                        "infra" if fault else "done",
                        "split",
                        usage,
                        trace=traces[number % len(traces)] if traces else "",
                        session=f"{number + 2**32:016x}",
                        run=run,
                        started=BEGAN + 60.0 * agent.number + 31,
                        why="" if score == 1 else "3 of 4 checks pass",
                        setting=SETTING,
                    ),
                )
                used += usage
        books._upsert_call(
            rows,
            Call(
                f"m{agent.number:015x}",
                0,
                run,
                "main",
                SETTING.model,
                used,
                "settled",
                BEGAN + 60.0 * agent.number + 55,
            ),
        )


# ── traces ────────────────────────────────────────────────────────────────────────────────────────


def closed(traces: Traces, rng: Random, turns: int, number: int) -> str:
    trace = traces.open(f"{number:08x}{rng.randrange(2**32):08x}")
    for _ in talk(trace, rng, turns, agent=f"agent/{number}", task=f"web/fix-{number:03}"):
        pass
    return trace.close()


def talk(trace: OpenTrace, rng: Random, turns: int, agent: str, task: str) -> Iterator[None]:
    """A trial as the broker sees one: an agent, its tools, two sub-agents nested in each other; one event a step."""
    trace.event("start", agent=agent, commit="0" * 40, **{"for": "trial", "task": task, "attempt": 0})
    yield
    trace.event(
        "session",
        session=trace_session(trace),
        role="main",
        model=SETTING.model,
        seed=1,
        run="r1",
        budget={"calls": 100},
    )
    yield
    system = {"role": "system", "content": "You are a careful programmer.\n\nUse the tools."}
    user = {"role": "user", "content": f"Mend the file. {HOSTILE[0]}\n{HOSTILE[1]}\n{HOSTILE[2]}"}
    yield from _dialogue(trace, rng, turns, [system, user], count(), depth=0)
    trace.event("stdout", text="done\n" + HOSTILE[rng.randrange(len(HOSTILE))])
    yield
    trace.event("stderr", text="warning: " + "x" * (5_000_000 if rng.random() < 0.03 else 200))
    yield
    trace.event("ended", how="done", why="it came to its own end", exit_code=0, seconds=31.5, refused=[])
    yield


def trace_session(trace: OpenTrace) -> str:
    return trace._path.stem


def _dialogue(
    trace: OpenTrace, rng: Random, turns: int, said: list[dict[str, Any]], calls: Iterator[int], depth: int
) -> Iterator[None]:
    for turn in range(turns):
        number = next(calls)
        hashes = [trace.message(message) for message in said]
        trace.event(
            "request",
            call=number,
            model=SETTING.model,
            messages=hashes,
            rest={"tools": [], "max_tokens": 4096},
        )
        yield
        tools = _tool_calls(rng, number, turn, turns, depth)
        answer = {
            "role": "assistant",
            "content": f"Turn {turn}: {rng.choice(CHANGES)}.",
            **({"tool_calls": tools} if tools else {}),
        }
        usage = {
            "usd": round(rng.uniform(0.001, 0.02), 6),
            "prompt_tokens": 2_000 + 150 * turn,
            "cached_tokens": 1_500,
            "completion_tokens": 180,
            "calls": 1,
            "seconds": 0.0,
        }
        body = {
            "id": f"c{number}",
            "object": "chat.completion",
            "choices": [{"index": 0, "message": answer, "finish_reason": "tool_calls"}],
        }
        trace.event("response", call=number, body=body, usage=usage, seconds=round(rng.uniform(0.5, 6), 3))
        yield
        if turn == turns // 2 and depth == 0:
            trace.event(
                "notice",
                call=number,
                text="[overseer] You have run the same test four times. Read the failing line first.",
            )
            yield
        if turn == turns // 3:
            trace.event("retry", call=number, reason="429 too many requests", seconds=2.0)
            yield
        said.append(answer)
        for tool in tools:
            result = _output(rng)
            if tool["function"]["name"] == "delegate":
                inner = [
                    {"role": "system", "content": f"You are a sub-agent of depth {depth + 1}."},
                    {"role": "user", "content": f"{json.loads(tool['function']['arguments'])['task']}"},
                ]
                yield from _dialogue(trace, rng, max(3, turns // 4), inner, calls, depth + 1)
                result = "The sub-agent is done: two files changed."
            said.append({"role": "tool", "tool_call_id": tool["id"], "content": result})


def _tool_calls(rng: Random, number: int, turn: int, turns: int, depth: int) -> list[dict[str, Any]]:
    if turn == turns - 1:
        return []
    if depth < 2 and turn in (2, 5):
        return [_tool(f"t{number}", "delegate", {"task": f"find out why the test fails ({number})"})]
    made = [
        _tool(
            f"t{number}",
            rng.choice(("bash", "view", "search", "overwrite")),
            {"command": "python3 -m pytest -q", "n": number},
        )
    ]
    return made + ([_tool(f"u{number}", "view", {"path": "pkg/ledger.py"})] if rng.random() < 0.2 else [])


def _tool(name: str, tool: str, arguments: object) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}


def _output(rng: Random) -> str:
    if rng.random() < 0.1:
        return HOSTILE[rng.randrange(len(HOSTILE))]
    return "\n".join(f"{n:4}  {rng.choice(CHANGES)}" for n in range(rng.randint(3, 60)))


# ── a run that is going ───────────────────────────────────────────────────────────────────────────


def live(project: Path, rate: float, seconds: float, boxes: int = 8, seed: int = 1) -> tuple[int, int]:
    """Write as a run does, under the run lock: trace events at this rate, a trial at the end of each box's work.

    Returns how many trace events and how many trials were written.
    """
    rng, store = Random(seed), project / ".sica"
    traces = Traces(store / "traces")
    with run_lock(store / "run.lock"), SqliteLedger.open(store / "sica.db") as ledger:
        run = ledger.start_run(
            {
                "kind": "evolve",
                "policy": "hgm",
                "model": SETTING.model,
                "workers": boxes,
                "attempts": 9,
                "children": 3,
                "max_cost": 900.0,
                "task": "",
                "bench": "web",
            }
        ).id
        known = [a for a in ledger.agents() if a.standing == "ready"]
        tasks = problems(100)
        fresh = count(1000 + int(time.time()) % 1_000_000)
        going = [_Box(traces, ledger, rng, known, tasks, run, fresh) for _ in range(boxes)]
        start, events = time.monotonic(), 0
        while (now := time.monotonic() - start) < seconds:
            while events < now * rate:
                going[events % boxes].step()
                events += 1
            time.sleep(0.005)
        for box in going:
            box.finish()
        ledger.end_run(run, "interrupted")
    return sum(b.events for b in going), sum(b.trials for b in going)


class _Box:
    """One worker's box after another."""

    def __init__(
        self,
        traces: Traces,
        ledger: SqliteLedger,
        rng: Random,
        known: Sequence[Agent],
        tasks: Sequence[Task],
        run: str,
        fresh: Iterator[int],
    ) -> None:
        self.traces, self.ledger, self.rng, self.known, self.tasks, self.run, self.fresh = (
            traces,
            ledger,
            rng,
            known,
            tasks,
            run,
            fresh,
        )
        self.events = self.trials = 0
        self._begin()

    def _begin(self) -> None:
        self.agent, self.task, self.began = (
            self.rng.choice(self.known),
            self.rng.choice(self.tasks),
            time.time(),
        )
        self.session = f"{self.rng.randrange(2**64):016x}"
        self.trace = self.traces.open(self.session)
        self.work = talk(self.trace, self.rng, self.rng.randint(6, 20), self.agent.name, self.task.id)

    def step(self) -> None:
        if next(self.work, "over") == "over":
            self.finish()
            self._begin()

    def finish(self) -> None:
        self.events += self.trace._seq
        trial = Trial(
            self.agent.commit,
            self.agent.tree,
            self.task.id,
            self.task.digest,
            next(self.fresh),
            f"c-{self.task.digest}",
            float(self.rng.random() < 0.6),
            None,
            "done",
            "split",
            Usage(0.02, 9_000, 0, 800, 9, 12.0),
            trace=self.trace.close(),
            session=self.session,
            run=self.run,
            started=self.began,
            setting=SETTING,
        )
        self.ledger.record(trial)
        self.trials += 1


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    for name, value in (("agents", 500), ("tasks", 100), ("traces", 40), ("turns", 60), ("seed", 0)):
        asked.add_argument(f"--{name}", type=int, default=value)
    asked.add_argument("--live", type=float, default=0.0, help="events a second")
    asked.add_argument("--json", action="store_true", help="what was written, as one object")
    asked.add_argument("--seconds", type=float, default=60.0)
    given = asked.parse_args()
    start = time.monotonic()
    if given.live:
        events, trials = live(given.folder, given.live, given.seconds)
        if given.json:
            print(json.dumps({"events": events, "trials": trials}))
        else:
            print(f"{events:,} trace events and {trials} trials in {time.monotonic() - start:.1f} s")
        return
    fill(given.folder, given.agents, given.tasks, given.traces, given.turns, given.seed)
    print(f"{given.agents} agents, {given.tasks} tasks in {given.folder}: {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
