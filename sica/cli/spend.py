"""`sica spend`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import floor, fsum
from typing import TYPE_CHECKING, Any

import typer

from sica import report
from sica.cli import completion
from sica.cli.invocation import Invocation
from sica.errors import UsageError, no_such
from sica.ledger import ACCOUNTS, SqliteLedger
from sica.model import Call, Usage

if TYPE_CHECKING:
    from sica.ports import Price

EXAMPLES = (
    "sica spend                        all runs, by run and role",
    "sica spend r3 --by agent          whom the money of one run went to",
    "sica spend --by day --by model    what a provider's bill should say",
    "sica spend r3 --by call --json    every call",
    "sica spend r3 --reprice           the same calls at today's prices",
)

Group = tuple[tuple[Any, ...], int, Usage]


def command(
    ctx: typer.Context,
    run: str = typer.Argument("", help="Only this run, such as r3; default: all there are."),
    by: list[str] = typer.Option(
        None,
        "--by",
        help=f"{', '.join(ACCOUNTS)}; several are told apart together.",
        autocompletion=completion.one_of(*ACCOUNTS),
    ),
    reprice: bool = typer.Option(
        False, "--reprice", help="Beside what was paid, the same calls at today's prices."
    ),
    plain: bool = typer.Option(False, "--plain", help="A line a row, tab-separated, dollars unrounded."),
    as_json: bool = typer.Option(False, "--json", help="One object."),
) -> None:
    """What was spent, down to the call. Rows add up to the total, to the cent.

    Counted is all that a provider may bill: calls that failed or were cut off, and those of a killed process at what
    was reserved for them. Days are UTC days.
    """
    call: Invocation = ctx.obj
    for name in by or ():
        if name not in ACCOUNTS:
            raise no_such("account", name, list(ACCOUNTS))
    keys = list(dict.fromkeys(by or ("run", "role")))
    places = call.places()
    with SqliteLedger.open(places.db, readonly=True) as ledger:
        runs = [r.id for r in ledger.runs()]
        if run and run not in runs:
            raise no_such("run", run, runs)
        groups = ledger.accounts(keys, run or None)
        total = sum((used for _, _, used in groups), Usage())
        unsettled = fsum(
            used.usd for (state,), _, used in ledger.accounts(["state"], run or None) if state == "reserved"
        )
        again = _repriced(call, ledger, run) if reprice else None
        prices = {name: ledger.prices(name) for name in ([run] if run else runs)}
    if as_json:
        told = {name: {m: asdict(p) for m, p in of.items()} for name, of in prices.items() if of}
        call.json(
            "sica.spend/1",
            run=run or None,
            by=keys,
            rows=[_record(keys, group) for group in groups],
            total=asdict(total),
            unsettled_usd=unsettled,
            repriced_usd=again,
            prices=told,
        )
    elif plain:
        for values, n, used in groups:
            print("\t".join([*(_cell(v) for v in values), str(n), repr(used.usd), str(used.tokens)]))
    else:
        call.page(_lines(call, keys, groups, total, unsettled, again))


def _record(keys: Sequence[str], group: Group) -> Mapping[str, Any]:
    values, n, used = group
    return {**dict(zip(keys, values, strict=True)), "n": n, **asdict(used)}


def _lines(
    call: Invocation,
    keys: Sequence[str],
    groups: Sequence[Group],
    total: Usage,
    unsettled: float,
    again: float | None,
) -> Iterator[str]:
    if not groups:
        yield "nothing was spent: no model was called"
        return
    shown = apportioned([used.usd for _, _, used in groups], total.usd)
    rows = [
        [*(_word(k, v) for k, v in zip(keys, values, strict=True)), *_numbers(used), money]
        for (values, _, used), money in zip(groups, shown, strict=True)
    ]
    rows.append(["total", *[""] * (len(keys) - 1), *_numbers(total), apportioned([total.usd], total.usd)[0]])
    header = [*keys, "calls", "prompt", "cached", "written", "answers", "cost"]
    yield from report.table(rows, "<" * len(keys) + ">" * 6, call.look(), header=header, flexible=0)
    if unsettled:
        yield f"{report.money(unsettled)} of it is held by calls whose process was killed, or that are under way"
    if again is not None:
        yield f"at today's prices the same calls cost {apportioned([again], again)[0]}"


def _numbers(used: Usage) -> tuple[str, ...]:
    counts = (used.prompt_tokens, used.cached_tokens, used.cache_write_tokens, used.completion_tokens)
    return f"{used.calls:,}", *map(report.count, counts)


def _word(key: str, value: Any) -> str:
    if value in (None, ""):
        return {"run": "no run", "task": "no task", "agent": "no agent"}.get(key, "-")
    return f"agent/{value}" if key == "agent" else report.clean(str(value))


def _cell(value: Any) -> str:
    return "" if value is None else report.clean(str(value))


def apportioned(parts: Sequence[float], total: float) -> list[str]:
    """Dollars as they are shown, rounded so that the parts shown add up to the total shown.

    In cents, or in hundredths of one where all of it is less than a dollar.
    """
    digits = 2 if total >= 1 else 4
    unit = 10**digits
    exact = [part * unit for part in parts]
    whole = [floor(value) for value in exact]
    short = round(total * unit) - sum(whole)
    for at in sorted(range(len(parts)), key=lambda n: whole[n] - exact[n])[: max(0, short)]:
        whole[at] += 1
    return [f"${value / unit:,.{digits}f}" if value else "$0" for value in whole]


# ── other prices ──────────────────────────────────────────────────────────────────────────────────


def _repriced(call: Invocation, ledger: SqliteLedger, run: str) -> float:
    """What the calls would cost by sica.toml and LiteLLM's map as they are now."""
    from sica import gateways

    config = call.settings().config
    calls = [c for c in ledger.calls() if not run or c.run == run]
    prices: dict[str, Price] = {}
    for model in {c.model for c in calls if c.usage.calls and c.model}:
        kind = model.partition("/")[0]
        gateway = gateways.open_gateway(model if kind != "replay" else "offline")
        price = config.price(model) or gateway.price(model)
        if price is None:
            raise UsageError(
                f"nobody knows the price of {model}",
                f"sica config set prices.{model}.prompt DOLLARS_PER_MILLION, and .completion",
            )
        prices[model] = price
    return repriced(calls, prices)


def repriced(calls: Sequence[Call], prices: Mapping[str, Price]) -> float:
    """Dollars of the calls at these prices: by their counts, and at the worst where they were never counted."""

    def each(one: Call) -> float:
        price = prices.get(one.model)
        if price is None or not one.usage.calls or not one.usage.tokens:
            return one.usage.usd
        if one.state == "settled":
            return price.of(one.usage)
        per_prompt, per_answer = price.most(one.usage.prompt_tokens)
        used = one.usage
        return price.call + used.prompt_tokens * per_prompt + used.completion_tokens * per_answer

    return fsum(each(one) for one in calls)
