"""A running reply outlives its socket; who may stop, ask again, edit and recall, and that all of it lasts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from .client import Frame, connect
from .crowd import Conversation
from .level2 import chunks, entered, is_end, seq_of
from .recorder import Replies
from .running import Triologue, running
from .stepwise import BRIEF, HASTY, PATIENT, PIPELINES, STEPS, Steps, word, words

ALICE = "alice-who-has-a-secret"
BOB = "bob-who-has-another-one"


@pytest.fixture(scope="module")
def triologue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triologue]:
    with running("serve", tmp_path_factory.mktemp("replies"), PIPELINES) as server:
        yield server


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path / "steps", 6)


def somewhere(pipeline: str = STEPS, session_type: str = "group") -> Conversation:
    return Conversation(pipeline, session_type, str(uuid.uuid4()))


async def history_of(conversation: Conversation, server: Triologue) -> list[dict[str, Any]]:
    return await trio.to_thread.run_sync(conversation.history, server)


def says(text: str) -> Callable[[Frame], bool]:
    """Whether a frame is a reply, cumulative, that has come so far."""
    return lambda frame: frame["type"] == "response" and frame["data"].get("content") == text


# -- a reply outlives its socket


@pytest.mark.parametrize("stream", ["cumulative", "delta"])
@pytest.mark.parametrize("guest", [ALICE, BOB])
@pytest.mark.parametrize("resumes", [True, False])
async def test_a_running_reply_is_there_for_whoever_comes(
    triologue: Triologue, steps: Steps, stream: str, guest: str, resumes: bool
) -> None:
    """As it stands, then the rest as it comes: for the asker, from another device, with a cursor or not."""
    where = somewhere()
    async with entered(where.url(triologue, guest=ALICE, stream=stream)) as asker:
        ack = await asker.post(steps.order, "q")
        steps.go(0, 1)
        await asker.until_said(words(2))
        cursor = asker.cursor
        await asker.tear()
    url = where.url(triologue, guest=guest, stream=stream, cursor=cursor if resumes else None)
    async with entered(url) as back:
        assert back.connected["resumed"] is resumes
        first = await back.receive()
        steps.go(2, 3)
        await back.until_said(words(4))
        steps.finish()
        end = await back.end_of()

    so_far = first["data"]["delta"] if stream == "delta" else first["data"]["content"]
    assert so_far == words(2)
    assert stream == "cumulative" or first["data"]["offset"] == 0
    assert (end["content"], end["finish_reason"]) == (steps.whole, "stop")
    assert end["id"] == ack["id"] + 1
    laws = Replies()
    assert [laws.complaint(frame) for frame in back.frames] == [None] * len(back.frames)


@pytest.mark.parametrize("stream", ["cumulative", "delta"])
async def test_a_reply_that_ended_meanwhile_is_there_once(
    triologue: Triologue, steps: Steps, stream: str
) -> None:
    """Whoever comes back after its end gets its end alone, whole."""
    where = somewhere()
    async with entered(where.url(triologue)) as witness:
        async with entered(where.url(triologue, stream=stream)) as asker:
            await asker.post(steps.order, "q")
            steps.go(0)
            await asker.until_said(words(1))
            cursor = asker.cursor
        steps.finish()
        end = await witness.end_of()
        async with entered(where.url(triologue, stream=stream, cursor=cursor)) as back:
            frame = await back.receive()
            await back.ping()

    assert is_end(frame)
    assert (frame["data"]["content"], frame["data"]["seq"]) == (end["content"], end["seq"])
    assert [f["type"] for f in back.frames] == ["connected", "response", "pong"]
    if stream == "delta":
        assert (frame["data"]["delta"], frame["data"]["offset"]) == (end["content"], 0)


async def test_both_dialects_and_the_document_in_one_conversation(triologue: Triologue, steps: Steps) -> None:
    """Each reads the reply as it asked for, to the same end; the first chunk is the whole beginning."""
    where = somewhere()
    async with (
        entered(where.url(triologue, stream="delta")) as delta,
        entered(where.url(triologue, stream="cumulative")) as cumulative,
        connect(where.url(triologue)) as document,
    ):
        await delta.post(steps.order, "q")
        seen: list[Frame] = []
        for step in range(steps.number - 1):
            steps.go(step)
            await delta.until_said(words(step + 1))
            await cumulative.until(says(words(step + 1)))
            seen += await document.until(says(words(step + 1)))
        steps.finish()
        ends = [dict(await delta.end_of()), dict(await cumulative.end_of())]
        seen += await document.until_final()

    parts = [dict(data) for data in chunks(delta.frames)]
    assert "".join(data["delta"] for data in parts) == steps.whole
    assert [data["offset"] for data in parts[: steps.number]] == [len(words(n)) for n in range(steps.number)]
    assert all(set(data) == {"id", "delta", "offset"} for data in parts[:-1])
    assert [end.pop("delta", None) for end in ends] == [parts[-1]["delta"], None]
    assert [end.pop("offset", None) for end in ends] == [parts[-1]["offset"], None]
    assert ends[0] == ends[1] == seen[-1]["data"]
    assert {frame["type"] for frame in seen} == {"user_message", "response"}


async def test_a_reply_that_is_not_streamed_comes_whole(triologue: Triologue, steps: Steps) -> None:
    """`stream: false` is the asker's wish; whoever comes in the middle sees nothing of it before its end."""
    where = somewhere()
    async with entered(where.url(triologue)) as asker:
        await asker.post(steps.order, "q", stream=False)
        steps.go(0, 1)
        async with entered(where.url(triologue, stream="delta")) as other:
            await other.ping()
            steps.finish()
            end = await other.end_of()

    assert [f["type"] for f in other.frames] == ["connected", "pong", "response"]
    assert (end["content"], end["delta"], end["offset"]) == (steps.whole, steps.whole, 0)


