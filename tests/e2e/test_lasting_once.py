"""P3: a retried `client_msg_id` is one message with one `seq`, wherever the socket was cut before."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from .client import connect
from .crowd import Conversation
from .level2 import LOST, Level2, entered
from .running import ECHO, SCRIPT, Triologue, running

GUEST = "a-guest-with-a-secret"
STEPS = (
    "before it is sent",
    "in the middle of the frame",
    "after it is sent",
    "after it was seen",
    "after the ack",
    "after the answer began",
    "after the answer",
)


@pytest.fixture(scope="module")
def triologue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    with running("serve", tmp_path_factory.mktemp("once")) as server:
        yield server


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(ECHO, "group", str(uuid.uuid4()))


async def history_of(conversation: Conversation, server: Triologue) -> list[dict[str, Any]]:
    return await trio.to_thread.run_sync(conversation.history, server)


async def go_as_far_as(step: str, client: Level2, frame: dict[str, Any]) -> None:
    """Send *frame*, or some of it, and read as far as *step*."""
    match STEPS.index(step):
        case 0:
            return
        case 1:
            await client.send_half(frame)
            return
    await client.send(frame)
    match STEPS.index(step):
        case 3:
            await client.until_type("user_message")
        case 4:
            await client.until_type("ack")
        case 5:
            await client.until_type("response")
        case 6:
            await client.end_of()


def frame_of(text: str, name: str, **more: Any) -> dict[str, Any]:
    chain = [{"type": "Plain", "text": text}]
    return {"type": "message", "message": chain, "client_msg_id": name, **more}


@pytest.mark.parametrize("cut", ["reset", "close", "goodbye"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_retry_makes_no_second_message_wherever_the_socket_was_cut(
    triologue: Triologue, conversation: Conversation, step: str, cut: str
) -> None:
    """The sender can't know whether it arrived; whoever watches sees it once."""
    url = conversation.url(triologue, guest=GUEST)
    text = "to be said just once " + "." * 200
    async with entered(conversation.url(triologue)) as witness:
        async with entered(url) as client:
            await go_as_far_as(step, client, frame_of(text, "the-one"))
            seen = {(f["id"], f["seq"]) for f in client.frames if f["type"] == "ack"}
            match cut:
                case "reset":
                    await client.tear()
                case "goodbye":
                    await client.socket.aclose()
        for attempt in range(3):
            async with entered(url) as client:
                ack = await client.post(text, "the-one")
            assert ack["type"] == "ack"
            seen.add((ack["id"], ack["seq"]))
            assert ack["duplicate"] or (attempt == 0 and STEPS.index(step) < 3)
        await witness.end_of()
        await witness.ping()

    messages = await history_of(conversation, triologue)
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert seen == {(messages[0]["id"], messages[0]["seq"])}
    assert [f["data"]["id"] for f in witness.frames if f["type"] == "user_message"] == [messages[0]["id"]]


async def test_retries_that_race_each_other_make_one_message(
    triologue: Triologue, conversation: Conversation
) -> None:
    """Ten sockets of one guest send the same at once: one is first, all hear of the same place."""
    acks: list[tuple[int, int, bool]] = []

    async def post() -> None:
        async with entered(conversation.url(triologue, guest=GUEST)) as client:
            ack = await client.post("all at once", "race")
            acks.append((ack["id"], ack["seq"], ack["duplicate"]))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(post)

    assert len({(id_, seq) for id_, seq, _ in acks}) == 1
    assert sorted(duplicate for _, _, duplicate in acks) == [False, *[True] * 9]
    assert [m["role"] for m in await history_of(conversation, triologue) if m["role"] == "user"] == ["user"]


DIFFERENT: dict[str, dict[str, Any]] = {
    "another text": {"message": [{"type": "Plain", "text": "another"}]},
    "a trailing space": {"message": [{"type": "Plain", "text": "first "}]},
    "another component": {"message": [{"type": "Unknown", "text": "first"}]},
    "in two parts": {"message": [{"type": "Plain", "text": "fir"}, {"type": "Plain", "text": "st"}]},
    "another picture": {"message": [{"type": "Plain", "text": "first"}, {"type": "Image", "base64": "AAAA"}]},
    "a quote": {"reply_to": 1},
}


@pytest.mark.parametrize("difference", DIFFERENT)
async def test_another_body_under_the_same_name_is_a_conflict(
    triologue: Triologue, conversation: Conversation, difference: str
) -> None:
    """Never a false ack: what the second one said was not stored."""
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        first = await client.post("first", "name")
        await client.send({**frame_of("first", "name"), **DIFFERENT[difference]})
        error = await client.answer_to("name")
        again = await client.post("first", "name")

    assert (error["type"], error["code"], error["retry"]) == ("error", "conflict", False)
    assert (again["id"], again["seq"], again["duplicate"]) == (first["id"], first["seq"], True)
    assert [m["content"] for m in await history_of(conversation, triologue) if m["role"] == "user"] == [
        "first"
    ]


