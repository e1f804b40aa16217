"""What becomes of a client's frames."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from trio.testing import wait_all_tasks_blocked

from server.chat import (
    AtAll,
    Busy,
    Conflict,
    Draining,
    Expired,
    NotAllowed,
    Plain,
    Refusal,
    StoreFailing,
)
from server.messages import (
    TOO_SLOW,
    ConversationMessage,
    EditMessage,
    Join,
    MarkAsRead,
    RecallMessage,
    Receipt,
    RegenerateReply,
    Say,
    StopReply,
)

from .house import Opens, Script

CHAIN = [{"type": "Plain", "text": "Hi"}]
REQUESTS: list[dict[str, Any]] = [
    {"type": "message", "message": CHAIN},
    {"type": "stop"},
    {"type": "regenerate", "id": 1},
    {"type": "edit", "id": 1, "message": CHAIN},
    {"type": "recall", "id": 1},
    {"type": "read", "up_to": 1},
]
by_type = pytest.mark.parametrize("frame", REQUESTS, ids=lambda frame: frame["type"])


def asked(script: Script) -> list[ConversationMessage]:
    return [message for message in script.told if not isinstance(message, Join)]


def fields(message: object) -> dict[str, Any]:
    """What a question says, without what belongs to its asking."""
    names = [a.name for a in getattr(type(message), "__attrs_attrs__", ())]
    return {name: getattr(message, name) for name in names}


@pytest.mark.parametrize(
    ("frame", "kind", "said"),
    [
        ({"type": "stop"}, StopReply, {"id": None}),
        ({"type": "stop", "id": 4}, StopReply, {"id": 4}),
        ({"type": "regenerate", "id": 4}, RegenerateReply, {"id": 4}),
        ({"type": "edit", "id": 4, "message": CHAIN}, EditMessage, {"id": 4, "chain": (Plain("Hi"),)}),
        ({"type": "recall", "id": 4}, RecallMessage, {"id": 4}),
        ({"type": "read", "up_to": 4}, MarkAsRead, {"up_to": 4}),
    ],
)
async def test_what_a_client_wants_is_asked_of_its_conversation(
    house: Opens, frame: dict[str, Any], kind: type[Any], said: dict[str, Any]
) -> None:
    """In its user's name; that it was done is seen by what happens, and is not answered."""
    async with house() as here:
        client = await here.connect()
        assert await client.answers(frame) == []

        (question,) = asked(here.script)
        assert type(question) is kind
        assert fields(question) == {**said, "by": "guest-00000001"}


async def test_a_message_says_all_that_its_frame_does(house: Opens) -> None:
    """Whose ids `client_msg_id` is one of, too."""
    async with house() as here:
        client = await here.connect("guest=0123456789abcdef")
        frame = {
            "message": [{"type": "AtAll"}],
            "stream": False,
            "client_msg_id": "x",
            "reply_to": 3,
            "expires_at": "2026-01-01T13:00:00+01:00",
        }
        await client.answers(frame)

        (question,) = asked(here.script)
        (info,) = here.script.members
        assert fields(question) == {
            "chain": (AtAll(),),
            "sender": info.user,
            "connection_id": info.connection_id,
            "stream": False,
            "scope": info.user.id,
            "client_msg_id": "x",
            "reply_to": 3,
            "expires_at": datetime(2026, 1, 1, 12, tzinfo=UTC),
        }


@pytest.mark.parametrize("duplicate", [False, True])
async def test_a_message_with_a_name_is_acknowledged(house: Opens, duplicate: bool) -> None:
    """With what the conversation said of it."""
    async with house(Script(react=lambda _: Receipt(7, 9, duplicate))) as here:
        client = await here.connect()
        answers = await client.answers({"message": CHAIN, "client_msg_id": "x" * 64})

        ack = {"type": "ack", "client_msg_id": "x" * 64, "id": 7, "seq": 9, "duplicate": duplicate}
        assert answers == [ack]


async def test_a_message_without_a_name_is_not(house: Opens) -> None:
    """There would be nothing to tell which it was."""
    async with house() as here:
        assert await (await here.connect()).answers({"message": CHAIN}) == []


