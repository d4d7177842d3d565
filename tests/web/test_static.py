"""What the browser loads is what stands in the repository, and nothing in it asks another machine for anything."""

import hashlib
import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "sica" / "web" / "static"
VENDOR = STATIC / "vendor"
OWN = sorted([*STATIC.glob("js/*.js"), STATIC / "style.css", STATIC / "index.html", STATIC / "icon.svg"])
NAMES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1998/Math/MathML")
"""Of XML namespaces: words that are never fetched."""


def hashes() -> dict[str, str]:
    lines = re.findall(r"^([0-9a-f]{64})  (\S+)$", (VENDOR / "README").read_text(), re.M)
    return {name: digest for digest, name in lines}


def as_published(name: str) -> bytes:
    data = (VENDOR / name).read_bytes()
    return data.replace(b'from"./preact.js"', b'from"preact"') if name == "preact-hooks.js" else data


def test_every_library_is_listed_with_the_hash_of_what_its_authors_published() -> None:
    libraries = {path.name for path in VENDOR.iterdir()} - {"README", "LICENSES"}
    assert set(hashes()) == libraries
    for name, digest in hashes().items():
        assert hashlib.sha256(as_published(name)).hexdigest() == digest, name


@pytest.mark.parametrize("path", [*OWN, *VENDOR.glob("*.*s")], ids=lambda path: path.name)
def test_no_file_names_an_address_on_another_machine(path: Path) -> None:
    text = path.read_text()
    for name in NAMES:
        text = text.replace(name, "")
    found = re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}[^\s\"']*", text)
    assert [f for f in found if "github.com/leeoniya/uPlot" not in f] == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_what_an_agent_said_cannot_become_markup_or_code(path: Path) -> None:
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|srcdoc"
    code = r"\beval\(|new Function|javascript:"
    assert re.findall(f"{markup}|{code}", path.read_text()) == []


def test_the_page_has_no_inline_script_or_style() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son\w+=", page) == []


def test_modules_import_each_other_by_relative_path_and_without_cycles() -> None:
    imports = {
        path: [
            (path.parent / name).resolve()
            for name in re.findall(r'^(?:import|export)\b[^;]*?from "([^"]+)";', path.read_text(), re.M)
        ]
        for path in STATIC.glob("js/*.js")
    }
    assert all(target.is_file() for targets in imports.values() for target in targets)
    reached: set[Path] = set()

    def follow(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(p.name for p in (*trail, path))
        if path not in reached:
            for target in imports.get(path, ()):
                follow(target, (*trail, path))
            reached.add(path)

    follow(STATIC / "js" / "main.js", ())
    assert set(imports) <= reached, "a module that nothing loads"


def test_every_module_is_asked_for_at_once() -> None:
    named = set(re.findall(r'href="/static/([^"]+\.js)"', (STATIC / "index.html").read_text()))
    loaded = {f"js/{path.name}" for path in STATIC.glob("js/*.js")} - {"js/main.js"}
    assert named == loaded | {"vendor/htm.js", "vendor/preact.js", "vendor/preact-hooks.js"}


def test_the_page_stays_small_enough_to_read() -> None:
    """Everything that a browser loads; a third of it is vendored."""
    loaded = [*OWN, *VENDOR.glob("*.js"), *VENDOR.glob("*.css")]
    assert sum(path.stat().st_size for path in loaded) < 270_000
