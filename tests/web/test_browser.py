"""The page in a real browser: what it shows, how it is worked, and that it stays quiet and at home."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from browsing import CHROMIUM, Seen, Viewer, launch, made_up, opened
from conftest import World, skilled
from playwright.sync_api import Browser, Position, ViewportSize, expect, sync_playwright

from sica.model import Message, Request
from sica.runlock import run_lock

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs a Chromium: apt-get install chromium")


SIZE: ViewportSize = {"width": 1280, "height": 800}


class Open(Protocol):
    def __call__(self, fragment: str = "#/", **context: Any) -> Seen: ...


expect.set_options(timeout=20_000)


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


VIEWS = (
    *(
        "#/",
        "#/agent/3",
        "#/agent/3/diff",
        "#/agent/3/tasks",
        "#/agent/3/cost",
        "#/agent/3/review",
        "#/agent/3/made",
    ),
    *("#/matrix", "#/running", "#/events?kind=trace,trial", "#/compare/0/3"),
)


def shown(seen: Seen, fragment: str) -> None:
    """The view is there with all that it asked for."""
    seen.at(fragment)
    expect(seen["status"]).to_contain_text("agents")
    expect(seen.page.locator("[aria-busy]")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_quiet_and_asks_nobody_else(open_page: Open, scheme: str) -> None:
    seen = open_page(color_scheme=scheme)
    for fragment in VIEWS:
        shown(seen, fragment)
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
    where: Position = {"x": left + 24 * (column + 0.5), "y": top + 24 * (row + 0.5)}
    seen["matrix"].hover(position=where)
    expect(seen["matrix-tip"]).to_contain_text(f"agent/{agent} {task}")
    seen["matrix"].click(position=where)
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


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_width_needs_sideways_scrolling(open_page: Open, width: int) -> None:
    seen = open_page(viewport={"width": width, "height": 844})
    for fragment in VIEWS:
        shown(seen, fragment)
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


# ── a run that is going ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def project(world: World) -> Path:
    """The world's store where `sica web` looks for it."""
    folder = world.root / "a project"
    folder.mkdir()
    (folder / ".sica").symlink_to(world.traces.root.parent)
    (folder / "sica.toml").write_text('bench = "toy"\n')
    world.seed(skilled(SKILL=1))
    return folder


@pytest.fixture
def own_page(browser: Browser, project: Path) -> Iterator[tuple[Viewer, Seen]]:
    """A viewer of this test's own, which may go away: that the browser then complains is no fault of the page."""

    def gone(words: str) -> bool:
        return "net::ERR_" in words

    with (
        Viewer(project) as viewer,
        browser.new_context(viewport=SIZE) as context,
        opened(context, viewer.url, excused=gone) as seen,
    ):
        yield viewer, seen.at("#/")


def test_what_a_run_does_shows_by_itself_also_after_the_server_was_away(
    own_page: tuple[Viewer, Seen], world: World
) -> None:
    viewer, seen = own_page
    expect(seen["agent-row"]).to_have_count(1)
    expect(seen["connection"]).to_have_attribute("data-state", "live")
    world.evolve(children=1)
    expect(seen["agent-row"]).to_have_count(2)
    expect(seen.agent(1)).to_contain_text("raise the skill by 1")

    viewer.stop()
    expect(seen["connection"]).to_have_attribute("data-state", "reconnecting")
    world.evolve(children=2)
    viewer.start()
    expect(seen["connection"]).to_have_attribute("data-state", "live")
    expect(seen["agent-row"]).to_have_count(3)
    expect(seen["best"]).to_contain_text("agent/2")

    seen["view-live"].click()
    trials = sum(map(len, world.archive(world.plan()).trials.values()))
    expect(seen["events"]).to_have_attribute("data-trials", str(trials))
    seen["events-improvement"].click()
    seen["events-verdict"].click()
    seen["events-promotion"].click()
    expect(seen.page.locator('[data-testid="event"][data-kind="trial"]')).to_have_count(trials)


