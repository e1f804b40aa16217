"""Who seals what a store keeps: the seam between the store and encryption.

A message has one data key, for its body, its question's inline data and the saved text of a reply. Who
destroys the key destroys every copy of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol, runtime_checkable

from attrs import define, field, frozen


class DataKey(Protocol):
    """Seals the parts of one message.

    *context* says what the data is and is authenticated with it: one's can't be passed off as another's.
    """

    @property
    def id(self) -> bytes:
        """16 random bytes, kept beside what it seals; none if it seals nothing."""
        ...

    def seal(self, data: bytes, context: bytes) -> bytes: ...

    def unseal(self, data: bytes, context: bytes) -> bytes:
        """What was sealed.

        Raises:
            Exception: Not by this key, in this context; of whatever class the vault's errors are.
        """
        ...


class Vault(Protocol):
    """Keeps data keys, apart from the data. Its methods block, and are called from several threads."""

    def open_keys(self, count: int) -> Sequence[DataKey]:
        """Fresh keys, which are durable before this returns."""
        ...

    def keys(self, ids: Collection[bytes]) -> Mapping[bytes, DataKey]:
        """Those keys that still exist."""
        ...

    def is_empty(self) -> bool:
        """Whether there is no key at all."""
        ...

    def destroy(self, ids: Collection[bytes]) -> None:
        """Destroy keys for good; unknown ones are no error."""
        ...

    def sweep(
        self, used: Callable[[Collection[bytes]], Collection[bytes]], older_than: float = 3600.0
    ) -> int:
        """Destroy keys older than *older_than* seconds that nothing names, and say how many.

        *used* says, of a page of ids, which the data still names.
        """
        ...

    def digest(self, data: bytes) -> bytes:
        """32 bytes that tell nothing of *data*, the same whenever it is."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class NeedsSecret(Protocol):
    """A vault without a key store, whose digests are keyed by a secret that the data store keeps for it."""

    def use_secret(self, secret: bytes) -> None: ...


@frozen
class PlainKey:
    """Seals nothing."""

    id: bytes = b""

    def seal(self, data: bytes, context: bytes) -> bytes:
        return data

    def unseal(self, data: bytes, context: bytes) -> bytes:
        return data


PLAIN = PlainKey()


@define
class PlainVault:
    """No encryption: what is stored can be read by whoever has the files."""

    _secret: bytes = field(default=b"", repr=False)

    def use_secret(self, secret: bytes) -> None:
        self._secret = secret

    def open_keys(self, count: int) -> list[DataKey]:
        return [PLAIN] * count

    def keys(self, ids: Collection[bytes]) -> Mapping[bytes, DataKey]:
        """Nothing but the plain key.

        Raises:
            LookupError: The data was sealed by a vault that isn't configured any more. To answer that such
                keys are gone would make every message look recalled.
        """
        if any(ids):
            raise LookupError("messages are encrypted, and there is no key file to read them with")
        return {PLAIN.id: PLAIN}

    def is_empty(self) -> bool:
        return True

    def destroy(self, ids: Collection[bytes]) -> None:
        pass

    def sweep(
        self, used: Callable[[Collection[bytes]], Collection[bytes]], older_than: float = 3600.0
    ) -> int:
        return 0

    def digest(self, data: bytes) -> bytes:
        return blake2b(data, digest_size=32, key=self._secret).digest()

    def close(self) -> None:
        pass
