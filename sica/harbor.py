"""Harbor's task folder, read unchanged: its table, its digest and what its Dockerfile copies. No box
is made here.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import reprlib
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sica.errors import UsageError, no_such
from sica.model import File, Files

SCHEMAS = ("1.0", "1.1", "1.2", "1.3", "1.4")
SINGLE = ("task.toml", "instruction.md", "README.md", "trajectory.json")
DIRECTORIES = ("environment", "tests", "solution", "steps")
IGNORED = ("__pycache__/", "*.pyc", ".DS_Store", "*.swp", "*.swo", "*~")
ROOT: tuple[str | int | None, ...] = (None, "root", "0", 0)
INSTRUCTION_BYTES = 120_000
"""Linux takes no argument above 128 KiB, and an agent may ask for its instruction as one."""
SYSTEM = frozenset(
    [
        *(
            "bin",
            "boot",
            "dev",
            "etc",
            "lib",
            "lib32",
            "lib64",
            "libx32",
            "opt",
            "proc",
            "run",
            "sbin",
            "sys",
        ),
        *("tmp", "usr", "var", "agent", "task", "tests", "logs", "gw", "judge", "site", "solution"),
    ]
)
"""Top directories that a box has already: files of a task there need an image of its own."""

Grading = Literal["auto", "split", "cases", "answer", "two-box", "log", "script"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
Value = Annotated[str, Field(pattern=r"^[^\x00]*$")]
MOST = 10_000_000
"""Of seconds and of megabytes: what is larger is a slip of the pen, and engines refuse it with worse words."""


class Table(BaseModel):
    """Unknown keys do not fail loading: newer Harbor writes them. `unknown_keys` lists them."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Sica(Table):
    """`[metadata.sica]`: every key that is ours, and the only place for one: here an unknown key is a slip."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["train", "dev", "heldout"] = "train"
    tries: Literal[1, 2] = 1
    grading: Grading = "auto"
    workspace: tuple[str, ...] = ()
    """What travels from the agent's box to the judge; empty: the workdir."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    strength: float | None = Field(None, ge=0, le=1)
    """Share of small bugs in the solution that the tests notice; `sica bench mine` measures it."""
    references: int | None = Field(None, ge=1)
    """Solutions, written independently, that are known to pass."""
    level: int = Field(1, ge=1)
    kind: str = ""
    calls: int | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)
    usd: float | None = Field(None, gt=0, allow_inf_nan=False)
    processes: int | None = Field(None, gt=0, le=10_000)
    """Processes and threads at once, where the sandbox's usual limit is too small."""
    protect: tuple[str, ...] = ()
    """Globs that a solution may not touch, below the workdir; `!glob` frees what is protected otherwise."""
    guards: tuple[str, ...] = ()
    """Two-box: globs of test ids that passed before the agent came; one that fails caps the score at 0.3."""
    credit: Literal["share", "all"] = "share"
    """all: what does not earn 1 earns 0, as the data set's own authors count."""
    requires: tuple[str, ...] = ()
    """Programs that the sandbox itself must have."""
    needs_image: str = ""
    """An image that must be on this machine: sica never fetches it."""
    environment: str = ""
    """Pinned packages at /packages: a file below environment/, or "pytest" for the one that comes with sica."""
    refused: tuple[str, ...] = ()
    """Why an importer cannot give this task."""
    origin: str = ""
    licence: str = ""


class Metadata(Table):
    sica: Sica = Sica()  # type: ignore[call-arg]  # pydantic's defaults, given through Field


class Named(Table):
    name: str = ""
    description: str = ""


class Agent(Table):
    timeout_sec: float | None = Field(None, gt=0, le=MOST)
    user: str | int | None = None
    network_mode: str | None = None


class Environment(Table):
    network_mode: Literal["public", "no-network", "allowlist"] | None = None
    allow_internet: bool | None = None
    build_timeout_sec: float = Field(600.0, gt=0, le=MOST)
    docker_image: str | None = None
    os: str = "linux"
    cpus: float | None = Field(None, gt=0, le=1024)
    memory_mb: int | None = Field(None, gt=0, le=MOST)
    memory: str | int | None = None
    storage_mb: int | None = Field(None, gt=0, le=MOST)
    storage: str | int | None = None
    gpus: int | None = None
    tpu: Mapping[str, Any] | None = None
    mcp_servers: tuple[Mapping[str, Any], ...] = ()
    env: Mapping[Name, Value] = Field(default_factory=dict)
    workdir: str | None = None