def test_pause_reaches_the_run_and_its_answer_reaches_the_page(
    own_page: tuple[Viewer, Seen], world: World
) -> None:
    _, seen = own_page
    with run_lock(world.traces.root.parent / "run.lock", ["sica", "evolve"]):
        run = world.ledger.start_run({"kind": "evolve", "policy": "greedy", "model": "offline"})
        seen["pause"].click()
        expect(seen["toasts"]).to_contain_text("asked to pause")
        (asked,) = world.ledger.requests()
        assert (asked.kind, asked.state) == ("pause", "pending")
        world.ledger.answer(asked.id, "done", "paused; 2 boxes go on to their end")
        expect(seen["toasts"]).to_contain_text("paused; 2 boxes go on")
        expect(seen["resume"]).to_be_visible()
        seen["stop"].click()
        seen["dialog-yes"].click()
        expect(seen["toasts"]).to_contain_text("asked to stop")
        assert [request.kind for request in world.ledger.requests()] == ["pause", "stop"]
        world.ledger.end_run(run.id, "done")


def test_an_agent_that_waits_for_a_yes_is_said_to_and_gets_it(
    own_page: tuple[Viewer, Seen], world: World
) -> None:
    _, seen = own_page
    seed = world.ledger.agents()[0]
    child = world.repo.add(skilled(SKILL=2), [seed], Message("better"))
    world.ledger.reconcile([seed, child])
    world.ledger.ask(Request("waiting", by="sica", agent=child.commit, text="0.9 against 0.5"))
    seen.page.reload()
    seen["waiting"].get_by_role("link", name="agent/1").click()
    expect(seen["approval"]).to_contain_text("waits for a person")
    seen["approve"].click()
    expect(seen["toasts"]).to_contain_text("approval sent")
    asked = [request for request in world.ledger.requests() if request.kind == "approve"]
    assert [request.agent for request in asked] == [child.commit]


def test_a_comment_is_kept_and_shown_also_by_a_server_that_was_started_again(
    own_page: tuple[Viewer, Seen],
) -> None:
    viewer, seen = own_page
    seen.at("#/agent/0/review")
    seen["say-text"].fill("look at <b>this</b>")
    seen["say-send"].click()
    expect(seen["reviews"]).to_contain_text("look at <b>this</b>")
    viewer.stop()
    expect(seen["connection"]).to_have_attribute("data-state", "reconnecting")
    viewer.start()
    expect(seen["connection"]).to_have_attribute("data-state", "live")
    seen["say-text"].fill("and at that")
    seen["say-send"].click()
    expect(seen["reviews"]).to_contain_text("and at that")
    seen.page.reload()
    expect(seen["reviews"]).to_contain_text("look at <b>this</b>")


def test_rulings_stand_beside_comments_with_the_task_they_are_about(
    own_page: tuple[Viewer, Seen], world: World
) -> None:
    _, seen = own_page
    ruled = {
        **{"v": 1, "kind": "ruling", "at": 5.0, "by": "guard: repeats", "action": "notice", "of": "trial"},
        **{"task": "toy/level1", "attempt": 0, "split": "train", "span": "main/a", "text": "<i>again</i>"},
    }
    world.repo.annotate({}, {}, {world.ledger.agents()[0].commit: [json.dumps(ruled)]})
    seen.at("#/agent/0/review")
    for text in ("guard: repeats", "notice", "main/a", "<i>again</i>"):
        expect(seen["reviews"]).to_contain_text(text)
    seen["reviews"].get_by_role("link", name="level1").click()
    expect(seen.page).to_have_url(re.compile("#/agent/0/task/toy%2Flevel1"))


def test_an_open_trace_grows_on_the_page_and_stays_when_it_is_closed(
    own_page: tuple[Viewer, Seen], world: World
) -> None:
    _, seen = own_page
    trace = world.traces.open("0123456789abcdef")
    trace.event("start", agent="agent/0", task="toy/level1", attempt=0, **{"for": "trial"})
    seen["view-live"].click()
    expect(seen["connection"]).to_have_attribute("data-state", "live")
    seen.at("#/box/0123456789abcdef")
    expect(seen["trace"]).to_have_attribute("data-open", "yes")
    trace.event("stdout", text="first words")
    expect(seen["blocks"]).to_contain_text("first words")
    trace.event("ended", how="done", why="it came to its own end", exit_code=0, seconds=1.0)
    expect(seen["blocks"]).to_contain_text("it came to its own end")
    trace.close()


