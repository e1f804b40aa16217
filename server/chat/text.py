"""The text form of a message chain: what `content` says, and what a text-only pipeline reads."""

from __future__ import annotations

from collections.abc import Iterable

from .components import At, AtAll, Component, Face, File, Forward, Image, Plain, Quote, Source, Unknown, Voice


def text_of(chain: Iterable[Component]) -> str:
    """The chain as one string. Source: `protocol.md`, "content is the text form of the chain"."""
    return "".join(_text(component) for component in chain)


def _text(component: Component) -> str:
    match component:
        case Plain() | Unknown():
            return component.text
        case At():
            name = component.display or component.target
            return f"@{'' if name is None else name}"
        case AtAll():
            return "@All"
        case Image():
            return "[Image]"
        case Voice():
            return "[Voice]"
        case File():
            return f"[File]{component.name or ''}"
        case Forward():
            return "[Chat history]"
        case Face():
            return f"[表情]{component.face_name or ''}"
        case Quote() | Source():
            return ""