# -- nobody listens


@pytest.mark.parametrize("pipeline", [HASTY, BRIEF])
async def test_a_reply_to_nobody_is_stopped_where_the_pipeline_says_so(
    triologue: Triologue, steps: Steps, pipeline: str
) -> None:
    """At once, or after its grace; the upstream hears of it, and what was said stays."""
    where = somewhere(pipeline)
    async with entered(where.url(triologue)) as asker:
        await asker.post(steps.order, "q")
        steps.go(0)
        await asker.until_said(words(1))
    with trio.fail_after(30):
        await steps.wait_cut()
    async with entered(where.url(triologue, cursor=asker.cursor)) as back:
        end = await back.end_of()

    assert (end["content"], end["finish_reason"]) == (words(1), "stopped")


async def test_a_reply_waits_for_its_asker_as_long_as_its_grace(triologue: Triologue, steps: Steps) -> None:
    """Who comes back in time finds it running."""
    where = somewhere(PATIENT)
    async with entered(where.url(triologue)) as asker:
        await asker.post(steps.order, "q")
        steps.go(0)
        await asker.until_said(words(1))
    async with entered(where.url(triologue, cursor=asker.cursor)) as back:
        steps.finish()
        end = await back.end_of()

    assert (end["content"], end["finish_reason"]) == (steps.whole, "stop")


async def test_one_listener_is_enough_for_a_reply(triologue: Triologue, steps: Steps) -> None:
    """The asker leaves, somebody else stays: it goes on."""
    where = somewhere(HASTY)
    async with entered(where.url(triologue)) as staying:
        async with entered(where.url(triologue)) as asker:
            await asker.post(steps.order, "q")
            steps.go(0)
            await asker.until_said(words(1))
        steps.go(1)
        await staying.until_said(words(2))
        steps.finish()
        assert (await staying.end_of())["finish_reason"] == "stop"


# -- stop


