"""The report of a real evolution: a search, its control and held-out tasks, all in boxes; and of hostile agents."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from commands import Project, family, sica
from conftest import skilled, write_task
from hypothesis import given
from hypothesis import strategies as st

from sica.account import toml
from sica.ledger import SqliteLedger
from sica.pages import Block, Code, Heading, Table, Words, html, markdown, quoted

BOXES = {
    "SICA_SANDBOX": "bubblewrap",
    "SICA_WORKERS": "2",
    "SICA_SMOKE": "./gate",
    "SICA_PROMOTE": "mean",
    "SICA_CONFIRM": "1",
    "SICA_RACE": "false",
}
HELDOUT = ("eval", "0", "best", "3", "--split", "heldout", "-q")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two children of a search, one of a control; nine tasks, two of them held out. No model is needed."""
    folder = tmp_path_factory.mktemp("report") / "a project ü"
    folder.mkdir()
    for n in range(9):
        held = {"split": "heldout"} if n >= 7 else {}
        write_task(
            folder / "toy", f"level{1 + n % 3}-{n}", 1 + n % 3, kind=("easy", "hard")[n % 3 > 0], **held
        )
    write_task(folder / "gate", "starts", 1)
    (folder / "seed").mkdir()
    for name, file in skilled().items():
        (folder / "seed" / name).write_bytes(file.data)
    for args in (
        ("init", "--agent", "seed", "--bench", "toy"),
        ("evolve", "-n", "2", "-q"),
        ("evolve", "-n", "1", "-q", "--policy", "iid"),
    ):
        ran = sica(folder, *args, env=BOXES)
        assert ran.code == 0, ran.err
    return folder


def told(folder: Path, *args: str) -> str:
    ran = sica(folder, "report", "-o", "-", *args)
    assert ran.code == 0, ran.err
    return ran.out


def test_before_held_out_tasks_are_measured_the_report_says_how(searched: Path) -> None:
    page = told(searched)
    assert "On held-out tasks it was not measured" in page
    assert "`sica eval 0 1 3 --bench toy --split heldout`" in page
    assert "2 tasks of 9 are held out" in page
    assert "Held-out scores were looked at never." in page
    assert sica(searched, "log", "--json").json["agents"][-1]["n"] == 14, (
        "seven tasks, and once more to confirm"
    )


def test_every_look_at_held_out_scores_is_recorded_and_told(searched: Path) -> None:
    before = sica(searched, "show", "0", "--json").json["trials"]
    ran = sica(searched, *HELDOUT, env=BOXES)
    assert ran.code == 0, ran.err
    assert "agent/1  50.0%" in ran.out
    assert "1 vs 0: +50.0 (1 gained, 0 lost, p 1.00: not separable)" in ran.out
    assert sica(searched, "show", "0", "--json").json["trials"] == before, (
        "held-out trials stay out of scores"
    )
    first, second = told(searched), told(searched)
    assert "looked at 2 times" in first
    assert "looked at 3 times" in second
    assert "On held-out tasks, which no step of the search used: +50.0" in second
    unseen = told(searched, "--no-heldout")
    assert "looked at 3 times" in unseen
    assert "which no step of the search used" not in unseen
    assert "On held-out tasks it was not looked at" in unseen
    with SqliteLedger.open(searched / ".sica" / "sica.db", readonly=True) as ledger:
        assert [g.command for g in ledger.glimpses()] == ["eval", "report", "report"]
        assert {len(g.agents) for g in ledger.glimpses()} == {3}
        assert {g.trials for g in ledger.glimpses()} == {6}


def test_the_report_has_everything_that_speaks_against_a_result(searched: Path) -> None:
    page = told(searched, "--no-heldout")
    assert "| IID control | agent/3 |" in page
    assert "The control made 1 child for" in page
    assert "the search 2 children" in page
    assert "Champion against control: +0.0 (0 gained, 0 lost, p 1.00: not separable)" in page
    assert "(the winner's curse)" in page.replace("\\", "")
    assert re.search(r"\| improvements begun \| 3 \|", page)
    assert re.search(r"\| … not separable from it \| 3 \|", page)
    assert "No integrity finding" in page
    assert "100.0% of what was tried is scored" in page
    (promotion,) = re.findall(r"^\| \d\d-\d\d .*$", page, re.MULTILINE)
    assert "| 71.4% | 71.4% | +28.6 (2 gained, 0 lost, p 0.50: not separable) |" in promotion


