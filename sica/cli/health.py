"""`sica bench health`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.cli.options import UNDER
from sica.cli.reading import Reading, names_of
from sica.errors import UsageError

if TYPE_CHECKING:
    from sica.health import Group, TaskHealth
    from sica.stats import Estimate

FEW = 5
"""Agents with which no mean says much."""
EXAMPLES = (
    "sica bench health",
    "sica bench health ./tasks --under docker",
    "sica bench health --plain | awk -F'\\t' '$4 == \"floor\"'",
)


@dataclass(frozen=True)
class Folder:
    """What the benchmark's own folder says now."""

    digests: Mapping[str, str]
    """By id, of the tasks that are there."""
    quarantined: Mapping[str, str]
    why_not: str = ""
    """It cannot be read: what the tasks are now is not known."""

    @property
    def known(self) -> bool:
        return not self.why_not


def health(
    ctx: typer.Context,
    target: str = typer.Argument(
        "", help="A benchmark; default: the configured one.", autocompletion=completion.benchmarks
    ),
    under: str = UNDER,
    as_json: bool = typer.Option(False, "--json", help="One object."),
    plain: bool = typer.Option(False, "--plain", help="One task a line, tab-separated."),
) -> None:
    """Say what the recorded trials say of the tasks: which tell agents apart, which are noisy, broken or changed.

    A task whose mean score over all agents is at most 5% (floor) or at least 95% (ceiling) hardly tells two agents
    apart. Intervals resample agents. Nothing is run, and of held-out tasks only the number is told.
    """
    from sica.health import grouped
    from sica.health import health as told

    call: Invocation = ctx.obj
    reading = Reading.of(call, under)
    configured = call.setting("bench", "core")
    name = reading.benchmark(target, configured)
    tasks = reading.ledger.tasks(name)
    if not reading.ledger.settings(name):
        raise UsageError(f"nothing is measured on {report.clean(name)}", "sica eval best measures it")
    folder = _folder(call, target or (configured if name in names_of(configured) else name), name)
    shown = [task for task in tasks if task.split != "heldout"]
    tried = reading.ledger.tried(name, reading.setting(name))
    found = told(shown, tried, folder.digests if folder.known else None, folder.quarantined)
    new = sorted(set(folder.digests) - {task.id for task in tasks} - set(folder.quarantined))
    groups = {"kinds": grouped(found, "kind"), "levels": grouped(found, "level")}
    held = len(tasks) - len(shown)
    if as_json:
        call.json(
            "sica.health/1",
            **reading.measured_on(name),
            heldout=held,
            floors=sum(each.state == "floor" for each in found),
            ceilings=sum(each.state == "ceiling" for each in found),
            tasks=[_record(each) for each in found],
            **{key: [_group_record(each) for each in of] for key, of in groups.items()},
            known=folder.known,
            quarantined=[
                {"task": report.clean(id), "why": report.clean(why)}
                for id, why in sorted(folder.quarantined.items())
            ],
            unmeasured=new,
        )
        return
    if plain:
        call.page("\t".join(map(str, _record(each).values())) for each in found)
        return
    look = call.look()
    call.page(
        [
            *_table(found, look),
            *_groups(groups["kinds"], "kind", look),
            *_groups(groups["levels"], "level", look),
            "",
            *_summary(found, held, new, folder),
            look.paint("dim", f"{report.clean(name)}, {reading.footer(name)}"),
        ]
    )


def _folder(call: Invocation, target: str, name: str) -> Folder:
    from sica.cli.parts import open_benchmark

    try:
        benchmark = open_benchmark(call, target)
        there = {f"{name}/{task}": folder.digest for task, folder in benchmark.folders.items()}
    except UsageError as error:
        return Folder({}, {}, str(error))
    held = {f"{name}/{task}": entry.words for task, entry in benchmark.quarantine.items()
            if there.get(f"{name}/{task}") == entry.digest}  # fmt: skip
    return Folder(there, held)


