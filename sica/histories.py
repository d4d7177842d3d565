"""A made-up git history: commits with the names that git will give them, and the text that `git fast-import` reads.

It travels as that text, so that no repository lies on the host and every byte is the same everywhere. The box makes the
repository of it with `sh open.sh`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from sica.model import File

PEOPLE = ("Ada Brook", "Ben Carver", "Cora Dale", "Dan Ember", "Eva Finch", "Gus Hollow", "Ida Kerr", "Jon Lark",
          "Kit Moor", "Lea North", "Max Orton", "Nia Pell")  # fmt: skip
START = 1_600_000_000
Tree = Mapping[str, str | File]
"""Path -> text, or a file of any bytes."""


def _name(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def _data(entry: str | File) -> bytes:
    return entry.encode() if isinstance(entry, str) else entry.data


def _mode(entry: str | File) -> str:
    return "100755" if isinstance(entry, File) and entry.executable else "100644"


def _tree_name(files: Tree) -> str:
    """The object name of a tree, as git counts it: folders sort as if they ended with a slash."""
    blobs = {path: entry for path, entry in files.items() if "/" not in path}
    folders: dict[str, dict[str, str | File]] = {}
    for path, entry in files.items():
        if "/" in path:
            folder, _, rest = path.partition("/")
            folders.setdefault(folder, {})[rest] = entry
    entries = [(name, _mode(entry).encode(), _name("blob", _data(entry))) for name, entry in blobs.items()]
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

    def stream(self) -> bytes:
        """For git fast-import. Commits that no ref holds in the end are there all the same."""
        marks = {commit.id: n for n, commit in enumerate(self.commits, 1)}
        known = {commit.id: commit for commit in self.commits}
        parts: list[bytes] = []
        for commit in self.commits:
            person = f"{commit.author} <{commit.author.split()[0].lower()}@example.org> {commit.when} +0000"
            before: Tree = known[commit.parents[0]].files if commit.parents else {}
            start = "reset refs/heads/import\n" if not commit.parents else ""
            start += (
                f"commit refs/heads/import\nmark :{marks[commit.id]}\nauthor {person}\ncommitter {person}\n"
            )
            parts += [start.encode(), _counted(f"{commit.message}\n".encode())]
            parts += [
                f"{'merge' if n else 'from'} :{marks[parent]}\n".encode()
                for n, parent in enumerate(commit.parents)
            ]
            parts += [f"D {_path(path)}\n".encode() for path in sorted(before) if path not in commit.files]
            parts += [
                f"M {_mode(entry)[3:]} inline {_path(path)}\n".encode() + _counted(_data(entry))
                for path, entry in sorted(commit.files.items())
                if before.get(path) != entry
            ]
            parts.append(b"\n")
        parts += [f"reset {ref}\nfrom :{marks[id]}\n\n".encode() for ref, id in sorted(self.refs.items())]
        return b"".join(parts)

    def opened(self, folder: str) -> dict[str, str | bytes]:
        """The two files that make the repository in a box."""
        lines = [
            "#!/bin/sh",
            f"# Makes the repository {folder}/ of its history. Run it once.",
            "set -e",
            f"git init -q {folder}",
            f"cd {folder}",
            *_IMPORTED,
            "git reset -q --hard",
            *self.after,
        ]
        return {"open.sh": "\n".join(lines) + "\n", "history.txt": self.stream()}

    def opened_around(self, script: str, history: str) -> dict[str, bytes]:
        """Files of these names that make a repository of the folder that they lie in; main's files lie there already.

        Attributes of the files themselves have no say: what lies there is what the commit has, to the byte.
        """
        lines = [
            "#!/bin/sh",
            "# Makes a git repository of this folder, with its history. Run it once.",
            "set -e",
            'cd "$(dirname "$0")"',
            "git init -q .",
            "mkdir -p .git/info",
            "echo '* -text -eol -ident -filter -working-tree-encoding' > .git/info/attributes",
            f"printf '/%s\\n' {script} {history} > .git/info/exclude",
            *(line.replace("../history.txt", history) for line in _IMPORTED),
            "git reset -q",
        ]
        return {script: ("\n".join(lines) + "\n").encode(), history: self.stream()}


_IMPORTED = (
    "git config user.name you",
    "git config user.email you@example.org",
    "git config advice.detachedHead false",
    "git fast-import --quiet --force < ../history.txt",
    "git update-ref -d refs/heads/import",
    "git symbolic-ref HEAD refs/heads/main",
)


def _counted(data: bytes) -> bytes:
    """As fast-import reads it; a line's end follows where there is none, for people."""
    return b"data %d\n%s%s" % (len(data), data, b"" if data.endswith(b"\n") else b"\n")


def _path(path: str) -> str:
    """A name that starts with a quote would be read as a quoted one."""
    quoted = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"' if path.startswith('"') else path


def near(history: Sequence[Commit], wanted: Commit) -> dict[str, float]:
    """1 for the commit, half for a parent or a child; short names count as the whole."""
    by_id = {commit.id: commit for commit in history}
    beside = [by_id[id] for id in wanted.parents] + [c for c in history if wanted.id in c.parents]
    table: dict[str, float] = {}
    for commit, credit in [*((c, 0.5) for c in beside), (wanted, 1.0)]:
        table |= {commit.id[:length]: credit for length in range(7, 41)}
    return table
