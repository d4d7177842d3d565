"""What an honest report says, from the archive's records: everything that speaks against a result beside it. Pure."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sica.model import Agent, Glimpse, Improvement, Promotion, Run, Setting, Task, Trial
from sica.pages import Block, Code, Fold, Heading, Picture, Table, Words, quoted
from sica.ports import Price
from sica.report import Row, count, duration, money, percent, plural, signed, with_interval
from sica.scoring import (
    Difference,
    by_kind,
    difference,
    estimated,
    means_of_kinds,
    measured,
    p_value,
    pass_words,
)
from sica.stats import SEPARABLE, coverage, holm, overstatement

LISTED = 300
"""Agents, and findings, that are listed one by one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a report is made of."""

    at: float
    benchmark: str
    setting: Setting | None
    tasks: tuple[Task, ...]
    """Of the benchmark, in use."""
    rows: tuple[Row, ...]
    """Every agent with interval and change, newest first."""
    agents: Mapping[str, Agent]
    """By commit, in order of number."""
    runs: tuple[Run, ...]
    used: Mapping[str, Sequence[tuple[str, str, str, str, int]]]
    """By run what its own trials were of: task, digest, model, image, how many."""
    prices: Mapping[str, Mapping[str, Price]]
    """By run and model, as they were used."""
    paid: Sequence[tuple[float, str, str, float, int]]
    """Time, run, role, dollars, model calls."""
    improvements: Sequence[Improvement]
    promotions: Sequence[Promotion]
    champion: str
    """Of the search: what a control run promoted does not count while there was another."""
    control: str
    """Best of the seed's children that a run of policy iid made; nothing when there is none."""
    trials: Mapping[str, Sequence[Trial]]
    """Not held out, of the seed, the champions and the control."""
    heldout: Mapping[str, Sequence[Trial]]
    """Of the seed, the champion and the control; empty when it is not to be looked at."""
    ended: Sequence[tuple[str, str, str, int, int]]
    """Split, fault or nothing, ending, trials, trees: of those that were not plainly done."""
    flagged: Sequence[tuple[int, str, int, str]]
    """Integrity findings: agent, task, attempt, why."""
    glimpses: Sequence[Glimpse]
    """Every time that held-out scores were shown, this one included."""
    looked: bool = True
    """Whether held-out scores may be shown."""

    @property
    def seed(self) -> Agent:
        return next(iter(self.agents.values()))

    @property
    def kinds(self) -> Mapping[str, str]:
        kinds = {task.id: task.kind for task in self.tasks}
        return kinds if len(set(kinds.values())) > 1 else {}

    @property
    def unknown(self) -> str:
        """What stands for a held-out score that is not there."""
        return "not measured" if self.looked else "not looked at"

    def searches(self) -> list[Run]:
        return [run for run in self.runs if run.config.get("kind") == "evolve" and not is_control(run)]

    def row(self, commit: str) -> Row:
        return next(row for row in self.rows if row.commit == commit)

    def versus(self, old: str, new: str, *, heldout: bool = False) -> Difference:
        known = self.heldout if heldout else self.trials
        return difference(known.get(old, ()), known.get(new, ()), self.kinds)


def is_control(run: Run) -> bool:
    return run.config.get("kind") == "evolve" and str(run.config.get("policy")).partition(":")[0] == "iid"


def title(facts: Facts) -> str:
    return f"{facts.benchmark}: what evolution came to"


def document(facts: Facts) -> list[Block]:
    """The report, most important first."""
    return [
        Heading(title(facts), 1),
        *_summary(facts),
        Heading("Seed, champion and control"),
        *_three(facts),
        Picture("staircase", "Every agent's score with its 95% interval, in the order they were made."),
        Heading("Champions"),
        *_champions(facts),
        Heading("How much of it is luck"),
        *_luck(facts),
        Heading("What was tried"),
        *_tried(facts),
        Picture(
            "lineage",
            "Who descends from whom, by generation; filled by score, the way to the champion thick.",
        ),
        Picture(
            "matrix",
            "Agents by tasks, the easiest left. A cross is a fault of the harness; blank was not tried.",
        ),
        Heading("What it cost"),
        *_cost(facts),
        Picture(
            "cost", "What was spent, or asked of a free model, by what for. Time between runs is left out."
        ),
        Heading("What is missing or suspicious"),
        *_missing(facts),
        Heading("Held-out tasks"),
        *_looks(facts),
        Heading("To repeat it"),
        *_repeat(facts),
        Heading("Every agent"),
        _everyone(facts),
        Heading("How the numbers are made"),
        *_methods(facts),
    ]


