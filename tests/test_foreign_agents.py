"""mini-swe-agent and aider as seeds, from the package index to a score, against a scripted server on loopback."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import Ran, sica
from conftest import write_task
from doors import said
from provider import Provider

NOWHERE = "http://127.0.0.1:9/simple"
"""An index that does not answer."""


def cache() -> str:
    """The user's own: what was built once serves every session."""
    return os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")


def calls(command: str, number: int) -> Mapping[str, Any]:
    """An answer that calls bash, as mini-swe-agent offers it."""
    body: dict[str, Any] = json.loads(json.dumps(said("Next.")))
    function = {"name": "bash", "arguments": json.dumps({"command": command})}
    body["choices"][0]["message"]["tool_calls"] = [
        {"id": f"c{number}", "type": "function", "function": function}
    ]
    body["choices"][0]["finish_reason"] = "tool_calls"
    return body


DONE = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def project(folder: Path, preset: str) -> Path:
    """A project with this seed and one task of our own; the gate asks for the same."""
    place = folder / "a project"
    place.mkdir()
    write_task(place / "toy", "level1", 1)
    table = place / "toy" / "level1" / "task.toml"
    table.write_text(table.read_text().replace("timeout_sec = 20.0", "timeout_sec = 200.0"))
    ran = sica(place, "init", "--agent", preset, "--bench", "./toy", env=online())
    assert ran.code == 0, ran.err
    return place


def online() -> dict[str, str]:
    """Whatever this machine says of indexes and proxies."""
    told = {
        k: v for k, v in os.environ.items() if k.startswith(("UV_", "SSL_")) or k.lower().endswith("_proxy")
    }
    return {**told, "XDG_CACHE_HOME": cache()}


def go(place: Path, served: Provider, *words: str, **env: str) -> Ran:
    common = ("--yes", "--model", "openai/scripted", "--sandbox", "bubblewrap")
    given = {**online(), "OPENAI_API_KEY": "none", "SICA_API_BASE": served.base, "SICA_SMOKE": "./toy", **env}
    return sica(place, *words, *common, env=given)


def native(place: Path, trial: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
    """The trajectory that the trial's trace links to."""
    shown = sica(place, "trace", "0", "level1", "--json")
    event = next(e for e in map(json.loads, shown.out.splitlines()) if e["type"] == "trajectory")
    return event, gzip.decompress((place / ".sica" / "traces" / event["name"]).read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mini_swe_agent_is_a_seed_that_is_measured_improved_and_compared(tmp_path: Path) -> None:
    place = project(tmp_path, "mini-swe-agent")
    with Provider() as served:
        served.answers = [calls("printf level1 > answer.txt", 1), calls(DONE, 2)] * 2
        ran = go(place, served, "eval", "0", "--json")
        assert ran.code == 0, ran.err
        event, kept = native(place, {})
        assert event["format"] == json.loads(kept)["trajectory_format"] == "mini-swe-agent-1.1"
        assert json.loads(kept)["info"]["exit_status"] == "Submitted"
        assert score(place, "0") == 1.0

        served.answers = [
            calls(
                "sed -i 's/You are a helpful assistant/You are a careful assistant/' minisweagent/config/mini.yaml",
                1,
            ),
            calls("printf 'ask for care\\n\\nWhy: it helps.\\n' > CHANGE.md", 2),
            calls(DONE, 3),
            *([calls("printf level1 > answer.txt", 1), calls(DONE, 2)] * 2),
        ]
        ran = go(place, served, "improve", "0", "--hint", "be careful", UV_INDEX_URL=NOWHERE)
        assert ran.code == 0, ran.err + ran.out
    changed = git(place, "diff", "agent/0", "agent/1")
    assert "+    You are a careful assistant" in changed
    assert git(place, "log", "-1", "--format=%s", "agent/1").strip() == "agent/1: ask for care"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_aider_is_a_seed_that_is_measured(tmp_path: Path) -> None:
    place = project(tmp_path, "aider")
    with Provider() as served:
        served.answers = [said("I write it.\n\nanswer.txt\n```\nlevel1\n```\n")]
        ran = go(place, served, "eval", "0", "--json")
    assert ran.code == 0, ran.err
    event, kept = native(place, {})
    assert event["format"] == "aider-markdown"
    assert "# aider chat started" in kept.decode()
    assert score(place, "0") == 1.0


def score(place: Path, agent: str) -> float:
    told = sica(place, "show", agent, "--json")
    return float(told.json["score"])


def git(place: Path, *words: str) -> str:
    store = place / ".sica" / "agents.git"
    return subprocess.run(["git", "-C", store, *words], check=True, capture_output=True, text=True).stdout
