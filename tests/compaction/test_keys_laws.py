"""Primary keys as one array: the same for the same keys only, and in their order."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intercom.compaction.keys import between, keys_of

PARTS = st.text(st.sampled_from("ab\x00\x01\x02\x1f~é🙂"), max_size=3)
PAIRS = st.lists(st.tuples(PARTS, PARTS), max_size=12)
NAMES = ("id", "owner_id")


def table(keys: list[tuple[str, ...]], width: int = 2) -> pa.Table:
    columns = list(zip(*keys, strict=True)) or [()] * width
    return pa.table([pa.array(values, pa.string()) for values in columns], names=NAMES[:width])


def in_bytes(key: tuple[str, ...]) -> tuple[bytes, ...]:
    """What Arrow and Parquet compare."""
    return tuple(part.encode() for part in key)


@settings(max_examples=40, deadline=None)
@given(pairs=PAIRS)
@example(pairs=[("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")])
@example(pairs=[("a\x00", "b"), ("a", "\x00b"), ("a\x01\x01", "b"), ("a", "\x01\x01b")])
@example(pairs=[("\x01", ""), ("\x01\x02", ""), ("\x00", "")])
def test_joined_keys_are_the_same_and_in_order_as_their_columns_are(pairs: list[tuple[str, str]]) -> None:
    keys = keys_of(table(pairs), NAMES).to_pylist()
    for left, ours in zip(keys, pairs, strict=True):
        for right, theirs in zip(keys, pairs, strict=True):
            assert (left == right) == (ours == theirs)
            assert (left.encode() < right.encode()) == (in_bytes(ours) < in_bytes(theirs))


@settings(max_examples=40, deadline=None)
@given(pairs=PAIRS, data=st.data())
def test_a_key_is_the_same_whatever_lies_beside_it(pairs: list[tuple[str, str]], data: st.DataObject) -> None:
    """Also where no other key of its file has to be escaped."""
    some = data.draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []
    joined = dict(zip(pairs, keys_of(table(pairs), NAMES).to_pylist(), strict=True))
    assert keys_of(table(some), NAMES).to_pylist() == [joined[pair] for pair in some]


@settings(max_examples=40, deadline=None)
@given(pairs=PAIRS, low=PARTS, high=PARTS, width=st.sampled_from([1, 2]))
@example(pairs=[("a", "b")], low="a", high="a\x01", width=2)
@example(pairs=[("a\x00", "b"), ("a\x01", "")], low="a", high="a", width=2)
def test_between_tells_the_keys_whose_first_column_is(
    pairs: list[tuple[str, str]], low: str, high: str, width: int
) -> None:
    keys = [pair[:width] for pair in pairs]
    found = between(keys_of(table(keys, width), NAMES[:width]), low, high, NAMES[:width]).to_pylist()
    assert found == [low.encode() <= key[0].encode() <= high.encode() for key in keys]


def test_a_key_of_one_column_is_that_column_and_no_copy() -> None:
    rows = table([("a", "x"), ("b\x00", "y")])
    key: Any = keys_of(rows, ("id",))
    assert key.chunk(0).buffers()[2].address == rows.column("id").chunk(0).buffers()[2].address
    assert key.to_pylist() == ["a", "b\x00"]