# ── what an agent says is text ────────────────────────────────────────────────────────────────────

HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'><style>*{display:none}</style>"
    " \x1b[31mred\x1b[0m \x1b]0;title\x07 nul\x00 bell\x07 \u202egnp.exe\u202c \ud800 javascript:alert(1)"
)


def test_hostile_words_of_an_agent_stay_words(own_page: tuple[Viewer, Seen], world: World) -> None:
    _, seen = own_page
    seed = world.ledger.agents()[0]
    child = world.repo.add(skilled(SKILL=2), [seed], Message(f"{HOSTILE[:60]}</title>", f"Why: {HOSTILE}"))
    world.ledger.reconcile([seed, child])
    trace = world.traces.open("feedfacefeedface")
    said = {"role": "assistant", "content": HOSTILE, "tool_calls": [TOOL]}
    names = [trace.message({"role": "user", "content": HOSTILE})]
    trace.event("request", call=1, model=HOSTILE, messages=names, rest={})
    trace.event("response", call=1, body={"choices": [{"message": said}]}, usage={}, seconds=1.0)
    trace.event("stdout", text=HOSTILE + "x" * 5_000_000)
    trace.event(HOSTILE, text=HOSTILE)
    name = trace.close()

    seen.page.reload()
    expect(seen.agent(1)).to_contain_text("<script>window.hacked")
    seen.agent(1).click()
    expect(seen["why"]).to_contain_text("<style>*{display:none}</style> red")
    seen.at(f"#/trace/{name}")
    expect(seen["trace"]).to_be_visible()
    seen["expand"].click()
    expect(seen["blocks"]).to_contain_text("gnp.exe")
    printed = seen.page.locator('[data-kind="stdout"]')
    printed.get_by_test_id("whole").click()
    expect(printed.get_by_test_id("whole")).to_have_count(0)
    assert printed.evaluate("block => block.textContent.length") > 900_000
    for raw in seen["raw"].all():
        raw.click()
    expect(seen["raw-json"].first).to_contain_text("window.hacked")
    seen["search"].fill("javascript:")
    expect(seen.page.locator("mark").first).to_have_text("javascript:")
    shown = seen.page.evaluate("document.body.innerText")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\ufeff]", shown)
    assert seen.page.evaluate(
        "[window.hacked ?? 0, document.querySelectorAll('#app script, #app img').length]"
    ) == [0, 0]


TOOL = {
    "id": "t",
    "type": "function",
    "function": {"name": HOSTILE, "arguments": json.dumps({"command": HOSTILE})},
}


# ── traces ────────────────────────────────────────────────────────────────────────────────────────


def traced(seen: Seen) -> str:
    """The address of a trace that the archive has."""
    agents = [row["agent"] for row in api(seen, "archive")["agents"] if row["n"]]
    trials = (trial for agent in agents for trial in api(seen, f"agent/{agent}")["trials"])
    return f"#/trace/{next(trial['trace'] for trial in trials if trial['trace'])}"


def test_a_trace_folds_filters_searches_and_links(open_page: Open) -> None:
    seen = open_page()
    seen.at(traced(seen))
    blocks = seen.page.locator('[data-testid="block"]:visible')
    everything = seen.page.locator("[data-testid=block]")
    expect(seen["span"].first).to_be_visible()
    folded = blocks.count()
    assert folded and everything.count() == folded, "sub-agents are folded"
    seen["expand"].click()
    expect(seen["span"].locator('[data-testid="block"]').first).to_be_visible()
    seen["expand"].click()
    seen["kind-notice"].click()
    expect(blocks).to_have_count(1)
    expect(blocks.first).to_contain_text("You have run the same test four times")
    assert "kind=notice" in seen.page.url
    seen.page.get_by_role("button", name="clear").click()
    expect(blocks.nth(1)).to_be_visible()
    seen.page.keyboard.press("/")
    seen.page.keyboard.type("sub-agent of depth 2")
    expect(seen["kept"]).to_contain_text(" of ")
    assert seen["search"].input_value() == "sub-agent of depth 2"
    expect(seen.page.locator("mark").first).to_have_text("sub-agent of depth 2")


