"""The seams, on one screen. The loop sees these and nothing behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from sica.model import (
    Agent,
    Archive,
    BoxSpec,
    Budget,
    Call,
    Ended,
    Files,
    Grade,
    Installed,
    Job,
    Merged,
    Message,
    Outcome,
    Run,
    Step,
    Summary,
    Task,
    Usage,
)

Policy = Callable[[Archive, Random], Iterable[Step]]
"""Pure. Steps wanted next, most wanted first; the loop takes the first that may be started."""


class Repo(Protocol):
    """Agents as git commits."""

    def add(self, files: Files, parents: Sequence[Agent], message: Message) -> Agent:
        """Commit a tree as the next agent/<n>; durable when it returns; safe beside other writers."""

    def merge(self, ours: Agent, theirs: Agent) -> Merged:
        """Both agents' changes since their common ancestor; nothing is committed. Raises UsageError without one."""

    def agents(self) -> Iterator[Agent]:
        """Every agent branch, by number, standing "unchecked"."""

    def files(self, tree: str) -> Files: ...

    def export(self, tree: str) -> Path:
        """A read-only directory with the tree, made once per tree and shared by every box."""

    def diff(self, old: str, new: str, *options: str) -> str:
        """git's own diff text; options such as --stat are fixed words, never from a model."""

    def patch_ids(self, diffs: Mapping[str, str]) -> Mapping[str, str]:
        """git's patch-id of each diff, by the same key; an empty diff has none."""

    def promote(self, agent: Agent) -> str:
        """Merge the agent into main with the agent's tree; a no-op if it is already the champion."""

    def champion(self) -> str:
        """Commit of the agent that main points at: main's own commit is a merge of it, or it itself (the seed)."""

    def annotate(
        self,
        scores: Mapping[str, str],
        evaluations: Mapping[str, Sequence[str]],
        reviews: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Write refs/notes/sica/score (one line), eval and review (JSON lines) in one batch each."""


class Recorder(Protocol):
    """What the loop needs of a ledger."""

    def record(self, outcome: Outcome) -> bool:
        """Durable when it returns. False when this very outcome was known: nothing is counted twice."""


class Crew(Protocol):
    """Whoever performs the loop's steps, several at once."""

    @property
    def busy(self) -> int:
        """Steps that are being performed."""

    def start(self, step: Step, archive: Archive) -> None: ...

    def ended(self) -> Iterator[tuple[Step, Outcome]]:
        """Waits until there is one, or for a moment; nothing waits for the others."""

    def close(self) -> None:
        """Wait for whoever is at work."""


class Ledger(Recorder, Protocol):
    """The append-only list of outcomes."""

    def reconcile(self, agents: Iterable[Agent]) -> Sequence[Agent]:
        """Add rows for agents that git has and the ledger has not; returns those added."""

    def archive(self, tasks: Sequence[Task], conditions: Mapping[str, str], attempts: int) -> Archive:
        """What a run over these tasks sees; conditions are by task digest."""

    def summaries(self, benchmark: str | None = None) -> Sequence[Summary]: ...

    def start_run(self, config: Mapping[str, Any]) -> Run: ...

    def end_run(self, run: str, reason: str) -> None: ...

    def call(self, call: Call) -> None:
        """Insert or settle one model call, by (session, number)."""

    def spent(self, run: str) -> Usage:
        """Everything the run's sessions used, reservations of a crashed call included."""


class Sandbox(Protocol):
    """A way to isolate; every run is one single-use box, but in a series."""

    name: str

    def image(self) -> str:
        """Identity of what boxes run on; part of the score key."""

    def probe(self) -> Mapping[str, str]:
        """Open one box and check the confinement from inside; facts by name. Raises SandboxUnavailable."""

    def run(
        self,
        spec: BoxSpec,
        job: Job,
        cancel: threading.Event | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        """Make a box, do the job, end every process, bring the files back, destroy it.

        `cancel` cuts the box, and nothing comes out of it; `stop` ends the job's program as its time limit would.
        Raises SandboxError when the harness failed; whatever the agent did is in the answer.
        """

    def series(self) -> AbstractContextManager[Sandbox]:
        """For jobs of one and the same party, one after the other: a box that is provably empty may be used again.

        Agents are never run in one.
        """

    def sweep(self) -> int:
        """Remove the boxes that a killed sica left on this store; how many there were."""


class Environments(Protocol):
    """What agents ask to be installed."""

    def ready(
        self,
        wanted: Sequence[str],
        sandbox: Sandbox,
        image: str | None = None,
        cancel: threading.Event | None = None,
    ) -> Installed:
        """A directory with these packages for the Python of such boxes, built once; the same for the same words.

        Raises CannotInstall when they cannot be had by anybody, SandboxError when we could not fetch them.
        """


class Trace(Protocol):
    """What happens inside one box, written as it happens. Evidence, never state."""

    def event(self, kind: str, /, **data: Any) -> None: ...

    def message(self, body: Mapping[str, Any]) -> str:
        """The message's hash; its body is written once, before the first event that names it."""

    def close(self) -> str:
        """Compress, name by content, and return the name: sha256:<hex>."""


class Session(Protocol):
    """One box's door to a model."""

    directory: Path
    """Holds gw.sock; bind it as BoxSpec.socket."""

    def usage(self) -> Usage: ...

    def reached(self) -> str:
        """The budget that this session ran into: calls, tokens, usd, run, day; or ""."""

    def failure(self) -> str:
        """What the provider failed with after retries, or ""."""

    def waited(self) -> float:
        """Seconds that calls waited for a provider's retries or for other boxes: not the agent's doing."""

    def notice(self, text: str, span: str = "") -> None:
        """Put a message before the model with the next request, as the user's; `span`: of that sub-agent only."""

    def cancel(self, span: str, why: str) -> None:
        """Refuse a sub-agent, and those that work for it, any further answer; `why` is told to whoever asks."""


Ask = Callable[[Sequence[Mapping[str, Any]], int], str]
"""Messages and the most tokens of an answer -> the answer's text. Raises BudgetStopped or ProviderError."""


class Broker(Protocol):
    """Serves a gateway to boxes: one socket a box, counts, records, refuses past the budget."""

    def session(
        self,
        *,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str = "",
        task: str = "",
    ) -> AbstractContextManager[Session]:
        """`agent` (commit) and `task` (id) say whom its calls are counted for."""

    def asking(
        self,
        *,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str = "",
        task: str = "",
    ) -> AbstractContextManager[Ask]:
        """The same for sica itself: critiques and oversight are counted and capped as everything is."""

    def left(self) -> Budget:
        """What the run may still use before one of its caps is reached; None where there is none."""


class Benchmark(Protocol):
    """A named set of tasks and the rule that scores them. It judges in a box the agent never saw."""

    name: str

    def tasks(self) -> Sequence[Task]: ...

    def prepare(self, task: Task, sandbox: Sandbox, cancel: threading.Event | None = None) -> Task:
        """Called before every trial: the task as it can be done now, its own image made or fetched.

        A task that needs no image comes back as it is. Raises SandboxError when the image cannot be had.
        """

    def workspace(self, task: Task) -> Files:
        """What is put before the agent, by absolute box path; what an image brings is not among it."""

    def grade(
        self, task: Task, left: Files, sandbox: Sandbox, cancel: threading.Event | None = None
    ) -> Grade:
        """Judge what the agent left (absolute paths, hostile bytes) from the task's own pristine files."""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one token."""

    prompt: float
    completion: float
    """Of an answer's token, thinking included."""
    cached: float | None = None
    """Of a prompt token read from the provider's cache; None: as any other."""
    cache_write: float | None = None
    """Of a prompt token put into it; None: as any other."""
    call: float = 0.0
    """Of the call itself, whatever its size."""
    beyond: int = 0
    """Prompts of more tokens than this cost `dearer`, all of the call; 0: there is one price."""
    dearer: Price | None = None

    def of(self, usage: Usage) -> float:
        """Dollars of one call."""
        if self.dearer is not None and usage.prompt_tokens > self.beyond:
            return self.dearer.of(usage)
        plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
        return (
            plain * self.prompt
            + usage.cached_tokens * (self.prompt if self.cached is None else self.cached)
            + usage.cache_write_tokens * (self.prompt if self.cache_write is None else self.cache_write)
            + usage.completion_tokens * self.completion
            + self.call
        )

    def most(self, prompt_tokens: int) -> tuple[float, float]:
        """What a prompt token and an answer's token can cost in a call with at most so many prompt tokens."""
        prompt = max(self.prompt, self.cached or 0.0, self.cache_write or 0.0)
        if self.dearer is None or prompt_tokens <= self.beyond:
            return prompt, self.completion
        long_prompt, long_completion = self.dearer.most(prompt_tokens)
        return max(prompt, long_prompt), max(self.completion, long_completion)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a gateway."""

    request: Mapping[str, Any]
    """OpenAI chat completions body, with `model` already resolved and `stream` removed."""
    role: str
    seed: int
    """Fixed by task and attempt: two agents at the same attempt meet the same dice."""
    number: int
    """Of the call within its session, from 0."""
    timeout: float
    """Seconds."""


class Gateway(Protocol):
    """The only door to a language model."""

    name: str

    def check(self, model: str) -> None:
        """Raise UsageError or CredentialsError now rather than in the middle of a run. No money is spent."""

    def price(self, model: str) -> Price | None:
        """None when unknown: never treated as free."""

    def complete(self, asked: Asked) -> Mapping[str, Any]:
        """An OpenAI chat.completion body with usage, after one try.

        Raises ProviderError, CredentialsError, RequestRejected, or UsageError for a model nobody knows.
        """

    def stream(self, asked: Asked) -> Iterator[Mapping[str, Any]]:
        """The same as chat.completion.chunk bodies; the last one carries usage."""
