"""One file for sharing: complete, the same every time, free of secrets. tests/web/test_browser.py opens it offline."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from browsing import made_up
from commands import ROOT, family, sica

from sica.errors import SicaError
from sica.web import bundle
from sica.web.export import Scan

STATIC = ROOT / "sica" / "web" / "static"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up(tmp_path_factory.mktemp("to share") / "made up", agents=8, tasks=5, traces=3, turns=60)


def data(html: str) -> dict[str, Any]:
    (inside,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    found = json.loads(inside)
    assert isinstance(found, dict)
    return found


def test_it_is_complete_and_the_same_every_time(project: Path) -> None:
    first = sica(project, "web", "--export", "one.html", "--traces", "all")
    assert (first.code, first.out) == (0, f"{project / 'one.html'}\n")
    assert re.search(r"traces +\d+\.\d\d MB", first.err)
    assert sica(project, "web", "--export", "two.html", "--traces", "all").code == 0
    html = (project / "one.html").read_text("utf-8")
    assert html == (project / "two.html").read_text("utf-8")
    answers = data(html)
    meta = answers["/api/archive"]["meta"]
    assert (meta["offline"], meta["readonly"], meta["token"], meta["user"]) == (True, True, "", "")
    for number in range(8):
        agent = answers[f"/api/agent/{number}"]
        assert f"/api/agent/{number}/diff" in answers
        for trial in agent["trials"]:
            assert answers[f"/api/trace/{trial['trace']}"]["pages"] >= 1
    best, seed = answers["/api/archive"]["best"], 0
    assert answers[f"/api/compare/{seed}/{best}"]["comparison"]["tasks"] == 5
    assert f"/api/agent/{best}/diff?against={seed}" in answers
    for name, trace in answers.items():
        if name.startswith("/api/trace/") and "?" not in name:
            assert all(f"{name}?page={n}" in answers for n in range(1, trace["pages"]))


def test_without_traces_nothing_links_to_one(project: Path) -> None:
    assert sica(project, "web", "--export", "bare.html").code == 0
    html = (project / "bare.html").read_text("utf-8")
    assert not re.search(r"sha256:[0-9a-f]{64}", json.dumps(data(html)))
    best = sica(project, "web", "--export", "best.html", "--traces", "best")
    assert best.code == 0
    assert len(html) < (project / "best.html").stat().st_size


def test_its_policy_names_every_script_and_style_by_its_hash(project: Path) -> None:
    assert sica(project, "web", "--export", "policy.html").code == 0
    html = (project / "policy.html").read_text("utf-8")
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts]
        (told,) = re.findall(rf"{name} ([^;]*)", policy)
        assert hashes == told.split() != []
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    outside = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:|//|/)""", outside)


KEY = "sk-ant-api03-" + "a1B2" * 10


@pytest.mark.parametrize(
    ("text", "environ", "what"),
    [
        (f"export KEY={KEY}", {}, "an OpenAI or Anthropic key"),
        ("ghp_" + "x" * 36, {}, "a GitHub token"),
        ("AKIAABCDEFGHIJKLMNOP", {}, "an AWS key"),
        ("-----BEGIN RSA PRIVATE KEY-----", {}, "a private key"),
        ("it is hunter2hunter2", {"MY_PASSWORD": "hunter2hunter2"}, "the value of MY_PASSWORD"),
        ("cat /home/ann/notes", {"HOME": "/home/ann"}, "your home folder"),
    ],
)
def test_a_secret_is_found_and_taken_out_wherever_it_stands(
    text: str, environ: dict[str, str], what: str
) -> None:
    scan = Scan(environ, redact=True)
    out = scan("/api/x", {"deep": [{"in": ["a", text]}], text: 1})
    assert {found for _, found in scan.found} == {what}
    assert f"[{what}]" in json.dumps(out)
    secret = environ.get("MY_PASSWORD") or environ.get("HOME") or text.rpartition("=")[2]
    assert secret not in json.dumps(out)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("sk-short", {}),
        ("a task-list-of-many-words-that-is-long", {}),
        ("ask-me-anything-about-everything-today", {}),
        ("/home/annabel and /root/app", {"HOME": "/home/ann"}),
        ("/root/app", {"HOME": "/root"}),
        ("short", {"API_KEY": "short"}),
        ("/usr/bin", {"PATH": "/usr/bin:/bin"}),
    ],
)
def test_what_is_no_secret_is_left_alone(text: str, environ: dict[str, str]) -> None:
    scan = Scan(environ)
    assert scan("/api/x", {"a": text}) == {"a": text}
    assert scan.found == []


