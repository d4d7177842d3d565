"""A made-up git history: commits with the names that git will give them, and the text that `git fast-import` reads.

It travels as that text, so that no repository lies on the host and every byte is the same everywhere. The box makes the
repository of it with `sh open.sh`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from sica.suites._words import PEOPLE

START = 1_600_000_000
Tree = Mapping[str, str]
"""Path -> text."""


def _name(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def _tree_name(files: Tree) -> str:
    """The object name of a tree, as git counts it: folders sort as if they ended with a slash."""
    blobs = {path: text for path, text in files.items() if "/" not in path}
    folders: dict[str, dict[str, str]] = {}
    for path, text in files.items():
        if "/" in path:
            folder, _, rest = path.partition("/")
            folders.setdefault(folder, {})[rest] = text
    entries = [(name, b"100644", _name("blob", text.encode())) for name, text in blobs.items()]
    entries += [(f"{name}/", b"40000", _tree_name(inner)) for name, inner in folders.items()]
    data = b"".join(
        mode + b" " + name.rstrip("/").encode() + b"\0" + bytes.fromhex(id)
        for name, mode, id in sorted(entries)
    )
    return _name("tree", data)


@dataclass(frozen=True)
class Commit:
    id: str
    parents: tuple[str, ...]
    files: Tree
    author: str
    when: int
    message: str


@dataclass
class History:
    dice: Random
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)
    """Shell lines for open.sh, run in the repository."""

    def commit(self, files: Tree, message: str, *parents: Commit, author: str = "") -> Commit:
        author = author or self.dice.choice(PEOPLE)
        when = START + len(self.commits) * 7200 + self.dice.randrange(3600)
        person = f"{author} <{author.split()[0].lower()}@example.org> {when} +0000"
        lines = [
            f"tree {_tree_name(files)}",
            *(f"parent {parent.id}" for parent in parents),
            f"author {person}",
            f"committer {person}",
            "",
            message,
        ]
        id = _name("commit", ("\n".join(lines) + "\n").encode())
        made = Commit(id, tuple(parent.id for parent in parents), dict(files), author, when, message)
        self.commits.append(made)
        return made

    def stream(self) -> str:
        """For git fast-import. Commits that no ref holds in the end are there all the same."""
        marks = {commit.id: n for n, commit in enumerate(self.commits, 1)}
        known = {commit.id: commit for commit in self.commits}
        parts: list[str] = []
        for commit in self.commits:
            person = f"{commit.author} <{commit.author.split()[0].lower()}@example.org> {commit.when} +0000"
            before: Tree = known[commit.parents[0]].files if commit.parents else {}
            text = f"{commit.message}\n"
            parts += [
                "reset refs/heads/import\n" if not commit.parents else "",
                f"commit refs/heads/import\nmark :{marks[commit.id]}\nauthor {person}\ncommitter {person}\n",
                _data(text),
            ]
            parts += [
                f"{'merge' if n else 'from'} :{marks[parent]}\n" for n, parent in enumerate(commit.parents)
            ]
            parts += [f"D {path}\n" for path in sorted(before) if path not in commit.files]
            parts += [
                f"M 644 inline {path}\n{_data(content)}"
                for path, content in sorted(commit.files.items())
                if before.get(path) != content
            ]
            parts.append("\n")
        parts += [f"reset {ref}\nfrom :{marks[id]}\n\n" for ref, id in sorted(self.refs.items())]
        return "".join(parts)

    def opened(self, folder: str) -> dict[str, str]:
        """The two files that make the repository in a box."""
        lines = [
            "#!/bin/sh",
            f"# Makes the repository {folder}/ of its history. Run it once.",
            "set -e",
            f"git init -q {folder}",
            f"cd {folder}",
            "git config user.name you",
            "git config user.email you@example.org",
            "git config advice.detachedHead false",
            "git fast-import --quiet --force < ../history.txt",
            "git update-ref -d refs/heads/import",
            "git symbolic-ref HEAD refs/heads/main",
            "git reset -q --hard",
            *self.after,
        ]
        return {"open.sh": "\n".join(lines) + "\n", "history.txt": self.stream()}


def _data(text: str) -> str:
    return (
        f"data {len(text.encode())}\n{text}\n"
        if not text.endswith("\n")
        else f"data {len(text.encode())}\n{text}"
    )


def near(history: Sequence[Commit], wanted: Commit) -> dict[str, float]:
    """1 for the commit, half for a parent or a child; short names count as the whole."""
    by_id = {commit.id: commit for commit in history}
    beside = [by_id[id] for id in wanted.parents] + [c for c in history if wanted.id in c.parents]
    table: dict[str, float] = {}
    for commit, credit in [*((c, 0.5) for c in beside), (wanted, 1.0)]:
        table |= {commit.id[:length]: credit for length in range(7, 41)}
    return table
