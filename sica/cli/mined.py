"""`sica bench locate`, `edits`, `inject` and `mine`: tasks from a repository that people have."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation

if TYPE_CHECKING:
    from sica.mining.candidates import Candidate, Yield
    from sica.mining.inject import Statement
    from sica.mining.packages import Packages
    from sica.mining.running import Bench
    from sica.mining.source import Source
    from sica.mining.verdicts import Verdicts
    from sica.model import Files
    from sica.ports import Sandbox
    from sica.wheels import Python

REPO = typer.Argument(..., help="A git repository on this machine.", exists=False)
TO = typer.Option(..., "--to", help="A new folder for the tasks.")
REV = typer.Option("HEAD", "--rev", help="Its revision.")
SEED = typer.Option(0, "--seed", help="Another seed draws other tasks.")
MOST = typer.Option(40, "--max", min=1, help="Tasks at most; the levels are taken in turn.")
ONLY = typer.Option([], "--only", help="Only paths that match this glob, such as 'src/*'; may be repeated.")
HELDOUT = typer.Option(
    0.0, "--heldout", min=0, max=1, help="Share of the tasks that is held out; each task's own hash decides."
)
JSON = typer.Option(False, "--json", help="One object.")

LOCATE_EXAMPLES = ("sica bench locate . --to tasks/where", "sica bench check tasks/where")
TESTS = typer.Option(
    [], "--tests", help="Only test modules that match this glob, or not those of '!GLOB'; may be repeated."
)
REQUIREMENTS = typer.Option(
    None, "--requirements", help="A file of what the tests need, instead of the repository's own settings."
)
ENV = typer.Option(
    None, "--env", help="A ready folder of packages (pip install --target DIR), instead of that."
)
SANDBOX = typer.Option(
    None, "--sandbox", help="auto, bubblewrap or docker.", autocompletion=completion.sandboxes
)

INJECT_EXAMPLES = (
    "sica bench inject ../click --to tasks/click-bugs --max 20",
    "sica bench inject . --to tasks/fixes --bugs reverted --look 1000",
    "sica bench inject . --to tasks/bugs --only 'src/*' --only 'tests/*' --statement symptom",
)
MINE_EXAMPLES = (
    "sica bench mine ../click --to tasks/click-changes --max 20 --look 300",
    "sica bench mine . --to tasks/changes --requirements tests/requirements.txt --heldout 0.3",
    "sica bench mine . --to tasks/pulls --pulls --issues issues.json",
)
EDITS_EXAMPLES = ("sica bench edits ../click --rev 8.1.7 --to tasks/click-edits",)


def locate(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    heldout: float = HELDOUT,
    as_json: bool = JSON,
) -> None:
    """Make tasks from a Python repository: where is the thing defined that this line uses?

    The same repository, revision and seed give the same tasks, byte for byte. Nothing of the repository is run.
    """
    how = {"kind": "locate", "seed": seed, "max": most, "heldout": heldout}
    make(ctx.obj, repo, rev, only, to, how, as_json)


def edits(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    heldout: float = HELDOUT,
    look: int = typer.Option(2000, "--look", min=1, help="Commits to look at, newest first."),
    as_json: bool = JSON,
) -> None:
    """Make tasks from a repository's history: make the edits that one commit made to one file.

    The same repository, revision and seed give the same tasks, byte for byte. Nothing of the repository is run.
    """
    how = {"kind": "edit", "seed": seed, "max": most, "look": look, "heldout": heldout}
    make(ctx.obj, repo, rev, only, to, how, as_json)


def inject(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    heldout: float = HELDOUT,
    tries: int = typer.Option(
        None, "--tries", min=1, help="Bugs to try at most.", show_default="four for each task"
    ),
    statement: str = typer.Option(
        "both",
        "--statement",
        help="tests: the failing tests are named. symptom: they are hidden. both: these in turn. "
        "history: nothing is told, and a commit of a made-up history brought the bug.",
    ),
    bugs: str = typer.Option(
        "one",
        "--bugs",
        help="one: a small edit. two: two of them in one call chain. reverted: a hunk of a past commit is undone.",
    ),
    look: int = typer.Option(500, "--look", min=1, help="Commits whose hunks may be undone, newest first."),
    tests: list[str] = TESTS,
    requirements: Path = REQUIREMENTS,
    env: Path = ENV,
    sandbox: str = SANDBOX,
    as_json: bool = JSON,
) -> None:
    """Make tasks from a Python repository: mend one small bug that was put into code that its tests cover.

    Its tests run in boxes without a network, many times. A run that is stopped goes on where it was when the same
    command is given again; what it knows lies beside the folder until that is written.
    """
    from sica.errors import UsageError, no_such
    from sica.mining.inject import BUGS

    if statement not in (known := _statements()):
        raise no_such("statement", statement, [*known])
    if bugs not in BUGS:
        raise no_such("kind of bugs", bugs, [*BUGS])
    if (statement, bugs) == ("history", "two"):
        raise UsageError("--statement history: one commit brings one bug", "--bugs one, or --bugs reverted")
    how = {"kind": "inject", "seed": seed, "max": most, "tries": tries or 4 * most, "statement": statement,
           "heldout": heldout, "tests": tests,
           **({"bugs": bugs} if bugs != "one" else {}), **({"look": look} if bugs == "reverted" else {})}  # fmt: skip
    make(ctx.obj, repo, rev, only, to, how, as_json, Needs(requirements, env, sandbox))


def _statements() -> Mapping[str, tuple[Statement, ...]]:
    from sica.mining.inject import STATEMENTS

    return {"tests": ("tests",), "symptom": ("symptom",), "history": ("history",), "both": STATEMENTS}


def mine(
    ctx: typer.Context,
    repo: Path = REPO,
    to: Path = TO,
    rev: str = REV,
    seed: int = SEED,
    most: int = MOST,
    only: list[str] = ONLY,
    heldout: float = HELDOUT,
    look: int = typer.Option(500, "--look", min=1, help="Commits to look at, newest first."),
    tries: int = typer.Option(
        None, "--tries", min=1, help="Commits to try in boxes at most.", show_default="four for each task"
    ),
    pulls: bool = typer.Option(
        False, "--pulls", help="Whole pull requests: merges, and commits that end in '(#123)'."
    ),
    issues: Path = typer.Option(
        None, "--issues", help="A JSON list of {number, title, body}: what the tasks say, where one is named."
    ),
    requirements: Path = REQUIREMENTS,
    env: Path = ENV,
    sandbox: str = SANDBOX,
    as_json: bool = JSON,
) -> None:
    """Make tasks from a Python repository's history: make the change of a commit that changed code and tests.

    The commit's own tests judge; they run in boxes without a network. A run that is stopped goes on where it was when
    the same command is given again.
    """
    how = {"kind": "mine", "seed": seed, "max": most, "look": look, "tries": tries or 4 * most, "heldout": heldout,
           **({"pulls": True} if pulls else {})}  # fmt: skip
    make(ctx.obj, repo, rev, only, to, how, as_json, Needs(requirements, env, sandbox, issues))


@dataclass(frozen=True)
class Needs:
    """What the user said of where tests are to run."""

    requirements: Path | None
    env: Path | None
    sandbox: str | None
    issues: Path | None = None


@dataclass(frozen=True)
class Shop:
    """Where a repository's own tests run, and what is known of them already."""

    source: Source
    box: Sandbox
    python: Python
    runtime: Path
    needs: Needs
    known: Verdicts

    def packages(self, files: Files) -> Packages:
        """For the repository with these files; asked of the index once for the same settings."""
        from sica.mining.packages import packages, settings

        name = f"pins:{settings(files)}"
        return packages(
            self.source, files, self.python, self.needs.requirements, self.needs.env,
            known=self.known.get(name), tell=lambda pins: self.known.put(name, pins),
        )  # fmt: skip

    def bench(self, packages: Packages) -> Bench:
        from sica import wheels
        from sica.mining.running import Bench

        return Bench(self.box, wheels.directory(packages.pins, self.python, self.runtime))


