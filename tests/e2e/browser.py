"""A real browser for the tests: Debian's Chromium, driven by playwright, with an ear for its complaints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import field, frozen

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

NEEDS_CHROMIUM = "needs Debian's chromium: apt-get install chromium"
NEEDS_PLAYWRIGHT = "needs playwright: pip install playwright (its own browsers are not used)"

ARGUMENTS = [
    "--no-sandbox",  # which root, as in a container, may not have
    "--disable-gpu",
    # Nobody on the network is asked for anything but by the page.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]

# Chromium reports a violation of the page's Content-Security-Policy on the console; this says it for certain.
_REPORT_VIOLATIONS = """
    document.addEventListener("securitypolicyviolation", (event) =>
        console.error(`CSP: ${event.violatedDirective} forbids ${event.blockedURI}`));
"""


def chromium_path() -> Path | None:
    """Where Debian's chromium is, if it is installed."""
    debian = Path("/usr/bin/chromium")
    found = debian if debian.exists() else shutil.which("chromium")
    return None if found is None else Path(found)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser, ended afterwards; without one the test is skipped, and told why.

    Not for a module with async tests: playwright's own loop stays on the thread while this is open.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)
    path = chromium_path()
    if path is None:
        pytest.skip(NEEDS_CHROMIUM)
    with sync_api.sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@frozen
class Visitor:
    """One person's browser window: nothing in it is shared with another visitor's."""

    context: BrowserContext
    page: Page
    complaints: list[str] = field(factory=list)
    """Errors and warnings on the console, errors that nobody caught, violations of the security policy."""
    requests: list[str] = field(factory=list)
    """Every address that was asked for, sockets included."""


def visitor(browser: Browser) -> Visitor:
    """A new visitor, on an empty page; close the context when done."""
    context = browser.new_context(locale="en-US")
    context.add_init_script(_REPORT_VIOLATIONS)
    context.set_default_timeout(15_000)
    made = Visitor(context, context.new_page())

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            made.complaints.append(message.text)

    def asked(request: Request) -> None:
        made.requests.append(request.url)

    made.page.on("console", note)
    made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
    made.page.on("request", asked)
    made.page.on("websocket", lambda socket: made.requests.append(socket.url))
    return made
