"""The model that is a function."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from server.chat import Turn
from server.pipeline.port import Finish
from server.pipeline.python import PythonModel
from server.pipeline.reply_text import ReplyText

from .turns import Heard, generator, listen, message, turn

EXAMPLES = Path(__file__).parents[2] / "examples" / "pipelines"
closed: list[str] = []


async def says_two(turn: Turn) -> AsyncIterator[str]:
    yield "you said "
    yield turn.text


async def says_how_it_ended(turn: Turn) -> AsyncIterator[str | Finish]:
    yield "a\ud83d"
    yield Finish("length", {"total_tokens": 1})


async def says_half_characters(turn: Turn) -> AsyncIterator[str]:
    yield "\ud83d"
    yield "\ude00"
    yield "\ud83d"


async def crashes(turn: Turn) -> AsyncIterator[str]:
    yield "a"
    raise ZeroDivisionError("the user's own")


async def notes_its_end(turn: Turn) -> AsyncIterator[str]:
    try:
        yield "a"
        await trio.sleep_forever()
    finally:
        closed.append(turn.text)


async def no_generator(turn: Turn) -> str:
    return "a"


class Bot:
    async def reply(self, turn: Turn) -> AsyncIterator[str]:
        yield "bound"


bot = Bot()


def joined(heard: Heard) -> str:
    """What a reply makes of the pieces."""
    text = ReplyText()
    return "".join(map(text.feed, heard.pieces)) + text.close()


def model(name: str) -> PythonModel:
    return PythonModel(f"{__name__}:{name}")


async def test_what_the_function_yields_is_the_reply() -> None:
    """That is all there is to know to write a bot."""
    assert (await listen(model("says_two"))).pieces == ["you said ", "hello"]


async def test_a_method_serves_as_well() -> None:
    """A bot with a state of its own is an object."""
    assert (await listen(model("bot.reply"))).text == "bound"


async def test_the_function_may_say_how_it_ended() -> None:
    """Only it knows whether something was left out."""
    heard = await listen(model("says_how_it_ended"))

    assert (joined(heard), heard.finish) == ("a\ufffd", Finish("length", {"total_tokens": 1}))


async def test_half_characters_are_joined_or_replaced() -> None:
    """Functions read JSON, too; the caller looks after it, piece by piece."""
    assert joined(await listen(model("says_half_characters"))) == "😀\ufffd"


async def test_the_functions_own_errors_pass() -> None:
    """Whoever runs the reply logs them with their traceback."""
    with pytest.raises(ZeroDivisionError, match="own"):
        await listen(model("crashes"))


async def test_a_stopped_reply_stops_the_function() -> None:
    """Its `finally` blocks run at once, not when the garbage is collected."""
    reply = generator(model("notes_its_end"), turn("stop me"))
    await anext(reply)

    await reply.aclose()

    assert "stop me" in closed


async def test_a_cancelled_reply_cancels_the_function() -> None:
    """Cancellation finds it waiting for something."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, model("notes_its_end"), turn("cancel me"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert "cancel me" in closed


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("nothing", "module:function"),
        (":f", "module:function"),
        ("m:", "module:function"),
        (".relative:f", "module:function"),
        ("no_such_module_here:f", "ModuleNotFoundError"),
        ("no.such.module:f", "ModuleNotFoundError"),
        (f"{__name__}:missing", "has no 'missing'"),
        (f"{__name__}:bot.missing", "has no 'bot.missing'"),
        (f"{__name__}:no_generator", "async generator"),
        (f"{__name__}:EXAMPLES", "async generator"),
        ("json:loads", "async generator"),
    ],
)
def test_a_bad_target_is_refused_in_one_line(function: str, why: str) -> None:
    """The operator reads it at the start of the server."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        PythonModel(function)

    assert why in str(caught.value)


@pytest.mark.parametrize("source", ["def broken(:\n", "1 / 0\n", "raise Exception('two\\nlines')\n"])
def test_a_module_that_fails_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Its own error says what is wrong; the cause has the traceback."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "failing_bot.py").write_text(source)

    with pytest.raises(ValueError, match=r"\Acannot import 'failing_bot': [^\n]+\Z") as caught:
        PythonModel("failing_bot:reply", path=str(tmp_path))

    assert caught.value.__cause__ is not None


async def test_the_example_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `docs/pipelines.md` shows must run."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    dice = PythonModel("dice:reply", path=str(EXAMPLES))
    before = (message("1d1 please"), message("1 = **1**", role="assistant", id=2))

    assert (await listen(dice, turn("D1!"))).text == "1 = **1**"
    assert (await listen(dice, turn("again", history=before))).text == "1 = **1**"
    assert (await listen(dice, turn("hello"))).text == "Tell me what to roll, Ann: `2d6`, for instance."
    assert (await listen(dice, turn("0d0"))).text == "I have no such dice."


async def test_the_example_streams(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """It shows the first die while the second still rolls."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    heard = await listen(PythonModel("dice:reply", path=str(EXAMPLES)), turn("3d1"))

    assert heard.pieces == ["1", " + ", "1", " + ", "1", " = **3**"]


def test_the_documented_example_is_the_one_that_runs() -> None:
    """People copy it from the page."""
    page = (EXAMPLES.parents[1] / "docs" / "pipelines.md").read_text()

    assert f"```python\n{(EXAMPLES / 'dice.py').read_text()}```" in page
