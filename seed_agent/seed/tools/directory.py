"""directory: what lies below a path, as a tree."""

from pathlib import Path

from seed import settings
from seed.tools.search import SKIPPED

TOOL = {
    "name": "directory",
    "description": "List a directory as a tree, `depth` levels deep (2 when left out), with sizes in bytes.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "depth": {"type": "integer", "minimum": 1}},
        "required": [],
    },
    "example": {"path": "src", "depth": 3},
}


def run(arguments, agent):
    root = Path(arguments.get("path") or ".")
    if not root.is_dir():
        raise ValueError(f"{root} is no directory")
    lines = list(_below(root, max(1, arguments.get("depth", 2)), ""))
    more = len(lines) - settings.TREE_ENTRIES
    if more > 0:
        agent.facts["outputs cut"] += 1
        lines = [*lines[: settings.TREE_ENTRIES], f"[output cut: {more} more entries are not shown]"]
    return "\n".join([f"{root}/", *lines])


def _below(folder, depth, indent):
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield f"{indent}  {path.name}/"
            if depth > 1 and path.name not in SKIPPED:
                yield from _below(path, depth - 1, indent + "  ")
        else:
            yield f"{indent}  {path.name}  {path.lstat().st_size}"
