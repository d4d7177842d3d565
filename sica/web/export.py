"""One file for sharing: the same page, with the answers it would have asked for.

The same archive gives the same bytes. Before anything is written, every string is looked through for what should not
be shared: keys of providers, values of this host's secrets, the user's own folder.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sica import chronicle
from sica.errors import SicaError, UsageError
from sica.web import bundle, hunks, lineage, live, people
from sica.web.app import STATIC
from sica.web.said import harmless
from sica.web.source import Source
from sica.web.tracefile import TraceFile, Wanted

Traces = Literal["none", "best", "all"]
Secrets = Literal["refuse", "redact", "keep"]
PAIRS_OF = 60
"""Up to so many agents, each is compared with its parent, the seed and the best; else the best one's ancestors are."""
SHOWN = 8
"""Places of secrets that are named."""

_SHAPES: Mapping[str, re.Pattern[str]] = {
    "an OpenAI or Anthropic key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "a Google key": re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"),
    "a Groq key": re.compile(r"\bgsk_[A-Za-z0-9]{30,}"),
    "a Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a Replicate token": re.compile(r"\br8_[A-Za-z0-9]{30,}"),
    "a Fireworks key": re.compile(r"\bfw_[A-Za-z0-9]{20,}"),
    "an xAI key": re.compile(r"\bxai-[A-Za-z0-9]{30,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
}
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_TRACES = ("trace", "old_trace", "new_trace", "made")


@dataclass(frozen=True, slots=True)
class Exported:
    html: str
    sizes: Mapping[str, int]
    """Bytes by part: page, lineage, agents, diffs, comparisons, traces."""
    redacted: int
    """Secrets taken out."""


def export(
    source: Source, environ: Mapping[str, str], *, traces: Traces = "none", secrets: Secrets = "refuse"
) -> Exported:
    """Raises UsageError, naming the places, when there is something in it that should not be shared."""
    sizes: Counter[str] = Counter()
    scan = Scan(environ, redact=secrets == "redact")
    kept = _trace_names(source, traces)
    parts: list[str] = []
    for part, url, schema, answer in _answers(source, kept):
        plain = harmless({"schema": f"sica.web.{schema}/1", **answer})
        if secrets != "keep":
            plain = scan(url, plain)
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
        parts.append(f"{json.dumps(url)}:{text}")
        sizes[part] += len(text.encode())
    if scan.found and secrets == "refuse":
        raise _told(scan.found)
    html = bundle.page(STATIC, "{" + ",".join(parts) + "}")
    sizes["page"] = len(html.encode()) - sum(sizes.values())
    return Exported(html, sizes, len(scan.found))


def _told(found: Sequence[tuple[str, str]]) -> UsageError:
    places = list(dict.fromkeys(found))
    lines = [f"{where}: {what}" for where, what in places[:SHOWN]]
    more = [f"and {len(places) - SHOWN} more places"] if len(places) > SHOWN else []
    return UsageError(
        "not exported, as it holds what should not be shared:\n  " + "\n  ".join(lines + more),
        "--secrets redact takes them out; --secrets keep if they are none",
    )


# ── what goes in ──────────────────────────────────────────────────────────────────────────────────

Part = tuple[str, str, str, Mapping[str, Any]]


def _answers(source: Source, kept: frozenset[str]) -> Iterator[Part]:
    """Part, address, schema and answer of everything the page can ask for."""
    archive = lineage.archive(source)
    at = _ended(source)
    mark = str(chronicle.now(source.ledger))
    archive["meta"] |= {"offline": True, "readonly": True, "token": "", "user": ""}
    yield "lineage", "/api/archive", "archive", archive | {"cursor": mark}
    status = live.status(source)
    yield (
        "lineage",
        "/api/status",
        "status",
        status | {"live": False, "controllable": False, "now": at, "cursor": mark},
    )
    yield "lineage", "/api/progress", "progress", lineage.progress(source)
    yield "lineage", "/api/matrix", "matrix", lineage.matrix(source)
    yield "lineage", "/api/running", "running", {"boxes": []}
    yield "lineage", "/api/log", "log", _linked(people.log(source, "", frozenset(), 200), kept)
    yield "lineage", "/api/requests", "requests", people.requests(source)
    for number in sorted(source.numbers().values()):
        agent = lineage.agent(source, number) | {"can_reject": False, "can_approve": False}
        yield "agents", f"/api/agent/{number}", "agent", _linked(agent, kept)
        yield from _diff(source, number, None)
    for old, new in _pairs(archive):
        yield (
            "comparisons",
            f"/api/compare/{old}/{new}",
            "compare",
            _linked(lineage.compare(source, old, new), kept),
        )
        yield from _diff(source, new, old)
    for name in sorted(kept):
        yield from _trace(source, name)


