"""The agent: ask the model, do what it calls for, show it the result, until it submits or a limit is
reached.
"""

import json
from collections import Counter

from seed import model, settings, tools

SYSTEM = """You are a careful programmer. You work in the current directory with the tools you are given.
Look before you change anything, run the tests if there are any, and call submit when the task is done."""

SUBMITTED, FINISHED = "submitted", "finished without submitting"
STEP_LIMIT, BUDGET = "step limit reached", "budget exhausted"
ORDERLY = (SUBMITTED, FINISHED, STEP_LIMIT, BUDGET)
"""Endings in which the agent did what it should; every other one is an error and makes the exit code 1."""


def work(instruction, door):
    """Do the task. Returns how it ended and a Counter of what got in the way."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": instruction}]
    facts = Counter()
    malformed_in_a_row = 0
    while facts["steps"] < settings.MAX_STEPS:
        try:
            answer = door.ask(messages, tools.schemas(), facts)
        except model.BudgetExhausted:
            return BUDGET, facts
        except model.Unreachable as error:
            return f"model failed ({error})", facts
        facts["steps"] += 1
        messages.append(answer)
        calls = answer.get("tool_calls") or []
        if not calls:
            return FINISHED, facts
        before = facts["malformed calls"]
        for number, call in enumerate(calls):
            name, result = (
                obey(call, facts)
                if number < settings.CALLS_PER_ANSWER
                else ("", "not run: one call at a time")
            )
            messages.append({"role": "tool", "tool_call_id": call.get("id", ""), "content": result})
            if name == "submit":
                return SUBMITTED, facts
        malformed_in_a_row = malformed_in_a_row + 1 if facts["malformed calls"] > before else 0
        if malformed_in_a_row >= settings.MALFORMED_ALLOWED:
            return "too many malformed calls", facts
    return STEP_LIMIT, facts


def obey(call, facts):
    """The tool's name ("" when the call was malformed) and the result that the model is shown."""
    function = call.get("function") or {}
    name = function.get("name", "")
    try:
        arguments = json.loads(function.get("arguments") or "{}")
        text = tools.run(name, arguments, facts)
    except (ValueError, TypeError, KeyError) as error:
        facts["malformed calls"] += 1
        return "", f"error: malformed call of {name!r}: {error}"
    except OSError as error:
        return name, f"error: {error}"
    return name, text


def last_line(ending, facts):
    counted = "; ".join(
        f"{what}: {facts[what]}"
        for what in (
            "steps",
            "outputs cut",
            "answers cut",
            "commands timed out",
            "malformed calls",
            "requests repeated",
        )
    )
    return f"ended: {ending}; {counted}"
