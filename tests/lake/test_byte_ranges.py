"""A file that is read by ranges is the file itself, piece by piece, in few requests."""

from __future__ import annotations

import io
import os

from hypothesis import given
from hypothesis import strategies as st

from intercom.lake.byte_ranges import ByteRanges

CONTENT = os.urandom(300 << 10)


def ranges(size: int = len(CONTENT)) -> tuple[ByteRanges, list[tuple[int, int]]]:
    asked: list[tuple[int, int]] = []

    def fetch(first: int, last: int) -> bytes:
        asked.append((first, last))
        return CONTENT[:size][first:last]

    return ByteRanges(fetch, size), asked


PIECES = st.tuples(st.integers(0, 310 << 10), st.one_of(st.just(-1), st.integers(0, 310 << 10)))


@given(pieces=st.lists(PIECES, max_size=5))
def test_every_piece_is_what_a_local_file_gives(pieces: list[tuple[int, int]]) -> None:
    file, _ = ranges()
    local = io.BytesIO(CONTENT)
    for place, size in pieces:
        assert file.seek(place) == local.seek(place)
        assert file.read(size) == local.read(size)
        assert file.tell() == max(place, min(local.tell(), len(CONTENT)))
    assert file.seek(-5, io.SEEK_END) == local.seek(-5, io.SEEK_END)
    assert file.read() == local.read()


def test_a_small_file_takes_one_request_and_a_large_one_one_for_its_end() -> None:
    small, asked = ranges(size=10_000)
    for place in (9_000, 0, 5_000):
        small.seek(place)
        small.read(100)
    assert asked == [(0, 10_000)]
    large, asked = ranges()
    for place in (299 << 10, 50 << 10, 0):
        large.seek(place)
        large.read(1024)
    assert asked == [(44 << 10, 300 << 10), (0, 1024)]