@pytest.mark.parametrize(
    ("session_type", "who", "allowed"),
    [("person", ALICE, True), ("person", BOB, True), ("group", ALICE, True), ("group", BOB, False)],
)
@pytest.mark.parametrize("named", [True, False])
async def test_a_reply_is_stopped_by_the_right_person(
    triologue: Triologue, steps: Steps, session_type: str, who: str, allowed: bool, named: bool
) -> None:
    """In a group who asked, in a person's conversation anybody in it; the upstream hears of it at once."""
    where = somewhere(session_type=session_type)
    async with (
        entered(where.url(triologue, guest=ALICE)) as asker,
        entered(where.url(triologue, guest=who)) as other,
    ):
        await asker.post(steps.order, "q")
        steps.go(0)
        await other.until_said(words(1))
        reply = chunks(other.frames)[0]["id"]
        refusal = await other.request("s", type="stop", **({"id": reply} if named else {}))
        if not allowed:
            assert refusal is not None
            assert (refusal["code"], refusal["retry"]) == ("forbidden", False)
            steps.finish()
        else:
            assert refusal is None
            await steps.wait_cut()
        end = await asker.end_of()

    assert end["finish_reason"] == ("stopped" if allowed else "stop")
    assert end["content"] == (words(1) if allowed else steps.whole)
    stored = (await history_of(where, triologue))[-1]
    assert (stored["id"], stored["content"], stored["finish_reason"]) == (
        reply,
        end["content"],
        end["finish_reason"],
    )


async def test_there_is_nothing_to_stop(triologue: Triologue, steps: Steps) -> None:
    """Neither before, nor after, nor under another id: a typed error, and the running reply goes on."""
    where = somewhere()
    async with entered(where.url(triologue)) as client:
        before = await client.request("a", type="stop")
        await client.post(steps.order, "q")
        steps.go(0)
        await client.until_said(words(1))
        other = await client.request("b", type="stop", id=1)
        steps.finish()
        assert (await client.end_of())["finish_reason"] == "stop"
        after = await client.request("c", type="stop", id=2)

    for error in (before, other, after):
        assert error is not None
        assert (error["code"], error["retry"]) == ("not_found", False)


async def test_what_waits_behind_a_stopped_reply_is_answered(triologue: Triologue, steps: Steps) -> None:
    """A stop ends one reply, not the conversation."""
    where = somewhere()
    async with entered(where.url(triologue)) as client:
        await client.post(steps.order, "q")
        await client.post("and then?", "next")
        steps.go(0)
        await client.until_said(words(1))
        assert await client.request("s", type="stop") is None
        ends = [f["data"] for f in client.frames if is_end(f)]
        while len(ends) < 2:
            ends.append(await client.end_of())

    assert [(e["content"], e["finish_reason"]) for e in ends] == [
        (words(1), "stopped"),
        ("and then?", "stop"),
    ]


# -- regenerate


async def test_an_answer_that_is_given_again_leaves_the_earlier_one_as_an_alternative(
    triologue: Triologue,
) -> None:
    """History shows the newest; asked for, all. Levels 0 and 1 simply see one more answer."""
    where = somewhere(session_type="person")
    async with entered(where.url(triologue)) as client, connect(where.url(triologue)) as document:
        ack = await client.post("say it again", "q")
        first = await client.end_of()
        assert await client.request("r", type="regenerate", id=ack["id"]) is None
        second = next((f["data"] for f in client.frames[::-1] if is_end(f) and f["data"] != first), None)
        second = second or await client.end_of()
        for _ in range(2):
            await document.until_final()

    assert "alternative_of" not in first
    assert second["alternative_of"] == first["id"]
    assert second["id"] > first["id"]
    shown = await history_of(where, triologue)
    assert [m["id"] for m in shown] == [ack["id"], second["id"]]
    path = f"/api/v1/pipelines/{STEPS}/ws/messages/person?session_id={where.session_id}&alternatives=true"
    _, answer = await trio.to_thread.run_sync(triologue.json, "GET", path)
    everything: Any = answer["data"]
    assert [m["id"] for m in everything["messages"]] == [ack["id"], first["id"], second["id"]]


