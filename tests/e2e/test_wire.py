"""Every row of levels 0 and 1 of `protocol.md`, on real sockets against a real process."""

from __future__ import annotations

import re
import uuid
from contextlib import closing
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any

import pytest
import trio

from .client import connect, is_final, refused
from .running import ECHO, OTHER, SCRIPT, SLOW, Triologue

pytestmark = pytest.mark.usefixtures("path")

BAD_SESSION_ID = "session_id must be 1 to 64 characters of A-Z a-z 0-9 . _ : -"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def plain(text: str) -> list[dict[str, Any]]:
    return [{"type": "Plain", "text": text}]


async def test_connected_comes_first_and_names_the_socket(triologue: Triologue) -> None:
    """A client learns its connection's id, and the pipeline and session it got."""
    async with connect(triologue.socket_url(ECHO, "session_type=group")) as client:
        frame = client.connected

    assert uuid.UUID(frame["connection_id"]).version == 4
    assert frame["pipeline_uuid"] == ECHO
    assert frame["session_type"] == "group"
    assert frame["session_id"] == "default"
    assert frame["resumed"] is False
    assert frame["max_message_size"] == 8 * 2**20
    assert TIMESTAMP.fullmatch(frame["timestamp"])


async def test_the_session_type_is_person_unless_said(triologue: Triologue) -> None:
    """The document's default."""
    async with connect(triologue.socket_url(ECHO)) as client:
        assert client.connected["session_type"] == "person"


async def test_a_message_is_shown_and_its_reply_streams_in(triologue: Triologue, session: str) -> None:
    """The main job: one id and timestamp through the reply, content that grows, one final frame, last."""
    async with connect(triologue.socket_url(SLOW, session)) as client:
        await client.say("one two three four")
        posted, *responses = await client.until_final()

    assert posted["type"] == "user_message"
    assert posted["session_type"] == "person"
    user = posted["data"]
    assert user["role"] == "user"
    assert user["content"] == "one two three four"
    assert user["message_chain"] == plain("one two three four")
    assert user["connection_id"] == client.connected["connection_id"]
    assert TIMESTAMP.fullmatch(user["timestamp"])
    assert all(frame["type"] == "response" and frame["session_type"] == "person" for frame in responses)
    replies = [frame["data"] for frame in responses]
    assert len(replies) > 2
    assert len({(reply["id"], reply["timestamp"]) for reply in replies}) == 1
    assert replies[0]["id"] == user["id"] + 1
    assert [reply["is_final"] for reply in replies] == [False] * (len(replies) - 1) + [True]
    contents = [reply["content"] for reply in replies]
    assert all(later.startswith(earlier) for earlier, later in pairwise(contents))
    assert contents[-1] == "one two three four"
    for reply in replies:
        assert reply["role"] == "assistant"
        assert reply["message_chain"] == plain(reply["content"])
        assert reply["connection_id"] == client.connected["connection_id"]


async def test_a_missing_type_means_message(triologue: Triologue, session: str) -> None:
    """LangBot's first client leaves it out."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.send({"message": plain("hi"), "unknown": 1})
        assert (await client.until_final())[-1]["data"]["content"] == "hi"


async def test_without_stream_the_reply_is_one_final_response_for_all(
    triologue: Triologue, session: str
) -> None:
    """`stream: false` decides for its own reply only, whoever gets it."""
    url = triologue.socket_url(SLOW, session)
    async with connect(url) as asking, connect(url) as listening:
        await asking.say("one two three", stream=False)
        for client in (asking, listening):
            frames = await client.until_final()
            assert [frame["type"] for frame in frames] == ["user_message", "response"]
        await asking.say("one two three", stream=True)
        assert len(await asking.until_final()) > 2


async def test_ping_is_answered_with_pong(triologue: Triologue) -> None:
    """The document's heartbeat."""
    async with connect(triologue.socket_url(ECHO)) as client:
        await client.send({"type": "ping"})
        pong = await client.receive()

    assert pong["type"] == "pong"
    assert TIMESTAMP.fullmatch(pong["timestamp"])


async def test_every_ping_of_a_burst_is_answered(triologue: Triologue) -> None:
    """A client that sends much at once is slowed down, not cut off."""
    async with connect(triologue.socket_url(ECHO)) as client:
        for _ in range(1000):
            await client.send({"type": "ping"})
        for _ in range(1000):
            assert (await client.receive())["type"] == "pong"


async def test_disconnect_closes_normally(triologue: Triologue) -> None:
    """1000: the client asked for it."""
    async with connect(triologue.socket_url(ECHO)) as client:
        await client.send({"type": "disconnect"})
        assert await client.until_closed() == ([], 1000)


async def test_authenticate_is_tolerated_at_any_time(triologue: Triologue, session: str) -> None:
    """Today's dashboard sends it first, with whatever token it has."""
    async with refused(triologue.socket_url(ECHO, session)) as client:
        await client.send({"type": "authenticate", "token": "whatever", "workspace_uuid": "x"})
        assert (await client.receive())["type"] == "connected"
        await client.send({"type": "authenticate", "token": 5})
        await client.say("hi")
        assert (await client.until_final())[0]["type"] == "user_message"


