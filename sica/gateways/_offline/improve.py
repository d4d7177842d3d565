"""Changing an agent's own code: what the failures complained of is matched by word with the constants
of the code.

Nothing here knows an agent. Constants are found by their form, and what they are for is taken from
their names and comments. A change is a mutation: scale a limit, flip a switch, add a tool from a
generic template, or make a random small change of the code. The dice and the list of earlier changes
make siblings differ.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from sica.gateways._offline.hands import Hands, Thought
from sica.gateways._offline.mutants import mutants

_TRIALS, _CHANGES = "/archive/trials.jsonl", "/archive/changes.jsonl"
_OWN_TESTS = "python3 -m unittest discover -s tests -t . 2>&1 | tail -n 4"
_CONSTANT = r"^[A-Z][A-Z_0-9]+ *(:[^=]*)?= *[-0-9TF\"']"
_CAREFUL = 0.6
"""How often the agent's own tests are run before the change is handed in."""
_ATTEMPTS = 2
_DULL = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "by",
        "in",
        "is",
        "it",
        "may",
        "of",
        "on",
        "one",
        "or",
        "that",
        "the",
        "them",
        "there",
        "this",
        "to",
        "when",
        "which",
        "with",
    ]
)

_SUMMARY = r"""
import collections, json, re
rows = [json.loads(line) for line in open({path!r})]
seen = collections.defaultdict(lambda: [0, 0])
for row in rows:
    said = (row.get("said") or "").strip().splitlines()[-1:]
    facts = {{(row["ending"], "end")}} if row["ending"] != "done" else set()
    for part in re.split("; ", said[0] if said else ""):
        key, _, value = part.partition(": ")
        if key == "ended":
            facts.add((value[:60], "end"))
        elif value.isdigit() and int(value) and key != "steps":
            facts.add((key[:60], "met"))
    for fact in facts:
        seen[fact][row["score"] == 1] += 1
lost = sum(row["score"] < 1 for row in rows)
print("trials", len(rows), "lost", lost)
for (fact, how), (bad, good) in sorted(seen.items()):
    print(bad, good, how, fact)
"""
_HISTORY = r"""
import json
rows = [json.loads(line) for line in open({path!r})]
for row in rows[::-1][:24]:
    print(row["verdict"].split(" (")[0], "|", row["subject"][:72])
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """What trials ended with or met: in how many of the lost ones and of the solved ones."""

    text: str
    lost: int
    solved: int
    end: bool
    """It is how trials ended: what stopped an agent says more than what it met on the way."""


@dataclass(frozen=True, slots=True)
class Evidence:
    trials: int
    lost: int
    facts: Sequence[Fact]
    history: Mapping[str, str]
    """Subject -> verdict of earlier changes."""


@dataclass(frozen=True, slots=True)
class Knob:
    """A constant of the code, and what is said about it there."""

    name: str
    value: int | float | bool | str
    start: int
    end: int
    about: str


@dataclass(frozen=True, slots=True)
class Proposal:
    subject: str
    path: str
    old: str
    new: str
    why: str
    expect: str


def improve(hands: Hands, brief: str, dice: Random) -> Thought[str]:
    """Propose a change, try the agent's own tests on it (most times), write down why."""
    evidence = yield from _evidence(hands, brief)
    for _ in range(_ATTEMPTS):
        proposal = yield from _propose(hands, evidence, dice)
        if proposal is None:
            continue
        written, _ = yield from hands.write(proposal.path, proposal.old, proposal.new)
        if not written:
            continue
        if dice.random() < _CAREFUL:
            shown = yield from hands.shell(_OWN_TESTS, "Do the agent's own tests still pass?")
            if "FAILED" in shown:
                yield from _take_back(hands, proposal)
                continue
        note = (
            f"{proposal.subject}\n\nWhy: {proposal.why}\nWhat: {proposal.path}\nExpect: {proposal.expect}\n"
        )
        yield from hands.write("CHANGE.md", "", note)
        return proposal.subject
    return "I found nothing to change."


