"""One's own messages: sent until they are taken, once; and changed afterwards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser import NEEDS_PLAYWRIGHT

from .scripted_server import ME, OTHER, ScriptedServer, Socket, final, message, posted
from .test_page_resumes import come_back

pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.e2e.chat_page import Chat

pytestmark = pytest.mark.browser

EDITED = "2026-01-01T00:00:01.000Z"


def ack(name: str, number: int, *, duplicate: bool = False) -> dict[str, Any]:
    return {"type": "ack", "client_msg_id": name, "id": number, "seq": number, "duplicate": duplicate}


def mine(number: int, text: str, name: str, **more: Any) -> dict[str, Any]:
    return posted(number, text, sender=ME, client_msg_id=name, **more)


def said(socket: Socket) -> tuple[str, str]:
    """Name and text of the message that the page sends next."""
    frame = socket.receive()
    assert frame["type"] == "message", frame
    return frame["client_msg_id"], frame["message"][0]["text"]


@pytest.mark.parametrize("ack_first", [True, False])
def test_a_message_is_there_at_once_and_once(chat: Chat, socket: Socket, ack_first: bool) -> None:
    """First as one's own, then as the server's, whichever of its two words comes first."""
    chat.say("hello")
    expect(chat.messages).to_have_class(re.compile(r"\bpending\b"))
    name, text = said(socket)
    frames = [ack(name, 1), mine(1, "hello", name)]

    socket.send(*(frames if ack_first else frames[::-1]), final(2, "hi"))

    assert text == "hello"
    chat.shows("hello", "hi")
    expect(chat.messages.first).to_have_class(re.compile(r"\bmine\b"))


def test_what_was_not_acknowledged_is_sent_again_under_its_name(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """The server may have it or not: it knows by the name."""
    chat.say("hello")
    first = said(socket)
    socket = come_back(server, chat, socket).greet("e.0", resumed=True)
    assert said(socket) == first
    socket = come_back(server, chat, socket).greet("e.0", resumed=True)
    assert said(socket) == first

    socket.send(mine(1, "hello", first[0]), ack(first[0], 1, duplicate=True))

    chat.shows("hello")
    socket = come_back(server, chat, socket).greet("e.1", resumed=True)
    chat.say("next")
    assert said(socket)[1] == "next"


@pytest.mark.parametrize("word", ["ack", "message"])
def test_what_was_acknowledged_is_never_sent_again(
    server: ScriptedServer, chat: Chat, socket: Socket, word: str
) -> None:
    """By either of the server's two words, though the other was lost."""
    chat.say("hello")
    name, _ = said(socket)
    socket.send(ack(name, 1) if word == "ack" else mine(1, "hello", name))
    chat.shows("hello")
    socket = come_back(server, chat, socket).greet("e.0", resumed=True)
    socket.send(mine(1, "hello", name))
    chat.say("next")

    assert said(socket)[1] == "next"
    expect(chat.texts).to_have_text(["hello", "next"])


