"""The price before the start: --estimate, --probe, and the question when much may be spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from sica import forecast, report
from sica.cli.ending import DAY
from sica.cli.invocation import Invocation
from sica.config import RunConfig
from sica.model import Archive, Step, Task, Usage, conditions
from sica.ports import Gateway, Price

if TYPE_CHECKING:
    from sica.benchmarks.folder import FolderBenchmark
    from sica.cli.parts import Shop
    from sica.ledger import SqliteLedger
    from sica.loop import Plan
    from sica.ports import Benchmark

PROBED = 3
"""Tasks that --probe runs."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a command will cost, and all that bounds it."""

    model: str
    left: forecast.Estimate
    price: Price | None
    worst: float | None
    """Dollars that cannot be passed, by the caps of trials and improvements; None when they do not bound it."""
    cap: float | None
    """Dollars left of the caps of the run and of the day."""
    workers: int

    @property
    def free(self) -> bool:
        return self.price is not None and self.price.most(1 << 30) == (0.0, 0.0) and not self.price.call

    @property
    def usd(self) -> forecast.Range | None:
        if self.free:
            return forecast.Range(0.0, 0.0, 0.0)
        return self.left.usd.under(self.cap) if self.left.usd else None

    @property
    def most(self) -> float | None:
        """Dollars that it cannot pass; None when nothing bounds it."""
        if self.free:
            return 0.0
        return min((v for v in (self.cap, self.worst) if v is not None), default=None)

    @property
    def wait(self) -> forecast.Range | None:
        """Seconds until it is done."""
        return self.left.seconds.times(1 / self.workers) if self.left.seconds else None

    @property
    def stops_at_cap(self) -> bool:
        return self.cap is not None and self.left.usd is not None and self.left.usd.likely > self.cap


def outlook(
    archive: Archive,
    config: RunConfig,
    price: Price | None,
    ledger: SqliteLedger,
    *,
    children: int,
    confirm: int,
    gate: Sequence[Task] = (),
    cap: float | None = None,
    attempts: range | None = None,
) -> Outlook:
    """From trials of these tasks under this model; else from any trials under this model; else from the caps."""
    work = forecast.ahead(archive, children, confirm, attempts)
    known, related = forecast.samples(archive), False
    if not known:
        known = tuple(forecast.Sample(t, d, u.usd, u.seconds) for t, d, u in ledger.taken(config.model))
        related = True
    mine = [i for i in archive.improvements if not i.child or i.child.model in ("", config.model)]
    left = forecast.estimate(work, known, forecast.improving(mine), related=related)
    worst = forecast.worst(work, config.improve.budget(), price, gate) if price else None
    return Outlook(config.model, left, price, worst, cap, config.workers)


def of(
    shop: Shop, gate: Benchmark, archive: Archive, children: int, attempts: range | None = None
) -> Outlook:
    """Of what a run that is open is about to do."""
    config = shop.config
    return outlook(
        archive,
        config,
        price_of(config, shop.gateway),
        shop.store.ledger,
        children=children,
        confirm=config.confirm if children else 0,
        gate=gate.tasks(),
        cap=shop.broker.left().usd,
        attempts=attempts,
    )


# ── in words ──────────────────────────────────────────────────────────────────────────────────────


def lines(found: Outlook) -> Iterator[str]:
    """$10 to $16, most likely $13; and what that stands on."""
    left = found.left
    plan = [f"{report.plural(left.trials, 'trial')}"]
    if left.children:
        plan.append(report.plural(round(left.children), "improvement"))
    yield f"ahead      {' and '.join(plan)} under {found.model}"
    yield f"cost       {cost(found)}"
    if found.wait:
        low, high = report.duration(found.wait.low), report.duration(found.wait.high)
        yield f"time       {low} to {high} with {report.plural(found.workers, 'worker')}"
    yield f"known by   {_basis(found)}"


def in_short(found: Outlook) -> str:
    """One line, for the start of a run."""
    basis = "" if found.free else f" ({_basis(found)})"
    return f"{report.plural(found.left.trials, 'trial')} under {found.model}: {cost(found)}{basis}"


