"""What an agent changed in a folder, and how it gets there: through no link, never over what somebody else changed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sica import report
from sica.errors import UsageError
from sica.model import Ended, File, Files

LEFT_BEHIND = frozenset(("__pycache__", ".git"))


@dataclass(frozen=True, slots=True)
class Change:
    """What an agent left, against what it was given."""

    before: Files
    changed: Files
    """New or with other bytes."""
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)

    @property
    def names(self) -> list[str]:
        return sorted({*self.changed, *self.gone})

    @property
    def after(self) -> Files:
        kept = {name: file for name, file in self.before.items() if name not in self.gone}
        return {**kept, **self.changed}

    def diff(self) -> str:
        return "\n".join(differences(self.before, self.after))


def change(before: Files, left: Files, ended: Ended | None, workdir: str) -> Change:
    """Only what was missing in a box that came to its end counts as removed, not what could not be brought out."""
    after = {name: f for name, f in left.items() if LEFT_BEHIND.isdisjoint(PurePosixPath(name).parts)}
    whole = ended is not None and ended.collected
    refused = ended.refused if ended else ()
    gone = (
        n for n in sorted(before.keys() - after.keys()) if whole and not _stayed(f"{workdir}/{n}", refused)
    )
    return Change(before, {n: f for n, f in after.items() if before.get(n) != f}, tuple(gone))


def _stayed(path: str, refused: Sequence[str]) -> bool:
    """Whether it, or a folder that it is in, is still in the box."""
    ways = tuple(f"{way}: " for way in (path, *map(str, PurePosixPath(path).parents)))
    return any(line.startswith(ways) for line in refused)


@dataclass
class Place:
    """A folder that changes are written into, and what was written there."""

    folder: Path
    mine: dict[str, File | None] = field(default_factory=dict)
    """As it was left by us; None: removed."""

    def land(self, wanted: Change) -> Change:
        """Write what nobody else has touched; what could not be written comes back."""
        kept = {n for n in (*wanted.changed, *wanted.gone) if self._is_anothers(n, wanted)}
        files = {n: f for n, f in wanted.changed.items() if n not in kept}
        gone = [n for n in wanted.gone if n not in kept]
        if files or gone:
            write_back(self.folder, files, gone)
        self.mine |= {**files, **dict.fromkeys(gone)}
        return Change(
            {}, {n: f for n, f in wanted.changed.items() if n in kept}, tuple(kept & {*wanted.gone})
        )

    def undo(self, done: Change) -> Change:
        """Put back what was there before; what somebody touched since stays, and comes back."""
        files = {n: done.before[n] for n in (*done.changed, *done.gone) if n in done.before}
        new = tuple(n for n in done.changed if n not in done.before)
        return self.land(Change(done.after, files, new))

    def _is_anothers(self, name: str, wanted: Change) -> bool:
        as_we_left_it = self.mine.get(name, wanted.before.get(name))
        return self._now(name) not in (as_we_left_it, wanted.changed.get(name))

    def _now(self, name: str) -> File | None:
        path = self.folder / name
        try:
            if path.is_symlink():
                return File(b"", executable=True)  # nothing of ours: like no file that was read
            return File(path.read_bytes(), bool(path.stat().st_mode & 0o100))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            return File(b"", executable=True)


def stat(done: Change) -> Iterator[tuple[str, str]]:
    """Each file that changed, cleaned, and by how much."""
    for name in done.names:
        lines = list(differences(_only(done.before, name), _only(done.after, name)))
        if lines and not lines[0].startswith("--- "):
            yield report.clean(name), "binary" if lines[0].startswith("Binary") else "mode"
            continue
        body = lines[2:]
        added, removed = (sum(line.startswith(sign) for line in body) for sign in "+-")
        made = "   new" if name not in done.before else "   removed" if name in done.gone else ""
        yield report.clean(name), f"+{added} -{removed}{made}"


def _only(files: Files, name: str) -> Files:
    return {name: files[name]} if name in files else {}


def differences(before: Files, after: Files) -> Iterator[str]:
    """A unified diff for people, cleaned; what is not text is named only."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        shown = report.clean(name)
        pair = [_lines(old), _lines(new)]
        if None in pair:
            yield f"Binary file {shown} {'removed' if new is None else 'changed' if old else 'added'}"
            continue
        heads = (f"a/{shown}" if old else "/dev/null", f"b/{shown}" if new else "/dev/null")
        yield from (
            report.clean_block(line)
            for line in difflib.unified_diff(pair[0] or [], pair[1] or [], *heads, lineterm="")
        )
        if old and new and old.executable != new.executable:
            yield f"mode of {shown}: {'executable' if new.executable else 'not executable'}"


def _lines(file: File | None) -> list[str] | None:
    if file is None:
        return []
    if b"\0" in file.data:
        return None
    try:
        return file.data.decode().splitlines()
    except UnicodeDecodeError:
        return None


def write_back(place: Path, files: Mapping[str, File], gone: Sequence[str]) -> None:
    """Write files below a folder, through no link: what an agent left may not reach anything else."""
    place.mkdir(parents=True, exist_ok=True)
    root = place.resolve()
    for name in [*files, *gone]:
        target = root / name
        if not target.parent.resolve().is_relative_to(root) or ".." in PurePosixPath(name).parts:
            raise UsageError(
                f"{report.clean(name)} leaves {root}: it is behind a link", "nothing of it was written"
            )
    for name, file in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.write_bytes(file.data)
        target.chmod(0o755 if file.executable else 0o644)
    for name in gone:
        (root / name).unlink(missing_ok=True)
