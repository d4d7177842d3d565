"""edit: precise changes in long files full of look-alikes. What to change is said plainly; finding the one place and
leaving every other byte alone is the work.

Ladder: 200 lines and 1 edit; 1,500 and 3; 4,000 and 6 over two files; 8,000 and 12 over three, CR LF and tabs among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sica.suites._made import Made, expected
from sica.suites._words import Names

LINES = (200, 1_500, 4_000, 8_000)
EDITS = (1, 3, 6, 12)
FILES = (1, 1, 2, 3)


@dataclass
class Block:
    """One of many pieces that look alike: a section, a function or a record."""

    name: str
    lines: list[str]


@dataclass(frozen=True)
class Kind:
    """One language of files."""

    family: str
    where: str
    """How a place is named: the section, the function, the block."""
    ending: str
    block: Callable[[Random, Names], Block]
    edit: Callable[[Random, Block], str]
    """Change the block and say what was done, beginning with a verb."""
    joint: str = "\n"


def task(dice: Random, level: int, nth: int) -> Made:
    kind = KINDS[nth % len(KINDS)]
    names = Names(dice)
    count = FILES[level - 1]
    workspace: dict[str, bytes] = {}
    solution: dict[str, bytes] = {}
    told: list[str] = []
    for n in range(count):
        path = f"{names.thing()}.{kind.ending}"
        share = EDITS[level - 1] // count
        crlf = level == 4 and n == 1
        before, after, said = _file(dice, kind, LINES[level - 1] // count, share, names)
        workspace[path], solution[path] = (_bytes(text, crlf) for text in (before, after))
        told += [f"- In `{path}`, in the {kind.where} `{name}`, {what}." for name, what in said]
        if crlf:
            told.append(f"  (The lines of `{path}` end with CR LF, and stay so.)")
    spare = f"{names.thing()}.old"
    workspace[spare] = next(iter(workspace.values()))
    return Made(
        family=kind.family,
        description=f"{EDITS[level - 1]} edits in {LINES[level - 1]} lines that look alike.",
        instruction="Make these edits. Every other byte stays as it is, also in files that look the same.\n\n"
        + "\n".join(told),
        workspace=workspace,
        solution=solution,
        checks=[
            *(expected(f"edited-{n}", path) for n, path in enumerate(solution, 1)),
            {**expected("old-copy", spare), "guard": True},
        ],
        tests={f"expected/{path}": text for path, text in {**solution, spare: workspace[spare]}.items()},
    )


def _file(
    dice: Random, kind: Kind, lines: int, edits: int, names: Names
) -> tuple[str, str, list[tuple[str, str]]]:
    """The text before, the text after, and what was done in which block."""
    blocks: list[Block] = []
    while sum(len(block.lines) + 1 for block in blocks) < lines:
        blocks.append(kind.block(dice, names))
    before = _text(kind, blocks)
    # One edit near each end, so that a view of the first page is never enough.
    chosen = sorted(
        dice.sample(range(len(blocks) // 2, len(blocks)), 1) + dice.sample(range(len(blocks) // 2), edits - 1)
    )
    said = [(blocks[n].name, kind.edit(dice, blocks[n])) for n in chosen]
    return before, _text(kind, blocks), said


def _text(kind: Kind, blocks: list[Block]) -> str:
    return kind.joint.join("".join(f"{line}\n" for line in block.lines) for block in blocks)


def _bytes(text: str, crlf: bool) -> bytes:
    return (text.replace("\n", "\r\n") if crlf else text).encode()


# ── settings in sections ──────────────────────────────────────────────────────────────────────────

_KEYS = ("timeout", "retries", "limit", "mode", "owner", "window", "burst", "backlog")
_MODES = ("strict", "loose", "mirror", "drain", "hold")


def _section(dice: Random, names: Names) -> Block:
    values = [str(dice.randrange(1, 9) * 15), str(dice.randrange(1, 5)), str(dice.randrange(1, 40) * 10),
              dice.choice(_MODES), names.dice.choice(("ops", "data", "field")), f"{dice.randrange(1, 9)}m",
              str(dice.randrange(2, 20)), str(dice.randrange(1, 8) * 32)]  # fmt: skip
    body = [f"{key} = {value}" for key, value in zip(_KEYS, values, strict=True)]
    name = names.key().replace("_", "-")
    return Block(name, [f"[{name}]", *body])


def _edit_section(dice: Random, block: Block) -> str:
    place = dice.randrange(1, len(block.lines))
    key, _, value = block.lines[place].partition(" = ")
    match dice.randrange(4):
        case 0:
            block.lines.pop(place)
            return f"delete the line of `{key} = `"
        case 1:
            new = f"grace = {dice.randrange(2, 90)}"
            block.lines.insert(place + 1, new)
            return f"insert the line `{new}` after the line `{key} = {value}`"
        case 2:
            new = f"{key} = {value}0" if value.isdigit() else f"{key} = {value}-2"
            block.lines[place] = new
            return f"replace `{key} = {value}` by `{new}`"
        case _:
            new = str(int(value) + 7) if value.isdigit() else f"{value}-slow"
            block.lines[place] = f"{key} = {new}"
            return f"set `{key}` to `{new}`"


# ── functions ─────────────────────────────────────────────────────────────────────────────────────


def _function(dice: Random, names: Names) -> Block:
    name = names.function()
    limit, low = dice.choice((20, 50, 100)), dice.randrange(3)
    return Block(
        name,
        [
            f"def {name}(rows, limit={limit}, strict=False):",
            f'    """Rows that stand above {low}, at most `limit` of them."""',
            "    kept = []",
            "    for row in rows:",
            f'        if row["value"] > {low}:',
            '            kept.append(row["name"])',
            f"        if len(kept) >= limit and {dice.choice(('not strict', 'strict'))}:",
            "            break",
            f'    return kept or ["{dice.choice(("none", "empty", "nothing"))}"]',
            "",
        ],
    )


def _edit_function(dice: Random, block: Block) -> str:
    lines = block.lines
    match dice.randrange(4):
        case 0:
            old = lines[0].partition("limit=")[2].partition(",")[0]
            lines[0] = lines[0].replace(f"limit={old}", "limit=75")
            return f"replace `limit={old}` by `limit=75`"
        case 1:
            lines[5] = lines[5].replace('row["name"]', 'row["name"].strip()')
            return 'replace `row["name"]` by `row["name"].strip()`'
        case 2:
            new = "        row = dict(row)"
            lines.insert(4, new)
            return f"insert the line `{new}` after the line `    for row in rows:`"
        case _:
            old = lines[6].partition("limit and ")[2]
            lines[6] = lines[6].replace(f"limit and {old}", "limit:")
            return f"replace `limit and {old}` by `limit:`"


# ── records ───────────────────────────────────────────────────────────────────────────────────────


def _record(dice: Random, names: Names) -> Block:
    name = names.key()
    steps = [f"\t  - wait: {dice.choice((5, 10, 15))}" for _ in range(3)]
    return Block(
        name,
        [
            f"{name}:",
            f"\towner: {dice.choice(('north', 'south', 'coast'))}",
            f"\trate: {dice.randrange(1, 60)}.{dice.randrange(10)}0",
            "\tsteps:",
            *(line for step in steps for line in (step, "\t    retry: 3")),
            "\ttags: [a, b]",
        ],
    )


def _edit_record(dice: Random, block: Block) -> str:
    lines = block.lines
    match dice.randrange(4):
        case 0:
            word, at = dice.choice((("first", 5), ("second", 7), ("third", 9)))
            lines[at] = "\t    retry: 8"
            return f"replace the {word} `retry: 3` by `retry: 8`"
        case 1:
            old = lines[2].partition(": ")[2]
            lines[2] = f"\trate: {old}5"
            return f"change `rate` from `{old}` to `{old}5`"
        case 2:
            lines[-1] = "\ttags: [a, b, late]"
            return "replace `[a, b]` by `[a, b, late]`"
        case _:
            new = "\tclosed: true"
            lines.insert(2, new)
            return f"insert the line `{new}` after the line `{lines[1]}`"


KINDS = (
    Kind("settings", "section", "ini", _section, _edit_section),
    Kind("functions", "function", "py", _function, _edit_function),
    Kind("records", "block", "yaml", _record, _edit_record),
)
