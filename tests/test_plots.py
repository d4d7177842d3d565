"""Pictures for papers: the same bytes for the same archive, and nothing lost at one agent or at hundreds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import Project, family, sica
from hypothesis import given, settings
from hypothesis import strategies as st

from sica import plots
from sica.plots import Album, Paid
from sica.report import Row


def row(number: int, *parents: int, score: float | None = 0.5, **facts: object) -> Row:
    plain = Row(
        agent=number,
        commit=f"{number:040x}",
        tree=f"{number:040x}",
        parents=parents,
        status="ready" if score is None else "evaluated",
        best=False,
        score=score,
        low=None if score is None else max(0.0, score - 0.2),
        high=None if score is None else min(1.0, score + 0.2),
        n=0 if score is None else 8,
        faults=0,
        change=None,
        separable=None,
        cost_usd=0.1,
        subject=f"change {number}",
        reason="",
        operator="self-edit",
        run="r1",
        model="m",
        created=0.0,
    )
    return replace(plain, **facts)  # type: ignore[arg-type]


def album(agents: int, tasks: int = 6, name: str = "task") -> Album:
    """Each agent comes from an earlier one; every seventh is rejected, every ninth is a merge."""
    rows = []
    for n in range(agents):
        parents = () if not n else (n - 1 - n % 3 % n, 0) if n % 9 == 8 else (n - 1 - n % 3 % n,)
        if n % 7 == 6:
            rows.append(row(n, *parents, score=None, status="rejected"))
        else:
            rows.append(row(n, *parents, score=(n * 37 % 90) / 100, best=n == agents - 1))
    cells: dict[int, dict[str, float | None]] = {
        r.agent: {f"core/{name}-{t}": None if t == 5 else float((r.agent + t) % 3 > 0) for t in range(tasks)}
        for r in rows
        if r.score is not None
    }
    paid = tuple(Paid(60.0 * n, ("main", "improve")[n % 2], 0.01, 1) for n in range(agents))
    return Album(tuple(reversed(rows)), cells, paid, "core, m in box:1")


EMPTY = Album((), {}, ())


@pytest.mark.parametrize("name", plots.PICTURES)
@pytest.mark.parametrize(
    "drawn",
    [
        EMPTY,
        album(1),
        album(3),
        album(40, name="a-rather-long-name-of-a-task-about-$1$-and-日本"),
        album(150, 80),
    ],
    ids=["empty", "one", "three", "forty", "many"],
)
def test_every_picture_of_every_archive_can_be_drawn(name: str, drawn: Album) -> None:
    picture = ElementTree.fromstring(plots.draw(name, drawn))
    assert picture.tag.endswith("svg")


@pytest.mark.parametrize("name", plots.PICTURES)
@pytest.mark.parametrize("kind", plots.KINDS)
def test_the_same_archive_gives_the_same_bytes(name: str, kind: str) -> None:
    first, second = (plots.draw(name, album(12), kind, dpi=60) for _ in range(2))
    assert first == second
    assert not re.search(rb"dc:date|CreationDate|tIME", first), "when it was drawn is no part of it"
    assert first.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[kind])


def test_letters_are_outlines_or_embedded() -> None:
    svg = plots.draw("staircase", album(12)).decode()
    assert "<text" not in svg
    assert "font-family" not in svg
    assert "http" not in re.sub(r'(xmlns[:\w]*|rdf:\w+|content)="[^"]*"|<!DOCTYPE[^>]*>', "", svg)
    assert b"/FontFile" in plots.draw("staircase", album(12), "pdf")


def test_a_picture_has_the_size_that_is_asked_for() -> None:
    svg = plots.draw("cost", album(5), size=(2.0, 1.5)).decode()
    assert 'width="144pt" height="108pt"' in svg


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(*(st.integers(0, max(0, i - 1)) for i in range(n)))))
@settings(deadline=None)
def test_the_tree_has_parents_left_of_children_and_a_place_for_each(parents: tuple[int, ...]) -> None:
    rows = [row(n, *((parent,) if n else ())) for n, parent in enumerate(parents)][::-1]
    places = plots._tree(rows)
    assert places.keys() == {r.agent for r in rows}
    assert len(set(places.values())) == len(rows)
    assert all(places[r.parents[0]][0] == places[r.agent][0] - 1 for r in rows if r.parents)


def test_a_lineage_of_thousands_is_no_deeper_than_the_stack() -> None:
    rows = [row(n, *((n - 1,) if n else ())) for n in range(5000)][::-1]
    assert plots._tree(rows)[4999] == (4999.0, 0.0)


def test_time_between_runs_is_no_work() -> None:
    assert plots._hours_at_work([0, 360, 720, 100_000, 100_360]) == pytest.approx([0, 0.1, 0.2, 0.2, 0.3])


def test_the_steps_are_those_that_beat_everyone_before() -> None:
    rows = [row(n, score=score) for n, score in enumerate((0.4, 0.3, 0.5, 0.5, 0.9))]
    assert [r.agent for r in plots._risers(rows)] == [0, 2, 4]


# ── the command ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return family(tmp_path_factory.mktemp("plot") / "with space")


@pytest.mark.parametrize("what", plots.PICTURES)
def test_plot_writes_where_it_is_told(project: Project, what: str, tmp_path: Path) -> None:
    ran = sica(project.folder, "plot", what, "-o", str(tmp_path / "a picture.svg"))
    assert ran.code == 0, ran.err
    assert ran.out == ""
    assert (tmp_path / "a picture.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["stairs"], "did you mean 'staircase'?"),
        (["cost", "-o", "cost.gif"], "-o cost.svg, .png or .pdf"),
        (["cost", "--size", "big"], "--size 3.4x2.4"),
        (["cost", "--size", "0.1x900"], "each from 0.5 to 40"),
        (["cost", "-o", "nowhere/cost.svg"], "is not a folder"),
        (["cost", "--under", "gpt"], "offline in box:1"),
    ],
)
def test_what_cannot_be_drawn_says_why(project: Project, args: list[str], words: str) -> None:
    ran = sica(project.folder, "plot", *args)
    assert ran.code == 2
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_a_picture_beside_a_project_goes_into_the_project(project: Project) -> None:
    ran = sica(project.folder.parent, "-C", project.folder.name, "plot", "lineage", "--size", "3x2")
    assert ran.code == 0, ran.err
    assert (project.folder / "lineage.svg").exists()
