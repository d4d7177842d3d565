"""Why a trial went as it did, in a few sentences by a cheap model, for the agent that improves itself.

It is written after the trial is on record, beside the run, and nothing waits for it: a critique that fails is a line in
its own trace. It is made from what sica saw, never from what a grader knows.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from sica.attempt import Workplace
from sica.errors import SicaError
from sica.evidence import HIDDEN
from sica.model import Archive, Budget, Event, Finished, Trial
from sica.oversight import told

_SYSTEM = """You read the transcript of a coding agent at work on one task, and say in at most eight sentences why it
went as it did: what the decisive step was, what the agent did not see or could not do, and which property of the agent
(a limit, a missing tool, its prompt, its loop) would have to be another one for a better result. Quote what shows it.
Do not guess at hidden tests. The first sentence alone must say the cause."""
_TRANSCRIPT = 20_000
"""Characters of the transcript that are read: its head and its tail."""
_ANSWER_TOKENS = 500
AT_ONCE = 2
"""Critiques in the making; the others wait."""


class Shelf(Protocol):
    """Where critiques are kept."""

    def critique(self, session: str) -> str:
        """Of the trial with this session, or ""."""

    def criticise(self, session: str, text: str, model: str, trace: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Critic:
    """Writes critiques of the train split's trials; only those are shown to an improver."""

    model: str
    budget: Budget
    """For one critique."""
    place: Workplace
    shelf: Shelf
    read_trace: Callable[[str], Iterable[Mapping[str, Any]]]

    def listening(self, events: Iterator[Event]) -> Iterator[Event]:
        """The same events; a trial that is on record is criticised beside. The last ones are waited for."""
        asked: list[Future[str]] = []
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="critic") as pool:
            try:
                for event in events:
                    trial = event.outcome if isinstance(event, Finished) else None
                    if isinstance(trial, Trial) and wanted(event.archive, trial):
                        asked.append(pool.submit(self.write, trial))
                    yield event
            finally:
                pool.shutdown(cancel_futures=self.place.cancel.is_set())
        for critique in asked:
            if not critique.cancelled():
                critique.result()  # a fault of ours is not one of the model's: it is raised

    def write(self, trial: Trial) -> str:
        """The critique, kept; "" when there was one or none came about."""
        if self.shelf.critique(trial.session) or self.place.cancel.is_set():
            return ""
        session = secrets.token_hex(8)
        trace = self.place.open_trace(session)
        trace.event("start", **{"for": "critique"}, task=trial.task, session=trial.session)
        text = ""
        try:
            with self.place.broker.asking(
                id=session,
                role="critique",
                model=self.model,
                budget=self.budget,
                seed=0,
                trace=trace,
                run=trial.run,
                agent=trial.agent,
                task=trial.task,
            ) as ask:
                text = ask(messages(trial, self.read_trace(trial.trace)), _ANSWER_TOKENS).strip()
        except SicaError as error:
            trace.event("ended", how="failed", why=str(error))
        finally:
            name = trace.close()
        if text:
            self.shelf.criticise(trial.session, text, self.model, name)
        return text


def wanted(archive: Archive, trial: Trial) -> bool:
    train = {task.digest for task in archive.tasks if task.split == "train"}
    return trial.score is not None and trial.digest in train and bool(trial.trace)


def messages(trial: Trial, events: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What the critic is asked. Nothing in it comes from the grader but the score itself."""
    bodies: dict[str, Mapping[str, Any]] = {}
    lines: list[str] = []
    for event in events:
        if event.get("type") in HIDDEN:
            continue
        if event.get("type") == "message":
            bodies[str(event.get("hash"))] = event.get("body") or {}
        elif event.get("type") == "request":
            fresh = [bodies.pop(name) for name in event.get("messages", ()) if name in bodies]
            lines += [line for body in fresh for line in told(str(event.get("span", "")), body)]
        elif event.get("type") in ("notice", "ruling", "stdout", "stderr"):
            lines.append(f"[{event['type']}] {str(event.get('text', ''))[-1500:]}")
    text = "\n".join(lines)
    if len(text) > _TRANSCRIPT:
        half = _TRANSCRIPT // 2
        text = f"{text[:half]}\n[... {len(text) - _TRANSCRIPT} characters left out ...]\n{text[-half:]}"
    facts = f"Score {trial.score:g} of 1. It {trial.why or trial.ending}. {trial.usage.calls} model calls."
    return [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": f"{facts}\n\nTranscript:\n{text or '(nothing was said)'}"},
    ]
