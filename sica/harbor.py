"""Harbor's task folder, read unchanged: its table, its digest and what its Dockerfile copies. No box
is made here.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sica.errors import UsageError
from sica.model import File, Files

SCHEMAS = ("1.0", "1.1", "1.2", "1.3", "1.4")
JUNK_DIRS = frozenset({".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"})
JUNK_NAMES = ("*.pyc", "*.pyo", ".DS_Store", "*.swp", "*~")

Grading = Literal["auto", "split", "two-box", "script"]


class Table(BaseModel):
    """Unknown keys do not fail loading: newer Harbor writes them. `unknown_keys` lists them."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Sica(Table):
    """`[metadata.sica]`: every key that is ours, and the only place for one."""

    split: Literal["train", "dev", "heldout"] = "train"
    tries: Literal[1, 2] = 1
    grading: Grading = "auto"
    workspace: tuple[str, ...] = ()
    """What travels from the agent's box to the judge; empty: the workdir."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    level: int = Field(1, ge=1)
    kind: str = ""
    calls: int | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)
    usd: float | None = Field(None, gt=0, allow_inf_nan=False)
    protect: tuple[str, ...] = ()
    """Globs that a solution may not touch, below the workdir; `!glob` frees what is protected otherwise."""
    guards: tuple[str, ...] = ()
    """Two-box: globs of test ids that passed before the agent came; one that fails caps the score at 0.3."""
    origin: str = ""
    licence: str = ""


class Metadata(Table):
    sica: Sica = Sica()  # type: ignore[call-arg]  # pydantic's defaults, given through Field


class Named(Table):
    name: str = ""
    description: str = ""


class Agent(Table):
    timeout_sec: float | None = Field(None, gt=0, allow_inf_nan=False)
    network_mode: str | None = None


class Environment(Table):
    network_mode: Literal["public", "no-network", "allowlist"] | None = None
    allow_internet: bool | None = None
    build_timeout_sec: float = Field(600.0, gt=0)
    docker_image: str | None = None
    os: str = "linux"
    cpus: float | None = Field(None, gt=0)
    memory_mb: int | None = Field(None, gt=0)
    memory: str | int | None = None
    storage_mb: int | None = Field(None, gt=0)
    storage: str | int | None = None
    gpus: int | None = None
    tpu: Mapping[str, Any] | None = None
    mcp_servers: tuple[Mapping[str, Any], ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict)
    workdir: str | None = None


class Verifier(Table):
    timeout_sec: float = Field(600.0, gt=0, allow_inf_nan=False)
    env: Mapping[str, str] = Field(default_factory=dict)
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
    "agent": {"user", "allowed_hosts"},
    "verifier": {"user", "allowed_hosts", "collect"},
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
        return self.sica.workspace or (self.workdir,)

    @property
    def needs_image(self) -> bool:
        return bool(self.table.environment.docker_image or self.recipe.needs_build)

    @property
    def grading(self) -> str:
        """Which judge: the strongest that the folder permits, unless it names one."""
        if self.sica.grading != "auto":
            return self.sica.grading
        return "split" if (self.path / "tests" / "checks.json").is_file() else "script"


def read(path: Path) -> Folder:
    """Read one task folder. Raises UsageError that names the file, the key, the value and the cure."""
    raw = _toml(path / "task.toml")
    table = _validated(path / "task.toml", raw)
    instruction = _instruction(path / "instruction.md")
    _schema(path / "task.toml", table)
    if table.metadata.sica.grading != "split" and not (path / "tests" / "test.sh").is_file():
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


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file", "a task is a folder with task.toml") from None
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"{path}: broken TOML: {e}", "mend the line it names") from None


def _validated(path: Path, raw: Mapping[str, Any]) -> TaskTable:
    try:
        return TaskTable.model_validate(raw)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        more = f" (and {e.error_count() - 1} more)" if e.error_count() > 1 else ""
        raise UsageError(
            f"{path}: {key} = {first['input']!r}: {first['msg']}{more}", f"change {key}"
        ) from None


def _instruction(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file", "write what the agent is to do in it") from None
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: not UTF-8 at byte {e.start}", "save the file as UTF-8") from None
    kept = [line for line in text.splitlines(keepends=True) if "canary GUID" not in line.replace("_", " ")]
    if not "".join(kept).strip():
        raise UsageError(f"{path}: empty", "write what the agent is to do in it")
    return "".join(kept)


def _schema(path: Path, table: TaskTable) -> None:
    stated = table.schema_version or table.version
    if stated is not None and stated not in SCHEMAS:
        raise UsageError(
            f"{path}: schema_version = {stated!r} is not known",
            f"known are {', '.join(SCHEMAS)}; or update sica",
        )


def _require_judge(path: Path, table: TaskTable) -> None:
    tests = path / "tests"
    if table.metadata.sica.grading == "two-box" and any(tests.glob("test_*.py")):
        return
    if table.steps or (tests / "checks.json").is_file() or (tests / "test.bat").is_file():
        return
    raise UsageError(
        f"{tests / 'test.sh'}: there is no such file", "write the test that judges, or checks.json"
    )


def _check_places(path: Path, folder: Folder) -> None:
    places = {"environment.workdir": (folder.workdir,), "metadata.sica.workspace": folder.workspace}
    for key, values in places.items():
        for place in values:
            pure = PurePosixPath(place)
            if not pure.is_absolute() or ".." in pure.parts or pure == PurePosixPath("/"):
                raise UsageError(
                    f"{path}: {key} = {place!r} is not an absolute directory below /", "write it like '/app'"
                )
    memory_mb(path, folder.table)


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
        raise UsageError(f"{path}: {key} = {text!r} is not a size", "write it like '2G' or '512M'")
    factor = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024 * 1024}[found[2].upper()]
    return max(1, round(float(found[1]) * factor))


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
        "multi-step": bool(table.steps) or (path / "steps").is_dir(),
        "separate verifier image": table.verifier.environment is not None
        or (path / "tests" / "Dockerfile").is_file(),
        "compose": _composed(path / "environment"),
    }
    return tuple(f"unsupported: {name}" for name, there in facts.items() if there)


def _composed(environment: Path) -> bool:
    return any((environment / f"docker-compose.{ending}").is_file() for ending in ("yaml", "yml"))


# ── digest ────────────────────────────────────────────────────────────────────────────────────────


def task_files(path: Path) -> Iterator[tuple[str, Path]]:
    """(POSIX name, file) of everything in the folder that is not junk, sorted by name."""
    found = []
    for file in path.rglob("*"):
        name = file.relative_to(path)
        if JUNK_DIRS.intersection(name.parts) or any(fnmatch.fnmatch(file.name, glob) for glob in JUNK_NAMES):
            continue
        if file.is_symlink():
            raise UsageError(f"{file}: a task may not hold links", "put the file itself there")
        if file.is_file():
            found.append((name.as_posix(), file))
    return iter(sorted(found))


def digest(path: Path) -> str:
    """sha256 over sorted (name, executable or not, sha256 of the bytes): any changed byte, name or mode is
    another task. As Harbor's content digest, with the mode added, because it decides what a test can run."""
    outer = hashlib.sha256()
    for name, file in task_files(path):
        inner = hashlib.sha256(file.read_bytes()).hexdigest()
        mode = "x" if file.stat().st_mode & 0o100 else "-"
        outer.update(f"{name}\0{mode}\0{inner}\n".encode())
    return outer.hexdigest()