# ── what came of it ───────────────────────────────────────────────────────────────────────────────


def _summary(facts: Facts) -> Iterator[Block]:
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(facts.at))
    setting = f", measured with {quoted(str(facts.setting))}" if facts.setting else ""
    yield Words(f"Made {when} from {plural(len(facts.agents), 'agent')}{setting}.")
    best = facts.row(facts.champion)
    if facts.champion == facts.seed.commit:
        yield Words("No agent was promoted: the champion is the seed.")
        return
    found = facts.versus(facts.seed.commit, facts.champion)
    yield Words(
        f"The champion is {best.name} ({quoted(best.subject)}) with {with_interval(best.score, best.interval)}."
        f" Against the seed, on the tasks that the search saw: {found.words}. {found.advice}".rstrip()
    )
    if facts.heldout.get(facts.champion):
        found = facts.versus(facts.seed.commit, facts.champion, heldout=True)
        yield Words(
            f"On held-out tasks, which no step of the search used: {found.words}. {found.advice}".rstrip()
        )
    else:
        yield Words(
            f"On held-out tasks it was {facts.unknown}, so what follows does not say what it is worth elsewhere."
        )


def _three(facts: Facts) -> Iterator[Block]:
    people = [("seed", facts.seed.commit), ("champion", facts.champion)]
    people += [("IID control", facts.control)] if facts.control else []
    rows = [
        [
            role,
            facts.agents[commit].name,
            with_interval(*measured(facts.trials.get(commit, ()))),
            str(facts.row(commit).n),
            _against_seed(facts, commit, heldout=False),
            with_interval(*measured(held)) if (held := facts.heldout.get(commit, ())) else facts.unknown,
            _against_seed(facts, commit, heldout=True) if held else "",
        ]
        for role, commit in people
    ]
    header = ("", "agent", "search tasks", "n", "against the seed", "held-out tasks", "against the seed")
    yield Table(header, rows, "<<<><<<")
    yield from (
        Words(f"{facts.agents[c].name}: {w}.")
        for _, c in people
        if (w := pass_words(facts.trials.get(c, ())))
    )
    yield from _by_kind(facts)
    yield from _control(facts)
    if facts.looked and any(t.split == "heldout" for t in facts.tasks):
        lacking = [facts.agents[c].number for _, c in people if not facts.heldout.get(c)]
        if lacking:
            who = " ".join(map(str, dict.fromkeys(lacking)))
            where = next(
                (r.config["bench"] for r in facts.runs[::-1] if r.config.get("bench")), facts.benchmark
            )
            bench = quoted(shlex.quote(str(where)))
            yield Words(f"To measure what is missing: `sica eval {who} --bench {bench} --split heldout`")


def _by_kind(facts: Facts) -> Iterator[Block]:
    """Where the champion gained and where it paid, on the search's tasks."""
    sides = [facts.trials.get(facts.seed.commit, ()), facts.trials.get(facts.champion, ())]
    known = by_kind(sides, facts.kinds)
    if not known or facts.champion == facts.seed.commit:
        return
    rows = [
        [quoted(k.name), str(k.found.tasks), *map(percent, k.scores), signed(k.found.difference), k.words]
        for k in known
    ]
    rows.append(["mean of kinds", "", *map(percent, means_of_kinds(sides, facts.kinds)), "", ""])
    yield Table(("kind", "tasks", "seed", "champion", "", "Holm"), rows, "<>>>><")


def _against_seed(facts: Facts, commit: str, *, heldout: bool) -> str:
    if commit == facts.seed.commit:
        return ""
    return facts.versus(facts.seed.commit, commit, heldout=heldout).words


