"""The two sorts of keys: a data key seals what one message says, a master key wraps data keys.

Both are AES-256-GCM (NIST SP 800-38D) with a random nonce of 12 bytes in front of what is sealed.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Final

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import Unsealable

KEY_SIZE: Final = 32
ID_SIZE: Final = 16
_NONCE: Final = 12
_TAG: Final = 16

WRAPPED_SIZE: Final = _NONCE + KEY_SIZE + _TAG
"""Bytes of a data key in its wrapped form."""


@frozen(eq=False)
class DataKey:
    """Seals the parts of one message; `id` is kept beside them.

    *context* says what the data is, and is authenticated with it: sealed data can't pass for another's.
    """

    id: bytes
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def of(cls, key_id: bytes, secret: bytes) -> DataKey:
        return cls(key_id, AESGCM(secret))

    def seal(self, data: bytes, context: bytes) -> bytes:
        return _seal(self._cipher, data, context)

    def unseal(self, data: bytes, context: bytes) -> bytes:
        """What was sealed.

        Raises:
            Unsealable: Not by this key, in this context, or it was altered.
        """
        return _unseal(self._cipher, data, context)


@frozen(eq=False)
class MasterKey:
    """Wraps data keys. `id` is eight hex digits, and `created` in UTC."""

    id: str
    created: datetime
    _secret: bytes = field(repr=False)
    _cipher: AESGCM = field(init=False, repr=False)

    @_cipher.default
    def _make_cipher(self) -> AESGCM:
        return AESGCM(self._secret)

    @classmethod
    def fresh(cls, now: datetime) -> MasterKey:
        return cls(os.urandom(4).hex(), now, os.urandom(KEY_SIZE))

    def reveal(self) -> bytes:
        """The key itself, for the key file and nothing else."""
        return self._secret

    def wrap(self, secret: bytes, key_id: bytes) -> bytes:
        """The data key *secret*, for keeping; *key_id* is the only one it will be unwrapped as."""
        return _seal(self._cipher, secret, key_id)

    def unwrap(self, wrapped: bytes, key_id: bytes) -> bytes:
        """The data key *key_id*.

        Raises:
            Unsealable: It was wrapped by another key or as another's, or was altered.
        """
        return _unseal(self._cipher, wrapped, key_id)


def _seal(cipher: AESGCM, data: bytes, context: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, data, context)


def _unseal(cipher: AESGCM, data: bytes, context: bytes) -> bytes:
    if len(data) < _NONCE + _TAG:
        raise Unsealable("sealed data is cut short")
    try:
        return cipher.decrypt(data[:_NONCE], data[_NONCE:], context)
    except InvalidTag:
        raise Unsealable("sealed data was altered, or is another key's") from None