def _listed(requirements: Path | None) -> str:
    from sica.errors import UsageError

    if requirements is None:
        return ""
    try:
        return requirements.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{requirements}: {why}", "name a file of requirements, one a line") from None


def _issues(path: Path | None) -> Mapping[int, str]:
    from sica.errors import UsageError
    from sica.mining.commits import read_issues

    if path is None:
        return {}
    try:
        return read_issues(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that you have") from None
    except ValueError as error:
        raise UsageError(
            f"{path}: {error}", "gh issue list --state all --json number,title,body makes such a file"
        ) from None


def make(
    call: Invocation,
    repo: Path,
    rev: str,
    only: list[str],
    to: Path,
    how: dict[str, Any],
    as_json: bool,
    needs: Needs | None = None,
    there: Mapping[str, Any] | None = None,
) -> None:
    """Tasks of `how`'s kind in a new folder, or with its manifest beside those that are in one already.

    With needs their tests are run. Raises UsageError when there is no task to be made.
    """
    from sica.mining.candidates import Yield, draw
    from sica.mining.folder import vacant
    from sica.mining.source import open_source

    if there is None:
        vacant(to)
    source = open_source(repo, rev, only)
    told = Yield()
    kept = {task["name"] for task in there["tasks"]} if there else set()
    made = Made(call, source, to, how, told, kept, there)
    if needs is not None:
        _make_in_boxes(made, only, needs, as_json)
        return
    found = []
    for candidate in _read_only(source, how, told):
        found += [candidate] if candidate.name not in kept else []
        call.passing(f"{source.name}: {told.looked} looked at, {report.plural(len(found), 'candidate')}")
    chosen = draw(found, how["max"], lambda item: source.dice(how["seed"], f"draw:{item}").random())
    made.put(chosen, len(found), as_json)


def _read_only(source: Source, how: Mapping[str, Any], told: Yield) -> Iterable[Candidate]:
    from sica.mining import edits, locate

    if how["kind"] == "locate":
        return locate.candidates(source, how["seed"], told)
    return edits.candidates(source, told, how["look"])


def _make_in_boxes(made: Made, only: list[str], needs: Needs, as_json: bool) -> None:
    """Of a generator that runs tests and chooses by what they say."""
    from sica import places, wheels
    from sica.cli.parts import sandbox_for
    from sica.mining.folder import VERSION
    from sica.mining.verdicts import Verdicts

    call, source, to, how = made.call, made.source, made.to, made.how
    issues = _issues(needs.issues)
    if issues:
        how["issues"] = len(issues)
    here = places.find(call.folder, call.environ) or places.at(call.folder, call.environ)
    with sandbox_for(needs.sandbox or call.settings().config.sandbox, here) as box:
        python = wheels.python_of(box)
        about = {
            "generator": VERSION, "repository": source.name, "commit": source.commit, "only": only,
            "python": str(python), "env": str(needs.env or ""),
            "requirements": _listed(needs.requirements),
            **{key: how.get(key) for key in ("kind", "seed", "tests")},
        }  # fmt: skip
        known = Verdicts(to.parent / f".{to.name}.work", about)
        if len(known):
            call.say(f"{known.path}: goes on with {report.plural(len(known), 'fact')}")
        shop = Shop(source, box, python, here.runtime / "judge", needs, known)
        generate = _injected(call, shop, how, made.told) if how["kind"] == "inject" else _mined(
            call, shop, how, made.told, issues)  # fmt: skip
        chosen = [candidate for candidate in generate if candidate.name not in made.kept]
    chosen.sort(key=lambda c: (c.level, c.name))
    made.put(chosen, len(chosen), as_json)
    known.forget()


def _injected(call: Invocation, shop: Shop, how: Mapping[str, Any], told: Yield) -> Iterable[Candidate]:
    from sica.mining.inject import BUGS, candidates, test_modules

    modules = test_modules(shop.source.files, how["tests"])
    needs = shop.packages(shop.source.files)
    bugs = next(each for each in BUGS if each == how.get("bugs", "one"))
    return candidates(
        shop.source, how["seed"], how["max"], how["tries"], shop.bench(needs), needs, modules,
        _statements()[how["statement"]], shop.known, told, call.passing, bugs, how.get("look", 500),
    )  # fmt: skip


def _mined(
    call: Invocation, shop: Shop, how: Mapping[str, Any], told: Yield, issues: Mapping[int, str]
) -> Iterable[Candidate]:
    from sica.mining.commits import candidates

    return candidates(
        shop.source, how["seed"], how["max"], how["look"], how["tries"], shop.bench, shop.packages, shop.known,
        told, call.passing, how.get("pulls", False), issues,
    )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """Where tasks go, and what is to be said of how they came to be."""

    call: Invocation
    source: Source
    to: Path
    how: dict[str, Any]
    told: Yield
    kept: set[str]
    """Names of the tasks that are there; they stay as they are."""
    there: Mapping[str, Any] | None
    """The folder's manifest, when tasks are put beside others."""

    def put(self, chosen: Sequence[Candidate], n_found: int, as_json: bool) -> None:
        """Write the folder and say what is in it. Raises UsageError when nothing new would be in it."""
        from sica.errors import UsageError
        from sica.mining.folder import append, write

        call, source, told = self.call, self.source, self.told
        if not chosen:
            call.passing("")
            new = "new task" if self.kept else "task"
            raise UsageError(f"{source.name} {source.commit[:10]}: no {new} can be made of it{_why(told)}")

        def progress(n: int, name: str) -> None:
            call.passing(f"{n + 1} of {len(chosen)}: {name}")

        if self.there is None:
            write(chosen, source, self.to, self.how, told, progress)
        else:
            append(chosen, source, self.to, self.how, told, progress, self.there)
        call.passing("")
        if as_json:
            call.json(
                "sica.mined/1",
                folder=str(self.to),
                repository=source.name,
                commit=source.commit,
                looked_at=told.looked,
                candidates=n_found,
                left_out=dict(sorted(told.reasons.items())),
                tasks=[{"name": c.name, "level": c.level, **c.facts} for c in chosen],
                kept=len(self.kept),
            )
            return
        levels = ", ".join(
            f"{sum(c.level == n for c in chosen)} of level {n}" for n in sorted({c.level for c in chosen})
        )
        tasks = report.plural(len(chosen), "new task" if self.kept else "task")
        beside = f", beside {len(self.kept)} that stay as they are" if self.kept else ""
        print(f"{self.to}: {tasks} ({levels}){beside}")
        print(
            f"from {source.name} {source.commit[:10]}: {told.looked} looked at, {n_found} candidates{_why(told)}"
        )
        call.say(f"Next:  sica bench check {shlex.quote(str(self.to))}")


def _why(told: Yield) -> str:
    reasons = [f"{n} {code}" for code, n in told.reasons.most_common() if n]
    return f"; left out: {', '.join(reasons)}" if reasons else ""
