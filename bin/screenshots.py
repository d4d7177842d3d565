"""The pictures of docs/screenshots, of a made-up archive: `make screenshots`.

Each is drawn by a real Chromium on a real `sica web`, then packed into 256 colours so that the repository stays small.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs" / "screenshots"
MOST_BYTES = 150_000
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
sys.path.insert(0, str(ROOT / "tests" / "web"))
from browsing import Viewer, launch, made_up  # noqa: E402


def shots(archive: dict[str, Any], task: str, event: float) -> Iterator[tuple[str, str, dict[str, int], str]]:
    """Name, address, size and scheme."""
    best = archive["best"]
    parent = next(row["parents"][0] for row in archive["agents"] if row["agent"] == best)
    trace = f"#/agent/{best}/task/{task.replace('/', '%2F')}"
    for scheme in ("light", "dark"):
        yield f"lineage-{scheme}", f"#/agent/{best}", DESK, scheme
        yield f"matrix-{scheme}", "#/matrix", DESK, scheme
        yield f"trace-{scheme}", f"{trace}/e/{event}", DESK, scheme
        yield f"compare-{scheme}", f"#/compare/{parent}/{best}", DESK, scheme
        yield f"live-{scheme}", "#/running", DESK, scheme
    yield "tree-light", f"#/agent/{best}?show=tree", DESK, "light"
    yield "diff-dark", f"#/agent/{best}/diff", DESK, "dark"
    yield "tasks-light", f"#/agent/{best}/tasks", DESK, "light"
    yield "side-by-side-light", f"#/compare/{parent}/{best}/task/{task.replace('/', '%2F')}", DESK, "light"
    yield "phone-lineage-light", "#/", PHONE, "light"
    yield "phone-agent-dark", f"#/agent/{best}", PHONE, "dark"


def take(browser: Browser, url: str, size: dict[str, int], scheme: str) -> bytes:
    with browser.new_context(viewport=size, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(url)
        settled(page)
        return page.screenshot()


def settled(page: Page) -> None:
    """Everything that was asked for has been drawn."""
    page.locator('[data-testid="status"]').get_by_text("agents").wait_for()
    for waiting in page.locator("[aria-busy]").all():
        waiting.wait_for(state="detached")
    if "#/running" in page.url:
        page.locator('[data-testid="box"]').nth(3).wait_for()
        page.locator('[data-testid="event"]').nth(20).wait_for()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pack(shot: bytes) -> bytes:
    with Image.open(io.BytesIO(shot)) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        packed = io.BytesIO()
        few.save(packed, "PNG", optimize=True)
    return packed.getvalue()


@contextmanager
def a_run(project: Path) -> Iterator[None]:
    """Something to look at in the live view."""
    writer = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "web_store.py"), str(project), "--live", "60", "--seconds", "600"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        writer.terminate()
        writer.wait()


def main() -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        sync_playwright() as playwright,
        launch(playwright) as browser,
    ):
        project = made_up(Path(scratch) / "demo", agents=60, tasks=40, traces=60, turns=24, seed=7)
        with Viewer(project) as viewer:
            ask = playwright.request.new_context(base_url=viewer.url)
            archive = ask.get("api/archive").json()
            trials = ask.get(f"api/agent/{archive['best']}").json()["trials"]
            task, trace = next((trial["task"], trial["trace"]) for trial in trials if trial["trace"])
            blocks = ask.get(f"api/trace/{trace}").json()["blocks"]
            told = (
                block["e"]
                for block in blocks
                if block["kind"] == "tool" and 5 < block["result"].count("\n") < 12
            )
            wanted = list(shots(archive, task, next(told)))
            for name, address, size, scheme in [shot for shot in wanted if "live" not in shot[0]]:
                keep(name, take(browser, viewer.url + address, size, scheme))
            with a_run(project):
                for name, address, size, scheme in [shot for shot in wanted if "live" in shot[0]]:
                    keep(name, take(browser, viewer.url + address, size, scheme))
            ask.dispose()


def keep(name: str, shot: bytes) -> None:
    packed = pack(shot)
    if len(packed) > MOST_BYTES:
        sys.exit(f"{name}: {len(packed):,} bytes are more than {MOST_BYTES:,}")
    (PLACE / f"{name}.png").write_bytes(packed)
    print(f"{name}.png  {len(packed):,} bytes")


if __name__ == "__main__":
    main()
