"""Bodies into and out of the tables: sealed by their message's data key, if there is a vault that seals.

The vault is another room's. What it raises comes out of here as `VaultTrouble`, whatever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from server.chat import ConversationKey

from .vault import PLAIN, DataKey, Vault

P = ParamSpec("P")
R = TypeVar("R")
Keys = Mapping[bytes | None, DataKey]


class VaultTrouble(Exception):
    """Keys can't be had, or don't fit."""


def name_of(key: DataKey | None) -> bytes | None:
    """How the tables name *key*."""
    return None if key is None else key.id or None


def _troubling(call: Callable[P, R]) -> Callable[P, R]:
    @wraps(call)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except Exception as error:  # of classes that this room doesn't know
            raise VaultTrouble(f"the vault fails: {type(error).__name__}") from error

    return guarded


@_troubling
def keys_of(vault: Vault, ids: Iterable[bytes | None]) -> Keys:
    """The keys that *ids* name in the tables, without those that were destroyed; None is no sealing."""
    keys: dict[bytes | None, DataKey] = {None: PLAIN}
    sealed = {number for number in ids if number is not None}
    if sealed:
        keys.update(vault.keys(sealed).items())
    return keys


@_troubling
def open_keys(vault: Vault, count: int) -> Sequence[DataKey]:
    return vault.open_keys(count) if count else []


@_troubling
def digest(vault: Vault, data: bytes) -> bytes:
    return vault.digest(data)


@_troubling
def sweep(vault: Vault, used: Callable[[Collection[bytes]], Collection[bytes]]) -> None:
    vault.sweep(used)


@_troubling
def seal_body(key: DataKey, data: bytes, conversation: ConversationKey, message: int) -> bytes:
    return key.seal(data, body_context(conversation, message)) if key.id else data


@_troubling
def unseal_body(key: DataKey, data: bytes, conversation: ConversationKey, message: int) -> bytes:
    return key.unseal(data, body_context(conversation, message)) if key.id else data


@_troubling
def seal_question(key: DataKey, data: bytes, conversation: ConversationKey, message: int) -> bytes:
    return key.seal(data, question_context(conversation, message)) if key.id else data


@_troubling
def unseal_question(key: DataKey, data: bytes, conversation: ConversationKey, message: int) -> bytes:
    return key.unseal(data, question_context(conversation, message)) if key.id else data


def body_context(conversation: ConversationKey, message: int) -> bytes:
    """What is authenticated with a body, so that no other message's can stand in its place."""
    return f"{conversation}\n{message}\nbody".encode()


def question_context(conversation: ConversationKey, message: int) -> bytes:
    """The same for a question's inline data."""
    return f"{conversation}\n{message}\nquestion".encode()
