"""How the page comes back after a lost connection, against a server that says what the test says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.browser import NEEDS_PLAYWRIGHT

from .scripted_server import ME, ScriptedServer, Socket, delta, final, message, posted

pytest.importorskip("playwright.sync_api", reason=NEEDS_PLAYWRIGHT)

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.e2e.chat_page import Chat

pytestmark = pytest.mark.browser


def come_back(server: ScriptedServer, chat: Chat, socket: Socket) -> Socket:
    """Cut the page off, and take its next socket, ungreeted."""
    socket.cut()
    chat.wait_lost()
    chat.hurry()
    return server.accept()


def test_the_page_speaks_level_2_and_is_the_same_guest_each_time(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """Who comes back is to own what he said before; who never was there has no cursor."""
    assert socket.level == 2
    assert socket.query["stream"] == "delta"
    assert re.fullmatch("[A-Za-z0-9._:-]{16,64}", socket.query["guest"])
    assert "cursor" not in socket.query
    assert (socket.query["session_type"], socket.query["session_id"]) == ("person", "s")

    chat.page.reload()
    again = server.accept()

    assert again.query == socket.query


def test_the_cursor_passes_every_durable_event_and_nothing_else(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """One too low would be told twice, one too high would be a hole."""
    socket.send(
        posted(1, "one", seq=1),
        {"type": "ack", "client_msg_id": "x", "id": 9, "seq": 9, "duplicate": False},
        delta(2, "hi", 0),
        final(2, "hi", seq=2),
        {"type": "edited", "data": message(1, "uno", seq=3, edited_at="2026-01-01T00:00:01.000Z")},
        {"type": "read", "user": "guest-other", "up_to": 2, "seq": 4},
        {"type": "presence", "event": "join", "user": ME, "members": 2},
    )
    chat.shows("uno", "hi")
    socket = come_back(server, chat, socket)
    assert socket.query["cursor"] == "e.4"

    socket.greet("e.4", resumed=True)
    socket.send({"type": "recalled", "id": 1, "by": "guest-other", "seq": 5})
    chat.shows("hi")
    socket = come_back(server, chat, socket)
    assert socket.query["cursor"] == "e.5"

    socket.greet("e.5", resumed=True)
    socket.send({"type": "reset", "seq": 6})
    chat.shows()
    assert come_back(server, chat, socket).query["cursor"] == "e.6"


def test_who_resumed_asks_for_no_history(server: ScriptedServer, chat: Chat, socket: Socket) -> None:
    """What was missed comes by itself; what is on the page stays as it is."""
    socket.send(posted(1, "one"))
    chat.shows("one")
    asked = server.asked_for_history()
    socket = come_back(server, chat, socket).greet("e.1", resumed=True)
    socket.send(posted(2, "two"), final(3, "three"))

    chat.shows("one", "two", "three")
    assert server.asked_for_history() == asked


def test_a_gap_is_filled_from_history(server: ScriptedServer, chat: Chat, socket: Socket) -> None:
    """And what the server forgot meanwhile goes; from then on the gap's cursor counts."""
    socket.send(posted(1, "one"), posted(2, "two"))
    chat.shows("one", "two")
    server.history = [message(2, "two"), message(3, "three"), message(4, "four")]
    socket = come_back(server, chat, socket).greet("e.70")
    socket.send({"type": "gap", "cursor": "e.70", "reason": "trimmed"}, posted(5, "five", seq=71))

    chat.shows("two", "three", "four", "five")
    assert come_back(server, chat, socket).query["cursor"] == "e.71"


def test_another_epoch_is_another_history(server: ScriptedServer, chat: Chat, socket: Socket) -> None:
    """Its ids mean other messages: nothing of the old one may stand among them, nor hide them."""
    socket.send(posted(1, "old"), posted(2, "old too"), {"type": "recalled", "id": 3, "by": "x", "seq": 3})
    chat.shows("old", "old too")
    server.history = [message(1, "new"), message(3, "new too")]
    socket = come_back(server, chat, socket).greet("f.3")
    socket.send({"type": "gap", "cursor": "f.3", "reason": "unknown_epoch"})

    chat.shows("new", "new too")
    assert come_back(server, chat, socket).query["cursor"] == "f.3"


