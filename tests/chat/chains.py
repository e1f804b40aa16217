"""Message chains for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from server.chat import (
    At,
    AtAll,
    Component,
    Face,
    File,
    Forward,
    ForwardNode,
    Image,
    Plain,
    Quote,
    Source,
    Unknown,
    Voice,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
maybe_text = st.none() | text
numbers = st.integers(-(2**63), 2**64 - 1)
ids = st.none() | text | numbers
seconds = st.none() | st.integers(0, 1000) | st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | numbers | text | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=3,
)

leaves: st.SearchStrategy[Component] = st.one_of(
    st.builds(Plain, text),
    st.builds(At, ids, maybe_text),
    st.builds(AtAll),
    st.builds(Image, maybe_text, maybe_text, maybe_text, maybe_text),
    st.builds(Voice, maybe_text, maybe_text, maybe_text, maybe_text, seconds),
    st.builds(File, ids, maybe_text, st.none() | numbers, maybe_text, maybe_text, maybe_text),
    st.builds(Face, maybe_text, ids, maybe_text),
    st.builds(Source, ids, seconds | text),
    st.builds(Unknown, text),
)


def _nested(inner: st.SearchStrategy[Component]) -> st.SearchStrategy[Component]:
    chain = st.lists(inner, max_size=2).map(tuple)
    nodes = st.lists(st.builds(ForwardNode, ids, maybe_text, chain, ids), max_size=2).map(tuple)
    display = st.none() | text | st.dictionaries(text, json, max_size=2)
    return st.one_of(
        st.builds(Quote, ids, ids, ids, ids, chain),
        st.builds(Forward, display, nodes),
    )


components = st.recursive(leaves, _nested, max_leaves=5)
chains = st.lists(components, min_size=1, max_size=4).map(tuple)
