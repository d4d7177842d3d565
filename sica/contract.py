"""What sica and an agent owe each other: agent.toml, the box, how it ended. Pure (docs/agents.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sica import requirements
from sica.errors import UsageError
from sica.model import CONTRACT, Budget, Ended, Fault, File, Files, Limits

HOME = "/agent"
PACKAGES = "/opt/env"
"""The Python packages that an agent asked for, read-only."""
LOGS = "/logs/agent"
INSTRUCTION = "/task/instruction.md"
RELAY = "http://127.0.0.1:8765"
EXAMPLE = 'the shortest: contract = 1, name = "mine", and under [run] argv = ["python3", "/agent/main.py"]'


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Command(_Part):
    argv: tuple[str, ...] = Field(min_length=1)
    stdin: Literal["none", "instruction"] = "none"
    env: dict[str, str] = {}


class Tests(_Part):
    argv: tuple[str, ...] = Field(min_length=1)


class Setup(_Part):
    requirements: str = ""
    """File of the tree that names Python packages (sica/requirements.py)."""
    argv: tuple[str, ...] = ()
    """Refused: a program of the agent's with the network, outside of a box, would be safe nowhere."""


class Output(_Part):
    trajectory: str = ""
    format: Literal["atif", "mini-swe-agent-1.1", "aider-markdown", "text"] = "text"


class Manifest(_Part):
    """agent.toml."""

    contract: int
    name: str
    run: Command
    check: Tests | None = None
    """The agent's own tests, run by the gate."""
    setup: Setup | None = None
    output: Output = Output()


def manifest(files: Files) -> Manifest:
    """Read the agent.toml at the root of an agent's tree. Raises UsageError saying what is wrong with it."""
    found = files.get("agent.toml")
    if found is None:
        raise UsageError("no agent.toml at the root of the agent's files", EXAMPLE)
    try:
        read = Manifest.model_validate(tomllib.loads(found.data.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"agent.toml is not TOML: {error}", EXAMPLE) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"agent.toml: {where}: {first['msg']}", EXAMPLE) from error
    if read.contract != CONTRACT:
        raise UsageError(
            f"agent.toml asks for contract {read.contract}; this sica knows contract {CONTRACT}", EXAMPLE
        )
    if read.setup and read.setup.argv:
        raise UsageError(
            "agent.toml: setup.argv would run a program of the agent's with the network and outside of a box",
            'name Python packages instead: [setup] requirements = "requirements.txt"; or put the rest into its tree',
        )
    packages(files, read)
    return read


def packages(files: Files, asks: Manifest) -> tuple[str, ...]:
    """The Python packages that an agent needs beside its own tree. Raises UsageError for what may not be asked."""
    if asks.setup is None or not asks.setup.requirements:
        return ()
    name = asks.setup.requirements
    if name not in files:
        raise UsageError(f"agent.toml: setup.requirements names {name}, and the agent has no such file")
    return requirements.read(files[name].data, name)


def argv(command: tuple[str, ...], *, instruction: str, model: str, workdir: str) -> tuple[str, ...]:
    """The command with {instruction} {instruction_file} {model} {workdir} {logs} filled in, nothing else touched."""
    words = {
        "{instruction}": instruction,
        "{instruction_file}": INSTRUCTION,
        "{model}": model,
        "{workdir}": workdir,
        "{logs}": LOGS,
    }

    def filled(word: str) -> str:
        if word in words:
            return words[word]
        for name, value in words.items():
            if name != "{instruction}":  # only a whole word: the instruction may itself hold braces
                word = word.replace(name, value)
        return word

    return tuple(filled(word) for word in command)