@by_type
@pytest.mark.parametrize("refusal", [Busy, Draining, StoreFailing, Conflict, Expired, NotAllowed])
async def test_a_refusal_is_told_with_the_frame_s_name(
    house: Opens, frame: dict[str, Any], refusal: type[Refusal]
) -> None:
    """A refusal is no ack, and it says whether to try again."""

    def refuse(question: object) -> None:
        raise refusal()

    async with house(Script(react=refuse)) as here:
        client = await here.connect()
        answers = await client.answers({**frame, "client_msg_id": "x"})

        assert answers == [
            {
                "type": "error",
                "message": refusal.text,
                "code": refusal.code,
                "retry": refusal.retry,
                "client_msg_id": "x",
            }
        ]


@by_type
async def test_a_crash_of_the_conversation_is_an_error_to_try_again_after(
    house: Opens, frame: dict[str, Any]
) -> None:
    """Nobody knows whether it was done; the socket lives, and the next frame is taken."""
    crashes = [True]

    def crash(question: object) -> Receipt:
        if crashes:
            crashes.clear()
            raise RuntimeError("boom")
        return Receipt(1, 1)

    async with house(Script(react=crash)) as here:
        client = await here.connect()
        (error,) = await client.answers({**frame, "client_msg_id": "x"})

        assert (error["code"], error["retry"], error["client_msg_id"]) == ("internal", True, "x")
        assert (await client.answers({"message": CHAIN, "client_msg_id": "y"}))[0]["type"] == "ack"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ({"type": "dance", "client_msg_id": "x"}, ("unknown_type", "There is no frame of this type", "x")),
        ({"type": "edit", "id": "4", "client_msg_id": "x"}, ("bad_request", "message is required", "x")),
        ({"type": "recall", "client_msg_id": 5}, ("bad_request", "client_msg_id must be", None)),
        ({"message": CHAIN, "reply_to": True}, ("bad_request", "reply_to must be a whole number", None)),
        ("{", ("bad_request", "Invalid JSON format", None)),
    ],
)
async def test_a_bad_frame_is_told_with_its_name(
    house: Opens, frame: object, error: tuple[str, str, str | None]
) -> None:
    """If it has one that can be told; and the socket lives."""
    async with house() as here:
        (answer,) = await (await here.connect()).answers(frame)

        code, text, name = error
        assert (answer["code"], answer.get("client_msg_id"), answer["retry"]) == (code, name, False)
        assert answer["message"].startswith(text)
        assert asked(here.script) == []


async def test_typing_is_taken_and_told_to_nobody(house: Opens) -> None:
    """Until there is somebody to be told; a client need not know."""
    async with house() as here:
        assert await (await here.connect()).answers({"type": "typing", "active": True}) == []
        assert asked(here.script) == []


async def test_levels_0_and_1_are_as_they_were(house: Opens) -> None:
    """Frames of level 2 are ignored there, and its fields are unknown ones."""
    async with house() as here:
        client = await here.connect(level=1)
        for frame in REQUESTS[1:]:
            assert await client.answers(frame) == []
        odd = {"client_msg_id": 5, "reply_to": "x", "expires_at": []}
        assert await client.answers({"message": CHAIN, **odd}) == []

        (question,) = asked(here.script)
        assert isinstance(question, Say)
        assert (question.client_msg_id, question.reply_to, question.expires_at) == (None, None, None)


async def test_a_socket_is_held_until_its_goodbye_is_said(house: Opens) -> None:
    """The server cuts off what nobody serves any more, and with it what the client has to hear."""

    def stop(question: Any) -> Receipt:
        here.script.members[0].ref.stop(TOO_SLOW)
        return Receipt(1, 1)

    async with house(Script(react=stop)) as here:
        client = await here.open(room=0)
        assert (await client.receive())["type"] == "connected"
        client.send({"type": "message", "message": CHAIN, "client_msg_id": "x"})
        await wait_all_tasks_blocked()
        assert not client.served.is_set()
        frame: dict[str, Any] = {}
        while "closed" not in frame:
            frame = await client.receive()

        assert frame["closed"][0] == 4408
        await client.served.wait()


@pytest.mark.parametrize("many", [1, 40])
async def test_who_is_sent_away_reads_why_whatever_it_is_saying(house: Opens, many: int) -> None:
    """A restart and a client's next frame meet on the way, and it has to learn that it may come again."""
    async with house() as here:
        client = await here.connect()
        here.script.members[0].ref.stop("the server ends")
        for _ in range(many):
            client.send({"type": "ping"})
        await wait_all_tasks_blocked()

        assert (await client.receive())["closed"][0] == 1012
        await client.served.wait()
