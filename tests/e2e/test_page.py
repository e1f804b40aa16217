"""The chat page, in a real browser, against a real server."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

import pytest

from .browser import NEEDS_PLAYWRIGHT, chromium
from .chat_page import Chat, visits
from .running import ECHO, OTHER, SLOW, Triologue, running

pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, WebSocketRoute

pytestmark = pytest.mark.browser

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
HOSTILE = """<img src=x onerror="window.pwned = 1"><script>window.pwned = 2</script>&lt;b&gt;"""

# Notes every text that the newest reply is seen with.
_WATCH = """() => {
    const list = document.getElementById("messages");
    window.contents = [];
    new MutationObserver(() => {
        const text = [...list.querySelectorAll(".bot .text")].at(-1)?.textContent;
        if (text && text !== contents.at(-1)) contents.push(text);
    }).observe(list, { childList: true, characterData: true, subtree: true });
}"""

# Lets a test cut the page's connection, as a network does.
_KEEP_SOCKETS = """
    window.sockets = [];
    window.WebSocket = class extends WebSocket {
        constructor(...given) { super(...given); sockets.push(this); }
    };
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all these tests; every visitor's window is still his own."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    """A running server."""
    with running("serve", tmp_path_factory.mktemp("triologue")) as started:
        yield started


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[], Chat]]:
    """Makes visitors, with nothing in their browsers to complain of."""
    with visits(browser) as come:
        yield come


@pytest.fixture
def session_id() -> str:
    """A conversation that no other test is in."""
    return str(uuid.uuid4())


def is_loaded(picture: Locator) -> bool:
    """Whether the browser could make a picture of it."""
    return cast(bool, picture.evaluate("image => image.decode().then(() => image.naturalWidth > 0)"))


def test_a_message_is_shown_and_its_reply_streams_in(
    server: Triologue, visit: Callable[[], Chat], session_id: str
) -> None:
    """The main job: the reader sees the text grow, not only its end."""
    text = " ".join(f"word{number}" for number in range(30))
    chat = visit().open(server.url, SLOW, session_id)
    chat.evaluate(_WATCH)

    chat.say(text)
    chat.shows(text, text)

    contents = chat.evaluate("contents")
    assert contents[-1] == text
    assert len(contents) > 2
    assert all(later.startswith(earlier) for earlier, later in pairwise(contents))
    expect(chat.messages.first).to_have_class(re.compile(r"\bmine\b"))
    expect(chat.messages.last).to_have_class(re.compile(r"\bbot\b"))


def test_a_reply_that_is_not_finished_is_marked(
    server: Triologue, visit: Callable[[], Chat], session_id: str, tmp_path: Path
) -> None:
    """Eyes see a cursor, and a screen reader is not told every word."""
    chat = visit().open(server.url, OTHER, session_id)
    chat.say(f"gate {tmp_path / 'open'}")

    expect(chat.messages.last).to_have_text(re.compile("waiting $"))
    expect(chat.messages.last).to_have_class(re.compile(r"\bstreaming\b"))
    expect(chat.messages.last).to_have_attribute("aria-busy", "true")
    (tmp_path / "open").touch()
    expect(chat.texts.last).to_have_text("waiting done")
    expect(chat.messages.last).not_to_have_class(re.compile(r"\bstreaming\b"))
    expect(chat.messages.last).to_have_attribute("aria-busy", "false")


def test_everybody_in_a_group_sees_the_message_and_the_reply(
    server: Triologue, visit: Callable[[], Chat], session_id: str
) -> None:
    """A group is what its members share; whose message it is looks different to each."""
    alice, bob = (visit().open(server.url, ECHO, session_id, "group") for _ in range(2))

    alice.say("hello bob")

    for chat in (alice, bob):
        chat.shows("hello bob", "hello bob")
    expect(alice.messages.first).to_have_class(re.compile(r"\bmine\b"))
    expect(bob.messages.first).to_have_class(re.compile(r"\btheirs\b"))
    bob.say("hello alice")
    alice.shows("hello bob", "hello bob", "hello alice", "hello alice")


def test_whoever_comes_later_sees_what_was_said(
    server: Triologue, visit: Callable[[], Chat], session_id: str, tmp_path: Path
) -> None:
    """History and the running reply join without a seam."""
    early = visit().open(server.url, OTHER, session_id, "group")
    early.say("say one two")
    early.shows("say one two", "one two ")
    question = f"gate {tmp_path / 'open'}"
    early.say(question)
    expect(early.texts.last).to_have_text("waiting ")

    late = visit().open(server.url, OTHER, session_id, "group")
    expect(late.texts).to_have_text(["say one two", "one two ", question, "waiting "])
    (tmp_path / "open").touch()

    for chat in (early, late):
        chat.shows("say one two", "one two ", question, "waiting done")


