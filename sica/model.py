"""The nouns, as frozen records. No I/O, and no import that is not instant: `sica log` stands on this file.

Records of our own are plain dataclasses; what enters from outside (sica.toml, agent.toml, task.toml,
requests) is validated by pydantic where it enters, then becomes one of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
R = TypeVar("R")

CONTRACT = 1
"""Version of the agent contract (docs/agents.md); part of the score key."""

HARNESS = 3
"""Raised when running or grading changes in a way that can move a score; part of the score key."""

RETRIES = 2
"""Of a trial that ended in a fault, within one run; then it stays missing and coverage falls."""

Split = Literal["train", "dev", "heldout"]
Standing = Literal["unchecked", "ready", "rejected"]
Fault = Literal["infra", "provider", "cancelled"]
"""Why there is no score: the harness, the provider or the user; never the agent."""

Ending = Literal[
    "done",
    "agent_error",
    "seconds",
    "memory",
    "calls",
    "tokens",
    "usd",
    "refused",
    "verifier",
    "integrity",
    "stopped",
]
"""How a trial that counts came to its end; seconds, memory, calls, tokens and usd are budgets reached; stopped:
guards or the overseer ended it."""


# ── money and limits ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Usage:
    """What one outcome used, counted by the broker and the sandbox, never by the agent."""

    usd: float = 0.0
    prompt_tokens: int = 0
    """Including those read from the provider's cache and those written to it."""
    cached_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    """Wall time in the agent's box."""
    cache_write_tokens: int = 0
    """Of the prompt tokens, those that the provider put into its cache, which may have a price of its own."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.usd + other.usd,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
            self.seconds + other.seconds,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """Where something must stop. None means that nothing is set."""

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one box may take."""

    seconds: float = 120.0
    memory_mb: int = 512
    disk_mb: int = 64
    """Of each writable directory."""
    processes: int = 128
    output_bytes: int = 1_000_000
    """Kept of stdout and of stderr, each: the head and the tail; the rest is dropped and the run goes on."""
    cpus: float = 1.0


# ── files and boxes ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    executable: bool = False


Files = Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Installed:
    """The packages that an agent asked for, as they are on this machine."""

    path: Path
    resolved: str
    """Hash of the versions that were resolved."""
    python: str
    """Of which Python: 3.12."""


"""POSIX path -> regular file, and nothing else; paths are relative for a tree, absolute for a box."""


@dataclass(frozen=True, slots=True)
class BoxSpec:
    """How a box is made."""

    mounts: Mapping[str, Path] = field(default_factory=dict)
    """Box path -> host directory or file, bound read-only."""
    writable: tuple[str, ...] = ("/app", "/tmp")
    """Box directories that start empty, belong to the box's user and are sized by `limits.disk_mb`."""
    socket: Path | None = None
    """Host directory that holds gw.sock, bound read-only at /gw; the relay serves it at 127.0.0.1:8765."""
    limits: Limits = Limits()
    image: str | None = None
    """None: the sandbox's own image. Else a Docker image (the docker sandbox only)."""
    profile: Literal["strict", "compat"] = "strict"
    """compat: root, a writable root and the capabilities that foreign images need. Docker only."""


@dataclass(frozen=True, slots=True)
class Job:
    """The one thing a box does."""

    argv: tuple[str, ...]
    cwd: str = "/app"
    env: Mapping[str, str] = field(default_factory=dict)
    """All of it: a box inherits nothing."""
    files: Files = field(default_factory=dict)
    """Absolute box paths inside `BoxSpec.writable`, put there before the start, owned by the box's user."""
    stdin: bytes = b""
    collect: tuple[str, ...] = ()
    """Absolute box directories or files brought back after every process has ended."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What sica itself saw of a box that has ended. Bytes in here are hostile."""

    exit_code: int | None
    """None when sica ended it; 128 + n for signal n."""
    limit: Literal["seconds", "memory", "stopped", "cancelled"] | None
    """Which limit ended it; a process killed for memory is "memory" even when the main one went on. stopped: asked to
    end, as at its time limit; cancelled: cut, and nothing comes out."""
    stdout: bytes
    stderr: bytes
    files: Files
    """Absolute box paths, only below `Job.collect`, only regular files within the caps."""
    refused: tuple[str, ...]
    """One line for each thing that was not brought out and why: links, devices, sizes, names."""
    seconds: float
    collected: bool = True
    """Whether its runner brought the files out; when not, a missing file may have been there."""


