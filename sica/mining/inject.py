"""One small bug in code that the repository's own tests cover: find it by what they say, and mend it.

The suite is run once with a tracer, and again in other surroundings: what does not pass each time counts nowhere. Then
bugs are put in, drawn from the operators in turn, and only the tests that ran the line are asked. A bug becomes a task
when a few of them fail, for a reason that they state, each time.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Literal

from sica.benchcheck import known as known_cheats
from sica.errors import UsageError
from sica.mining import buried
from sica.mining.candidates import Candidate, Yield, in_turn, short
from sica.mining.mutants import Edit, edits, hunks, reverts
from sica.mining.packages import Packages
from sica.mining.running import (
    WORKDIR,
    Bench,
    Ran,
    Seen,
    around_all,
    is_module,
    is_source,
    is_test,
    python_path,
    script,
    shown,
    steady,
)
from sica.mining.source import Source
from sica.mining.verdicts import Verdicts
from sica.model import File, Files

MOST_FAILING = 25
SHARE = 0.1
"""Of the suite that may fail: more is no small bug."""
SUITE_SECONDS = 600.0
MUTANT_SECONDS = 60.0
SLOWER, GRACE_SECONDS = 3.0, 1.0
"""How much longer the tests of a bug may take, and what is too short to say."""
MOST_MODULES = 8
"""Of tests, that a task runs."""
ASSERTIONS = frozenset({"AssertionError", "Failed", "ComparisonFailure"})
Statement = Literal["tests", "symptom", "history"]
STATEMENTS: tuple[Statement, ...] = ("tests", "symptom")
"""Of a folder in turn, unless another is asked for."""
Bugs = Literal["one", "two", "reverted"]
BUGS: tuple[Bugs, ...] = ("one", "two", "reverted")
PARTNERS = 12
"""Second bugs that are asked for a first one before it is let be."""


@dataclass(frozen=True, slots=True)
class Base:
    """The suite on the repository as it is."""

    steady: frozenset[str]
    """Tests that passed each time."""
    unsteady: int
    believing: frozenset[str]
    """Tests that pass when every module of the project is replaced by objects that agree with everything."""
    lines: Mapping[str, Mapping[int, Mapping[str, int]]]
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What each test took, without the tracer."""


@dataclass(frozen=True, slots=True)
class Site:
    path: str
    edit: Edit
    cover: Mapping[str, int]
    """Tests that run the line, and how many calls deep."""
    second: Site | None = None
    """Another bug at once, in another function that one of these tests runs, too."""

    @property
    def bugs(self) -> list[Site]:
        return [self, self.second] if self.second else [self]

    @property
    def item(self) -> str:
        return "+".join(each._own for each in self.bugs)

    @property
    def _own(self) -> str:
        e = self.edit
        return f"inject:{self.path}:{e.operator}:{e.start}:{e.end}:{short(e.text.decode('utf-8', 'replace'))}"


def candidates(
    source: Source,
    seed: int,
    most: int,
    tries: int,
    bench: Bench,
    packages: Packages,
    modules: Sequence[str],
    statements: Sequence[Statement],
    known: Verdicts,
    told: Yield,
    passing: Callable[[str], None],
    bugs: Bugs = "one",
    look: int = 500,
) -> Iterator[Candidate]:
    """At most so many, one for a function; after so many bugs that were tried there are no more.

    `reverted` undoes hunks of the newest `look` commits; `two` puts two bugs into one call chain, each of which fails
    tests alone.
    """
    files = workspace(source, packages)
    passing("the tests, as the repository has them")
    base = _base(files, modules, bench, known, passing)
    taken: set[tuple[str, str]] = set()
    made = 0
    pool = buried.pool(files) if "history" in statements else {}

    def judged_once(site: Site) -> str | dict[str, Any]:
        fact: str | dict[str, Any] | None = known.get(site.item)
        if fact is None:
            passing(f"{told.looked} tried, {made} tasks: {site.edit.operator} in {site.path}")
            fact = _verdict(site, files, base, bench)
            known.put(site.item, fact)
        return fact

    singles = list(
        _drawn(_sites(files, base, _undone(source, look) if bugs == "reverted" else None), source, seed)
    )
    for site in _pairs(singles, judged_once, 3 * tries) if bugs == "two" else singles:
        if told.looked == tries:
            return
        if any((each.path, each.edit.function) in taken for each in site.bugs):
            continue
        told.looked += 1
        passing(f"{told.looked} bugs tried, {made} tasks: {site.edit.operator} in {site.path}")
        fact = judged_once(site)
        if isinstance(fact, str):
            told.refuse(fact)
            continue
        statement = statements[made % len(statements)]
        if statement == "history":
            passing(
                f"{told.looked} bugs tried, {made} tasks: a history around {site.edit.operator} in {site.path}"
            )
            candidate = _in_history(source, site, files, fact, packages, bench, known, seed, pool)
        else:
            candidate = _candidate(source, site, files, fact, statement, packages)
        if isinstance(candidate, str):
            told.refuse(candidate)
            continue
        taken.update((each.path, each.edit.function) for each in site.bugs)
        made += 1
        yield candidate
        if made == most:
            return  # before the next pair is looked for


