"""Where tasks come from. One file each; `open_benchmark` finds one by name or path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sica.errors import no_such

if TYPE_CHECKING:
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
        return FolderBenchmark(place_of(name), name, names=chosen, runtime=runtime)
    path = Path(name_or_path).expanduser()
    if path.name in ("dataset.toml", "registry.json") and path.is_file():
        path = path.parent
    if path.is_dir():
        real = path.resolve()
        own = real.parent.name if (real / "task.toml").is_file() else real.name
        return FolderBenchmark(real, own or "tasks", names=names, runtime=runtime)
    raise no_such("benchmark", name_or_path, [*known])
