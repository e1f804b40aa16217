"""Which part of a history somebody asks for, and reading it without holding all of it at once."""

from __future__ import annotations

import re
from typing import Protocol

from attrs import frozen

from actors import ActorRef
from server.chat import ConversationKey, Message, weight_of
from server.messages import ReadMessages, StorageMessage

PATIENCE = 10.0
NAMES = frozenset({"limit", "before", "after", "alternatives"})
"""Of a query, what is about a stretch."""
NEWEST = 100
MOST = 1000
# Read at a time, and no more once so many bytes have come: a message may have 8 MB, and many may ask.
PAGE = 20
SIZE = 8 * 2**20

_number = re.compile("[0-9]{1,15}", re.ASCII)


class BadStretch(ValueError):
    """A value of the query is not allowed; the text says which ones are."""


class Query(Protocol):
    """A query string, each name with all its values."""

    def getlist(self, key: str) -> list[str]: ...


@frozen
class Stretch:
    """At most `limit` messages with ids between `before` and `after`, both exclusive.

    The newest of them; but the oldest if only `after` is given. Earlier answers that were given again are
    left out, unless `alternatives`.
    """

    limit: int = NEWEST
    before: int | None = None
    after: int | None = None
    alternatives: bool = False

    @classmethod
    def parse(cls, query: Query) -> Stretch:
        """What *query* asks for; other names in it are none of ours.

        Raises:
            BadStretch: It can't be had.
        """
        limit = _whole_number(query, "limit")
        if limit is not None and not 1 <= limit <= MOST:
            raise BadStretch(f"limit must be 1 to {MOST}")
        alternatives = _once(query, "alternatives")
        if alternatives not in (None, "true", "false"):
            raise BadStretch("alternatives must be true or false")
        return cls(
            limit=NEWEST if limit is None else limit,
            before=_whole_number(query, "before"),
            after=_whole_number(query, "after"),
            alternatives=alternatives == "true",
        )


def _whole_number(query: Query, name: str) -> int | None:
    value = _once(query, name)
    if value is None:
        return None
    if _number.fullmatch(value) is None:
        raise BadStretch(f"{name} must be a whole number of at most 15 digits")
    return int(value)


def _once(query: Query, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) > 1:
        raise BadStretch(f"{name} must be given at most once")
    return values[0] if values else None


@frozen
class Read:
    """What was read of a stretch, oldest first, and whether there is `more` of it in the same direction."""

    messages: list[Message]
    more: bool


async def read_stretch(storage: ActorRef[StorageMessage], key: ConversationKey, stretch: Stretch) -> Read:
    """The messages of *stretch*: fewer than its limit if they are large, but one if there is one.

    Whoever wants the rest asks again, from where these end.

    Raises:
        StoreFailing: It can't be read now.
    """
    forward = stretch.after is not None and stretch.before is None
    before, after = stretch.before, stretch.after
    found: list[Message] = []
    size, more, ended = 0, False, False
    while not (more or ended):
        # One beyond the limit tells whether there is more.
        limit = min(stretch.limit - len(found) + 1, PAGE)
        page = await storage.ask(
            ReadMessages(key, limit, before=before, after=after, alternatives=stretch.alternatives),
            timeout=PATIENCE,
        )
        ended = len(page) < limit
        for message in page if forward else reversed(page):
            size += weight_of(message.chain)
            if len(found) == stretch.limit or (found and size > SIZE):
                more = True
                break
            found.append(message)
        if found:
            before, after = (before, found[-1].id) if forward else (found[-1].id, after)
    return Read(found if forward else found[::-1], more)
