"""Images of foreign tasks: built or fetched once, with network at this moment only, named by the task's digest."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sica import harbor
from sica.errors import SandboxError, SandboxUnavailable

LABEL = "sica.task"
LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Image:
    """What a task's image says of itself."""

    name: str
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def ready(folder: harbor.Folder, name: str) -> Image:
    """The image, made when the engine has it not. Raises SandboxError with the step that failed."""
    with _client(folder) as client:
        found = _inspect(client, name)
        if found is None:
            if folder.table.environment.docker_image:
                _pull(client, folder, name)
            else:
                _build(client, folder, name)
            found = _inspect(client, name)
        if found is None:
            raise SandboxError(f"{folder.path}: the engine lost the image {name}")
    config = found.get("Config") or {}
    pairs = [pair.partition("=") for pair in config.get("Env") or ()]
    return Image(name, config.get("WorkingDir") or "", {key: value for key, _, value in pairs})


def missing(folder: harbor.Folder) -> str:
    """Why the image that the task builds upon cannot be used, or ""."""
    wanted = folder.sica.needs_image
    if not wanted:
        return ""
    try:
        with _client(folder) as client:
            there = _inspect(client, wanted) is not None
    except SandboxError:
        return f"it needs the image {wanted}, and no Docker engine answers"
    return "" if there else f"the image {wanted} is not on this machine: docker pull {wanted}"


@contextmanager
def _client(folder: harbor.Folder) -> Iterator[Any]:
    import docker
    from docker.utils import kwargs_from_env
    from requests.exceptions import RequestException

    seconds = folder.table.environment.build_timeout_sec
    try:
        client = docker.APIClient(version="auto", timeout=seconds, **kwargs_from_env())
    except docker.errors.DockerException as e:
        raise SandboxUnavailable(
            f"{folder.path} needs Docker for its image, and no engine answers: {e}"
        ) from e
    try:
        yield client
    except (docker.errors.DockerException, RequestException) as e:
        raise SandboxError(f"{folder.path}: the Docker engine failed: {e}") from e
    finally:
        client.close()


def _inspect(client: Any, name: str) -> dict[str, Any] | None:
    from docker.errors import ImageNotFound

    try:
        found: dict[str, Any] = client.inspect_image(name)
    except ImageNotFound:
        return None
    return found


def _pull(client: Any, folder: harbor.Folder, name: str) -> None:
    from docker.errors import APIError

    place = f"{folder.path / 'task.toml'}: environment.docker_image = {name!r}"
    try:
        client.pull(name)
    except APIError as e:
        raise SandboxError(f"{place} cannot be had: {e.explanation or e}") from e


def _build(client: Any, folder: harbor.Folder, name: str) -> None:
    dockerfile = folder.path / "environment" / "Dockerfile"
    until = time.monotonic() + folder.table.environment.build_timeout_sec
    said: list[str] = []
    # The engine's older builder: it is everywhere, and a broken connection stops it.
    lines = client.build(
        fileobj=_context(folder), custom_context=True, tag=name, rm=True, forcerm=True, decode=True,
        labels={LABEL: folder.digest},
    )  # fmt: skip
    for line in lines:
        if "error" in line:
            log = "\n".join("".join(said).splitlines()[-LOG_LINES:])
            raise SandboxError(f"{dockerfile}: the build failed: {line['error'].strip()}\n{log}")
        said.append(line.get("stream", ""))
        if time.monotonic() > until:
            lines.close()
            seconds = folder.table.environment.build_timeout_sec
            raise SandboxError(f"{dockerfile}: the build took longer than {seconds:g} s")


def _context(folder: harbor.Folder) -> io.BytesIO:
    """The task's files below environment/ and nothing else: what the digest does not know is not built in."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, path in _kept(folder):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            entry.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(entry, file)
    context.seek(0)
    return context


def _kept(folder: harbor.Folder) -> Iterator[tuple[str, Path]]:
    from docker.utils.build import exclude_paths

    root = folder.path / "environment"
    ignore = root / ".dockerignore"
    rules = [line for line in ignore.read_text().splitlines() if line.strip()] if ignore.is_file() else []
    rules = [rule for rule in rules if not rule.lstrip().startswith("#")]
    wanted = exclude_paths(str(root), rules, dockerfile="Dockerfile")
    for name, path in harbor.files_below(folder.path, "environment"):
        if name in wanted or name == "Dockerfile":
            yield name, path
