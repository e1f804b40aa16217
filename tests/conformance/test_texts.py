"""What people write comes back as they wrote it."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.chat import Component, ConversationKey, Message, MessageAdded, Plain, Sender, without_inline_data
from server.storage import SqlStore
from server.storage.bodies import Body, dump_body, dump_chain, load_body, load_chain
from tests.chat.chains import chains, json

from .saying import begin, do, edit, end, facts, history, post, save, snapshot

_examples = count()
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(chains)
def test_a_chain_comes_back_from_its_json(chain: tuple[Component, ...]) -> None:
    """Down to the type of each number."""
    assert load_chain(dump_chain(chain)) == chain
    assert dump_chain(load_chain(dump_chain(chain))) == dump_chain(chain)


@given(
    st.builds(
        Body,
        chain=chains | st.just(()),
        name=texts,
        connection_id=texts,
        client_msg_id=st.none() | texts,
        reply_to=st.none() | st.integers(1, 2**53),
        finish_reason=st.none() | texts,
        usage=st.none() | st.dictionaries(texts, json),
    )
)
def test_a_body_comes_back_from_its_json(body: Body) -> None:
    """Everything that is sealed of a message."""
    assert load_body(dump_body(body)) == body


def test_the_order_of_what_is_in_a_chain_does_not_matter() -> None:
    """A retry whose JSON came in another order is a retry."""
    from server.chat import Forward

    one = Forward(display={"a": 1, "b": {"c": 2, "d": 3}})
    two = Forward(display={"b": {"d": 3, "c": 2}, "a": 1})

    assert dump_chain((one,)) == dump_chain((two,))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    chain=chains,
    text=texts,
    name=texts,
    client_msg_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
)
def test_whatever_is_written_is_read(
    store: SqlStore, chain: tuple[Component, ...], text: str, name: str, client_msg_id: str
) -> None:
    """NUL, marks of direction, and what no font has."""
    key = ConversationKey("p", "person", f"example {next(_examples)}")
    named = Sender("ann", name)
    posted = do(store, post(chain, key, sender=named, client_msg_id=client_msg_id, scope=text))
    assert posted.fact is not None
    assert snapshot(store, key).questions[0].message.chain == chain
    store.write([begin(1, key), save(2, text, key)])
    reply = snapshot(store, key).open_reply
    assert reply is not None
    assert reply.text == text
    ended = do(store, end(2, text, key, reason=text))

    assert history(store, key) == (posted.fact.message, ended.message)
    assert posted.fact.message.chain == without_inline_data(chain)


def test_eight_megabytes_are_a_message(store: SqlStore) -> None:
    """The largest frame there is, as message, edit and reply."""
    text = "x\0\u202e\U0001f600" * 889_000
    store.write([post(text), edit(1, text + "!"), begin(1), save(2, text), end(2, text + "?")])

    added, reply, edited = _messages(store)
    assert added.content == edited.content == text + "!"
    assert reply.content == text + "?"
    assert added.chain == (Plain(text + "!"),)


def _messages(store: SqlStore) -> tuple[Message, Message, Message]:
    added, edited, reply = facts(store)
    assert isinstance(added, MessageAdded)
    return added.message, reply.message, edited.message  # type: ignore[attr-defined]
