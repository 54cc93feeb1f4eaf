"""What tests of the model share: a token, and any text and value that JSON can bring."""

from __future__ import annotations

from hypothesis import strategies as st

TOKEN = "ctok-AbCdEfGhIj-0123456789abcdefghijklmnopqrstuvwxyzABCD"

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
"""Lone surrogates, too."""

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
