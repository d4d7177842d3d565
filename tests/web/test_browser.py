"""The page in a real browser: what it shows, how it is worked, and that it stays quiet and at home."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest
from browsing import CHROMIUM, Seen, Viewer, launch, made_up, opened
from playwright.sync_api import Browser, expect, sync_playwright

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs a Chromium: apt-get install chromium")


SIZE = {"width": 1280, "height": 800}


class Open(Protocol):
    def __call__(self, fragment: str = "#/", **context: Any) -> Seen: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, launch(playwright) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    project = made_up(tmp_path_factory.mktemp("made") / "a project", agents=18, tasks=12, traces=6, turns=30)
    with Viewer(project) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, viewer: Viewer) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_one(fragment: str = "#/", **how: Any) -> Seen:
            context = stack.enter_context(browser.new_context(**{"viewport": SIZE, **how}))
            return stack.enter_context(opened(context, viewer.url)).at(fragment)

        yield open_one


def api(seen: Seen, address: str) -> Any:
    return seen.page.request.get(seen.origin + "api/" + address).json()


# ── one page, quiet and at home ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "fragment",
    ["#/", "#/agent/3/diff", "#/agent/3/tasks", "#/agent/3/cost", "#/matrix", "#/running", "#/compare/0/3"],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_quiet_and_asks_nobody_else(open_page: Open, fragment: str, scheme: str) -> None:
    seen = open_page(fragment, color_scheme=scheme)
    expect(seen["status"]).to_contain_text("agents")
    expect(seen.page.locator("[aria-busy]")).to_have_count(0)
    seen.page.wait_for_load_state("load")
    expect(seen.page.locator(".problem")).to_have_count(0)


def test_the_policy_forbids_what_the_page_does_not_need(open_page: Open) -> None:
    seen = open_page()
    policy = seen.page.request.get(seen.origin).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";") if " " in rule.strip())
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["style-src"] == "'self'"


# ── selecting ─────────────────────────────────────────────────────────────────────────────────────


def test_a_click_selects_an_agent_and_the_address_says_so(open_page: Open) -> None:
    seen = open_page()
    seen.agent(15).click()
    expect(seen["agent-pane"]).to_have_attribute("data-agent", "15")
    expect(seen.agent(15)).to_have_attribute("aria-selected", "true")
    assert seen.fragment() == "/agent/15"


def test_the_keyboard_alone_filters_selects_and_opens(open_page: Open) -> None:
    seen = open_page()
    expect(seen.agent(17)).to_be_visible()
    seen.page.keyboard.press("/")
    seen.page.keyboard.type("gen<3")
    wanted = [row["agent"] for row in api(seen, "archive")["agents"] if row["generation"] < 3]
    expect(seen["agent-row"]).to_have_count(len(wanted))
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("ArrowDown")
    expect(seen.agent(wanted[1])).to_have_attribute("aria-selected", "true")
    seen.page.keyboard.press("Enter")
    expect(seen["agent-pane"]).to_be_focused()
    seen.page.keyboard.press("c")
    expect(seen["verdict"]).to_be_visible()
    assert seen.fragment().startswith("/compare/")
    seen.page.keyboard.press("Escape")
    expect(seen["rows"]).to_be_visible()
    seen.page.keyboard.press("?")
    expect(seen.page.get_by_role("dialog", name="Keys and signs")).to_be_visible()
    seen.page.keyboard.press("Escape")
    expect(seen["dialog"]).to_have_count(0)


def test_everything_that_takes_the_focus_shows_it_and_has_a_name(open_page: Open) -> None:
    seen = open_page("#/agent/3")
    expect(seen["agent-pane"]).to_have_attribute("data-loaded", "yes")
    met = set()
    for _ in range(40):
        seen.page.keyboard.press("Tab")
        here = seen.page.evaluate(
            "(e => [e.getAttribute('aria-label') || e.textContent.trim() || e.title,"
            " getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        assert here[0] and here[1] == "solid", here
        met.add(here[0])
    assert {"Agents, newest first", "Light or dark", "Filter agents"} <= met


def test_shift_click_compares_with_the_selected_agent(open_page: Open) -> None:
    seen = open_page("#/agent/16")
    seen.agent(14).click(modifiers=["Shift"])
    expect(seen["verdict"]).to_be_visible()
    assert seen.fragment() == "/compare/14/16"
    expect(seen["numbers"]).to_contain_text("agent/14")
    expect(seen["diff"]).to_be_visible()


@pytest.mark.parametrize(
    ("fragment", "testid", "says"),
    [
        ("#/agent/2/tasks", "trials", "Ending"),
        ("#/compare/0/5", "verdict", "agent/5"),
        ("#/?q=gen%3C2&sort=-score", "rows", "agent/0"),
        ("#/?show=tree&x=dollars", "tree", "17"),
        ("#/agent/nonsense/%E0%A4%A/e/x", "rows", "agent/17"),
    ],
)
def test_an_address_restores_what_it_names(open_page: Open, fragment: str, testid: str, says: str) -> None:
    seen = open_page(fragment)
    expect(seen[testid]).to_contain_text(says)
    seen.page.reload()
    expect(seen[testid]).to_contain_text(says)


def test_an_agent_that_does_not_exist_is_said_to_be_missing(open_page: Open) -> None:
    seen = open_page("#/agent/4711")
    expect(seen["agent-pane"]).to_contain_text("There is no agent/4711")


def test_sorting_puts_the_best_first_and_back(open_page: Open) -> None:
    seen = open_page()
    scores = {row["agent"]: row["score"] or -1 for row in api(seen, "archive")["agents"]}
    seen["sort-score"].click()
    expect(seen["agent-row"].first).to_have_attribute("data-agent", str(max(scores, key=lambda n: scores[n])))
    seen["sort-score"].click()
    seen["sort-score"].click()
    expect(seen["agent-row"].first).to_have_attribute("data-agent", "17")


# ── the matrix ────────────────────────────────────────────────────────────────────────────────────


def test_a_cell_of_the_matrix_opens_its_own_trace(open_page: Open) -> None:
    seen = open_page("#/matrix?tasks=name&size=24")
    matrix = api(seen, "matrix")
    row, column = next(
        (row, column)
        for row, agent in enumerate(matrix["lineage"])
        for column in range(3, len(matrix["tasks"]))
        if matrix["cells"][agent][column] is not None
    )
    agent, task = matrix["agents"][matrix["lineage"][row]], matrix["tasks"][column]["task"]
    expect(seen["matrix"]).to_have_attribute("data-size", "24")
    left, top = (int(str(seen["matrix"].get_attribute(f"data-{side}"))) for side in ("left", "top"))
    where = {"x": left + 24 * (column + 0.5), "y": top + 24 * (row + 0.5)}
    seen["matrix"].hover(position=where)  # type: ignore[arg-type]
    expect(seen["matrix-tip"]).to_contain_text(f"agent/{agent} {task}")
    seen["matrix"].click(position=where)  # type: ignore[arg-type]
    expect(seen["trial-head"]).to_contain_text(task)
    assert seen.fragment() == f"/agent/{agent}/task/{task.replace('/', '%2F')}"


def test_the_matrix_is_walked_by_arrows_and_says_where_one_is(open_page: Open) -> None:
    seen = open_page("#/matrix")
    matrix = api(seen, "matrix")
    seen["matrix"].focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        seen.page.keyboard.press(key)
    expect(seen["matrix-cursor"]).to_contain_text(f"agent/{matrix['agents'][matrix['lineage'][1]]} web/")
    before = seen["matrix-cursor"].inner_text()
    seen.page.keyboard.press("Enter")
    expect(seen["trial-head"]).to_contain_text(re.escape(before.split(":")[0].split()[1]).replace("\\", ""))


# ── themes and sizes ──────────────────────────────────────────────────────────────────────────────


def test_dark_is_the_systems_choice_until_somebody_presses_the_button(open_page: Open) -> None:
    seen = open_page(color_scheme="dark")
    back = "getComputedStyle(document.body).backgroundColor"
    expect(seen["rows"]).to_be_visible()
    dark = seen.page.evaluate(back)
    seen["theme"].click()
    light = seen.page.evaluate(back)
    assert dark != light
    seen.page.reload()
    expect(seen["rows"]).to_be_visible()
    assert seen.page.evaluate(back) == light


VIEWS = (
    "#/",
    "#/agent/3",
    "#/agent/3/diff",
    "#/agent/3/tasks",
    "#/matrix",
    "#/running",
    "#/compare/0/3",
    "#/agent/3/made",
)


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_width_needs_sideways_scrolling(open_page: Open, width: int) -> None:
    seen = open_page(viewport={"width": width, "height": 844})
    for fragment in VIEWS:
        seen.at(fragment)
        expect(seen["status"]).to_contain_text("agents")
        expect(seen.page.locator("[aria-busy]")).to_have_count(0)
        over = seen.page.evaluate(
            """() => [...document.querySelectorAll('body *')]
                 .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && e.checkVisibility())
                 .filter(e => { for (let p = e.parentElement; p; p = p.parentElement)
                    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX) && p !== document.body
                        && p.getBoundingClientRect().right <= innerWidth + 1) return false; return true; })
                 .map(e => e.outerHTML.slice(0, 120))"""
        )
        assert over == [], fragment


def test_on_a_phone_an_agent_opens_and_leads_back(open_page: Open) -> None:
    seen = open_page(viewport={"width": 390, "height": 844})
    seen.agent(16).click()
    expect(seen["agent-pane"]).to_be_visible()
    expect(seen["rows"]).to_be_hidden()
    seen.page.get_by_role("link", name="‹ Lineage").click()
    expect(seen["rows"]).to_be_visible()


def test_the_data_of_the_page_is_not_in_the_page(open_page: Open) -> None:
    """What agents say never stands in the HTML that the server sends, where it could become markup."""
    seen = open_page()
    page = seen.page.request.get(seen.origin).text()
    assert "agent/" not in page
    assert json.dumps(api(seen, "archive")["agents"][0]["subject"]) not in page


# ── the page's own modules, asked in the browser ──────────────────────────────────────────────────


def module(seen: Seen, name: str, expression: str, given: Any = None) -> Any:
    """What an expression over a module `m` and a value `x` is."""
    return seen.page.evaluate(
        f"async x => {{ const m = await import('/static/js/{name}.js'); return {expression}; }}", given
    )


@pytest.mark.parametrize(
    "fragment",
    [
        "#/", "#/agent/7", "#/agent/7/diff", "#/agent/7/made", "#/agent/7/made/e/3", "#/agent/7/task/core%2Fa%20b",
        "#/agent/7/task/core%2Fx/2/e/132.001", "#/box/0123456789abcdef/e/9", "#/trace/sha256:00ff", "#/matrix?size=8&tasks=name",
        "#/running", "#/events?kind=trial", "#/compare/4/11", "#/compare/4/11/task/core%2Fx", "#/?q=score%3E50",
    ],
)  # fmt: skip
def test_an_address_means_what_it_was_made_from(open_page: Open, fragment: str) -> None:
    assert module(open_page(), "route", "m.link(m.parse(x))", fragment).replace("%2C", ",") == fragment


def test_sub_agents_stand_where_they_were_called(open_page: Open) -> None:
    spans = [
        {"span": 0, "parent": None},
        {"span": 1, "parent": 0},
        {"span": 2, "parent": 1},
        {"span": 3, "parent": 0},
    ]
    told = [(1, 0, 1), (2, 1, None), (3, 1, 2), (4, 2, None), (5, 0, None), (6, 3, None)]
    blocks = [{"e": e, "span": span, "starts": starts} for e, span, starts in told]
    shape = "(function s(l) { return l.map(i => i.block ? i.block.e : s(i.items)); })(m.nested(x.blocks, x.spans))"
    nested = module(open_page(), "trace-data", shape, {"blocks": blocks, "spans": spans})
    assert nested == [1, [2, 3, [4]], 5, [6]]


def test_a_filter_knows_words_numbers_and_states(open_page: Open) -> None:
    row = {
        "agent": 7, "subject": "Run the tests", "reason": "", "operator": "self-edit", "status": "evaluated", "run": "r1",
        "model": "m", "commit": "abc", "score": 0.56, "cost_usd": 1.5, "generation": 3, "change": None, "n": 9, "best": True,
    }  # fmt: skip
    asked = {
        "tests run": True,
        "score>55 gen=3": True,
        "score>57": False,
        "change>0": False,
        "is:best": True,
        "is:rejected": False,
    }
    seen = open_page()
    for query, fits in asked.items():
        assert module(seen, "lineage", "m.matcher(x.query)(x.row)", {"query": query, "row": row}) is fits, (
            query
        )


def test_the_staircase_only_climbs_whatever_the_axis(open_page: Open) -> None:
    seen = open_page()
    points = api(seen, "progress")["points"]
    for axis in ("agent", "generation", "dollars", "time"):
        steps = module(
            seen,
            "progress",
            "m.staircase(x.points, x.axis).steps.map(s => s.best.score)",
            {"points": points, "axis": axis},
        )
        assert steps == sorted(steps) and len(steps) == sum(p["score"] is not None for p in points)


def test_controls_of_a_terminal_are_taken_out_of_text(open_page: Open) -> None:
    hostile = "\x1b[31mred\x1b[0m \x1b]0;title\x07 a\x00b \u202egnp\u202c line\r\nend"
    assert module(open_page(), "format", "m.clean(x)", hostile) == "red  ab gnp line\nend"