def _control(facts: Facts) -> Iterator[Block]:
    """The control gets every child from the seed: what it reaches needs no archive and no clever choice."""
    made = _made_by(facts, facts.searches())
    if not facts.control:
        yield Words(
            "The control was not run. It makes every child from the seed, so it shows what trying often enough reaches"
            f" without any search: `sica evolve --policy iid --children {made or 10}`"
        )
        return
    runs = [run for run in facts.runs if is_control(run)]
    theirs, spent = _made_by(facts, runs), _dollars(facts, runs)
    budget = f"{plural(theirs, 'child')} for {money(spent)}"
    ours = f"{plural(made, 'child')} for {money(_dollars(facts, facts.searches()))}"
    found = facts.versus(facts.control, facts.champion)
    yield Words(f"The control made {budget}, the search {ours}. Champion against control: {found.words}.")
    if facts.heldout.get(facts.control) and facts.heldout.get(facts.champion):
        found = facts.versus(facts.control, facts.champion, heldout=True)
        yield Words(f"Champion against control on held-out tasks: {found.words}. {found.advice}".rstrip())


def _made_by(facts: Facts, runs: Iterable[Run]) -> int:
    ids = {run.id for run in runs}
    return sum(made.run in ids and made.child is not None for made in facts.improvements)


def _dollars(facts: Facts, runs: Iterable[Run]) -> float:
    ids = {run.id for run in runs}
    return sum(usd for _, run, _, usd, _ in facts.paid if run in ids)


# ── champions and luck ────────────────────────────────────────────────────────────────────────────


def _champions(facts: Facts) -> Iterator[Block]:
    reigns = list(_reigns(facts))
    if not reigns:
        yield Words("None was promoted.")
        return
    ps = holm([found.found.p for *_, found in reigns])
    rows = [
        [
            time.strftime("%m-%d %H:%M", time.gmtime(promotion.at)),
            facts.agents[promotion.agent].name,
            quoted(facts.agents[promotion.agent].subject),
            percent(measured(chosen)[0]),
            percent(measured(confirmed)[0]),
            found.words if found.found.tasks else "on the same attempts",
            f"{p_value(p)}{'' if p < SEPARABLE else ': not separable'}" if found.found.tasks else "",
        ]
        for (promotion, chosen, confirmed, found), p in zip(reigns, ps, strict=True)
    ]
    header = (
        "when",
        "agent",
        "change",
        "chosen by",
        "confirmed by",
        "fresh attempts against the one before",
        "Holm",
    )
    yield Table(header, rows, "<<<>><<")
    yield Words(
        "Chosen by: the score on the attempts that the search used. Confirmed by: fresh attempts that only the"
        " promotion used. Holm: p adjusted for the number of promotions."
    )


def _reigns(facts: Facts) -> Iterator[tuple[Promotion, list[Trial], list[Trial], Difference]]:
    """Each promotion with the champion's trials it was chosen by, those it was confirmed by, and how it did there."""
    before = facts.seed.commit
    for promotion in facts.promotions:
        if promotion.agent not in facts.agents or promotion.agent == before:
            continue
        run = next((r for r in facts.runs if r.id == promotion.run), None)
        chosen, confirmed = _parted(facts.trials.get(promotion.agent, ()), run)
        _, old = _parted(facts.trials.get(before, ()), run)
        yield promotion, chosen, confirmed, difference(old, confirmed, facts.kinds)
        before = promotion.agent


def _parted(trials: Sequence[Trial], run: Run | None) -> tuple[list[Trial], list[Trial]]:
    """By the run's settings: the attempts that the search used, and the fresh ones that decide."""
    attempts = int(run.config.get("attempts", 1)) if run else 1
    fresh = int(run.config.get("confirm", 1)) if run else 1
    deciding = range(attempts, attempts + fresh)
    return [t for t in trials if t.attempt < attempts], [t for t in trials if t.attempt in deciding]


def _luck(facts: Facts) -> Iterator[Block]:
    compared = [row for row in facts.rows if row.score is not None and row.status != "rejected"]
    last = list(_reigns(facts))[-1:]
    chosen = last[0][1] if last else list(facts.trials.get(facts.champion, ()))
    known = estimated(chosen)
    if known is None or len(compared) < 2:
        yield Words("Too little was measured to say.")
        return
    flattered = overstatement(len(compared), known.mean * (1 - known.mean), known.n)
    yield Words(
        f"{plural(len(compared), 'agent')} had a score. Were all of them equally good, the best of so many would look"
        f" up to {100 * flattered:.1f} points better than it is (the winner's curse). So the score that the champion"
        " was chosen by is not what it is worth; the others are nearer:"
    )
    rows = [["chosen by", with_interval(*measured(chosen)), str(known.n)]]
    for name, trials, without in (
        ("fresh attempts", last[0][2] if last else (), "not measured"),
        ("held-out", facts.heldout.get(facts.champion, ()), facts.unknown),
    ):
        again = estimated(trials)
        told = with_interval(again.mean, (again.low, again.high)) if again else without
        rows.append([name, told, str(again.n) if again else ""])
    yield Table(("champion's score", "", "n"), rows, "<<>")


