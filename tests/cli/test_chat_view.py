"""What the terminal shows for each frame."""

from __future__ import annotations

from typing import Any

import pytest

from server.cli.view import View


def reply(content: str, *, id_: int = 2, final: bool = False) -> dict[str, Any]:
    return {"type": "response", "data": {"id": id_, "content": content, "is_final": final}}


def user_message(content: str, **data: Any) -> dict[str, Any]:
    return {"type": "user_message", "data": {"content": content, **data}}


def shown(*frames: dict[str, Any]) -> str:
    view = View()
    return "".join(view.frame(frame) for frame in frames)


def test_only_what_is_new_of_a_reply_is_written() -> None:
    """Each chunk carries the whole text so far."""
    view = View()

    assert view.frame(reply("Hel")) == "bot: Hel"
    assert view.frame(reply("Hello")) == "lo"
    assert view.frame(reply("Hello!", final=True)) == "!\n"


def test_a_reply_in_one_piece_is_a_line() -> None:
    """Short answers are final at once."""
    assert shown(reply("Hi", final=True)) == "bot: Hi\n"


def test_a_reply_goes_on_below_what_interrupted_it() -> None:
    """People talk while the bot does."""
    text = shown(reply("Once"), user_message("wait", sender={"name": "Ann"}), reply("Once upon", final=True))

    assert text == "bot: Once\nAnn: wait\nbot …  upon\n"


def test_a_reply_that_takes_words_back_is_written_again() -> None:
    """Nothing on the screen can be unwritten, and half of each would be wrong."""
    assert shown(reply("Yes"), reply("No", final=True)) == "bot: Yes\nbot … No\n"


def test_two_replies_do_not_run_into_each_other() -> None:
    """One that was cut off may never become final."""
    assert shown(reply("One"), reply("Two", id_=4, final=True)) == "bot: One\nbot: Two\n"


def test_ones_own_message_is_not_shown_again() -> None:
    """It stands there as it was typed."""
    connected = {"type": "connected", "connection_id": "me"}

    assert shown(connected, user_message("hi", connection_id="me")) == ""
    assert shown(connected, user_message("hi", connection_id="you")) == "someone: hi\n"


def test_broadcasts_and_errors_are_lines() -> None:
    """They are for the person, too."""
    assert (
        shown({"type": "broadcast", "message": "tea"}, {"type": "error", "message": "no"}) == "* tea\n! no\n"
    )


def piece(delta: str, offset: int, id_: int = 2) -> dict[str, Any]:
    return {"type": "response", "data": {"id": id_, "delta": delta, "offset": offset}}


def test_pieces_are_written_as_they_come() -> None:
    """Each says where it belongs; the whole comes with the last."""
    view = View()

    assert view.frame(piece("Once", 0)) == "bot: Once"
    assert view.frame(piece(" upon", 4)) == " upon"
    assert view.frame(reply("Once upon a time", final=True)) == " a time\n"


def test_pieces_may_begin_anew() -> None:
    """After a lost connection a reply is told as it stands; what is on the screen is not written twice."""
    assert shown(piece("Once", 0), piece("Once upon", 0), piece(" a", 9)) == "bot: Once upon a"
    assert shown(piece("Once", 0), piece("ward", 2)) == "bot: Once\nbot … Onward"


def test_a_guest_who_comes_again_knows_its_words() -> None:
    """They were said over another connection."""
    connected = {"type": "connected", "connection_id": "2", "user": {"id": "ann", "name": "Ann"}}

    assert shown(connected, user_message("hi", connection_id="1", sender={"id": "ann"})) == ""
    assert shown(connected, user_message("hi", connection_id="1", sender={"id": "bob"})) == "someone: hi\n"


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        ({"type": "edited", "data": {"content": "ho", "sender": {"name": "Ann"}}}, "(Ann now says: ho)\n"),
        ({"type": "recalled", "id": 1}, "(a message was recalled)\n"),
        ({"type": "reset", "seq": 1}, "(the history was deleted)\n"),
        ({"type": "gap", "cursor": "e.1"}, "(some of what was said meanwhile is not shown here)\n"),
        ({"type": "ack", "client_msg_id": "x", "id": 1, "seq": 1, "duplicate": False}, ""),
        ({"type": "read", "user": "ann", "up_to": 1, "seq": 1}, ""),
    ],
)
def test_what_was_done_to_messages_is_told(frame: dict[str, Any], line: str) -> None:
    """Nothing on the screen can be unwritten."""
    assert shown(frame) == line


@pytest.mark.parametrize("reason", ["stopped", "interrupted"])
def test_a_reply_that_was_cut_off_says_so(reason: str) -> None:
    """Else its last words look like its end."""
    whole = {"id": 2, "content": "Once", "is_final": True, "finish_reason": reason}

    assert shown({"type": "response", "data": whole}) == f"bot: Once ({reason})\n"


def test_others_cannot_take_over_the_terminal() -> None:
    """Escape codes move the cursor, change titles, and worse."""
    frames = [
        reply("a\x1b[2J"),
        user_message("b\x07", sender={"name": "\x9b1m\nroot"}),
        reply("a\x1b[2J\n\tc"),
    ]

    assert not {"\x1b", "\x07", "\x9b"} & set(shown(*frames))
    assert "\nroot" not in shown(*frames)


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"type": 1},
        {"type": "pong", "timestamp": "t"},
        {"type": "response"},
        {"type": "response", "data": None},
        {"type": "response", "data": {"id": 1, "content": None}},
        {"type": "user_message", "data": {"content": 1}},
        {"type": "broadcast"},
        {"type": "error", "message": None},
        {"type": "of tomorrow"},
    ],
)
def test_what_cannot_be_shown_shows_nothing(frame: dict[str, Any]) -> None:
    """Servers grow new frames; a chat must live through them."""
    assert shown(frame) == ""