class Verifier(Table):
    timeout_sec: float = Field(600.0, gt=0, le=MOST)
    user: str | int | None = None
    env: Mapping[Name, Value] = Field(default_factory=dict)
    network_mode: str | None = None
    environment_mode: Literal["shared", "separate"] | None = None
    environment: Mapping[str, Any] | None = None


class Solution(Table):
    env: Mapping[str, str] = Field(default_factory=dict)


class TaskTable(Table):
    """task.toml, schema 1.0 to 1.4."""

    schema_version: str | None = None
    version: str | None = None
    task: Named = Named()
    metadata: Metadata = Metadata()
    agent: Agent = Agent()  # type: ignore[call-arg]
    verifier: Verifier = Verifier()  # type: ignore[call-arg]
    environment: Environment = Environment()  # type: ignore[call-arg]
    solution: Solution = Solution()
    steps: tuple[Mapping[str, Any], ...] = ()


KNOWN = {
    # What Harbor defines and we can leave alone without a word.
    "": {"source", "multi_step_reward_strategy", "artifacts"},
    "task": {"version", "authors", "keywords"},
    "agent": {"allowed_hosts"},
    "verifier": {"allowed_hosts", "collect"},
    "environment": {"allowed_hosts", "gpu_types", "skills_dir", "healthcheck"},
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a Dockerfile says, as far as a sandbox's own image can stand in for the built one."""

    copies: tuple[tuple[tuple[str, ...], str], ...] = ()
    """(sources, absolute destination as written: a trailing slash means a directory)."""
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = ""
    needs_build: str = ""
    """The instruction that only a real build can carry out, or "". """


@dataclass(frozen=True, slots=True)
class Folder:
    """One task folder as read: nothing in it has been run."""

    path: Path
    table: TaskTable
    raw: Mapping[str, Any]
    digest: str
    instruction: str
    recipe: Recipe
    warnings: tuple[str, ...]
    """Unknown keys and other things that change nothing."""
    unsupported: tuple[str, ...]
    """Features of Harbor that this sica cannot give, by name: the task is left out, nothing has failed."""

    @property
    def sica(self) -> Sica:
        return self.table.metadata.sica

    @property
    def workdir(self) -> str:
        return self.table.environment.workdir or self.recipe.workdir or "/app"

    @property
    def workspace(self) -> tuple[str, ...]:
        """The directories that are the deliverable, none within another."""
        return places(self.sica.workspace, self.workdir, () if self.needs_image else self._outside)

    @property
    def _outside(self) -> tuple[str, ...]:
        tops = {
            "/" + place.split("/")[1] for _, place in self.recipe.copies if not _within(place, self.workdir)
        }
        return tuple(sorted(tops))

    @property
    def needs_image(self) -> bool:
        return bool(self.table.environment.docker_image or self.needs_build)

    @property
    def needs_build(self) -> str:
        """What only a real build can give, or ""."""
        far = [place for _, place in self.recipe.copies if not _within(place, self.workdir)]
        taken = [place for place in far if place.count("/") < 2 or place.split("/")[1] in SYSTEM]
        taken += [
            p
            for p in (self.workdir, *self.sica.workspace)
            if SYSTEM.intersection(PurePosixPath(p).parts[1:2])
        ]
        return self.recipe.needs_build or (f"files in {taken[0]}" if taken else "")

    @property
    def states_workdir(self) -> bool:
        """Whether the folder says where the agent starts; else a built image may."""
        return bool(self.table.environment.workdir or self.recipe.workdir)

    @property
    def grading(self) -> str:
        """Which judge: the strongest that the folder permits, unless it names one."""
        if self.sica.grading != "auto":
            return self.sica.grading
        return "split" if (self.path / "tests" / "checks.json").is_file() else "script"


def places(declared: Sequence[str], workdir: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The declared directories, else the workdir and more; none that lies within another."""
    wanted = tuple(dict.fromkeys(PurePosixPath(each).as_posix() for each in (declared or (workdir, *more))))
    return tuple(p for p in wanted if not any(p != other and _within(p, other) for other in wanted))


def _within(place: str, directory: str) -> bool:
    return PurePosixPath(place).is_relative_to(directory)


def read(path: Path) -> Folder:
    """Read one task folder. Raises UsageError that names the file, the key, the value and the cure."""
    raw = toml(path / "task.toml")
    table = _validated(path / "task.toml", raw)
    instruction = _instruction(path / "instruction.md")
    _schema(path / "task.toml", table)
    _require_judge(path, table)
    recipe = _recipe(path / "environment" / "Dockerfile")
    folder = Folder(
        path,
        table,
        raw,
        digest(path),
        instruction,
        recipe,
        tuple(unknown_keys(table)),
        _unsupported(path, table),
    )
    _check_places(path / "task.toml", folder)
    return folder


def toml(path: Path) -> dict[str, Any]:
    """A file of TOML. Raises UsageError that names the line."""
    if not path.exists():
        raise UsageError(f"{path}: there is no such file", "a task is a folder with task.toml")
    try:
        return tomllib.loads(_text(path).replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"{path}: broken TOML: {e}", "mend the line it names") from None
    except RecursionError:
        raise UsageError(f"{path}: broken TOML: nested too deeply", "write it flat") from None


def _validated(path: Path, raw: Mapping[str, Any]) -> TaskTable:
    try:
        return TaskTable.model_validate(raw)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        more = f" (and {e.error_count() - 1} more)" if e.error_count() > 1 else ""
        if first["type"] == "extra_forbidden":
            unknown = no_such("key", key, [f"metadata.sica.{name}" for name in Sica.model_fields])
            raise UsageError(f"{path}: {unknown}{more}", unknown.hint or f"remove {key}") from None
        value = reprlib.repr(first["input"])
        raise UsageError(f"{path}: {key} = {value}: {first['msg']}{more}", f"change {key}") from None


def _instruction(path: Path) -> str:
    """What the agent is told, byte for byte but for lines with a benchmark's canary."""
    if not path.exists():
        raise UsageError(f"{path}: there is no such file", "write what the agent is to do in it")
    text = _text(path)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    kept = "".join(line for line in lines if "canary GUID" not in line.replace("_", " "))
    if not kept.strip():
        raise UsageError(f"{path}: empty", "write what the agent is to do in it")
    if "\0" in kept:
        raise UsageError(
            f"{path}: a NUL at character {kept.index(chr(0))}", "no argument can hold it: remove it"
        )
    if len(kept.encode()) > INSTRUCTION_BYTES:
        raise UsageError(
            f"{path}: {len(kept.encode())} bytes; an instruction may have {INSTRUCTION_BYTES}",
            "put the long part into a file of the workspace",
        )
    return kept


def _schema(path: Path, table: TaskTable) -> None:
    stated = table.schema_version or table.version
    if stated is not None and stated not in SCHEMAS:
        raise UsageError(
            f"{path}: schema_version = {reprlib.repr(stated)} is not known",
            f"known are {', '.join(SCHEMAS)}; or update sica",
        )


def _require_judge(path: Path, table: TaskTable) -> None:
    """The other judges look into their files themselves."""
    tests = path / "tests"
    grading = table.metadata.sica.grading
    if grading not in ("auto", "script") or (grading == "auto" and (tests / "checks.json").is_file()):
        return
    if table.steps or any((tests / name).is_file() for name in ("test.sh", "test.bat")):
        return
    raise UsageError(
        f"{tests / 'test.sh'}: there is no such file", "write the test that judges, or checks.json"
    )


def _check_places(path: Path, folder: Folder) -> None:
    places = {"environment.workdir": (folder.workdir,), "metadata.sica.workspace": folder.workspace}
    for key, values in places.items():
        for place in values:
            pure = PurePosixPath(place)
            plain = pure.is_absolute() and ".." not in pure.parts and place.isprintable() and "," not in place
            if not plain or pure == PurePosixPath("/") or place.startswith("//") or ":" in place:
                raise UsageError(
                    f"{path}: {key} = {reprlib.repr(place)} is not a plain absolute directory below /",
                    "write it like '/app'",
                )
    memory_mb(path, folder.table)
    storage_mb(path, folder.table)


def unknown_keys(table: TaskTable) -> Iterator[str]:
    """Keys that neither Harbor nor sica defines, outside the free [metadata]."""
    for where, part in [
        ("", table),
        ("task", table.task),
        ("agent", table.agent),
        ("verifier", table.verifier),
        ("environment", table.environment),
        ("solution", table.solution),
        ("metadata.sica", table.metadata.sica),
    ]:
        for key in sorted(set(part.model_extra or {}) - KNOWN.get(where, set())):
            yield f"unknown key {f'{where}.{key}'.lstrip('.')} is ignored"


def memory_mb(path: Path, table: TaskTable) -> int | None:
    environment = table.environment
    if environment.memory_mb is not None:
        return environment.memory_mb
    return None if environment.memory is None else _megabytes(path, "environment.memory", environment.memory)


def storage_mb(path: Path, table: TaskTable) -> int | None:
    environment = table.environment
    if environment.storage_mb is not None:
        return environment.storage_mb
    return (
        None if environment.storage is None else _megabytes(path, "environment.storage", environment.storage)
    )


def _megabytes(path: Path, key: str, text: str | int) -> int:
    """Harbor's older sizes: "2G", "512M", "1024K", or plain megabytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", str(text), re.IGNORECASE)
    if not found or not float(found[1]):
        raise UsageError(
            f"{path}: {key} = {reprlib.repr(text)} is not a size", "write it like '2G' or '512M'"
        )
    factor = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024 * 1024}[found[2].upper()]
    size = float(found[1]) * factor
    if size > MOST:
        raise UsageError(f"{path}: {key} = {reprlib.repr(text)} is too much", f"at most {MOST} megabytes")
    return max(1, round(size))


# ── what we cannot give ───────────────────────────────────────────────────────────────────────────


def _unsupported(path: Path, table: TaskTable) -> tuple[str, ...]:
    environment = table.environment
    facts = {
        "gpus": bool(environment.gpus and environment.gpus > 0),
        "tpu": environment.tpu is not None,
        f"os={environment.os}": environment.os != "linux",
        "allowlist networking": "allowlist"
        in (environment.network_mode, table.agent.network_mode, table.verifier.network_mode),
        "mcp_servers": bool(environment.mcp_servers),
        "agent.user": table.agent.user not in ROOT,
        "verifier.user": table.verifier.user not in ROOT,
        "verifier.collect": bool((table.verifier.model_extra or {}).get("collect")),
        "multi-step": bool(table.steps) or (path / "steps").is_dir(),
        "separate verifier image": table.verifier.environment is not None
        or (path / "tests" / "Dockerfile").is_file(),
        ".harborignore": any(path.glob("tests/**/.harborignore"))
        or any(path.glob("solution/**/.harborignore")),
        "compose": _composed(path / "environment"),
    }
    facts |= dict.fromkeys(table.metadata.sica.refused, True)
    return tuple(f"unsupported: {name}" for name, there in facts.items() if there)


def _composed(environment: Path) -> bool:
    return any((environment / f"docker-compose.{ending}").is_file() for ending in ("yaml", "yml"))


# ── what belongs to a task, and its digest ────────────────────────────────────────────────────────


def task_files(root: Path) -> tuple[tuple[str, Path], ...]:
    """(POSIX name, file) of everything that makes the task, sorted by name: what Harbor hashes.

    A `.gitignore` in the root replaces the default list of junk, as it does for Harbor.
    """
    own = root / ".gitignore"
    lines = _text(own).splitlines() if own.is_file() else IGNORED
    ignored = gitignore(lines)
    found = [path for name in SINGLE if (path := root / name).exists() or path.is_symlink()]
    for name in DIRECTORIES:
        found += (root / name).rglob("*") if (root / name).is_dir() else ()
    kept = []
    for path in found:
        name = path.relative_to(root).as_posix()
        if ignored(name):
            continue
        if path.is_symlink():
            raise UsageError(
                f"{path.parent}: {path.name!a}: a task may not hold links", "put the file itself there"
            )
        if path.is_file():
            kept.append((_utf8(path, name), path))
    return tuple(sorted(kept))


def files_below(root: Path, part: str) -> Iterator[tuple[str, Path]]:
    """The task's files in one of its directories, by the name below it."""
    for name, path in task_files(root):
        if name.startswith(part + "/"):
            yield name.removeprefix(part + "/"), path


def tree(root: Path, part: str) -> dict[str, File]:
    """The same with what they hold."""
    return {name: File(_bytes(path), _executable(path)) for name, path in files_below(root, part)}


def digest(root: Path) -> str:
    """Harbor's content digest, hexadecimal: its locks and dataset.toml write it after `sha256:`."""
    outer = hashlib.sha256()
    for name, path in task_files(root):
        outer.update(f"{name}\0{hashlib.sha256(_bytes(path)).hexdigest()}\n".encode())
    return outer.hexdigest()


def gitignore(lines: Iterable[str]) -> Callable[[str], bool]:
    """Whether a file's path is ignored: the last line that matches it or a directory above it decides."""
    rules = [rule for line in lines if (rule := _rule(line)) is not None]

    def ignored(name: str) -> bool:
        return next((drops for pattern, drops in reversed(rules) if pattern.match(name)), False)

    return ignored


def _rule(line: str) -> tuple[re.Pattern[str], bool] | None:
    body = re.sub(r"(?<!\\)\s+$", "", line.rstrip("\n"))
    if not body or body.startswith("#"):
        return None
    drops = not body.startswith("!")
    body = body.removeprefix("!")
    only_directories = body.endswith("/")
    anchored = "/" in body.rstrip("/")
    parts = [part for part in body.strip("/").split("/") if part]
    if not parts:
        return None
    if not anchored and parts != ["**"]:
        parts = ["**", *parts]
    below = "/.*" if only_directories else "(?:/.*)?"
    if parts[-1] == "*" and parts[-2:-1] != ["**"] and not only_directories:
        below = ""  # `a/*` is what lies in a, and not below that: so says the library that Harbor asks
    return re.compile(_pattern(parts) + below + r"\Z", re.DOTALL), drops


def _pattern(parts: list[str]) -> str:
    """One regular expression for the path's names; `**` stands for any number of them."""
    text = ""
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        if part == "**":
            text += ".+" if last else "(?:[^/]+/)*"
        else:
            text += _glob(part) + ("" if last else "/")
    return text


def _glob(part: str) -> str:
    text, at = "", 0
    while at < len(part):
        char, at = part[at], at + 1
        closing = part.find("]", at + 1 + (part[at : at + 1] in ("!", "^"))) if char == "[" else -1
        if char == "*":
            text += "[^/]*"
        elif char == "?":
            text += "[^/]"
        elif closing > 0:
            inner, at = part[at:closing], closing + 1
            negated = inner[0] in "!^"
            text += "[" + "^" * negated + inner[negated:].replace("\\", "\\\\").replace("[", "\\[") + "]"
        else:
            if char == "\\" and at < len(part):
                char, at = part[at], at + 1
            text += re.escape(char)
    return text


def _text(path: Path) -> str:
    """A file's text with its own line ends. Raises UsageError when there is none."""
    try:
        return _bytes(path).decode("utf-8")
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from None


def _bytes(path: Path) -> bytes:
    """Of a plain file: opening a pipe would wait for ever."""
    try:
        if not path.is_file() and path.exists():
            raise UsageError(f"{path}: is no plain file", "put a file there")
        return path.read_bytes()
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}", "make it a readable file") from None


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _utf8(path: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{path.parent}: the name {path.name!a} is not UTF-8", "rename it") from None
    return name


# ── the Dockerfile ────────────────────────────────────────────────────────────────────────────────


def _recipe(path: Path) -> Recipe:
    """FROM, WORKDIR, COPY, ENV and comments need no build; the first other instruction asks for one."""
    if not path.is_file():
        return Recipe()
    copies: list[tuple[tuple[str, ...], str]] = []
    env: list[tuple[str, str]] = []
    workdir, needs, stages = "", "", 0
    for word, rest in _instructions(_text(path)):
        match word:
            case "FROM":
                stages += 1
                needs = needs or ("a second FROM" if stages > 1 else "")
            case "WORKDIR":
                workdir = (PurePosixPath(workdir or "/") / rest.strip("\"'")).as_posix()
            case "ENV" if (pairs := _env(rest)) is not None:
                env += pairs
            case "COPY" if (copy := _copy(rest, workdir or "/")) is not None:
                copies.append(copy)
            case _:
                needs = needs or f"{word} {rest}".strip()[:60]
        if "$" in rest and word in ("WORKDIR", "COPY", "ENV"):
            needs = needs or f"a variable in {word}"
    return Recipe(tuple(copies), tuple(env), workdir, needs)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word.upper(), rest.strip()


def _env(rest: str) -> list[tuple[str, str]] | None:
    """None when it is not plain enough to be read without a build."""
    words = _words(rest)
    if not words:
        return None
    if "=" not in words[0]:
        name, _, value = rest.partition(" ")
        return [(name, value.strip())] if value.strip() else None
    pairs = [word.partition("=") for word in words]
    return [(name, value) for name, _, value in pairs] if all(sep for _, sep, _ in pairs) else None


def _words(rest: str) -> list[str]:
    """Empty when a quote is left open."""
    try:
        return shlex.split(rest)
    except ValueError:
        return []


def _copy(rest: str, workdir: str) -> tuple[tuple[str, ...], str] | None:
    """None when only a build can do it: options, URLs, here-documents."""
    if rest.startswith("[") or "<<" in rest:
        return None
    words = [word for word in _words(rest) if not word.startswith(("--chown=", "--chmod="))]
    if len(words) < 2 or any(word.startswith("--") or "://" in word for word in words):
        return None
    *sources, target = words
    place = target if target.startswith("/") else f"{workdir.rstrip('/')}/{target.removeprefix('./')}"
    if ".." in PurePosixPath(place).parts:
        return None
    ends_in_directory = target.endswith("/") or target in (".", "./") or len(sources) > 1
    return tuple(sources), place.rstrip("./") + "/" if ends_in_directory else place


def copied(folder: Folder) -> Files:
    """What the Dockerfile's COPY instructions lay down, by absolute box path."""
    context = folder.path / "environment"
    ignored = _dockerignore(context / ".dockerignore")
    there = {
        name: path for name, path in files_below(folder.path, "environment") if not _is_ignored(name, ignored)
    }
    laid: dict[str, File] = {}
    for sources, target in folder.recipe.copies:
        for source in sources:
            laid |= _laid(context, there, source, target)
    return laid


def _dockerignore(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    lines = [line.strip() for line in _text(path).splitlines()]
    globs = tuple(line.strip("/") for line in lines if line and not line.startswith("#"))
    if any(glob.startswith("!") for glob in globs):
        raise UsageError(f"{path}: exceptions (!) are not supported", "list what to leave out instead")
    return globs


def _laid(context: Path, there: Mapping[str, Path], source: str, target: str) -> dict[str, File]:
    """Docker's rule: a directory's contents are copied, a file keeps its name when the target is a
    directory.
    """
    pure = PurePosixPath(source.lstrip("/"))
    if ".." in pure.parts:
        raise UsageError(
            f"{context / 'Dockerfile'}: COPY {source!r} leaves the folder", "copy from inside it"
        )
    wanted = re.compile("".join(_pattern(list(pure.parts))) + r"(?P<below>/.*)?\Z", re.DOTALL)
    laid: dict[str, File] = {}
    for name, path in there.items():
        found = wanted.match(name) if pure.parts else None
        if pure.parts and found is None:
            continue
        below = (found["below"] or "").lstrip("/") if found else name
        place = target + path.name if target.endswith("/") else target
        if below:
            place = f"{target.rstrip('/')}/{below}"
        laid[place] = File(_bytes(path), _executable(path))
    if not laid and not (context / pure).is_dir():
        raise UsageError(
            f"{context / 'Dockerfile'}: COPY {source!r}: no such file", "add it or drop the line"
        )
    return laid


def _is_ignored(name: str, globs: tuple[str, ...]) -> bool:
    parts = PurePosixPath(name).parts
    heads = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return any(
        fnmatch.fnmatchcase(head, glob) or fnmatch.fnmatchcase(head, glob.removeprefix("**/"))
        for glob in globs
        for head in (*heads, *(parts if glob.startswith("**/") else ()))
    )
