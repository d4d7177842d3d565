"""A document as blocks, and the two forms it is written in: Markdown, and one HTML file that needs nothing else. Pure.

What agents and models wrote comes in as text and leaves as text: every word is escaped here, in one place. Only text of
our own may hold `code` between backticks, so others' text passes `quoted` first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from sica.plots import BEST, INK, QUIET
from sica.report import clean


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Words:
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    aligns: str
    """< or > a column."""


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    caption: str


@dataclass(frozen=True, slots=True)
class Fold:
    """What few will read, closed until it is opened."""

    title: str
    blocks: Sequence[Block]


Block = Heading | Words | Code | Table | Picture | Fold


def quoted(text: str) -> str:
    """Somebody else's text for a place where our own may hold code."""
    return clean(text).replace("`", "'")


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────


def markdown(blocks: Iterable[Block], files: Mapping[str, str]) -> str:
    """The document for a repository or an issue; `files` are the pictures' paths beside it."""
    return "\n".join(line for block in blocks for line in (*_marked(block, files), "")).rstrip() + "\n"


def _marked(block: Block, files: Mapping[str, str]) -> Iterator[str]:
    match block:
        case Heading():
            yield f"{'#' * block.level} {_plain(block.text)}"
        case Words():
            yield _plain(block.text)
        case Code():
            yield from ("```text", block.text.replace("```", "'''"), "```")
        case Table():
            yield "| " + " | ".join(map(_plain, block.header)) + " |"
            yield "|" + "|".join("---:" if a == ">" else "---" for a in block.aligns) + "|"
            yield from ("| " + " | ".join(map(_plain, row)) + " |" for row in block.rows)
        case Picture():
            if block.name in files:
                yield f"![{_plain(block.caption)}]({files[block.name].replace(' ', '%20')})"
                yield ""
            yield f"*{_plain(block.caption)}*"
        case Fold():
            yield from ("<details>", f"<summary>{escape(block.title)}</summary>", "")
            for inner in block.blocks:
                yield from (*_marked(inner, files), "")
            yield "</details>"


_SPECIAL = re.compile(r"([\\*_\[\]<>#|~$!&])")


def _plain(text: str) -> str:
    """Nothing in it is an order to a Markdown reader, but for `code`."""
    parts = clean(text).split("`")
    return "`".join(
        part.replace("|", "\\|") if at % 2 else _SPECIAL.sub(r"\\\1", part) for at, part in enumerate(parts)
    )


# ── HTML ──────────────────────────────────────────────────────────────────────────────────────────

_CSS = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --soft: #5c6670; --line: #d8dde2; --code: #f3f5f7;
  --best: #0b4f8a; --quiet: #7f8c9b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --paper: #15181b; --soft: #a3adb7; --line: #343a40;
  --code: #20252a; --best: #7cbcf2; --quiet: #8d99a6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; } h3 { font-size: 1rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } .r { text-align: right; white-space: nowrap; } td { min-width: 3rem; }
code, pre { font: .85em/1.45 ui-monospace, monospace; background: var(--code); border-radius: 4px; }
code { padding: .1em .3em; } pre { padding: .7rem .9rem; overflow-x: auto; }
figure { margin: 1.5rem 0; overflow-x: auto; } figcaption { color: var(--soft); font-size: .85rem; }
figure svg { display: block; width: 100%; height: auto; } figure.narrow svg { max-width: 36rem; }
figure.wide svg { min-width: 40rem; }
details { margin: 1rem 0; } summary { cursor: pointer; color: var(--best); }
@media print { body { max-width: none; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def html(title: str, blocks: Iterable[Block], pictures: Mapping[str, bytes]) -> str:
    """One file that opens from a disk with the network off: pictures inside, no script, light and dark."""
    body = "\n".join(line for block in blocks for line in _tagged(block, pictures))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(clean(title))}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _tagged(block: Block, pictures: Mapping[str, bytes]) -> Iterator[str]:
    match block:
        case Heading():
            yield f"<h{block.level}>{_escaped(block.text)}</h{block.level}>"
        case Words():
            yield f"<p>{_escaped(block.text)}</p>"
        case Code():
            yield f"<pre>{escape(block.text)}</pre>"
        case Table():
            yield from _table(block)
        case Picture():
            if block.name in pictures:
                yield from _figure(block, pictures[block.name].decode())
        case Fold():
            yield f"<details><summary>{escape(block.title)}</summary>"
            for inner in block.blocks:
                yield from _tagged(inner, pictures)
            yield "</details>"


def _table(table: Table) -> Iterator[str]:
    side = [' class="r"' if align == ">" else "" for align in table.aligns]
    yield '<div class="table" tabindex="0"><table><thead><tr>'
    yield "".join(f"<th{s}>{_escaped(t)}</th>" for s, t in zip(side, table.header, strict=True))
    yield "</tr></thead><tbody>"
    for row in table.rows:
        cells = (f"<td{s}>{_escaped(t)}</td>" for s, t in zip(side, row, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


_SPAN = re.compile(r"(?<=%) (?=\[)|(?<=\d,) (?=[-+\d.]+\])")
"""The spaces of 42.9% [15.8, 75.0]: an interval stays on its line."""


def _escaped(text: str) -> str:
    parts = escape(_SPAN.sub("\u00a0", clean(text))).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))


def _figure(picture: Picture, svg: str) -> Iterator[str]:
    """The picture's own colours become the page's, and its names its own: several stand in one page."""
    drawn = svg[svg.index("<svg") :]
    wide = float(found[1]) > 300 if (found := re.search(r'width="([\d.]+)pt"', drawn)) else True
    drawn = re.sub(r' (?:width|height)="[\d.]+pt"', "", drawn, count=2)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{picture.name}-", drawn)
    for colour, ours in ((INK, "currentColor"), (BEST, "var(--best)"), (QUIET, "var(--quiet)")):
        drawn = drawn.replace(colour, ours)
    label = f'<svg role="img" aria-label="{escape(clean(picture.caption))}"'
    yield f'<figure class="{"wide" if wide else "narrow"}">' + drawn.replace("<svg", label, 1)
    yield f"<figcaption>{_escaped(picture.caption)}</figcaption></figure>"