def _ended(source: Source) -> float:
    """When the newest thing happened: an export has no other clock."""
    runs = source.ledger.runs()
    times = [
        event["at"] or 0.0
        for _, _, event in chronicle.before(source.ledger, chronicle.now(source.ledger), "rivtp", 1)
    ]
    return max([0.0, *times, *(run.ended or 0.0 for run in runs)])


def _diff(source: Source, new: int, against: int | None) -> Iterator[Part]:
    url = f"/api/agent/{new}/diff" + (f"?against={against}" if against is not None else "")
    try:
        yield "diffs", url, "diff", hunks.diff(source, new, -1 if against is None else against)
    except SicaError:
        return  # a ledger without its repository: there is no code to show


def _pairs(archive: Mapping[str, Any]) -> list[tuple[int, int]]:
    rows = archive["agents"]
    best, seed = archive["best"], archive["seed"]
    meant = rows if len(rows) <= PAIRS_OF else [r for r in rows if r["agent"] in archive["path"]]
    pairs = {(row["parents"][0], row["agent"]) for row in meant if row["parents"]}
    for other in (best, seed):
        if other is not None:
            pairs |= {(min(other, r["agent"]), max(other, r["agent"])) for r in meant if r["agent"] != other}
    return sorted(pairs)


def _trace_names(source: Source, wanted: Traces) -> frozenset[str]:
    """Traces that are there, of the best agent or of all."""
    if wanted == "none":
        return frozenset()
    champion = source.reading().champion
    agents = [a for a in source.reading().agents if wanted == "all" or a.commit == champion]
    names = {agent.trace for agent in agents}
    for agent in agents:
        names |= {trial.trace for trial in source.ledger.trials_of(agent.commit)}
    there = set()
    for name in filter(None, names):
        try:
            source.traces.find(name)
        except UsageError:
            continue  # it was taken away; its trial stands without it
        there.add(name)
    return frozenset(there)


def _trace(source: Source, name: str) -> Iterator[Part]:
    file = TraceFile.of(source.traces, name)
    first = file.page(Wanted())
    yield "traces", f"/api/trace/{name}", "trace", first
    for number in range(1, first["pages"]):
        yield "traces", f"/api/trace/{name}?page={number}", "trace", file.page(Wanted(number))
    file.close()


def _linked(value: Any, kept: frozenset[str]) -> Any:
    """Without the names of traces that are not in the file: a link to nowhere is worse than none."""
    if isinstance(value, Mapping):
        return {
            k: "" if k in _TRACES and isinstance(v, str) and v not in kept else _linked(v, kept)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_linked(item, kept) for item in value]
    return value


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────


class Scan:
    """Looks through every string, and takes out what should not be shared when asked to."""

    def __init__(self, environ: Mapping[str, str], *, redact: bool = False) -> None:
        self.found: list[tuple[str, str]] = []
        self._redact = redact
        self._shapes = dict(_SHAPES)
        for name, value in sorted(environ.items()):
            if _SECRET_NAME.search(name) and len(value) >= 8:
                self._shapes[f"the value of {name}"] = re.compile(re.escape(value))
        home = environ.get("HOME", "").rstrip("/")
        if home.count("/") > 1:  # /root and / say nothing of a person
            self._shapes["your home folder"] = re.compile(rf"{re.escape(home)}(?![\w.-])")

    def __call__(self, where: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(where, value)
        if isinstance(value, Mapping):
            return {self._text(where, k): self(f"{where} {k}", v) for k, v in value.items()}
        if isinstance(value, list):
            return [self(where, item) for item in value]
        return value

    def _text(self, where: str, text: str) -> str:
        for what, shape in self._shapes.items():
            text = shape.sub(partial(self._met, where, what), text)
        return text

    def _met(self, where: str, what: str, found: re.Match[str]) -> str:
        self.found.append((where, what))
        return f"[{what}]" if self._redact else found[0]


def write(path: Path, html: str) -> None:
    """In one piece: whoever reads it has the old file or the new one."""
    if path.exists() and (not path.is_file() or b'id="data"' not in path.read_bytes()):
        raise UsageError(f"{path} is there already and is no export of sica", "name another file")
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(html, "utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