# ── what was tried, what it cost ──────────────────────────────────────────────────────────────────


def _tried(facts: Facts) -> Iterator[Block]:
    endings = Counter("fault" if made.fault else made.ending for made in facts.improvements)
    rejected = sum(agent.standing == "rejected" for agent in facts.agents.values())
    unmeasured = sum(row.score is None and row.status != "rejected" for row in facts.rows)
    measured_ = [row for row in facts.rows if row.score is not None and row.status != "rejected"]
    changed = [row for row in measured_ if row.separable is not None]
    better = sum(bool(row.separable and (row.change or 0) > 0) for row in changed)
    worse = sum(bool(row.separable and (row.change or 0) < 0) for row in changed)
    lines = [
        ("improvements begun", len(facts.improvements)),
        *((f"… {_ENDINGS.get(ending, ending)}", n) for ending, n in endings.most_common()),
        ("agents that the gate rejected", rejected),
        ("agents without a score yet", unmeasured),
        ("agents with a score", len(measured_)),
        ("… separably better than their first parent", better),
        ("… separably worse", worse),
        ("… not separable from it", len(changed) - better - worse),
        ("promotions", len(list(_reigns(facts)))),
    ]
    yield Table(("", "how many"), [[name, f"{n:,}"] for name, n in lines], "<>")
    reasons = Counter(
        quoted(agent.reason)[:80] for agent in facts.agents.values() if agent.standing == "rejected"
    )
    if reasons:
        rows = [[reason, str(n)] for reason, n in reasons.most_common(10)]
        yield Table(("why the gate rejected", "agents"), rows, "<>")


_ENDINGS = {
    "child": "that left a child",
    "empty": "that changed nothing",
    "broken": "that left what is no agent",
    "agent_error": "whose agent failed",
    "fault": "that the harness or the provider failed",
}


def _cost(facts: Facts) -> Iterator[Block]:
    sums: dict[tuple[str, str], tuple[float, int]] = {}
    for _, run, role, usd, calls in facts.paid:
        before = sums.get((run, role), (0.0, 0))
        sums[run, role] = before[0] + usd, before[1] + calls
    if not sums:
        yield Words("No model was called.")
        return
    rows = [[run, role, money(usd), f"{calls:,}"] for (run, role), (usd, calls) in sorted(sums.items())]
    rows.append(["all", "", money(sum(u for u, _ in sums.values())), f"{sum(c for _, c in sums.values()):,}"])
    yield Table(("run", "role", "spent", "model calls"), rows, "<<>>")


def _missing(facts: Facts) -> Iterator[Block]:
    seen = [row for row in facts.rows if row.n or row.faults]
    scored, faults = sum(row.n for row in seen), sum(row.faults for row in seen)
    share = coverage(scored, scored + faults)
    yield Words(
        f"{scored:,} trials have a score and {faults:,} ended in a fault of the harness or the provider, which is"
        f" retried and never counted as wrong: {share:.1%} of what was tried is scored."
    )
    if facts.ended:
        rows = [
            [split, f"fault: {fault}" if fault else "counted", quoted(ending), f"{n:,}", str(trees)]
            for split, fault, ending, n, trees in facts.ended
            if facts.looked or split != "heldout"
        ]
        yield Table(("split", "", "ended by", "trials", "agents"), rows, "<<<>>")
    if not facts.flagged:
        yield Words("No integrity finding: nothing was left behind that an honest agent would not have left.")
        return
    yield Words(
        f"{plural(len(facts.flagged), 'trial')} left behind what an honest agent would not have left; such an agent is"
        " not promoted:"
    )
    rows = [[f"agent/{a}", quoted(task), str(n), quoted(why)] for a, task, n, why in facts.flagged[:LISTED]]
    yield Table(("agent", "task", "attempt", "what"), rows, "<<><")


