"""`examples/openai_upstream.py`, run as its first lines say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from server.chat import Image
from server.pipeline.errors import UpstreamBroke, UpstreamBusy
from server.pipeline.openai import OpenAIModel

from .turns import Heard, listen, turn

SCRIPT = Path(__file__).parents[2] / "examples" / "openai_upstream.py"


@pytest.fixture
async def url(nursery: trio.Nursery) -> AsyncIterator[str]:
    """The address of a running example."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(SCRIPT), "--port", "0", "--delay", "0"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        line += await process.stdout.receive_some()
    yield line.decode().splitlines()[0]
    process.terminate()
    await process.wait()
    await process.stdout.aclose()


@pytest.fixture
async def model(url: str) -> AsyncIterator[OpenAIModel]:
    model = OpenAIModel(url, "eliza", vision=True, include_usage=True, retries=0)
    yield model
    await model.aclose()


async def test_it_streams_word_by_word(model: OpenAIModel) -> None:
    """Demos are there to be watched."""
    heard = await listen(model, turn("I need my coffee."))

    assert heard.pieces[:3] == ["Why ", "do ", "you "]
    assert heard.text == "Why do you need your coffee? Would it really help you?"
    assert heard.finish is not None
    assert heard.finish.usage == {"prompt_tokens": 4, "completion_tokens": 11, "total_tokens": 15}


async def test_it_sees_pictures(model: OpenAIModel) -> None:
    """So that `vision` can be tried without a model that does."""
    assert "picture" in (await listen(model, turn(Image(url="http://h/i.png")))).text


async def test_it_makes_trouble_on_demand(model: OpenAIModel) -> None:
    """The failures of an upstream are worth seeing in a demo, too."""
    heard = Heard()
    with pytest.raises(UpstreamBroke):
        await listen(model, turn("!fail"), heard)
    assert len(heard.pieces) == 3
    with pytest.raises(UpstreamBroke):
        await listen(model, turn("!cut"))
    with pytest.raises(UpstreamBusy):
        await listen(model, turn("!busy"))


async def test_many_replies_at_once_share_it(model: OpenAIModel) -> None:
    """A server has more than one conversation."""
    heard = [Heard() for _ in range(20)]
    async with trio.open_nursery() as nursery:
        for number, ear in enumerate(heard):
            nursery.start_soon(listen, model, turn(f"number {number}"), ear)

    assert [ear.text for ear in heard] == [
        f"You say: number {number}. Please go on, I am listening." for number in range(20)
    ]
