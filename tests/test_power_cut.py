"""A power cut takes what only the kernel knew. So whatever an acknowledged agent stands on must have been synced.

The writer runs under strace, and its system calls are played on a model of a disk that keeps the least it may: a
file's bytes once they were synced, a name once its folder was.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent

WRITER = """
import sys
from pathlib import Path
from sica.ledger import SqliteLedger
from sica.model import File, Improvement, Message, Usage, Verdict
from sica.repo import GitRepo

store = Path(sys.argv[1])
repo = GitRepo.create(store / "agents.git")
ledger = SqliteLedger.open(store / "sica.db")
parent = repo.add({"agent.toml": File(b"0")}, [], Message("seed", operator="seed"))
ledger.reconcile([parent])
for n in range(5):
    child = repo.add({"agent.toml": File(b"%d" % n), "deep/er/file": File(b"%d" % n * 9000)}, [parent], Message(f"{n}"))
    assert ledger.record(Improvement(parent.commit, child, "child", Usage(), started=float(n)))
    print("ACKNOWLEDGED", flush=True)
    parent = child
repo.promote(parent)
unnoted = ledger.notes()
repo.annotate(unnoted.scores, unnoted.evaluations)
ledger.noted(unnoted)
print("ACKNOWLEDGED", flush=True)
repo.pack()
print("ACKNOWLEDGED", flush=True)
"""

CALLS = (
    "openat,creat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,"
    "write,pwrite64,writev,pwritev,ftruncate,fsync,fdatasync"
)
REBUILT = re.compile(r"-shm$|/sica\.lock$|/runtime/")
"""What a run makes again when it is not there: SQLite's index of its log, a file to lock, trees unpacked for boxes."""
LOOSE = re.compile(r"/objects/[0-9a-f]{2}/[0-9a-f]{38}\"")


@dataclass
class Disk:
    """What would be missing after a cut, of everything below one folder."""

    root: str
    bytes_: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    there: set[str] = field(default_factory=set)

    def play(self, call: str, args: str, result: str) -> None:
        paths = [p for p in re.findall(r'"((?:[^"\\]|\\.)*)"', args) if p.startswith(self.root)]
        on = _open_file(args)
        match call:
            case "openat" | "creat" if "O_CREAT" in args or call == "creat":
                self._made(_open_file(result))
            case "mkdir" | "mkdirat":
                self._made(*paths)
            case "write" | "pwrite64" | "writev" | "pwritev" | "ftruncate" if on.startswith(self.root):
                self.bytes_.add(on)
            case "rename" | "renameat" | "renameat2" if paths:
                old, new = paths
                self.bytes_ = {new if p == old else p for p in self.bytes_ - {new}}
                self.there.discard(old)
                self.names.discard(old)
                self.names.add(new)
                self.there.add(new)
            case "link" | "linkat" if paths:
                old, new = paths
                self._made(new)
                self.bytes_ |= {new} if old in self.bytes_ else set()
            case "unlink" | "unlinkat":
                for gone in (self.bytes_, self.names, self.there):
                    gone.difference_update(paths)
            case "fsync" | "fdatasync":
                self.bytes_.discard(on)
                self.names = {p for p in self.names if str(PurePosixPath(p).parent) != on}

    def _made(self, *paths: str) -> None:
        fresh = {p for p in paths if p.startswith(self.root)} - self.there
        self.names |= fresh
        self.there |= fresh

    def missing(self) -> list[str]:
        return sorted(
            f"{what} of {path}"
            for what, paths in (("the bytes", self.bytes_), ("the name", self.names))
            for path in paths
            if not REBUILT.search(path)
        )


def _open_file(text: str) -> str:
    found = re.match(r"\d+<([^>]*)>", text)
    return found[1] if found else ""


def calls(log: Path) -> Iterator[tuple[str, str, str]]:
    """(name, arguments, result) of every call that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in log.read_text(errors="replace").splitlines():
        process, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            text = begun.pop(process) + text[resumed.end() :]
        if found := re.match(r"(\w+)\((.*)\)\s+= (\d+.*)$", text):
            yield found[1], found[2], found[3]


@pytest.mark.skipif(shutil.which("strace") is None and "CI" not in os.environ, reason="needs strace")
def test_whatever_an_acknowledged_agent_stands_on_is_synced(tmp_path: Path) -> None:
    log, store = tmp_path / "calls", tmp_path / "store"
    strace = ["strace", "-f", "-y", "-s", "512", "-o", str(log), "-e", f"trace={CALLS}"]
    done = subprocess.run(
        [*strace, sys.executable, "-c", WRITER, str(store)], cwd=ROOT, check=False, timeout=120
    )
    assert done.returncode == 0
    disk = Disk(str(store))
    acknowledged = synced = unpacked = 0
    for call, args, result in calls(log):
        disk.play(call, args, result)
        if call == "unlink" and LOOSE.search(args):
            unpacked += 1
            assert not any("/pack/" in line for line in disk.missing()), (
                "a loose object went before its pack is safe"
            )
        synced += call in ("fsync", "fdatasync")
        if call == "write" and "ACKNOWLEDGED" in args:
            acknowledged += 1
            assert disk.missing() == []
    assert (acknowledged, synced > 30, unpacked > 20) == (7, True, True), "the model saw the writer at work"


def test_the_model_of_the_disk_misses_what_was_not_synced() -> None:
    disk = Disk("/s")
    disk.play("openat", 'AT_FDCWD</>, "/s/a.lock", O_WRONLY|O_CREAT, 0666', "3</s/a.lock>")
    disk.play("write", '3</s/a.lock>, "x", 1', "1")
    assert disk.missing() == ["the bytes of /s/a.lock", "the name of /s/a.lock"]
    disk.play("fsync", "3</s/a.lock>", "0")
    disk.play("rename", '"/s/a.lock", "/s/a"', "0")
    assert disk.missing() == ["the name of /s/a"]
    disk.play("fsync", "4</s>", "0")
    assert disk.missing() == []
