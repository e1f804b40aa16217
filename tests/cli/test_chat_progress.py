"""What a client remembers over its connections, and what typed commands become."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from server.cli.progress import Progress, order


def progress() -> Progress:
    ids = count(1)
    return Progress(lambda: f"m{next(ids)}")


def after(*frames: dict[str, Any]) -> Progress:
    """What is remembered of two messages and then *frames*."""
    remembered = progress()
    remembered.say("one")
    remembered.say("two")
    for frame in frames:
        remembered.hear(frame)
    return remembered


def ack(name: str, id_: int = 1) -> dict[str, Any]:
    return {"type": "ack", "client_msg_id": name, "id": id_, "seq": 99, "duplicate": False}


def error(name: str, *, retry: bool) -> dict[str, Any]:
    return {"type": "error", "message": "No", "code": "x", "client_msg_id": name, "retry": retry}


@pytest.mark.parametrize(
    ("frames", "unacked"),
    [
        ([], ["m1", "m2"]),
        ([ack("m1")], ["m2"]),
        ([ack("m2"), ack("m1"), ack("m1")], []),
        ([ack("other")], ["m1", "m2"]),
        ([error("m1", retry=False)], ["m2"]),
        ([error("m1", retry=True)], ["m1", "m2"]),
        ([{"type": "error", "message": "No"}], ["m1", "m2"]),
        ([{"type": "user_message", "data": {"client_msg_id": "m1", "seq": 1}}], ["m1", "m2"]),
    ],
)
def test_a_message_is_kept_until_it_is_acknowledged_or_refused(
    frames: list[dict[str, Any]], unacked: list[str]
) -> None:
    """Nothing else says that it is durable, or never will be."""
    assert [frame["client_msg_id"] for frame in after(*frames).unacked] == unacked


@pytest.mark.parametrize(
    ("frames", "cursor"),
    [
        ([], None),
        ([{"type": "connected", "cursor": "e.4"}], "e.4"),
        ([{"type": "connected", "cursor": "e.4"}, {"type": "user_message", "data": {"seq": 5}}], "e.5"),
        ([{"type": "connected", "cursor": "e.4"}, {"type": "recalled", "id": 1, "seq": 5}], "e.5"),
        ([{"type": "connected", "cursor": "e.4"}, {"type": "response", "data": {"delta": ""}}], "e.4"),
        ([{"type": "connected", "cursor": "e.4"}, ack("m1")], "e.4"),
        ([{"type": "connected", "cursor": "e.4"}, {"type": "gap", "cursor": "f.2"}], "f.2"),
        ([{"type": "gap", "cursor": "f.2"}, {"type": "reset", "seq": 3}], "f.3"),
        ([{"type": "connected"}], None),
    ],
)
def test_the_cursor_follows_what_was_heard(frames: list[dict[str, Any]], cursor: str | None) -> None:
    """An ack is no place in the sequence: what came before it may not have been heard yet."""
    assert after(*frames).cursor == cursor


def test_what_is_put_off_is_counted() -> None:
    """The more often, the longer one waits."""
    remembered = after()
    later = error("m2", retry=True)

    assert [remembered.put_off(later), remembered.put_off(later)] == [
        (remembered.unacked[1], 1),
        (remembered.unacked[1], 2),
    ]
    assert remembered.put_off(error("m2", retry=False)) is None
    assert remembered.put_off(error("other", retry=True)) is None
    assert remembered.put_off({"type": "error", "retry": True}) is None


TEXT = [{"type": "Plain", "text": "new words"}]


@pytest.mark.parametrize(
    ("line", "frame"),
    [
        ("/stop", {"type": "stop"}),
        (" /edit  new words ", {"type": "edit", "id": 7, "message": TEXT}),
        ("/recall", {"type": "recall", "id": 7}),
        ("/regenerate", {"type": "regenerate", "id": 7}),
        ("/edit", None),
        ("/recall that", None),
        ("/stop it", None),
        ("/etc/passwd", None),
        ("stop", None),
        ("", None),
    ],
)
def test_commands(line: str, frame: object) -> None:
    """They are about one's newest message; whatever is none is said."""
    assert order(line, after(ack("m1", 5), ack("m2", 7))) == frame


def test_a_command_needs_something_to_be_about() -> None:
    """Of one's own."""
    assert order("/recall", after()) == "there is no message of yours yet"
    assert order("/stop", after()) == {"type": "stop"}


def test_what_was_recalled_is_one_s_newest_no_more() -> None:
    """So that `/recall` twice recalls two."""
    remembered = after(ack("m1", 5), ack("m2", 7), {"type": "recalled", "id": 7, "seq": 9})

    assert order("/recall", remembered) == {"type": "recall", "id": 5}
    assert remembered.own == [5]