async def test_what_can_not_be_asked_again(triologue: Triologue, steps: Steps) -> None:
    """Unknown ids, an answer, a recalled message, another's in a group, and anything while a reply runs."""
    where = somewhere()
    async with (
        entered(where.url(triologue, guest=ALICE)) as alice,
        entered(where.url(triologue, guest=BOB)) as bob,
    ):
        mine = await alice.post("a question", "one")
        await alice.end_of()
        gone = await alice.post("recalled", "two")
        await alice.end_of()
        assert await alice.request("x", type="recall", id=gone["id"]) is None
        refusals = [
            await alice.request("a", type="regenerate", id=10**6),
            await alice.request("b", type="regenerate", id=mine["id"] + 1),
            await alice.request("c", type="regenerate", id=gone["id"]),
            await bob.request("d", type="regenerate", id=mine["id"]),
        ]
        await alice.post(steps.order, "three")
        steps.go(0)
        await alice.until_said(words(1))
        refusals.append(await alice.request("e", type="regenerate", id=mine["id"]))
        steps.finish()
        await alice.end_of()

    codes = [None if error is None else (error["code"], error["retry"]) for error in refusals]
    assert codes == [
        ("not_found", False),
        ("not_found", False),
        ("recalled", False),
        ("forbidden", False),
        ("busy", True),
    ]


# -- edit, recall, read


async def test_an_edit_is_told_to_all_and_lasts(triologue: Triologue) -> None:
    """With its own seq; who comes later sees the new text alone."""
    where = somewhere()
    async with (
        entered(where.url(triologue, guest=ALICE)) as alice,
        entered(where.url(triologue, guest=BOB)) as bob,
        connect(where.url(triologue)) as document,
    ):
        start = bob.cursor
        ack = await alice.post("with a tpyo", "q")
        end = await bob.end_of()
        await document.until_final()
        chain = [{"type": "Plain", "text": "without a typo"}]
        assert await alice.request("e", type="edit", id=ack["id"], message=chain) is None
        edited = await bob.until_type("edited")
        await document.send({"type": "ping"})
        assert (await document.receive())["type"] == "pong"
        async with entered(where.url(triologue, cursor=start)) as late:
            await late.until_type("edited")

    data = edited["data"]
    assert (data["id"], data["content"], data["seq"]) == (ack["id"], "without a typo", end["seq"] + 1)
    assert data["edited_at"] >= data["timestamp"]
    told = [f["data"]["content"] for f in late.frames if f["type"] in ("user_message", "edited")]
    assert told == ["without a typo"] * 2
    assert [seq_of(f) for f in late.frames[1:]] == [1, 2, 3]
    stored = (await history_of(where, triologue))[0]
    assert (stored["content"], stored["edited_at"]) == ("without a typo", data["edited_at"])


async def test_a_recall_erases_everywhere(triologue: Triologue) -> None:
    """Told to all; no history, and no resume from before it, shows the text."""
    where = somewhere()
    async with (
        entered(where.url(triologue, guest=ALICE)) as alice,
        entered(where.url(triologue, guest=BOB)) as bob,
    ):
        start = bob.cursor
        ack = await alice.post("swordfish, and nobody must know", "q")
        await bob.end_of()
        assert await alice.request("r", type="recall", id=ack["id"]) is None
        recalled = await bob.until_type("recalled")
        async with entered(where.url(triologue, cursor=start)) as late:
            await late.until_type("recalled")

    assert (recalled["id"], recalled["by"], recalled["seq"]) == (ack["id"], alice.user, 3)
    asked = [f["data"] for f in late.frames if f["type"] == "user_message"]
    assert "swordfish" not in str(asked)
    assert [seq_of(f) for f in late.frames[1:]] == [1, 2, 3]
    assert ack["id"] not in [m["id"] for m in await history_of(where, triologue)]


async def test_to_recall_a_question_is_to_stop_its_answer(triologue: Triologue, steps: Steps) -> None:
    """And one that still waits is not answered at all."""
    where = somewhere()
    async with entered(where.url(triologue, guest=ALICE)) as alice:
        running_ = await alice.post(steps.order, "one")
        waiting = await alice.post("never to be said", "two")
        last = await alice.post("said", "three")
        steps.go(0)
        await alice.until_said(words(1))
        assert await alice.request("a", type="recall", id=waiting["id"]) is None
        assert await alice.request("b", type="recall", id=running_["id"]) is None
        ends = [f["data"] for f in alice.frames if is_end(f)]
        while len(ends) < 2:
            ends.append(await alice.end_of())

    assert [(e["content"], e["finish_reason"]) for e in ends] == [(words(1), "stopped"), ("said", "stop")]
    shown = await history_of(where, triologue)
    assert [m["id"] for m in shown if m["role"] == "user"] == [last["id"]]


