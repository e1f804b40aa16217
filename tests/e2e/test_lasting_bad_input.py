"""Whatever a client of level 2 sends: a typed error that names its frame, and a socket that lives."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import trio

from .crowd import Conversation
from .level2 import Level2, entered, is_end, opened
from .running import Triologue, running
from .stepwise import PIPELINES, STEPS

GUEST = "a-guest-with-a-secret"
NAME = "the-frame"
PLAIN = [{"type": "Plain", "text": "text"}]
LARGEST = 2**63 - 1
MESSAGE_SIZE = 8 * 2**20


@pytest.fixture(scope="module")
def triologue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    with running("serve", tmp_path_factory.mktemp("bad"), PIPELINES) as server:
        yield server


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(STEPS, "person", str(uuid.uuid4()))


async def still_works(client: Level2) -> None:
    """The next honest message is taken and answered."""
    answer = await client.post("still here", str(uuid.uuid4()))
    assert answer["type"] == "ack"
    while not (is_end(client.frames[-1]) and client.frames[-1]["data"]["content"] == "still here"):
        await client.receive()


UNKNOWN = [-LARGEST, -1, 0, 10**6, LARGEST]
NO_IDS: list[Any] = [LARGEST + 1, -(2**64), 1.0, 1e30, True, "1", "", [1], {"id": 1}]
WITH_ID = {
    "stop": lambda id_: {"type": "stop", "id": id_},
    "regenerate": lambda id_: {"type": "regenerate", "id": id_},
    "edit": lambda id_: {"type": "edit", "id": id_, "message": PLAIN},
    "recall": lambda id_: {"type": "recall", "id": id_},
    "read": lambda id_: {"type": "read", "up_to": id_},
    "message": lambda id_: {"type": "message", "message": PLAIN, "reply_to": id_},
}


@pytest.mark.parametrize("kind", WITH_ID)
async def test_an_id_that_names_nothing_is_not_found(
    triologue: Triologue, conversation: Conversation, kind: str
) -> None:
    """Below, above, never given out: final, for the same frame will never do."""
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        await client.post("something", "first")
        await client.end_of()
        answers = [await client.request(NAME, **WITH_ID[kind](id_)) for id_ in UNKNOWN]
        await still_works(client)

    errors = [(answer["type"], answer["code"], answer["retry"]) for answer in answers if answer is not None]
    assert errors == [("error", "not_found", False)] * len(UNKNOWN)


@pytest.mark.parametrize("kind", WITH_ID)
async def test_what_can_not_be_an_id_is_a_bad_request(
    triologue: Triologue, conversation: Conversation, kind: str
) -> None:
    """Nothing is coerced, and the client hears which field of which frame it was."""
    field = {"read": "up_to", "message": "reply_to"}.get(kind, "id")
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        answers = [await client.request(NAME, **WITH_ID[kind](value)) for value in NO_IDS]
        await still_works(client)

    assert len(answers) == len(NO_IDS)
    for answer in answers:
        assert answer is not None
        assert (answer["type"], answer["code"], answer["retry"]) == ("error", "bad_request", False)
        assert answer["message"].startswith(f"{field} ")


@pytest.mark.parametrize("kind", ["regenerate", "edit", "recall", "read"])
async def test_an_id_of_another_conversation_is_none_here(
    triologue: Triologue, conversation: Conversation, kind: str
) -> None:
    """Ids are a conversation's own: nobody reaches into another through them."""
    elsewhere = Conversation(STEPS, "person", str(uuid.uuid4()))
    async with (
        entered(conversation.url(triologue, guest=GUEST)) as here,
        entered(elsewhere.url(triologue, guest=GUEST)) as there,
    ):
        for number in range(3):
            last = await there.post("there", str(number))
            await there.end_of()
        refusal = await here.request(NAME, **WITH_ID[kind](last["id"]))
        await there.ping()

    assert refusal is not None
    assert refusal["code"] == "not_found"
    assert there.frames[-1]["type"] == "pong"
    assert not any(frame["type"] in ("edited", "recalled", "read") for frame in there.frames)