def test_a_link_to_a_block_inside_a_sub_agent_opens_it_there(open_page: Open) -> None:
    seen = open_page()
    address = traced(seen)
    pages = api(seen, f"trace/{address.removeprefix('#/trace/')}")
    inner = [block for block in pages["blocks"] if block["span"] > 1][2]
    seen.at(f"{address}/e/{inner['e']}")
    target = seen.page.locator(f'[data-e="{inner["e"]}"]')
    expect(target).to_be_in_viewport()
    expect(target).to_have_class(re.compile("is-linked"))
    expect(target.locator("summary").first).to_be_focused()


# ── a file to share ───────────────────────────────────────────────────────────────────────────────


def test_an_exported_file_opens_from_disk_without_a_network(
    browser: Browser, viewer: Viewer, tmp_path: Path
) -> None:
    file = tmp_path / "a run.html"
    command = [sys.executable, "-m", "sica", "web", "--export", str(file), "--traces", "all"]
    subprocess.run(command, cwd=viewer.project, check=True, capture_output=True)
    with (
        browser.new_context(viewport=SIZE, offline=True) as context,
        opened(context, file.as_uri()) as seen,
    ):
        seen.at("#/agent/5")
        expect(seen["connection"]).to_have_attribute("data-state", "file")
        expect(seen["agent-row"].first).to_be_visible()
        expect(seen["agent-pane"]).to_have_attribute("data-loaded", "yes")
        seen["tab-diff"].click()
        expect(seen["diff"]).to_be_visible()
        seen["view-matrix"].click()
        expect(seen["matrix"]).to_be_visible()
        seen.at("#/compare/0/5")
        expect(seen["verdict"]).to_contain_text("agent/0")
        seen["view-live"].click()
        expect(seen["event"].first).to_be_visible()
        assert seen["pause"].count() == 0
        data = json.loads(str(seen.page.locator("#data").text_content()))
        name = next(key for key in data if key.startswith("/api/trace/")).removeprefix("/api/trace/")
        seen.at(f"#/trace/{name.split('?')[0]}?kind=notice")
        expect(seen["block"]).to_have_count(data[f"/api/trace/{name.split('?')[0]}"]["kinds"]["notice"])


# ── the page's own modules, asked in the browser ──────────────────────────────────────────────────


def module(seen: Seen, name: str, expression: str, given: Any = None) -> Any:
    """What an expression over a module `m` and a value `x` is."""
    return seen.page.evaluate(
        f"async x => {{ const m = await import('/static/js/{name}.js'); return {expression}; }}", given
    )


ADDRESSES = """
#/  #/agent/7  #/agent/7/diff  #/agent/7/made  #/agent/7/made/e/3  #/agent/7/task/core%2Fa%20b  #/?q=score%3E50
#/matrix?size=8&tasks=name  #/agent/7/task/core%2Fx/2/e/132.001
#/box/0123456789abcdef/e/9  #/trace/sha256:00ff  #/running  #/events?kind=trial
#/compare/4/11  #/compare/4/11/task/core%2Fx
"""


def test_an_address_means_what_it_was_made_from(open_page: Open) -> None:
    made = module(open_page(), "route", "x.map(one => m.link(m.parse(one)))", ADDRESSES.split())
    assert made == ADDRESSES.split()


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
        "agent": 7, "subject": "Run the tests", "reason": "", "operator": "self-edit", "status": "evaluated",
        "run": "r1", "model": "m", "commit": "abc", "score": 0.56, "cost_usd": 1.5, "generation": 3,
        "change": None, "n": 9, "best": True,
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