def cost(found: Outlook) -> str:
    """$10.00 to $16.00, most likely $13.00; at most $20.00."""
    if found.free:
        return "nothing: the model is free"
    usd, most = found.left.usd, _bound(found)
    if usd is None:
        return f"unknown yet; {most}"
    span = (
        f"{report.dollars(usd.low)} to {report.dollars(usd.high)}, most likely {report.dollars(usd.likely)}"
    )
    return f"{span}; {'the cap comes first: ' if found.stops_at_cap else ''}{most}"


def _bound(found: Outlook) -> str:
    if found.most is None:
        return "nothing bounds it: give --max-cost"
    how = "" if found.most == found.cap else " by the caps of trials and improvements, faults apart"
    return f"at most {report.dollars(found.most)}{how}"


def _basis(found: Outlook) -> str:
    left = found.left
    if not left.n_trials:
        unpriced = "" if found.price else ", and nobody knows the model's price"
        return (
            f"nothing was measured under {found.model} yet{unpriced}; --probe measures {PROBED} tasks first"
        )
    words = f"{report.plural(left.n_trials, 'trial')} of {report.plural(left.n_agents, 'agent')}"
    if left.related:
        words += " on other tasks or under other limits"
    if left.children:
        made = report.plural(left.n_improvements, "improvement")
        words += f", {made if left.n_improvements else 'no improvement yet: taken as three trials each'}"
    return words


def record(found: Outlook) -> Mapping[str, Any]:
    """The fields of sica.estimate/1."""

    def span(of: forecast.Range | None) -> Mapping[str, float] | None:
        return asdict(of) if of else None

    left = found.left
    return {
        "model": found.model,
        "n_trials": left.trials,
        "n_improvements": left.children,
        "cost_usd": span(found.usd),
        "uncapped_usd": span(left.usd),
        "seconds": span(found.wait),
        "at_most_usd": found.most,
        "stops_at_cap": found.stops_at_cap,
        "basis": {
            "n_trials": left.n_trials,
            "n_improvements": left.n_improvements,
            "n_agents": left.n_agents,
            "related": left.related,
        },
    }


# ── asking ────────────────────────────────────────────────────────────────────────────────────────


def ask(call: Invocation, config: RunConfig, found: Outlook, yes: bool) -> None:
    """Say the price before anything is spent; ask when it passes `confirm_above`, or when nothing bounds it."""
    if found.free or not (found.left.trials or found.left.children):
        return
    call.say(in_short(found))
    likely = found.usd.likely if found.usd else found.most
    if found.most is None or likely is None or likely > config.confirm_above:
        call.confirm(f"Spend money on {config.model}?", yes)


def ask_unknown(call: Invocation, config: RunConfig, gateway: Gateway, what: str, yes: bool) -> None:
    """The same for what nothing is known of before."""
    price = price_of(config, gateway)
    caps = [c for c in (config.max_cost, config.trial.max_cost) if c is not None]
    nothing = forecast.Estimate(None, None, 1, 0, 0, 0, 0)
    found = Outlook(config.model, nothing, price, None, min(caps, default=None), 1)
    if found.free:
        return
    bound = "no --max-cost is set" if found.most is None else f"at most {report.dollars(found.most)}"
    call.say(f"{config.model}: {what}; {bound}")
    if found.most is None or found.most > config.confirm_above:
        call.confirm(f"Spend money on {config.model}?", yes)


def price_of(config: RunConfig, gateway: Gateway) -> Price | None:
    return config.price(config.model) or gateway.price(config.model)


# ── --estimate ────────────────────────────────────────────────────────────────────────────────────