async def test_a_foreign_bearer_token_is_ignored(triologue: Triologue) -> None:
    """Anonymous access is allowed: credentials for something else don't matter."""
    async with connect(triologue.socket_url(ECHO), headers=[("Authorization", "Bearer nonsense")]) as client:
        await client.ping()


async def test_a_type_that_is_not_known_is_ignored(triologue: Triologue) -> None:
    """Levels 0 and 1: a newer client is not told off."""
    async with connect(triologue.socket_url(ECHO)) as client:
        await client.send({"type": "typing", "active": True})
        await client.send({"type": "ping"})
        assert (await client.receive())["type"] == "pong"


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("{", "Invalid JSON format"),
        ("", "Invalid JSON format"),
        ("[" * 5000 + "]" * 5000, "Invalid JSON format"),
        ('{"message":' + "[" * 40 + "]" * 40 + "}", "Invalid JSON format"),
        ('{"type":"ping","x":NaN}', "Invalid JSON format"),
        ('{"type":"ping","x":1e999}', "Invalid JSON format"),
        ('{"type":"ping","x":"\\ud800"}', "Invalid JSON format"),
        ("[]", "A frame must be a JSON object"),
        ("null", "A frame must be a JSON object"),
        ('{"type":"message"}', "message is required"),
        ('{"type":"message","message":[]}', "message is required"),
        ('{"type":"message","message":"hi"}', "message must be a list of components"),
        ('{"type":"message","message":[{"type":"Plain","text":5}]}', "message[0].text must be a string"),
        ('{"type":"message","message":[{"type":"Plain"}]}', "message[0].text is missing"),
        ('{"type":"message","message":[7]}', "message[0] must be an object"),
        ('{"type":"message","message":[{"type":"AtAll"}],"stream":"no"}', "stream must be true or false"),
        ('{"type":7}', "type must be a string"),
    ],
)
async def test_a_bad_frame_is_named_and_the_socket_lives(triologue: Triologue, frame: str, text: str) -> None:
    """The client is told what is wrong with its own frame, and goes on."""
    async with connect(triologue.socket_url(ECHO)) as client:
        await client.socket.send_message(frame)
        error = await client.receive()
        await client.ping()

    assert error == {"type": "error", "message": text, "code": "bad_request", "retry": False}


async def test_a_binary_frame_is_refused_and_the_socket_lives(triologue: Triologue) -> None:
    """All frames are text; an empty binary one is no exception."""
    async with connect(triologue.socket_url(ECHO)) as client:
        for frame in (b"", b"\x00\xff", b'{"type":"ping"}'):
            await client.socket.send_message(frame)
            error = await client.receive()
            assert (error["type"], error["code"]) == ("error", "bad_request")
        await client.ping()


@pytest.mark.parametrize(
    ("pipeline", "query", "text", "code"),
    [
        (str(uuid.uuid4()), "", "Pipeline not found", 4404),
        ("no-uuid", "", "Pipeline not found", 4404),
        ("no%2Fuuid", "", "Pipeline not found", 4404),
        (str(uuid.uuid4()), "session_type=crowd", "Pipeline not found", 4404),
        (ECHO, "session_type=crowd", "session_type must be person or group", 4400),
        (ECHO, "session_type=", "session_type must be person or group", 4400),
        (ECHO, "session_id=", BAD_SESSION_ID, 4400),
        (ECHO, "session_id=a%20b", BAD_SESSION_ID, 4400),
        (
            ECHO,
            "session_id=" + "x" * 65,
            BAD_SESSION_ID,
            4400,
        ),
    ],
)
async def test_a_bad_address_is_named_before_the_close(
    triologue: Triologue, pipeline: str, query: str, text: str, code: int
) -> None:
    """A browser sees neither an HTTP status nor a reason, so an error frame says it first."""
    with trio.fail_after(10):
        async with refused(triologue.socket_url(pipeline, query)) as client:
            frames, closed = await client.until_closed()

    assert [(frame["type"], frame["message"]) for frame in frames] == [("error", text)]
    assert closed == code


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "x"])
async def test_a_foreign_page_gets_no_socket(triologue: Triologue, origin: str) -> None:
    """Browsers send their page's origin with a WebSocket and leave the judgement to the server."""
    with trio.fail_after(10):
        async with refused(triologue.socket_url(ECHO), headers=[("Origin", origin)]) as client:
            frames, closed = await client.until_closed()

    assert [frame["code"] for frame in frames] == ["forbidden"]
    assert closed == 4403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:5173"])
async def test_a_loopback_page_may_connect_while_bound_to_loopback(triologue: Triologue, origin: str) -> None:
    """A developer's own page, from whatever port."""
    async with connect(triologue.socket_url(ECHO), headers=[("Origin", origin)]) as client:
        await client.ping()