def test_a_long_absence_leaves_no_hidden_hole(server: ScriptedServer, chat: Chat, socket: Socket) -> None:
    """If the newest hundred do not reach back to what is there, the rest is behind a button."""
    socket.send(posted(1, "one"))
    chat.shows("one")
    server.history = [message(number, f"m{number}") for number in range(1, 251)]
    socket = come_back(server, chat, socket).greet("e.250")
    socket.send({"type": "gap", "cursor": "e.250", "reason": "trimmed"})
    expect(chat.messages).to_have_count(100)
    earlier = chat.page.get_by_role("button", name="Earlier messages")

    earlier.click()
    expect(chat.messages).to_have_count(200)
    earlier.click()

    chat.shows(*[f"m{number}" for number in range(1, 251)])
    expect(earlier).to_have_count(0)


@pytest.mark.parametrize("sockets", [1, 2])
def test_a_hole_is_not_hidden_by_what_came_since(
    server: ScriptedServer, chat: Chat, socket: Socket, sockets: int
) -> None:
    """A second gap may come before the history that fills the first one, and something new between them."""
    socket.send(posted(1, "one"))
    chat.shows("one")
    server.history = [message(number, f"m{number}") for number in range(1, 252)]
    server.held.clear()
    socket = come_back(server, chat, socket).greet("e.250")
    socket.send({"type": "gap", "cursor": "e.250", "reason": "trimmed"}, posted(251, "m251"))
    expect(chat.texts).to_have_text(["one", "m251"])
    if sockets == 2:
        socket = come_back(server, chat, socket).greet("e.251")
    socket.send({"type": "gap", "cursor": "e.251", "reason": "trimmed"})
    server.held.set()

    chat.shows(*[f"m{number}" for number in range(152, 252)])