def test_a_reload_loses_nothing_that_was_not_acknowledged(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """A page that is closed by mistake, or by a phone that needs the room."""
    chat.say("one")
    chat.say("two")
    first = said(socket)

    chat.page.reload()
    socket = server.accept().greet("e.0")
    expect(chat.texts).to_have_text(["one", "two"])
    assert said(socket) == first
    socket.send(ack(first[0], 1))
    second = said(socket)
    socket.send(ack(second[0], 2))

    assert second[1] == "two"
    expect(chat.page.locator(".pending")).to_have_count(0)


def test_what_is_said_while_there_is_no_connection_is_sent_later_in_order(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """A tunnel is no reason to stop writing."""
    socket.cut()
    chat.wait_lost()
    for text in ("one", "two", "three"):
        chat.say(text)
    expect(chat.texts).to_have_text(["one", "two", "three"])
    chat.hurry()
    socket = server.accept().greet("e.0", resumed=True)

    for number, text in enumerate(("one", "two", "three"), 1):
        name, sent = said(socket)
        assert sent == text
        assert socket.is_silent()
        socket.send(ack(name, number), mine(number, text, name))

    chat.shows("one", "two", "three")


def test_a_message_that_can_not_be_taken_now_is_offered_again(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """Under the same name, after a while; the reader sees why it waits, and those behind it wait too."""
    chat.page.clock.install()
    chat.say("one")
    chat.say("two")
    first = said(socket)
    refusal = {"type": "error", "code": "busy", "message": "Too many", "retry": True}
    socket.send({**refusal, "client_msg_id": first[0]})
    expect(chat.marks.first).to_have_text("not sent yet: Too many")
    expect(chat.notes).to_have_count(0)
    assert socket.is_silent()

    chat.page.clock.run_for(1000)
    assert said(socket) == first
    socket.send(ack(first[0], 1))

    assert said(socket)[1] == "two"


def test_a_message_that_is_never_taken_holds_up_no_other(chat: Chat, socket: Socket) -> None:
    """It stays to be read, says why, and can be put away."""
    chat.say("bad")
    chat.say("good")
    name, _ = said(socket)
    refusal = {"type": "error", "code": "bad_request", "message": "No good", "retry": False}
    socket.send({**refusal, "client_msg_id": name})
    other, text = said(socket)
    socket.send(ack(other, 1), mine(1, "good", other))
    assert text == "good"
    expect(chat.texts).to_have_text(["good", "bad"])
    expect(chat.marks.last).to_have_text("not sent: No good")

    chat.page.get_by_role("button", name="Discard").click()

    chat.shows("good")


def test_what_was_taken_and_recalled_meanwhile_does_not_come_back(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """The last word on a message that an earlier socket took is the server's."""
    chat.say("regret")
    name, _ = said(socket)
    server.history = [message(2, "later")]
    socket = come_back(server, chat, socket).greet("e.3")
    socket.send({"type": "gap", "cursor": "e.3", "reason": "trimmed"})
    said(socket)
    socket.send(ack(name, 1, duplicate=True))

    chat.shows("later")


def test_messages_of_two_conversations_are_kept_apart(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """What was meant for one must not be said in the other."""
    chat.say("private")
    first = said(socket)
    chat.page.locator("fieldset").get_by_text("Group", exact=True).click()
    group = server.accept().greet("g.0")
    chat.wait_connected()
    chat.shows()
    chat.say("public")
    assert said(group)[1] == "public"
    chat.page.locator("fieldset").get_by_text("Person", exact=True).click()

    assert said(server.accept().greet("e.0")) == first


def test_an_own_message_can_be_edited_and_others_can_not(chat: Chat, socket: Socket) -> None:
    """The text alone: whatever else is in the message stays."""
    picture = {"type": "Image", "url": "/p.png"}
    chain = [picture, {"type": "Plain", "text": "teh cat"}]
    frame = mine(1, "[Image]teh cat", "x")
    frame["data"]["message_chain"] = chain
    socket.send(frame, posted(2, "theirs", sender=OTHER), final(3, "answer"))
    expect(chat.messages).to_have_count(3)
    expect(chat.messages.nth(1).get_by_role("button")).to_have_count(0)
    expect(chat.messages.nth(2).get_by_role("button")).to_have_text(["Answer again"])

    chat.act("Edit", chat.messages.first)
    field = chat.page.get_by_label("New text")
    expect(field).to_be_focused()
    expect(field).to_have_value("teh cat")
    field.fill("the cat")
    field.press("Enter")

    new = [picture, {"type": "Plain", "text": "the cat"}]
    assert socket.receive() == {"type": "edit", "id": 1, "message": new}
    edited = {
        **frame["data"],
        "content": "[Image]the cat",
        "message_chain": new,
        "seq": 4,
        "edited_at": EDITED,
    }
    socket.send({"type": "edited", "data": edited})
    expect(chat.texts.first).to_have_text("the cat")
    expect(chat.marks.first).to_have_text("edited")
    expect(field).to_have_count(0)
    chat.forgive("404")


def test_an_edit_that_was_thought_better_of_sends_nothing(chat: Chat, socket: Socket) -> None:
    """Escape, Cancel, and a text that is the same as before."""
    socket.send(mine(1, "hello", "x"))
    for leave in ("Escape", "Cancel", "Enter"):
        chat.act("Edit", chat.messages.first)
        if leave == "Cancel":
            chat.page.get_by_role("button", name="Cancel").click()
        else:
            chat.page.get_by_label("New text").press(leave)
        chat.shows("hello")

    assert socket.is_silent()


def test_an_own_message_can_be_recalled(chat: Chat, socket: Socket) -> None:
    """For good, so the page asks first; it goes when the server says so, and never comes back."""
    chat.agree()
    socket.send(mine(1, "regret", "x"), final(2, "answer"))
    chat.act("Recall", chat.messages.first)
    assert socket.receive() == {"type": "recall", "id": 1}
    expect(chat.messages).to_have_count(2)

    socket.send({"type": "recalled", "id": 1, "by": ME["id"], "seq": 3}, mine(1, "regret", "x"))

    chat.shows("answer")


def test_what_can_not_be_done_is_said(server: ScriptedServer, chat: Chat, socket: Socket) -> None:
    """Without a connection, and when the server declines; the text that was typed is not lost."""
    socket.send(mine(1, "hello", "x"))
    chat.act("Edit", chat.messages.first)
    socket.cut()
    chat.wait_lost()
    field = chat.page.get_by_label("New text")
    field.fill("hello there")
    field.press("Enter")
    expect(chat.notes).to_have_text([re.compile("no connection")])
    expect(field).to_have_value("hello there")
    chat.hurry()
    socket = server.accept().greet("e.1", resumed=True)
    chat.wait_connected()
    field.press("Enter")
    assert socket.receive()["type"] == "edit"
    socket.send({"type": "error", "code": "forbidden", "message": "Not yours", "retry": False})

    expect(chat.notes.last).to_have_text("Not yours")
    chat.shows("hello")


def test_a_message_that_is_too_large_stays_to_be_shortened(server: ScriptedServer, chat: Chat) -> None:
    """The server would only close the socket, again and again."""
    socket = server.accept().greet("e.0", max_message_size=2000)
    chat.wait_connected()
    chat.say("x" * 2000)

    expect(chat.notes).to_have_text([re.compile("too large")])
    expect(chat.page.get_by_label("Message", exact=True)).to_have_value("x" * 2000)
    chat.say("short")
    assert said(socket)[1] == "short"
