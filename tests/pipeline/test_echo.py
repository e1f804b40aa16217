"""The model that needs nobody."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from server.chat import Image
from server.pipeline.echo import EchoModel

from .turns import generator, listen, turn


@given(st.text(st.sampled_from("ab \n\t\u3000é")))
def test_the_pieces_add_up_to_the_text(text: str) -> None:
    """White space is a part of the text."""
    assert trio.run(listen, EchoModel(), turn(text)).text == text


async def test_words_come_one_by_one() -> None:
    """The echo is there to see streaming work."""
    assert (await listen(EchoModel(), turn(" one  two\nthree"))).pieces == [" ", "one  ", "two\n", "three"]


async def test_an_echo_goes_on_where_another_process_stopped() -> None:
    """It knows what it would have said."""
    rest = await listen(EchoModel(), evolve(turn("one two three"), so_far="one "))

    assert rest.pieces == ["two ", "three"]


async def test_a_picture_is_echoed_as_its_text_form() -> None:
    """There is always something to answer."""
    assert (await listen(EchoModel(), turn(Image(url="http://h/i.png")))).text == "[Image]"


async def test_the_delay_lies_between_the_words(autojump_clock: trio.testing.MockClock) -> None:
    """The first word comes at once."""
    start = trio.current_time()
    times = [trio.current_time() - start async for _ in generator(EchoModel(delay=2.0), turn("a b c"))]

    assert times == [0.0, 2.0, 4.0]


async def test_a_long_echo_lets_others_run() -> None:
    """A loop that never waits would stop the whole server."""
    with trio.testing.assert_checkpoints():
        await listen(EchoModel(), turn(""))
    with trio.CancelScope() as scope:
        reply = generator(EchoModel(), turn("a b c"))
        await anext(reply)
        scope.cancel()
        await anext(reply)

    assert scope.cancelled_caught


@pytest.mark.parametrize("delay", [-1.0, float("inf"), float("nan")])
def test_a_senseless_delay_is_refused(delay: float) -> None:
    """At the start, not in the first reply."""
    with pytest.raises(ValueError, match="delay"):
        EchoModel(delay)