# ── the Dockerfile ────────────────────────────────────────────────────────────────────────────────


def _recipe(path: Path) -> Recipe:
    """FROM, WORKDIR, COPY, ENV and comments need no build; the first other instruction asks for one."""
    if not path.is_file():
        return Recipe()
    copies: list[tuple[tuple[str, ...], str]] = []
    env: list[tuple[str, str]] = []
    workdir, needs, stages = "", "", 0
    for word, rest in _instructions(path.read_text(encoding="utf-8")):
        match word:
            case "FROM":
                stages += 1
                needs = needs or ("a second FROM" if stages > 1 else "")
            case "WORKDIR":
                workdir = (PurePosixPath(workdir or "/") / rest.strip("\"'")).as_posix()
            case "ENV":
                env += _env(rest)
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


def _env(rest: str) -> list[tuple[str, str]]:
    if "=" not in rest.split(None, 1)[0]:
        name, _, value = rest.partition(" ")
        return [(name, value.strip())]
    return [(name, value) for name, _, value in (word.partition("=") for word in shlex.split(rest))]


def _copy(rest: str, workdir: str) -> tuple[tuple[str, ...], str] | None:
    """None when only a build can do it: options, URLs, here-documents."""
    if rest.startswith("[") or "<<" in rest:
        return None
    words = [word for word in shlex.split(rest) if not word.startswith(("--chown=", "--chmod="))]
    if len(words) < 2 or any(word.startswith("--") or "://" in word for word in words):
        return None
    *sources, target = words
    place = target if target.startswith("/") else f"{workdir.rstrip('/')}/{target.removeprefix('./')}"
    ends_in_directory = target.endswith("/") or target in (".", "./") or len(sources) > 1
    return tuple(sources), place.rstrip("./") + "/" if ends_in_directory else place


