"""A read-only file over an object of a store: one request for each piece, the first one fetches the end."""

from __future__ import annotations

import io
from collections.abc import Callable

_END_BYTES = 256 << 10
"""What is asked for first: the footer of a Parquet file and, of a small one, all the rest."""


class ByteRanges(io.RawIOBase):
    """A file of `size` bytes; `fetch` gives its bytes from one place to another one, exclusive."""

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
        """Go to a place, counted from the beginning, from here or from the end."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end; all that are left with -1."""
        first = self._place
        last = self._size if size < 0 else min(first + size, self._size)
        if last <= first:
            return b""
        self._place = last
        return self._bytes(first, last)

    def read_end(self) -> None:
        """Ask for the end of the file, where its footer is. OSError when something else comes than was asked for."""
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
