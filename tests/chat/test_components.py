"""What components say as text, weigh, and lose when they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat import (
    At,
    AtAll,
    Component,
    Face,
    File,
    Forward,
    ForwardNode,
    Image,
    Plain,
    Quote,
    Source,
    Unknown,
    Voice,
    text_of,
)
from server.chat.components import weight_of, without_inline_data

from .chains import chains

TEXT_FORMS: list[tuple[Component, str]] = [
    (Plain("Hello"), "Hello"),
    (Plain(""), ""),
    (At(target=7, display="Ann"), "@Ann"),
    (At(target="ann"), "@ann"),
    (At(target=0), "@0"),
    (At(target="ann", display=""), "@ann"),
    (At(), "@"),
    (AtAll(), "@All"),
    (Image(url="https://example.org/cat.png"), "[Image]"),
    (Voice(base64="UklGRg=="), "[Voice]"),
    (File(name="report.pdf"), "[File]report.pdf"),
    (File(), "[File]"),
    (
        Forward(display="three messages", node_list=(ForwardNode(message_chain=(Plain("Hi"),)),)),
        "[Chat history]",
    ),
    (Face(face_name="smile", face_id=14), "[表情]smile"),
    (Face(), "[表情]"),
    (Quote(id=3, origin=(Plain("Earlier"),)), ""),
    (Source(id=3, timestamp=1700000000), ""),
    (Unknown("Unknown component type: Dice"), "Unknown component type: Dice"),
]


@pytest.mark.parametrize(("component", "text"), TEXT_FORMS)
def test_text_form(component: Component, text: str) -> None:
    """Clients that know no components show `content`, and text-only pipelines read it."""
    assert text_of([component]) == text


def test_every_component_has_a_text_form() -> None:
    """The table above must not lag behind the components."""
    assert {type(component) for component, _ in TEXT_FORMS} == set(get_args(Component))


def test_text_forms_of_a_chain_follow_each_other() -> None:
    """Nothing is put in between: spaces are the sender's."""
    assert text_of([At(display="Ann"), Plain(" look "), Image(), Plain("!")]) == "@Ann look [Image]!"
    assert text_of([]) == ""


@given(chains, chains)
def test_text_form_is_that_of_the_parts(one: tuple[Component, ...], two: tuple[Component, ...]) -> None:
    """Where a chain is cut does not matter."""
    assert text_of(one + two) == text_of(one) + text_of(two)


def inline_data_in(chain: tuple[Component, ...]) -> Iterator[str]:
    """Every inline `base64` in *chain*, at any depth."""
    for component in chain:
        match component:
            case Image() | Voice() | File() if component.base64:
                yield component.base64
            case Quote():
                yield from inline_data_in(component.origin)
            case Forward():
                for node in component.node_list:
                    yield from inline_data_in(node.message_chain)


@given(chains)
def test_inline_data_is_blanked_at_any_depth(chain: tuple[Component, ...]) -> None:
    """A transcript of pictures would fill the memory; nothing else may change."""
    cleaned = without_inline_data(chain)

    assert not list(inline_data_in(cleaned))
    assert text_of(cleaned) == text_of(chain)
    assert without_inline_data(cleaned) is cleaned
    assert (cleaned is chain) == (not list(inline_data_in(chain)))


def test_only_the_data_is_blanked() -> None:
    """Where the attachment is to be had must stay."""
    picture = Image(image_id="i", url="u", path="p", base64="AAAA")
    chain = (Quote(id=1, origin=(Forward(node_list=(ForwardNode(sender_id=2, message_chain=(picture,)),)),)),)

    assert without_inline_data(chain) == (
        Quote(
            id=1,
            origin=(
                Forward(
                    node_list=(
                        ForwardNode(
                            sender_id=2,
                            message_chain=(Image(image_id="i", url="u", path="p", base64=""),),
                        ),
                    )
                ),
            ),
        ),
    )


@given(chains, chains)
def test_weights_add_up(one: tuple[Component, ...], two: tuple[Component, ...]) -> None:
    """The size of a transcript is kept by adding and subtracting."""
    assert weight_of(one + two) == weight_of(one) + weight_of(two)
    assert weight_of(one) >= 64 * len(one)


@given(chains)
def test_blanking_never_adds_weight(chain: tuple[Component, ...]) -> None:
    """It is done to save."""
    assert weight_of(without_inline_data(chain)) <= weight_of(chain)


@pytest.mark.parametrize(
    "component",
    [
        Plain("x" * 1000),
        Image(base64="x" * 1000),
        File(name="x" * 1000),
        Unknown("x" * 1000),
        Quote(origin=(Plain("x" * 1000),)),
        Forward(display={"title": ["x" * 1000]}),
        Forward(display={"x" * 1000: None}),
        Forward(node_list=(ForwardNode(message_chain=(Plain("x" * 1000),)),)),
    ],
)
def test_text_weighs_wherever_it_hides(component: Component) -> None:
    """Else a limit on size could be got around."""
    assert 1000 < weight_of((component,)) < 2000


@given(st.integers(1, 50))
def test_empty_parts_weigh_something(count: int) -> None:
    """An object costs memory without any text in it."""
    assert weight_of((AtAll(),) * count) == 64 * count
