"""One commit that changed code and tests: make the change again. Its own tests judge.

Three trees: Z is the parent, A is Z with the commit's tests, B is A with all else. What passes in B and not in A is to
be made to pass; what passes in both is to be kept. A hidden task starts from Z, one whose tests are shown from A.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from sica.mining.candidates import Candidate, Yield, in_turn, short
from sica.mining.inject import MUTANT_SECONDS, believing, module_of, tests
from sica.mining.locate import leaning
from sica.mining.packages import Packages
from sica.mining.running import (
    PLAIN,
    Around,
    Bench,
    Ran,
    around_all,
    is_module,
    is_source,
    is_test,
    python_path,
    shown,
    steady,
)
from sica.mining.source import Source, texts
from sica.mining.strength import Strength, measured
from sica.mining.untold import untold
from sica.mining.verdicts import Verdicts
from sica.mining.work import Work
from sica.model import Files

if TYPE_CHECKING:
    from dulwich.objects import Commit

LEAST_LINES, MOST_LINES, MOST_FILES = 2, 150, 6
"""Of source that a commit changed."""
MOST_FAILING = 50
MOST_OTHERS, MOST_OTHER_TESTS, OTHERS_SECONDS = 4, 50, 20.0
"""Of test modules beside the changed ones, and what they may take together."""
SINGLE_REFERENCE = 0.5
"""Weight of a task of which one solution is known to pass: its tests may ask for what that one happens to do."""
SETTINGS = frozenset(
    (
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "tox.ini",
        "pytest.ini",
        ".pytest.ini",
        "noxfile.py",
        "uv.lock",
    )
)
_REQUIREMENTS = re.compile(r"(^|/)(requirements[^/]*\.txt|requirements/[^/]+|poetry\.lock|Pipfile(\.lock)?)$")
_LOG = re.compile(
    r"(^|/)(changes|changelog|news|history|newsfragments|changelog\.d)(\.(md|rst|txt)$|/|$)", re.IGNORECASE
)
_ENTRY = re.compile(r"[-*#]|\.\. |\d+\. ")
_HEADING = re.compile(r"#|[-=~]{3,}$")
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]+-by: |\(cherry picked |\* )", re.MULTILINE)
_PULL = re.compile(r"Merge pull request #(\d+) from \S+|Merged? .*#(\d+)|.*\(#(\d+)\)$")
_LINKED = re.compile(r"#(\d+)\b")
Tier = Literal["A", "B", "C", "D"]
Issues = Mapping[int, str]
"""What people wrote, by the number of an issue or pull request; nothing is fetched."""


Environments = Callable[[Files], Packages]


def candidates(
    source: Source,
    seed: int,
    most: int,
    look: int,
    tries: int,
    bench: Callable[[Packages], Bench],
    environments: Environments,
    known: Verdicts,
    told: Yield,
    passing: Callable[[str], None],
    pulls: bool = False,
    issues: Issues = MappingProxyType({}),
) -> Iterator[Candidate]:
    """At most so many, drawn from the newest `look` commits, the levels in turn; so many are tried in boxes.

    With `pulls`, of whole pull requests: merges, told from their first parent, and commits that one was squashed to.
    """
    works: list[Work] = []
    for commit in source.trunk(look) if pulls else source.log(look):
        told.looked += 1
        passing(f"{told.looked} commits looked at, {len(works)} could be")
        work = _work(source, commit) if not pulls or _is_pull(commit) else "NO_PULL"
        if isinstance(work, str):
            told.refuse(work)
        else:
            works.append(work)
    made = tried = 0
    for work in _drawn(works, source, seed):
        if made == most or tried == tries:
            told.reasons["NOT_DRAWN"] = len(works) - tried
            return
        tried += 1
        at = f"{tried} of {len(works)} commits tried, {made} tasks: {work.commit.id.decode()[:10]}"
        passing(at)
        packages = environments(work.before)
        fact = known.get(work.item)
        if fact is None:
            fact = _verdict(work, packages, bench)
            known.put(work.item, fact)
        candidate = fact if isinstance(fact, str) else _candidate(source, work, fact, packages, issues)
        if isinstance(candidate, str):
            told.refuse(candidate)
            continue
        made += 1
        passing(f"{at}, bugs put into what it wrote")
        yield _weighed(candidate, _strength(work, fact, packages, bench, known))


def _drawn(works: Sequence[Work], source: Source, seed: int) -> Iterator[Work]:
    """The levels in turn, in each of them by the commit's own dice."""

    def own(work: Work) -> tuple[float, str]:
        return source.dice(seed, f"draw:{work.item}").random(), work.item

    return in_turn(works, lambda work: work.level, own)