def workspace(source: Source, packages: Packages, commit: str = "") -> dict[str, File]:
    """The files that tests run on: what a build would write is put in."""
    return {**packages.stubs, **(source.files_at(commit) if commit else source.files)}


# ── the suite as it is ────────────────────────────────────────────────────────────────────────────


def test_modules(files: Files, globs: Sequence[str]) -> list[str]:
    """The repository's test modules that match, else all, without those of a glob after "!". UsageError when none."""
    wanted = [glob for glob in globs if not glob.startswith("!")] or ["*"]
    unwanted = [glob[1:] for glob in globs if glob.startswith("!")]
    there = sorted(path for path in files if is_module(path))
    found = [path for path in there if any(fnmatchcase(path, glob) for glob in wanted)]
    found = [path for path in found if not any(fnmatchcase(path, glob) for glob in unwanted)]
    if not found:
        what = (
            f"none of {len(there)} test modules matches {' '.join(map(repr, globs))}"
            if there
            else "no test module"
        )
        raise UsageError(what, "pytest's modules are called test_*.py or *_test.py; --tests GLOB names some")
    return found


def _base(
    files: Files, modules: Sequence[str], bench: Bench, known: Verdicts, passing: Callable[[str], None]
) -> Base:
    fact = known.get("base")
    if fact is None:
        fact = _measured(files, modules, bench, passing)
        known.put("base", fact)
    lines = {name: {int(n): by for n, by in found.items()} for name, found in fact["lines"].items()}
    return Base(
        frozenset(fact["steady"]), fact["unsteady"], frozenset(fact["believing"]), lines, fact["seconds"]
    )


def _measured(
    files: Files, modules: Sequence[str], bench: Bench, passing: Callable[[str], None]
) -> dict[str, Any]:
    """Gate 0. Raises UsageError when a module cannot be collected or no test passes: every bug would survive."""
    watched = sorted(path for path in files if is_source(path))
    first = bench.run(files, modules, watched=watched, seconds=SUITE_SECONDS)
    _must_run(first, modules)
    passing("the tests again, in other surroundings")
    held = around_all(lambda around: bench.run(files, modules, around=around, seconds=SUITE_SECONDS), first)
    passed = sorted(held.always)
    untraced = held.runs[1].tests
    passing("the tests, on code that agrees with everything")
    duped = believing(files, modules, bench)
    fact = {
        "steady": passed,
        "believing": sorted(duped),
        "unsteady": len(held.ever) - len(passed),
        "seconds": {test: seen.seconds for test, seen in untraced.items()},
        "lines": {name: {str(n): by for n, by in found.items()} for name, found in first.lines.items()},
    }
    if not passed:
        ended = next((f": a run of them ended early: {ran.stopped}" for ran in held.runs if ran.stopped), "")
        raise UsageError(
            f"no test passes each time in a box{ended}", "look at why: sica runs them without a network"
        )
    return fact


def believing(files: Files, modules: Sequence[str], bench: Bench) -> frozenset[str]:
    """Tests that pass when all code is objects that agree with everything; tests and their settings are put back."""
    agrees = known_cheats.cheats({f"{WORKDIR}/{path}": file for path, file in files.items()})["agrees"]
    dupes = {path.removeprefix(f"{WORKDIR}/"): file for path, file in agrees.items()}
    dupes |= {path: file for path, file in files.items() if is_test(path)}
    return bench.run(dupes, modules, seconds=SUITE_SECONDS).passed


def _must_run(ran: Ran, modules: Sequence[str]) -> None:
    if ran.stopped:
        raise UsageError(
            f"the tests do not run in a box: {ran.stopped}",
            "--requirements FILE names what they import, --tests '!GLOB' leaves some out",
        )
    if ran.broken:
        raise UsageError(
            f"{len(ran.broken)} of {len(modules)} test modules cannot be collected: "
            f"{', '.join(sorted(ran.broken)[:5])}",
            "--requirements FILE names what they import, --tests '!GLOB' leaves them out",
        )
    if not ran.passed:
        raise UsageError(
            f"of {len(ran.tests)} tests none passes in a box", "sica runs them without a network: look at why"
        )