@pytest.mark.parametrize("kind", ["edit", "recall"])
async def test_only_ones_own_messages_can_be_changed(triologue: Triologue, kind: str) -> None:
    """Not another's, not the assistant's, none that never was, and nothing after its recall."""
    where = somewhere(session_type="person")
    body = {"message": [{"type": "Plain", "text": "other words"}]} if kind == "edit" else {}
    async with (
        entered(where.url(triologue, guest=ALICE)) as alice,
        entered(where.url(triologue, guest=BOB)) as bob,
    ):
        mine = await alice.post("mine", "q")
        await alice.end_of()
        gone = await alice.post("gone", "g")
        await alice.end_of()
        assert await alice.request("x", type="recall", id=gone["id"]) is None
        refusals = [
            await bob.request("a", type=kind, id=mine["id"], **body),
            await alice.request("b", type=kind, id=mine["id"] + 1, **body),
            await alice.request("c", type=kind, id=10**6, **body),
            await alice.request("d", type=kind, id=gone["id"], **body),
        ]

    codes = [None if error is None else (error["code"], error["retry"]) for error in refusals]
    assert codes == [("forbidden", False), ("forbidden", False), ("not_found", False), ("recalled", False)]
    assert [m["content"] for m in await history_of(where, triologue)][:2] == ["mine", "mine"]


async def test_receipts_are_told_once_and_only_forwards(triologue: Triologue) -> None:
    """What is known already is no news; an id that was never given out is refused."""
    where = somewhere()
    async with (
        entered(where.url(triologue, guest=ALICE)) as alice,
        entered(where.url(triologue, guest=BOB)) as bob,
    ):
        ack = await alice.post("read me", "q")
        end = await alice.end_of()
        assert await bob.request("a", type="read", up_to=ack["id"]) is None
        assert await bob.request("b", type="read", up_to=ack["id"]) is None
        unknown = await bob.request("c", type="read", up_to=10**6)
        receipt = await alice.until_type("read")
        await alice.ping()

    assert (receipt["user"], receipt["up_to"], receipt["seq"]) == (bob.user, ack["id"], end["seq"] + 1)
    assert [f["type"] for f in alice.frames].count("read") == 1
    assert unknown is not None
    assert unknown["code"] == "not_found"


async def test_rights_are_those_of_the_guest_and_outlive_the_process(tmp_path: Path) -> None:
    """After a kill, the author may still edit and recall, the other still not; what was done stays done."""
    where = somewhere()
    chain = [{"type": "Plain", "text": "edited"}]
    with running("serve", tmp_path, PIPELINES) as server:
        async with entered(where.url(server, guest=ALICE)) as alice:
            one = await alice.post("one", "1")
            await alice.end_of()
            two = await alice.post("two", "2")
            await alice.end_of()
            assert await alice.request("e", type="edit", id=one["id"], message=chain) is None
            cursor = alice.cursor
    with running("serve", tmp_path, PIPELINES) as server:
        async with (
            entered(where.url(server, guest=BOB)) as bob,
            entered(where.url(server, guest=ALICE, cursor=cursor)) as alice,
        ):
            assert alice.connected["resumed"] is True
            for kind in ("edit", "recall"):
                refusal = await bob.request(kind, type=kind, id=two["id"], message=chain)
                assert refusal is not None
                assert refusal["code"] == "forbidden"
            assert await alice.request("r", type="recall", id=two["id"]) is None
            assert await alice.request("g", type="regenerate", id=one["id"]) is None
            while not any(is_end(f) for f in alice.frames):
                await alice.receive()
    again = next(f["data"] for f in alice.frames if is_end(f))
    assert (again["content"], again["alternative_of"]) == ("edited", one["id"] + 1)
    seqs = [seq for f in alice.frames if (seq := seq_of(f)) is not None]
    assert seqs == list(range(int(cursor.rpartition(".")[2]) + 1, int(cursor.rpartition(".")[2]) + 3))


def test_the_words_of_the_steps_tell_code_points_from_bytes() -> None:
    """Offsets count code points: a test with ASCII alone would see nothing wrong."""
    assert len(word(0)) < len(word(0).encode("utf-16-le")) // 2 < len(word(0).encode())
