"""A turn as the upstream gets it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from attrs import evolve

from server.chat import At, Component, Image, Plain, Voice
from server.pipeline.openai_request import chat_messages

from .turns import message, turn

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(40)).decode()
WEBP = base64.b64encode(b"RIFF\x00\x00\x00\x00WEBPVP8 ").decode()


def content(*chain: Component | str, vision: bool = True) -> Any:
    (said,) = chat_messages(turn(*chain), system_prompt=None, history=0, vision=vision)
    return said["content"]


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("image", "url"),
    [
        (Image(url="https://h/i.png"), "https://h/i.png"),
        (Image(url="HTTP://h/i.png"), "HTTP://h/i.png"),
        (Image(base64="data:image/webp;base64,AAAA"), "data:image/webp;base64,AAAA"),
        (Image(base64=PNG), f"data:image/png;base64,{PNG}"),
        (Image(base64=JPEG), f"data:image/jpeg;base64,{JPEG}"),
        (Image(base64=WEBP), f"data:image/webp;base64,{WEBP}"),
        (Image(base64="AAAA"), "data:image/png;base64,AAAA"),
        (Image(base64="é?"), "data:image/png;base64,é?"),
        (Image(base64=PNG, url="https://h/i.png"), f"data:image/png;base64,{PNG}"),
    ],
)
def test_a_seeing_model_gets_the_picture(image: Image, url: str) -> None:
    """Inline data become a data URL of the type that their first bytes tell."""
    assert content(image) == [image_part(url)]


def test_words_and_pictures_keep_their_order() -> None:
    """ "this one, not that one" depends on it."""
    chain = (
        At(display="bot"),
        Plain(" this "),
        Image(url="https://h/1"),
        Image(url="https://h/2"),
        "not",
        Voice(),
    )

    assert content(*chain) == [
        {"type": "text", "text": "@bot this "},
        image_part("https://h/1"),
        image_part("https://h/2"),
        {"type": "text", "text": "not[Voice]"},
    ]


@pytest.mark.parametrize(
    "image", [Image(path="upload"), Image(image_id="1"), Image(url="/local"), Image(url="file:///etc/passwd")]
)
def test_a_picture_that_the_upstream_cannot_reach_is_a_word(image: Image) -> None:
    """And a message without pictures is a plain string, which every server understands."""
    assert content("see ", image) == "see [Image]"


def test_a_blind_model_gets_words() -> None:
    """Most models refuse pictures."""
    assert content("see ", Image(base64=PNG), vision=False) == "see [Image]"


def test_pictures_of_earlier_messages_stay_words() -> None:
    """Their data is gone by then."""
    said = chat_messages(
        turn("now", history=(message(Image(url="https://h/i")),)), system_prompt="", history=9, vision=True
    )

    assert said == [{"role": "user", "content": "[Image]"}, {"role": "user", "content": "now"}]


def test_empty_messages_are_left_out() -> None:
    """A recalled message has no text, and many servers refuse an empty one."""
    said = chat_messages(turn("now", history=(message(""),)), system_prompt=None, history=9, vision=False)

    assert said == [{"role": "user", "content": "now"}]


def test_what_was_said_so_far_comes_last() -> None:
    """A reply that another process began is gone on with, not given again."""
    resumed = evolve(turn("tell me a story"), so_far="Once upon")
    said = chat_messages(resumed, system_prompt=None, history=9, vision=False)

    assert said[1:] == [{"role": "assistant", "content": "Once upon"}]