async def test_session_types_are_isolated_from_each_other(triologue: Triologue) -> None:
    """The document's promise: person and group share nothing."""
    name = f"session_id={uuid.uuid4()}"
    person_url = triologue.socket_url(ECHO, f"session_type=person&{name}")
    group_url = triologue.socket_url(ECHO, f"session_type=group&{name}")
    async with connect(person_url) as person, connect(group_url) as group:
        await person.say("private")
        await person.until_final()
        await group.say("public")
        frames = await group.until_final()

    assert frames[0]["data"]["id"] == 1
    assert "private" not in str(frames)
    assert {frame["session_type"] for frame in frames} == {"group"}


async def test_pipelines_and_session_ids_are_isolated_from_each_other(triologue: Triologue) -> None:
    """The same session id at another pipeline is another conversation, and so is another id."""
    here, there = uuid.uuid4(), uuid.uuid4()
    async with (
        connect(triologue.socket_url(ECHO, f"session_id={here}")) as first,
        connect(triologue.socket_url(SCRIPT, f"session_id={here}")) as second,
        connect(triologue.socket_url(ECHO, f"session_id={there}")) as third,
    ):
        await first.say("secret")
        await first.until_final()
        for other in (second, third):
            await other.send({"type": "ping"})
            assert (await other.receive())["type"] == "pong"


async def test_a_group_hears_what_its_members_say_and_what_is_answered(
    triologue: Triologue, session: str
) -> None:
    """Several people share a group; the reply belongs to the one who asked."""
    url = triologue.socket_url(ECHO, f"session_type=group&{session}")
    async with connect(url) as alice, connect(url) as bob:
        await alice.say("hello bob")
        heard = [await client.until_final() for client in (alice, bob)]

    assert heard[0][0] == heard[1][0]
    assert heard[0][-1] == heard[1][-1]
    assert heard[1][-1]["data"]["connection_id"] == alice.connected["connection_id"]


async def test_a_broadcast_reaches_every_socket_of_its_pipeline(triologue: Triologue) -> None:
    """Both session types, every session id, and no other pipeline."""
    async with (
        connect(triologue.socket_url(OTHER, "session_type=person&session_id=a")) as person,
        connect(triologue.socket_url(OTHER, "session_type=group&session_id=b")) as group,
        connect(triologue.socket_url(ECHO)) as elsewhere,
    ):
        status, answer = await trio.to_thread.run_sync(
            lambda: triologue.json(
                "POST", f"/api/v1/pipelines/{OTHER}/ws/broadcast", {"message": "all hands"}
            )
        )
        frames = [await person.receive(), await group.receive()]
        await elsewhere.send({"type": "ping"})
        assert (await elsewhere.receive())["type"] == "pong"

    assert (status, answer["data"]) == (200, {"message": "Broadcast sent successfully"})
    for frame in frames:
        assert TIMESTAMP.fullmatch(frame.pop("timestamp"))
        assert frame == {"type": "broadcast", "message": "all hands"}


async def test_inline_images_are_passed_on_and_blanked_in_history(triologue: Triologue, session: str) -> None:
    """LangBot's widget sends images inline: everybody sees them, nobody stores them."""
    data = "data:image/png;base64," + "A" * 3_000_000
    chain = [{"type": "Plain", "text": "look "}, {"type": "Image", "base64": data}]
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.send({"type": "message", "message": chain})
        posted = (await client.until_final())[0]["data"]
        _, answer = await trio.to_thread.run_sync(
            lambda: triologue.json("GET", f"/api/v1/pipelines/{ECHO}/ws/messages/person?{session}")
        )

    assert posted["message_chain"] == chain
    assert posted["content"] == "look [Image]"
    kept = answer["data"]["messages"][0]  # type: ignore[index]
    assert kept["message_chain"] == [chain[0], {"type": "Image", "base64": ""}]


async def test_an_unknown_component_is_kept_as_unknown(triologue: Triologue, session: str) -> None:
    """A newer client's component is named, and its other fields are dropped."""
    async with connect(triologue.socket_url(ECHO, session)) as client:
        await client.send({"type": "message", "message": [{"type": "Hologram", "x": 1}]})
        posted = (await client.until(is_final))[0]["data"]

    assert posted["message_chain"] == [{"type": "Unknown", "text": "Unknown component type: Hologram"}]


async def test_a_message_too_big_closes_with_1009(triologue: Triologue) -> None:
    """Over 8 MB nothing is buffered, and the client learns why."""
    with trio.fail_after(30):
        async with connect(triologue.socket_url(ECHO)) as client:
            try:
                await client.say("x" * (9 * 2**20))
            finally:
                _, code = await client.until_closed()
    assert code == 1009


def test_an_unknown_socket_address_is_not_found(triologue: Triologue) -> None:
    """No pipeline's address at all: the handshake itself is refused."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection = HTTPConnection("127.0.0.1", triologue.port, timeout=10)
    with closing(connection):
        connection.request("GET", f"/api/v1/pipelines/{ECHO}/ws/elsewhere", headers=handshake)
        assert connection.getresponse().status == 404
