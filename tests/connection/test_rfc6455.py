"""From a client's bytes to what they mean: RFC 6455, whatever pieces they come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import CloseConnection, Message
from wsproto.events import Ping as WsprotoPing

from server.connection.framing import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    close_frame,
    frame,
    text_frame,
    text_frames,
    texts,
)
from server.connection.rfc6455 import Broken, Closed, Happening, Parser, Ping
from tests.listener import raw
from tests.listener.violations import VIOLATIONS

from .frames import Said, conversations, masked, masks, pieces

LIMIT = 2**20
FREE = 4096

cuts = st.lists(st.integers(0, 2**20), max_size=8)


class Budget:
    """What is held of unfinished messages, as a listener counts it."""

    def __init__(self, size: int = 2**30) -> None:
        self.size = size
        self.held = 0

    def hold(self, size: int) -> bool:
        assert size >= 0
        if self.held + size > self.size:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        self.held -= size
        assert self.held >= 0


def parser(limit: int = LIMIT, budget: Budget | None = None) -> Parser:
    budget = budget or Budget()
    return Parser(limit, budget.hold, budget.give_back)


def feed(whole: Parser, data: bytes) -> list[Happening]:
    """All that *data* brings to an end, however many calls it takes."""
    happened = whole.feed(data)
    while whole.has_more:
        happened += whole.feed(b"")
    return happened


def heard(data: list[bytes], limit: int = LIMIT) -> list[Happening]:
    """What is understood of *data* that comes in these pieces."""
    whole = parser(limit)
    return [what for piece in data for what in feed(whole, piece)]


@given(conversations(), cuts)
def test_what_was_meant_is_understood_in_whatever_pieces_it_comes(said: Said, places: list[int]) -> None:
    """TCP knows no frames: it cuts and joins as it likes."""
    assert heard(pieces(said.data, places)) == said.meant


@given(conversations(), st.integers(1, 20))
def test_a_byte_at_a_time_is_enough(said: Said, size: int) -> None:
    """However slow the line."""
    begin = said.data[:3000]
    drops = [begin[at : at + size] for at in range(0, len(begin), size)]
    assert heard(drops) == heard([begin])


def by_wsproto(data: bytes) -> list[Happening]:
    """What the library that hypercorn uses makes of *data*."""
    library = Connection(ConnectionType.SERVER)
    library.receive_data(data)
    happened: list[Happening] = []
    parts: list[Any] = []
    for event in library.events():
        if isinstance(event, Message):
            parts.append(event.data)
            if event.message_finished:
                happened.append(parts[0][:0].join(parts))
                parts = []
        elif isinstance(event, WsprotoPing):
            happened.append(Ping(bytes(event.payload)))
        elif isinstance(event, CloseConnection):
            if library.state is ConnectionState.OPEN:
                happened.append(Broken(int(event.code)))  # so it says what is wrong with them
            else:
                code = None if event.code == 1005 else int(event.code)
                happened.append(Closed(code, event.reason or ""))
            break
    return happened


@given(conversations(), cuts)
def test_another_library_understands_the_same(said: Said, places: list[int]) -> None:
    """Clients that were served by hypercorn's parser are served alike."""
    assert by_wsproto(said.data) == heard(pieces(said.data, places))


@st.composite
def nearly_right(draw: Any) -> bytes:
    """A conversation, some of whose bytes were replaced, left out or put in."""
    data = bytearray(draw(conversations()).data[:2000])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(len(data), 60)))
        data[at : at + draw(st.integers(0, 1))] = draw(st.binary(max_size=2))
    return bytes(data)


junk = st.one_of(nearly_right(), st.binary(max_size=300))


def is_last(what: Happening) -> bool:
    return isinstance(what, Closed | Broken)


@given(junk, cuts)
def test_what_is_broken_is_broken_in_whatever_pieces_it_comes(data: bytes, places: list[int]) -> None:
    """Nothing raises; the last word is said once, and nothing follows it."""
    happened = heard(pieces(data, places))

    assert happened == heard([data])
    assert not any(is_last(what) for what in happened[:-1])


@given(junk)
def test_another_library_finds_the_same_fault(data: bytes) -> None:
    """Only that one of us may notice it earlier: it has been understood as much of the rest."""
    ours, theirs = heard([data], limit=2**63), by_wsproto(data)
    known = min(len(ours), len(theirs))

    assert ours[:known] == theirs[:known]
    if len(ours) != len(theirs):
        longer = max(ours, theirs, key=len)
        assert len(longer) == known + 1
        assert isinstance(longer[-1], Broken)


