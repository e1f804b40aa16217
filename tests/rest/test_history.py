"""Reading and resetting a conversation's history, whether anybody is in it or not."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from server.chat import ConversationKey, Draining, Full
from server.rest import stretch

from .archive import PIPELINE, ROUTE, SHARED, Scene, said

MESSAGES = f"{ROUTE}/messages/person"
RESET = f"{ROUTE}/reset/person"


async def ids(scene: Scene, query: str = "") -> list[int]:
    async with scene.at_home() as home:
        data = (await home.ask(f"{MESSAGES}?{query}")).data
    return [message["id"] for message in data["messages"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", range(151, 251)),
        ("limit=1", [250]),
        ("limit=1000", range(1, 251)),
        ("limit=007", range(244, 251)),
        ("before=11", range(1, 11)),
        ("before=11&limit=3", [8, 9, 10]),
        ("after=240", range(241, 251)),
        ("after=10&limit=3", [11, 12, 13]),
        ("after=10&limit=45", range(11, 56)),
        ("after=10&before=20", range(11, 20)),
        ("after=10&before=20&limit=3", [17, 18, 19]),
        ("after=0&limit=2", [1, 2]),
        ("before=1", []),
        ("before=0", []),
        ("after=250", []),
        ("before=20&after=30", []),
        ("after=999999999999999", []),
        ("nonsense=1&limit=1&session_id=default", [250]),
    ],
)
async def test_a_stretch_of_the_history_is_told_oldest_first(query: str, expected: list[int]) -> None:
    """The newest of what was asked for; the oldest if only a beginning was given."""
    scene = Scene()
    scene.keep(map(said, range(1, 251)))

    assert await ids(scene, query) == list(expected)


@pytest.mark.parametrize(("query", "expected"), [("", [2, 3]), ("&alternatives=true", [1, 2, 3])])
async def test_answers_that_were_given_again_are_told_on_request(query: str, expected: list[int]) -> None:
    """Who does not ask sees the newest alone, as in the document."""
    scene = Scene()
    scene.keep([said(1, superseded=True), said(2), said(3)])

    assert await ids(scene, "limit=5" + query) == expected
    assert await ids(scene, "alternatives=false") == [2, 3]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        *[(f"limit={value}", "limit") for value in ("0", "1001", "", "-1", "+1", "1.0", "1e2", "x", "%201")],
        *[("limit=" + value, "limit") for value in ("%D9%A3", "1%00", "9" * 16, "9" * 5000)],
        *[(f"{name}={value}", name) for name in ("before", "after") for value in ("", "-1", "a", "9" * 16)],
        *[(f"alternatives={value}", "alternatives") for value in ("", "1", "TRUE", "yes")],
        ("limit=1&limit=2", "limit"),
        ("before=1&before=1", "before"),
        ("alternatives=true&alternatives=true", "alternatives"),
    ],
)
async def test_a_malformed_query_is_told_what_is_wrong(query: str, named: str) -> None:
    """Guessing what was meant would look like a hole in the history."""
    scene = Scene()
    async with scene.at_home() as home:
        answer = await home.ask(f"{MESSAGES}?{query}")

    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert answer.json["msg"].startswith(f"{named} must be ")
    assert scene.reads == []


@given(total=st.integers(0, 70), limit=st.integers(1, 80), page=st.integers(1, 9), forward=st.booleans())
def test_pages_join_to_what_one_page_would_have_been(
    total: int, limit: int, page: int, forward: bool
) -> None:
    """How much is read at a time is nobody's business; and `more` is exact."""
    scene = Scene()
    scene.keep(map(said, range(1, total + 1)))

    async def ask() -> Any:
        async with scene.at_home() as home:
            return (await home.ask(f"{MESSAGES}?limit={limit}{'&after=0' if forward else ''}")).data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretch, "PAGE", page)
        data = trio.run(ask)
    everything = list(range(1, total + 1))
    expected = everything[:limit] if forward else everything[-limit:]
    assert [message["id"] for message in data["messages"]] == expected
    assert data["more"] is (total > limit)
    assert max(read.limit for read in scene.reads) <= page


@pytest.mark.parametrize("forward", [False, True])
async def test_an_answer_has_an_end_however_large_the_messages_are(forward: bool) -> None:
    """A hundred messages of 8 MB would be the server's memory; whoever wants them all asks again."""
    scene = Scene()
    scene.keep(said(number, "x" * (3 * 2**20)) for number in range(1, 8))
    seen: list[int] = []
    async with scene.at_home() as home:
        while True:
            edge = (seen[-1] if forward else seen[0]) if seen else (0 if forward else 8)
            answer = await home.ask(f"{MESSAGES}?{'after' if forward else 'before'}={edge}")
            found = [message["id"] for message in answer.data["messages"]]
            # A message's text is in it twice: as its content and in its chain.
            assert len(answer.body) < 2 * stretch.SIZE + 2**20
            seen = seen + found if forward else found + seen
            if not answer.data["more"]:
                break

    assert seen == list(range(1, 8))


async def test_one_message_is_told_however_large_it_is() -> None:
    """Else nobody would ever get past it."""
    scene = Scene()
    scene.keep([said(1), said(2, "x" * (stretch.SIZE + 1)), said(3)])

    assert await ids(scene, "before=3") == [2]
    assert await ids(scene, "after=1") == [2]