# ── tasks and agents ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Task:
    """One problem. Its tests and its solution are read by its benchmark only and are never in this record."""

    id: str
    """benchmark/name, such as core/fix-ledger."""
    digest: str
    """Harbor's content digest of the folder: any changed byte is another task."""
    instruction: str
    workdir: str = "/app"
    split: Split = "train"
    level: int = 1
    kind: str = ""
    weight: float = 1.0
    limits: Limits = Limits()
    budget: Budget = Budget()
    """Model calls and tokens allowed in one trial; seconds stand in `limits`."""
    grading: str = "script"
    """split | two-box | script (docs/tasks.md); script is the weak one, and every score says which it was."""
    image: str | None = None
    """What the task's own Dockerfile builds, when it needs one built."""
    places: tuple[str, ...] = ()
    """Directories that are the deliverable: what goes from the agent's box to the judge; empty: the workdir."""
    env: tuple[tuple[str, str], ...] = ()
    """Environment that the task brings: of its Dockerfile, its image and its table."""
    mounts: tuple[tuple[str, str], ...] = ()
    """(box path, directory of this machine) that every box of the task sees read-only; known after `prepare`."""
    tries: int = 1
    """2: an agent that has not solved it is started once more where it left off, with what the tests said."""
    folder: str = ""

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]

    @property
    def benchmark(self) -> str:
        return self.id.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Agent:
    """A commit whose tree is runnable agent code."""

    number: int
    commit: str
    tree: str
    parents: tuple[str, ...]
    """Commits of the parent agents; empty for the seed."""
    subject: str
    body: str = ""
    """Why, What, Expect, without the trailers."""
    operator: str = "self-edit"
    run: str = ""
    model: str = ""
    cost_usd: float = 0.0
    """Of making the change."""
    trace: str = ""
    created: float = 0.0
    """Unix seconds."""
    standing: Standing = "unchecked"
    reason: str = ""
    """Why it was rejected."""

    @property
    def name(self) -> str:
        return f"agent/{self.number}"


@dataclass(frozen=True, slots=True)
class Message:
    """What an agent's commit says; text from a model is cleaned when the commit is made."""

    subject: str
    body: str = ""
    operator: str = "self-edit"
    run: str = ""
    model: str = ""
    cost_usd: float = 0.0
    trace: str = ""


# ── steps and outcomes ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Improve:
    parent: str
    """Commit of the agent that is to write its child."""
    nth: int
    """Which of the parent's improvements: siblings meet different dice. `Archive.improve` counts."""


@dataclass(frozen=True, slots=True)
class Merge:
    parent: str
    """Commit of the agent whose name comes first, and which resolves conflicts."""
    other: str


@dataclass(frozen=True, slots=True)
class Check:
    agent: str
    """Commit of the agent that the gate is to judge before any evaluation."""


@dataclass(frozen=True, slots=True)
class Evaluate:
    agent: str
    task: str
    """Digest."""
    attempt: int


Step = Improve | Merge | Check | Evaluate