def look(
    call: Invocation,
    config: RunConfig,
    benchmark: FolderBenchmark,
    tasks: Sequence[Task],
    task: str,
    *,
    children: int,
    only: Sequence[str] = (),
    attempts: Callable[[Archive], range] | None = None,
) -> Outlook:
    """What is ahead, without spending, writing or waiting for a run that goes on.

    `only`: the agents that are meant, by commit. `attempts`: which of theirs, when not the usual ones.
    """
    from sica import gateways
    from sica.cli import parts
    from sica.ledger import SqliteLedger
    from sica.model import Setting

    places = call.places()
    gateway = gateways.open_gateway(
        config.model, traces=parts.open_traces(places)
    )  # no key is needed to ask the price
    with (
        SqliteLedger.open(places.db, readonly=True) as ledger,
        parts.sandbox_for(config.sandbox, places) as sandbox,
    ):
        usable = parts.runnable(call, benchmark, tasks, sandbox)
        setting = Setting(config.model, sandbox.image())
        under = {t.digest: conditions(t, setting) for t in usable}
        archive = ledger.archive(usable, under, config.attempts)
        run = parts.continued(ledger, config, "evolve" if not only else "eval", task)
        archive = replace(archive, run=run.id if run else "")
        if only:
            archive = replace(archive, agents={c: archive.agents[c] for c in only}, champion="")
        spent = ledger.spent(run.id) if run else Usage()
        today = time.time() // DAY * DAY
        of_today = sum(ledger.spent_by_day(today).values(), Usage())
        caps = ((config.max_cost, spent.usd), (config.day.max_cost, of_today.usd))
        left = [max(0.0, cap - used) for cap, used in caps if cap is not None]
        return outlook(
            archive,
            config,
            price_of(config, gateway),
            ledger,
            children=children,
            confirm=config.confirm if children else 0,
            gate=parts.open_smoke(call, config).tasks(),
            cap=min(left, default=None),
            attempts=attempts(archive) if attempts else None,
        )


def first_look(call: Invocation, config: RunConfig, benchmark: FolderBenchmark) -> tuple[Outlook, Outlook]:
    """Of measuring every agent there is, and of `sica evolve`, where no box was opened yet: by `sica init`."""
    from sica import gateways
    from sica.cli import parts
    from sica.ledger import SqliteLedger

    places = call.places()
    gateway = gateways.open_gateway(config.model, traces=parts.open_traces(places))
    tasks = [parts.capped(t, config) for t in parts.chosen(benchmark, "", "", config.bench)]
    with SqliteLedger.open(places.db, readonly=True) as ledger:
        archive = ledger.archive(tasks, {}, config.attempts)
        price, gate = price_of(config, gateway), parts.open_smoke(call, config).tasks()
        measuring, whole = (
            outlook(
                archive,
                config,
                price,
                ledger,
                children=children,
                confirm=config.confirm if children else 0,
                gate=gate,
                cap=config.max_cost,
            )
            for children in (0, config.children)
        )
    return measuring, whole


def probe(
    call: Invocation, shop: Shop, plan: Plan, archive: Archive, number: int, yes: bool, quiet: bool
) -> str:
    """Measure the champion on a few tasks that it was not measured on, spread over the benchmark; kept as any trial.

    It belongs to the run that `sica evolve` goes on with: what it spends counts for that run's caps. Returns why it
    stopped.
    """
    from sica.cli import running

    ask_unknown(call, shop.config, shop.gateway, report.plural(number, "probed task"), yes)
    champion = archive.champion
    open_ = archive.missing(champion) if champion else ()
    every = max(1, len(open_) // number)
    chosen = frozenset(open_[::every][:number])

    def policy(known: Archive, rng: Random) -> Sequence[Step]:
        del rng
        left = known.missing(champion) if known.agents[champion].standing == "ready" else ()
        return [step for step in left if step in chosen]

    only = replace(archive, agents={champion: archive.agents[champion]})
    stopped, _ = running.drive(
        call,
        shop,
        replace(plan, policy=policy, children=0, proof=replace(plan.proof, fresh=0)),
        only,
        as_json=False,
        quiet=quiet,
    )
    shop.store.ledger.end_run(shop.run.id, "probed" if stopped.reason == "done" else stopped.reason)
    return stopped.reason


def tell(call: Invocation, found: Outlook, as_json: bool) -> None:
    if as_json:
        call.json("sica.estimate/1", **record(found))
    else:
        for line in lines(found):
            print(line)