def test_the_settings_in_the_report_repeat_the_run(searched: Path, tmp_path: Path) -> None:
    """What it says is enough: the same settings and the seed that it names make the same first generation."""
    page = told(searched, "--no-heldout")
    block = next(b for b in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if 'policy = "greedy"' in b)
    settings, _, commands = block.partition("\n\n# in a fresh folder")
    again = tmp_path / "again"
    again.mkdir()
    for name in ("toy", "gate"):
        (again / name).symlink_to(searched / name)
    (unpack,) = re.findall(r"# (git -C .*)", commands)
    (again / "seed").mkdir()
    (again / ".sica").symlink_to(searched / ".sica")
    subprocess.run(["bash", "-c", unpack], cwd=again, check=True)
    (again / ".sica").unlink()
    for line in commands.splitlines():
        if line.startswith("sica "):
            if line.startswith("sica evolve"):
                (again / "sica.toml").write_text(settings)
            ran = sica(again, *line.removeprefix("sica ").split(), env={"SICA_WORKERS": "2"})
            assert ran.code == 0, ran.err
    assert told(again, "--no-heldout").count("raise the skill by 1") >= 2
    old, new = (sica(folder, "show", "1", "--json").json for folder in (searched, again))
    assert (old["tree"], old["score"]) == (new["tree"], new["score"])


def test_compare_says_where_agents_differ_and_how_surely(searched: Path) -> None:
    out = sica(searched, "compare", "0", "1").out
    assert "test: sign-flip" in out, "every task was tried twice"
    assert re.search(r"^easy +3 +100.0% +100.0% +\+0.0  p 1.00: not separable$", out, re.MULTILINE)
    assert re.search(r"^hard +4 +0.0% +50.0% +\+50.0  p 1.00: not separable$", out, re.MULTILINE)
    assert re.search(r"^mean of kinds +50.0% +75.0% +\+25.0$", out, re.MULTILINE)
    assert "agent/1    pass@2 71.4%  pass^2 71.4%" in out
    assert "To separate 28.6 points (80% power) about 25 paired tasks are needed in all." in out
    kinds = sica(searched, "compare", "0", "1", "--json").json["kinds"]
    assert [(k["kind"], k["n_tasks"], k["scores"], k["p_holm"]) for k in kinds] == [
        ("easy", 3, [1.0, 1.0], 1.0),
        ("hard", 4, [0.0, 0.5], 1.0),
    ]
    assert "by kind    easy 100.0% of 6   hard 50.0% of 8" in sica(searched, "show", "1").out


def test_where_the_best_of_many_is_shown_luck_is_named(searched: Path) -> None:
    assert "the best of 4 measured agents: were all equally good, it would be up to" in (
        sica(searched, "best", "--by", "score").err
    )
    assert sica(searched, "best").err == "", "the champion was confirmed"
    assert "winner's curse" in sica(searched, "log", "--sort", "score").out
    assert "winner's curse" not in sica(searched, "log").out


def test_attempts_at_the_same_tasks_are_told_apart_from_tasks(searched: Path) -> None:
    ran = sica(searched, "eval", "0", "1", "--reps", "2", "-q", env=BOXES)
    assert (
        "Wilson over 7 tasks   3 always solved, 0 sometimes, 4 never   pass@2 42.9%  pass^2 42.9%" in ran.out
    )
    assert "1 vs 0: +28.6 (2 gained, 0 lost, p 0.50: not separable)" in ran.out


def test_json_says_the_same(searched: Path) -> None:
    found = sica(searched, "report", "--json", "--no-heldout").json
    assert found["schema"] == "sica.report/1"
    counts = found["counts"]
    assert (counts["agents"], counts["promotions"], counts["not_separable"]) == (4, 1, 3)
    assert found["scores"]["champion"]["agent"] == 1
    assert found["scores"]["champion"]["heldout"] is None
    assert found["champion_against_seed"]["separable"] is False
    made_with = found["runs"][0]["config"]["made_with"]
    assert made_with["harness"] >= 1
    assert made_with["command"] == "sica evolve -n 2 -q"


def test_the_page_is_one_file_that_asks_for_nothing(searched: Path) -> None:
    ran = sica(searched, "report", "-o", "out dir", "--no-heldout")
    assert ran.code == 0, ran.err
    folder = searched / "out dir"
    assert {p.name for p in folder.iterdir()} == {
        *("report.html", "report.md", "staircase.svg", "cost.svg", "matrix.svg", "lineage.svg")
    }
    page = Page((folder / "report.html").read_text())
    assert page.tags["svg"] == 4
    assert page.tags["script"] == page.tags["img"] == page.tags["link"] == page.tags["iframe"] == 0
    assert all(
        value.startswith(("#", "data:image/png;")) for name, value in page.links if name.endswith("href")
    )
    assert len(page.ids) == len(set(page.ids))
    assert "![Every agent" in (folder / "report.md").read_text()
    assert sica(searched, "report", "-o", "out dir", "--no-heldout").code == 0, "written over"


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {"script": 0, "img": 0, "link": 0, "iframe": 0}
        self.links: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name in ("href", "xlink:href", "src"):
                self.links.append((name, value or ""))
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