def surroundings(
    *,
    model: str,
    workdir: str,
    deadline: float,
    budget: Budget,
    extra: Mapping[str, str],
    task: Mapping[str, str] | None = None,
    installed: bool = False,
) -> Mapping[str, str]:
    """The whole environment of an agent's process; neither the agent's own constants nor the task's can replace
    the model's door."""
    task = task or {}
    programs = task.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    told = {
        "AGENT_CALL_BUDGET": budget.calls,
        "AGENT_TOKEN_BUDGET": budget.tokens,
        "AGENT_COST_BUDGET_USD": budget.usd,
    }
    return {
        **extra,
        "LANG": "C.UTF-8",
        "HOME": "/tmp",
        **task,
        "PATH": f"{PACKAGES}/bin:{programs}" if installed else programs,
        "PYTHONPATH": ":".join(filter(None, (HOME, PACKAGES if installed else "", task.get("PYTHONPATH")))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "AGENT_HOME": HOME,
        "AGENT_LOGS": LOGS,
        "AGENT_MODEL": model,
        "AGENT_DEADLINE": f"{deadline:.0f}",
        "AGENT_WORKDIR": workdir,
        "TASK_INSTRUCTION_FILE": INSTRUCTION,
        "OPENAI_BASE_URL": f"{RELAY}/v1",
        "OPENAI_API_BASE": f"{RELAY}/v1",
        "OPENAI_API_KEY": "bridge",
        "ANTHROPIC_BASE_URL": RELAY,
        "ANTHROPIC_API_KEY": "bridge",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **{name: f"{value:g}" for name, value in told.items() if value is not None},
    }


def start_files(workspace: Files, instruction: str) -> Files:
    """Everything put into an agent's box before it starts, by absolute path."""
    return {**workspace, INSTRUCTION: File(instruction.encode())}


def kept(workdir: str, workspace: Files, places: Sequence[str] = ()) -> tuple[str, ...]:
    """The box directories that are the deliverable: those named, or the workdir and wherever files were given."""
    if places:
        return tuple(places)
    inside = workdir.rstrip("/") + "/"
    outside = {"/" + path.split("/")[1] for path in workspace if not path.startswith(inside)}
    return workdir, *sorted(outside - {workdir})


def writable(
    workdir: str, workspace: Files, places: Sequence[str] = (), image: str | None = None
) -> tuple[str, ...]:
    """The box directories that start empty for an agent. In a task's own image it may write everywhere, and
    the workspace is the image's."""
    if image is not None:
        return "/task", LOGS
    return tuple(dict.fromkeys((*kept(workdir, workspace, places), workdir, "/task", LOGS, "/tmp")))


PATIENCE = 0.05
"""Share of a trial's time that may be lost to waiting for the provider before its time limit says nothing."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What sica saw of a box and its session; the only grounds for a failure class."""

    ended: Ended | None
    box_failure: str
    """What the sandbox failed with, or ""."""
    reached: str
    """The budget the session ran into, or ""."""
    failure: str
    """What the provider failed with, or ""."""
    calls: int
    waited: float = 0.0
    """Seconds that its calls waited for the provider's retries or for other boxes."""
    stopped: str = ""
    """Why guards or overseer stopped it, or ""."""

    @property
    def kept_waiting(self) -> bool:
        """Whether the time limit was reached for a reason that is not the agent's."""
        return self.ended is not None and self.waited > PATIENCE * self.ended.seconds


def ending(facts: Facts) -> tuple[str, Fault | None]:
    """How an agent's run ended and whether that is a fault. Nothing an agent prints can move it."""
    if facts.reached in ("run", "day"):
        return "cancelled", "cancelled"
    if facts.ended is None:
        return "infra", "infra"
    if facts.ended.limit == "cancelled":
        return "cancelled", "cancelled"
    if facts.failure or (facts.ended.limit == "seconds" and facts.kept_waiting):
        return "provider", "provider"
    if facts.ended.limit is not None:
        return facts.ended.limit, None
    if facts.reached:
        return facts.reached, None
    return ("done" if facts.ended.exit_code == 0 else "agent_error"), None


def explain(how: str, facts: Facts, limits: Limits, budget: Budget) -> str:
    """One line for people and for the improver, from the same facts."""
    calls = f"{facts.calls} model call{'' if facts.calls == 1 else 's'}"
    words = {
        "done": f"ended by itself after {calls}",
        "agent_error": f"exit code {facts.ended.exit_code if facts.ended else None} after {calls}",
        "seconds": f"stopped at the time limit of {limits.seconds:g} s after {calls}",
        "stopped": f"stopped from outside: {facts.stopped}",
        "memory": f"stopped at the memory limit of {limits.memory_mb} MB",
        "calls": f"reached the budget of {budget.calls} model calls",
        "tokens": f"reached the budget of {budget.tokens} tokens after {calls}",
        "usd": f"reached the budget of ${budget.usd} after {calls}",
        "infra": f"the box failed: {facts.box_failure}",
        "provider": f"the model's provider failed: {facts.failure}"
        if facts.failure
        else f"its model calls waited for {facts.waited:.0f} s of its {limits.seconds:g} s",
    }
    return words.get(how, how)
