"""A user's repository at one revision, read from git's objects. Never written to; none of its code or settings runs."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from random import Random
from typing import TYPE_CHECKING

from sica.errors import UsageError
from sica.model import File, Files

if TYPE_CHECKING:
    from dulwich.objects import Commit
    from dulwich.repo import Repo

MOST_BYTES = 48_000_000
MOST_FILES = 10_000
"""Of one workspace: it is put into a box for every trial. `--only` names a part of a larger repository."""

LEFT_BEHIND = (".pyc", ".pyo", ".orig", ".rej")
"""Endings of what programs leave beside the files that they read: code of another day than the commit's."""

_EXECUTABLE = 0o100755
_REGULAR = (0o100644, 0o100664, _EXECUTABLE)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit did to one path."""

    path: str
    before: File | None
    after: File | None


@dataclass(frozen=True)
class Source:
    """A repository at a revision."""

    repo: Repo = field(repr=False)
    name: str
    """The last part of its path: where it lies on this machine is nobody's business."""
    commit: str
    only: tuple[str, ...] = ()
    """Globs of paths; empty: all of them."""

    def dice(self, seed: int, item: str) -> Random:
        """The item's own: another item more or less moves none of them."""
        return Random(hashlib.sha256(f"{seed}:{self.commit}:{item}".encode()).hexdigest())

    @cached_property
    def files(self) -> Files:
        return self.files_at(self.commit)

    @cached_property
    def licence(self) -> str:
        """Hash of the text of its licence, or "": tasks carry its code."""
        named = [
            p
            for p in self.files
            if PurePosixPath(p).name.upper().startswith(("LICENSE", "LICENCE", "COPYING"))
        ]
        top = min(named, key=lambda p: (p.count("/"), p), default="")
        return f"sha256:{hashlib.sha256(self.files[top].data).hexdigest()}" if top else ""

    def files_at(self, commit: str) -> Files:
        """Regular files of the commit by path, sorted. Links, submodules and what programs left behind are no part of
        a workspace: compiled or saved code may be of a later day than the commit.

        Raises UsageError when they are more than a box should be given.
        """
        found: dict[str, File] = {}
        room = MOST_BYTES
        for path, mode, sha in self._entries(self._commit(commit).tree):
            data = self._blob(sha)
            room -= len(data)
            found[path] = File(data, mode == _EXECUTABLE)
            if room < 0 or len(found) > MOST_FILES:
                raise UsageError(
                    f"{self.name} at {commit[:10]}: over {MOST_FILES:,} files or {MOST_BYTES // 1_000_000} MB",
                    "--only 'src/*' takes a part of it",
                )
        return found

    def log(self, most: int) -> Iterator[Commit]:
        """Commits from the revision backwards, newest first; merges and the first commit are left out."""
        from dulwich.objects import ObjectID

        for entry in self.repo.get_walker(include=[ObjectID(self.commit.encode())], max_entries=most):
            if len(entry.commit.parents) == 1:
                yield entry.commit

    def since(self, commit: str) -> int:
        """How many commits the revision has that this one lacks; 0 when the repository does not know it."""
        from dulwich.objects import ObjectID

        here, there = ObjectID(self.commit.encode()), ObjectID(commit.encode())
        if there not in self.repo:
            return 0
        return sum(1 for _ in self.repo.get_walker(include=[here], exclude=[there]))

    def trunk(self, most: int) -> Iterator[Commit]:
        """Commits from the revision backwards along first parents, as a branch grew: what was merged is one of them."""
        at = self._commit(self.commit)
        for _ in range(most):
            if not at.parents:
                return
            yield at
            at = self._commit(at.parents[0].decode())

    def changes(self, commit: Commit) -> Sequence[Change]:
        """What the commit changed, by path, renames told as a deletion and an addition. Links and such are left out."""
        from dulwich.diff_tree import tree_changes

        parent = self._commit(commit.parents[0].decode())
        found = []
        for change in tree_changes(self.repo.object_store, parent.tree, commit.tree):
            old, new = change.old, change.new
            path = next(e.path for e in (new, old) if e is not None and e.path is not None)
            found.append(Change(path.decode("utf-8", "surrogateescape"), self._file(old), self._file(new)))
        return sorted(found, key=lambda change: change.path)

    def _file(self, entry: object) -> File | None:
        mode, sha = getattr(entry, "mode", None), getattr(entry, "sha", None)
        return File(self._blob(sha), mode == _EXECUTABLE) if mode in _REGULAR and sha is not None else None

    def _entries(self, tree: bytes) -> Iterator[tuple[str, int, bytes]]:
        from dulwich.object_store import iter_tree_contents
        from dulwich.objects import ObjectID

        for entry in sorted(
            iter_tree_contents(self.repo.object_store, ObjectID(tree)), key=lambda e: e.path or b""
        ):
            if entry.mode not in _REGULAR or entry.path is None or entry.sha is None:
                continue
            path = _printable(entry.path)
            if path and not _left_behind(path) and self._chosen(path):
                yield path, entry.mode, entry.sha

    def _chosen(self, path: str) -> bool:
        return not self.only or any(fnmatch.fnmatchcase(path, glob) for glob in self.only)

    def _blob(self, sha: bytes) -> bytes:
        from dulwich.objects import Blob, ObjectID

        found = self.repo[ObjectID(sha)]
        assert isinstance(found, Blob)
        return bytes(found.data)

    def _commit(self, commit: str) -> Commit:
        from dulwich.objects import Commit

        found = self.repo[commit.encode()]
        assert isinstance(found, Commit)
        return found


def open_source(path: Path, rev: str = "HEAD", only: Sequence[str] = ()) -> Source:
    """Raises UsageError for a folder that is no git repository, an unknown revision, or globs that match nothing."""
    from dulwich.errors import NotGitRepository
    from dulwich.objectspec import parse_commit
    from dulwich.repo import Repo

    try:
        repo = Repo.discover(str(path)) if path.is_dir() else Repo(str(path))
    except NotGitRepository:
        raise UsageError(
            f"{path}: no git repository",
            "git init && git add -A && git commit makes one of a folder"
            if path.is_dir()
            else "name a repository",
        ) from None
    try:
        commit = parse_commit(repo, rev.encode())
    except (KeyError, ValueError):
        raise UsageError(f"{path}: no revision {rev!r}", "git log --oneline shows what there is") from None
    root = Path(repo.path).resolve()
    name = root.parent.name if root.name == ".git" else root.name.removesuffix(".git")
    source = Source(repo, name, commit.id.decode(), tuple(only))
    if not source.files:
        what = f"nothing matches {' '.join(map(repr, only))}" if only else "it holds no file"
        raise UsageError(f"{path} at {rev}: {what}")
    return source


def _printable(path: bytes) -> str:
    """The path as text, or "" for one that no prompt and no box should carry."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _left_behind(path: str) -> bool:
    return path.endswith(LEFT_BEHIND) or "__pycache__" in path.split("/")


def texts(files: Files, suffix: str = ".py") -> Mapping[str, str]:
    """Files that are UTF-8 text, by path."""
    found = {}
    for path, file in files.items():
        if path.endswith(suffix):
            try:
                found[path] = file.data.decode("utf-8-sig")
            except UnicodeDecodeError:
                continue
    return found
