"""Agents as git commits. Nothing outside this file knows about git.

Write order: objects (fsync), then the ref by compare-and-swap (fsync, folder entry too); the ledger's row comes
after that. A ref never names what is not on the disk, and an object without a ref is harmless.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from dulwich.config import ConfigFile
from dulwich.file import FileLocked
from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.refs import DiskRefsContainer, Ref

from sica.errors import StoreError, UsageError
from sica.model import Agent, File, Files, Merged, Message

MAX_FILES = 5_000
MAX_BYTES = 20_000_000
MAX_FILE_BYTES = 5_000_000
MAX_NAME_BYTES = 255
"""Of one part of a path: what file systems hold."""
MAX_PATH_BYTES = 1_024
MAX_SUBJECT = 72
MAX_BODY = 5_000
LOCK_SECONDS = 60.0
"""How long a writer waits for another one before it says so."""

SCORES = "refs/notes/sica/score"
EVALUATIONS = "refs/notes/sica/eval"
REVIEWS = "refs/notes/sica/review"
"""What people, and overseers, said of an agent: JSON lines, oldest first."""

_MAIN = "refs/heads/main"
_SEALS = "refs/sica/seals"
_SHA = re.compile(r"[0-9a-f]{40}")
_BRANCH = re.compile(r"refs/heads/agent/(0|[1-9][0-9]{0,9})")
_REVISION = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_./+-]{0,199}(?:\^[0-9]?|~[0-9]{0,6})*")
_DIFF_OPTION = re.compile(
    r"--(?:stat|numstat|shortstat|summary|name-only|name-status|patch|no-renames|find-renames|minimal|patience"
    r"|histogram|word-diff|color|no-color|color=(?:always|never)|ignore-all-space|stat=\d{1,4}(?:,\d{1,4})?)"
    r"|-[puwbM]|-U\d{1,4}"
)

_CONFIG = {
    ("core", "repositoryformatversion"): "0",
    ("core", "bare"): "true",
    ("core", "hooksPath"): "/dev/null",
    ("core", "attributesFile"): "/dev/null",
    ("core", "fsync"): "all",
    ("core", "fsyncMethod"): "fsync",
    ("core", "logAllRefUpdates"): "false",
    ("gc", "auto"): "0",
    ("maintenance", "auto"): "false",
    ("notes", "displayRef"): SCORES,
    ("log", "excludeDecoration"): "refs/sica/*",
    # What an agent puts into a .gitmodules file is text to us; nothing ever follows it.
    ("fsck", "gitmodulesParse"): "ignore",
    ("fsck", "gitmodulesName"): "ignore",
    ("fsck", "gitmodulesUrl"): "ignore",
    ("fsck", "gitmodulesPath"): "ignore",
    ("alias", "lineage"): "log --graph --oneline --branches",
    ("alias", "staircase"): "log --first-parent --oneline main",
}

_ATTRIBUTES = "* -export-ignore -export-subst -text -eol -ident -filter -working-tree-encoding !diff !merge\n"
"""Outranks any .gitattributes in an agent's tree: an export is the tree's own bytes and a diff shows them."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A salt whose hash was published: what a suite was to be made of, before anybody knew it."""

    name: str
    """The hash."""
    made: float
    """Unix seconds."""
    salt: str = ""
    """Once it is open."""