# ── where bugs could be ───────────────────────────────────────────────────────────────────────────


Undone = Mapping[str, Sequence[tuple[bytes, bytes]]]
"""By path what past commits wrote, and what stood there before."""


def _sites(files: Files, base: Base, undone: Undone | None = None) -> Iterator[Site]:
    for path, lines in sorted(base.lines.items()):
        data = files[path].data
        try:
            data.decode()
            found = edits(data) if undone is None else reverts(data, undone.get(path, ()))
        except (UnicodeDecodeError, SyntaxError, ValueError):
            continue
        for edit in found:
            cover: dict[str, int] = {}
            for line in range(edit.line, edit.line + 1 + data[edit.start : edit.end].rstrip().count(b"\n")):
                for test, depth in lines.get(line, {}).items():
                    if test in base.steady:
                        cover[test] = min(depth, cover.get(test, depth))
                if undone is None:
                    break  # an operator's edit is met where its own line is
            if cover:
                yield Site(path, edit, cover)


def _undone(source: Source, look: int) -> Undone:
    """Single small hunks of source that commits changed, the newest first."""
    found: dict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
    for commit in source.log(look):
        for change in source.changes(commit):
            if is_source(change.path) and change.before and change.after:
                found[change.path] += hunks(change.before.data, change.after.data)
    return found


def _pairs(
    singles: Sequence[Site], verdict: Callable[[Site], str | dict[str, Any]], most: int
) -> Iterator[Site]:
    """Each site with the first later one that it shares a test with, in another function; both fail tests alone.

    After so many single bugs that were asked there are no more.
    """
    good: dict[str, bool] = {}

    def fails(site: Site) -> bool:
        if site.item not in good and len(good) < most:
            good[site.item] = not isinstance(verdict(site), str)
        return good.get(site.item, False)

    for n, first in enumerate(singles):
        partners = [each for each in singles[n + 1 :] if _chained(first, each)]
        if not partners or not fails(first):
            continue
        if second := next((each for each in partners[:PARTNERS] if fails(each)), None):
            yield _joined(first, second)


def _chained(first: Site, second: Site) -> bool:
    """Whether one test meets both, in two functions."""
    apart = (first.path, first.edit.function) != (second.path, second.edit.function)
    return apart and bool(first.cover.keys() & second.cover.keys())


def _joined(first: Site, second: Site) -> Site:
    cover = {
        test: min(each.cover[test] for each in (first, second) if test in each.cover)
        for test in {**first.cover, **second.cover}
    }
    return replace(first, cover=cover, second=second)


def _drawn(sites: Iterator[Site], source: Source, seed: int) -> Iterator[Site]:
    """The operators in turn, in each of them by the site's own dice."""

    def own(site: Site) -> tuple[float, str]:
        return source.dice(seed, f"draw:{site.item}").random(), site.item

    return in_turn(sites, lambda site: site.edit.operator, own)


# ── one bug ───────────────────────────────────────────────────────────────────────────────────────


def _verdict(site: Site, files: Files, base: Base, bench: Bench) -> str | dict[str, Any]:
    """What the tests say of it, or the code of why it is no task."""
    broken = mutated(site, files)
    first = bench.run(broken, sorted(site.cover), seconds=MUTANT_SECONDS)
    if first.late:
        return "TIMEOUT"
    if first.stopped or first.broken:
        return "COLLECTION"
    if _slow(
        sum(seen.seconds for seen in first.tests.values()), [base.seconds.get(t, 0.0) for t in site.cover]
    ):
        return "SLOW"
    failing = frozenset(site.cover) - first.passed
    if code := _refused(failing, first, len(base.steady)):
        return code
    modules = judged(failing, site.cover)
    before = around_all(lambda around: bench.run(broken, modules, around=around, seconds=2 * MUTANT_SECONDS))
    if before.late:
        return "TIMEOUT"
    if before.fallen:
        return "COLLECTION"
    here = {test for test in base.steady if module_of(test) in modules}
    if _broad(len(here - before.ever), len(base.steady)):
        return "TOO_BROAD"
    failing = steady(failing, before.ever, base.steady)
    if not failing:
        return "FLAKY"
    if here <= base.believing:
        return "CHEATABLE"
    loudest = min(
        failing, key=lambda test: (first.tests[test].kind not in ASSERTIONS, site.cover[test], test)
    )
    seen = first.tests[loudest]
    return {
        "failing": sorted(failing),
        "kept": sorted(here & before.always),
        "modules": modules,
        "depth": min(site.cover[test] for test in failing),
        "shown": {"kind": seen.kind, "message": seen.message, "statement": seen.statement},
    }


