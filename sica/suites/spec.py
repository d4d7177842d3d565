"""spec: write a module from numbered clauses, every one of them simple and none of them as anybody remembers it.

Ladder: 6 clauses; 15; 30; 45 in three files, the later ones overriding earlier ones. The rules are invented here and their numbers
and names are drawn, so that recalling a well-known format helps nobody. A clause earns when all of its cases come out; the
answers are those of a reference that is put together from the same clauses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sica.suites._made import Made
from sica.suites._truth import Probe, answers
from sica.suites._words import Names

CLAUSES = (6, 15, 30, 45)
OVERRIDES = (0, 2, 5, 10)
CASES = 5


@dataclass(frozen=True)
class Rule:
    """One thing that is done to one value."""

    text: str
    """What happens to `it`, as a sentence."""
    code: Sequence[str]
    """Python that ends by assigning `it`."""
    sample: Callable[[Random], Any]


@dataclass(frozen=True)
class Style:
    family: str
    module: str
    function: str
    opening: str
    name: Callable[[Names], str]
    subject: str
    """How a clause names its value."""
    source: Callable[[Sequence[tuple[str, Sequence[str]]]], str]
    arguments: Callable[[str, Any], list[Any]]
    kinds: Sequence[Callable[[Random], Rule]]


def task(dice: Random, level: int, nth: int) -> Made:
    style = STYLES[nth % len(STYLES)]
    names = Names(dice)
    total, overrides = CLAUSES[level - 1], OVERRIDES[level - 1]
    clauses = [(style.name(names), style.kinds[n % len(style.kinds)](dice)) for n in range(total - overrides)]
    dice.shuffle(clauses)
    told = [
        f"{n}. {style.subject.format(name=name)}: {rule.text}" for n, (name, rule) in enumerate(clauses, 1)
    ]
    code = {name: list(rule.code) for name, rule in clauses}
    samples = {name: [rule.sample(dice) for _ in range(CASES)] for name, rule in clauses}
    replaced = sorted(dice.sample(range(len(clauses)), overrides))
    for n, at in enumerate(replaced, total - overrides + 1):
        name, rule = clauses[at]
        text, code[name] = _override(dice, rule, n % 2 == 0)
        told.append(f"{n}. This changes clause {at + 1} ({style.subject.format(name=name)}). {text}")
    source = style.source(sorted(code.items()))
    checks = _checks(style, source, samples)
    parts = _parts(told, level)
    where = ", ".join(f"`{path}`" for path in parts)
    return Made(
        family=style.family,
        description=f"A module of {total} clauses.",
        instruction=(
            f"Write `{style.module}.py` with a function `{style.function}` as {where} {'says' if len(parts) == 1 else 'say'}. "
            "Every clause counts by itself.\nOnly Python's standard library is there."
        ),
        workspace={path: style.opening + "\n\n" + "\n\n".join(lines) + "\n" for path, lines in parts.items()},
        solution={f"{style.module}.py": source},
        checks=checks,
    )


def _parts(told: Sequence[str], level: int) -> dict[str, Sequence[str]]:
    if level < 4:
        return {"SPEC.md": told}
    third = len(told) // 3
    return {
        "spec/part-1.md": told[:third],
        "spec/part-2.md": told[third : 2 * third],
        "spec/part-3.md": told[2 * third :],
    }


def _override(dice: Random, rule: Rule, instead: bool) -> tuple[str, list[str]]:
    """A condition on an earlier clause, or something else done to its result."""
    if instead:
        new = dice.randrange(2, 9)
        text = f"What comes out of it is a list of {new} times the same."
        return text, [*rule.code, f"it = [it] * {new}"]
    word = dice.choice(("skip", "plain", "raw"))
    text = f"When the value, as text, has {dice.choice(('exactly', 'just'))} 3 characters it is left alone and `{word}` is put before it, as text."
    return text, [
        "if len(str(it)) == 3:",
        f'    it = "{word}" + str(it)',
        "else:",
        *(f"    {line}" for line in rule.code),
    ]


def _checks(style: Style, source: str, samples: dict[str, list[Any]]) -> list[dict[str, Any]]:
    call = f"{style.module}.{style.function}"
    probes: list[Probe] = [
        {"steps": [{"call": call, "args": style.arguments(name, sample)} for sample in cases]}
        for name, cases in sorted(samples.items())
    ]
    right = answers({f"{style.module}.py": source}, probes)
    return [
        {"id": f"clause-{name}", **probe, **good}
        for name, probe, good in zip(sorted(samples), probes, right, strict=True)
    ]


# ── rules about a value ───────────────────────────────────────────────────────────────────────────


def _word(dice: Random) -> str:
    return "".join(dice.choice("abcdefgklmnoprstuw") for _ in range(dice.randrange(3, 10)))


def nearest(dice: Random) -> Rule:
    k = dice.randrange(4, 15)
    up = dice.random() < 0.5
    return Rule(
        f"a whole number goes to the nearest multiple of {k}; one that is halfway goes to the {'greater' if up else 'smaller'} of the two.",
        [
            f"low = it // {k} * {k}",
            f"it = low if it - low < low + {k} - it or ({not up} and it - low == low + {k} - it) else low + {k}",
        ],
        lambda d: d.choice((d.randrange(-99, 300), k // 2 + k * d.randrange(9))),
    )


def bounce(dice: Random) -> Rule:
    low, high = dice.randrange(5, 20), dice.randrange(30, 70)
    return Rule(
        f"a whole number below {low} or above {high} is thrown back as far as it lies outside, once, and may so leave at the other side.",
        [f"it = {2 * low} - it if it < {low} else {2 * high} - it if it > {high} else it"],
        lambda d: d.randrange(-40, 140),
    )


def capitals(dice: Random) -> Rule:
    k = dice.randrange(2, 5)
    nth = ("2nd", "3rd", "4th")[k - 2]
    return Rule(
        f"white space at both ends goes, then every {nth} letter becomes a capital, counted over letters alone; the others become small.",
        ["made, seen = [], 0", "for char in it.strip():", "    seen += char.isalpha()", f"    made.append(char.upper() if char.isalpha() and seen % {k} == 0 else char.lower())", 'it = "".join(made)'],
        lambda d: f" {_word(d)}-{_word(d).upper()}{d.randrange(9)} "[d.randrange(2) :],
    )  # fmt: skip


def words(dice: Random) -> Rule:
    sign = dice.choice(";|/")
    return Rule(
        f"text is split at `{sign}`; empty parts and parts that came before go; the rest stand in a list, the longest first, equal "
        "lengths from z to a.",
        [f'parts = dict.fromkeys(part for part in it.split("{sign}") if part)', "it = sorted(sorted(parts, reverse=True), key=len, reverse=True)"],
        lambda d: sign.join(d.choice(("", _word(d), "tin", "oak", "ash")) for _ in range(7)),
    )  # fmt: skip


def code(dice: Random) -> Rule:
    width = dice.randrange(4, 7)
    return Rule(
        f"text such as `ab-12` becomes its digits, filled with zeros on the right up to {width}, and then its letters backwards, with "
        "nothing between.",
        [
            f'it = "".join(c for c in it if c.isdigit()).ljust({width}, "0") + "".join(c for c in it if c.isalpha())[::-1]'
        ],
        lambda d: f"{_word(d)[:3]}-{d.randrange(1, 999)}",
    )


def mask(dice: Random) -> Rule:
    k, sign = dice.randrange(2, 5), dice.choice("*#~")
    return Rule(
        f"all characters of a text but the first {k} become `{sign}`; hyphens stay, and do not count among the first.",
        ["made, seen = [], 0", "for char in it:", '    seen += char != "-"', f'    made.append(char if char == "-" or seen <= {k} else "{sign}")', 'it = "".join(made)'],
        lambda d: f"{_word(d)[: d.randrange(1, 4)]}-{_word(d)}-{d.randrange(99)}",
    )  # fmt: skip


def span(dice: Random) -> Rule:
    hour = dice.choice((40, 50, 72, 90))
    return Rule(
        f"a span such as `2h05`, `3h` or `45m` becomes minutes; an hour has {hour} of them here, and what has no letter is hours.",
        [
            'hours, sign, rest = it.partition("h")',
            f'it = int(it[:-1]) if it.endswith("m") else int(hours) * {hour} + int(rest or 0)',
        ],
        lambda d: d.choice(
            (
                f"{d.randrange(1, 9)}h{d.randrange(40):02}",
                f"{d.randrange(1, 9)}h",
                f"{d.randrange(99)}m",
                f"{d.randrange(1, 9)}",
            )
        ),
    )


def digit(dice: Random) -> Rule:
    k = dice.choice((7, 8, 9))
    return Rule(
        f"a text gets `/` and a check digit: its digits, each times its place among the digits from 1 on, summed, modulo {k}.",
        [
            "found = [int(c) for c in it if c.isdigit()]",
            f'it = f"{{it}}/{{sum(n * each for n, each in enumerate(found, 1)) % {k}}}"',
        ],
        lambda d: f"{_word(d)[:2]}{d.randrange(10, 99_999)}",
    )


def says(dice: Random) -> Rule:
    yes, no = dice.sample(("on", "set", "open", "full"), 2), dice.sample(("off", "void", "shut", "nil"), 2)
    return Rule(
        f"`{yes[0]}` and `{yes[1]}` in any mix of capitals become true, `{no[0]}` and `{no[1]}` false, anything else the number of its characters.",
        [f"it = True if it.lower() in {yes!r} else False if it.lower() in {no!r} else len(it)"],
        lambda d: d.choice((*yes, *no, yes[0].upper(), no[1].title(), _word(d), " on")),
    )


def calendar(dice: Random) -> Rule:
    days, months = dice.choice((20, 28, 36)), dice.choice((8, 10, 14))
    return Rule(
        f"`day.month` becomes the number of the day in the year, from 0; every month has {days} days and a year {months} months; days and "
        "months too many run on, and over the end of the year to its start.",
        ['day, month = map(int, it.split("."))', f"it = ((month - 1) * {days} + day - 1) % {days * months}"],
        lambda d: f"{d.randrange(1, 45)}.{d.randrange(1, 18)}",
    )


def letters(dice: Random) -> Rule:
    k = dice.randrange(2, 6)
    return Rule(
        f"the letters a to z of a text move {k} on in the alphabet and from z to a, but those that follow an equal letter stay.",
        ['made, last = [], ""', "for char in it:", f'    made.append(chr((ord(char) - 97 + {k}) % 26 + 97) if "a" <= char <= "z" and char != last else char)', "    last = char", 'it = "".join(made)'],
        lambda d: _word(d) + d.choice(("ll", "ee-z", "zz", "ooo")) + _word(d),
    )  # fmt: skip


def share(dice: Random) -> Rule:
    k = dice.randrange(3, 8)
    return Rule(
        f"a whole number is shared among {k}: a list of {k} numbers that add up to it, as equal as can be, the greater ones last; one below "
        "0 is shared as 0.",
        ["it = max(it, 0)", f"it = [it // {k} + (n >= {k} - it % {k}) for n in range({k})]"],
        lambda d: d.randrange(-3, 120),
    )


_KINDS = (nearest, capitals, words, bounce, code, span, mask, says, digit, calendar, share, letters)


# ── three ways of calling them ────────────────────────────────────────────────────────────────────


def _indented(lines: Sequence[str], by: int) -> str:
    return "\n".join(" " * by + line for line in lines)


def _record_source(clauses: Sequence[tuple[str, Sequence[str]]]) -> str:
    functions = [f"def {name}(it):\n{_indented(lines, 4)}\n    return it\n" for name, lines in clauses]
    table = "\n".join(f'    "{name}": {name},' for name, _ in clauses)
    body = "def clean(record):\n    return {key: RULES[key](value) if key in RULES else value for key, value in record.items()}\n"
    return "\n\n".join(
        ['"""Records, cleaned field by field."""\n', *functions, f"RULES = {{\n{table}\n}}\n", body]
    )


def _machine_source(clauses: Sequence[tuple[str, Sequence[str]]]) -> str:
    branches = "".join(f'        if verb == "{name}":\n{_indented(lines, 12)}\n' for name, lines in clauses)
    return f'"""Verbs, carried out one after the other."""\n\n\ndef run(verbs, it):\n    for verb in verbs:\n{branches}    return it\n'


def _page_source(clauses: Sequence[tuple[str, Sequence[str]]]) -> str:
    functions = [f"def on_{name}(it):\n{_indented(lines, 4)}\n    return it\n" for name, lines in clauses]
    body = (
        "def render(lines):\n    shown = []\n    act = None\n    for line in lines:\n        if isinstance(line, str) and line.startswith(\"@\"):\n"
        "            act = globals().get(\"on_\" + line[1:])\n        else:\n            shown.append(act(line) if act else line)\n            act = None\n    return shown\n"
    )  # fmt: skip
    return "\n\n".join(
        ['"""Pages: a line that begins with @ says what becomes of the next one."""\n', *functions, body]
    )


STYLES = (
    Style(
        "records", "clean", "clean",
        "# Cleaning records\n\n`clean(record)` takes a dictionary and gives a new one with the same keys. A field without a clause stays as it is.\n"
        "Later clauses win over earlier ones.",
        lambda names: names.key(), "Field `{name}`", _record_source, lambda name, sample: [{name: sample, "free": "as it is"}], _KINDS,
    ),
    Style(
        "verbs", "verbs", "run",
        "# Verbs\n\n`run(verbs, it)` carries out a list of verbs on a value, each on what the one before left, and gives what is left in the end.\n"
        "A verb without a clause does nothing. Later clauses win over earlier ones.",
        lambda names: names.function(), "Verb `{name}`", _machine_source, lambda name, sample: [["pass", name], sample], _KINDS[4:] + _KINDS[:4],
    ),
    Style(
        "pages", "page", "render",
        "# Pages\n\n`render(lines)` takes a list and gives a list. A text `@name` says what becomes of the next line and is not shown itself; a line\n"
        "with no such text before it, or one that no clause tells of, is shown as it is. Lines may be texts or numbers. Later clauses win.",
        lambda names: names.thing(), "Line after `@{name}`", _page_source,
        lambda name, sample: [["head", f"@{name}", sample, sample, "@nothing", "tail"]], _KINDS[8:] + _KINDS[:8],
    ),
)  # fmt: skip