def _looks(facts: Facts) -> Iterator[Block]:
    held = sum(task.split == "heldout" for task in facts.tasks)
    if not held:
        yield Words(
            f"{quoted(facts.benchmark)} has no held-out tasks: every number here is of tasks that the search saw."
        )
        return
    looks = [g for g in facts.glimpses if g.benchmark == facts.benchmark]
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    yield Words(
        f"{plural(held, 'task')} of {len(facts.tasks)} are held out: no improver sees them and no choice uses them."
        f" Held-out scores were looked at {times if looks else 'never'}."
    )
    if not looks:
        return
    names = {commit: agent.name.removeprefix("agent/") for commit, agent in facts.agents.items()}
    rows = [
        [
            time.strftime("%Y-%m-%d %H:%M", time.gmtime(g.at)),
            quoted(g.who),
            f"`sica {quoted(g.command)}`",
            " ".join(names.get(c, c[:10]) for c in g.agents),
            str(g.trials),
        ]
        for g in looks[-50:]
    ]
    yield Table(("when (UTC)", "who", "by", "agents", "scores"), rows, "<<<<>")


# ── to repeat it ──────────────────────────────────────────────────────────────────────────────────


def _repeat(facts: Facts) -> Iterator[Block]:
    seed = facts.seed
    splits = Counter(task.split for task in facts.tasks)
    yield Table(
        ("what", ""),
        [
            ["seed", f"{seed.name}, commit `{seed.commit}`, tree `{seed.tree}`"],
            ["champion", f"{facts.agents[facts.champion].name}, commit `{facts.champion}`"],
            [
                "benchmark",
                f"{quoted(facts.benchmark)}: " + ", ".join(f"{n} {s}" for s, n in sorted(splits.items())),
            ],
            [
                "its digest",
                f"`{digest((t.id, t.digest) for t in facts.tasks)}` (sha256 of names and content digests)",
            ],
            [
                "model and image",
                f"`{quoted(str(facts.setting))}`" if facts.setting else "nothing is measured",
            ],
        ],
        "<<",
    )
    for run in (r for r in facts.runs if r.config.get("kind") == "evolve"):
        yield from _run(facts, run)


def _run(facts: Facts, run: Run) -> Iterator[Block]:
    yield Heading(f"{run.id}{' (the control)' if is_control(run) else ''}", 3)
    lasted = f", {duration(run.ended - run.started)} until its end" if run.ended else ""
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(run.started))
    how = f": {quoted(run.reason)}" if run.reason else ": has not ended"
    yield Words(f"Started {started}{lasted}{how}.")
    known = dict(run.config)
    made_with = known.pop("made_with", None) or {}
    used = facts.used.get(run.id, ())
    facts_ = [[name, quoted(str(value))] for name, value in made_with.items()]
    for model, image in sorted({(model, image) for _, _, model, image, _ in used}):
        facts_.append(["model and image", quoted(str(Setting(model, image)))])
    tasks = {(name, digest_) for name, digest_, _, _, _ in used}
    if tasks:
        facts_.append(
            [
                "its own trials",
                f"{sum(n for *_, n in used):,} of {plural(len(tasks), 'task')}, digest `{digest(tasks)}`",
            ]
        )
    if facts_:
        yield Table(("made with", ""), facts_, "<<")
    if prices := facts.prices.get(run.id):
        heads = ("dollars per million tokens", "prompt", "cached", "written", "answer", "per call")
        yield Table(heads, [_price_row(model, price) for model, price in prices.items()], "<>>>>>")
    else:
        yield Words("Which sica made it was not recorded.")
    globs = str(known["task"]).split(",") if known.get("task") else []
    task = "".join(f" --task {shlex.quote(glob)}" for glob in globs)
    yield Code(
        "# sica.toml\n" + toml(known) + f"\n\n# in a fresh folder, with the seed's files in ./seed\n"
        f"# git -C .sica/agents.git archive {facts.seed.commit} | tar x -C seed\n"
        f"sica init --agent seed --bench {shlex.quote(str(known.get('bench', facts.benchmark)))}\n"
        f"sica evolve{task}"
    )


def _price_row(model: str, price: Price) -> list[str]:
    """The price below any threshold of length; a tier that is not priced apart costs what a prompt does."""
    tiers = (price.prompt, price.cached, price.cache_write, price.completion)
    return [quoted(model), *("as prompt" if t is None else f"{1e6 * t:g}" for t in tiers), f"{price.call:g}"]