@dataclass(frozen=True)
class GitRepo:
    """The bare repository that holds every agent; implements ports.Repo."""

    path: Path
    runtime: Path
    """Where exported trees live; anything in it may be deleted while no run is going."""

    @classmethod
    def create(cls, path: Path, runtime: Path | None = None) -> GitRepo:
        """Make the store, or complete one whose making was cut short; an existing one keeps what it holds."""
        repo = cls(path.absolute(), (runtime or path.absolute().parent / "runtime").absolute())
        with _plainly(repo.path):
            made = [folder for folder in (repo.path, *repo.path.parents) if not folder.exists()]
            repo.path.mkdir(parents=True, exist_ok=True)
            fresh = not _looks_like_git(repo.path)
            if fresh:
                repo._git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(repo.path))
            with repo._turn("config"):  # which clears away the lock file of a writer that was killed
                _configure(repo.path / "config")
            info = repo.path / "info"
            info.mkdir(exist_ok=True)
            (info / "attributes").write_text(_ATTRIBUTES)
            if fresh:
                _sync_all(repo.path)
                for folder in made:
                    _sync_folder(folder.parent)
        return repo

    @classmethod
    def open(cls, path: Path, runtime: Path | None = None) -> GitRepo:
        if not path.is_dir():
            raise UsageError(f"there is no store at {path}", "sica init")
        if not _looks_like_git(path):
            raise StoreError(
                f"{path} is not a whole git repository: HEAD, objects or refs is missing",
                "bring it back from a clone or a backup: git clone --bare <remote> agents.git",
            )
        return cls(path.absolute(), (runtime or path.absolute().parent / "runtime").absolute())

    # ── writing ───────────────────────────────────────────────────────────────────────────────────

    def add(self, files: Files, parents: Sequence[Agent], message: Message) -> Agent:
        """Commit a tree as the next agent/<n>; durable when it returns; safe beside other writers."""
        objects, tree = _objects_of(files)
        if not files:
            raise UsageError("an agent without files cannot be added", "is the folder of the agent empty?")
        clean = _cleaned(message)
        with _plainly(self.path):
            self._store(objects)
            with self._turn() as turn:
                self._ensure_main(turn)
                while True:
                    agent = self._commit_agent(tree, parents, clean, self._highest() + 1)
                    if turn.swap(f"refs/heads/{agent.name}", None, agent.commit):
                        break
                self._ensure_main(turn)
        return agent

    def promote(self, agent: Agent) -> str:
        """Merge the agent into main with the agent's tree; a no-op if it is already the champion."""
        with _plainly(self.path), self._turn() as turn:
            self._ensure_main(turn)
            while True:
                main = self._ref(_MAIN)
                if main is None:
                    raise StoreError(
                        f"{self.path} has no agent yet, so there is nothing to promote", "sica init"
                    )
                if self._champion_of(main) == agent.commit:
                    return main
                text = f"main: promote {agent.name}\n\nSica-Champion: {agent.name}\n"
                merge = self._commit(agent.tree, (main, agent.commit), text, self._committer)
                if turn.swap(_MAIN, main, merge):
                    return merge

    def merge(self, ours: Agent, theirs: Agent) -> Merged:
        """Both agents' changes since their common ancestor; nothing is committed. Raises UsageError without one.

        Conflict markers name the two agents. The objects that git writes for it have no ref, and are harmless.
        """
        with _plainly(self.path):
            if not self._git("merge-base", ours.commit, theirs.commit, ok=(0, 1)):
                raise UsageError(
                    f"{ours.name} and {theirs.name} have no common ancestor", "sica log shows the lineage"
                )
            out = self._git(
                "-c",
                "merge.conflictStyle=diff3",
                *("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"),
                *(ours.commit, theirs.commit),
                ok=(0, 1),
            )
            tree, *rest = out.split(b"\0")
        conflicts = tuple(sorted({name.decode(errors="surrogateescape") for name in rest if name}))
        files = dict(self.files(tree.decode()))
        for name in conflicts:
            if name in files:
                data = files[name].data
                for agent in (ours, theirs):
                    data = data.replace(agent.commit.encode(), agent.name.encode())
                files[name] = File(data, files[name].executable)
        return Merged(files, conflicts)

    def annotate(
        self,
        scores: Mapping[str, str],
        evaluations: Mapping[str, Sequence[str]],
        reviews: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Write refs/notes/sica/score (one line), eval and review (JSON lines) in one batch each.

        Evaluation lines are added to those that are there, sorted and unique, and reviews to the end of what was
        said, so saying one again changes nothing.
        """
        if not scores and not evaluations and not reviews:
            return
        with _plainly(self.path), self._turn(SCORES, EVALUATIONS, REVIEWS) as turn:
            known = dict(self._notes(EVALUATIONS, evaluations))
            lines = {
                commit: sorted({*known.get(commit, ()), *(_unbroken(line) for line in new)})
                for commit, new in evaluations.items()
            }
            stream = self._notes_commit(SCORES, {c: [_visible(line)] for c, line in scores.items()})
            stream += self._notes_commit(EVALUATIONS, lines)
            stream += self._notes_commit(REVIEWS, self._with(reviews or {}))
            self._git("fast-import", "--quiet", "--date-format=raw", stdin=stream, turn=turn)
            self._sync_folders()  # git syncs files, never the folders that name them

    def _with(self, reviews: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
        """All that is said of these agents once this is said too; nothing of those of whom it was said before."""
        known = dict(self._notes(REVIEWS, reviews)) if reviews else {}
        fresh = {
            commit: [line for line in dict.fromkeys(map(_unbroken, new)) if line not in known.get(commit, ())]
            for commit, new in reviews.items()
        }
        return {commit: (*known.get(commit, ()), *lines) for commit, lines in fresh.items() if lines}

    def review(self, agent: str, line: str) -> None:
        """Add a line to what is said of an agent in refs/notes/sica/review; durable when it returns."""
        with _plainly(self.path), self._turn(REVIEWS) as turn:
            known = dict(self._notes(REVIEWS, [agent])).get(agent, ())
            stream = self._notes_commit(REVIEWS, {agent: [*known, _unbroken(line)]})
            self._git("fast-import", "--quiet", "--date-format=raw", stdin=stream, turn=turn)
            self._sync_folders()

    def reviews(self, agent: str) -> tuple[str, ...]:
        """What was said of an agent, oldest first."""
        with _plainly(self.path):
            return dict(self._notes(REVIEWS, [agent])).get(agent, ())

    def seal(self, name: str, salt: str = "") -> None:
        """Publish a seal under refs/sica/seals/, or with its salt open it; dated, and durable when it returns.

        A seal that is there already, or open already, stays as it is.
        """
        ref = f"{_SEALS}/{name}"
        with _plainly(self.path):
            nothing = Tree()
            self._store([nothing])
            with self._turn() as turn:
                there = self._ref(ref)
                if (there is None) == bool(salt) or (salt and self._opened(ref)):
                    return
                text = f"seal: {'open' if salt else 'publish'} {name}\n"
                text += f"\nSica-Salt: {salt}\n" if salt else ""
                commit = self._commit(nothing.id.decode(), (there,) if there else (), text, self._committer)
                turn.swap(ref, there, commit)

    def _opened(self, ref: str) -> bool:
        there = self._ref(ref)
        return there is not None and bool(self._read_commit(there).parents)

    def seals(self) -> tuple[Seal, ...]:
        """Every seal that was published here, oldest first."""
        with _plainly(self.path):
            names = (
                self._git("for-each-ref", "--format=%(refname) %(objectname)", f"{_SEALS}/")
                .decode()
                .split("\n")
            )
            found = [self._seal(*line.split(" ")) for line in names if line]
        return tuple(sorted(found, key=lambda seal: (seal.made, seal.name)))

    def _seal(self, ref: str, commit: str) -> Seal:
        last = self._read_commit(commit)
        first = self._read_commit(last.parents[0].decode()) if last.parents else last
        salt = re.search(rb"^Sica-Salt: ([0-9a-f]+)$", last.message, re.MULTILINE)
        return Seal(
            ref.removeprefix(f"{_SEALS}/"), float(first.commit_time), salt[1].decode() if salt else ""
        )

    def pack(self) -> None:
        """Pack objects and refs and write the commit graph; nothing is ever pruned.

        What is loose goes after the folder that names its pack was synced: git alone does both in one breath.
        """
        with _plainly(self.path), self._turn("packed-refs", "objects/info/commit-graph") as turn:
            self._git("pack-refs", "--all", "--no-prune", turn=turn)
            self._git("repack", "-l", "-n", "-q", turn=turn)
            self._git("commit-graph", "write", "--reachable", "--no-progress", turn=turn)
            self._sync_folders()
            self._git("pack-refs", "--all", turn=turn)
            self._git("prune-packed", "--quiet", turn=turn)
            self._sync_folders()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def agents(self) -> Iterator[Agent]:
        """Every agent branch, by number, standing "unchecked"; refs are read once."""
        fields = ["refname", "objectname", "tree", "parent", "committerdate:unix", "contents"]
        layout = "".join(f"%({f})%00" for f in fields)
        with _plainly(self.path):
            out = self._git("for-each-ref", f"--format={layout}", "refs/heads/agent/")
        cells = out.split(b"\0")
        rows = [cells[i : i + len(fields)] for i in range(0, len(cells) - 1, len(fields))]
        found = {}
        for name, commit, tree, parents, created, contents in rows:
            match = _BRANCH.fullmatch(name.decode(errors="replace").strip())
            if match and tree:
                found[commit.decode()] = (
                    int(match[1]),
                    tree.decode(),
                    tuple(parents.decode().split()),
                    float(created or 0),
                    contents.decode(errors="replace"),
                )
        for sha, (number, tree_id, above, at, text) in sorted(found.items(), key=lambda item: item[1][0]):
            yield _agent(number, sha, tree_id, tuple(p for p in above if p in found), at, text)

    def files(self, tree: str) -> Files:
        with _plainly(self.path), self._objects() as objects:
            return dict(_walk(objects, _sha(tree), ""))

    def export(self, tree: str) -> Path:
        """A read-only directory with exactly the tree's files, made once per tree and shared by every box.

        What is there already is checked against the tree's id each time: a damaged one is made again.
        """
        place = self.runtime / "trees" / _sha(tree)
        with _plainly(self.path):
            _own_folder(self.runtime)
            _own_folder(place.parent)
            if _tree_on_disk(place) == tree:
                return place
            fresh = Path(tempfile.mkdtemp(prefix=f".{tree[:12]}-", dir=place.parent))
            try:
                self._extract(tree, fresh)
                _put(fresh, place, tree)
            finally:
                _discard(fresh)
        return place

    def diff(self, old: str, new: str, *options: str) -> str:
        """git's own diff text, hostile bytes included; options are fixed words, never from a model."""
        for option in options:
            if not _DIFF_OPTION.fullmatch(option):
                raise UsageError(
                    f"{option!r} is not an option of a diff", "for anything else: sica git diff ..."
                )
        pair = [self._must_parse(old), self._must_parse(new)]
        with _plainly(self.path):
            out = self._git(
                "diff", "--no-ext-diff", "--no-textconv", "--no-color", "-M", *options, *pair, "--"
            )
        return out.decode(errors="replace")

    def patch_ids(self, diffs: Mapping[str, str]) -> Mapping[str, str]:
        """git's patch-id of each diff, by the same key (a full hash); an empty diff has none."""
        told = "".join(f"commit {_sha(commit)}\n\n{diff}\n" for commit, diff in diffs.items())
        with _plainly(self.path):
            out = self._git("patch-id", "--stable", stdin=told.encode(errors="replace"))
        return {commit: patch for patch, commit in (line.split() for line in out.decode().splitlines())}

    def champion(self) -> str:
        """Commit of the agent that main points at: main's own commit is a merge of it, or it itself.

        "" while there is no agent.
        """
        with _plainly(self.path):
            main = self._ref(_MAIN)
            if main is not None:
                return self._champion_of(main)
        return next((a.commit for a in self.agents()), "")

    def rev_parse(self, text: str) -> str | None:
        """The commit that a hash, tag or branch names; None when there is none or the text is not a plain name."""
        if not _REVISION.fullmatch(text) or ".." in text:
            return None
        with _plainly(self.path):
            out = self._git(
                "rev-parse", "--verify", "--quiet", "--end-of-options", text + "^{commit}", ok=(0, 1, 128)
            )
        found = out.decode(errors="replace").strip()
        return found if _SHA.fullmatch(found) else None

    def notes(self, ref: str = EVALUATIONS) -> Mapping[str, tuple[str, ...]]:
        """Every line of one kind in git, by commit."""
        with _plainly(self.path):
            return dict(self._notes(ref))

    def fsck(self) -> list[str]:
        """What is wrong with the repository, a line each; empty when it is healthy."""
        with _plainly(self.path):
            out = self._git(
                "fsck", "--full", "--no-dangling", "--no-progress", ok=range(256), errors_too=True
            ).decode(errors="replace")
        talk = ("notice:", "Checking ", "dangling ")
        return [line for line in out.splitlines() if line.strip() and not line.startswith(talk)]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())

    def passthrough(self, argv: Sequence[str]) -> int:
        """Run git on the store for a person, on this terminal with the person's own settings; its exit code."""
        return subprocess.run(["git", f"--git-dir={self.path}", *argv], check=False).returncode

    # ── the git program ───────────────────────────────────────────────────────────────────────────

    def _git(
        self,
        *args: str,
        stdin: bytes | None = None,
        ok: Iterable[int] = (0,),
        turn: _Turn | None = None,
        errors_too: bool = False,
    ) -> bytes:
        """Run git on the store, apart from anyone's settings; a child holds the writer's turn until it ends."""
        program = _git_program()
        command = [program.Git.GIT_PYTHON_GIT_EXECUTABLE, f"--git-dir={self.path}", *args]
        with tempfile.TemporaryFile() as feed:
            feed.write(stdin or b"")
            feed.seek(0)
            status, out, err = program.Git(str(self.path)).execute(
                command,
                istream=feed,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                env=self._environment,
                pass_fds=() if turn is None else (turn.fd,),
            )
        said = err if isinstance(err, str) else err.decode(errors="replace")
        if status not in ok:
            raise StoreError(
                f"git {args[0]} failed on {self.path} (exit {status}): {_tail(said)}",
                "look with: sica git fsck; a store that is damaged comes back from a clone or a backup",
            )
        return bytes(out) + (said.encode() if errors_too else b"")

    @cached_property
    def _environment(self) -> dict[str, str]:
        """Nothing of the caller's git, nor of a hook that sica is started from, reaches the store."""
        return {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "0",
            "GIT_CONFIG_PARAMETERS": "",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_PAGER": "cat",
            "GIT_NAMESPACE": "",
            "GIT_TRACE": "0",
            "GIT_INDEX_FILE": str(self.path / "index"),
            "GIT_OBJECT_DIRECTORY": str(self.path / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
            "GIT_COMMON_DIR": str(self.path),
        }

    @cached_property
    def _committer(self) -> str:
        """Whoever runs sica, as git itself would name them here: `Name <mail>`."""
        asked = subprocess.run(
            ["git", "var", "GIT_COMMITTER_IDENT"], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
        match = re.fullmatch(r"(.*?) ?<(.*)> \d+ [+-]\d{4}", asked.stdout.decode(errors="replace").strip())
        name, mail = (match[1], match[2]) if match and asked.returncode == 0 else ("", "")
        return f"{_ident(name) or 'sica'} <{_ident(mail) or 'sica@sica.invalid'}>"

    # ── objects ───────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _objects(self) -> Iterator[DiskObjectStore]:
        """One for each use: dulwich's is not for several threads, and keeps packs open that git has replaced."""
        objects = DiskObjectStore(str(self.path / "objects"))
        try:
            yield objects
        finally:
            objects.close()

    def _store(self, objects: Iterable[ShaFile]) -> None:
        """Put objects on the disk, durably.

        Not dulwich's own add_object: it takes a lock file per object, so that two writers of the same object
        fail, and one that was killed blocks that object for ever.
        """
        with self._objects() as known:
            fresh = [each for each in objects if each.id not in known]
        folders = set()
        for each in fresh:
            name = each.id.decode()
            place = self.path / "objects" / name[:2] / name[2:]
            if not place.parent.exists():
                place.parent.mkdir(exist_ok=True)
                folders.add(place.parent.parent)
            _write_object(place, each.as_legacy_object())
            folders.add(place.parent)
        for folder in folders:
            _sync_folder(folder)

    def _sync_folders(self) -> None:
        """Those that name objects and refs. One in which nothing changed costs no write."""
        for folder, _, _ in chain(os.walk(self.path / "objects"), os.walk(self.path / "refs")):
            _sync_folder(Path(folder))
        _sync_folder(self.path)

    def _commit(self, tree: str, parents: Sequence[str], text: str, author: str) -> str:
        commit = Commit()
        commit.tree = ObjectID(tree.encode())
        commit.parents = [ObjectID(p.encode()) for p in parents]
        commit.author, commit.committer = author.encode(), self._committer.encode()
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = text.encode()
        self._store([commit])
        return commit.id.decode()

    def _commit_agent(self, tree: str, parents: Sequence[Agent], message: Message, number: int) -> Agent:
        first = parents[0] if parents else None
        author = f"sica {first.name} <agent-{first.number}@sica.invalid>" if first else self._committer
        text = _message_text(message, number, parents)
        above = tuple(p.commit for p in parents)
        commit = self._commit(tree, above, text, author)
        made = self._read_commit(commit).commit_time
        return _agent(number, commit, tree, above, float(made), text)

    def _read_commit(self, sha: str) -> Commit:
        with self._objects() as objects:
            found = objects[ObjectID(sha.encode())]
        if not isinstance(found, Commit):
            raise StoreError(f"{sha} in {self.path} is not a commit", "look with: sica git fsck")
        return found

    def _extract(self, tree: str, into: Path) -> None:
        archive = self._git("archive", "--format=tar", tree)
        files: dict[str, File] = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                if member.isdir() or member.type == tarfile.XGLTYPE:
                    continue
                data = tar.extractfile(member) if member.isreg() else None
                if data is None:
                    raise StoreError(f"{member.name!r} in tree {tree} is not a regular file", "sica git fsck")
                files[member.name] = File(data.read(), bool(member.mode & 0o111))
        _objects_of(files, limits=False)
        _write_tree(files, into)

    # ── refs and notes ────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _turn(self, *lockable: str) -> Iterator[_Turn]:
        """One sica writes refs at a time; the kernel ends the turn of a killed one."""
        with _flocked(self.path / "sica.lock") as fd:
            turn = _Turn(self.path, fd)
            turn.clear_stale()
            turn.intend(*lockable)
            try:
                yield turn
            finally:
                turn.intend()

    def _ref(self, name: str) -> str | None:
        """Read without dulwich, which parses all of packed-refs: 45 ms with 10,000 agents, and this 1 ms."""
        loose = self.path / name
        if loose.is_file():
            return loose.read_text().strip()
        match = re.search(rf"^([0-9a-f]{{40}}) {re.escape(name)}$", self._packed_refs(), re.MULTILINE)
        return match[1] if match else None

    def _packed_refs(self) -> str:
        try:
            return (self.path / "packed-refs").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _highest(self) -> int:
        """The highest number in use, -1 when there is none."""
        packed = self._packed_refs()
        numbers = [
            int(n) for n in re.findall(r"^[0-9a-f]+ refs/heads/agent/(\d{1,10})$", packed, re.MULTILINE)
        ]
        folder = self.path / "refs" / "heads" / "agent"
        if folder.is_dir():
            numbers += [int(f.name) for f in folder.iterdir() if re.fullmatch(r"[0-9]{1,10}", f.name)]
        return max(numbers, default=-1)

    def _ensure_main(self, turn: _Turn) -> None:
        """main starts at the first agent; a kill between the two refs is made good by the next writer."""
        if self._ref(_MAIN) is None:
            first = next(self.agents(), None)
            if first is not None:
                turn.swap(_MAIN, None, first.commit)

    def _champion_of(self, main: str) -> str:
        commit = self._read_commit(main)
        if b"\nSica-Champion: " in commit.message and len(commit.parents) == 2:
            return commit.parents[1].decode()
        return main

    def _notes(self, ref: str, only: Iterable[str] | None = None) -> Iterator[tuple[str, tuple[str, ...]]]:
        if self._ref(ref) is None:
            return
        wanted = None if only is None else set(only)
        blobs = {}
        for entry in self._git("ls-tree", "-r", "-z", ref).split(b"\0"):
            facts, _, path = entry.decode().partition("\t")
            commit = path.replace("/", "")
            if _SHA.fullmatch(commit) and (wanted is None or commit in wanted):
                blobs[commit] = facts.split()[2]
        ask = "".join(f"{blob}\n" for blob in blobs.values()).encode()
        answer = io.BytesIO(self._git("cat-file", "--batch", stdin=ask) if ask else b"")
        for commit in blobs:
            size = int(answer.readline().split()[2])
            text = answer.read(size).decode(errors="replace")
            yield commit, tuple(line for line in text.split("\n") if line)
            answer.read(1)

    def _notes_commit(self, ref: str, notes: Mapping[str, Sequence[str]]) -> bytes:
        """One fast-import commit; it chooses the fan-out itself."""
        if not notes:
            return b""
        title = b"Notes of %d agents\n" % len(notes)
        parts = [
            f"commit {ref}\ncommitter {self._committer} {int(time.time())} +0000\n".encode(),
            b"data %d\n%s\n" % (len(title), title),
        ]
        if self._ref(ref) is not None:
            parts.append(f"from {ref}^0\n".encode())
        for commit, lines in notes.items():
            text = "".join(f"{line}\n" for line in lines).encode()
            parts.append(b"N inline %s\ndata %d\n%s\n" % (_sha(commit).encode(), len(text), text))
        return b"".join(parts) + b"\n"

    def _must_parse(self, text: str) -> str:
        found = text if _SHA.fullmatch(text) else self.rev_parse(text)
        if found is None:
            raise UsageError(f"no commit called {text!r} in the store", "sica log shows the agents")
        return found


@dataclass(frozen=True)
class _Turn:
    """The exclusive right to write refs.

    The lock file names, while a ref is being written, the git lock files that this writer may leave behind if it
    is killed: whoever has the turn next knows that they belong to nobody. A git child inherits the descriptor,
    so the turn lasts until it has ended too.
    """

    repo: Path
    fd: int

    def intend(self, *names: str) -> None:
        os.ftruncate(self.fd, 0)
        if names:
            os.pwrite(self.fd, json.dumps(names).encode(), 0)

    def clear_stale(self) -> None:
        names = self._left_behind()
        for name in names:
            (self.repo / f"{name}.lock").unlink(missing_ok=True)
        if "packed-refs" in names:  # packing locks each ref whose loose file it removes
            for lock in (self.repo / "refs").rglob("*.lock"):
                lock.unlink(missing_ok=True)

    def swap(self, name: str, old: str | None, new: str) -> bool:
        """Set the ref if it is still `old` (None: not there); durable when it returns."""
        refs = DiskRefsContainer(str(self.repo))
        place = self.repo / name
        fresh = not place.parent.exists()
        self._clear_older_than_boot(name)
        self.intend(name)
        try:
            if old is None:
                done = refs.add_if_new(Ref(name.encode()), ObjectID(new.encode()))
            else:
                done = refs.set_if_equals(Ref(name.encode()), ObjectID(old.encode()), ObjectID(new.encode()))
        except FileLocked as error:
            raise StoreError(
                f"another git program is writing {name}: {place}.lock exists",
                f"if no git is running on the store: rm '{place}.lock'",
            ) from error
        finally:
            self.intend()
        _sync_folder(place.parent)
        if fresh:
            _sync_folder(place.parent.parent)
        return done

    def _left_behind(self) -> list[str]:
        text = os.pread(self.fd, 4096, 0)
        try:
            names = json.loads(text or b"[]")
        except ValueError:
            names = []  # killed within the write of the names, so before any lock was taken
        return [
            n
            for n in names
            if isinstance(n, str) and re.fullmatch(r"config|packed-refs|(?:refs|objects/info)/[\w/-]+", n)
        ]

    def _clear_older_than_boot(self, name: str) -> None:
        """After a power cut the intent may be lost while the lock file is there: nobody alive can own it."""
        lock = self.repo / f"{name}.lock"
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        with suppress(FileNotFoundError):
            if lock.stat().st_mtime < booted - 5:
                lock.unlink()


@contextmanager
def _flocked(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"another sica has been writing to {path.parent} for {LOCK_SECONDS:.0f} seconds",
                        f"see who: fuser '{path}'",
                    ) from None
                time.sleep(0.005)
        yield fd
        # Not after an error: a git child may be alive, and then the turn is its own until it has ended.
        fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


@contextmanager
def _plainly(path: Path) -> Iterator[None]:
    """Turn what the file system and a damaged store raise into one StoreError with a cure."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot use the store {path}: {error.strerror or error}",
            "is the disk full, or the folder somebody else's?",
        ) from error
    except KeyError as error:
        raise StoreError(
            f"{path} is damaged: object {error} is missing",
            "look with: sica git fsck; restore it from a clone",
        ) from error
    except (ValueError, AssertionError, EOFError) as error:
        raise StoreError(f"{path} is damaged: {error}", "look with: sica git fsck") from error
    except Exception as error:
        # dulwich and zlib have a dozen unrelated classes for a damaged file, most of them plain Exceptions.
        if type(error).__module__.partition(".")[0] in ("dulwich", "zlib"):
            raise StoreError(f"{path} is damaged: {error}", "look with: sica git fsck") from error
        raise


# ── what may be in a tree ─────────────────────────────────────────────────────────────────────────


def _objects_of(files: Files, *, limits: bool = True) -> tuple[list[ShaFile], str]:
    """Blobs and trees of the files, children first, and the root's id. Raises UsageError naming the bad path."""
    if limits:
        _check_sizes(files)
    root: dict[str, object] = {}
    for path, file in files.items():
        *folders, name = _parts(path)
        here = root
        for folder in folders:
            below = here.setdefault(folder, {})
            if not isinstance(below, dict):
                raise UsageError(f"{path!r} cannot be stored: {folder!r} is both a file and a folder")
            here = below
        if name in here:
            raise UsageError(f"{path!r} cannot be stored: {name!r} is both a file and a folder")
        here[name] = file
    objects: list[ShaFile] = []
    return objects, _tree_of(root, objects).decode()


def _tree_of(folder: dict[str, object], objects: list[ShaFile]) -> ObjectID:
    tree = Tree()
    for name, entry in folder.items():
        if isinstance(entry, dict):
            tree.add(name.encode(), 0o040000, _tree_of(entry, objects))
        elif isinstance(entry, File):
            blob = Blob.from_string(entry.data)
            objects.append(blob)
            tree.add(name.encode(), 0o100755 if entry.executable else 0o100644, blob.id)
    objects.append(tree)
    return tree.id


def _walk(objects: DiskObjectStore, tree: str, above: str) -> Iterator[tuple[str, File]]:
    found = objects[ObjectID(tree.encode())]
    if not isinstance(found, Tree):
        raise UsageError(f"{tree} is not a tree")
    for name, mode, sha in found.iteritems():
        path = above + name.decode("utf-8", "surrogateescape")
        if stat.S_ISDIR(mode):
            yield from _walk(objects, sha.decode(), path + "/")
        elif stat.S_ISREG(mode):
            yield path, File(objects[sha].as_raw_string(), bool(mode & 0o111))
        else:
            raise StoreError(f"{path} in tree {tree} is a link or a module, not a file", "sica git fsck")


def _check_sizes(files: Files) -> None:
    if len(files) > MAX_FILES:
        raise UsageError(f"{len(files)} files are too many for an agent; at most {MAX_FILES}")
    total = 0
    for path, file in files.items():
        if len(file.data) > MAX_FILE_BYTES:
            raise UsageError(
                f"{_shown(path)} has {len(file.data):,} bytes; a file of an agent may have {MAX_FILE_BYTES:,}"
            )
        total += len(file.data)
        if total > MAX_BYTES:
            raise UsageError(
                f"with {_shown(path)} the agent has more than the {MAX_BYTES:,} bytes it may have"
            )


def _parts(path: str) -> list[str]:
    """The path's parts, or UsageError: what git, another file system or a person could read as something else."""

    def refuse(why: str) -> UsageError:
        return UsageError(f"{_shown(path)} cannot be stored: {why}")

    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise refuse("its name is not UTF-8") from None
    if len(raw) > MAX_PATH_BYTES:
        raise refuse(f"its path is longer than {MAX_PATH_BYTES} bytes")
    if path.startswith("/"):
        raise refuse("its path is absolute")
    if any(unicodedata.category(c) == "Cc" for c in path) or "\\" in path:
        raise refuse("its name holds a control character or a backslash")
    parts = path.split("/")
    for part in parts:
        if part in ("", ".", ".."):
            raise refuse("its path is not plain: empty, '.' or '..' is in it")
        if len(part.encode()) > MAX_NAME_BYTES:
            raise refuse(f"a part of its path is longer than {MAX_NAME_BYTES} bytes")
        if _is_dot_git(part):
            raise refuse("'.git', in any spelling, is git's own")
    return parts


def _is_dot_git(part: str) -> bool:
    """Also what HFS+ (ignored code points) and NTFS (case, streams, trailing dots, short names) take for .git."""
    visible = "".join(c for c in part if unicodedata.category(c) != "Cf")
    plain = unicodedata.normalize("NFKC", visible).casefold().partition(":")[0].rstrip(" .")
    return plain == ".git" or re.fullmatch(r"git~\d+", plain) is not None


def _shown(path: str) -> str:
    return ascii(path if len(path) <= 200 else path[:200] + "...")


# ── what a commit says ────────────────────────────────────────────────────────────────────────────

_FORGED = re.compile(
    r"\s*(?:[>|*-]\s*)*(?:sica[-_ ]?[\w-]*|signed-off-by|co-authored-by)\s*[:=]", re.IGNORECASE
)
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_FACT = re.compile(r"(Sica-[A-Za-z-]+): (.*)")


def _cleaned(message: Message) -> Message:
    """Text of a model as plain text: no control or bidirectional characters, capped, and never a trailer."""
    subject = _one_line(message.subject).removeprefix("#").strip()
    if len(subject) > MAX_SUBJECT:
        subject = subject[: MAX_SUBJECT - 1].rstrip() + "…"
    lines = [_visible(line).rstrip() for line in message.body.splitlines()]
    body = "\n".join(_harmless(line) for line in lines).strip("\n")
    body = re.sub(r"\n{3,}", "\n\n", body)
    if len(body) > MAX_BODY:
        body = body[: MAX_BODY - 1].rstrip() + "…"
    return Message(
        subject=subject or "a change without a description",
        body=body,
        operator=_one_line(message.operator) or "self-edit",
        run=_one_line(message.run),
        model=_one_line(message.model),
        cost_usd=message.cost_usd,
        trace=_one_line(message.trace),
    )


def _harmless(line: str) -> str:
    """A line that could be read as a fact of sica, a sign-off or the end of the message is quoted."""
    return f"> {line}" if _FORGED.match(line) or line.startswith(("---", "diff --git")) else line


def _visible(text: str) -> str:
    """Without control sequences of terminals, control, format (bidirectional, zero-width) and unassigned characters."""
    spaced = "".join(" " if c.isspace() else c for c in _TERMINAL.sub("", text))
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))


