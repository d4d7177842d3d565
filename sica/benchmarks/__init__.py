"""Where tasks come from. One file each; `open_benchmark` finds one by name or path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sica.errors import no_such

if TYPE_CHECKING:
    from sica.benchmarks.folder import FolderBenchmark


def shipped() -> dict[str, Path]:
    """The benchmarks that came with sica, by name: beside the checkout's package or where it was
    installed.
    """
    places = (
        Path(__file__).parents[2] / "benchmark_data",
        Path(__file__).parents[1] / "benchmark_data",
    )
    for place in places:
        if place.is_dir():
            return {path.name: path for path in sorted(place.iterdir()) if any(path.glob("*/task.toml"))}
    return {}


def open_benchmark(
    name_or_path: str, names: Sequence[str] = (), *, runtime: Path | None = None
) -> FolderBenchmark:
    """`core`, `core/fix-ledger`, `core/fix-*`, or a directory of tasks, or one task's folder.

    A shipped name wins over a directory of the same name; write ./core for the directory.
    Raises UsageError that lists what there is.
    """
    from sica.benchmarks.folder import FolderBenchmark

    known = shipped()
    name, _, task = name_or_path.partition("/")
    if name in known:
        chosen = (*names, *([task] if task else []))
        return FolderBenchmark(known[name], name, names=chosen, runtime=runtime)
    path = Path(name_or_path).expanduser()
    if path.name in ("dataset.toml", "registry.json") and path.is_file():
        path = path.parent
    if path.is_dir():
        real = path.resolve()
        own = real.parent.name if (real / "task.toml").is_file() else real.name
        return FolderBenchmark(real, own or "tasks", names=names, runtime=runtime)
    raise no_such("benchmark", name_or_path, [*known])
