"""What the database knows about itself: a few texts by name."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, insert, select, update

from .schema import meta
from .statements import first_of

COMMITS = "commits"
RUN = "run"
_SECRET = "digest_secret"
# Written out: the dialects agree on it.
_COUNT = (
    f"UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = '{COMMITS}' RETURNING value"
)


def get(connection: Connection, key: str) -> str | None:
    return connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar_one_or_none()


def put(connection: Connection, key: str, value: str) -> None:
    changed = connection.execute(update(meta).where(meta.c.key == key).values(value=value))
    if changed.rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=value))


def commits(connection: Connection) -> int:
    return int(get(connection, COMMITS) or 0)


def count_commit(connection: Connection) -> int:
    """Add one to the number of commits, and say how many that makes."""
    counted = first_of(connection, _COUNT)
    if counted is None:
        put(connection, COMMITS, "1")
        return 1
    return int(counted[0])


def digest_secret(connection: Connection) -> bytes:
    """What keys the digests of a store without a vault; drawn when it is asked for first."""
    secret = known_digest_secret(connection)
    if secret is None:
        secret = secrets.token_bytes(32)
        put(connection, _SECRET, secret.hex())
    return secret


def known_digest_secret(connection: Connection) -> bytes | None:
    """The same, if it was ever drawn."""
    value = get(connection, _SECRET)
    return None if value is None else bytes.fromhex(value)