def _take_back(hands: Hands, proposal: Proposal) -> Thought[None]:
    if proposal.old:
        yield from hands.write(proposal.path, proposal.new, proposal.old)
    else:
        yield from hands.shell(f"rm -f {shlex.quote(proposal.path)}", "That does not work; take it back.")


# ── what is known ────────────────────────────────────────────────────────────────────────────────────


def _evidence(hands: Hands, brief: str) -> Thought[Evidence]:
    shown = yield from _python(hands, _SUMMARY.format(path=_path(brief, _TRIALS)), "Read what went wrong.")
    counts = re.search(r"^trials (\d+) lost (\d+)", shown, re.MULTILINE)
    facts = [
        Fact(m[4], int(m[1]), int(m[2]), m[3] == "end")
        for m in re.finditer(r"^(\d+) (\d+) (end|met) (.+)$", shown, re.MULTILINE)
    ]
    tried = yield from _python(hands, _HISTORY.format(path=_path(brief, _CHANGES)), "Read what was tried.")
    history: dict[str, str] = {}
    for match in re.finditer(r"^([\w ,]+) \| (.+)$", tried, re.MULTILINE):
        history.setdefault(match[2].strip(), match[1])
    trials, lost = (int(counts[1]), int(counts[2])) if counts else (0, 0)
    return Evidence(trials, lost, facts, history)


def _python(hands: Hands, program: str, why: str) -> Thought[str]:
    return (yield from hands.shell(f"python3 -c {shlex.quote(program.strip())}", why))


def _path(brief: str, usual: str) -> str:
    """Where the brief says the file is."""
    name = re.escape(usual.rpartition("/")[2])
    found = re.search(rf"(/[\w./-]*{name})", brief)
    return found[1] if found else usual


# ── what to change ───────────────────────────────────────────────────────────────────────────────────


def _propose(hands: Hands, evidence: Evidence, dice: Random) -> Thought[Proposal | None]:
    chance = dice.random()
    if chance < 0.14 and not hands.can("replace"):
        return (yield from _tool(hands, evidence))
    if chance < 0.30:
        return (yield from _noise(hands, evidence, dice))
    return (yield from _turn_a_knob(hands, evidence, dice, directed=chance < 0.88))


def _turn_a_knob(
    hands: Hands, evidence: Evidence, dice: Random, *, directed: bool
) -> Thought[Proposal | None]:
    path, text = yield from _most(hands, _CONSTANT)
    chosen = _draw(_choices(text, evidence, directed), dice) if directed else None
    chosen = chosen or _draw(_choices(text, evidence, False), dice)  # nothing is complained of: an experiment
    if chosen is None:
        return None
    _, knob, subject, new, fact = chosen
    changed = text[: knob.start] + new + text[knob.end :]
    why = _because(fact, evidence) if fact else f"no trial points to {knob.name}; this is an experiment."
    expect = f"fewer trials with '{fact.text}'." if fact else "a difference, or to learn that there is none."
    return Proposal(subject, path, text, changed, why, expect)


def _choices(
    text: str, evidence: Evidence, directed: bool
) -> list[tuple[float, Knob, str, str, Fact | None]]:
    """(weight, constant, subject, new source, what was complained of) of every turn of every constant."""
    choices: list[tuple[float, Knob, str, str, Fact | None]] = []
    for knob in _knobs(text):
        fact, fit = _complaint(knob, evidence)
        for subject, new, weight in _turns(knob):
            # Squared: the complaint that fits best is mostly, not always, the one that is followed.
            matters = weight * (fit**2 if directed else 1.0) * _untried(subject, evidence)
            choices.append((matters, knob, subject, new, fact if directed else None))
    return choices


def _draw(
    choices: Sequence[tuple[float, Knob, str, str, Fact | None]], dice: Random
) -> tuple[float, Knob, str, str, Fact | None] | None:
    weights = [c[0] for c in choices]
    return dice.choices(choices, weights)[0] if sum(weights) > 0 else None