@dataclass(frozen=True, slots=True)
class Setting:
    """The part of a trial's conditions that people choose. Scores are averaged within one setting, never across."""

    model: str = ""
    image: str = ""
    """Of the sandbox: bubblewrap:4f1c... or docker:9ab0...; it changes when what is in the box changes."""

    def __str__(self) -> str:
        return f"{self.model} in {self.image}" if self.image else self.model


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a guard or the overseer decided on a box at work."""

    action: Literal["nothing", "notice", "cancel"]
    by: str
    """guard: silent | guard: repeats | overseer"""
    span: str = ""
    """Which sub-agent it is about; "" and main: the agent itself."""
    text: str = ""
    """What it is told, or why it was stopped."""
    at: float = 0.0
    session: str = ""
    """Of the box."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt of one agent at one task."""

    agent: str
    tree: str
    task: str
    """Id, for people."""
    digest: str
    attempt: int
    conditions: str
    """Hash of everything else that the score depends on: see `conditions`."""
    score: float | None
    """0..1; None when there is a fault, never a zero."""
    fault: Fault | None
    ending: str
    """An Ending, or the fault's own words in a few."""
    grading: str
    usage: Usage
    trace: str = ""
    session: str = ""
    """Key of its model calls in the ledger."""
    run: str = ""
    started: float = 0.0
    why: str = ""
    """One line for people and for the improver, from facts sica saw: never a byte of a test."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Per-check outcomes, integrity findings, exit code. For the grader's side only."""
    setting: Setting = Setting()
    rulings: tuple[Ruling, ...] = ()
    """On their way to the ledger and to git's notes; one that is read back has none."""


@dataclass(frozen=True, slots=True)
class Improvement:
    """One attempt of one agent to write its child, or to merge two: a child, or the reason why there is none."""

    parent: str
    child: Agent | None
    ending: str
    """child | empty | broken | agent_error | a budget reached (seconds, calls, ...) | a fault."""
    usage: Usage
    trace: str = ""
    session: str = ""
    run: str = ""
    started: float = 0.0
    why: str = ""
    other: str = ""
    """Commit of the second parent of a merge."""
    rulings: tuple[Ruling, ...] = ()
    """As of a trial; about the agent that writes."""

    @property
    def fault(self) -> Fault | None:
        match self.ending:
            case "infra" | "provider" | "cancelled":
                return self.ending
        return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found before any evaluation."""

    agent: str
    passed: bool
    reason: str
    fault: Fault | None = None
    """Set when the gate itself broke: the agent stays unchecked and is asked again."""
    usage: Usage = Usage()
    trace: str = ""
    session: str = ""
    run: str = ""
    started: float = 0.0
    rulings: tuple[Ruling, ...] = ()
    """As of a trial; on all that the gate had it do."""

    @property
    def why(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Promotion:
    """An agent became champion."""

    agent: str
    why: str
    run: str = ""
    at: float = 0.0
    fault: None = None


Outcome = Trial | Improvement | Verdict | Promotion


@dataclass(frozen=True, slots=True)
class Merged:
    """Two agents' changes since their common ancestor, put together."""

    files: Files
    conflicts: tuple[str, ...] = ()
    """Paths that both changed in a way that is for somebody to decide; those of text hold conflict markers."""


@dataclass(frozen=True, slots=True)
class Call:
    """One model call: written reserved before it is made, settled after; a crash leaves it counted."""

    session: str
    number: int
    run: str
    role: str
    model: str
    usage: Usage
    state: Literal["reserved", "settled", "failed", "refused"]
    at: float
    """When it was reserved: the day that it counts for."""
    agent: str = ""
    """Commit of the agent that asked."""
    task: str = ""
    """Id of the task that it was at; empty for what is no trial."""