async def test_reading_a_history_opens_nothing() -> None:
    """A stranger's guesses at session ids must not fill the server with conversations."""
    scene = Scene()

    assert await ids(scene) == []
    assert scene.opened == []


async def test_each_conversation_has_its_own_history() -> None:
    """By session type and id."""
    scene = Scene()
    scene.keep([said(1, "private")])
    scene.keep([said(1, "theirs")], ConversationKey(PIPELINE, "group", "a.b:c-D_9"))
    async with scene.at_home() as home:
        group = (await home.ask(f"{ROUTE}/messages/group?session_id=a.b:c-D_9")).data
        person = (await home.ask(f"{ROUTE}/messages/person")).data
        nobody = (await home.ask(f"{ROUTE}/messages/person?session_id=x")).data
        nothing = (await home.ask(f"{ROUTE}/messages/person?session_id=x&limit=1")).data

    assert [m["content"] for m in group["messages"]] == ["theirs"]
    assert [m["content"] for m in person["messages"]] == ["private"]
    # Whoever asks as in the document is answered as in the document.
    assert nobody == {"messages": []}
    assert nothing == {"messages": [], "more": False}


async def test_a_failing_store_is_told_and_the_next_request_succeeds() -> None:
    """Not an empty history, which a client would take for a reset."""
    scene = Scene()
    scene.keep([said(1)])
    scene.failing = True
    async with scene.at_home() as home:
        refused = [await home.ask(MESSAGES), await home.ask(RESET, "POST")]
        scene.failing = False
        assert (await home.ask(MESSAGES)).status == 200

    for answer in refused:
        assert (answer.status, answer.json["error"]) == (503, "store_failing")
    assert scene.resets == []


async def test_a_reset_reaches_a_conversation_that_nobody_is_in() -> None:
    """Its history is in the store, whoever is or is not in memory."""
    scene = Scene()
    scene.keep([said(1)])
    async with scene.at_home() as home:
        answer = await home.ask(RESET, "POST")

    assert answer.data == {"message": "Session reset successfully"}
    assert scene.resets == [SHARED]


async def test_a_reset_of_nothing_begins_nothing() -> None:
    """It is as cheap as a look, and leaves no conversation behind."""
    scene = Scene()
    async with scene.at_home() as home:
        answer = await home.ask(RESET, "POST")

    assert answer.data == {"message": "Session reset successfully"}
    assert (scene.opened, scene.resets) == ([], [])


@pytest.mark.parametrize("case", ["live", "superseded"])
async def test_a_reset_is_done_whatever_history_would_show(case: str) -> None:
    """A running reply to a message that was recalled, or nothing but earlier answers, is something too."""
    scene = Scene()
    if case == "live":
        scene.live.add(SHARED)
    else:
        scene.keep([said(1, superseded=True)])
    async with scene.at_home() as home:
        assert (await home.ask(RESET, "POST")).status == 200

    assert scene.resets == [SHARED]


async def test_a_conversation_that_leaves_just_then_is_opened_again() -> None:
    """Being let go of for want of use is nobody's error."""
    scene = Scene(leaving=2)
    scene.keep([said(1)])
    async with scene.at_home() as home:
        assert (await home.ask(RESET, "POST")).status == 200

    assert scene.resets == [SHARED]


async def test_a_conversation_that_always_dies_is_given_up() -> None:
    """The client may try later; the request ends."""
    scene = Scene(leaving=99)
    scene.keep([said(1)])
    async with scene.at_home() as home:
        answer = await home.ask(RESET, "POST")

    assert (answer.status, answer.json["error"]) == (503, "unavailable")
    assert len(scene.opened) == 3


@pytest.mark.parametrize(("refusal", "code"), [(Full(), "full"), (Draining(), "restarting")])
async def test_a_server_that_opens_nothing_says_why(refusal: Full | Draining, code: str) -> None:
    """And that it is not for good."""
    scene = Scene(refusing=refusal)
    scene.keep([said(1)])
    async with scene.at_home() as home:
        answer = await home.ask(RESET, "POST")

    assert (answer.status, answer.json["error"]) == (503, code)


@pytest.mark.parametrize(("method", "path"), [("GET", "messages/person?limit=x"), ("POST", "reset/person")])
async def test_an_unknown_pipeline_comes_before_everything_else(method: str, path: str) -> None:
    """404 everywhere, and the store is not asked."""
    scene = Scene()
    async with scene.at_home() as home:
        answer = await home.ask(f"/api/v1/pipelines/unknown/ws/{path}", method)

    assert (answer.status, answer.json["error"]) == (404, "not_found")
    assert scene.reads == []


@pytest.mark.parametrize("query", ["session_id=", "session_id=a/b", "session_id=" + "x" * 65])
async def test_a_bad_session_id_is_refused(query: str) -> None:
    """The same rule as for sockets."""
    scene = Scene()
    async with scene.at_home() as home:
        for method, path in (("GET", MESSAGES), ("POST", RESET)):
            answer = await home.ask(f"{path}?{query}", method)
            assert (answer.status, answer.json["error"]) == (400, "bad_request")