def test_the_session_types_are_apart(server: Triologue, visit: Callable[[], Chat], session_id: str) -> None:
    """What is said in one is not for the other, also after switching there and back."""
    chat = visit().open(server.url, ECHO, session_id)
    member = visit().open(server.url, ECHO, session_id, "group")
    chat.say("private")
    chat.shows("private", "private")

    chat.choose("Group")
    chat.shows()
    chat.say("public")
    chat.shows("public", "public")
    member.shows("public", "public")
    chat.choose("Person")

    chat.shows("private", "private")
    assert "session_type=person" in chat.page.url


@pytest.fixture
def server_and_successor(tmp_path: Path) -> Iterator[tuple[Triologue, Callable[[], Triologue]]]:
    """A server, and what starts another in its place once it has ended."""
    servers = [Triologue("serve", tmp_path).wait_ready()]
    address = f"127.0.0.1:{servers[0].port}"

    def succeed() -> Triologue:
        servers[0].wait_exit()
        servers.append(Triologue("serve", tmp_path, bind=address))
        return servers[-1].wait_ready()

    yield servers[0], succeed
    for server in servers:
        server.kill()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        pytest.param(Triologue.kill, "Connection lost", id="kill"),
        pytest.param(Triologue.terminate, "The server restarts", id="terminate"),
    ],
)
def test_the_page_outlives_its_server(
    server_and_successor: tuple[Triologue, Callable[[], Triologue]],
    visit: Callable[[], Chat],
    session_id: str,
    end: Callable[[Triologue], None],
    said: str,
) -> None:
    """It says so, comes back by itself, shows nothing twice, and says what was written meanwhile."""
    server, succeed = server_and_successor
    chat = visit().open(server.url, ECHO, session_id)
    chat.say("before")
    chat.shows("before", "before")

    end(server)
    expect(chat.status).to_have_attribute("data-state", "lost")
    expect(chat.status).to_contain_text(said)
    chat.say("meanwhile")
    expect(chat.page.locator(".pending .text")).to_have_text("meanwhile")
    succeed()
    chat.wait_connected()
    chat.shows("before", "before", "meanwhile", "meanwhile")
    chat.say("after")

    chat.shows("before", "before", "meanwhile", "meanwhile", "after", "after")
    chat.forgive_unanswered()


def test_a_reply_that_the_server_took_with_it_is_not_awaited_for_ever(
    server_and_successor: tuple[Triologue, Callable[[], Triologue]],
    visit: Callable[[], Chat],
    session_id: str,
) -> None:
    """A cursor that blinks under half an answer would promise what nobody will say."""
    server, succeed = server_and_successor
    chat = visit().open(server.url, OTHER, session_id)
    chat.say("hang")
    expect(chat.texts).to_have_text(["hang", "so far"])

    server.kill()
    expect(chat.status).to_have_attribute("data-state", "lost")
    succeed()
    chat.hurry()
    chat.wait_connected()

    expect(chat.page.locator(".streaming, [aria-busy=true]")).to_have_count(0)
    expect(chat.messages).to_have_count(2)
    expect(chat.marks.last).to_have_text("interrupted")
    chat.forgive_unanswered()


def test_a_reset_before_the_server_ends_hides_nothing_of_its_successor(
    server_and_successor: tuple[Triologue, Callable[[], Triologue]],
    visit: Callable[[], Chat],
    session_id: str,
) -> None:
    """Whatever the page knows to be forgotten, what its server says next is new."""
    server, succeed = server_and_successor
    chat = visit().open(server.url, ECHO, session_id)
    chat.page.on("dialog", lambda dialog: dialog.accept())
    chat.say("forget me")
    chat.shows("forget me", "forget me")
    chat.page.get_by_role("button", name="Reset").click()
    chat.shows()

    server.kill()
    expect(chat.status).to_have_attribute("data-state", "lost")
    succeed()
    chat.hurry()
    chat.wait_connected()
    chat.say("anew")

    chat.shows("anew", "anew")
    chat.forgive_unanswered()