# ── hostile words ─────────────────────────────────────────────────────────────────────────────────

EVIL = (
    "<script>alert(1)</script> [x](javascript:y) | `code` \x1b[31m \u202e ![](http://x) <img src=x> $1$ \x00"
)


def test_what_agents_wrote_stays_text(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    seed = project.agent("print(0)\n", subject="seed")
    child = project.agent("print(1)\n", seed, subject=EVIL.replace("\x00", ""))
    project.agent("print(2", seed, subject="broken", rejected=EVIL)
    project.trials(seed, [0] * 8)
    project.trials(child, [1] * 8)
    project.promote(child)
    ran = sica(project.folder, "report")
    assert ran.code == 0, ran.err
    text = (project.folder / "sica-report" / "report.html").read_text()
    page = Page(text)
    assert page.tags["script"] == page.tags["img"] == 0
    assert "<script>alert(1)</script>" in "".join(page.text)
    marked = (project.folder / "sica-report" / "report.md").read_text()
    assert "<script>" not in marked.replace("\\<", "")
    assert "](javascript" not in marked.replace("\\]", "")
    for written in (text, marked):
        assert not set("\x1b\u202e\x00") & set(written)


WORDS = st.text(max_size=40)


@given(WORDS, WORDS, WORDS)
def test_no_words_become_markup(title: str, cell: str, code: str) -> None:
    blocks: list[Block] = [
        Heading(title),
        Words(quoted(cell)),
        Table(("head",), [[quoted(cell)]], "<"),
        Code(code),
    ]
    page = Page(html(title, blocks, {}))
    known = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h2",
        "p",
        "div",
        "table",
        "code",
        "pre",
    }
    assert {tag for tag, n in page.tags.items() if n} <= known | {"thead", "tbody", "tr", "th", "td"}
    drawn = [line for line in markdown(blocks, {}).splitlines() if line.startswith("| ")][1]
    assert len(re.findall(r"(?<!\\)\|", drawn.replace("\\\\", ""))) == 2, "a cell stays one cell"


PLAIN: st.SearchStrategy[Any] = st.one_of(st.integers(-9, 9), st.booleans(), WORDS, st.floats(-9, 9))


SETTINGS = st.dictionaries(st.sampled_from(["model", "seed", "bench"]), PLAIN)


@given(SETTINGS, st.dictionaries(WORDS, st.just({"prompt": 1.5})))
def test_settings_come_back_from_their_text(plain: dict[str, Any], prices: dict[str, Any]) -> None:
    unset = {"kind": "evolve", "task": "", "max_cost": None, "trial": {"seconds": None}}
    found = tomllib.loads(toml({"prices": prices, **plain, **unset}))
    assert found.pop("prices", {}) == prices
    assert found == plain


# ── too little, and wrong input ───────────────────────────────────────────────────────────────────


def test_an_archive_without_a_score_has_a_report(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.agent("print(0)\n", subject="seed")
    ran = sica(project.folder, "report")
    assert ran.code == 0, ran.err
    text = (project.folder / "sica-report" / "report.md").read_text()
    assert "No agent was promoted: the champion is the seed." in text
    assert "Too little was measured to say." in text


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = sica(project.folder, "report")
    assert (ran.code, "there is no agent to report on" in ran.err) == (2, True)


def test_a_report_goes_into_a_folder(tmp_path: Path) -> None:
    project = family(tmp_path / "p")
    (project.folder / "taken").write_text("")
    assert "taken is a file" in sica(project.folder, "report", "-o", "taken").err
    assert "is not a folder" in sica(project.folder, "report", "-o", "no/where").err


def test_a_disk_that_cannot_be_written_shows_no_held_out_score(tmp_path: Path) -> None:
    """The look comes first: what cannot be recorded is not shown."""
    project = family(tmp_path / "p")
    tasks = project.ledger.tasks("core")
    project.ledger.see_tasks([replace(tasks[0], split="heldout")])
    before = told(project.folder)
    assert "looked at once" in before
    project.ledger.close()
    (project.folder / ".sica" / "sica.db").write_bytes(b"damaged" * 1000)
    ran = sica(project.folder, "report", "-o", "-")
    assert (ran.code, ran.out) == (1, "")


def test_the_prices_that_were_used_stand_with_the_run(searched: Path) -> None:
    page = told(searched, "--no-heldout")
    rows = [line for line in page.splitlines() if "as prompt" in line]
    assert rows and all("offline" in row and row.count("as prompt") == 2 for row in rows), rows