def test_nothing_is_written_when_a_secret_is_found(tmp_path: Path) -> None:
    made = family(tmp_path / "p")
    seed = next(iter(made.repo.agents()))
    made.agent(f"KEY = '{KEY}'\n", seed, subject="now with a key")
    made.ledger.close()
    refused = sica(tmp_path / "p", "web", "--export", "out.html")
    assert refused.code == 2
    assert "/api/agent/5/diff" in refused.err
    assert KEY not in refused.err
    assert not (tmp_path / "p" / "out.html").exists()
    redacted = sica(tmp_path / "p", "web", "--export", "out.html", "--secrets", "redact")
    assert (redacted.code, "taken out: " in redacted.err) == (0, True)
    assert KEY not in (tmp_path / "p" / "out.html").read_text("utf-8")
    assert sica(tmp_path / "p", "web", "--export", "out.html", "--secrets", "keep").code == 0
    assert KEY in (tmp_path / "p" / "out.html").read_text("utf-8")


def test_bad_input_is_named(tmp_path: Path) -> None:
    family(tmp_path / "p").ledger.close()
    (tmp_path / "p" / "mine.html").write_text("<p>mine</p>")
    for words, told in (
        (["--export", "mine.html"], "mine.html is there already and is no export of sica"),
        (["--export", "x.html", "--traces", "some"], "no value of --traces called 'some'"),
        (["--export", "x.html", "--secrets", "yes"], "no value of --secrets called 'yes'"),
        (["--db", "nothing.db"], "there is no ledger at nothing.db"),
        (["--port", "99999"], "99999"),
    ):
        done = sica(tmp_path / "p", "web", *words)
        assert (done.code, told in done.err, "Traceback" in done.err) == (2, True, False), done
    assert (tmp_path / "p" / "mine.html").read_text() == "<p>mine</p>"
    assert sica(tmp_path, "web", "--port", "0").code == 2, "no project here"


@pytest.mark.parametrize(
    "code",
    [
        'import("./x.js");',
        "export let a = 1;",
        'export * from "./x.js";',
        'import x from "https://example.org/x.js";',
        "const a = 1;\nexport var b = a;",
    ],
)
def test_a_form_that_the_bundler_does_not_know_is_an_error(tmp_path: Path, code: str) -> None:
    (tmp_path / "x.js").write_text("export const a = 1;\n")
    (tmp_path / "main.js").write_text(code + "\n")
    with pytest.raises(SicaError, match="does not know the form"):
        bundle.script(tmp_path, "main.js")


def test_modules_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport const a = 1;\n')
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport const b = 1;\n')
    with pytest.raises(SicaError, match=r"in a circle: a.js > b.js > a.js"):
        bundle.script(tmp_path, "a.js")


def test_every_form_of_import_and_export_is_carried_over(tmp_path: Path) -> None:
    """The whole page is run from a file by test_browser.py; this says which part is wrong."""
    (tmp_path / "lib.js").write_text(
        "var n=1,r=2;export{n as one,r as two};\n//# sourceMappingURL=lib.js.map\n"
    )
    (tmp_path / "def.js").write_text(
        "/** A docstring with import words. */\nexport default function(t){return t}\n"
    )
    (tmp_path / "main.js").write_text(
        'import{one as o}from"./lib.js";import same, { two } from "./lib2.js";\nimport * as all from "./lib.js";\n'
        "export async function f() {}\nexport class C {}\nexport const z = o + two + all.one;\n"
        "export { o, same as q };\n"
    )
    (tmp_path / "lib2.js").write_text(
        'import same from "./def.js";\nexport { same as default };\nexport const two = 2;\n'
    )
    made = bundle.script(tmp_path, "main.js")
    assert 'const { one: o } = $["lib.js"];' in made
    assert 'const { default: same, two } = $["lib2.js"];' in made
    assert 'const all = $["lib.js"];' in made
    assert "return { one: n, two: r };" in made
    assert "return { default: $default };" in made
    assert "return { o: o, q: same, f: f, C: C, z: z };" in made
    assert "import" not in made
    assert "sourceMappingURL" not in made


def test_the_page_itself_can_be_bundled() -> None:
    made = bundle.script(STATIC, "js/main.js")
    assert not re.search(r"^\s*(import|export)\b", made, re.MULTILINE)
