"""A real Chromium on a real `sica web` over a real store."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Playwright, Request

CHROMIUM = shutil.which("chromium") or ""
"""Debian's: the one that Playwright would bring is not needed."""
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
VIOLATIONS = """
addEventListener('securitypolicyviolation', stopped =>
  (window.refused ??= []).push(`${stopped.violatedDirective} ${stopped.blockedURI}`));
"""


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))


class Viewer:
    """`sica web` as its own process; it can be ended and started again at the same address."""

    def __init__(self, project: Path, *options: str) -> None:
        self.project, self.options = project, options
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Viewer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "sica", "web", "--no-open", "--port", str(self.port), *self.options]
        self._process = subprocess.Popen(
            command, cwd=self.project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:(\d+)/$", said.strip())
        if not found or self.port not in (0, int(found[1])):
            self.stop()
            raise AssertionError(f"sica web said {said!r} when asked for port {self.port}")
        self.port = int(found[1])

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


@dataclass
class Seen:
    """A page and what went wrong on it."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def __getitem__(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def at(self, fragment: str) -> Seen:
        self.page.goto(self.origin + fragment)
        return self

    def agent(self, number: int) -> Locator:
        return self.page.locator(f'[data-testid="agent-row"][data-agent="{number}"]')

    def fragment(self) -> str:
        return urlsplit(self.page.url).fragment

    def refused(self) -> list[str]:
        """What the Content-Security-Policy stopped."""
        found: list[str] = self.page.evaluate("window.refused ?? []")
        return found

    def heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def asked(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.elsewhere.append(request.url)


@contextmanager
def opened(
    context: BrowserContext, origin: str, *, excused: Callable[[str], bool] = lambda _: False
) -> Iterator[Seen]:
    """A page that must stay quiet: no error on the console, nothing refused, no request to another place."""
    page = context.new_page()
    seen = Seen(page, origin)
    page.add_init_script(VIOLATIONS)
    page.on("console", seen.heard)
    page.on("pageerror", lambda error: seen.errors.append(f"{error}\n{error.stack}"))
    page.on("request", seen.asked)
    page.set_default_timeout(20_000)
    yield seen
    assert [e for e in seen.errors if not excused(e)] == []
    assert seen.elsewhere == []
    assert seen.refused() == []
    page.close()


def made_up(folder: Path, **sizes: int) -> Path:
    """A project with a finished run in it, by the generator that the benchmark uses too."""
    maker = Path(__file__).parents[2] / "benchmarks" / "web_store.py"
    options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    subprocess.run([sys.executable, str(maker), str(folder), *options], check=True, stdout=subprocess.DEVNULL)
    return folder