@dataclass(frozen=True, slots=True)
class Run:
    """Outcomes grown under one configuration."""

    id: str
    started: float
    config: Mapping[str, Any]
    ended: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Somebody looked at held-out scores. Each time makes them a little less held out, so each is recorded, and
    before the first of them is shown."""

    at: float
    who: str
    command: str
    """What showed them: eval or report."""
    benchmark: str
    agents: tuple[str, ...]
    """Commits."""
    trials: int
    """Held-out scores that were asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked of a run or said of an agent, and what became of it."""

    kind: str
    """pause | resume | stop | cancel | hint | approve | reject | comment; waiting: the run asks for an approval."""
    at: float = 0.0
    by: str = ""
    agent: str = ""
    """Commit; of a hint: whose next improvement is meant."""
    session: str = ""
    """The box that is meant."""
    text: str = ""
    id: int = 0
    """Given by the ledger."""
    state: Literal["pending", "done", "refused"] = "pending"
    answer: str = ""
    answered: float | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """A benchmark's verdict on what an agent left behind."""

    score: float | None
    """None when the judge itself could not run."""
    mode: str
    checks: tuple[tuple[str, float], ...] = ()
    """Check id -> 0..1."""
    findings: tuple[str, ...] = ()
    """What an honest agent would not have left; blocks promotion."""
    fault: str = ""
    log: str = ""
    patch: str = ""
    """The agent's work as a diff, of tasks that ask for it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the leaderboard, from the ledger's summary table."""

    agent: str
    benchmark: str
    n: int
    total: float
    squares: float
    faults: int
    usage: Usage

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Weights:
    """How a trial's score, cost and time become its utility; the default is the score alone.

    SICA's paper (section 3) has score 0.5, cost 0.25 of $10, time 0.25 of 300 s, timeout penalty 0.5.
    """

    score: float = 1.0
    cost: float = 0.0
    seconds: float = 0.0
    cost_cap: float = 10.0
    """Dollars at which a trial's cost term is zero."""
    seconds_cap: float = 300.0
    timeout_penalty: float = 0.0


PLAIN = Weights()
"""The score alone."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One recorded trial, as far as it says something of its task."""

    task: str
    digest: str
    tree: str
    """Of the agent: attempts of one are no independent witnesses."""
    score: float | None
    """None for a fault."""
    flagged: bool = False


# ── the archive ───────────────────────────────────────────────────────────────────────────────────


_UNKNOWN: Any = object()