def copied(folder: Folder) -> Files:
    """What the Dockerfile's COPY instructions lay down, by absolute box path."""
    context = folder.path / "environment"
    ignored = _dockerignore(context / ".dockerignore")
    laid: dict[str, File] = {}
    for sources, target in folder.recipe.copies:
        for source in sources:
            laid |= _laid(context, source, target, ignored)
    return laid


def _dockerignore(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    globs = tuple(line.strip("/") for line in lines if line and not line.startswith("#"))
    if any(glob.startswith("!") for glob in globs):
        raise UsageError(f"{path}: exceptions (!) are not supported", "list what to leave out instead")
    return globs


def _laid(context: Path, source: str, target: str, ignored: tuple[str, ...]) -> dict[str, File]:
    """Docker's rule: a directory's contents are copied, a file keeps its name when the target is a
    directory.
    """
    pure = PurePosixPath(source.lstrip("/"))
    if ".." in pure.parts:
        raise UsageError(
            f"{context / 'Dockerfile'}: COPY {source!r} leaves the folder", "copy from inside it"
        )
    matches = sorted(context.glob(pure.as_posix())) if set("*?[") & set(source) else [context / pure]
    laid: dict[str, File] = {}
    for match in matches:
        if not match.exists():
            raise UsageError(
                f"{context / 'Dockerfile'}: COPY {source!r}: no such file", "add it or drop the line"
            )
        files = [match] if match.is_file() else [file for _, file in _below(match)]
        for file in files:
            if _is_ignored(file.relative_to(context).as_posix(), ignored):
                continue
            if match.is_file():
                place = target + file.name if target.endswith("/") else target
            else:
                place = f"{target.rstrip('/')}/{file.relative_to(match).as_posix()}"
            laid[place] = File(file.read_bytes(), bool(file.stat().st_mode & 0o100))
    return laid


def _below(directory: Path) -> list[tuple[str, Path]]:
    return list(task_files(directory))


def _is_ignored(name: str, globs: tuple[str, ...]) -> bool:
    parts = PurePosixPath(name).parts
    heads = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return any(
        fnmatch.fnmatchcase(head, glob) or fnmatch.fnmatchcase(head, glob.removeprefix("**/"))
        for glob in globs
        for head in (*heads, *(parts if glob.startswith("**/") else ()))
    )