# ── what a commit did ─────────────────────────────────────────────────────────────────────────────


def _work(source: Source, commit: Commit) -> Work | str:
    """The commit, or the code of why it is no task; nothing is run."""
    changes = source.changes(commit)
    paths = [change.path for change in changes]
    if b"[bot]" in commit.author or b"bot@" in commit.author:
        return "BOT"
    if not any(is_source(path) for path in paths) or not any(is_module(path) for path in paths):
        return "NO_TESTS"
    if any(PurePosixPath(path).name in SETTINGS or _REQUIREMENTS.search(path) for path in paths):
        return "DEPENDENCIES"
    ours = [change for change in changes if is_source(change.path)]
    try:
        sides = [
            [(each.data.decode() if each else "") for each in (change.before, change.after)]
            for change in ours
        ]
        lines = sum(_changed(old, new) for old, new in sides)
        trivial = all(_tree(old) == _tree(new) for old, new in sides)
    except (UnicodeDecodeError, SyntaxError, ValueError):
        return "UNPARSED"
    if len(ours) > MOST_FILES or not LEAST_LINES <= lines <= MOST_LINES:
        return "SIZE"
    if trivial:
        return "TRIVIAL"
    before, after = source.files_at(commit.parents[0].decode()), source.files_at(commit.id.decode())
    there = [path for path in paths if path in before or path in after]
    work = Work(
        commit, before, after, [p for p in there if is_test(p)], [p for p in there if not is_test(p)], lines
    )
    if not work.modules or not work.source:
        return "NOT_CHOSEN"
    known = {file.data for file in work.shown.values()}
    if any(work.after[p].data in known for p in work.source if p in work.after and work.after[p].data):
        return "LEAK"
    return work


def _changed(old: str, new: str) -> int:
    codes = SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False).get_opcodes()
    return sum(b - a + d - c for tag, a, b, c, d in codes if tag != "equal")


