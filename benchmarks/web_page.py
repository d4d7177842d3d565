"""What the viewer costs the person who looks: time to first paint, and whether a busy run loses events on its way.

python benchmarks/web_page.py [--agents 500] [--tasks 100] [--rate 200] [--seconds 20] [--times 7] [--store FOLDER]

A real Chromium, a real `sica web`, an archive of as many agents and tasks; on a machine that does other things the
figures mean little. The floor is a line of text (the answer for an address that does not exist) from the same
server, measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "web"))
from browsing import Viewer, launch, made_up  # noqa: E402

WRITER = (sys.executable, str(HERE / "web_store.py"))
FIRST_ROW = """
window.firstRow = new Promise(found => new MutationObserver((_, me) => {
  if (!document.querySelector('[data-testid="agent-row"]')) return;
  me.disconnect();
  requestAnimationFrame(() => setTimeout(() => found(performance.now())));
}).observe(document, {childList: true, subtree: true}));
"""
LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver(list => window.longTasks.push(...list.getEntries().map(task => task.duration)))
  .observe({type: 'longtask', buffered: true});
"""
PAINT = """
() => new Promise(found => new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (entry.name === 'first-contentful-paint') found(entry.startTime);
}).observe({type: 'paint', buffered: true}))
"""


def visit(browser: Browser, url: str, *, rows: bool) -> tuple[float, float]:
    """Milliseconds to the first paint, and to the first agent's row on the screen, in a browser without a cache."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.add_init_script(FIRST_ROW)
        page.goto(url)
        return page.evaluate(PAINT), page.evaluate("window.firstRow") if rows else 0.0


def first_paint(browser: Browser, viewer: Viewer, times: int) -> None:
    floor = [visit(browser, viewer.url + "nothing-here", rows=False)[0] for _ in range(times)]
    views = [visit(browser, viewer.url, rows=True) for _ in range(times)]
    base = median(floor)
    show("floor: a line of text from the same server, painted", floor, base)
    show("the page, first paint", [paint for paint, _ in views], base)
    show("the page, agents in sight", [rows for _, rows in views], base)


def show(what: str, times: Sequence[float], floor: float) -> None:
    print(
        f"{what:<52} {median(times):7.0f} ms   worst {max(times):7.0f} ms   {median(times) / floor:5.1f} x floor"
    )


def stream(browser: Browser, viewer: Viewer, rate: float, seconds: float) -> int:
    """Events that a run wrote and the page never got."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.add_init_script(LONG_TASKS)
        page.goto(viewer.url + "#/events?kind=trial,trace")
        page.locator('[data-testid="connection"][data-state="live"]').wait_for()
        writer = subprocess.run(
            [*WRITER, str(viewer.project), "--live", str(rate), "--seconds", str(seconds)],
            check=True,
            capture_output=True,
            text=True,
        )
        written, trials = (
            int(word.replace(",", ""))
            for word in writer.stdout.split()
            if word[0].isdigit() and "." not in word
        )
        wanted = written + trials
        late = arrived(page, wanted)
        got = counted(page, "data-traced") + counted(page, "data-trials")
        longest = max(page.evaluate("window.longTasks"), default=0.0)
        rows = page.get_by_test_id("event").count()
    print(
        f"{'written by the run':<52} {wanted:7,}      {written:,} from boxes, {trials:,} trials in {seconds:.0f} s"
    )
    print(f"{'received by the page':<52} {got:7,}      the last one {late:.0f} ms after the run had ended")
    print(f"{'dropped':<52} {wanted - got:7,}")
    print(f"{'rows kept in the page':<52} {rows:7,}")
    print(f"{'longest the page was busy at once':<52} {longest:7.0f} ms")
    return wanted - got


def arrived(page: Page, wanted: int) -> float:
    """Milliseconds until the page has as many; it may lag behind a busy machine, but not for ever."""
    script = """([wanted]) => new Promise(done => {
      const from = performance.now();
      const look = () => {
        const { traced, trials } = document.querySelector('[data-testid="events"]').dataset;
        const waited = performance.now() - from;
        if (Number(traced) + Number(trials) >= wanted || waited > 30000) done(waited);
        else setTimeout(look, 20);
      };
      look();
    })"""
    late: float = page.evaluate(script, [wanted])
    return late


def counted(page: Page, attribute: str) -> int:
    return int(page.get_by_test_id("events").get_attribute(attribute) or 0)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("agents", 500), ("tasks", 100), ("rate", 200), ("seconds", 20), ("times", 7)):
        asked.add_argument(f"--{name}", type=int, default=value)
    asked.add_argument("--store", type=Path, help="a project made by web_store.py before")
    given: Any = asked.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        sync_playwright() as playwright,
        launch(playwright) as browser,
    ):
        project = given.store or made_up(Path(scratch) / "made", agents=given.agents, tasks=given.tasks)
        print(
            f"{given.agents} agents x {given.tasks} tasks, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        with Viewer(project) as viewer:
            first_paint(browser, viewer, given.times)
            return int(stream(browser, viewer, given.rate, given.seconds) != 0)


if __name__ == "__main__":
    sys.exit(main())