def mutated(site: Site, files: Files) -> Files:
    """The files with the bugs in them; of two in one file the later goes in first, so that the other's span holds."""
    made = dict(files)
    for each in sorted(site.bugs, key=lambda bug: bug.edit.start, reverse=True):
        own = made[each.path]
        made[each.path] = File(each.edit.applied(own.data), own.executable)
    return made


def _refused(failing: frozenset[str], ran: Ran, suite: int) -> str:
    if not failing:
        return "SURVIVED"
    if _broad(len(failing), suite):
        return "TOO_BROAD"
    if not any(_states(ran.tests.get(test)) for test in failing):
        return "NO_ASSERTION"
    return ""


def _slow(spent: float, base: Sequence[float]) -> bool:
    """Whether the tests tell of a bug by the time that they take, too."""
    return spent > SLOWER * sum(base) + GRACE_SECONDS


def _broad(failing: int, suite: int) -> bool:
    return failing > min(MOST_FAILING, max(1, int(SHARE * suite)))


def _states(seen: Seen | None) -> bool:
    """Whether the test itself says what is wrong, rather than falling over something."""
    return seen is not None and seen.when == "call" and seen.kind in ASSERTIONS


def module_of(test: str) -> str:
    return test.partition("::")[0]


def judged(failing: frozenset[str], cover: Mapping[str, int]) -> list[str]:
    """The modules that a task runs: those that fail, then those that meet the line most."""
    first = sorted({module_of(test) for test in failing})
    count: dict[str, int] = defaultdict(int)
    for test in cover:
        count[module_of(test)] += 1
    more = sorted((m for m in count if m not in first), key=lambda m: (-count[m], m))
    return sorted([*first, *more[: max(0, MOST_MODULES - len(first))]])


# ── the task ──────────────────────────────────────────────────────────────────────────────────────


def _candidate(
    source: Source,
    site: Site,
    files: Files,
    fact: Mapping[str, Any],
    statement: Statement,
    packages: Packages,
) -> Candidate | str:
    answer = {each.path: files[each.path] for each in site.bugs}
    right = {file.data for file in answer.values()}
    if any(file.data in right for path, file in files.items() if path not in answer):
        return "LEAK"
    hidden = sorted({module_of(test) for test in fact["failing"]}) if statement == "symptom" else []
    if hidden and _imported(hidden, files):
        return "HELD"
    name = re.sub(r"[^a-z0-9]+", "-", site.edit.function.lower()).strip("-")[:40]
    broken = mutated(site, files)
    return Candidate(
        item=site.item,
        name=f"inject-{name}-{short(site.item)}",
        level=min(4, _level(fact["depth"], len(fact["failing"]), bool(hidden)) + (site.second is not None)),
        instruction=_instruction(source, fact, statement, len(site.bugs)),
        commit=source.commit,
        answer=answer,
        workspace={path: file for path, file in broken.items() if path not in hidden},
        tests=tests(fact["failing"], fact["kept"], fact["modules"], {path: files[path] for path in hidden}),
        ours=packages.ours(tuple(path for path in files if not is_source(path) and _guards(path))),
        env={"PYTHONPATH": python_path(files), "TZ": "UTC"},
        pins=packages.pins,
        facts={
            "operator": "+".join(each.edit.operator for each in site.bugs),
            "path": site.path,
            "line": _line(site, files),
            "statement": statement,
            "fail_to_pass": len(fact["failing"]),
            "pass_to_pass": len(fact["kept"]),
            "depth": fact["depth"],
            **({"second": f"{site.second.path}:{_line(site.second, files)}"} if site.second else {}),
        },
    )


