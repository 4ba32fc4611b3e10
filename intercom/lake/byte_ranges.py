"""A read-only file over an object of a store: one request per range, the first one for the end of the file."""

from __future__ import annotations

import io
from collections.abc import Callable

_END_BYTES = 256 << 10
"""Bytes of the first request, from the end: they hold the footer of a Parquet file, or all of a small file."""


class ByteRanges(io.RawIOBase):
    """A file of `size` bytes; `fetch(start, end)` gives the bytes from `start` to `end`, `end` excluded."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._fetch, self._size = fetch, size
        self._place = 0
        self._end_from = max(0, size - _END_BYTES)
        self._end: bytes | None = None

    def readable(self) -> bool:
        """Always: `io` asks before it reads or moves."""
        return True

    def seekable(self) -> bool:
        """Always: `io` asks before it reads or moves."""
        return True

    def tell(self) -> int:
        """Offset of the next byte that is read."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset`, counted from the beginning, the present position or the end; gives the new position."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, fewer at the end of the file; all the rest for -1."""
        first = self._place
        last = self._size if size < 0 else min(first + size, self._size)
        if last <= first:
            return b""
        self._place = last
        return self._bytes(first, last)

    def read_end(self) -> None:
        """Fetch the end of the file, which holds the footer. OSError when the answer has another number of bytes."""
        self._end = self._fetch(self._end_from, self._size)
        if len(self._end) != self._size - self._end_from:
            raise OSError(f"{self._size - self._end_from} bytes were asked for, and {len(self._end)} came")

    def _bytes(self, first: int, last: int) -> bytes:
        if first < self._end_from:
            return self._fetch(first, last)
        if self._end is None:
            self.read_end()
        assert self._end is not None
        return self._end[first - self._end_from : last - self._end_from]