BAD_FRAMES: dict[str, tuple[str, str]] = {
    "a lone surrogate": (r'{"type":"message","message":[{"type":"Plain","text":"a\ud800b"}]}', "bad_request"),
    "a surrogate the wrong way": (
        r'{"type":"message","message":[{"type":"Plain","text":"\udc00\ud800"}]}',
        "bad_request",
    ),
    "a surrogate as a name": (
        r'{"type":"message","message":[{"type":"Plain","text":"x"}],"client_msg_id":"\ud800"}',
        "bad_request",
    ),
    "a surrogate as a key": (r'{"type":"ping","\ud800":1}', "bad_request"),
    "NaN": ('{"type":"stop","id":NaN}', "bad_request"),
    "no JSON": ("{", "bad_request"),
    "no object": ("[]", "bad_request"),
    "nothing": ("", "bad_request"),
    "much too deep": ('{"type":"ping","x":' + "[" * 5000 + "]" * 5000 + "}", "bad_request"),
    "a type that is none": ('{"type":7}', "bad_request"),
    "an unknown type": ('{"type":"teleport"}', "unknown_type"),
    "a type with NUL": (r'{"type":"message\u0000"}', "unknown_type"),
    "no message": ('{"type":"message"}', "bad_request"),
    "an empty message": ('{"type":"message","message":[]}', "bad_request"),
    "an edit without a message": ('{"type":"edit","id":1}', "bad_request"),
    "an edit without an id": ('{"type":"edit","message":[{"type":"Plain","text":"x"}]}', "bad_request"),
    "a recall of nothing": ('{"type":"recall"}', "bad_request"),
    "an empty name": (
        '{"type":"message","message":[{"type":"Plain","text":"x"}],"client_msg_id":""}',
        "bad_request",
    ),
    "a number as a name": (
        '{"type":"message","message":[{"type":"Plain","text":"x"}],"client_msg_id":7}',
        "bad_request",
    ),
    "a name of 65": (
        '{"type":"message","message":[{"type":"Plain","text":"x"}],"client_msg_id":"' + "é" * 65 + '"}',
        "bad_request",
    ),
    "an expiry that is none": (
        '{"type":"message","message":[{"type":"Plain","text":"x"}],"expires_at":"tomorrow"}',
        "bad_request",
    ),
    "an expiry that never was": (
        '{"type":"message","message":[{"type":"Plain","text":"x"}],"expires_at":"2026-02-30T00:00:00Z"}',
        "bad_request",
    ),
    "an expiry as a number": (
        '{"type":"message","message":[{"type":"Plain","text":"x"}],"expires_at":1}',
        "bad_request",
    ),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_bad_frame_is_answered_and_nothing_more(
    triologue: Triologue, conversation: Conversation, name: str
) -> None:
    """One error, with a code, for one frame; no message came of it."""
    text, code = BAD_FRAMES[name]
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        await client.socket.send_message(text)
        error = await client.receive()
        await still_works(client)

    assert (error["type"], error["code"], error["retry"]) == ("error", code, False)
    history = await trio.to_thread.run_sync(conversation.history, triologue)
    assert [message["content"] for message in history] == ["still here"] * 2


GOOD_TEXTS = {
    "NUL": "before\x00after",
    "only NUL": "\x00",
    "direction marks": "\u202etxt.exe\u202c \u2066right\u2069 \u200fto left",
    "Hebrew and Arabic": "שלום، مرحبا",
    "joined emoji": "👩‍👩‍👧‍👦 and 🏳️‍🌈",
    "what is no character": "\ufffe\uffff\U0010ffff\ufeff",
    "line ends": "a\r\nb\u2028c\u0085d",
    "combining marks": "Z̴͖̈a̷l̸g̵o" * 50,
    "what looks like SQL": "'; DROP TABLE messages; --",
    "what looks like JSON": '"}],"type":"message"',
}


@pytest.mark.parametrize("name", GOOD_TEXTS)
async def test_any_text_lasts_as_it_was(triologue: Triologue, conversation: Conversation, name: str) -> None:
    """As a body, as a name, in an edit; live, in history and on a resume."""
    text = GOOD_TEXTS[name]
    chain = [{"type": "Plain", "text": text}]
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        start = client.cursor
        ack = await client.post(text, text[:64])
        assert ack["type"] == "ack"
        assert (await client.end_of())["content"] == text
        assert (await client.post(text, text[:64]))["duplicate"] is True
        assert await client.request("e", type="edit", id=ack["id"], message=chain) is None
        edited = next((f for f in client.frames if f["type"] == "edited"), None)
        assert edited is not None
        assert edited["data"]["content"] == text
        async with entered(conversation.url(triologue, cursor=start)) as late:
            told = (await late.until_type("user_message"))["data"]
    history = await trio.to_thread.run_sync(conversation.history, triologue)

    assert (told["content"], told["client_msg_id"]) == (text, text[:64])
    assert [message["content"] for message in history] == [text, text]


async def test_eight_megabytes_of_text_last(triologue: Triologue, conversation: Conversation) -> None:
    """The largest message there may be, twice under one name, in history and on a resume; others go on."""
    frame = {"type": "message", "message": [{"type": "Plain", "text": ""}], "client_msg_id": NAME}
    room = MESSAGE_SIZE - len(json.dumps(frame))
    text = "é" * 1000 + "x" * (room - 7000)
    async with entered(conversation.url(triologue, guest=GUEST), seconds=100) as client:
        start = client.cursor
        first = await client.post(text, NAME, stream=False)
        assert first["type"] == "ack"
        await client.end_of()
        again = await client.post(text, NAME, stream=False)
        assert (again["id"], again["duplicate"]) == (first["id"], True)
        other = await client.post(text[:-1] + "y", NAME, stream=False)
        assert (other["type"], other["code"]) == ("error", "conflict")
        async with entered(conversation.url(triologue, cursor=start), seconds=60) as late:
            assert (await late.until_type("user_message"))["data"]["content"] == text
        await still_works(client)
    history = await trio.to_thread.run_sync(conversation.history, triologue)

    assert history[0]["content"] == text


@pytest.mark.parametrize(
    "bad",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=ten",
        "limit=1.5",
        "limit=",
        "before=x",
        "after=-1",
        "after=1e3",
        "before=\u0661",
        "limit=5&limit=6",
        "before=" + "9" * 30,
    ],
)
async def test_a_stretch_of_history_that_is_none_is_refused(triologue: Triologue, bad: str) -> None:
    """Rather than answered with something else than was meant."""
    path = f"/api/v1/pipelines/{STEPS}/ws/messages/person?{quote(bad, safe='=&')}"
    status, answer = await trio.to_thread.run_sync(triologue.json, "GET", path)

    assert (status, answer["error"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "query",
    [
        "stream=both",
        "stream=",
        "guest=short",
        "guest=" + "x" * 65,
        "guest=with%20a%20blank%20in%20it%20somewhere",
    ],
)
async def test_an_opening_that_asks_for_what_is_none_is_closed_4400(triologue: Triologue, query: str) -> None:
    """Told why on an open socket, where a browser can see it."""
    with trio.fail_after(30):
        async with opened(triologue.socket_url(STEPS, query)) as client:
            frames, code, _ = await client.until_farewell()

    assert [(frame["type"], frame["code"]) for frame in frames] == [("error", "bad_request")]
    assert code == 4400
