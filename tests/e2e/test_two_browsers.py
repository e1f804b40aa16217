"""Two people in one conversation, and the end of their server in the middle of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import pytest

from .browser import NEEDS_PLAYWRIGHT, chromium
from .chat_page import Chat, visits
from .running import Triologue
from .teller import numbers

pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

INTERRUPT = "00000000-0000-4000-8000-0000000000a1"
RESUME = "00000000-0000-4000-8000-0000000000a2"
SETTINGS = f"""
[timeouts]
drain = 0.5

[[pipelines]]
uuid = "{INTERRUPT}"
name = "interrupted"
kind = "python"
function = "tests.e2e.teller:reply"

[[pipelines]]
uuid = "{RESUME}"
name = "resumed"
kind = "python"
function = "tests.e2e.teller:reply"
on_restart = "resume"
"""
LENGTH = 300
WHOLE = numbers(LENGTH)

# Notes every text that the newest reply is seen with.
WATCH = """() => {
    const list = document.getElementById("messages");
    window.contents = [];
    new MutationObserver(() => {
        const text = [...list.querySelectorAll(".bot .text")].at(-1)?.textContent;
        if (text && text !== contents.at(-1)) contents.push(text);
    }).observe(list, { childList: true, characterData: true, subtree: true });
}"""

kill_or_terminate = pytest.mark.parametrize(
    "end", [pytest.param(Triologue.kill, id="kill"), pytest.param(Triologue.terminate, id="terminate")]
)


class Place:
    """An address and a data directory, at which one server after the other lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[Triologue] = []
        self.start("127.0.0.1:0")

    @property
    def server(self) -> Triologue:
        return self.servers[-1]

    def start(self, bind: str) -> None:
        self.servers.append(Triologue("serve", self.folder, SETTINGS, bind))
        self.server.wait_ready()

    def succeed(self) -> None:
        """Start the next server, once the last one has ended."""
        self.server.wait_exit()
        self.start(f"127.0.0.1:{self.server.port}")

    def history(self, pipeline: str) -> list[dict[str, Any]]:
        path = f"/api/v1/pipelines/{pipeline}/ws/messages/group?{urlencode({'session_id': 's'})}"
        data = cast(dict[str, Any], self.server.json("GET", path)[1]["data"])
        return cast(list[dict[str, Any]], data["messages"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for server in place.servers:
        server.kill()


@pytest.fixture
def two(browser: Browser, place: Place) -> Iterator[Callable[[str], tuple[Chat, Chat]]]:
    """Makes two people in a group of a pipeline, each in a browser of his own."""
    with visits(browser) as come:
        yield lambda pipeline: (
            come().open(place.server.url, pipeline, "s", "group"),
            come().open(place.server.url, pipeline, "s", "group"),
        )


def begin_to_count(alice: Chat, bob: Chat) -> None:
    """Have the answer run, so that both have seen some of it."""
    for chat in (alice, bob):
        chat.evaluate(WATCH)
    alice.say(f"count {LENGTH}")
    for chat in (alice, bob):
        expect(chat.texts.last).to_have_text(re.compile(r"^0 1 .* 70 "))


@kill_or_terminate
def test_two_browsers_outlive_their_server_in_the_middle_of_an_answer(
    place: Place, two: Callable[[str], tuple[Chat, Chat]], end: Callable[[Triologue], None]
) -> None:
    """Both come back by themselves and show the same, complete conversation, nothing of it twice."""
    alice, bob = two(INTERRUPT)
    alice.say("hello")
    begin_to_count(alice, bob)

    end(place.server)
    for chat in (alice, bob):
        chat.wait_lost()
    bob.say("are you there?")
    place.succeed()
    for chat in (alice, bob):
        chat.wait_connected()

    expect(alice.texts).to_have_count(6)
    cut_off = alice.texts.nth(3).text_content() or ""
    for chat in (alice, bob):
        chat.shows("hello", "hello", f"count {LENGTH}", cut_off, "are you there?", "are you there?")
        expect(chat.marks).to_have_text(["", "", "", "interrupted", "", ""])
        # What was seen at one moment was a part of the truth at every moment.
        assert all(WHOLE.startswith(text) for text in chat.evaluate("contents") if text[0] == "0")
    assert WHOLE.startswith(cut_off)
    assert cut_off
    history = place.history(INTERRUPT)
    assert [message["content"] for message in history] == alice.texts.all_text_contents()
    assert [message["id"] for message in history] == sorted({message["id"] for message in history})
    for chat in (alice, bob):
        chat.forgive_unanswered()


@kill_or_terminate
def test_an_answer_goes_on_in_the_next_server_where_its_pipeline_can(
    place: Place, two: Callable[[str], tuple[Chat, Chat]], end: Callable[[Triologue], None]
) -> None:
    """The readers see it stand still for a moment, and then to its end, without a seam."""
    alice, bob = two(RESUME)
    begin_to_count(alice, bob)

    end(place.server)
    for chat in (alice, bob):
        chat.wait_lost()
        expect(chat.texts.last).to_have_text(re.compile(r"^0 1 .* 70 "))
    place.succeed()

    for chat in (alice, bob):
        expect(chat.texts.last).to_have_text(WHOLE.strip(), timeout=30_000)
        chat.shows(f"count {LENGTH}", WHOLE)
        expect(chat.marks).to_have_text(["", ""])
        contents = chat.evaluate("contents")
        assert all(WHOLE.startswith(text) for text in contents)
        # After a kill it may go on a second earlier than it was seen, and else not at all.
        steps_back = sum(len(later) < len(earlier) for earlier, later in pairwise(contents))
        assert steps_back <= (end is Triologue.kill)
    assert [message["content"] for message in place.history(RESUME)] == [f"count {LENGTH}", WHOLE]
    for chat in (alice, bob):
        chat.forgive_unanswered()


def test_a_page_without_its_server_for_many_tries_still_comes_back(
    place: Place, two: Callable[[str], tuple[Chat, Chat]]
) -> None:
    """Servers may be away for long; what was written meanwhile is said once, also after a reload."""
    alice, bob = two(INTERRUPT)
    place.server.kill()
    for chat in (alice, bob):
        chat.wait_lost()
        chat.page.clock.install()
    alice.say("anybody?")
    for _ in range(5):
        alice.hurry()
        alice.wait_lost()
    place.start(f"127.0.0.1:{place.server.port}")
    for chat in (alice, bob):
        chat.hurry()
        chat.wait_connected()

    for chat in (alice, bob):
        chat.shows("anybody?", "anybody?")
    alice.page.reload()
    alice.wait_connected()
    alice.shows("anybody?", "anybody?")
    expect(alice.messages.first).to_have_class(re.compile(r"\bmine\b"))
    for chat in (alice, bob):
        chat.forgive_unanswered()
