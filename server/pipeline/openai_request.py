"""A turn as the `messages` of a chat completion. Source: OpenAI API reference, "Create chat completion"."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from server.chat import Component, Image, Turn, text_of

from .history import newest

_SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)


def chat_messages(
    turn: Turn, *, system_prompt: str | None, history: int, vision: bool
) -> list[dict[str, Any]]:
    """The system prompt, the newest *history* messages before the turn, and its own message.

    With *vision*, the pictures of the turn's own message are `image_url` parts; everything else is text. Of a
    reply to be resumed, what was said so far comes last.
    """
    messages: list[dict[str, Any]] = []
    if system_prompt:
        messages.append({"role": "system", "content": system_prompt})
    for message in newest(turn.history, history):
        # Recalled messages are empty, and many servers refuse empty ones.
        if message.content:
            messages.append({"role": message.role, "content": message.content})
    chain = turn.message.chain
    content = _parts(chain) if vision and any(map(picture, chain)) else turn.text
    messages.append({"role": turn.message.role, "content": content})
    if turn.so_far:
        # An assistant's message at the end is one to go on with, for the servers that know how.
        messages.append({"role": "assistant", "content": turn.so_far})
    return messages


def picture(component: Component) -> str | None:
    """The address under which an upstream can see *component*, a data URL for inline data.

    `None` for what is no picture, and for pictures that are neither inline nor on the web.
    """
    if not isinstance(component, Image):
        return None
    if component.base64:
        if component.base64.startswith("data:"):
            return component.base64
        return f"data:{_media_type(component.base64)};base64,{component.base64}"
    if component.url and component.url.lower().startswith(("http://", "https://")):
        return component.url
    return None


def _parts(chain: Iterable[Component]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for address, group in groupby(chain, key=picture):
        components = list(group)
        if address is not None:
            parts.extend({"type": "image_url", "image_url": {"url": address}} for _ in components)
        elif text := text_of(components):
            parts.append({"type": "text", "text": text})
    return parts


def _media_type(data: str) -> str:
    try:
        head = base64.b64decode(data[:32])
    except (binascii.Error, ValueError):
        head = b""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if head.startswith(signature)), "image/png")