def test_a_reset_empties_the_conversation(
    server: Triologue, visit: Callable[[], Chat], session_id: str
) -> None:
    """Also for whoever loads the page again; and it goes on."""
    chat = visit().open(server.url, ECHO, session_id)
    asked: list[str] = []

    def agree(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    chat.page.on("dialog", agree)
    chat.say("forget me")
    chat.shows("forget me", "forget me")

    chat.page.get_by_role("button", name="Reset").click()

    chat.shows()
    assert len(asked) == 1
    chat.page.reload()
    chat.wait_connected()
    chat.say("anew")
    chat.shows("anew", "anew")


def test_a_reset_while_a_reply_is_written_leaves_nothing_of_it(
    server: Triologue, visit: Callable[[], Chat], session_id: str
) -> None:
    """The end of the reply comes on the socket, perhaps after the answer to the reset beside it."""
    chat = visit()
    chat.page.on("dialog", lambda dialog: dialog.accept())
    held: list[str | bytes] | None = None
    sockets: list[WebSocketRoute] = []

    def pass_on(frame: str | bytes) -> None:
        if held is None:
            sockets[-1].send(frame)
        else:
            held.append(frame)

    def relay(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server().on_message(pass_on)

    chat.page.route_web_socket(re.compile("/ws/connect"), relay)
    chat.open(server.url, OTHER, session_id)
    chat.say("hang")
    expect(chat.texts).to_have_text(["hang", "so far"])

    held = []
    chat.page.get_by_role("button", name="Reset").click()
    chat.shows()
    late, held = held, None
    assert any('"stopped"' in str(frame) for frame in late)
    for frame in late:
        pass_on(frame)
    chat.say("say on")

    chat.shows("say on", "on ")


def test_what_was_forgotten_while_the_page_was_away_goes(
    server: Triologue, visit: Callable[[], Chat], session_id: str
) -> None:
    """Somebody else's reset is told to the page when it is back."""
    chat = visit()
    chat.visitor.context.add_init_script(_KEEP_SOCKETS)
    chat.open(server.url, ECHO, session_id, "group")
    chat.say("forget me")
    chat.shows("forget me", "forget me")

    path = f"/api/v1/pipelines/{ECHO}/ws/reset/group?session_id={session_id}"
    assert server.json("POST", path)[0] == 200
    chat.evaluate("sockets.at(-1).close()")

    chat.shows()
    chat.wait_connected()
    chat.say("anew")
    chat.shows("anew", "anew")


def test_a_picture_is_shown_before_and_after_it_is_sent(
    server: Triologue, visit: Callable[[], Chat], session_id: str
) -> None:
    """To the one who picked it and to everybody else; once, and without its stand-in text."""
    alice, bob = (visit().open(server.url, ECHO, session_id, "group") for _ in range(2))
    alice.page.get_by_label("Add a picture").set_input_files(
        {"name": "dot.png", "mimeType": "image/png", "buffer": PICTURE}
    )
    preview = alice.page.get_by_alt_text("Picture 1")
    expect(preview).to_be_visible()
    assert is_loaded(preview)

    alice.say("look")

    expect(preview).to_have_count(0)
    for chat in (alice, bob):
        chat.shows("look", "look[Image]")
        picture = chat.messages.first.locator("img")
        expect(picture).to_have_count(1)
        assert is_loaded(picture)


def test_what_is_done_to_a_message_is_seen_by_all(
    server: Triologue, visit: Callable[[], Chat], session_id: str
) -> None:
    """Edited, recalled, stopped, answered again: now, and for whoever comes later."""
    alice, bob = (visit().open(server.url, OTHER, session_id, "group") for _ in range(2))
    alice.agree()
    alice.say("say teh cat")
    bob.shows("say teh cat", "teh cat ")
    expect(bob.messages.first.get_by_role("button")).to_have_count(0)

    alice.act("Edit", alice.messages.first)
    alice.page.get_by_label("New text").fill("say the cat")
    alice.page.get_by_label("New text").press("Enter")
    bob.shows("say the cat", "teh cat ")
    alice.act("Answer again", alice.messages.last)
    bob.shows("say the cat", "the cat ")
    alice.say("hang")
    expect(bob.texts.last).to_have_text("so far")
    alice.stop.click()
    bob.shows("say the cat", "the cat ", "hang", "so far")
    expect(bob.marks).to_have_text(["edited", "", "", "stopped"])
    alice.act("Recall", alice.messages.nth(2))

    late = visit().open(server.url, OTHER, session_id, "group")
    for chat in (alice, bob, late):
        chat.shows("say the cat", "the cat ", "so far")
        expect(chat.marks).to_have_text(["edited", "", "stopped"])
    alice.page.reload()
    alice.wait_connected()
    alice.shows("say the cat", "the cat ", "so far")
    expect(alice.messages.first.get_by_role("button")).to_have_text(["Edit", "Recall"])


def test_what_others_wrote_stays_text(server: Triologue, visit: Callable[[], Chat], session_id: str) -> None:
    """A message, a reply or a broadcast that is HTML is somebody's attempt on the reader's browser."""
    alice, bob = (visit().open(server.url, ECHO, session_id, "group") for _ in range(2))

    alice.say(HOSTILE)
    path = f"/api/v1/pipelines/{ECHO}/ws/broadcast"
    assert server.json("POST", path, {"message": HOSTILE})[0] == 200

    for chat in (alice, bob):
        chat.shows(HOSTILE, HOSTILE)
        expect(chat.notes).to_have_text([HOSTILE])
        expect(chat.page.locator("#messages").locator("img, script, b")).to_have_count(0)
        assert chat.evaluate("window.pwned") is None


def test_a_hostile_address_stays_text(server: Triologue, visit: Callable[[], Chat]) -> None:
    """Anybody can be sent a link; the page says what the server says of it, and does no more."""
    hostile = HOSTILE.replace("/", "")
    chat = visit()
    chat.page.goto(f"{server.url}/?{urlencode({'pipeline': hostile, 'session_type': hostile})}")

    expect(chat.status).to_contain_text("Refused (Pipeline not found)")
    expect(chat.notes.first).to_have_text("Pipeline not found")
    assert chat.evaluate("window.pwned") is None
    assert chat.page.locator("script").count() == 1
    # The history of what is not there is not asked for, so nothing failed.
    assert chat.visitor.complaints == []