def _in_history(
    source: Source,
    site: Site,
    files: Files,
    fact: Mapping[str, Any],
    packages: Packages,
    bench: Bench,
    known: Verdicts,
    seed: int,
    pool: buried.Pool,
) -> Candidate | str:
    """The task with its tests, of which none is named, and a history that tells which commit broke them."""
    plain = _candidate(source, site, files, fact, "history", packages)
    dice = source.dice(seed, f"history:{site.item}")
    told = buried.story(files, site.path, site.edit, pool, dice)
    if isinstance(plain, str) or told is None:
        return plain if isinstance(plain, str) else "FEW_CHANGES"
    holds = known.get(f"history:{site.item}")
    if holds is None:
        holds = buried.tells(
            told, bench, frozenset(fact["failing"]), frozenset(fact["kept"]), fact["modules"]
        )
        known.put(f"history:{site.item}", holds)
    if not holds:
        return "NOT_HARMLESS"
    opened = told.opened(dice)
    path, file, ids = buried.stays(told)
    return replace(
        plain,
        level=min(4, 2 + (len(told.steps) > buried.COMMITS[0]) + (len(fact["failing"]) <= 2)),
        instruction=_archaeology(source, next(iter(opened))),
        workspace={**(plain.workspace or {}), **opened},
        tests=tests(fact["failing"], [*fact["kept"], *ids], [*fact["modules"], path], {path: file}),
        env={**plain.env, "PYTHONDONTWRITEBYTECODE": "1"},
        cheats={"back-to-the-tag": told.before},
        facts={**plain.facts, "commits": len(told.steps), "commit": told.at + 1},
    )


def _line(site: Site, files: Files) -> int:
    return files[site.path].data.count(b"\n", 0, site.edit.start) + 1


def _guards(path: str) -> bool:
    """Data of tests; tests themselves and settings of pytest are put back without being told."""
    return is_test(path) and not is_module(path)


def _imported(hidden: Sequence[str], files: Files) -> bool:
    """Whether another test leans on a module that would not be there for the agent."""
    names = {PurePosixPath(path).stem for path in hidden}
    words = re.compile(
        rb"^\s*(from|import)\b.*\b(%s)\b" % "|".join(map(re.escape, names)).encode(), re.MULTILINE
    )
    return any(words.search(f.data) for p, f in files.items() if p.endswith(".py") and p not in hidden)


def tests(failing: Sequence[str], kept: Sequence[str], modules: Sequence[str], hidden: Files) -> Files:
    """What lies below tests/: the script, whose log is read, and modules that the agent does not see."""
    log = {"parser": "pytest", "told": True, "passed": list(failing), "kept": list(kept)}
    return {
        "run.sh": File(script(modules, bool(hidden)), True),
        "log.json": File((json.dumps(log, indent=1) + "\n").encode()),
        **{f"files/{path}": file for path, file in hidden.items()},
    }


def _level(depth: int, failing: int, hidden: bool) -> int:
    """The trace of a deep one does not show the line; few failures tell less; hidden tests tell least."""
    return min(4, 1 + (depth >= 2) + (failing <= 2) + hidden)


def _instruction(source: Source, fact: Mapping[str, Any], statement: Statement, bugs: int) -> str:
    some, them, it = ("One small mistake has", "the mistake", "it") if bugs == 1 else (
        "Two small mistakes have", "both mistakes", "them")  # fmt: skip
    start = (
        f"The current directory holds the source of {source.name}. {some} come into its code,\n"
        "not into its tests. "
    )
    if statement == "tests":
        listed = "\n".join(f"    {test}" for test in fact["failing"])
        return (
            f"{start}These tests fail because of {it}; all others that passed before still do:\n\n{listed}\n\n"
            f"Find {them} and mend {it}, so that these pass and no other fails. Tests are judged as they are now:\n"
            "changes of theirs are undone. `python3 -m pytest -o addopts= PATH` runs some.\n"
        )
    seen = fact["shown"]
    said = f"{seen['kind']}: {seen['message']}" if seen["message"] else seen["kind"]
    body = shown("\n".join(part for part in (seen["statement"], said) if part))
    return (
        f"{start}{'It shows' if bugs == 1 else 'They show'} in this, which held before:\n\n{body}\n\n"
        f"Find {them} and mend {it}. Tests that you do not see are judged,\n"
        "and those that pass now must go on passing.\n"
    )


def _archaeology(source: Source, script: str) -> str:
    return (
        f"The current directory holds the source of {source.name} as the newest commit of a history has it.\n"
        f"`sh {script}` makes the git repository of it here. One commit since the tag `{buried.TAG}` broke something:\n"
        "tests that passed at the tag fail now.\n\n"
        "Find the mistake and mend it; what all other commits wrote must stay. Tests are judged as they are now:\n"
        "changes of theirs are undone, and those that pass now must go on passing.\n"
        "`python3 -m pytest -o addopts= PATH` runs some.\n"
    )