def _record(each: TaskHealth) -> dict[str, object]:
    return {
        "task": report.clean(each.task.id),
        "kind": report.clean(each.task.kind),
        "level": each.task.level,
        "state": each.state,
        **_spread(each.estimate),
        "n_agents": each.agents,
        "n_trials": each.trials,
        "solved": each.solved,
        "faults": each.faults,
        "flagged": each.flagged,
        "tried_twice": each.twice,
        "varies": each.varies,
        "changed": each.changed,
        "older_trials": each.older,
        "quarantined": report.clean(each.quarantined),
        "digest": each.task.digest,
    }


def _spread(known: Estimate | None) -> dict[str, object]:
    return {
        "score": known.mean if known else None,
        "low": known.low if known else None,
        "high": known.high if known else None,
        "method": known.method if known else "",
    }


def _group_record(group: Group) -> dict[str, object]:
    return {
        "name": report.clean(group.name),
        "n_tasks": group.tasks,
        **_spread(group.estimate),
        "floors": group.floors,
        "ceilings": group.ceilings,
    }


def _table(found: Sequence[TaskHealth], look: report.Look) -> Iterator[str]:
    lines = [
        [
            report.clean(each.task.name),
            report.clean(each.task.kind),
            str(each.task.level),
            _score(each.estimate),
            f"{each.solved}/{each.trials}",
            str(each.agents),
            f"{each.varies}/{each.twice}" if each.twice else "",
            str(each.faults or ""),
            ", ".join(_marks(each)),
        ]
        for each in found
    ]
    header = ("task", "kind", "level", "score", "solved", "agents", "varies", "faults", "")
    yield from report.table(lines, "<<><>>>><", look, header=header, flexible=0)


def _marks(each: TaskHealth) -> Iterator[str]:
    if each.state != "tells":
        yield each.state
    if each.quarantined:
        yield "quarantined"
    if each.changed:
        yield "changed"
    if each.flagged:
        yield f"{each.flagged} flagged"


def _score(known: Estimate | None) -> str:
    return report.with_interval(known.mean, (known.low, known.high)) if known else ""


def _groups(groups: Sequence[Group], word: str, look: report.Look) -> Iterator[str]:
    """Nothing when all tasks are of one."""
    if len(groups) < 2:
        return
    lines = [
        [
            report.clean(each.name) or "(none)",
            str(each.tasks),
            _score(each.estimate),
            str(each.floors or ""),
            str(each.ceilings or ""),
        ]
        for each in groups
    ]
    yield ""
    header = (word, "tasks", "mean of tasks", "floors", "ceilings")
    yield from report.table(lines, "<><>>", look, header=header, flexible=0)


def _summary(found: Sequence[TaskHealth], held: int, new: Sequence[str], folder: Folder) -> Iterator[str]:
    """What a person would do something about, a line each."""
    floors, ceilings, dark = (
        sum(each.state == state for each in found) for state in ("floor", "ceiling", "unmeasured")
    )
    told = len(found) - floors - ceilings - dark
    more = f", {dark} unmeasured" if dark else ""
    yield (
        f"{told} of {report.plural(len(found), 'task')} in the band that tells agents apart; "
        f"{report.plural(floors, 'floor')}, {report.plural(ceilings, 'ceiling')}{more}"
    )
    if (agents := max((each.agents for each in found), default=0)) < FEW:
        yield f"tried by {report.plural(agents, 'agent')} at most: the intervals say how little that tells"
    for id, why in sorted(folder.quarantined.items()):
        yield f"{report.clean(id.rpartition('/')[2])}  {report.clean(why)}"
    changed = [report.clean(each.task.name) for each in found if each.changed]
    if changed:
        yield f"changed since they were measured ({len(changed)}): {' '.join(changed)}"
    if new:
        yield f"never measured: {' '.join(report.clean(each.rpartition('/')[2]) for each in new)}"
    if held:
        yield f"held out: {report.plural(held, 'task')}, not looked at"
    if not folder.known:
        yield f"whether they changed is not known: {report.clean(folder.why_not)}"