@dataclass(frozen=True)
class Archive:
    """Everything known, as one run sees it. Policies read it and return steps; nothing else is state."""

    agents: Mapping[str, Agent]
    """By commit, in order of number."""
    tasks: tuple[Task, ...]
    """The run's tasks."""
    trials: Mapping[str, tuple[Trial, ...]]
    """By tree, only of the run's tasks and under its conditions, in order of arrival."""
    improvements: tuple[Improvement, ...] = ()
    champion: str = ""
    crowned: float = 0.0
    """When the champion was promoted; 0 for one that nobody promoted."""
    in_flight: frozenset[Step] = frozenset()
    attempts: int = 1
    """Wanted of each agent at each task."""
    run: str = ""
    """The run that is going; the faults of earlier runs do not count against a trial."""
    weights: Weights = PLAIN
    offers: Offers | None = None
    """What of an agent's open trials is wanted now (sica/economy.py: racing); None: all, in the tasks' order."""
    flagged: frozenset[str] = frozenset()
    """Trees that a trial has flagged, on whatever benchmark and model."""
    settled: int = 0
    """Outcomes ever recorded; seeds the dice, so that a resumed run chooses as it would have."""
    _known: dict[object, Any] = field(init=False, default_factory=dict, repr=False, compare=False)
    """What was worked out, by name. No two archives of which an outcome came in between share it."""
    _readers: dict[object, set[object]] = field(init=False, default_factory=dict, repr=False, compare=False)
    """Source -> names of what follows from it; shared by all archives that follow from one."""
    _sources: dict[object, Collection[object]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )
    """The same the other way round."""
    _grown: dict[object, tuple[Any, ...]] = field(init=False, default_factory=dict, repr=False, compare=False)
    _by_tree: dict[object, tuple[Mapping[str, Any], Collection[str]]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )
    """Answers by tree, and the trees that had trials since."""
    _busy: Mapping[str, set[tuple[str, int]]] | None = field(
        init=False, default=None, repr=False, compare=False
    )

    # A loop asks the same of a hundred agents after every outcome, and an outcome changes one of them. So what was
    # worked out is kept, and goes on to the archive that follows, without what the outcome may have changed.

    def known(
        self, what: object, of: Collection[object] | Callable[[], Collection[object]], find: Callable[[], T]
    ) -> T:
        """What follows from these sources, worked out once until an outcome changes one of them.

        A source is a tree, for its trials, or a word that `plus` forgets by: "agents", which there are; "standings",
        theirs; "ready", who is; "finished", who has all ordinary trials, and these; "improvements". From none follows
        what never changes. `what` names everything else that the answer depends on.
        """
        answer: T = self._known.get(what, _UNKNOWN)
        if answer is not _UNKNOWN:
            return answer
        of = of() if callable(of) else of
        if self._sources.get(what) is not of:
            for source in of:  # before it is kept: another thread may be at an archive that follows
                self._readers.setdefault(source, set()).add(what)
            self._sources[what] = of
        answer = self._known[what] = find()
        return answer

    def _forget(self, *sources: object) -> None:
        """Of an archive that is just being made, what follows from these sources."""
        for source in sources:
            for what in tuple(self._readers.get(source, ())):
                self._known.pop(what, None)

    def grown(
        self,
        what: object,
        rows: tuple[R, ...],
        start: Callable[[], T],
        more: Callable[[T, Sequence[R]], T],
        *,
        beside: object = None,
    ) -> T:
        """What follows from rows that only become more; worked out from what followed before.

        `beside` is another object when it has to be worked out anew. `more` leaves what it is given as it is: earlier
        archives hold it.
        """
        known = self._grown.get(what)
        before: tuple[R, ...] = ()
        answer: T
        if known is not None and known[1] is beside:
            before, answer = known[0], known[2]
            if before is rows:
                return answer
        if not before or before != rows[: len(before)]:
            before, answer = (), start()
        if len(before) < len(rows):
            answer = more(answer, rows[len(before) :])
        self._grown[what] = rows, beside, answer
        return answer

    def by_tree(self, find: Callable[[Archive, str], T]) -> Mapping[str, T]:
        """For the tree of every agent what follows from its trials, worked out anew where they changed."""
        trees = self._holders()
        answers, stale = self._by_tree.get(find, ({}, ()))
        new = [tree for tree in trees if tree not in answers] if len(answers) < len(trees) else []
        if stale or new:
            answers = {**answers, **{tree: find(self, tree) for tree in (*stale, *new) if tree in trees}}
            self._by_tree[find] = answers, ()
        return answers

    def _holders(self) -> Mapping[str, Sequence[str]]:
        """Tree -> the commits that have it, by number."""

        def find() -> Mapping[str, Sequence[str]]:
            holders: dict[str, list[str]] = {}
            for agent in self.agents.values():
                holders.setdefault(agent.tree, []).append(agent.commit)
            return holders

        return self.known("holders", ("agents",), find)

    def ready(self) -> tuple[Agent, ...]:
        """By number."""
        return self.known("the ready", ("ready",), lambda: self._standing("ready"))

    def unchecked(self) -> tuple[Agent, ...]:
        return self.known("the unchecked", ("standings",), lambda: self._standing("unchecked"))

    def _standing(self, standing: Standing) -> tuple[Agent, ...]:
        return tuple([a for a in self.agents.values() if a.standing == standing])

    def scored(self, agent: str) -> tuple[Trial, ...]:
        """The agent's trials that have a score, shared by every commit with the same tree."""
        return self._tally(self.agents[agent].tree).scored

    def missing(self, agent: str, attempts: range | None = None) -> tuple[Evaluate, ...]:
        """Trials wanted of the agent: neither scored, given up nor in flight.

        In the tasks' order, all of them, when attempts are named; else those that `offers` lets through.
        """
        wanted = self._wanted(agent) if attempts is None else self.unsettled(agent, attempts)
        busy = self._at_work().get(self.agents[agent].tree) if wanted and self.in_flight else None
        if not busy:
            return wanted
        free = tuple(s for s in wanted if (s.task, s.attempt) not in busy)
        return free[: max(0, len(wanted) - len(busy))] if attempts is None and self.offers else free

    def done(self, agent: str) -> frozenset[tuple[str, int]]:
        """Task and attempt of the agent's trials that are scored or given up."""
        return self._tally(self.agents[agent].tree).settled

    def unsettled(self, agent: str, attempts: range) -> tuple[Evaluate, ...]:
        """Trials of these attempts that are neither scored nor given up, whether in flight or not."""
        return tuple(self.open(agent, attempts).values())

    def _at_work(self) -> Mapping[str, set[tuple[str, int]]]:
        """The trials in flight, by tree."""
        if self._busy is None:
            trees: dict[str, set[tuple[str, int]]] = {}
            for s in self.in_flight:
                if isinstance(s, Evaluate):
                    trees.setdefault(self.agents[s.agent].tree, set()).add((s.task, s.attempt))
            self.__dict__["_busy"] = trees
            return trees
        return self._busy

    def _wanted(self, agent: str) -> tuple[Evaluate, ...]:
        return self.offers(self, agent) if self.offers else self.unsettled(agent, range(self.attempts))

    def open(self, agent: str, wanted: range) -> Mapping[tuple[str, int], Evaluate]:
        """Trials wanted and not settled, whether in flight or not, by task and attempt; in the tasks' order."""
        tree = self.agents[agent].tree
        trials = self.trials.get(tree, ())

        def every() -> Mapping[tuple[str, int], Evaluate]:
            return {(t.digest, n): Evaluate(agent, t.digest, n) for n in wanted for t in self.tasks}

        def without(
            before: Mapping[tuple[str, int], Evaluate], trials: Sequence[Trial]
        ) -> Mapping[tuple[str, int], Evaluate]:
            left = dict(before)
            for t in trials:
                key = t.digest, t.attempt
                if t.score is not None or key in self._tally(tree).settled:
                    left.pop(key, None)
            return left

        return self.grown(("open", agent, wanted.start, wanted.stop), trials, every, without)

    def measured(self, agent: str, attempts: range | None = None) -> bool:
        """Whether every wanted trial of the agent has been settled, with at least one score among them.

        One that was stopped early counts as measured, unless attempts are named.
        """
        if attempts is None and self.agents[agent].standing == "ready":
            return agent not in self.unmeasured() and bool(self.scored(agent))
        wanted = self._wanted(agent) if attempts is None else self.open(agent, attempts)
        return not wanted and bool(self.scored(agent))

    def unmeasured(self) -> tuple[str, ...]:
        """Ready agents of which trials are wanted, in flight or not; by number."""
        return self.known(
            "unmeasured", (), lambda: tuple([a.commit for a in self.ready() if self._wanted(a.commit)])
        )

    def unfinished(self) -> tuple[str, ...]:
        """Ready agents of which an ordinary trial is not settled, whether it is wanted or not; by number."""
        return self.known(
            "unfinished",
            ("ready", "finished"),
            lambda: tuple([a.commit for a in self.ready() if not self._finished(a.tree)]),
        )

    def finished(self, agent: str) -> bool:
        """Whether every ordinary trial of the agent is settled."""
        return self._finished(self.agents[agent].tree)

    def _finished(self, tree: str) -> bool:
        if len(self.trials.get(tree, ())) < len(self.tasks) * self.attempts:
            return False
        every = ((task.digest, n) for task in self.tasks for n in range(self.attempts))
        return self.known(("finished", tree), (tree,), lambda: self._tally(tree).settled.issuperset(every))

    def above(self, agent: str) -> frozenset[str]:
        """Commits of the agent and of all its ancestors."""

        def find() -> frozenset[str]:
            found, waiting = set[str](), [agent]
            while waiting:
                one = waiting.pop()
                if one in self.agents and one not in found:
                    found.add(one)
                    waiting += self.agents[one].parents
            return frozenset(found)

        return self.known(("above", agent), (), find)

    def line(self, agent: str) -> frozenset[str]:
        """Their trees."""
        return self.known(
            ("line", agent), (), lambda: frozenset([self.agents[c].tree for c in self.above(agent)])
        )

    def faults(self, step: Evaluate) -> int:
        """How often this very trial failed outside the agent in this run."""
        return self._tally(self.agents[step.agent].tree).faults.get((step.task, step.attempt), 0)

    def _tally(self, tree: str) -> _Tally:
        def more(before: _Tally, trials: Sequence[Trial]) -> _Tally:
            return before.plus(trials, self.run)

        return self.grown(("tally", tree), self.trials.get(tree, ()), _Tally, more)

    def made(self) -> int:
        """Improvements that this run made; those that a fault spoiled do not count."""

        def more(before: int, made: Sequence[Improvement]) -> int:
            return before + sum(i.run == self.run and not i.fault for i in made)

        return self.grown("made", self.improvements, int, more)

    def improve(self, parent: str) -> Improve:
        """The parent's next improvement."""

        def more(before: Counter[str], made: Sequence[Improvement]) -> Counter[str]:
            return before + Counter(i.parent for i in made if not i.other)

        made = self.grown("by parent", self.improvements, Counter[str], more)
        going = sum(isinstance(s, Improve) and s.parent == parent for s in self.in_flight)
        return Improve(parent, made[parent] + going)

    def merged(self) -> frozenset[frozenset[str]]:
        """The pairs of agents that were merged or are being merged, whatever came of it."""
        tried = self.known(
            "merged",
            ("improvements", "agents"),
            lambda: frozenset(
                frozenset(pair)
                for pair in (
                    *((i.parent, i.other) for i in self.improvements if i.other and not i.fault),
                    *(a.parents for a in self.agents.values() if len(a.parents) == 2),
                )
            ),
        )
        going = [frozenset((s.parent, s.other)) for s in self.in_flight if isinstance(s, Merge)]
        return tried.union(going) if going else tried

    def children(self, agent: str) -> int:
        return sum(agent in a.parents for a in self.agents.values())

    def starting(self, step: Step) -> Archive:
        return self._with(in_flight=self.in_flight | {step}, _busy=None)

    def ending(self, step: Step) -> Archive:
        return self._with(in_flight=self.in_flight - {step}, _busy=None)

    def plus(self, outcome: Outcome, of: Step | None = None) -> Archive:
        """The archive after one more outcome, that `of` a step in flight if it was one's."""
        new: dict[str, Any] = {"settled": self.settled + 1}
        if of is not None:
            new |= {"in_flight": self.in_flight - {of}, "_busy": None}
        match outcome:
            case Trial():
                return self._after(outcome, new)
            case Improvement(child=child):
                improvements = *self.improvements, outcome
                agents = self.agents if child is None else {**self.agents, child.commit: child}
                following = self._with(
                    **new, agents=agents, improvements=improvements, _known=self._known.copy()
                )
                following._forget("improvements", *(("agents", "standings") if child else ()))
                return following
            case Verdict(fault=None):
                before = self.agents[outcome.agent]
                standing: Standing = "ready" if outcome.passed else "rejected"
                agent = replace(before, standing=standing, reason=outcome.reason)
                agents = {**self.agents, agent.commit: agent}
                following = self._with(**new, agents=agents, _known=self._known.copy())
                following._forget(
                    "standings", *(("ready",) if "ready" in (before.standing, standing) else ())
                )
                following._measure_again(lambda: (agent.commit,))
                return following
            case Promotion():
                return self._with(**new, champion=outcome.agent, crowned=outcome.at)
            case _:
                return self._with(**new)  # a gate that broke decided nothing

    def _after(self, trial: Trial, new: Mapping[str, Any]) -> Archive:
        tree = trial.tree
        following = self._with(
            **new,
            trials={**self.trials, tree: (*self.trials.get(tree, ()), trial)},
            flagged=self.flagged | {tree} if trial.ending == "integrity" else self.flagged,
            _known=self._known.copy(),
            _by_tree={find: (of, {*stale, tree}) for find, (of, stale) in tuple(self._by_tree.items())},
        )
        following._forget(tree)
        if following._finished(tree):
            following._forget("finished")
        following._measure_again(lambda: following._kin(tree))
        return following

    def _measure_again(self, concerning: Callable[[], Sequence[str]]) -> None:
        """Who is unmeasured, if that was known: found anew of the agents whom the outcome concerns, of no others."""
        before = self._known.get("unmeasured")
        if before is None:
            return
        concerned = concerning()
        wanting = [c for c in concerned if self.agents[c].standing == "ready" and self._wanted(c)]
        if wanting != [c for c in concerned if c in before]:
            now = {*before}.difference(concerned).union(wanting)
            self._known["unmeasured"] = tuple([c for c in self.agents if c in now])

    def _kin(self, tree: str) -> Sequence[str]:
        """Ready agents that have the tree, and their descendants: those that its trials can tell something of."""
        return self.known(
            ("kin", tree),
            ("ready",),
            lambda: tuple([a.commit for a in self.ready() if tree in self.line(a.commit)]),
        )

    def _with(self, **changes: object) -> Archive:
        """dataclasses.replace at a tenth of its price: three of these go into every outcome."""
        following = object.__new__(Archive)
        known = following.__dict__
        known.update(self.__dict__)
        known.update(changes)
        return following


