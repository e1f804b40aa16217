"""How the page puts replies together, and what it does with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.browser import NEEDS_PLAYWRIGHT

from .scripted_server import ME, ROBOT, ScriptedServer, Socket, delta, final, message, posted
from .test_page_resumes import come_back

pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.e2e.chat_page import Chat

pytestmark = pytest.mark.browser


def test_parts_join_by_code_points(chat: Chat, socket: Socket) -> None:
    """A browser counts in halves of what the server counts; and a part may begin within what is there."""
    socket.send(delta(1, "a😀", 0), delta(1, "👩‍👩‍👧", 2), delta(1, "é", 7))
    expect(chat.texts).to_have_text(["a😀👩‍👩‍👧é"])
    socket.send(delta(1, "b", 2))
    expect(chat.texts).to_have_text(["a😀b"])
    socket.send(delta(1, "whole", 0), delta(1, "", 5))
    expect(chat.texts).to_have_text(["whole"])
    expect(chat.messages).to_have_class(re.compile(r"\bstreaming\b"))
    expect(chat.messages).to_have_attribute("aria-busy", "true")

    socket.send(final(1, "whole thing"))

    chat.shows("whole thing")
    expect(chat.messages).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize(("text", "offset"), [("once ", 10), ("😀", 2), ("", 1)])
def test_a_missing_part_is_fetched_by_coming_back(
    server: ScriptedServer, chat: Chat, socket: Socket, text: str, offset: int
) -> None:
    """Half of an answer must never look like all of it."""
    socket.send(posted(1, "tell"), delta(2, text, 0), delta(2, "a time", offset))
    again = server.accept()
    assert again.query["cursor"] == "e.1"
    again.greet("e.1", resumed=True).send(delta(2, "once upon a time", 0), delta(2, " there", 16))

    expect(chat.texts).to_have_text(["tell", "once upon a time there"])


def test_a_running_reply_goes_on_where_it_was(server: ScriptedServer, chat: Chat, socket: Socket) -> None:
    """Its reader sees it stand still, and grow again: nothing twice, and nothing vanishes meanwhile."""
    socket.send(posted(1, "tell"), delta(2, "once upon ", 0))
    expect(chat.texts).to_have_text(["tell", "once upon "])
    socket = come_back(server, chat, socket)
    expect(chat.texts).to_have_text(["tell", "once upon "])
    socket.greet("e.1", resumed=True).send(delta(2, "once upon a ", 0), delta(2, "time", 12))
    expect(chat.texts).to_have_text(["tell", "once upon a time"])
    socket.send(final(2, "once upon a time."))

    chat.shows("tell", "once upon a time.")


def test_a_reply_that_is_forgotten_behind_a_gap_is_not_awaited(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """Nobody will ever end it; one that still runs is told anew."""
    socket.send(posted(1, "tell"), delta(2, "never", 0))
    expect(chat.texts).to_have_text(["tell", "never"])
    socket = come_back(server, chat, socket).greet("e.9")
    socket.send({"type": "gap", "cursor": "e.9", "reason": "trimmed"}, delta(8, "still", 0))

    expect(chat.texts).to_have_text(["still"])


def test_what_came_before_the_first_history_did_is_forgotten_behind_a_gap_too(
    server: ScriptedServer, chat: Chat
) -> None:
    """A slow answer that a lost socket asked for must not decide what the next one's may take away."""
    server.held.clear()
    socket = server.accept().greet("e.0")
    server.wait_asked_for_history()
    socket.send(posted(1, "tell"), delta(2, "never", 0))
    expect(chat.texts).to_have_text(["tell", "never"])
    socket = come_back(server, chat, socket).greet("e.9")
    socket.send({"type": "gap", "cursor": "e.9", "reason": "trimmed"}, delta(8, "still", 0))
    expect(chat.texts).to_have_text(["tell", "never", "still"])
    server.held.set()

    expect(chat.texts).to_have_text(["still"])


@pytest.mark.parametrize(
    ("reason", "mark"),
    [
        ("interrupted", "interrupted"),
        ("stopped", "stopped"),
        ("error", "failed"),
        ("stop", ""),
        ("content_filter", "content_filter"),
    ],
)
def test_how_a_reply_ended_is_marked(chat: Chat, socket: Socket, reason: str, mark: str) -> None:
    """Half an answer and a whole one must not look the same."""
    socket.send(final(1, "so far", finish_reason=reason))

    chat.shows("so far")
    expect(chat.marks).to_have_text([mark])


def test_a_running_reply_can_be_stopped(chat: Chat, socket: Socket) -> None:
    """By its id, so that a press that comes too late stops no other; and that is no error to be shown."""
    expect(chat.stop).to_be_hidden()
    socket.send(posted(1, "tell", sender=ME), delta(2, "on and ", 0))

    chat.stop.click()

    frame = socket.receive()
    assert (frame["type"], frame["id"]) == ("stop", 2)
    socket.send(final(2, "on and ", finish_reason="stopped"))
    expect(chat.stop).to_be_hidden()
    error = {"type": "error", "code": "not_found", "message": "There is no such message", "retry": False}
    socket.send({**error, "client_msg_id": frame["client_msg_id"]}, {**error, "message": "another"})
    expect(chat.notes).to_have_text(["another"])


def test_a_reply_can_be_stopped_before_its_first_word(chat: Chat, socket: Socket) -> None:
    """Some models think for minutes."""
    socket.send(posted(1, "think", sender=ME))

    chat.stop.click()

    frame = socket.receive()
    assert frame["type"] == "stop"
    assert "id" not in frame


def test_an_answer_is_given_again_in_the_place_of_the_earlier_one(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """The question is asked again, not the answer; and until the new one is there the old one stays."""
    socket.send(
        posted(1, "one"), posted(2, "two"), final(3, "first", reply_to=1), final(4, "second", reply_to=2)
    )
    chat.shows("one", "two", "first", "second")
    chat.act("Answer again", chat.messages.nth(2))
    assert socket.receive() == {"type": "regenerate", "id": 1}

    socket.send(delta(5, "better", 0))
    expect(chat.texts).to_have_text(["one", "two", "first", "second", "better"])
    socket.send(final(5, "better", alternative_of=3, reply_to=1))
    chat.shows("one", "two", "second", "better")
    chat.act("Answer again", chat.messages.last)
    assert socket.receive() == {"type": "regenerate", "id": 1}


def test_without_a_word_from_the_server_only_a_clear_case_is_guessed(chat: Chat, socket: Socket) -> None:
    """Of two questions that waited, the wrong one might be asked again."""
    socket.send(posted(1, "one"), final(2, "first"), posted(3, "two"), posted(4, "three"), final(5, "second"))
    chat.shows("one", "first", "two", "three", "second")

    chat.act("Answer again", chat.messages.nth(1))
    assert socket.receive() == {"type": "regenerate", "id": 1}
    chat.act("Answer again", chat.messages.last)

    expect(chat.notes).to_have_text([re.compile("not known")])
    assert socket.is_silent()


def test_only_the_newest_answer_is_shown_also_from_history(server: ScriptedServer, chat: Chat) -> None:
    """History may come before the word that there is a newer answer, or after it."""
    server.history = [message(1, "q"), message(2, "old", sender=ROBOT)]
    socket = server.accept().greet("e.2")
    chat.shows("q", "old")
    socket.send(final(3, "new", alternative_of=2))

    chat.shows("q", "new")
