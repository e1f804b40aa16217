"""The chat page as its user sees it, in a window of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest

from .browser import NEEDS_PLAYWRIGHT, Visitor, visitor

pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

# Machines that run all tests at once are slow; milliseconds.
expect.set_options(timeout=15_000)


class Chat:
    """The page in one visitor's window."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.status = self.page.locator("#status")
        self.messages = self.page.locator("#messages article")
        self.texts = self.messages.locator(".text")
        self.marks = self.messages.locator(".mark")
        self.notes = self.page.locator("#messages .note")
        self.stop = self.page.get_by_role("button", name="Stop")

    def open(self, url: str, pipeline: str, session_id: str, session_type: str = "person") -> Chat:
        """Show a conversation of the server at *url*, and wait until it may be spoken in."""
        query = {"pipeline": pipeline, "session_type": session_type, "session_id": session_id}
        self.page.goto(f"{url}/?{urlencode(query)}")
        self.wait_connected()
        return self

    def wait_connected(self) -> None:
        # Between two tries the page may wait for half a minute.
        expect(self.status).to_have_attribute("data-state", "connected", timeout=45_000)

    def wait_lost(self) -> None:
        expect(self.status).to_have_attribute("data-state", "lost")

    def say(self, text: str) -> None:
        """Type *text* and press Enter."""
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def choose(self, session_type: str) -> None:
        """Press *Person* or *Group*, and wait until that conversation is there."""
        with self.page.expect_response(re.compile(rf"/ws/messages/{session_type.lower()}\b")):
            self.page.locator("fieldset").get_by_text(session_type, exact=True).click()
        self.wait_connected()

    def act(self, words: str, message: Locator) -> None:
        """Press the button *words* of a message."""
        message.hover()
        message.get_by_role("button", name=words, exact=True).click()

    def agree(self) -> None:
        """From now on, say yes to whatever the page asks."""
        self.page.on("dialog", lambda dialog: dialog.accept())

    def shows(self, *texts: str) -> None:
        """Wait until exactly these messages are there, the server's and finished, in this order."""
        expect(self.texts).to_have_text(list(texts))
        expect(self.page.locator(".streaming, .pending")).to_have_count(0)

    def hurry(self) -> None:
        """Say what a browser says when its network is back: no need to wait longer."""
        self.evaluate("dispatchEvent(new Event('online'))")

    def forgive(self, pattern: str) -> None:
        """Forget what the browser said that matches *pattern*."""
        complaints = self.visitor.complaints
        complaints[:] = [line for line in complaints if not re.search(pattern, line)]

    def forgive_unanswered(self) -> None:
        """Forget Chromium's own lines about attempts to connect while no server was there."""
        self.forgive("net::ERR_CONNECTION_(REFUSED|RESET)|net::ERR_EMPTY_RESPONSE|Connection closed before")

    def evaluate(self, expression: str) -> Any:
        return self.page.evaluate(expression)


@contextmanager
def visits(browser: Browser) -> Iterator[Callable[[], Chat]]:
    """Makes visitors, and sees that their browsers had nothing to complain of and asked nobody else."""
    chats: list[Chat] = []

    def come() -> Chat:
        chats.append(Chat(visitor(browser)))
        return chats[-1]

    yield come
    for chat in chats:
        chat.visitor.context.close()
    for chat in chats:
        assert chat.visitor.complaints == []
        asked = {urlsplit(url) for url in chat.visitor.requests}
        assert {url.hostname for url in asked if url.scheme != "data"} <= {"127.0.0.1"}