def test_history_that_can_not_be_had_is_asked_for_again(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """A failing store is no reason for a page with a hole in it."""
    chat.page.clock.install()
    server.history = "The store can't be reached right now"
    socket = come_back(server, chat, socket).greet("e.5")
    socket.send({"type": "gap", "cursor": "e.5", "reason": "trimmed"}, posted(6, "six"))
    expect(chat.notes).to_have_text([re.compile("store can't be reached")])

    server.history = [message(5, "five"), message(6, "six")]
    chat.page.clock.run_for(40_000)

    chat.shows("five", "six")
    chat.forgive("503")


def test_history_that_comes_late_undoes_nothing(server: ScriptedServer, chat: Chat) -> None:
    """What the socket said since it was asked for is newer."""
    server.held.clear()
    server.history = [message(1, "recalled"), message(2, "before"), message(3, "kept")]
    socket = server.accept().greet("e.3")
    server.wait_asked_for_history()
    edited = message(2, "after", seq=5, edited_at="2026-01-01T00:00:01.000Z")
    server.history = [edited, message(3, "kept"), message(4, "new", seq=6)]
    socket.send(
        {"type": "recalled", "id": 1, "by": "guest-other", "seq": 4},
        {"type": "edited", "data": edited},
        posted(4, "new", seq=6),
    )
    chat.shows("new")
    server.held.set()

    chat.shows("after", "kept", "new")


def test_an_edit_is_not_undone_by_history_from_before_it(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """Neither of a message that was there when it was edited."""
    socket.send(posted(1, "before"))
    server.history = [message(1, "before"), message(2, "new")]
    server.wait_asked_for_history()
    server.held.clear()
    socket.send({"type": "gap", "cursor": "e.2", "reason": "trimmed"})
    server.wait_asked_for_history()
    edited = message(1, "after", seq=3, edited_at="2026-01-01T00:00:01.000Z")
    socket.send({"type": "edited", "data": edited})
    chat.shows("after")
    server.held.set()

    chat.shows("after", "new")


def test_history_from_before_a_reset_does_not_come_back(server: ScriptedServer, chat: Chat) -> None:
    """The answer was on its way when everything was forgotten."""
    server.held.clear()
    server.history = [message(1, "forgotten")]
    socket = server.accept().greet("e.1")
    server.wait_asked_for_history()
    socket.send({"type": "reset", "seq": 2}, posted(2, "anew", seq=3))
    chat.shows("anew")
    with chat.page.expect_response(re.compile("/ws/messages/")):
        server.held.set()

    chat.shows("anew")


def test_a_restarting_server_says_when_to_come_back(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """All its clients at the same moment would be a storm."""
    chat.page.clock.install()
    socket.close(1012, "the server is restarting, reconnect_ms=2900")
    expect(chat.status).to_have_text("The server restarts, trying again in 3 s")

    chat.page.clock.run_for(2800)
    assert not server.has_socket()
    chat.page.clock.run_for(200)

    server.accept().greet("e.0", resumed=True)
    chat.wait_connected()


@pytest.mark.parametrize(
    "hint", ["reconnect_ms=", "reconnect_ms=-5", "reconnect_ms=9999999999", "", "reconnect_ms=x"]
)
def test_a_bad_hint_is_no_hint(server: ScriptedServer, chat: Chat, socket: Socket, hint: str) -> None:
    """Whatever the reason says, the page comes back soon, and not at once."""
    chat.page.clock.install()
    socket.close(1012, hint)
    chat.wait_lost()
    chat.page.clock.run_for(1400)

    server.accept().greet("e.0", resumed=True)
    chat.wait_connected()


def test_a_socket_that_says_nothing_any_more_is_replaced(
    server: ScriptedServer, chat: Chat, socket: Socket
) -> None:
    """A network that went away tells nobody; the page asks, and believes nothing else."""
    chat.page.clock.install()
    chat.hurry()
    chat.page.clock.run_for(12_000)

    server.accept().greet("e.0", resumed=True)
    chat.wait_connected()


def test_an_older_server_is_spoken_to_as_it_can(older_server: ScriptedServer, chat: Chat) -> None:
    """It ignores what it does not know, and a browser then refuses the socket: so the page offers nothing."""
    older_server.accept()  # what the browser refuses is open on the server's side
    older_server.accept()
    socket = older_server.accept()
    assert (socket.level, set(socket.query)) == (1, {"session_type", "session_id"})
    assert older_server.refused == 2
    socket.greet("e.0")
    chat.wait_connected()

    chat.say("hello")
    frame = socket.receive()
    assert frame == {"type": "message", "message": [{"type": "Plain", "text": "hello"}]}
    mine = message(1, "hello", connection_id="c3")
    growing = {**message(2, "he", sender=ME), "role": "assistant", "is_final": False}
    socket.send({"type": "user_message", "data": mine}, {"type": "response", "data": growing})
    expect(chat.texts).to_have_text(["hello", "he"])
    expect(chat.messages.first).to_have_class(re.compile(r"\bmine\b"))
    expect(chat.page.locator(".actions button")).to_have_count(0)
    expect(chat.stop).to_be_hidden()
    socket.send({"type": "response", "data": {**growing, "content": "hello", "is_final": True}})

    chat.shows("hello", "hello")
    chat.forgive("Sent non-empty 'Sec-WebSocket-Protocol' header but no response was received")


def test_a_newer_server_in_an_older_ones_place_is_noticed(older_server: ScriptedServer, chat: Chat) -> None:
    """A deploy must not leave open pages behind."""
    socket = [older_server.accept() for _ in range(3)][-1].greet("e.0")
    chat.wait_connected()
    older_server.older = False

    assert come_back(older_server, chat, socket).level == 2
    chat.forgive("Sent non-empty 'Sec-WebSocket-Protocol' header but no response was received")