_NO_SETTINGS = ("kind", "task")


def toml(config: Mapping[str, Any]) -> str:
    """The settings of a run as a sica.toml: every one that was set, also those that were defaults."""
    import tomlkit

    return tomlkit.dumps(_given({k: v for k, v in config.items() if k not in _NO_SETTINGS})).strip()


def _given(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not set: TOML has no word for that. Tables last, as they must stand."""
    inner = {key: _given(value) for key, value in table.items() if isinstance(value, Mapping)}
    plain = {key: v for key, v in table.items() if v is not None and key not in inner}
    return {**plain, **{key: of for key, of in inner.items() if of}}


def digest(named: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"{name} {content}\n" for name, content in sorted(named))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


# ── the rest ──────────────────────────────────────────────────────────────────────────────────────


def _everyone(facts: Facts) -> Fold:
    rows = [
        [
            str(row.agent),
            " ".join(map(str, row.parents)),
            f"rejected: {quoted(row.reason)[:60]}"
            if row.status == "rejected"
            else with_interval(row.score, row.interval),
            str(row.n or ""),
            signed(row.change),
            "" if row.separable is None else "separable" if row.separable else "not separable",
            money(row.cost_usd),
            quoted(row.subject)[:80],
        ]
        for row in facts.rows[:LISTED]
    ]
    more = len(facts.rows) - LISTED
    header = ("agent", "parents", "score", "n", "change", "", "cost", "what it changed")
    table: list[Block] = [Table(header, rows, "><<>><><")]
    if more > 0:
        table.append(Words(f"{count(more)} older agents are left out: `sica log --all`"))
    return Fold(f"{plural(len(facts.rows), 'agent')}, newest first", table)


def _methods(facts: Facts) -> Iterator[Block]:
    methods = sorted({row.method for row in facts.rows if row.method}, reverse=True)
    yield Words(
        f"Intervals are 95%: {' or '.join(methods) or 'none'} for scores (Wilson for one attempt a task scored 0 or 1,"
        " else a cluster bootstrap over tasks), a paired bootstrap of tasks within their kind for differences."
        " Differences are taken on the same attempts at the same tasks under the same conditions, and tested by exact"
        " McNemar (one attempt a task, 0 or 1) or by random signs; separable means p below"
        f" {SEPARABLE:g}. Intervals speak of tasks like these and of this model and image."
    )


def flat(facts: Facts) -> dict[str, Any]:
    """The same for `--json`."""
    people = {"seed": facts.seed.commit, "champion": facts.champion, "control": facts.control}
    return {
        "benchmark": facts.benchmark,
        "digest": digest((t.id, t.digest) for t in facts.tasks),
        "counts": {
            "agents": len(facts.agents),
            "rejected": sum(agent.standing == "rejected" for agent in facts.agents.values()),
            "improvements": len(facts.improvements),
            "improvement_faults": sum(made.fault is not None for made in facts.improvements),
            "promotions": len(list(_reigns(facts))),
            "separable": sum(bool(row.separable) for row in facts.rows),
            "not_separable": sum(row.separable is False for row in facts.rows),
            "heldout_looks": sum(g.benchmark == facts.benchmark for g in facts.glimpses),
        },
        "spent_usd": sum(usd for _, _, _, usd, _ in facts.paid),
        "scores": {name: _score(facts, commit) for name, commit in people.items() if commit},
        "champion_against_seed": facts.versus(facts.seed.commit, facts.champion).record(),
        "integrity": [{"agent": a, "task": t, "attempt": n, "why": w} for a, t, n, w in facts.flagged],
        "runs": [{"run": run.id, "reason": run.reason, "config": dict(run.config)} for run in facts.runs],
    }


def _score(facts: Facts, commit: str) -> dict[str, Any]:
    def told(trials: Sequence[Trial]) -> dict[str, Any] | None:
        known = estimated(trials)
        if known is None:
            return None
        return {
            "score": known.mean,
            "low": known.low,
            "high": known.high,
            "n": known.n,
            "method": known.method,
        }

    return {
        "agent": facts.agents[commit].number,
        "commit": commit,
        "search": told(facts.trials.get(commit, ())),
        "heldout": told(facts.heldout.get(commit, ())),
    }
