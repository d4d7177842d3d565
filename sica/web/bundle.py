"""The page in one file: styles and scripts inlined, each named by its hash in the policy that the file carries.

The modules are ours and a few vendored ones; they import each other by relative paths, without cycles, by the forms
that docs/web-api.md names. Anything else is an error here, so a page that cannot be exported fails a test.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from sica.errors import SicaError

_IMPORT = re.compile(
    r"(?:(?<=^)|(?<=[;\n]))import\s*(?:(?P<default>[\w$]+)\s*,?\s*)?(?:\{(?P<names>[^}]*)\}|\*\s*as\s+(?P<all>[\w$]+))?"
    r"\s*(?:from)?\s*\"(?P<path>\.[^\"]+)\";?"
)
_EXPORT_LIST = re.compile(r"(?:(?<=^)|(?<=[;}\n]))export\s*\{(?P<names>[^}]*)\};?")
_EXPORT_DEFAULT = re.compile(r"(?:(?<=^)|(?<=[;}\n]))export\s+default\s+")
_EXPORT = re.compile(
    r"(?:(?<=^)|(?<=[;}\n]))export\s+(?P<kind>async\s+function\s*\*?|function\s*\*?|class|const)\s+(?P<name>[\w$]+)"
)
_LEFT = re.compile(r"(?:^|[;\n])\s*(?:import|export)\b[^\n]{0,80}|\bimport\s*\(")
_COMMENT = re.compile(r"^[ \t]*/\*\*.*?\*/[ \t]*\n?", re.DOTALL | re.MULTILINE)
"""A comment that stands on lines of its own."""
_SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=\S+\s*$")


def page(static: Path, data: str) -> str:
    """index.html with everything in it, and `data` (JSON) where the page looks for it."""
    html = (static / "index.html").read_text("utf-8")
    html = re.sub(r'<link rel="(?:modulepreload|icon)"[^>]*>\n?', "", html)
    html = re.sub(r"<!--.*?-->\n?", "", html, flags=re.DOTALL)
    hashes: dict[str, list[str]] = {"style-src": [], "script-src": []}

    def styled(found: re.Match[str]) -> str:
        text = (static / found[1]).read_text("utf-8")
        hashes["style-src"].append(_hash(text))
        return f"<style>{text}</style>"

    html = re.sub(r'<link rel="stylesheet" href="/static/([^"]+)">', styled, html)
    scripts: list[str] = []

    def gathered(found: re.Match[str]) -> str:
        text = script(static, found[2]) if "module" in found[1] else (static / found[2]).read_text("utf-8")
        text = text.replace("</script", "<\\/script")
        hashes["script-src"].append(_hash(text))
        scripts.append(f"<script>{text}</script>")
        return ""

    html = re.sub(r'<script([^>]*) src="/static/([^"]+)"[^>]*></script>\n?', gathered, html)
    html = re.sub(r'<script([^>]*)src="/static/([^"]+)"[^>]*></script>\n?', gathered, html)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {' '.join(hashes['style-src'])}; script-src {' '.join(hashes['script-src'])}"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    html = html.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{meta}', 1)
    inside = f'<script type="application/json" id="data">{data.replace("<", chr(92) + "u003c")}</script>'
    head, body, rest = html.partition("</body>")
    whole = "\n".join([head + inside, *scripts, body + rest])
    if left := re.findall(r"/static/[^\"'\s]+", head):
        raise SicaError(f"index.html refers to {', '.join(left)}, which the export does not carry")
    return whole


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def script(static: Path, entry: str) -> str:
    """All modules that the entry needs, as one classic script."""
    modules = dict(_modules(static, entry, []))
    parts = [f"$[{json.dumps(path)}] = (() => {{\n{code}\n}})();" for path, code in modules.items()]
    return '"use strict";\n(() => {\nconst $ = {};\n' + "\n".join(parts) + "\n})();\n"


def _modules(static: Path, path: str, above: list[str]) -> Iterator[tuple[str, str]]:
    """Each module after those that it imports."""
    if path in above:
        raise SicaError(f"modules import each other in a circle: {' > '.join([*above, path])}")
    code = _SOURCE_MAP.sub("\n", _COMMENT.sub("", (static / path).read_text("utf-8")))
    for found in _IMPORT.finditer(code):
        yield from _modules(static, _beside(path, found["path"]), [*above, path])
    yield path, _translated(path, code)


def _beside(path: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))


def _translated(path: str, code: str) -> str:
    names: dict[str, str] = {}

    def imported(found: re.Match[str]) -> str:
        module = f"$[{json.dumps(_beside(path, found['path']))}]"
        parts = [f"default: {found['default']}"] if found["default"] else []
        parts += [": ".join(pair) if pair[0] != pair[1] else pair[0] for pair in _pairs(found["names"] or "")]
        whole = f"const {found['all']} = {module};" if found["all"] else ""
        return (f"const {{ {', '.join(parts)} }} = {module};" if parts else "") + whole

    def listed(found: re.Match[str]) -> str:
        names.update((there, here) for here, there in _pairs(found["names"]))
        return ""

    def declared(found: re.Match[str]) -> str:
        names[found["name"]] = found["name"]
        return f"{found['kind']} {found['name']}"

    def default(_: re.Match[str]) -> str:
        names["default"] = "$default"
        return "const $default = "

    code = _IMPORT.sub(imported, code)
    code = _EXPORT_LIST.sub(listed, code)
    code = _EXPORT_DEFAULT.sub(default, code)
    code = _EXPORT.sub(declared, code)
    if left := _LEFT.search(code):
        raise SicaError(f"{path}: the export does not know the form {left[0].strip()!r}")
    return code + "\nreturn { " + ", ".join(f"{there}: {here}" for there, here in names.items()) + " };"


def _pairs(names: str) -> Iterator[tuple[str, str]]:
    """`a, b as c` as (a, a), (b, c)."""
    for part in filter(None, (p.strip() for p in names.split(","))):
        here, _, there = part.partition(" as ")
        yield here.strip(), (there or here).strip()