def _tree(text: str) -> str:
    """What of a module is more than layout, comments and the text of docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None
    return ast.dump(tree)


# ── in boxes ──────────────────────────────────────────────────────────────────────────────────────


def _verdict(work: Work, packages: Packages, benched: Callable[[Packages], Bench]) -> str | dict[str, Any]:
    bench, others = benched(packages), beside(work)
    trees = {name: {**packages.stubs, **files} for name, files in _trees(work).items()}

    def run(tree: str, around: Around = PLAIN) -> Ran:
        there = [module for module in (*work.modules, *others) if module in trees[tree]]
        return bench.run(trees[tree], there, around=around, seconds=MUTANT_SECONDS) if there else Ran({}, ())

    gold = run("B")
    if others and (gold.late or _seconds(gold, others) > OTHERS_SECONDS):
        others = []
        gold = run("B")
    start = run("A")
    if code := _refused(work, gold, start):
        return code
    after = around_all(lambda around: run("B", around), gold)
    if after.late:
        return "TIMEOUT"
    if (run("Z").passed & gold.tests.keys()) - after.ever:
        return "GOLD_BREAKS"
    before = around_all(lambda around: run("A", around), start)
    if before.late:
        return "TIMEOUT"
    failing = steady(_failing(work, gold, start), before.ever, after.always)
    if not failing:
        return "FLAKY"
    held = after.always & before.always
    elsewhere = _drawn_first(work, _of(held, others), MOST_OTHER_TESTS)
    kept = {*_of(held, work.modules), *elsewhere}
    modules = [*work.modules, *(each for each in others if _of(kept, [each]))]
    if failing | kept <= believing(trees["B"], modules, bench):
        return "CHEATABLE"
    said = [start.tests[id] for id in sorted(failing) if id in start.tests][:3]
    return {
        "failing": sorted(failing),
        "kept": sorted(kept),
        "elsewhere": len(elsewhere),
        "modules": modules,
        "said": [[seen.statement, seen.kind, seen.message] for seen in said],
    }


def _failing(work: Work, gold: Ran, start: Ran) -> frozenset[str]:
    return _of(gold.passed - start.passed, work.modules)


def _refused(work: Work, gold: Ran, start: Ran) -> str:
    if gold.late or start.late:
        return "TIMEOUT"
    if not _of(gold.passed, work.modules):
        return "GOLD_ENV_BROKEN"
    failing = _failing(work, gold, start)
    if not failing:
        return "NO_F2P"
    all_broken = {*work.modules} <= {*start.broken}
    return "TOO_BROAD" if all_broken and len(failing) > MOST_FAILING else ""


def beside(work: Work) -> list[str]:
    """Test modules that the commit left as they are and that lean on what it changed: a few, drawn by its own hash."""
    there = texts({path: file for path, file in work.after.items() if is_module(path) or is_source(path)})
    found = [path for path in leaning(there, work.source) if is_module(path) and path not in work.tests]
    return _drawn_first(work, found, MOST_OTHERS)


def _drawn_first(work: Work, items: Iterable[str], most: int) -> list[str]:
    return sorted(sorted(items, key=lambda item: short(f"{work.item}:{item}"))[:most])


def _of(tests: Iterable[str], modules: Sequence[str]) -> frozenset[str]:
    return frozenset(test for test in tests if module_of(test) in modules)


def _seconds(ran: Ran, modules: Sequence[str]) -> float:
    return sum(seen.seconds for test, seen in ran.tests.items() if module_of(test) in modules)


def _strength(
    work: Work,
    fact: Mapping[str, Any],
    packages: Packages,
    benched: Callable[[Packages], Bench],
    known: Verdicts,
) -> Strength:
    name = f"strength:{work.item}"
    if (found := known.get(name)) is None:
        counted = {*fact["failing"], *fact["kept"]}
        strength = measured(work, packages.stubs, fact["modules"], counted, benched(packages))
        found = [strength.tried, strength.noticed]
        known.put(name, found)
    return Strength(*found)


def _weighed(candidate: Candidate, strength: Strength) -> Candidate:
    weight = round(SINGLE_REFERENCE * strength.weight, 2)
    share = {} if strength.share is None else {"strength": strength.share}
    return replace(
        candidate,
        ours={**candidate.ours, "references": 1, "weight": weight, **share},
        facts={
            **candidate.facts,
            "references": 1,
            "mutants": strength.tried,
            "killed": strength.noticed,
            "weight": weight,
        },
    )


def _trees(work: Work) -> Mapping[str, Files]:
    return {"Z": work.before, "A": work.shown, "B": work.after}


# ── the task ──────────────────────────────────────────────────────────────────────────────────────


def _candidate(
    source: Source, work: Work, fact: Mapping[str, Any], packages: Packages, issues: Issues
) -> Candidate | str:
    tier, words = statement(work, issues)
    told = _told(source, tier, words, fact)
    workspace = {**packages.stubs, **(work.shown if tier == "D" else work.before)}
    if quotes_answer(work, words) or shows_answer(work, workspace):
        return "LEAK"
    more = untold(work, told, shown=tier == "D")
    if more is None:
        return "UNDERSPECIFIED"
    hidden = {} if tier == "D" else {path: work.after[path] for path in work.tests if path in work.after}
    sha = work.commit.id.decode()
    subject = re.sub(r"[^a-z0-9]+", "-", _said(work)[0].lower()).strip("-")[:40].strip("-")
    return Candidate(
        item=work.item,
        name=f"mine-{subject or 'change'}-{short(work.item)}",
        level=work.level,
        instruction=told + more.words,
        commit=work.commit.parents[0].decode(),
        answer={path: work.after[path] for path in work.others if path in work.after},
        gone=[path for path in work.others if path not in work.after],
        workspace=workspace,
        tests=tests(fact["failing"], fact["kept"], fact["modules"], hidden),
        ours=packages.ours([path for path in workspace if is_test(path) and not is_module(path)]),
        env={"PYTHONPATH": python_path(workspace), "TZ": "UTC"},
        pins=packages.pins,
        facts={
            "of": sha,
            "tier": tier,
            "fail_to_pass": len(fact["failing"]),
            "pass_to_pass": len(fact["kept"]),
            "elsewhere": fact["elsewhere"],
            "source_lines": work.size,
            "source_files": len(work.source),
            "interface": bool(more.signatures),
            "values": len(more.values),
        },
    )


def _message(commit: Commit) -> str:
    message: bytes = commit.message
    return message.decode("utf-8", "replace").strip()


def _is_pull(commit: Commit) -> bool:
    """A merge of a branch, or what a pull request was squashed to."""
    first = _message(commit).partition("\n")[0]
    return len(commit.parents) == 2 or (len(commit.parents) == 1 and _PULL.fullmatch(first) is not None)


def _said(work: Work) -> tuple[str, str]:
    """Subject and body; of a merged pull request its title, since the first line names a branch alone."""
    subject, _, body = _message(work.commit).partition("\n")
    if len(work.commit.parents) == 2 and subject.startswith("Merge") and body.strip():
        subject, _, body = body.strip().partition("\n")
    return subject.strip(), body


def read_issues(data: bytes) -> Issues:
    """A list of objects with number, title and body, as an export of issues has them. ValueError when it is none."""
    found = json.loads(data)
    if not isinstance(found, list):
        raise ValueError("a list of issues is wanted")
    known = {}
    for entry in found:
        match entry:
            case {"number": int() as number, "title": str() as title}:
                known[number] = f"{title}\n\n{entry.get('body') or ''}".strip()
            case _:
                raise ValueError(f"no issue with number and title: {json.dumps(entry)[:80]}")
    return known


def statement(work: Work, issues: Issues = MappingProxyType({})) -> tuple[Tier, str]:
    """The issue it names, if that is known; else the best that the commit says of itself: its body, its line of the
    changelog, or its subject alone.
    """
    linked = _LINKED.findall(_message(work.commit))
    if words := "\n\n".join(issues[n] for n in sorted({int(n) for n in linked}) if issues.get(n)):
        return "A", words
    subject, body = _said(work)
    body = _TRAILER.split(body)[0].strip()
    if len(re.findall(r"[.!?](?=\s|$)", body)) >= 2:
        return "B", f"{subject}\n\n{body}"
    entries = "\n\n".join(
        entry for path in work.others if _LOG.search(path) for entry in _entries(work, path)
    )
    if len(entries.split()) >= 6:
        return "C", f"{subject}\n\n{entries}"
    return "D", subject


def _entries(work: Work, path: str) -> list[str]:
    """Whole entries of a changelog that have a new line: one that was continued says nothing without its start."""
    lines = work.lines(path)
    starts = [n for n, line in enumerate(lines) if n == 0 or _ENTRY.match(line)] + [len(lines)]
    new = {n for n in work.new(path) if lines[n].strip() and not _HEADING.match(lines[n])}
    found = [lines[a:b] for a, b in pairwise(starts) if new & {*range(a, b)}]
    return ["\n".join(entry).strip() for entry in found]


def _told(source: Source, tier: Tier, words: str, fact: Mapping[str, Any]) -> str:
    start = f"The current directory holds the source of {source.name}. Make this change to it:\n\n{shown(words)}\n\n"
    if tier != "D":
        return (
            f"{start}Tests that you do not see are judged. What works now, and is not what this changes,\n"
            "must go on working.\n"
        )
    listed = "\n".join(f"    {test}" for test in fact["failing"])
    said = "\n\n".join(
        shown("\n".join(filter(None, (s, f"{k}: {m}" if k else m)))) for s, k, m in fact["said"]
    )
    return (
        f"{start}These tests are there already and fail without it:\n\n{listed}\n\n"
        f"{f'Some of them say:{chr(10)}{chr(10)}{said}{chr(10)}{chr(10)}' if said else ''}"
        "Make them pass, and no other fail. Tests are judged as they are now: changes of theirs are undone.\n"
        "`python3 -m pytest -o addopts= PATH` runs some.\n"
    )


def quotes_answer(work: Work, words: str) -> bool:
    """Whether what people wrote holds a whole line of code that the change wrote: an issue may bring its own fix."""
    return any(line in words for line in work.code())


def shows_answer(work: Work, workspace: Files) -> bool:
    """Whether the workspace holds a line of code that the change wrote and that was nowhere before.

    What stands anywhere in Z is fair: whoever made the change had it, too. So it is tests that are shown which can
    hold one, as a copy of a function or as data.
    """
    came = [file.data for path, file in workspace.items() if file != work.before.get(path)]
    shown = [line for line in map(str.encode, work.code()) if any(line in data for data in came)]
    return any(not any(line in file.data for file in work.before.values()) for line in shown)
