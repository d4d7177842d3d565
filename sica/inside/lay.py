"""Makes an image's workspace into what an agent left, then becomes the judge's command: lay.py PLAN COMMAND...

It runs before a byte of the agent's does. Standard library only. When it cannot be done it says the plan's
token, which nobody after it can know.
"""

# ruff: noqa: PTH101, PTH103, PTH106, PTH108, PTH112, PTH113, PTH114, PTH116, PTH120, PTH123, PTH208, S606

from __future__ import annotations

import json
import os
import shutil
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def lay(plan: dict[str, Any]) -> None:
    for path in plan["remove"]:
        if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path)):
            os.unlink(path)
            prune(os.path.dirname(path), plan["keep"])
    for source, path, executable in plan["put"]:
        clear(path)
        mode = os.stat(path).st_mode & 0o777 if os.path.isfile(path) else 0o644
        if os.path.lexists(path):
            os.unlink(path)
        shutil.copyfile(source, path)
        os.chmod(path, mode | 0o111 if executable else mode & ~0o111)
        os.unlink(source)


def prune(directory: str, keep: list[str]) -> None:
    """Directories that lost their last file go; one that the image made empty was never visited."""
    while directory not in ("/", *keep) and not os.listdir(directory):
        os.rmdir(directory)
        directory = os.path.dirname(directory)


def clear(path: str) -> None:
    """Real directories above the path, and no directory in its place."""
    above = ""
    for name in os.path.dirname(path).split("/")[1:]:
        above += "/" + name
        if os.path.lexists(above) and not os.path.isdir(above):
            os.unlink(above)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)


def main() -> None:
    place, *command = sys.argv[1:]
    with open(place, "rb") as file:
        plan = json.load(file)
    try:
        lay(plan)
        os.unlink(place)
    except OSError as error:
        sys.exit(f"{plan['token']} {error}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
