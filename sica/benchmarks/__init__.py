"""Where tasks come from. One file each; `open_benchmark` finds one by name, prefix or the form of what lies there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from sica.errors import UsageError, no_such

if TYPE_CHECKING:
    from sica.benchmarks._imported import Importer
    from sica.benchmarks.folder import FolderBenchmark


def _data() -> Path | None:
    """benchmark_data, beside the checkout's package or where it was installed."""
    package = Path(__file__).parents[1]
    return next(
        (p for p in (package.parent / "benchmark_data", package / "benchmark_data") if p.is_dir()), None
    )


def shipped() -> tuple[str, ...]:
    """Names of the benchmarks that come with sica."""
    data = _data()
    if data is None:
        return ()
    from sica.benchmarks.suites import pinned

    return (*sorted(_folders(data)), *pinned(data))


def _folders(data: Path) -> dict[str, Path]:
    return {path.name: path for path in data.iterdir() if any(path.glob("*/task.toml"))}


def place_of(name: str) -> Path:
    """The folder of a shipped benchmark; a suite is made of its seed when it is first wanted."""
    from sica.benchmarks.suites import folder

    data = _data()
    assert data is not None, "only of what shipped() names"
    return _folders(data).get(name) or folder(name, data)


def importers() -> tuple[str, ...]:
    """Names of the importers: every file here that a user may name; folders and suites go by their own."""
    found = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return tuple(sorted(name.replace("_", "-") for name in found if name not in ("folder", "suites")))


def importer(name: str) -> Importer:
    found: Importer = import_module(f"sica.benchmarks.{name.replace('-', '_')}")
    return found


@dataclass(frozen=True, slots=True)
class Named:
    """What `humaneval:./HumanEval.jsonl:max=20:seed=1` says."""

    place: str
    """A shipped benchmark or a path."""
    form: str = ""
    """The importer's name, when it was given."""
    most: int | None = None
    seed: int = 0

    def __str__(self) -> str:
        form = f"{self.form}:" if self.form else ""
        most = f":max={self.most}" if self.most is not None else ""
        return f"{form}{self.place}{most}{f':seed={self.seed}' if self.seed else ''}"


def named(words: str) -> Named:
    """Read a benchmark's name, its form before it and its options behind it. Raises UsageError for an odd option."""
    form, colon, rest = words.partition(":")
    found = Named(rest, form) if colon and form in importers() else Named(words)
    while (at := found.place.rfind(":")) > 0 and (option := found.place[at + 1 :]).count("=") == 1:
        key, value = option.split("=")
        if key not in ("max", "seed"):
            break
        if not (value.isascii() and value.isdigit() and len(value) < 10 and (key == "seed" or int(value))):
            raise UsageError(f"{words}: {key}={value}: not a whole number", "such as :max=20:seed=1")
        found = replace(found, place=found.place[:at])
        found = replace(found, most=int(value)) if key == "max" else replace(found, seed=int(value))
    return found


def set_name(file: str) -> str:
    """A data set's name: its file's without what says how it is written."""
    for suffix in (".gz", ".jsonl", ".json", ".csv", ".parquet"):
        file = file.removesuffix(suffix)
    return file


def open_benchmark(words: str, names: Sequence[str] = (), *, runtime: Path | None = None) -> FolderBenchmark:
    """`core`, `core/fix-ledger`, `core/fix-*`, a directory of tasks, one task's folder, or a data set that an
    importer reads: `HumanEval.jsonl`, `answers:./test.jsonl`. `:max=20:seed=1` behind any of them draws so many.

    A shipped name wins over a directory of the same name; write ./core for the directory.
    Raises UsageError that lists what there is.
    """
    from sica.benchmarks.folder import FolderBenchmark, Subset

    known, asked = shipped(), named(words)
    subset = Subset(asked.most, asked.seed)
    name, _, task = asked.place.partition("/")
    if name in known and not asked.form:
        chosen = (*names, *([task] if task else []))
        return FolderBenchmark(place_of(name), name, names=chosen, subset=subset, runtime=runtime)
    path = Path(asked.place).expanduser()
    if path.name in ("dataset.toml", "registry.json") and path.is_file():
        path = path.parent
    if not path.exists():
        _slips(asked)
        if asked.form or "." in path.name or "/" in asked.place:
            raise UsageError(f"{path}: there is no such file or directory", _forms(asked.form))
        raise no_such("benchmark", asked.place, [*known])
    real = path.resolve()
    if form := asked.form or _form(real):
        from sica.benchmarks._imported import ImportedBenchmark

        own = set_name(real.name) or form
        return ImportedBenchmark(importer(form), real, own, names=names, subset=subset, runtime=runtime)
    if not real.is_dir():
        raise UsageError(f"{path}: no importer knows this form", _forms())
    own = real.parent.name if (real / "task.toml").is_file() else real.name
    return FolderBenchmark(real, own or "tasks", names=names, subset=subset, runtime=runtime)


def _slips(asked: Named) -> None:
    """Raises UsageError for what was meant as a form or an option and is none."""
    head, colon, rest = asked.place.partition(":")
    if not colon or asked.form:
        return
    if option := re.search(r":(\w+)=[^:/]*\Z", asked.place):
        raise no_such("option", option[1], ["max", "seed"])
    if re.fullmatch(r"[a-z][a-z0-9_-]*", head) and rest:
        raise no_such("importer", head, [*importers()])


def _form(path: Path) -> str:
    """Whose form this is, or "" for a directory of task folders. Raises UsageError when it could be two."""
    if path.is_dir() and any(
        (path / name).exists() for name in ("task.toml", "dataset.toml", "registry.json")
    ):
        return ""
    if path.is_dir() and any(path.glob("*/task.toml")):
        return ""
    found = [name for name in importers() if importer(name).fits(path)]
    if len(found) > 1:
        raise UsageError(f"{path}: could be {' or '.join(found)}", f"say which: {found[0]}:{path}")
    return found[0] if found else ""


def _forms(name: str = "") -> str:
    return "\n".join(f"{each}: {importer(each).FORM}" for each in ([name] if name else importers()))
