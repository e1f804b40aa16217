"""A browser, and a server that says what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from tests.e2e.browser import NEEDS_PLAYWRIGHT, chromium

from .scripted_server import ScriptedServer, Socket, scripted_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.chat_page import Chat


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all these tests; every visitor's window is still his own."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as started:
        yield started


@pytest.fixture
def older_server(server: ScriptedServer) -> ScriptedServer:
    """The same, before anybody comes, without a notion of level 2."""
    server.older = True
    return server


@pytest.fixture
def chat(browser: Browser, server: ScriptedServer) -> Iterator[Chat]:
    """A visitor on the page, which has asked for its socket."""
    pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)
    from tests.e2e.chat_page import visits

    with visits(browser) as come:
        made = come()
        made.page.goto(f"{server.url}/?{urlencode({'pipeline': 'one', 'session_id': 's'})}")
        yield made


@pytest.fixture
def socket(server: ScriptedServer, chat: Chat) -> Socket:
    """The page's first socket, greeted at the beginning of a history."""
    opened = server.accept().greet("e.0")
    chat.wait_connected()
    return opened
