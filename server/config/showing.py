"""How keys and values look in an error or a `repr`: on one line, short, and without credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

HIDDEN = "(not shown)"
_LONGEST = 80


def show(raw: object) -> str:
    """*raw* as TOML would write it. Tables are not looked into: anything could be in there."""
    match raw:
        case bool():
            return "true" if raw else "false"
        case str():
            return f'"{printable(_shorter(without_credentials(raw)), quoted=True)}"'
        case int():
            # Beyond 4,300 digits Python refuses to write a number in decimal; in hexadecimal it always can.
            return _shorter(str(raw) if abs(raw) < 10**_LONGEST else hex(raw))
        case Mapping():
            return "{…}" if raw else "{}"
        case list() | tuple():
            return _shorter(f"[{', '.join(show(item) for item in raw[:_LONGEST])}]")
        case _:
            return _shorter(str(raw))


def printable(text: str, *, quoted: bool = False) -> str:
    """*text* with line ends, control characters and lone surrogates escaped."""
    if quoted:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def without_credentials(text: str) -> str:
    """*text* with what may be `user:password@` or a query string blotted out, if it looks like an address."""
    head, at, tail = text.rpartition("@")
    if at:
        scheme, slashes, _ = head.partition("//")
        text = f"{scheme}{slashes}***@{tail}" if slashes else f"***@{tail}"
    return re.sub(r"(//[^?]*\?).*", r"\1***", text, flags=re.DOTALL)


def credentials(url: str) -> tuple[str, ...]:
    """What `without_credentials` takes out of *url*, in the spellings in which it may turn up elsewhere."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    spelled = (user, parts.password or "", parts.query, *(value for _, value in parse_qsl(parts.query)))
    return tuple(dict.fromkeys(text for raw in spelled for text in (raw, unquote(raw)) if text))


def passwords(url: str) -> tuple[str, ...]:
    """The passwords in a database's *url*, as they stand there and as they are meant.

    Unlike `credentials` no user and no option: such names are ordinary words, which logs are to keep.
    """
    parts = urlsplit(url)
    options = (option.partition("=") for option in parts.query.split("&"))
    spelled = (parts.password or "", *(value for name, _, value in options if "password" in name.lower()))
    return tuple(dict.fromkeys(text for raw in spelled for text in (raw, unquote_plus(raw)) if text))


def address(url: str) -> str:
    """The `repr` of a URL that may carry a password."""
    return show(url)


def dotted(path: tuple[str | int, ...]) -> str:
    """*path* as TOML would name it: `limits.message_size`, `pipelines[1].uuid`."""
    name = ""
    for step in path:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            step = step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else f'"{printable(step, quoted=True)}"'
            name += f".{_shorter(step)}" if name else _shorter(step)
    return name


def _shorter(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
