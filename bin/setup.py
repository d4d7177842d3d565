"""Make .venv and install one hash-locked requirements file into it, with uv when it can be had, else with pip.

    python3 bin/setup.py requirements/base.txt [--pip]

Standard library only: this runs before anything is installed. Running it again does what is missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main(argv: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036  # the one file that an older Python must reach
        return _fail(
            f"sica needs Python 3.11 or newer; this is {sys.version.split()[0]}", "set PY=python3.12"
        )
    lock = ROOT / argv[0]
    if not PYTHON.exists():
        print(f"making {VENV.name} with {sys.executable}", file=sys.stderr)
        try:
            venv.create(VENV, with_pip=True, symlinks=True)
        except subprocess.CalledProcessError:
            return _fail("python3 cannot make a virtual environment", "on Debian: apt install python3-venv")
    uv = None if "--pip" in argv else _uv()
    if uv and _install([uv, "pip", "install", "-q", "--python", str(PYTHON), "--compile-bytecode"], lock):
        return 0
    if _install([str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"], lock):
        return 0
    return _fail(f"could not install {lock.relative_to(ROOT)}", "see the lines above")


def _install(install: list[str], lock: Path) -> bool:
    name = Path(install[0]).name
    print(f"installing {lock.relative_to(ROOT)} with {'uv' if name == 'uv' else 'pip'}", file=sys.stderr)
    steps = [
        [*install, "--require-hashes", "-r", str(lock)],
        [*install, "--require-hashes", "-r", str(ROOT / "requirements/setup.txt")],
        [*install, "--no-deps", "--no-build-isolation", "-C", "editable_mode=compat", "-e", str(ROOT)],
    ]
    # A read-only or other home must not matter, packages without bytecode start many times slower, and whom to
    # trust is for the system to say: a company's proxy has a certificate that only it knows.
    env = {**os.environ, "UV_LINK_MODE": "copy", "PYTHONDONTWRITEBYTECODE": "", "UV_SYSTEM_CERTS": "true"}
    return all(subprocess.run(step, env=env, check=False).returncode == 0 for step in steps)


def _uv() -> str | None:
    """uv, pinned by hash; None where it has no wheel, and then pip does the same more slowly."""
    found = VENV / "bin" / "uv"
    lock = str(ROOT / "requirements/uv.txt")
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:"]
    if not found.exists():
        subprocess.run([*pip, "--require-hashes", "-r", lock], check=False)
    return str(found) if found.exists() else None


def _fail(what: str, cure: str) -> int:
    print(f"setup: {what}\n       {cure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
