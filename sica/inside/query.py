"""Asks the archive that an improver is given: python3 /archive/query.py WORDS. Standard library only; never writes."""

# ruff: noqa: PTH100, PTH110, PTH118, PTH120, PTH123

from __future__ import annotations

import argparse
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Row = dict[str, Any]

HERE = os.path.dirname(os.path.abspath(__file__))
SHORT = 600
"""Characters of one message that `trace` shows."""


def rows(name: str) -> list[Row]:
    path = os.path.join(HERE, name)
    if not os.path.exists(path):
        raise SystemExit(f"there is no {path}; README.md says what there is")
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def folder(agent: int | None) -> str:
    """Where an agent's trials are: the agent that is being changed is at the top."""
    return "" if agent is None else f"family/{agent}/"


def agent_of(number: int) -> Row:
    known = {row["agent"]: row for row in rows("agents.jsonl")}
    if number not in known:
        raise SystemExit(f"there is no agent {number}; there are 0 to {max(known)}")
    return known[number]


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"


# ── questions ─────────────────────────────────────────────────────────────────────────────────────


def agents(asked: argparse.Namespace) -> None:
    del asked
    with open(os.path.join(HERE, "agents.md"), encoding="utf-8") as file:
        print(file.read(), end="")


def worst(asked: argparse.Namespace) -> None:
    found = [r for r in rows(folder(asked.agent) + "trials.jsonl") if asked.kind in ("", r["kind"])]
    for row in found[-asked.n :][::-1] if asked.question == "best" else found[: asked.n]:
        tell(row)


def trial(asked: argparse.Namespace) -> None:
    found = [r for r in rows(folder(asked.agent) + "trials.jsonl") if r["task"] == asked.task]
    if not found:
        raise SystemExit(f"no trial of a task called {asked.task}; `query.py worst 1000` names them")
    for row in found:
        tell(row)
        print(
            f"  tokens {row['prompt_tokens']} + {row['completion_tokens']}, ${row['usd']:.4f}, {row['seconds']} s"
        )
        for name in ("critique", "said"):
            if row[name]:
                print(f"  {name}: {row[name]}")


def tell(row: Row) -> None:
    where = f"   transcript: traces/{row['trace']}" if row["trace"] else ""
    print(
        f"{row['score']:.2f}  {row['task']}  ({row['kind']}, level {row['level']}, attempt {row['attempt']}){where}"
    )
    print(f"      {row['ending']}, {row['calls']} calls: {row['why']}")
    if row["critique"]:
        print(f"      {row['critique'].splitlines()[0]}")


def trace(asked: argparse.Namespace) -> None:
    at = folder(asked.agent)
    names = [r["trace"] for r in rows(at + "trials.jsonl") if r["task"] == asked.task and r["trace"]]
    if not names:
        raise SystemExit(f"no transcript of {asked.task}; `query.py worst 1000` says which trials have one")
    for line in rows(f"{at}traces/{names[0]}"):
        text = spoken(line)
        if text:
            print(
                text
                if asked.full or len(text) <= SHORT
                else f"{text[:SHORT]} [{len(text) - SHORT} more characters]"
            )


def spoken(line: Row) -> str:
    """What a line of a transcript says, as text."""
    kind = line.get("type")
    if kind == "message":
        body = line.get("body") or {}
        calls = [
            f"-> {c['function']['name']} {c['function']['arguments']}" for c in body.get("tool_calls") or ()
        ]
        return "\n".join([f"[{body.get('role')}] {words(body.get('content'))}", *calls])
    if kind in ("notice", "refused", "failed", "left out"):
        return f"[{kind}] {line.get('text') or line.get('reason') or line.get('bytes')}"
    if kind in ("stdout", "stderr"):
        return f"[{kind}] {line.get('text')}"
    return f"[ended] {line.get('how')}: {line.get('why')}" if kind == "ended" else ""


def words(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def compare(asked: argparse.Namespace) -> None:
    chosen = [agent_of(number) for number in asked.agents]
    kinds = sorted({kind for row in chosen for kind in row["kinds"]})
    print("\t".join(["agent", "score", "interval", *kinds, "usd", "seconds", "tokens"]))
    for row in chosen:
        interval = "-" if row["low"] is None else f"{percent(row['low'])}..{percent(row['high'])}"
        each = [percent(row["kinds"].get(kind)) for kind in kinds]
        cost = [f"{row['usd']:.2f}", str(row["seconds"]), str(row["tokens"])]
        print("\t".join([str(row["agent"]), percent(row["score"]), interval, *each, *cost]))


def show(asked: argparse.Namespace) -> None:
    row = agent_of(asked.agent)
    print(f"agent {row['agent']}, child of {row['parents'] or 'nobody'}: {row['subject']}")
    print(f"{row['standing']} {row['reason']}".strip())
    print(f"score {percent(row['score'])} on {row['trials']} trials; {row['verdict']}")
    change = next((c for c in rows("changes.jsonl") if c["agent"] == asked.agent), None)
    if change:
        print(f"\n{change['body']}\n\n{change['diff']}")


def tried(asked: argparse.Namespace) -> None:
    for row in rows("tried.jsonl"):
        if asked.word.lower() in row["subject"].lower():
            print(f"{row['subject']}")
            for number, verdict in zip(row["agents"], row["verdicts"], strict=True):
                print(f"  agent {number}: {verdict}")
    for row in rows("failures.jsonl"):
        if not asked.word:
            print(f"an improvement of agent {row['parent']} left none: {row['ending']}: {row['why']}")


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="query.py", description="Asks the archive; README.md says what is in it."
    )
    each = parser.add_subparsers(dest="question", required=True)
    each.add_parser("agents", help="the table of agents").set_defaults(run=agents)
    for name in ("worst", "best"):
        asked = each.add_parser(name, help=f"the {name} trials")
        asked.add_argument("n", nargs="?", type=int, default=10)
        asked.add_argument("--kind", default="", help="of tasks")
        asked.set_defaults(run=worst)
        asked.add_argument("--agent", type=int)
    for name, run in (("trial", trial), ("trace", trace)):
        asked = each.add_parser(name, help=f"one task's {name}")
        asked.add_argument("task")
        asked.add_argument("--agent", type=int)
        asked.add_argument("--full", action="store_true")
        asked.set_defaults(run=run)
    asked = each.add_parser("compare", help="agents side by side")
    asked.add_argument("agents", nargs="+", type=int)
    asked.set_defaults(run=compare)
    asked = each.add_parser("show", help="one agent")
    asked.add_argument("agent", type=int)
    asked.set_defaults(run=show)
    asked = each.add_parser("tried", help="changes that were tried")
    asked.add_argument("word", nargs="?", default="")
    asked.set_defaults(run=tried)
    given = parser.parse_args(argv)
    try:
        given.run(given)
    except BrokenPipeError:  # whoever reads has seen enough
        sys.stderr.close()


if __name__ == "__main__":
    main(sys.argv[1:])
