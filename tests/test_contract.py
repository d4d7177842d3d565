"""agent.toml, the surroundings of an agent, and failure classes from facts."""

from __future__ import annotations

import pytest

from sica.contract import Facts, argv, ending, manifest, surroundings, writable
from sica.errors import UsageError
from sica.model import Budget, Ended, File

GOOD = b'contract = 1\nname = "x"\n[run]\nargv = ["python3", "-m", "x"]\n'


def files(toml: bytes) -> dict[str, File]:
    return {"agent.toml": File(toml)}


def test_six_lines_are_enough() -> None:
    assert manifest(files(GOOD)).run.argv == ("python3", "-m", "x")


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (b"contract = ", "agent.toml is not TOML"),
        (b"\xff", "agent.toml is not TOML"),
        (b'contract = 1\nname = "x"\n', "run: Field required"),
        (GOOD.replace(b"contract = 1", b"contract = 2"), "asks for contract 2"),
        (GOOD.replace(b"argv", b"args"), "run.argv"),
        (GOOD.replace(b'["python3", "-m", "x"]', b"[]"), "run.argv"),
        (GOOD + b"[surprise]\nx = 1\n", "surprise"),
        (GOOD + b'[setup]\nargv = ["sh", "setup.sh"]\n', "outside of a box"),
    ],
)
def test_a_wrong_manifest_says_what_is_wrong(toml: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        manifest(files(toml))


def test_a_tree_without_manifest_names_the_file() -> None:
    with pytest.raises(UsageError, match=r"no agent\.toml"):
        manifest({})


def test_words_are_filled_in_and_the_instruction_is_never_read_as_a_template() -> None:
    hostile = "{model} ' ; rm -rf / {logs}"
    found = argv(
        ("mini", "--task", "{instruction}", "--out={logs}/t.json", "openai/{model}"),
        instruction=hostile,
        model="m",
        workdir="/app",
    )
    assert found == ("mini", "--task", hostile, "--out=/logs/agent/t.json", "openai/m")


def test_an_agent_cannot_move_the_models_door() -> None:
    env = surroundings(
        model="m",
        workdir="/app",
        deadline=1.0,
        budget=Budget(calls=3),
        extra={"OPENAI_BASE_URL": "http://x", "A": "b"},
    )
    assert env["OPENAI_BASE_URL"] == "http://127.0.0.1:8765/v1"
    assert (env["A"], env["AGENT_CALL_BUDGET"]) == ("b", "3")
    assert not any("sica" in f"{k}={v}".lower() for k, v in env.items())


def test_directories_outside_the_working_directory_are_the_agents_too() -> None:
    assert writable("/app", {"/app/a": File(b""), "/srv/x/b": File(b"")}) == (
        "/app",
        "/srv",
        "/task",
        "/logs/agent",
        "/tmp",
    )


def ended(exit_code: int | None = 0, limit: str | None = None, stdout: bytes = b"") -> Ended:
    return Ended(exit_code, limit, stdout, b"", {}, (), 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(ended(), "", "", "", 3), ("done", None)),
        (Facts(ended(1), "", "", "", 3), ("agent_error", None)),
        (Facts(ended(1, stdout=b"rate limit: Connection error"), "", "", "", 3), ("agent_error", None)),
        (Facts(ended(None, "seconds"), "", "", "", 3), ("seconds", None)),
        (Facts(ended(None, "seconds"), "", "", "", 3, waited=0.01), ("seconds", None)),
        (Facts(ended(None, "seconds"), "", "", "", 3, waited=0.5), ("provider", "provider")),
        (Facts(ended(1), "", "", "", 3, waited=0.5), ("agent_error", None)),
        (Facts(ended(137, "memory"), "", "", "", 3), ("memory", None)),
        (Facts(ended(1), "", "calls", "", 3), ("calls", None)),
        (Facts(ended(1), "", "run", "", 3), ("cancelled", "cancelled")),
        (Facts(ended(None, "cancelled"), "", "", "", 3), ("cancelled", "cancelled")),
        (Facts(ended(1), "", "", "503", 3), ("provider", "provider")),
        (Facts(None, "daemon gone", "", "", 3), ("infra", "infra")),
    ],
)
def test_classes_come_from_facts(facts: Facts, expected: tuple[str, str | None]) -> None:
    assert ending(facts) == expected
