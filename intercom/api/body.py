"""The body of an HTTP answer: read and unpacked within bounds of size and time, whatever the server sends.

A socket's time-out bounds each wait only: a server that sends a byte now and then never exceeds it. And a packed body
of a megabyte may hold a gigabyte. So the whole answer, headers included, has a time limit, and unpacked bytes are
counted while they are unpacked.
"""

from __future__ import annotations

import io
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from typing import Any, cast

_PIECE = 1 << 20
"""Bytes read at once: more than a page has, since a body in two pieces is copied once more."""
_STEP = 8 << 10
"""Bytes unpacked at once after the first gzip member: zlib copies the rest after each, and there may be thousands."""
_MOST_MEMBERS = 10_000
"""Gzip members in one body. Common programs begin one every 64 KB at most; empty ones only cost time."""
_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
"""zlib's window parameters for each encoding. Deflate comes with zlib's header, as the standard says, or without."""


class TooLargeError(OSError):
    """A body of more bytes than allowed, packed or unpacked."""


class NotPackedError(OSError):
    """A body that is not packed as its Content-Encoding says, or that ends in the middle."""


class TooSlowError(TimeoutError):
    """An answer that is not complete within its time limit."""


def read_body(read: Callable[[int], bytes], encoding: str, most: int) -> bytes:
    """The whole body, unpacked.

    ``read(n)`` gives at most n bytes as they were sent, none at the end. ``encoding`` is the Content-Encoding; a body
    of an unknown one is returned as it is. Raises TooLargeError as soon as more than ``most`` bytes, or too many gzip
    members, were read or unpacked; NotPackedError for a body that cannot be unpacked.
    """
    pieces = _pieces(read, most)
    windows = _WINDOWS.get(encoding.strip().lower())
    parts = list(pieces if windows is None else _unpacked(pieces, windows, most))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _pieces(read: Callable[[int], bytes], most: int) -> Iterator[bytes]:
    size = 0
    while piece := read(_PIECE):
        size += len(piece)
        if size > most:
            raise TooLargeError
        yield piece


def _unpacked(pieces: Iterator[bytes], windows: tuple[int, ...], most: int) -> Iterator[bytes]:
    """The unpacked pieces. Gzip may have any number of members; bytes after the last one are ignored."""
    size, members = 0, 0
    unpacker = None
    for piece in pieces:
        view, place = memoryview(piece), 0
        while place < len(view):
            packed = view[place : place + (_STEP if members else _PIECE)]
            try:
                unpacker = unpacker or _new_unpacker(packed, windows)
                part = unpacker.decompress(packed, most - size + 1)
            except zlib.error as error:
                if not members:
                    raise NotPackedError from error
                return
            size += len(part)
            if size > most or members >= _MOST_MEMBERS:
                raise TooLargeError
            if part:
                yield part
            place += len(packed)
            if unpacker.eof:
                place -= len(unpacker.unused_data)
                unpacker, members = None, members + 1
    if unpacker is not None:
        raise NotPackedError


def _new_unpacker(packed: memoryview, windows: tuple[int, ...]) -> Any:
    """An unpacker for the first of these windows that fits the bytes, which begin a body or a gzip member."""
    for window in windows[:-1]:
        try:
            zlib.decompressobj(window).decompress(packed[:2], 1)
        except zlib.error:
            continue
        return zlib.decompressobj(window)
    return zlib.decompressobj(windows[-1])


def answers_within(seconds: float, clock: Callable[[], float] = time.monotonic) -> type[HTTPResponse]:
    """A class of HTTP answers with a time limit in seconds, from the moment that an answer is waited for.

    Reading after it raises TooSlowError. ``clock`` is in seconds.
    """

    class TimedResponse(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_TimedReader(raw, sock, clock() + seconds, clock))

    return TimedResponse


class _TimedReader(io.RawIOBase):
    """Reads a socket until a deadline of the clock, in seconds; after it raises TooSlowError."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float, clock: Callable[[], float]) -> None:
        super().__init__()
        self._raw, self._sock, self._deadline, self._clock = raw, sock, deadline, clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - self._clock()
        if left <= 0:
            raise TooSlowError
        timeout = self._sock.gettimeout()
        if timeout is not None and timeout <= left:
            return self._read(buffer)
        self._sock.settimeout(left)
        try:
            return self._read(buffer)
        except TimeoutError:
            raise TooSlowError from None

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

    def _read(self, buffer: Any) -> int | None:
        return cast("int | None", self._raw.readinto(buffer))
