"""Where a seed comes from: a folder, a git repository at a ref, or a preset."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import sica
from sica import report
from sica.cli import folders
from sica.cli.invocation import Invocation
from sica.errors import UsageError
from sica.model import File, Files

_ADDRESS = re.compile(r"(https?|ssh|git|file)://|[\w.-]+@[\w.-]+:")


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    """As people wrote it."""
    taken: folders.Folder
    folder: Path | None = None
    """Where the files lie, if they lie in a folder of the user's."""
    package: str = ""
    """Of a preset: the same one may be newer when it is fetched again."""

    def is_of(self, subject: str) -> bool:
        """Whether a seed's commit with this subject came from the same preset, whichever its version."""
        return bool(self.package) and subject.startswith(f"seed: {self.package} ")


def find(call: Invocation, agent: str, wheel: Path | None, own: Path) -> Source:
    """The files that --agent means; without one, the agent that comes with sica."""
    from sica import presets

    if not agent:
        return Source(str(own), folders.read(own, origin=f"sica {sica.__version__}"), own)
    if agent in presets.names():
        return _preset(call, agent, wheel)
    if wheel is not None:
        raise UsageError(
            f"--wheel is for presets, and {agent} is none", f"presets: {', '.join(presets.names())}"
        )
    place = (call.folder / agent).resolve()
    if place.exists():
        return Source(str(place), folders.read(place), place)
    url, ref = split(agent)
    if _ADDRESS.match(url) or (call.folder / url).is_dir():
        call.say(f"cloning {report.clean(url)} ...")
        return Source(agent, clone(url if _ADDRESS.match(url) else str((call.folder / url).resolve()), ref))
    raise UsageError(
        f"{place} does not exist",
        f"give the folder that holds agent.toml, a git address, or a preset: {', '.join(presets.names())}",
    )


def split(words: str) -> tuple[str, str]:
    """URL and ref of URL@ref. The @ of user@host comes before the path, that of a ref in its last part or after."""
    scheme = re.match(r"\w+://[^/]*|[\w.-]+@[\w.-]+:", words)
    start = scheme.end() if scheme else 0
    head, mark, ref = words[start:].partition("@")
    return (words[:start] + head, ref) if mark and ref else (words, "")


def _preset(call: Invocation, name: str, wheel: Path | None) -> Source:
    from sica import presets

    preset = presets.named(name)
    if wheel is not None and not (call.folder / wheel).is_file():
        raise UsageError(f"--wheel: there is no file {wheel}")
    fetched = presets.fetch(preset, call.say, call.folder / wheel if wheel else None)
    origin = f"{preset.package} {fetched.version}"
    taken = folders.Folder(fetched.files, fetched.left_out, origin, dirty=False)
    return Source(name, taken, package=preset.package)


def clone(url: str, ref: str) -> folders.Folder:
    """The tree of a repository at a ref (default: its HEAD). Nothing is checked out and no hook is run."""
    if ref.startswith("-"):
        raise UsageError(f"{ref!r} is no ref")
    with tempfile.TemporaryDirectory() as room:
        _git(room, url, "clone", "--quiet", "--bare", "--template=", "--", url, "it")
        wanted = f"{ref or 'HEAD'}^{{commit}}"
        store = f"{room}/it"
        commit = (
            _git(store, url, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted).decode().strip()
        )
        listed = _git(store, url, "ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0")
        entries = [entry.split(None, 4) for entry in listed if entry]
        total = sum(int(size) for _, kind, _, size, _ in entries if kind == b"blob")
        if total > folders.MOST_BYTES:
            raise UsageError(f"{url} holds {total >> 20} MB; {folders.MOST_BYTES >> 20} MB are allowed")
        regular = [e for e in entries if e[0] in (b"100644", b"100755")]
        skipped = tuple(os.fsdecode(e[4]) for e in entries if e not in regular)
        return folders.Folder(
            _blobs(store, url, regular), skipped, f"{report.clean(url)}@{commit[:7]}", False
        )


def _blobs(store: str, url: str, entries: list[list[bytes]]) -> Files:
    out = _git(store, url, "cat-file", "--batch", stdin=b"".join(e[2] + b"\n" for e in entries))
    files, at = {}, 0
    for mode, _, _, size, name in entries:
        start = out.index(b"\n", at) + 1
        at = start + int(size) + 1
        files[os.fsdecode(name)] = File(out[start : at - 1], mode == b"100755")
    return files


def _git(folder: str, url: str, *words: str, stdin: bytes = b"") -> bytes:
    safe = ("-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "core.fsmonitor=false")
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    try:
        done = subprocess.run(
            ["git", "-C", folder, *safe, *words], input=stdin, capture_output=True, env=env, check=False
        )
    except FileNotFoundError:
        raise UsageError("there is no git program", "install git") from None
    if done.returncode:
        said = report.clean(done.stderr.decode(errors="replace").strip()) or "it has no such ref"
        raise UsageError(f"{report.clean(url)}: {said}", "URL, or URL@branch, URL@tag, URL@commit")
    return done.stdout
