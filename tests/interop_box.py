"""An environment of Harbor's for tests: folders of the host, shown by bubblewrap as a container's root."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

from harbor.environments.base import BaseEnvironment, ExecResult
from harbor.environments.capabilities import EnvironmentCapabilities

WRITABLE = ("app", "agent", "task", "tests", "logs", "tmp", "solution", "opt")


class Box(BaseEnvironment):  # type: ignore[misc]
    """BWRAP names the program. What the task's Dockerfile copies lies in environment/workspace."""

    @staticmethod
    def type() -> str:
        return "box"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return EnvironmentCapabilities(disable_internet=True)

    def _validate_definition(self) -> None:
        assert (self.environment_dir / "Dockerfile").is_file()

    @property
    def _root(self) -> Path:
        return Path(self.trial_paths.trial_dir) / "root"

    def _host(self, path: Any) -> Path:
        return self._root / str(path).lstrip("/")

    async def start(self, force_build: bool) -> None:
        del force_build
        for name in (*WRITABLE, "logs/agent", "logs/verifier", "logs/artifacts"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        workspace = self.environment_dir / "workspace"
        if workspace.is_dir():
            shutil.copytree(workspace, self._root / "app", dirs_exist_ok=True)

    async def stop(self, delete: bool) -> None:
        del delete

    async def upload_file(self, source_path: Any, target_path: Any) -> None:
        self._host(target_path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source_path, self._host(target_path))

    async def upload_dir(self, source_dir: Any, target_dir: Any) -> None:
        shutil.copytree(source_dir, self._host(target_dir), dirs_exist_ok=True)

    async def download_file(self, source_path: Any, target_path: Any) -> None:
        shutil.copy(self._host(source_path), target_path)

    async def download_dir(self, source_dir: Any, target_dir: Any) -> None:
        shutil.copytree(self._host(source_dir), target_dir, dirs_exist_ok=True)

    async def exec(
        self, command: str, cwd: str | None = None, env: Any = None, timeout_sec: Any = None, user: Any = None
    ) -> ExecResult:
        del user
        words = [
            os.environ["BWRAP"],
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/usr",
            "/usr",
            "--proc",
            "/proc",
        ]
        words += [
            "--symlink",
            "usr/bin",
            "/bin",
            "--symlink",
            "usr/lib",
            "/lib",
            "--symlink",
            "usr/lib64",
            "/lib64",
        ]
        words += [
            "--dev",
            "/dev",
            *(w for name in WRITABLE for w in ("--bind", str(self._root / name), f"/{name}")),
        ]
        words += ["--chdir", cwd or "/app", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
        words += [word for key, value in (env or {}).items() for word in ("--setenv", key, value)]
        run = await asyncio.create_subprocess_exec(
            *words, "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(run.communicate(), timeout_sec)
        return ExecResult(stdout=out.decode(), stderr=err.decode(), return_code=run.returncode or 0)