def _one_line(text: str) -> str:
    return " ".join(_visible(text).split())


def _unbroken(line: str) -> str:
    return " ".join(line.splitlines())


def _ident(text: str) -> str:
    return _visible(re.sub(r"[<>\n]", "", text)).strip(" .,:;\"'")


def _message_text(message: Message, number: int, parents: Sequence[Agent]) -> str:
    facts = [
        ("Agent", str(number)),
        *(("Parent", p.name) for p in parents),
        ("Run", message.run),
        ("Operator", message.operator),
        ("Model", message.model),
        ("Cost-USD", repr(message.cost_usd) if message.cost_usd else ""),
        ("Trace", message.trace),
        ("Version", _version()),
    ]
    trailers = "\n".join(f"Sica-{name}: {value}" for name, value in facts if value)
    body = f"{message.body}\n\n" if message.body else ""
    return f"agent/{number}: {message.subject}\n\n{body}{trailers}\n"


def _agent(number: int, commit: str, tree: str, parents: tuple[str, ...], at: float, text: str) -> Agent:
    """The agent as its commit tells it; only the last paragraph holds facts."""
    above, _, last = text.rstrip("\n").rpartition("\n\n")
    facts: dict[str, str] = {}
    for line in last.splitlines():
        match = _FACT.fullmatch(line)
        if match:
            facts.setdefault(match[1], match[2])
    if "Sica-Agent" not in facts:
        above, facts = text.rstrip("\n"), {}
    subject, _, body = above.partition("\n")
    return Agent(
        number=number,
        commit=commit,
        tree=tree,
        parents=parents,
        subject=subject.removeprefix(f"agent/{number}: "),
        body=body.strip("\n"),
        operator=facts.get("Sica-Operator", "human"),
        run=facts.get("Sica-Run", ""),
        model=facts.get("Sica-Model", ""),
        cost_usd=_number(facts.get("Sica-Cost-USD", "0")),
        trace=facts.get("Sica-Trace", ""),
        created=at,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # a person's own commit may say anything


def _version() -> str:
    from sica import __version__

    return __version__


# ── files on the disk ─────────────────────────────────────────────────────────────────────────────


def _looks_like_git(path: Path) -> bool:
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def _configure(path: Path) -> None:
    config = ConfigFile.from_path(str(path))
    before = [(s, list(config.items(s))) for s in config.sections()]
    for (section, name), value in _CONFIG.items():
        config.set((section.encode(),), name.encode(), value.encode())
    if [(s, list(config.items(s))) for s in config.sections()] != before:
        try:
            config.write_to_path(str(path))
        except FileLocked as error:
            raise StoreError(
                f"another git program is writing {path}: {path}.lock exists",
                f"if no git is running on the store: rm '{path}.lock'",
            ) from error


def _write_object(place: Path, data: bytes) -> None:
    """tmp_obj_ is the name that git itself clears away when a writer was killed."""
    fd, temporary = tempfile.mkstemp(prefix="tmp_obj_", dir=place.parent)
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), 0o444)
            os.fsync(out.fileno())
        Path(temporary).replace(place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_all(folder: Path) -> None:
    """git init syncs nothing: after a power cut HEAD would be empty and every agent behind it out of reach."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            _sync_folder(path)
        elif path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _own_folder(path: Path) -> None:
    """Make the folder; refuse one in a shared place that another user could swap under us."""
    path.mkdir(mode=0o711, parents=True, exist_ok=True)
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise StoreError(
            f"{path} belongs to another user or can be written by one", "remove it, or set TMPDIR elsewhere"
        )


def _write_tree(files: Files, into: Path) -> None:
    for path, file in files.items():
        place = into / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
        place.chmod(0o555 if file.executable else 0o444)
    for folder, _, _ in os.walk(into, topdown=False):
        Path(folder).chmod(0o555)


def _tree_on_disk(place: Path) -> str:
    """The id of the tree that the directory holds; "" when it is not there or not only plain files."""
    files: dict[str, File] = {}
    try:
        for folder, folders, names in os.walk(place, onerror=_raise):
            if any(Path(folder, d).is_symlink() for d in folders):
                return ""
            for name in names:
                path = Path(folder, name)
                facts = path.lstat()
                if not stat.S_ISREG(facts.st_mode):
                    return ""
                files[path.relative_to(place).as_posix()] = File(
                    path.read_bytes(), bool(facts.st_mode & 0o111)
                )
        return _objects_of(files, limits=False)[1]
    except (OSError, UsageError):
        return ""  # not there, half deleted by a cleaner of /tmp, or damaged: all mean that it is made again


def _raise(error: OSError) -> None:
    raise error


def _put(fresh: Path, place: Path, tree: str) -> None:
    """Move the new directory in place; one that another process put there meanwhile is as good."""
    if _tree_on_disk(fresh) != tree:
        raise StoreError(f"the export of tree {tree} does not hold what the tree says", "sica git fsck")
    for _ in range(10):
        try:
            fresh.rename(place)
            return
        except OSError:
            if _tree_on_disk(place) == tree:
                return
        damaged = Path(tempfile.mkdtemp(prefix=".damaged-", dir=place.parent))
        with suppress(FileNotFoundError):
            place.rename(damaged / place.name)
        _discard(damaged)
    raise StoreError(f"{place} cannot be replaced", f"remove it: rm -rf '{place}'")


def _discard(folder: Path) -> None:
    for here, _, _ in os.walk(folder):
        Path(here).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


# ── small things ──────────────────────────────────────────────────────────────────────────────────


def _git_program() -> Any:
    """GitPython, for its command layer only; importing it looks for git itself."""
    try:
        import git
    except ImportError as error:
        raise UsageError(f"the git program was not found: {error}", "install git 2.38 or newer") from error
    return git


def _sha(text: str) -> str:
    if not _SHA.fullmatch(text):
        raise UsageError(f"{text!r} is not the full hash of a git object")
    return text


def _tail(text: str) -> str:
    lines = text.strip().splitlines()
    return "; ".join(lines[-3:]) if lines else "it said nothing"
