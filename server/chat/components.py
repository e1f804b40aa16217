"""What a message is made of: one class for each component of the document's message chain.

Fields a client left out are `None` and are left out again on the way back. Source: `protocol.md`,
"Message components".
"""

from __future__ import annotations

from typing import Any

import attrs
from attrs import evolve, frozen

# LangBot's adapters use numbers where a platform's ids are numbers, and text where they are text.
Id = int | str


@frozen
class Plain:
    """Text as typed."""

    text: str


@frozen
class At:
    """A mention of one participant."""

    target: Id | None = None
    display: str | None = None


@frozen
class AtAll:
    """A mention of everybody."""


@frozen
class Image:
    """A picture: by upload (`path`), by address (`url`) or inline (`base64`, a data URL or bare base64)."""

    image_id: str | None = None
    url: str | None = None
    path: str | None = None
    base64: str | None = None


@frozen
class Voice:
    """A recording; `length` in seconds."""

    voice_id: str | None = None
    url: str | None = None
    path: str | None = None
    base64: str | None = None
    length: int | float | None = None


@frozen
class File:
    """A document; `size` in bytes."""

    id: Id | None = None
    name: str | None = None
    size: int | None = None
    url: str | None = None
    path: str | None = None
    base64: str | None = None


@frozen
class Quote:
    """A reference to an earlier message; `origin` is its chain."""

    id: Id | None = None
    group_id: Id | None = None
    sender_id: Id | None = None
    target_id: Id | None = None
    origin: tuple[Component, ...] = ()


@frozen
class Face:
    """An emoticon of a chat platform."""

    face_type: str | None = None
    face_id: Id | None = None
    face_name: str | None = None


@frozen
class ForwardNode:
    """One message inside a `Forward`."""

    sender_id: Id | None = None
    sender_name: str | None = None
    message_chain: tuple[Component, ...] = ()
    message_id: Id | None = None


@frozen
class Forward:
    """A bundle of forwarded messages; `display` is passed through as it came."""

    display: dict[str, Any] | str | None = None
    node_list: tuple[ForwardNode, ...] = ()


@frozen
class Source:
    """Where a message came from: its id and time on the platform that had it first."""

    id: Id | None = None
    timestamp: int | float | str | None = None


@frozen
class Unknown:
    """Stands for a component this server does not know."""

    text: str = ""


Component = Plain | At | AtAll | Image | Voice | File | Quote | Face | Forward | Source | Unknown


def without_inline_data(chain: tuple[Component, ...]) -> tuple[Component, ...]:
    """*chain* with every inline `base64` blanked, at any depth; the same object if there was none."""
    if all(type(component) is Plain for component in chain):
        return chain  # nearly always
    cleaned = tuple(_blanked(component) for component in chain)
    return cleaned if any(new is not old for new, old in zip(cleaned, chain, strict=True)) else chain


def _blanked(component: Component) -> Component:
    match component:
        case Image() | Voice() | File() if component.base64:
            return evolve(component, base64="")
        case Quote():
            origin = without_inline_data(component.origin)
            return component if origin is component.origin else evolve(component, origin=origin)
        case Forward():
            nodes = tuple(
                evolve(node, message_chain=without_inline_data(node.message_chain))
                for node in component.node_list
            )
            return component if nodes == component.node_list else evolve(component, node_list=nodes)
        case _:
            return component


def weight_of(chain: tuple[Component, ...]) -> int:
    """Roughly how many bytes of memory *chain* takes: its text, and a little for each part."""
    return sum(_weight(component) for component in chain)


def _weight(value: object) -> int:
    if isinstance(value, Plain):
        return 64 + value.text.__sizeof__()
    if isinstance(value, str):
        return value.__sizeof__()
    if isinstance(value, tuple | list):
        return sum(_weight(item) for item in value)
    if isinstance(value, dict):
        return sum(64 + str(key).__sizeof__() + _weight(item) for key, item in value.items())
    kind: type[Any] = type(value)
    if attrs.has(kind):
        return 64 + sum(_weight(getattr(value, field.name)) for field in attrs.fields(kind))
    return 16
