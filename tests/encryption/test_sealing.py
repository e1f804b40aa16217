"""What a sealed thing tells, and to whom."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.encryption import DataKey, MasterKey, Unsealable

from .stores import NOON

SECRETS = st.binary(min_size=32, max_size=32)
IDS = st.binary(min_size=16, max_size=16)
BODIES = st.binary(max_size=2000) | st.just(bytes(2**20))
CONTEXTS = st.binary(max_size=40)


@given(secret=SECRETS, body=BODIES, context=CONTEXTS)
@settings(deadline=None)
def test_what_is_sealed_comes_back_whole(secret: bytes, body: bytes, context: bytes) -> None:
    """Nothing else about a message matters if it does not."""
    key = DataKey.of(bytes(16), secret)

    assert DataKey.of(bytes(16), secret).unseal(key.seal(body, context), context) == body


@given(secret=SECRETS, body=st.binary(max_size=300), context=CONTEXTS, data=st.data())
@settings(deadline=None)
def test_any_flipped_bit_is_noticed(secret: bytes, body: bytes, context: bytes, data: st.DataObject) -> None:
    """Whoever can write to the disk must not be able to put words into somebody's mouth."""
    key = DataKey.of(bytes(16), secret)
    sealed = bytearray(key.seal(body, context))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(Unsealable):
        key.unseal(bytes(sealed), context)


@given(secret=SECRETS, body=st.binary(max_size=300), data=st.data())
@settings(deadline=None)
def test_what_is_cut_short_is_noticed(secret: bytes, body: bytes, data: st.DataObject) -> None:
    """A torn write is no message."""
    key = DataKey.of(bytes(16), secret)
    sealed = key.seal(body, b"")

    with pytest.raises(Unsealable):
        key.unseal(sealed[: data.draw(st.integers(0, len(sealed) - 1))], b"")


@given(secret=SECRETS, body=BODIES, contexts=st.lists(CONTEXTS, min_size=2, max_size=2, unique=True))
@settings(deadline=None)
def test_sealed_data_does_not_pass_for_another_s(secret: bytes, body: bytes, contexts: list[bytes]) -> None:
    """Two sealed bodies exchanged in the database would be two messages exchanged."""
    key = DataKey.of(bytes(16), secret)

    with pytest.raises(Unsealable):
        key.unseal(key.seal(body, contexts[0]), contexts[1])


@given(secrets=st.lists(SECRETS, min_size=2, max_size=2, unique=True), body=BODIES)
@settings(deadline=None)
def test_another_key_unseals_nothing(secrets: list[bytes], body: bytes) -> None:
    """Each message has its own: without it there is nothing to be had."""
    one, other = (DataKey.of(bytes(16), secret) for secret in secrets)

    with pytest.raises(Unsealable):
        other.unseal(one.seal(body, b""), b"")


@given(secret=SECRETS, body=st.binary(max_size=64))
@settings(deadline=None)
def test_the_same_text_is_never_sealed_the_same(secret: bytes, body: bytes) -> None:
    """Two equal messages must not be seen to be equal; and a nonce used twice breaks AES-GCM."""
    key = DataKey.of(bytes(16), secret)

    assert key.seal(body, b"") != key.seal(body, b"")


@given(master=SECRETS, secret=SECRETS, ids=st.lists(IDS, min_size=2, max_size=2, unique=True))
@settings(deadline=None)
def test_a_wrapped_key_unwraps_as_itself_alone(master: bytes, secret: bytes, ids: list[bytes]) -> None:
    """A wrapped key put in another's row would otherwise survive that other's destruction."""
    key = MasterKey("00000000", NOON, master)
    wrapped = key.wrap(secret, ids[0])

    assert key.unwrap(wrapped, ids[0]) == secret
    with pytest.raises(Unsealable):
        key.unwrap(wrapped, ids[1])


@given(masters=st.lists(SECRETS, min_size=2, max_size=2, unique=True), secret=SECRETS, id_=IDS)
@settings(deadline=None)
def test_another_master_key_unwraps_nothing(masters: list[bytes], secret: bytes, id_: bytes) -> None:
    """A key store without its key file is noise."""
    one, other = (MasterKey("00000000", NOON, master) for master in masters)

    with pytest.raises(Unsealable):
        other.unwrap(one.wrap(secret, id_), id_)


@given(secret=SECRETS, body=st.binary(max_size=300))
@settings(deadline=None)
def test_sealing_adds_28_bytes(secret: bytes, body: bytes) -> None:
    """The length of a message is not hidden, and the documentation says so."""
    assert len(DataKey.of(bytes(16), secret).seal(body, b"")) == len(body) + 28