Offers = Callable[[Archive, str], tuple[Evaluate, ...]]
"""Archive, commit of an agent -> those of its open trials that may be made now, most wanted first.

Whether there are any depends on no other trials than those of the agent's line."""


@dataclass(frozen=True, slots=True)
class _Tally:
    """A tree's trials, sorted out."""

    scored: tuple[Trial, ...] = ()
    settled: frozenset[tuple[str, int]] = frozenset()
    """Task and attempt: scored, or given up after so many faults in this run."""
    faults: Mapping[tuple[str, int], int] = field(default_factory=dict)

    def plus(self, trials: Sequence[Trial], run: str) -> _Tally:
        scored = [t for t in trials if t.score is not None]
        settled, faults = {(t.digest, t.attempt) for t in scored}, self.faults
        if len(scored) < len(trials):
            faults = {**faults}
            for t in trials:
                if t.score is None and t.run == run:
                    by_hand = t.fault == "cancelled"  # what a person cancelled is not tried again by this run
                    key = t.digest, t.attempt
                    faults[key] = faults.get(key, 0) + (RETRIES + 1 if by_hand else 1)
                    if faults[key] > RETRIES:
                        settled.add(key)
        return _Tally((*self.scored, *scored), self.settled | settled, faults)


# ── events: what whoever watches a run sees ───────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Started:
    step: Step
    archive: Archive
    at: float


@dataclass(frozen=True, slots=True)
class Finished:
    step: Step
    outcome: Outcome
    archive: Archive
    at: float


@dataclass(frozen=True, slots=True)
class Promoted:
    promotion: Promotion
    archive: Archive
    at: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """An agent would be the new champion, and a person is to say yes or no (`--approve`)."""

    promotion: Promotion
    archive: Archive
    at: float


@dataclass(frozen=True, slots=True)
class Stopped:
    reason: str
    """done | budget | time | stopped (by a person, after what ran) | interrupted."""
    archive: Archive
    at: float


Event = Started | Finished | Promoted | Waiting | Stopped


def conditions(task: Task, setting: Setting) -> str:
    """Hash of what a score depends on beside the agent's tree, the task's digest and the attempt.

    The commit's tree, the task's digest and the attempt stand in the key themselves.
    """
    import hashlib
    import json

    facts: Sequence[Any] = (
        setting.model,
        CONTRACT,
        [
            task.limits.seconds,
            task.limits.memory_mb,
            task.limits.disk_mb,
            task.limits.processes,
            task.limits.cpus,
        ],
        [task.budget.usd, task.budget.tokens, task.budget.calls],
        task.image or setting.image,
        task.grading,
        HARNESS,
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