async def test_a_name_is_one_guests_own(triologue: Triologue, conversation: Conversation) -> None:
    """Whatever others call their messages, they are theirs; so are those in other conversations."""
    elsewhere = Conversation(ECHO, "person", conversation.session_id)
    places = []
    for where, guest in ((conversation, "one"), (conversation, "two"), (elsewhere, "one")):
        async with entered(where.url(triologue, guest=f"guest-called-{guest}-and-no-other")) as client:
            ack = await client.post(f"by {guest}", "name")
            places.append((ack["type"], ack["duplicate"]))

    assert places == [("ack", False)] * 3


@pytest.mark.parametrize("forget", ["reset", "recall"])
async def test_a_name_outlives_its_message(
    triologue: Triologue, conversation: Conversation, forget: str
) -> None:
    """A retry that was long under way must not bring back what was forgotten."""
    path = f"/api/v1/pipelines/{ECHO}/ws/reset/group?session_id={conversation.session_id}"
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        first = await client.post("forget me", "name")
        await client.end_of()
        if forget == "reset":
            await trio.to_thread.run_sync(partial(triologue.json, "POST", path))
            await client.until_type("reset")
        else:
            assert await client.request("r", type="recall", id=first["id"]) is None
        again = await client.post("forget me", "name")
        await client.ping()

    assert (again["id"], again["seq"], again["duplicate"]) == (first["id"], first["seq"], True)
    contents = [m["content"] for m in await history_of(conversation, triologue) if m["role"] == "user"]
    assert contents == []


@pytest.mark.parametrize("end", ["kill", "terminate"])
async def test_a_name_outlives_the_process(tmp_path: Path, end: str) -> None:
    """The same ack, and the same conflict, from the next one."""
    conversation = Conversation(ECHO, "person", "outlives")
    with running("serve", tmp_path) as server:
        async with entered(conversation.url(server, guest=GUEST)) as client:
            first = await client.post("first", "name")
        await end_it(server, end)
    with running("serve", tmp_path) as server:
        async with entered(conversation.url(server, guest=GUEST)) as client:
            again = await client.post("first", "name")
            other = await client.post("second", "name")

    assert (again["id"], again["seq"], again["duplicate"]) == (first["id"], first["seq"], True)
    assert (other["type"], other["code"]) == ("error", "conflict")


async def end_it(server: Triologue, end: str) -> None:
    if end == "kill":
        await trio.to_thread.run_sync(server.kill)
    else:
        server.terminate()
        assert await trio.to_thread.run_sync(server.wait_exit) == 0


async def test_a_message_that_comes_too_late_is_refused(
    triologue: Triologue, conversation: Conversation
) -> None:
    """`expires_at` is in the sender's hands; what was stored in time stays stored, however late its retry."""
    now = datetime.now(UTC)
    past, future = ((now + timedelta(seconds=seconds)).isoformat() for seconds in (-1, 3600))
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        late = await client.post("late", "late", expires_at=past)
        in_time = await client.post("in time", "in-time", expires_at=future)
        again = await client.post("in time", "in-time", expires_at=past)

    assert (late["type"], late["code"], late["retry"]) == ("error", "expired", False)
    assert (in_time["type"], in_time["duplicate"]) == ("ack", False)
    assert (again["type"], again["duplicate"]) == ("ack", True)
    texts = [m["content"] for m in await history_of(conversation, triologue) if m["role"] == "user"]
    assert texts == ["in time"]


async def test_a_retry_is_answered_while_the_conversation_is_busy(
    triologue: Triologue, tmp_path: Path
) -> None:
    """What is stored already takes no place in the queue."""
    gate = tmp_path / "gate"
    conversation = Conversation(SCRIPT, "person", "busy")
    async with entered(conversation.url(triologue, guest=GUEST)) as client:
        await client.post(f"gate {gate}", "gate")
        answers = [await client.post(f"say {n}", f"say-{n}") for n in range(18)]
        refused = [answer for answer in answers if answer["type"] == "error"]
        again = await client.post("say 3", "say-3")
        gate.touch()

    assert refused
    assert {(error["code"], error["retry"]) for error in refused} == {("busy", True)}
    assert (again["type"], again["id"], again["duplicate"]) == ("ack", answers[3]["id"], True)


async def test_clients_of_the_document_hear_no_ack(triologue: Triologue, conversation: Conversation) -> None:
    """Without the subprotocol the name is an unknown field: ignored, twice is two."""
    async with connect(conversation.url(triologue)) as client:
        for _ in range(2):
            await client.send(frame_of("twice", "name"))
            frames = await client.until_final()
            assert {frame["type"] for frame in frames} <= {"user_message", "response"}

    texts = [m["content"] for m in await history_of(conversation, triologue) if m["role"] == "user"]
    assert texts == ["twice", "twice"]


def test_what_a_lost_connection_looks_like_is_no_failed_assertion() -> None:
    """The crowd goes on over `LOST`; it must not hide that something is wrong."""
    assert not any(issubclass(kind, AssertionError | trio.TooSlowError) for kind in LOST)