def _because(fact: Fact, evidence: Evidence) -> str:
    solved = evidence.trials - evidence.lost
    lost = f"{fact.lost} of the {evidence.lost} lost trials"
    return f"'{fact.text}' in {lost} and in {fact.solved} of the {solved} solved."


def _most(hands: Hands, pattern: str) -> Thought[tuple[str, str]]:
    """The file outside the tests with the most lines of this form, and its text if shown whole."""
    command = f"grep -rcE --include='*.py' {shlex.quote(pattern)} . | grep -v ':0$'"
    shown = yield from hands.shell(command, "Where are the limits and switches?")
    counts = [(int(m[2]), m[1]) for m in re.finditer(r"^\./(.+\.py):(\d+)$", shown, re.MULTILINE)]
    counts = [(n, path) for n, path in counts if "test" not in path]
    if not counts:
        return "", ""
    path = max(counts)[1]
    page = yield from hands.read(path)
    return path, page.text if page.whole else ""


def _knobs(text: str) -> list[Knob]:
    """Constants at the top level that hold a number, a truth value or a word."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    lines = text.splitlines()
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        target, value = node.targets[0], node.value.value
        if isinstance(target, ast.Name) and target.id.isupper() and isinstance(value, int | float | str):
            start = starts[node.lineno - 1] + node.value.col_offset
            end = starts[node.lineno - 1] + (node.value.end_col_offset or 0)
            found.append(Knob(target.id, value, start, end, _about(lines, node.lineno - 1)))
    return found


def _about(lines: Sequence[str], n: int) -> str:
    """The comment above and behind a line."""
    above = n
    while above and lines[above - 1].startswith("#"):
        above -= 1
    return " ".join([*lines[above:n], lines[n].partition("#")[2]])


def _turns(knob: Knob) -> list[tuple[str, str, float]]:
    """(subject, new source, weight): more is tried more often than less."""
    value = knob.value
    if isinstance(value, bool):
        return [(f"Turn {knob.name} {'off' if value else 'on'}", str(not value), 1.0)]
    if isinstance(value, str):
        listed = re.search(r"[:\s]((?:[\w-]+ \| )+[\w-]+)", knob.about)
        others = [w for w in listed[1].split(" | ") if w != value] if listed else []
        return [(f"Set {knob.name} to {w}", f'"{w}"', 1.0) for w in others]
    turns = []
    for factor, weight in ((2, 1.0), (4, 0.6), (0.5, 0.25)):
        scaled = value * factor
        new = max(1, round(scaled)) if isinstance(value, int) else scaled
        if new != value:
            verb = "Raise" if new > value else "Lower"
            turns.append((f"{verb} {knob.name} from {value} to {new}", str(new), weight))
    return turns


def _complaint(knob: Knob, evidence: Evidence) -> tuple[Fact | None, float]:
    """The fact that speaks most of this constant, and how much it matters."""
    name, about = _words(knob.name.replace("_", " ")), _words(knob.about)
    best: tuple[Fact | None, float] = (None, 0.0)
    for fact in evidence.facts:
        words = _words(fact.text)
        fit = (2 * len(words & name) + len(words & about)) / (2 * max(1, len(words)))
        weight = fit * (fact.lost + 0.2) / (fact.solved + 1.5) * (2 if fact.end else 1)
        if weight > best[1]:
            best = (fact, weight)
    return best


def _words(text: str) -> frozenset[str]:
    """Words by their stems, roughly: plural and past forms fall together."""
    words = re.findall(r"[a-z]{3,}", text.lower())
    return frozenset(re.sub(r"(?:ing|ed|s)$", "", w) for w in words if w not in _DULL)


def _untried(subject: str, evidence: Evidence) -> float:
    """Never the same change twice, less of what did not help, and not what a sibling is trying right now."""
    if subject in evidence.history:
        return 0.0
    verb, name = subject.split(" ")[:2]
    weight = 1.0
    for earlier, verdict in evidence.history.items():
        way, what = [*earlier.split(" "), "", ""][:2]
        if what == name and verdict in ("pending", "no difference"):
            weight *= 0.3
        elif (way, what) == (verb, name) and verdict in ("hurt", "rejected"):
            weight *= 0.1
    return weight


# ── other mutations ──────────────────────────────────────────────────────────────────────────────────


def _noise(hands: Hands, evidence: Evidence, dice: Random) -> Thought[Proposal | None]:
    """A random small change somewhere in the code: most do nothing or break something, as mutations do."""
    shown = yield from hands.shell("grep -rlE --include='*.py' '^def |^class ' .", "Which files hold code?")
    paths = [m[1] for m in re.finditer(r"^\./(.+\.py)$", shown, re.MULTILINE) if "test" not in m[1]]
    if not paths:
        return None
    path = dice.choice(paths)
    page = yield from hands.read(path)
    options = mutants(page.text) if page.whole else []
    if not options:
        return None
    mutant = dice.choice(options)
    new = mutant.apply(page.text)
    was, now = page.text[mutant.start : mutant.end].strip(), mutant.new.strip()
    subject = f"Try {_short(now)} instead of {_short(was)} in {mutant.function}"
    if subject in evidence.history:
        return None
    return Proposal(
        subject, path, page.text, new, "a random small change, to learn what matters.", "perhaps nothing."
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 24 else line[:23] + "…"


_REPLACE = '''"""replace: change one piece of a file."""

from pathlib import Path

{variable} = {{
    "name": "replace",
    "description": "Replace `old`, which must stand in the file exactly once, by `new`.",
    "parameters": {{
        "type": "object",
        "properties": {{name: {{"type": "string"}} for name in ("path", "old", "new")}},
        "required": ["path", "old", "new"],
    }},
}}


def {function}({parameters}):
    path, old, new = Path({first}["path"]), {first}["old"], {first}["new"]
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    if text.count(old) != 1:
        return f"error: the old text stands {{text.count(old)}} times in {{path}}, not once"
    path.write_bytes(text.replace(old, new).encode("utf-8", "surrogateescape"))
    return f"replaced in {{path}}"
'''


def _tool(hands: Hands, evidence: Evidence) -> Thought[Proposal | None]:
    """A tool that replaces one piece of a file, in the form of the agent's own tool that writes files."""
    subject = "Add a tool that replaces one piece of a file"
    if evidence.history.get(subject, "helped") != "helped" or not hands.can("write"):
        return None
    name = str(hands.roles["write"]["name"])
    quoted = shlex.quote(rf"[\"']{name}[\"']")
    shown = yield from hands.shell(f"grep -rlE --include='*.py' {quoted} .", "Where do the tools live?")
    own = [m[1] for m in re.finditer(r"^\./(.+\.py)$", shown, re.MULTILINE) if m[1].endswith(f"/{name}.py")]
    if not own:
        return None
    page = yield from hands.read(own[0])
    code = _like(page.text) if page.whole else ""
    fact = next((f for f in evidence.facts if "cut" in f.text and "answer" in f.text), None)
    why = _because(fact, evidence) if fact else "writing a whole file for a small change takes long answers."
    path = own[0].rpartition("/")[0] + "/replace.py"
    return Proposal(subject, path, "", code, why, "fewer answers cut off in long files.") if code else None


def _like(example: str) -> str:
    """The new tool's code, with the names that the example uses."""
    try:
        tree = ast.parse(example)
    except SyntaxError:
        return ""
    variables = [
        n.targets[0].id
        for n in tree.body
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Dict) and isinstance(n.targets[0], ast.Name)
    ]
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.args.args]
    if len(variables) != 1 or len(functions) != 1:
        return ""
    arguments = [a.arg for a in functions[0].args.args]
    return _REPLACE.format(
        variable=variables[0], function=functions[0].name, parameters=", ".join(arguments), first=arguments[0]
    )