@pytest.mark.parametrize(("violation", "code"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_what_must_not_come_has_its_code(violation: bytes, code: int) -> None:
    """RFC 6455, 7.4.1; and what comes after it counts no more, right behind it or later."""
    offended = parser()
    before, after = masked(0x81, b"before", b"mask"), masked(0x81, b"after", b"mask")

    assert offended.feed(before + violation + after) == ["before", Broken(code)]
    assert offended.feed(after) == []
    for size in (1, 2, 3, 5):
        drops = [violation[at : at + size] for at in range(0, len(violation), size)]
        assert heard([*drops, after]) == [Broken(code)]


def test_every_first_byte_is_right_or_wrong() -> None:
    """A whole text, binary message, Close, ping or pong; a beginning; or nothing that may be here."""
    right = {first for first in range(256) if heard([masked(first, b"", b"mask")]) != [Broken(1002)]}

    assert right == {TEXT, BINARY, 0x81, 0x82, 0x88, 0x89, 0x8A}


@pytest.mark.parametrize("code", [*range(995, 1020), 1999, 2000, 2999, 3000, 4999, 5000, 65535])
def test_some_codes_nobody_may_say(code: int) -> None:
    """RFC 6455, 7.4; those that the registry has added since are no fault."""
    allowed = {1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999}
    said = heard([raw.close_frame(code)])

    assert said == ([Closed(code)] if code in allowed else [Broken(1002)])


@given(st.integers(0, 3000), st.lists(st.integers(0, 700), max_size=5), cuts)
def test_a_message_over_the_limit_is_broken_as_soon_as_it_says_so(
    limit: int, sizes: list[int], places: list[int]
) -> None:
    """Its size is its bytes, over all its fragments; one that fits passes."""
    data = b""
    for number, size in enumerate(sizes):
        first = (0x80 if number == len(sizes) - 1 else 0) | (BINARY if number == 0 else 0)
        data += masked(first, bytes(size), b"mask")
    fits = sum(sizes) <= limit
    expected: list[Happening] = [] if not sizes else [bytes(sum(sizes))] if fits else [Broken(1009)]

    assert heard(pieces(data, places), limit) == expected


@pytest.mark.parametrize(
    ("head", "opcode"),
    [(raw.header(TEXT, 101), TEXT), (raw.header(BINARY, 2**40), BINARY), (raw.header(0, 100), 0)],
)
def test_what_is_announced_counts_before_it_comes(head: bytes, opcode: int) -> None:
    """There is no use in reading on."""
    refusing = parser(limit=100)
    if opcode == 0:
        assert refusing.feed(raw.frame(TEXT, "x", fin=False)) == []

    assert refusing.feed(head) == [Broken(1009)]


@pytest.mark.parametrize(("empty", "last"), [(10_000, "x!"), (10_001, Broken(1008))])
def test_a_message_has_ten_thousand_empty_fragments_at_most(empty: int, last: Happening) -> None:
    """They cost time and no size, so the limit of size never ends them."""
    data = raw.frame(TEXT, "x", fin=False) + raw.frame(0, fin=False) * empty + raw.frame(0, "!")

    assert heard([data]) == [last]


@pytest.mark.parametrize("letter", ["é", "€", "🙂"])
def test_a_wide_letter_may_be_cut_between_fragments(letter: str) -> None:
    """A fragment is a piece of bytes."""
    data = letter.encode()
    fragments = [raw.frame(TEXT, data[:1], fin=False)]
    fragments += [raw.frame(0, data[at : at + 1], fin=False) for at in range(1, len(data))]

    assert heard([b"".join(fragments) + raw.frame(0)]) == [letter]
    assert heard([b"".join(fragments[:-1]) + raw.frame(0)]) == [Broken(1007)]


def test_a_wrong_letter_is_noticed_before_its_message_ends() -> None:
    """Nobody is told more of a message that will be refused."""
    assert heard([raw.header(TEXT, 1000) + b"so far\xff"]) == [Broken(1007)]
    assert heard([raw.frame(TEXT, b"so far\xff", fin=False)]) == [Broken(1007)]


def test_so_many_frames_are_taken_apart_at_once() -> None:
    """Others wait meanwhile; the rest is for the next calls."""
    whole = parser()
    turns = [whole.feed(raw.frame(TEXT, "x") * 100)]
    while whole.has_more:
        turns.append(whole.feed(b""))

    assert [len(turn) for turn in turns] == [32, 32, 32, 4]


@given(st.one_of(junk, st.builds(lambda said: said.data, conversations())), cuts, st.integers(0, 2**17))
def test_what_is_held_is_counted_and_given_back(data: bytes, places: list[int], size: int) -> None:
    """A budget that leaks refuses everybody in the end."""
    budget = Budget(size)
    counting = parser(budget=budget)
    for piece in pieces(data, places):
        happened = feed(counting, piece)
        if not counting.in_message:
            assert budget.held == 0
        if happened and is_last(happened[-1]):
            assert not counting.in_message
    counting.forget()

    assert budget.held == 0


@given(st.integers(0, 20_000), cuts)
def test_all_but_the_first_four_kilobytes_of_an_unfinished_message_count(
    size: int, places: list[int]
) -> None:
    """So that who uses up the budget is in no ordinary message's way."""
    budget = Budget()
    counting = parser(budget=budget)
    for piece in pieces(raw.frame(BINARY, bytes(size), fin=False), places):
        assert counting.feed(piece) == []

    assert budget.held == max(0, size - FREE)
    assert counting.feed(raw.frame(0)) == [bytes(size)]
    assert budget.held == 0


@pytest.mark.parametrize("unfinished", [raw.frame(BINARY, bytes(9000), fin=False), raw.header(TEXT, 9001)])
def test_who_would_exceed_the_budget_is_to_try_again_later(unfinished: bytes) -> None:
    """What is held for all sockets together is bounded; a message that comes whole needs none of it."""
    budget = Budget(4000)
    counting = parser(budget=budget)
    assert counting.feed(raw.frame(TEXT, "x" * 20_000)) == ["x" * 20_000]

    assert counting.feed(unfinished + b"x" * 9000) == [Broken(1013)]
    assert budget.held == 0


@given(conversations(), st.integers(0, 2**17), cuts)
def test_who_listens_for_the_close_alone_hears_it(said: Said, place: int, places: list[int]) -> None:
    """It has said goodbye; the peer may be in the midst of a message, which is not kept but has to end."""
    place %= len(said.data) + 1
    budget = Budget()
    deaf = parser(budget=budget)
    happened = feed(deaf, said.data[:place])
    deaf.deafen()
    for piece in pieces(said.data[place:], places):
        happened += feed(deaf, piece)
        assert budget.held == 0

    assert [what for what in happened if is_last(what)] == [what for what in said.meant if is_last(what)]


@given(
    st.sampled_from([TEXT, BINARY, CLOSE, PING]), st.one_of(st.binary(max_size=125), st.integers(0, 2**17))
)
def test_a_frame_of_ours_is_read_by_another_library(opcode: int, content: bytes | int) -> None:
    """Whole, unmasked, its length in the shortest form."""
    payload = content if isinstance(content, bytes) else bytes(content)
    if opcode == CLOSE:
        payload = b""
    if opcode == PING:
        payload = payload[:125]
    if opcode == TEXT:
        payload = payload.decode("latin-1").encode()
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frame(opcode, payload))
    events: list[Any] = list(client.events())

    if opcode == CLOSE:
        assert events[0].code == 1005
    else:
        found = b"".join(
            bytes(event.payload)
            if opcode == PING
            else event.data.encode()
            if opcode == TEXT
            else bytes(event.data)
            for event in events
        )
        assert found == payload


@given(st.lists(st.integers(0, 300) | st.sampled_from([125, 126, 2**16 - 1, 2**16, 2**16 + 1])))
def test_text_frames_in_a_row_say_what_was_put_into_them(sizes: list[int]) -> None:
    """The same bytes go to a straight socket, and text by text to another server's."""
    said = ["é" * (size // 2) + "x" * (size % 2) for size in sizes]
    frames = [text_frame(text.encode()) for text in said]

    assert frames == [frame(TEXT, text.encode()) for text in said]
    assert text_frames(text.encode() for text in said) == b"".join(frames)
    assert list(texts(b"".join(frames))) == said


@given(st.integers(1000, 4999), st.text(max_size=200))
def test_a_reason_that_is_too_long_is_cut_between_letters(code: int, reason: str) -> None:
    """A Close has 125 bytes at most, and half a letter would be another fault."""
    said = close_frame(code, reason)
    assert len(said) <= 2 + 125
    assert said[2:4] == code.to_bytes(2, "big")
    assert reason.startswith(said[4:].decode())
    assert len(reason.encode()) > 123 or said[4:].decode() == reason


@given(masks, st.binary(max_size=9))
def test_a_mask_is_taken_off(mask: bytes, payload: bytes) -> None:
    """Whatever bytes it has, and however many of it are used."""
    assert heard([masked(0x82, payload, mask)]) == [payload]
